"""Compiled programs kept on disk, so that a run's next start neither traces nor compiles.

jax's own cache keeps what XLA compiled, but is asked with the traced program, and tracing takes seconds. Here a program
is found by what it is made from: the settings, the sources, the versions, the machine. A file that does not load, or is
damaged, is compiled anew and replaced. Files hold machine code and are read back with pickle, so only those that no
other user can have written are read.
"""

import contextlib
import functools
import hashlib
import importlib.util
import os
import pathlib
import pickle
import stat
import threading
from importlib import metadata
from typing import Any, NamedTuple

from experiments.common.cpu import THREADS
from experiments.common.files import write_bytes
from experiments.config.schema import Settings
from experiments.distributed.layout import Layout
from iacjax import pretrained

PACKAGES = ("iacjax", "envs", "experiments")  # whose files are part of the key
LIBRARIES = ("jax", "jaxlib", "flax", "optax", "chex", "distrax", "tfp-nightly", "numpy")
OWN_ENVIRONMENTS = (
    "envs.smax.",
    "envs.smacv2.",
    "envs.mpe.",
    "envs.pendulum.",
    "envs.toy.",
)  # made of nothing but PACKAGES
MOST_FILES = 200  # the oldest are removed; a program of a run takes a few megabytes
_DIGEST = 32  # bytes in front of a file's content
_cache = threading.local()  # hits: programs that jax's cache had, of those that this thread asked for


class KeptPrograms(NamedTuple):
    """Where the programs of a training are kept: files whose names begin with a key."""

    directory: pathlib.Path
    key: str

    def of(self, layout: Layout) -> "KeptPrograms":
        """Those of as many seeds on such a mesh of devices."""
        mesh = () if layout.mesh is None else layout.mesh.devices.shape
        return self._replace(key="-".join(map(str, (self.key, layout.size, *mesh))))

    def load(self, name: str, devices: int) -> Any:
        """What `compile` kept, on the first `devices` of this process; None: nothing, or it cannot be used."""
        import jax
        from jax.experimental.serialize_executable import deserialize_and_load

        path = self._path(name)
        try:
            if not _is_private(path):
                return None
            data = path.read_bytes()
            if hashlib.sha256(data[_DIGEST:]).digest() != data[:_DIGEST]:
                return None
            program, facts = pickle.loads(data[_DIGEST:])
            compiled = deserialize_and_load(*program, execution_devices=jax.local_devices()[:devices])
            os.utime(path)  # of its last use
        except Exception:  # no file, or whatever one of another version raises: it is compiled anew
            return None
        return compiled, facts

    def compile(self, name: str, lowered: Any, facts: Any, options: dict[str, Any] | None) -> Any:
        """Compiles a program and keeps it and, beside it, `facts`. What cannot be kept or written is left out.

        It is serialised before it runs for the first time: a sort that has run cannot be. What jax's cache has read
        cannot be serialised either, and is not kept.
        """
        from jax.experimental.serialize_executable import serialize

        _watch_cache()
        _cache.hits = 0
        compiled = lowered.compile(compiler_options=options)
        if _cache.hits:
            return compiled
        with contextlib.suppress(Exception):  # a program that calls back; a full disk is reported where results are
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            data = pickle.dumps((serialize(compiled), facts))
            write_bytes(self._path(name), hashlib.sha256(data).digest() + data)
            self._path(name).chmod(0o600)
            self._remove_oldest()
        return compiled

    def _path(self, name: str) -> pathlib.Path:
        return self.directory / f"{self.key}-{name}"

    def _remove_oldest(self) -> None:
        files = sorted(self.directory.iterdir(), key=lambda path: path.stat().st_mtime)
        for path in files[:-MOST_FILES]:
            path.unlink(missing_ok=True)


def _is_private(path: pathlib.Path) -> bool:
    """Whether the file is this user's, and nobody else may write to it or to its directory."""
    if not hasattr(os, "getuid"):
        return True
    facts = [path.stat(), path.parent.stat()]
    return all(fact.st_uid == os.getuid() and not fact.st_mode & (stat.S_IWGRP | stat.S_IWOTH) for fact in facts)


