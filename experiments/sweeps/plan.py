"""What a sweep trains: its configurations, and the programs that they are grouped into. No jax here.

A program holds the configurations that differ in float fields alone: with their seeds they are the trials of one
compiled program. Algorithms, environments and all other fields make programs of their own.
"""

import dataclasses
import difflib
import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from envs.errors import ConfigError
from experiments.config.command_line import parse_fields
from experiments.config.preset_io import default_settings
from experiments.config.schema import RunConfig, Settings
from experiments.config.validation import check_run
from experiments.sweeps.request import Request
from iacjax.algorithms.common.config import check_together
from iacjax.algorithms.registry import option_names
from iacjax.schema import check_values, option, read_text, types_of

MAX_CONFIGURATIONS = 100_000  # of a sweep: planning them takes seconds


class Range(NamedTuple):
    """An interval that values are drawn from."""

    low: Any  # float, or int for a field of whole numbers
    high: Any
    log: bool


class Configuration(NamedTuple):
    """One configuration, trained with every seed."""

    settings: Settings
    values: dict[str, Any]  # the fields that the sweep varies, by name

    @property
    def name(self) -> str:
        """Its directory's name, such as `lr=0.0005_entropy=0.01`."""
        words = [f"{name}={_text(value)}" for name, value in self.values.items()]
        return "_".join(words).replace("/", "-") or "default"


class Program(NamedTuple):
    """Configurations that differ in floats alone: their trials (one per configuration and seed) are compiled as one."""

    index: int
    configurations: tuple[Configuration, ...]

    @property
    def settings(self) -> Settings:
        return self.configurations[0].settings

    @property
    def title(self) -> str:
        floats = self.floats
        fixed = {name: value for name, value in self.configurations[0].values.items() if name not in floats}
        run = self.settings.run
        return " ".join((run.algo, "on", run.env, *(f"{name}={_text(value)}" for name, value in fixed.items())))

    @property
    def floats(self) -> tuple[str, ...]:
        """The float fields in which its configurations differ."""
        names = [name for name, value in self.configurations[0].values.items() if isinstance(value, float)]
        return tuple(name for name in names if len({each.values[name] for each in self.configurations}) > 1)


def queue_lines(programs: Sequence[Program]) -> list[str]:
    """The queue as text: what each program trains, and the total."""
    lines, total = [], 0
    for program in programs:
        run = program.settings.run
        trials = len(program.configurations) * run.seeds
        floats = f", vectorised over {', '.join(program.floats)}" if program.floats else ""
        steps = f"{trials * run.total_steps:,} env steps"
        count = f"{len(program.configurations)} configuration(s), {trials} trial(s)"
        lines.append(f"  {program.index:3}  {program.title}: {count}, {steps}{floats}")
        total += trials * run.total_steps
    return [*lines, f"{len(programs)} program(s), {total:,} env steps in all"]


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def make_programs(request: Request, run_dir: str) -> list[Program]:
    """The queue of a sweep, in the order of its algorithms and environments.

    Args:
      run_dir: where the configurations' directories will stand.

    Raises:
      ConfigError: an unknown algorithm, preset, field or value, a range without --random.
    """
    groups: dict[tuple, list[Configuration]] = {}
    for algo, env in itertools.product(request.algos, request.envs):
        base = default_settings(algo, request.preset, env)
        run = dataclasses.replace(base.run, **dict(request.run), run_dir=run_dir, stop_at=0.0)
        check_run(run)
        choices = read_choices(request.sets, Settings(run, base.algorithm), drawn=request.random > 0)
        _check_count(choices, request)
        if request.random and not choices:
            raise ConfigError(f"--random {request.random}: --set says what is drawn, e.g. --set lr=1e-4..1e-2")
        for values in _draw(choices, request) if request.random else _grid(choices):
            algorithm = dataclasses.replace(base.algorithm, **values)
            check_together(algorithm)  # each value by itself is checked where it is read
            fixed = tuple((k, v) for k, v in values.items() if not isinstance(v, float))
            groups.setdefault((algo, env, fixed), []).append(Configuration(Settings(run, algorithm), values))
    return [Program(index, tuple(configurations)) for index, configurations in enumerate(groups.values())]


def _check_count(choices: dict[str, Any], request: Request) -> None:
    """Raises ConfigError where there are too many configurations, before they are made."""
    count = request.random or math.prod(len(values) for values in choices.values())
    count *= len(request.algos) * len(request.envs)
    if count > MAX_CONFIGURATIONS:
        limit = f"{MAX_CONFIGURATIONS:,}"
        raise ConfigError(f"{count:,} configurations are more than {limit}: give fewer values, or --random N")


