"""A run's whole configuration and its command line. No jax here: `--help` and wrong input are answered at once.

`--algo`, `--preset`, `--resume` and `--list` are read first, since they decide which fields there are and what their
defaults are; tyro then reads every field of the run and of the algorithm by its bare name.
"""

import contextlib
import dataclasses
import difflib
import hashlib
import io
import json
import pathlib
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from envs.errors import ConfigError
from experiments.common.files import read_object
from experiments.config.validation import MAX_EPISODES, MAX_SEEDS, check_settings
from iacjax.algorithms.registry import config_of_saved, get_entry, option_names
from iacjax.schema import COUNT, COUNT_OR_ZERO, FRACTION, NOT_NEGATIVE, number, up_to

Precision = Literal["default", "float32", "tensorfloat32", "bfloat16"]


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """What is trained, on what, for how long, and what is written."""

    algo: str = "aiir_mix"
    """Algorithm; `--list` shows them."""
    env: str = "smax:2s3z"
    """Environment, as family:name; `--list` shows them. Yours is MODULE:NAME, a class in a module that Python finds."""
    env_options: tuple[str, ...] = ()
    """Its options, as KEY=VALUE ..., e.g. num_prey=2 reward=flat payoff=[[8,-12],[-12,0]]."""
    preset: str = "default"
    """Named set of defaults for all other fields, or a json file that experiments.sweep wrote."""
    seeds: int = number(1, up_to(MAX_SEEDS))
    """Seeds trained side by side in one program: `seed`, `seed` + 1, ..."""
    seed: int = number(0, COUNT_OR_ZERO)
    """The first seed."""
    total_steps: int = number(1_000_000, COUNT)
    """Environment steps per seed, those in which the agents act; the run ends when its slowest seed has made them."""
    seeds_per_batch: int = number(0, up_to(MAX_SEEDS, least=0))
    """Train at most so many seeds at a time, group after group; 0: as many as fit in memory."""
    devices: int = number(0, up_to(MAX_SEEDS, least=0))
    """Devices that the seeds are spread over, each its share; 0: all that this machine has."""
    run_dir: str = "runs"
    """Parent of the run's own directory, <run_dir>/<env>/<algo>/<time>-<hash>."""

    eval_every: int = number(0, COUNT_OR_ZERO)
    """Environment steps between greedy evaluations; 0: 50 evaluations a run."""
    eval_episodes: int = number(32, up_to(MAX_EPISODES))
    """Episodes of one evaluation, per seed."""
    stop_at: float = number(0.0, FRACTION)
    """Stop once two evaluations in a row reach this win rate (mean over the seeds); 0: never."""
    log_every: int = number(0, COUNT_OR_ZERO)
    """Iterations that one row of metrics.csv averages over; 0: about 500 rows per seed."""
    checkpoint_every: float = number(120.0, NOT_NEGATIVE)
    """Seconds between checkpoints, stretched where saving would cost over 5 % of the time; 0: after each chunk."""
    keep_checkpoints: int = number(2, COUNT)
    """Newest checkpoints kept."""
    chunk_iterations: int = number(0, COUNT_OR_ZERO)
    """Iterations that run on the device without a word; 0: about five seconds' worth."""

    compile_cache: bool = True
    """Keep compiled programs in the user's cache directory, so that the next start is quick."""
    deterministic: bool = False
    """Ask XLA for deterministic GPU kernels: slower, and bitwise repeatable there too (the CPU always is)."""
    matmul_precision: Precision = "default"
    """Of the networks' matrix products on a GPU, where the default is TF32; sums and all else stay float32."""
    pictures: bool = True
    """Draw curves.png and record the best seed at the end."""
    tensorboard: bool = False
    """Also write TensorBoard events (pip install "iacjax[tensorboard]")."""
    wandb: bool = False
    """Also log to Weights & Biases (pip install "iacjax[wandb]")."""
    wandb_project: str = "iacjax"
    """Project there."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """A run's fields and its algorithm's fields."""

    run: RunConfig
    algorithm: Any


# Fields that a resumed run may change: what has been trained so far does not depend on them.
FREE = ("total_steps", "run_dir", "stop_at", "checkpoint_every", "keep_checkpoints", "chunk_iterations")
FREE += ("compile_cache", "devices", "pictures", "tensorboard", "wandb", "wandb_project")

YOUNG = ("env_options", "matmul_precision")  # fields that some checkpoints are older than


def default_settings(algo: str, preset: str, env: str | None = None) -> Settings:
    """The configuration before the command line's own fields.

    Raises:
      ConfigError: unknown algorithm or preset.
    """
    from experiments.config.presets import get_preset

    entry = get_entry(algo)
    chosen = get_preset(algo, preset, env)
    run = RunConfig(algo=algo, preset=preset, **chosen.run)
    return Settings(run, entry.config(**chosen.algorithm))


class Command:
    """What the command line asks for, read before its fields."""

    def __init__(self, argv: Sequence[str]):
        self.list = "--list" in argv
        self.help = "--help" in argv or "-h" in argv
        self.resume = _option(argv, "--resume")
        preset, algo = _option(argv, "--preset"), _option(argv, "--algo")
        self.preset = RunConfig.preset if preset is None else preset
        self.algo = _algo_of(self.preset) if algo is None else algo
        self.env = _option(argv, "--env")
        self.trust = "--trust" in argv
        self.fields = [word for word in _without(argv, "--resume") if word != "--trust"]


def _algo_of(preset: str) -> str:
    """The default algorithm, or the one that a preset's file is of."""
    from experiments.config.preset_io import is_file, read_algo

    return read_algo(preset) if is_file(preset) else RunConfig.algo