@functools.cache
def _watch_cache() -> None:
    import jax

    def count(event: str, **_: Any) -> None:
        if event == "/jax/compilation_cache/cache_hits":
            _cache.hits = getattr(_cache, "hits", 0) + 1

    jax.monitoring.register_event_listener(count)


def register_lapack() -> None:
    """Initialises the QR decomposition of orthogonal weights: jax does it as it lowers one, and a program that is
    loaded without having been lowered would end the process."""
    import jax
    import numpy as np

    jax.jit(jax.lax.linalg.qr).lower(jax.ShapeDtypeStruct((2, 2), np.float32))


def kept_programs(settings: Settings, env: Any) -> KeptPrograms | None:
    """The programs of a run with these settings; None where jax keeps none either, where it cannot be known what they
    are made from (algorithms and environments from elsewhere), and for trainings on GPUs or of several processes."""
    import jax

    from iacjax.algorithms.registry import get_entry

    folder = directory_of_programs()
    inner = getattr(env, "env", env)  # of `envs.base.vectorize`
    own = type(inner).__module__.startswith(OWN_ENVIRONMENTS)
    own = own and get_entry(settings.run.algo).factory.startswith("iacjax.")
    if folder is None or not own or jax.default_backend() != "cpu" or jax.process_count() > 1:
        return None
    return KeptPrograms(folder, _key(settings, env))


def directory_of_programs() -> pathlib.Path | None:
    """A directory in that of jax's cache; None if that is switched off or not in the file system."""
    import jax

    folder = jax.config.jax_compilation_cache_dir
    if not jax.config.jax_enable_compilation_cache or not folder or "://" in folder:
        return None
    return pathlib.Path(folder) / "programs"


def _key(settings: Settings, env: Any) -> str:
    import jax

    run = settings.run
    made_from = [
        (run.algo, run.env, run.env_options, run.eval_episodes, settings.algorithm, env.spec),
        [path.read_bytes() for path in _option_files(run.env_options)],
        sorted((name, value) for name, value in jax.config.values.items() if _is_plain(value) and "cache" not in name),
        sorted((name, value) for name, value in os.environ.items() if name.startswith(("XLA_", *THREADS))),
        [(name, _version(name)) for name in LIBRARIES],
        [(device.platform, device.device_kind) for device in jax.local_devices()],
        jax.local_devices()[0].client.platform_version,
        _processor(),
        _sources(),
    ]
    return hashlib.sha256(repr(made_from).encode()).hexdigest()[:32]


def _option_files(options: tuple[str, ...]) -> list[pathlib.Path]:
    """Files that options of an environment name, such as the rules of a battle."""
    paths = [pathlib.Path(option.partition("=")[2]) for option in options]
    return [path for path in paths if path.is_file()]


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _version(name: str) -> str:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(name)
    return ""


def _processor() -> tuple:
    """What machine code depends on: the kind of processor, and how many threads share a loop."""
    lines: set[str] = set()
    with contextlib.suppress(OSError):
        text = pathlib.Path("/proc/cpuinfo").read_text()
        lines = {line for line in text.splitlines() if line.startswith(("model name", "flags", "Features"))}
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return (*os.uname()[3:], *sorted(lines), cores and len(cores), os.cpu_count())


@functools.cache
def _sources() -> str:
    """A digest of the files of PACKAGES, whatever they contain: a changed comment too is traced and compiled again.
    Pretrained policies are no part of a training's program."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        root = pathlib.Path(importlib.util.find_spec(package).origin).parent
        for path in sorted(root.rglob("*")):
            if path.suffix in (".py", ".json", ".npz") and pretrained.DIRECTORY not in path.parents:
                digest.update(f"{path.relative_to(root)} ".encode() + path.read_bytes())
    return digest.hexdigest()
