"""What a game returns after `reset` or `step`, converted to arrays and checked: no NaN, a legal action for every agent.

No jax here, because the games' processes do not need it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class Lost(Exception):
    """The running episode must be discarded: the game lost its connection, crashed, did not answer, or returned
    invalid values. The message says which."""


class Moment(NamedTuple):
    """What a game returns after `reset` or `step`."""

    obs: np.ndarray  # f32[A, O]
    state: np.ndarray  # f32[X]
    avail: np.ndarray  # bool[A, U]
    alive: np.ndarray  # bool[A]
    reward: float = 0.0
    terminated: bool = False
    won: bool = False
    dead_enemies: int | None = None  # None: the game does not report it

    @property
    def dead_allies(self) -> int:
        return int((~self.alive).sum())


def read_moment(
    obs: Any, state: Any, avail: Any, alive: Any, reward: Any = 0.0, terminated: Any = False, info: Any = None
) -> Moment:
    """Converts a game's values to a `Moment`. Shapes are checked by `checks.check_shapes`, which knows the map.

    Raises:
      Lost: a value is not finite, a flag is neither 0 nor 1, or an agent has no legal action.
    """
    info = info or {}
    dead_enemies = info.get("dead_enemies")
    moment = Moment(
        _numbers("observation", obs),
        _numbers("state", state),
        _truths("action mask", avail),
        _truths("list of living agents", alive),
        _numbers("reward", reward).item(),  # item: ValueError unless there is exactly one
        _truths("end of the episode", terminated).item(),
        _truths("battle_won", info.get("battle_won", False)).item(),
        None if dead_enemies is None else int(_numbers("dead_enemies", dead_enemies).item()),
    )
    stuck = np.flatnonzero(~moment.avail.any(-1)) if moment.avail.ndim == 2 else ()
    if len(stuck):
        raise Lost(f"the game's action mask leaves agent {stuck[0]} no legal action")
    return moment


def _numbers(what: str, value: Any) -> np.ndarray:
    """f32[...]. Raises Lost if a number is not finite in single precision."""
    with np.errstate(all="ignore"):
        array = np.asarray(value, np.float32)
    if not np.isfinite(array).all():
        raise Lost(f"the game's {what} is {_first(array, ~np.isfinite(array))}")
    return array


def _truths(what: str, value: Any) -> np.ndarray:
    """bool[...]. Raises Lost if a value is neither 0 nor 1; without the check NaN would be True."""
    with np.errstate(all="ignore"):
        array = np.asarray(value, np.float32)
    wrong = (array != 0) & (array != 1)
    if wrong.any():
        raise Lost(f"the game's {what} is {_first(array, wrong)}, neither 0 nor 1")
    return array.astype(bool)


def _first(array: np.ndarray, wrong: np.ndarray) -> str:
    """The first wrong value, and where it is."""
    place: Sequence[int] = [int(index) for index in np.argwhere(wrong)[0]]
    at = f" at {place[0] if len(place) == 1 else tuple(place)}" if place else ""
    return f"{array[tuple(place)]:g}{at}"
