"""The battle's data: units, orders, and the rules nobody could measure without the game.

Arrays are structures of arrays `[N, E]`: units first (allies in SMAC's agent order, then enemies), the parallel
environments E on the minor axis, so that every operation is one long vector operation.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs.smax.units import UNITS, UnitType

NO_ORDER, STOP, MOVE, ATTACK = 0, 1, 2, 3
NOBODY = -1  # a target index that names no unit
RESTING = -1.0  # the wind-up of a unit that is not about to strike


class Battle(NamedTuple):
    """All units; each field [N, E]. A unit is alive where health > 0; the dead keep their place."""

    x: jax.Array  # f32 map cells
    y: jax.Array
    vx: jax.Array  # f32 cells a loop, of units with inertia (medivacs); 0 for the others
    vy: jax.Array
    health: jax.Array  # f32 points
    shield: jax.Array  # f32 points
    energy: jax.Array  # f32 points
    cooldown: jax.Array  # f32 loops until the weapon may strike again
    windup: jax.Array  # f32 loops until the strike that has begun; RESTING if none. A medivac's: 0 while it heals
    target: jax.Array  # int32 unit it attacks or heals, NOBODY if none
    shield_timer: jax.Array  # f32 loops since the last damage, at most SHIELD_DELAY
    pending_time: jax.Array  # f32 loops until the missile or second hit under way lands
    pending_target: jax.Array  # int32 whom it hits, NOBODY if none is under way

    @property
    def alive(self) -> jax.Array:
        """bool[N, E]"""
        return self.health > 0.0


class Orders(NamedTuple):
    """What each ally is told for one step of eight loops; each field [A, E]."""

    kind: jax.Array  # int32: NO_ORDER, STOP, MOVE, ATTACK (a medivac's ATTACK heals)
    goal_x: jax.Array  # f32 where MOVE leads
    goal_y: jax.Array
    target: jax.Array  # int32 unit 0..N-1 to attack or heal


class Numbers(NamedTuple):
    """Numbers of units other than those of `UNITS`; each f32[T, E], T the distinct types by name (`Team.kinds`).

    Life, ranges and the interface's constants are not among them: those no simulator disagrees about.
    """

    speed: jax.Array  # cells a loop
    period: jax.Array  # loops from attack to attack
    damage_point: jax.Array  # loops of wind-up
    jitter: jax.Array  # share of the random delay added to periods
    damage: jax.Array  # of one hit
    bonus: jax.Array  # added against armored units
    flight: jax.Array  # share of the delay of missiles and second hits; 0: they land in the next loop
    scan: jax.Array  # cells, edge to edge, in which enemies look for targets
    separation: jax.Array  # cells: radius that other units are pushed out of
    acceleration: jax.Array  # cells a loop^2, of units with inertia (medivacs)


class Rules(NamedTuple):
    """Rules that only the real game could settle, f32 scalars or [E]: a reset may draw them at random.

    The marks in the comments are the specification's: [I] inferred, [U] unknown, [W] read on a third-party page.
    """

    scan_margin: jax.Array  # [U] cells added to the range in which enemies look for targets
    scan_edge: jax.Array  # [I] 1: that range is measured edge to edge, 0: centre to centre
    keep_slop: jax.Array  # [W] cells beyond weapon range at which an enemy still keeps its target
    chase: jax.Array  # [U] 1: an enemy keeps its target while within scan range, 0: the nearest each loop
    prefer_attackers: jax.Array  # [W] 1: enemies first acquire who is attacking them
    response: jax.Array  # [I] cells beyond scan range at which an enemy still acquires who is attacking it
    medivac_rank: jax.Array  # [I] cells by which a medivac seems farther than it is; 0: an ordinary target.
    # Below 0, where `numbers` are given: enemies leave any target for a medivac in their scan range.
    enemy_medivac: jax.Array  # [U] 1: flies with its army, 0: stays where it was made
    restart_windup: jax.Array  # [U] 1: giving the same attack order again restarts the wind-up
    range_slop: jax.Array  # [I] cells a target may get out of range before the strike that has begun is dropped
    push_moving: jax.Array  # [U] share of an overlap that a moving unit gives way by, in one push-out round
    push_idle: jax.Array  # [U] same, a standing unit
    push_attacking: jax.Array  # [U] same, a unit that stands and attacks
    pre_advance: jax.Array  # [I] loops that enemies have at most walked before the first observation
    spawn_gap: jax.Array  # [U] cells between neighbours when a team is made
    spawn_noise: jax.Array  # [U] cells, half-width of the uniform noise on each place
    numbers: Numbers | None = None  # None: those of `UNITS`, as constants of the compiled program


def default_rules() -> Rules:
    """The reading of the specification that we hold the likeliest; f32 scalars."""
    values = {
        "scan_margin": 0.0, "scan_edge": 1.0, "keep_slop": 0.0, "chase": 0.0, "prefer_attackers": 1.0,
        "response": 4.0, "medivac_rank": 0.0, "enemy_medivac": 1.0, "restart_windup": 0.0, "range_slop": 1.0,
        "push_moving": 0.5, "push_idle": 0.5, "push_attacking": 0.15, "pre_advance": 2.0, "spawn_gap": 0.05,
        "spawn_noise": 0.1,
    }  # fmt: skip
    return Rules(**{name: np.float32(value) for name, value in values.items()})


@dataclass(frozen=True)
class Team:
    """Compile-time facts of a list of units."""

    names: tuple[str, ...]

    @property
    def units(self) -> tuple[UnitType, ...]:
        return tuple(UNITS[name] for name in self.names)

    def __len__(self) -> int:
        return len(self.names)

    def column(self, value, dtype=np.float32) -> np.ndarray:
        """[n, 1] of `value(unit)`."""
        return np.array([[value(unit)] for unit in self.units], dtype)

    def table(self, by: "Team", value, dtype=np.float32) -> np.ndarray:
        """[len(by), n, 1] of `value(unit, other)`, `other` from `by`."""
        return np.stack([self.column(lambda unit, other=other: value(unit, other), dtype) for other in by.units])

    def any(self, predicate) -> bool:
        return any(predicate(unit) for unit in self.units)

    def where(self, predicate) -> tuple[int, ...]:
        """Rows of the units of which `predicate` holds."""
        return tuple(row for row, unit in enumerate(self.units) if predicate(unit))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The distinct names, sorted."""
        return tuple(sorted(set(self.names)))

    @property
    def rows(self) -> np.ndarray:
        """int32[n, 1]: 0, 1, ..."""
        return np.arange(len(self), dtype=np.int32)[:, None]


