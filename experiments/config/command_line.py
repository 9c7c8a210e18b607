"""The command line of a run. No jax here: `--help` and wrong input are answered at once.

`--algo`, `--preset`, `--resume` and `--list` are read first, since they decide which fields there are and what their
defaults are; tyro then reads every field of the run and of the algorithm by its name.
"""

import contextlib
import dataclasses
import difflib
import io
import shlex
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from envs.errors import ConfigError
from envs.registry import check_name
from experiments.config.env_options import read_env_options
from experiments.config.preset_io import default_settings, is_file, read_algo
from experiments.config.schema import CHANGEABLE, RunConfig, Settings
from experiments.config.trust import check_trusted
from experiments.config.validation import check_settings
from iacjax.algorithms.registry import option_names
from iacjax.schema import bounds_of, types_of


class Command:
    """The options of a command line that decide which fields there are, read before the fields."""

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


def words_of(options: Mapping[str, Any]) -> list[str]:
    """Options by name as the words of a command line: seeds=2, pictures=False -> --seeds 2 --no-pictures.

    The items of a list are the option's values: env_options=["num_prey=2", "reward=flat"].
    """
    words: list[str] = []
    for name, value in options.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        else:
            words += [f"--{option}", *map(str, value if isinstance(value, list | tuple) else [value])]
    return words


def command_of(settings: Settings) -> str:
    """The command line that trains by these settings: what differs from their preset, without what only says where and
    on which devices. The preset of a file is written out, since others do not have the file.

    Raises:
      ConfigError: there is no such preset any more.
    """
    run, options = settings.run, {"algo": settings.run.algo}
    preset = RunConfig.preset if is_file(run.preset) else run.preset
    default = default_settings(run.algo, preset, run.env)
    if preset != RunConfig.preset:
        options["preset"] = preset
    options["env"] = run.env
    resolved = {"log_every", "seeds_per_batch"} | ({"eval_every"} if not run.stop_at else set())
    left_out = (set(CHANGEABLE) - {"total_steps", "stop_at"}) | resolved | {"algo", "env", "preset"}
    for part, usual in ((run, default.run), (settings.algorithm, default.algorithm)):
        for field in dataclasses.fields(part):
            value = getattr(part, field.name)
            if value != getattr(usual, field.name) and field.name not in left_out:
                options[field.name] = value
    options.setdefault("total_steps", run.total_steps)
    return shlex.join(["python", "-m", "experiments.run", *words_of(options)])


DESCRIPTION = """Trains an algorithm, evaluates it, and writes a run directory.

--list shows the algorithms, presets and environments. --resume DIR continues the run in DIR with
its saved configuration; only --total-steps and options that do not affect the training may be given with it. A custom
environment that a file names (a run's or a preset's) is run only with --trust, or with the same --env."""


def parse_fields(argv: Sequence[str], default: Settings) -> Settings:
    """Reads the fields given in `argv` over `default`; `--help` prints them and exits.

    Raises:
      ConfigError: an option that does not exist, a value that cannot be read, a number out of range.
    """
    import tyro

    parts = {
        "run": _offered(default.run, list(types_of(RunConfig))),
        "algorithm": _offered(default.algorithm, option_names(default.algorithm)),
    }
    fields = [(name, tyro.conf.OmitArgPrefixes[type(part)], part) for name, part in parts.items()]
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
    run = dataclasses.replace(default.run, **vars(options.run))
    settings = Settings(run, dataclasses.replace(default.algorithm, **vars(options.algorithm)))
    check_settings(settings)
    return settings


def _offered(config: Any, names: Sequence[str]) -> Any:
    """The config with the fields `names` alone; in --help their numbers show their bounds."""
    import tyro

    kind = type(config)
    types, bounds = types_of(kind), bounds_of(kind)
    hidden = {name: ClassVar[Any] for name in types if name not in names}
    shown = {}
    for name in bounds.keys() & set(names):
        metavar = f"{types[name].__name__.upper()} {bounds[name].in_short(types[name] is int)}"
        shown[name] = Annotated[types[name], tyro.conf.arg(metavar=metavar)]
    offered = type("Offered", (kind,), {"__annotations__": hidden | shown, "__doc__": kind.__doc__})
    return dataclasses.dataclass(frozen=True)(offered)(**{name: getattr(config, name) for name in names})


def _one_line(box: str, argv: Sequence[str], default: Settings) -> str:
    """One line of tyro's framed message, with the nearest option where one is unknown."""
    names = [*(field.name for field in dataclasses.fields(default.run)), *option_names(default.algorithm)]
    known = ["--" + name.replace("_", "-") for name in names]
    known += ["--no-" + name[2:] for name in known]
    for word in argv:
        name = word.partition("=")[0]
        if name.startswith("--") and name.replace("_", "-") not in known:
            if hasattr(default.algorithm, name.removeprefix("--").removeprefix("no-").replace("-", "_")):
                return f"unknown option {name}: {default.run.algo} does not use it, see --help"
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "see --help"
            return f"unknown option {name}: {hint}"
    lines = [line.strip("│ ") for line in box.splitlines()[1:]]
    lines = lines[1:] if lines and _is_rule(lines[0]) else lines  # a frame of dashes, where the terminal is ASCII
    end = next((i for i, line in enumerate(lines) if _is_rule(line)), len(lines))
    return " ".join(lines[:end]) or "the command line cannot be read: see --help"


def _is_rule(line: str) -> bool:
    return bool(line) and not line.strip("─-╰╯")


def new_settings(command: Command) -> Settings:
    """The settings that the command line of a new run asks for; environment and options are checked without jax.

    Raises:
      ConfigError: options that cannot be read, no such environment, or a preset's file that names an untrusted one.
    """
    settings = parse_fields(command.fields, default_settings(command.algo, command.preset, command.env))
    if is_file(command.preset):
        check_trusted(settings.run.env, command.preset, command.trust or command.env)
    else:
        check_name(settings.run.env)
    read_env_options(settings.run.env_options)
    return settings
