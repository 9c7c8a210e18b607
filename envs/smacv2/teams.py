"""The draws of an episode: who fights, and where they start. Source: the SMACv2 specification, section 2.

Drawn inside compiled programs, without loops that depend on the data, from one block of uniform numbers: each call of a
random generator costs compile time. Types are indices into `Race.types`.
"""

import jax
import jax.numpy as jnp
import numpy as np

from envs.smacv2.scenarios import DrawnScenario, Race
from envs.smax.units import MAP_SIZE

SURROUNDED = 0.5  # probability that the enemies surround the agents; else both teams are reflections
MIDDLE = MAP_SIZE / 2
# The four diagonals: the end near the agents and the corner of the map.
INNER = np.array([(14.0, 14.0), (14.0, 18.0), (18.0, 18.0), (18.0, 14.0)], np.float32)
CORNER = np.array([(0.0, 0.0), (0.0, 32.0), (32.0, 32.0), (32.0, 0.0)], np.float32)
GROUPS = len(INNER)
REFLECT_EDGE = 15.0  # agents start at x below it, enemies at 32 - x
SURPLUS_EDGE = 16.0  # enemies without a partner start at x above it


class Draws:
    """A block f32[rows, E] of uniform numbers in [0, 1), handed out row by row."""

    def __init__(self, block: jax.Array):
        self.block = block
        self.used = 0

    def take(self, *shape: int) -> jax.Array:
        """f32[*shape, E] that nobody else gets."""
        count = int(np.prod(shape, dtype=int))
        part = self.block[self.used : self.used + count]
        assert len(part) == count, f"{self.used + count} rows are needed"
        self.used += count
        return part.reshape(*shape, -1)


def _pick(uniform: jax.Array, chances: np.ndarray) -> jax.Array:
    """int32, in the shape of `uniform`: an index drawn with the probabilities `chances` (which may not sum to 1)."""
    edges = np.cumsum(chances)[:-1] / np.sum(chances)
    return sum((uniform >= np.float32(edge)).astype(jnp.int32) for edge in edges)


def team_rows(count: int) -> int:
    """Rows of uniform numbers that `draw_team` takes."""
    return count + 2


def draw_team(race: Race, draws: Draws, count: int) -> jax.Array:
    """int32[count, E]: independent types, given that not all of them are the race's exception.

    SMACv2 draws teams until one of them is no exception. The same distribution in one draw: the members before the
    first one of another type are exceptions, and their number has a truncated geometric distribution; that member is
    of another type; the members after it are independent.
    """
    shares = np.asarray(race.shares)
    free = _pick(draws.take(count), shares)
    first, which = draws.take(1), draws.take(1)
    if race.exception is None:
        return free
    exception = race.types.index(race.exception)
    place = _pick(first, shares[exception] ** np.arange(count)) if count > 1 else 0
    other = _pick(which, np.where(np.arange(len(shares)) == exception, 0.0, shares))
    row = np.arange(count)[:, None]
    return jnp.where(row < place, exception, jnp.where(row == place, other, free))


def draw_teams(scenario: DrawnScenario, draws: Draws) -> tuple[jax.Array, jax.Array]:
    """Types of both teams, int32[A, E] and int32[M, E], in creation order.

    The enemies are a copy of the agents' team. Further enemies are drawn as a team of their own.
    """
    agents, enemies = scenario.num_allies, scenario.num_enemies
    team = draw_team(scenario.race, draws, agents)
    if enemies <= agents:
        return team, team[:enemies]
    return team, jnp.concatenate([team, draw_team(scenario.race, draws, enemies - agents)])


def draw_reflected(scenario: DrawnScenario, draws: Draws) -> tuple[jax.Array, jax.Array]:
    """Start points f32[A, 2, E] and f32[M, 2, E] (x, y): agents in the west, enemies at their reflections."""
    agents, enemies = scenario.num_allies, scenario.num_enemies
    x, y = draws.take(2, max(agents, enemies))
    ours = jnp.stack([REFLECT_EDGE * x[:agents], MAP_SIZE * y[:agents]], axis=1)
    mirrored = jnp.stack([MAP_SIZE - ours[:enemies, 0], ours[:enemies, 1]], axis=1)
    rest = jnp.stack([SURPLUS_EDGE + (MAP_SIZE - SURPLUS_EDGE) * x[agents:], MAP_SIZE * y[agents:]], axis=1)
    return ours, jnp.concatenate([mirrored, rest])


def draw_surrounded(scenario: DrawnScenario, draws: Draws) -> tuple[jax.Array, jax.Array]:
    """Start points f32[A, 2, E] and f32[M, 2, E]: agents in the middle, enemies in 1 to 4 groups on diagonals.

    The sizes of the groups are multinomial; enemies fill them in index order, so empty groups are possible.
    """
    enemies = scenario.num_enemies
    groups = 1.0 + jnp.floor(GROUPS * draws.take(1))
    picks = jnp.floor(draws.take(enemies) * groups)
    # The group of enemy i is the i-th smallest pick.
    upto = jnp.stack([(picks <= group).sum(axis=0) for group in range(GROUPS - 1)])  # [G - 1, E]
    group = (np.arange(enemies)[:, None, None] >= upto[None]).sum(axis=1)  # [M, E]
    far, turn = draws.take(GROUPS), draws.take(GROUPS)
    rank = (turn[None] < turn[:, None]).sum(axis=1)  # [G, E] the diagonal of each group: a random permutation
    on = rank[:, None] == np.arange(GROUPS)[None, :, None]  # [G, diagonal, E]
    inner, corner = ((on[:, :, None] * points[None, :, :, None]).sum(axis=1) for points in (INNER, CORNER))
    points = far[:, None] * inner + (1.0 - far[:, None]) * corner  # [G, 2, E]
    theirs = sum(jnp.where((group == g)[:, None], points[g], 0.0) for g in range(GROUPS))
    return jnp.full((scenario.num_allies, 2, theirs.shape[-1]), MIDDLE, jnp.float32), theirs


def draw_starts(scenario: DrawnScenario, draws: Draws) -> tuple[jax.Array, jax.Array]:
    """Start points f32[A, 2, E] and f32[M, 2, E] of one of the two kinds."""
    around = draws.take(1) < SURROUNDED
    both = draw_surrounded(scenario, draws), draw_reflected(scenario, draws)
    ours, theirs = (jnp.where(around, a, b) for a, b in zip(*both, strict=True))
    return ours, theirs


def draw_rows(scenario: DrawnScenario) -> int:
    """Rows of uniform numbers that `draw_teams` and `draw_starts` take together."""
    agents, enemies = scenario.num_allies, scenario.num_enemies
    rest = team_rows(enemies - agents) if enemies > agents else 0
    return team_rows(agents) + rest + 2 + enemies + 2 * GROUPS + 2 * max(agents, enemies)