def read_choices(sets: Sequence[str], base: Settings, drawn: bool) -> dict[str, list[Any] | Range]:
    """The values of each field in `--set NAME=VALUE,...` and `--set NAME=[lin:]LOW..HIGH`, as the field's own type.

    Raises:
      ConfigError: not of that form, an unknown field, a value that the field cannot take, a range where `drawn` is not.
    """
    choices: dict[str, list[Any] | Range] = {}
    for word in sets:
        name, equals, text = word.partition("=")
        name = name.replace("-", "_")
        if not name or not equals or not all(part.strip() for part in text.split(",")):
            raise ConfigError(f"--set {word}: write NAME=VALUE,VALUE, e.g. lr=3e-4,1e-3")
        if name in choices:
            raise ConfigError(f"--set {word}: {name} is given twice")
        _check_field(name, base)
        if ".." in text:
            if not drawn:
                raise ConfigError(f"--set {word}: a range needs --random N; for a grid write values, as in {name}=1,2")
            choices[name] = _read_range(word, name, text, base)
        else:
            choices[name] = list(dict.fromkeys(_read(name, value, base) for value in text.split(",")))
    return choices


def _check_field(name: str, base: Settings) -> None:
    known = option_names(base.algorithm)
    if name in known:
        return
    if name in {field.name for field in dataclasses.fields(RunConfig)}:
        raise ConfigError(f"--set {name}: it is the same for the whole sweep: give --{name.replace('_', '-')}")
    if hasattr(base.algorithm, name):
        raise ConfigError(f"--set {name}: {base.run.algo} has no use for it: sweep it without {base.run.algo}")
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"see python -m experiments.run --algo {base.run.algo} --help"
    raise ConfigError(f"--set {name}: {base.run.algo} has no such field: {hint}")


def _read(name: str, text: str, base: Settings) -> Any:
    """One value of a field's own type; read as experiments.run would, but without its parser, which takes a third of
    a second a value."""
    kind = types_of(type(base.algorithm))[name]
    try:
        value = read_text(kind, text)
    except ValueError:
        if kind is bool:
            raise ConfigError(f"--set {name}={text}: write true or false") from None
        parse_fields([f"{option(name)}={text}"], base)  # which says what is wrong with it
        raise ConfigError(f"--set {name}={text}: the value cannot be read") from None
    check_values(type(base.algorithm), {name: value})
    return value


def _read_range(word: str, name: str, text: str, base: Settings) -> Range:
    linear, ends = text.startswith("lin:"), text.removeprefix("lin:").split("..")
    if len(ends) != 2 or not all(ends):
        raise ConfigError(f"--set {word}: write a range as {name}=LOW..HIGH, or {name}=lin:LOW..HIGH")
    low, high = (_read(name, end, base) for end in ends)
    if isinstance(low, bool) or not isinstance(low, int | float):
        raise ConfigError(f"--set {word}: only numbers have ranges")
    if not low < high:
        raise ConfigError(f"--set {word}: the lower end comes first")
    if low <= 0 and not linear:
        raise ConfigError(f"--set {word}: a range down to 0 is drawn evenly: write {name}=lin:{text}")
    return Range(low, high, not linear)


def _grid(choices: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]


def _draw(choices: dict[str, Any], request: Request) -> list[dict[str, Any]]:
    """`request.random` configurations, the same numbers for each algorithm and environment; duplicates are dropped."""
    draw = np.random.default_rng(request.draw_seed)
    drawn = [{name: _draw_one(choice, draw) for name, choice in choices.items()} for _ in range(request.random)]
    return [dict(items) for items in dict.fromkeys(tuple(values.items()) for values in drawn)]


def _draw_one(choice: list[Any] | Range, draw: np.random.Generator) -> Any:
    if not isinstance(choice, Range):
        return choice[draw.integers(len(choice))]
    share = draw.uniform()
    low, high = (math.log(choice.low), math.log(choice.high)) if choice.log else (choice.low, choice.high)
    value = low + share * (high - low)
    value = math.exp(value) if choice.log else value
    # Four digits, so that names can be read; never past the ends.
    value = min(max(float(f"{value:.4g}"), choice.low), choice.high)
    return round(value) if isinstance(choice.low, int) else value
