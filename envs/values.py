"""Checks option values against type annotations, and describes what was expected. No jax here."""

import collections.abc
import numbers
import reprlib
import types
import typing
import unicodedata
from typing import Any, Literal

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60
_NO_TEXT = ("Cc", "Cs")  # categories of Unicode: control characters, and halves of a character


def show(value: Any) -> str:
    """`value` for an error message: on one line, and shortened if it is long."""
    return ascii(value) if isinstance(value, str) and len(value) <= 60 else _SHORT.repr(value).replace("\n", " ")


def expected(value: Any, kind: Any) -> str:
    """Checks `value` against the annotation `kind`.

    An int is accepted as a float, a bool is not; text must not contain control characters. Annotations other than bool,
    int, float, str, None, Literal, lists, tuples and unions of these accept any value.

    Returns:
      "" if `value` fits, else what was expected, e.g. "a whole number".
    """
    origin = typing.get_origin(kind)
    if kind is Any:
        return ""
    if origin in (typing.Union, types.UnionType):
        wanted = [expected(value, each) for each in typing.get_args(kind)]
        return " or ".join(dict.fromkeys(wanted)) if all(wanted) else ""
    if origin is Literal:
        choices = typing.get_args(kind)
        fits = any(type(value) is type(choice) and value == choice for choice in choices)
        return "" if fits else f"one of {', '.join(map(str, choices))}"
    if origin in (tuple, list, collections.abc.Sequence):
        return _expected_sequence(value, typing.get_args(kind))
    return _expected_plain(value, kind)


def _expected_plain(value: Any, kind: Any) -> str:
    is_bool = isinstance(value, bool)
    if kind is bool:
        return "" if is_bool else "True or False"
    if kind is int:
        return "" if isinstance(value, numbers.Integral) and not is_bool else "a whole number"
    if kind is float:
        return "" if isinstance(value, numbers.Real) and not is_bool else "a number"
    if kind is str:
        return "" if is_text(value) else "text"
    if kind in (None, type(None)):
        return "" if value is None else "None"
    return ""


def _expected_sequence(value: Any, kinds: tuple[Any, ...]) -> str:
    if not isinstance(value, list | tuple):
        return "" if hasattr(value, "__array__") else "a list"
    inner = next((wanted for each in value if (wanted := expected(each, kinds[0]))), "") if kinds else ""
    return f"a list, each {inner}" if inner else ""


def is_text(value: Any) -> bool:
    """True if `value` is text that can be printed and used in a path."""
    return isinstance(value, str) and not any(unicodedata.category(letter) in _NO_TEXT for letter in value)
