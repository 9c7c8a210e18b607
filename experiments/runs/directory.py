"""A run's directory: making it, what is written there once, and the lock of the process that trains in it."""

import contextlib
import datetime
import fcntl
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import time
from collections.abc import Iterator

from envs.errors import ConfigError
from experiments.common.files import write_with_digest
from experiments.config.schema import Settings, to_dict

PACKAGES = (
    "iacjax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "numpy",
    "orbax-checkpoint",
    "distrax",
    "jaxmarl",
    "gymnax",
    "brax",
)


def write_config(directory: pathlib.Path, settings: Settings) -> None:
    """Writes config.json, and its digest to a second file."""
    write_with_digest(directory / "config.json", json.dumps(to_dict(settings), indent=1) + "\n")


def create_directory(settings: Settings) -> pathlib.Path:
    """Makes <run_dir>/<env>/<algo>/<UTC time>-<hash> and writes config.json into it.

    Raises:
      ConfigError: the place cannot be written.
    """
    run = settings.run
    parent = pathlib.Path(run.run_dir) / run.env.replace(":", "_").replace("/", "_").replace("|", "_") / run.algo
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
    unique = f"{json.dumps(to_dict(settings))} {os.getpid()} {time.time_ns()}"
    directory = parent / f"{stamp}-{hashlib.sha256(unique.encode()).hexdigest()[:6]}"
    try:
        directory.mkdir(parents=True)
        write_config(directory, settings)
    except OSError as error:
        where = f"cannot make a run directory in {run.run_dir}"
        raise ConfigError(f"{where} ({error.strerror}): choose another --run-dir") from None
    return directory


def software_versions(device: str) -> dict[str, str]:
    """What the numbers of a run were made with."""
    found = {"python": platform.python_version(), "device": device}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    here = pathlib.Path(__file__).parent
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"]
        found["git"] = subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    return found


@contextlib.contextmanager
def locked(directory: pathlib.Path) -> Iterator[None]:
    """Keeps a second process from training in the same directory; the lock dies with its process.

    Raises:
      ConfigError: another process holds it.
    """
    with (directory / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"another process is training in {directory}: wait for it, or stop it") from None
        yield
