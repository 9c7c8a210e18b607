"""A run's whole configuration: its fields, reading and writing it, and fingerprints. No jax here."""

import dataclasses
import hashlib
import json
import pathlib
from typing import Any, Literal

from envs.errors import ConfigError
from experiments.common.files import read_object
from experiments.config.env_options import from_saved_options, to_saved_options
from experiments.config.validation import MAX_EPISODES, MAX_SEEDS, check_settings
from iacjax.algorithms.registry import config_of_saved
from iacjax.schema import COUNT, COUNT_OR_ZERO, FRACTION, NOT_NEGATIVE, number, up_to

Precision = Literal["default", "float32", "tensorfloat32", "bfloat16"]


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """What is trained, in which environment, for how long, and what is written."""

    algo: str = "aiir_mix"
    """Algorithm; `--list` shows them."""
    env: str = "smax:2s3z"
    """Environment, as family:name; `--list` shows them. A custom one: MODULE:NAME, a class in an importable module."""
    env_options: tuple[str, ...] = ()
    """Options of the environment, as KEY=VALUE ..., e.g. num_prey=2 reward=flat payoff=[[8,-12],[-12,0]]."""
    preset: str = "default"
    """Named set of defaults for all other fields, or a json file that experiments.sweep has written."""
    seeds: int = number(1, up_to(MAX_SEEDS))
    """Number of seeds, trained in parallel in one program: `seed`, `seed` + 1, ..."""
    seed: int = number(0, COUNT_OR_ZERO)
    """The first seed."""
    total_steps: int = number(1_000_000, COUNT)
    """Environment steps per seed in which the agents act; the run ends when every seed has made them."""
    seeds_per_batch: int = number(0, up_to(MAX_SEEDS, least=0))
    """Seeds trained at the same time, one batch after another; 0: as many as fit in memory."""
    devices: int = number(0, up_to(MAX_SEEDS, least=0))
    """Devices that the seeds are split over, and each seed's environments if there are fewer seeds; 0: all devices of
    this machine (of a CPU: its cores), at most one per seed."""
    run_dir: str = "runs"
    """Parent of the run directory <run_dir>/<env>/<algo>/<time>-<hash>."""

    eval_every: int = number(0, COUNT_OR_ZERO)
    """Environment steps between greedy evaluations; 0: 50 evaluations in the run."""
    eval_episodes: int = number(32, up_to(MAX_EPISODES))
    """Episodes per evaluation and seed."""
    stop_at: float = number(0.0, FRACTION)
    """Stop when two evaluations in a row reach this win rate (mean over seeds); 0: never."""
    log_every: int = number(0, COUNT_OR_ZERO)
    """Iterations averaged in one row of metrics.csv; 0: about 500 rows per seed."""
    checkpoint_every: float = number(120.0, NOT_NEGATIVE)
    """Seconds between checkpoints, more if saving would take over 5 % of the time; 0: after each chunk."""
    keep_checkpoints: int = number(2, COUNT)
    """Number of newest checkpoints to keep."""
    chunk_iterations: int = number(0, COUNT_OR_ZERO)
    """Iterations per call of the compiled program, without output in between; 0: about five seconds of them."""

    compile_cache: bool = True
    """Keep compiled programs in the user's cache directory, so that the next start is faster."""
    deterministic: bool = False
    """Use deterministic GPU kernels: slower, but bitwise repeatable, as runs on a CPU always are."""
    matmul_precision: Precision = "default"
    """Precision of the networks' matrix products on a GPU (default: TF32); everything else is float32."""
    pictures: bool = True
    """Draw curves.png, every 30 seconds or more while it trains, and record a video of the best seed at the end."""
    tensorboard: bool = False
    """Also write TensorBoard events (pip install "iacjax[tensorboard]")."""
    wandb: bool = False
    """Also log to Weights & Biases (pip install "iacjax[wandb]")."""
    wandb_project: str = "iacjax"
    """Weights & Biases project."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """A run's fields and its algorithm's fields."""

    run: RunConfig
    algorithm: Any


# Fields that a resumed run may change: what has been trained so far does not depend on them.
CHANGEABLE = ("total_steps", "run_dir", "stop_at", "checkpoint_every", "keep_checkpoints", "chunk_iterations")
CHANGEABLE += ("compile_cache", "devices", "pictures", "tensorboard", "wandb", "wandb_project")

ADDED = ("env_options", "matmul_precision")  # fields that the oldest checkpoints do not have


def to_dict(settings: Settings) -> dict[str, Any]:
    """What config.json holds: the run's fields, and the algorithm's under `algorithm`."""
    run = settings.run
    options = to_saved_options(run.env, run.env_options)
    return {**dataclasses.asdict(run), "env_options": options, "algorithm": dataclasses.asdict(settings.algorithm)}


def from_dict(data: dict[str, Any]) -> Settings:
    """The inverse of `to_dict`.

    Raises:
      ConfigError: fields that this version does not know, values that they cannot have, or an unknown algorithm.
    """
    if not isinstance(data.get("algo"), str) or not isinstance(data.get("algorithm"), dict):
        raise ConfigError("this configuration is not one of this version (it has no algo and algorithm)")
    try:
        run = {k: _tuple(v) for k, v in data.items() if k != "algorithm"}
        algorithm = {k: _tuple(v) for k, v in data["algorithm"].items()}
        settings = Settings(RunConfig(**run), config_of_saved(data["algo"], algorithm))
    except TypeError as error:
        raise ConfigError(f"this configuration is not one of this version ({error})") from None
    check_settings(settings)
    options = from_saved_options(settings.run.env, settings.run.env_options)
    return Settings(dataclasses.replace(settings.run, env_options=options), settings.algorithm)


def _tuple(value: Any) -> Any:
    """JSON has no tuples."""
    return tuple(value) if isinstance(value, list) else value


def read_config(directory: pathlib.Path) -> Settings:
    """The configuration that a run directory holds.

    Raises:
      ConfigError: no such directory, no config.json in it, or one that cannot be read.
    """
    if not directory.is_dir():
        raise ConfigError(f"no run directory {directory}: give one that experiments.run has made")
    try:
        data = read_object(directory / "config.json")
    except FileNotFoundError:
        raise ConfigError(f"no config.json in {directory}: give the directory of one run") from None
    try:
        return from_dict(data)
    except ConfigError as error:
        raise ConfigError(f"{directory / 'config.json'} cannot be read: {error}") from None


def fingerprint(settings: Settings) -> str:
    """Short hash of all fields that the training depends on; every checkpoint contains it."""
    data = {name: value for name, value in to_dict(settings).items() if name not in CHANGEABLE}
    for name in ADDED:
        if data[name] == getattr(RunConfig(), name):
            del data[name]
    return _short_hash({**data, "algorithm": _trained_by(settings.algorithm)})


def algorithm_fingerprint(algorithm: Any) -> str:
    """Short hash of an algorithm's fields."""
    return _short_hash(_trained_by(algorithm))


def _trained_by(algorithm: Any) -> dict[str, Any]:
    """The fields, without those that were added later and have the value of runs before: their hash is the same."""
    return {k: v for k, v in dataclasses.asdict(algorithm).items() if v != algorithm.added.get(k)}


def _short_hash(data: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:12]


def check_same(saved: Settings, asked: Settings) -> None:
    """Raises ConfigError where a resumed run is given other values than it was started with."""
    for old, new in ((saved.run, asked.run), (saved.algorithm, asked.algorithm)):
        for field in dataclasses.fields(old):
            was, now = getattr(old, field.name), getattr(new, field.name)
            if field.name == "env_options":  # rules=smac may be written or not
                was, now = to_saved_options(old.env, was), to_saved_options(new.env, now)
            if field.name not in CHANGEABLE and was != now:
                option = "--" + field.name.replace("_", "-")
                raise ConfigError(f"{option} {now} does not match the checkpoint (made with {was}): start a new run")
