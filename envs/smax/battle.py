"""The data of a battle: units, orders, and the rules that can only be measured on the real game.

Structures of arrays `[N, E]`: units first (allies in SMAC's agent order, then enemies), the parallel environments E on
the minor axis, so that every operation is one long vector operation.
"""

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs.smax.terrain import STRIP, Ground
from envs.smax.units import UNITS, UnitType

NO_ORDER, STOP, MOVE, ATTACK = 0, 1, 2, 3
NOBODY = -1  # the target index of a unit without a target
RESTING = -1.0  # the wind-up of a unit that has not begun a strike


class Battle(NamedTuple):
    """All units; each field but `goal` [N, E]. A unit is alive where health > 0; dead units keep their position."""

    x: jax.Array  # f32 map cells
    y: jax.Array
    vx: jax.Array  # f32 cells per loop, of units with inertia (medivacs); 0 for the others
    vy: jax.Array
    health: jax.Array  # f32 points
    shield: jax.Array  # f32 points
    energy: jax.Array  # f32 points
    cooldown: jax.Array  # f32 loops until the weapon may strike again
    windup: jax.Array  # f32 loops until the strike that has begun; RESTING if none. 0 for a medivac that heals
    target: jax.Array  # int32 unit it attacks or heals, NOBODY if none
    shield_timer: jax.Array  # f32 loops since the last damage, at most SHIELD_DELAY
    pending_time: jax.Array  # f32 loops until the pending missile or second hit lands
    pending_target: jax.Array  # int32 the unit it hits, NOBODY if none is pending; itself: a baneling yet to burst
    goal: jax.Array | None = None  # f32[2, E] the drawn point that enemies attack-move to; None: it is the map's

    @property
    def alive(self) -> jax.Array:
        """bool[N, E]"""
        return self.health > 0.0


class Orders(NamedTuple):
    """The orders of each ally for one step of eight loops; each field [A, E]."""

    kind: jax.Array  # int32: NO_ORDER, STOP, MOVE, ATTACK (a medivac's ATTACK heals)
    goal_x: jax.Array  # f32 the destination of MOVE
    goal_y: jax.Array
    target: jax.Array  # int32 unit 0..N-1 to attack or heal


class Numbers(NamedTuple):
    """Unit numbers that replace those of `UNITS`; each f32[T, E], T the distinct types by name (`Team.kinds`).

    Life, ranges and the interface's constants are not among them, because all simulators agree about those.
    """

    speed: jax.Array  # cells per loop
    period: jax.Array  # loops from attack to attack
    damage_point: jax.Array  # loops of wind-up
    jitter: jax.Array  # share of the random delay added to periods
    damage: jax.Array  # of one hit
    bonus: jax.Array  # added against armored units (a baneling's: against light ones)
    flight: jax.Array  # share of the delay of missiles and second hits; 0: they land in the next loop
    scan: jax.Array  # cells, edge to edge, in which enemies look for targets
    separation: jax.Array  # cells: the radius from which other units are pushed away
    acceleration: jax.Array  # cells per loop^2, of units with inertia (medivacs)


class Rules(NamedTuple):
    """Rules that only the real game could settle, f32 scalars or [E]. A reset may draw them at random.

    The marks in the comments are those of the specification: [I] inferred, [U] unknown, [W] from a third-party page.
    """

    scan_margin: jax.Array  # [U] cells added to the range in which enemies look for targets
    scan_edge: jax.Array  # [I] 1: this range is measured edge to edge, 0: centre to centre, 0.5: halfway
    weapon_scan: jax.Array  # [I] 1: enemies notice whom their weapon reaches, also beyond their scan range
    keep_slop: jax.Array  # [W] cells beyond weapon range at which an enemy still keeps its target
    chase: jax.Array  # [W] 1: an enemy keeps its target within scan range, edge to edge; 0: within weapon range alone
    switch: jax.Array  # [U] 1: an enemy that walks to its target attacks another one that comes into its reach
    prefer_attackers: jax.Array  # [W] 1: enemies prefer targets that are attacking them
    response: jax.Array  # [I] cells beyond scan range at which an enemy still acquires a unit that attacks it
    medivac_rank: jax.Array  # [I] cells added to the distance of a medivac; 0: an ordinary target.
    # Below 0, where `numbers` are given: enemies leave any target for a medivac in their scan range.
    enemy_medivac: jax.Array  # [U] 1: flies with its army, 0: stays where it was created
    beam_radius: jax.Array  # [U] share of a unit's radius by which a colossus' beam reaches it
    restart_windup: jax.Array  # [U] 1: repeating the same attack order restarts the wind-up
    range_slop: jax.Array  # [I] times the unit's range slop: cells by which a target may leave the range before a begun
    # strike is cancelled
    push_moving: jax.Array  # [U] share of an overlap by which a moving unit yields, in one push-out round
    push_idle: jax.Array  # [U] same, a standing unit
    push_attacking: jax.Array  # [U] same, a unit that stands and attacks
    slide: jax.Array  # [U] share of its way by which a unit goes sideways that others keep from going ahead
    pre_advance: jax.Array  # [I] the most loops that enemies have walked before the first observation
    spawn_gap: jax.Array  # [U] cells between neighbours when a team is created
    spawn_noise: jax.Array  # [U] cells, half-width of the uniform noise on each position
    numbers: Numbers | None = None  # None: those of `UNITS`, compiled as constants


def default_rules() -> Rules:
    """The most likely reading of the specification; f32 scalars.

    `chase`, `switch`, `scan_edge`, `push_attacking`, `slide` and `beam_radius` are those under which SMAC's own
    heuristic wins nearly as often as on the real game (`benchmarks.calibration`, docs/starcraft.md).
    """
    values = {
        "scan_margin": 0.0, "scan_edge": 0.5, "weapon_scan": 1.0, "keep_slop": 0.0, "chase": 1.0, "switch": 1.0,
        "prefer_attackers": 1.0, "response": 4.0, "medivac_rank": 0.0, "enemy_medivac": 1.0, "beam_radius": 0.5,
        "restart_windup": 0.0, "range_slop": 1.0, "push_moving": 0.5, "push_idle": 0.5, "push_attacking": 0.4,
        "slide": 0.9, "pre_advance": 2.0, "spawn_gap": 0.05, "spawn_noise": 0.1,
    }  # fmt: skip
    return Rules(**{name: np.float32(value) for name, value in values.items()})


@dataclass(frozen=True)
class Team:
    """Compile-time facts of a list of units."""

    names: tuple[str, ...]
    drawn = False  # True where the types are drawn per episode (`envs.smax.drawn`): tables then have the axis E

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
        """Rows of the units for which `predicate` is true."""
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
    """All units of a battle, allies first, and where it takes place."""

    num_allies: int
    ground: Ground = STRIP
    numbers: Numbers | None = None  # from the rules, one row per unit: [N, E]

    def by(self, rules: Rules) -> "Roster":
        """This roster with the numbers of `rules`."""
        if rules.numbers is None:
            return self
        kind = [self.kinds.index(name) for name in self.names]
        numbers = jax.tree.map(lambda leaf: jnp.stack([leaf[k] for k in kind]), rules.numbers)
        return dataclasses.replace(self, numbers=numbers)

    def range_slop(self, rules: Rules) -> jax.Array:
        """[N, 1] or [N, E] cells by which a target may leave a unit's range before a begun strike is cancelled."""
        return rules.range_slop * self.column(lambda unit: unit.range_slop)

    def number(self, name: str) -> np.ndarray | jax.Array:
        """The number `name` of each unit: constants [N, 1], or [N, E] if the rules have numbers."""
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
