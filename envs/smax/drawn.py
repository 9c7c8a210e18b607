"""Rosters whose unit types are drawn per episode: SMACv2's teams.

On SMAC's maps the types are compile-time constants, and tables of their numbers have the shape [n, 1]. Here the type of
each unit is an array int32[n, E], an index into the few types of its race, and tables have the shape [n, E]. The engine
uses both through the same methods. Questions about all units (`any`, `units`) are about the types that may occur.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from envs.smax.battle import Roster, Rules, Team


def lookup(kind: jax.Array, values: list, dtype) -> jax.Array | np.ndarray:
    """`values[kind]` in the shape of `kind`; a constant [1, 1] if all values are equal. `values` may be arrays."""
    constant = all(np.ndim(value) == 0 for value in values)
    if constant and len({dtype(value) for value in values}) == 1:
        return np.full((1,) * kind.ndim, values[0], dtype)
    out = values[-1] if not constant else dtype(values[-1])
    for index in reversed(range(len(values) - 1)):
        out = jnp.where(kind == index, dtype(values[index]) if constant else values[index], out)
    return out


@dataclass(frozen=True)
class Pairs:
    """A table over pairs of units: `pairs[k]` is [n, E] (or a constant), the value of each unit with partner k."""

    row: Callable

    def __getitem__(self, k):
        return self.row(k)


class _Drawn:
    """What `DrawnTeam` and `DrawnRoster` share; `names` are the race's types, sorted, `kind` int32[n, E]."""

    drawn = True
    names: tuple[str, ...]
    kind: jax.Array

    def __len__(self) -> int:
        return self.kind.shape[0]

    def column(self, value, dtype=np.float32):
        """[n, E], or [n, 1] if it is the same for all types: `value(unit)`."""
        found = lookup(self.kind, [value(unit) for unit in self.units], dtype)
        return np.broadcast_to(found, (len(self), 1)) if isinstance(found, np.ndarray) else found

    def table(self, by, value, dtype=np.float32) -> Pairs:
        """Rows [n, E] of `value(unit, other)`, `other` from `by`."""
        return Pairs(lambda k: self._with(by.kind[k], value, dtype))

    def _with(self, other: jax.Array, value, dtype):
        """`value(unit, other)`; `other` is the type of the partner, [E] or [n, E]."""
        columns = [self.column(lambda unit, by=by: value(unit, by), dtype) for by in self.units]
        if all(isinstance(column, np.ndarray) and (column == columns[0]).all() for column in columns):
            return columns[0]
        return lookup(other, columns, dtype)

    @property
    def rows(self) -> np.ndarray:
        return np.arange(len(self), dtype=np.int32)[:, None]


@dataclass(frozen=True, eq=False)
class DrawnTeam(_Drawn, Team):
    """A team of drawn types."""

    kind: jax.Array

    @property
    def kinds(self) -> tuple[str, ...]:
        return self.names


@dataclass(frozen=True, eq=False)
class DrawnRoster(_Drawn, Roster):
    """All units of a battle, allies first."""

    kind: jax.Array = None

    @property
    def kinds(self) -> tuple[str, ...]:
        return self.names

    def by(self, rules: Rules) -> "DrawnRoster":
        """This roster with the numbers of `rules`."""
        if rules.numbers is None:
            return self
        pick = lambda leaf: lookup(self.kind, list(leaf), np.float32)  # noqa: E731
        return dataclasses.replace(self, numbers=jax.tree.map(pick, rules.numbers))

    @property
    def allies(self) -> DrawnTeam:
        return DrawnTeam(self.names, self.kind[: self.num_allies])

    @property
    def enemies(self) -> DrawnTeam:
        return DrawnTeam(self.names, self.kind[self.num_allies :])

    def against(self, value, dtype=np.float32) -> Pairs:
        """Rows [N, E] of `value(unit, opponent k)`; 0 where a side has no opponent k."""
        num_enemies = len(self) - self.num_allies

        def against_one(k):
            lower = min if isinstance(k, int) else jnp.minimum
            enemy = self.kind[self.num_allies + lower(k, num_enemies - 1)]
            other = jnp.where(self.is_ally, enemy, self.kind[lower(k, self.num_allies - 1)])
            exists = k < np.where(self.is_ally, num_enemies, self.num_allies)
            return jnp.where(exists, self._with(other, value, dtype), dtype(0))

        return Pairs(against_one)