@dataclass(frozen=True)
class Roster(Team):
    """All units of a battle, allies first."""

    num_allies: int
    numbers: Numbers | None = None  # of the rules, one row a unit: [N, E]

    def by(self, rules: Rules) -> "Roster":
        """This roster with the numbers of `rules`."""
        if rules.numbers is None:
            return self
        kind = [self.kinds.index(name) for name in self.names]
        numbers = jax.tree.map(lambda leaf: jnp.stack([leaf[k] for k in kind]), rules.numbers)
        return Roster(self.names, self.num_allies, numbers)

    def number(self, name: str) -> np.ndarray | jax.Array:
        """The number `name` of each unit: constants [N, 1], or [N, E] where the rules bring their own."""
        if self.numbers is None:
            return self.column(lambda unit: getattr(unit, name))
        return getattr(self.numbers, name)

    @property
    def allies(self) -> Team:
        return Team(self.names[: self.num_allies])

    @property
    def enemies(self) -> Team:
        return Team(self.names[self.num_allies :])

    @property
    def is_ally(self) -> np.ndarray:
        """bool[N, 1]"""
        return self.rows < self.num_allies

    @property
    def most_opponents(self) -> int:
        return max(self.num_allies, len(self) - self.num_allies)

    def against(self, value, dtype=np.float32) -> np.ndarray:
        """[K, N, 1] of `value(unit, opponent k)`, K the larger side; 0 where a side has no opponent k."""
        sides = self.enemies.units, self.allies.units
        out = np.zeros((self.most_opponents, len(self), 1), dtype)
        for n, unit in enumerate(self.units):
            for k, other in enumerate(sides[n >= self.num_allies]):
                out[k, n, 0] = value(unit, other)
        return out
