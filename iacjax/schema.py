"""One check of every field of a configuration: type, choices, bounds. Wherever it was read from, it is checked here.

No jax here: wrong input is answered at once.
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
MAX_FLOAT, MIN_FLOAT = 3.4e38, 1.2e-38  # what float32 can hold beside 0


class Bounds(NamedTuple):
    """What a number may be; the ends are allowed unless they are said to be open."""

    low: float = 0.0
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def complaint(self, number: float) -> str:
        """What the number must be, in words; "" where it lies within."""
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


FRACTION = Bounds(0, 1)
POSITIVE = Bounds(open_low=True)
NOT_NEGATIVE = Bounds()
COUNT = Bounds(0, MAX_STEPS, open_low=True)
COUNT_OR_ZERO = Bounds(0, MAX_STEPS)


def up_to(most: int, least: int = 1) -> Bounds:
    """Whole numbers from 0 or 1 to `most`."""
    return Bounds(0, most, open_low=least > 0)


def option(name: str) -> str:
    """A field as the command line names it."""
    return "--" + name.replace("_", "-")


@functools.cache
def types_of(kind: type) -> dict[str, Any]:
    """The annotations of a dataclass's fields."""
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


@functools.cache
def _defaults(kind: type) -> dict[str, Any]:
    return {field.name: field.default for field in dataclasses.fields(kind)}


def read_text(kind: Any, text: str) -> Any:
    """The value of the annotation `kind` that a word of a command line stands for.

    Raises:
      ValueError: it stands for none.
    """
    if kind is bool:
        return {"true": True, "false": False}[text.lower()] if text.lower() in ("true", "false") else _no(text)
    value = kind(text) if kind in (int, float) else text
    return _no(text) if expected(value, kind) else value


def _no(text: str) -> Any:
    raise ValueError(text)


def check_values(kind: type, values: Mapping[str, Any], bounds: Mapping[str, Bounds]) -> None:
    """Checks values of fields of the dataclass `kind`: types, choices, bounds, and that no text is empty.

    A number without bounds is at least 0. 0 passes where it is the field's own default: it has a meaning there.

    Raises:
      ConfigError: names the option, what it is and what it must be.
    """
    hints, defaults = types_of(kind), _defaults(kind)
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


def check_fields(config: Any, bounds: Mapping[str, Bounds]) -> None:
    """As `check_values`, of all fields of a config."""
    check_values(type(config), vars(config), bounds)