def _option(argv: Sequence[str], name: str) -> str | None:
    value = None
    for i, word in enumerate(argv):
        if word.startswith(name + "="):
            value = word.partition("=")[2]
        elif word == name:
            if i + 1 == len(argv) or argv[i + 1].startswith("--"):
                raise ConfigError(f"{name} needs a value")
            value = argv[i + 1]
    if value == "":
        raise ConfigError(f"{name} needs a value")
    return value


def _without(argv: Sequence[str], name: str) -> list[str]:
    words, skip = [], False
    for word in argv:
        if not skip and word != name and not word.startswith(name + "="):
            words.append(word)
        skip = word == name
    return words


DESCRIPTION = """Trains an algorithm, evaluates it, and writes a run directory.

--list shows the algorithms, presets and environments. --resume DIR continues the run in DIR, which knows its own
configuration; beside it, only --total-steps and what does not touch the training may be given. An environment of your
own that a file names (of --resume, or a preset's) is run only with --trust, or with the same --env beside it."""


def parse_fields(argv: Sequence[str], default: Settings) -> Settings:
    """Reads the fields given in `argv` over `default`; `--help` prints them and exits.

    Raises:
      ConfigError: an option that does not exist, a value that cannot be read, a number out of range.
    """
    import tyro

    offered = _offered(default.algorithm)
    fields = [
        ("run", tyro.conf.OmitArgPrefixes[type(default.run)], default.run),
        ("algorithm", tyro.conf.OmitArgPrefixes[type(offered)], offered),
    ]
    flat = dataclasses.make_dataclass(
        "Options", [(name, kind, dataclasses.field(default=value)) for name, kind, value in fields], frozen=True
    )
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            options = tyro.cli(flat, prog="python -m experiments.run", description=DESCRIPTION, args=list(argv))
    except SystemExit as stop:
        if not stop.code:
            raise
        raise ConfigError(_one_line(complaint.getvalue(), argv, default)) from None
    algorithm = dataclasses.replace(default.algorithm, **dataclasses.asdict(options.algorithm))
    settings = Settings(options.run, algorithm)
    check_settings(settings)
    return settings


def _offered(config: Any) -> Any:
    """The config without the fields that are no options of its algorithm."""
    names = option_names(config)
    hidden = {field.name: ClassVar[Any] for field in dataclasses.fields(config) if field.name not in names}
    kind = dataclasses.dataclass(frozen=True)(type("Offered", (type(config),), {"__annotations__": hidden}))
    return kind(**{name: getattr(config, name) for name in names})


def _one_line(box: str, argv: Sequence[str], default: Settings) -> str:
    """One line of tyro's framed message, with the nearest option where one is unknown."""
    names = [*(field.name for field in dataclasses.fields(default.run)), *option_names(default.algorithm)]
    known = ["--" + name.replace("_", "-") for name in names]
    known += ["--no-" + name[2:] for name in known]
    for word in argv:
        name = word.partition("=")[0]
        if name.startswith("--") and name.replace("_", "-") not in known:
            if hasattr(default.algorithm, name.removeprefix("--").removeprefix("no-").replace("-", "_")):
                return f"unknown option {name}: {default.run.algo} has no use for it, see --help"
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "see --help"
            return f"unknown option {name}: {hint}"
    lines = [line.strip("│ ") for line in box.splitlines()[1:]]
    lines = lines[1:] if lines and _is_rule(lines[0]) else lines  # a frame of dashes, where the terminal is ASCII
    end = next((i for i, line in enumerate(lines) if _is_rule(line)), len(lines))
    return " ".join(lines[:end]) or "the command line cannot be read: see --help"


def _is_rule(line: str) -> bool:
    return bool(line) and not line.strip("─-╰╯")


def to_dict(settings: Settings) -> dict[str, Any]:
    """What config.json holds: the run's fields, and the algorithm's under `algorithm`."""
    return {**dataclasses.asdict(settings.run), "algorithm": dataclasses.asdict(settings.algorithm)}


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
    return settings


def _tuple(value: Any) -> Any:
    """JSON knows no tuples."""
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
    """Short hash of all fields that the training depends on; every checkpoint carries it."""
    data = {name: value for name, value in to_dict(settings).items() if name not in FREE}
    for name in YOUNG:
        if data[name] == getattr(RunConfig(), name):
            del data[name]
    return _short_hash({**data, "algorithm": _trained_by(settings.algorithm)})


def algorithm_fingerprint(algorithm: Any) -> str:
    """Short hash of an algorithm's fields."""
    return _short_hash(_trained_by(algorithm))


def _trained_by(algorithm: Any) -> dict[str, Any]:
    """The fields, without those at the value that runs older than the field have: these have the same hash."""
    return {k: v for k, v in dataclasses.asdict(algorithm).items() if v != algorithm.added.get(k)}


def _short_hash(data: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:12]


def check_same(saved: Settings, asked: Settings) -> None:
    """Raises ConfigError where a resumed run is asked to be another one than it was."""
    for old, new in ((saved.run, asked.run), (saved.algorithm, asked.algorithm)):
        for field in dataclasses.fields(old):
            was, now = getattr(old, field.name), getattr(new, field.name)
            if field.name not in FREE and was != now:
                option = "--" + field.name.replace("_", "-")
                raise ConfigError(f"{option} {now} does not match the checkpoint (made with {was}): start a new run")
