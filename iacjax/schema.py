"""The numbers of a configuration and their bounds, and the one check of its fields: type, choices, bounds.

A configuration is a dataclass whose numbers are declared by `number(default, bounds)`. Command lines, presets, saved
configurations and sweeps are all checked here. No jax here, so that wrong input is answered at once.
"""

import dataclasses
import functools
import math
import typing
from collections.abc import Mapping
from typing import Any, NamedTuple

from envs.errors import ConfigError
from envs.values import expected, show

MAX_STEPS = 2**31 - 1  # the clock is int32
MAX_FLOAT, MIN_FLOAT = 3.4e38, 1.2e-38  # the range of float32 apart from 0


class Bounds(NamedTuple):
    """The range of a number; its ends belong to it unless they are open."""

    low: float = 0.0
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def in_short(self, whole: bool) -> str:
        """For --help: `> 0`, `[0, 1)`; of whole numbers `>= 1`, `1..32`."""
        least = self.low + (whole and self.open_low)
        if self.high in (math.inf, MAX_STEPS):
            return f">= {least:g}" if whole or not self.open_low else f"> {self.low:g}"
        if whole:
            return f"{least:g}..{_plain(self.high)}"
        return f"{'(' if self.open_low else '['}{self.low:g}, {self.high:g}{')' if self.open_high else ']'}"

    def complaint(self, number: float) -> str:
        """What the number must be, in words; "" where it is within the bounds."""
        below = number <= self.low if self.open_low else number < self.low
        above = number >= self.high if self.open_high else number > self.high
        if (below or above) and (self.low, self.high) == (0, 1) and not self.open_low and not self.open_high:
            return "between 0 and 1"
        if below:
            return f"{'more than' if self.open_low else 'at least'} {self.low:g}"
        if above:
            clock = " (the clock has 32 bits)" if self.high == MAX_STEPS else ""
            return f"{'less than' if self.open_high else 'at most'} {_plain(self.high)}{clock}"
        return ""


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else f"{number:g}"


def up_to(most: int, least: int = 1) -> Bounds:
    """Whole numbers from 0 or 1 to `most`."""
    return Bounds(0, most, open_low=least > 0)


FRACTION = Bounds(0, 1)
BELOW_ONE = Bounds(0, 1, open_high=True)  # of decays and correlations: at 1 nothing new would ever enter
POSITIVE = Bounds(open_low=True)
NOT_NEGATIVE = Bounds()
COUNT = up_to(MAX_STEPS)
COUNT_OR_ZERO = up_to(MAX_STEPS, least=0)
UNITS = up_to(65_536)
LAYERS = up_to(32)  # deeper networks take minutes to compile, and learn nothing without residual connections
LAYERS_OR_NONE = up_to(32, least=0)
EPOCHS = up_to(10_000)
UPDATES = Bounds(0, 1000, open_low=True)


def number(default: float, bounds: Bounds) -> Any:
    """A field of a configuration that is a number, with its default and its bounds."""
    return dataclasses.field(default=default, metadata={"bounds": bounds})


def option(name: str) -> str:
    """The command line's name of a field."""
    return "--" + name.replace("_", "-")


@functools.cache
def types_of(kind: type) -> dict[str, Any]:
    """The annotations of a dataclass's fields."""
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


@functools.cache
def bounds_of(kind: type) -> dict[str, Bounds]:
    """The bounds of a dataclass's fields; those without, whatever their type, are missing."""
    return {field.name: field.metadata["bounds"] for field in dataclasses.fields(kind) if "bounds" in field.metadata}


@functools.cache
def _defaults(kind: type) -> dict[str, Any]:
    return {field.name: field.default for field in dataclasses.fields(kind)}


def read_text(kind: Any, text: str) -> Any:
    """The value of the annotation `kind` that `text`, from a command line, stands for.

    Raises:
      ValueError: it stands for none.
    """
    if kind is bool:
        return {"true": True, "false": False}[text.lower()] if text.lower() in ("true", "false") else _no(text)
    value = kind(text) if kind in (int, float) else text
    return _no(text) if expected(value, kind) else value


def _no(text: str) -> Any:
    raise ValueError(text)


def check_values(kind: type, values: Mapping[str, Any]) -> None:
    """Checks values of fields of the dataclass `kind`: types, choices, bounds, and that no text is empty.

    A number without bounds is at least 0. 0 passes where it is the field's own default: it has a meaning there.

    Raises:
      ConfigError: names the option, its value and the values that it may have.
    """
    hints, defaults, bounds = types_of(kind), _defaults(kind), bounds_of(kind)
    for name, value in values.items():
        wanted = expected(value, hints[name])
        if not wanted and value == "":
            wanted = "a word"
        if not wanted and isinstance(value, int | float) and not isinstance(value, bool):
            if not (value == 0 and defaults[name] == 0):
                wanted = _check_number(value, hints[name], bounds.get(name, NOT_NEGATIVE))
        if wanted:
            raise ConfigError(f"{option(name)} must be {wanted}, not {show(value)}")


def _check_number(value: float, kind: Any, bounds: Bounds) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "a finite number"
    complaint = bounds.complaint(value)
    if not complaint and kind is float and value and not MIN_FLOAT <= abs(value) <= MAX_FLOAT:
        return f"a number that 32 bits hold (0, or {MIN_FLOAT} to {MAX_FLOAT})"
    return complaint


def check_fields(config: Any) -> None:
    """Checks all fields of a configuration; see `check_values`."""
    check_values(type(config), vars(config))
