"""Ways round walls: the table of first bends, and armies that arrive."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.smax.battle import STOP, Orders, default_rules
from envs.smax.dynamics import advance, spawn
from envs.smax.paths import STRAIGHT, detours
from envs.smax.scenarios import get_scenario

WINDING = ("corridor", "so_many_baneling", "2c_vs_64zg")


def follow(terrain, start, end):
    """The cells of a way from `start` to `end`, bend by bend."""
    first, bends = detours(terrain)
    way = [start]
    while len(way) < 40:
        bend = first[1024 * (32 * way[-1][0] + way[-1][1]) + 32 * end[0] + end[1]]
        if bend == STRAIGHT:
            return [*way, end]
        way.append(tuple(int(value) for value in bends[bend]))
    raise AssertionError(f"no end: {way}")


@pytest.mark.parametrize(
    "name, start, end, bends",
    [
        ("corridor", (28, 20), (11, 3), [(14, 13), (13, 12), (12, 11)]),  # round the corners of the choke
        ("corridor", (28, 28), (5, 5), []),  # the diagonal goes through it
        ("so_many_baneling", (28, 22), (15, 8), [(20, 17), (16, 11)]),
        ("2c_vs_64zg", (16, 9), (16, 16), [(26, 11), (26, 13)]),  # past the end of the cliff, x 5..25 in row 12
        ("2c_vs_64zg", (14, 9), (14, 16), [(4, 11), (4, 13)]),
    ],
)
def test_ways_bend_at_corners(name, start, end, bends):
    assert follow(get_scenario(name).ground.terrain, start, end)[1:-1] == bends


@pytest.mark.parametrize("name", WINDING)
def test_every_way_ends_and_is_no_longer_than_one_from_cell_to_cell(name):
    """Breadth first over the eight neighbours gives a way that is at most 8 % longer than the straight pieces."""
    terrain = get_scenario(name).ground.terrain
    cells = np.argwhere(terrain.walkable)
    rng = np.random.default_rng(0)
    for _ in range(3):
        end = tuple(int(n) for n in cells[rng.integers(len(cells))])
        steps = flood(terrain.walkable, end)
        for start in cells[rng.integers(len(cells), size=40)]:
            way = np.array(follow(terrain, tuple(int(n) for n in start), end), float)
            length = np.linalg.norm(np.diff(way, axis=0), axis=1).sum()
            assert length <= steps[tuple(start)] * 1.03 + 0.6


def flood(walkable, end):
    """f64[32, 32]: lengths of ways over neighbouring cells to `end`, diagonals only where both sides are open."""
    length = np.full(walkable.shape, np.inf)
    length[end] = 0.0
    for _ in range(120):
        for dx, dy in np.argwhere(np.ones((3, 3))) - 1:
            moved = np.roll(length, (dx, dy), (0, 1))
            open_ = walkable & np.roll(walkable, (dx, 0), (0, 1)) & np.roll(walkable, (0, dy), (0, 1))
            length = np.where(open_, np.minimum(length, moved + np.hypot(dx, dy)), length)
    return length


def march(name, steps, places, **changes):
    """Steps in which agents stand, from random `places` of enemies: (scenario, places [steps, 2, N, E], battle).

    `changes`: of fields of the agents.
    """
    scenario = get_scenario(name)
    agents, num_envs = scenario.num_allies, 4
    battle = spawn(scenario.units, agents, default_rules(), jax.random.key(0), num_envs, ground=scenario.ground)
    rng = np.random.default_rng(0)
    chosen = places[rng.integers(len(places), size=(scenario.num_enemies, num_envs))] + 0.5
    battle = battle._replace(x=battle.x.at[agents:].set(chosen[..., 0]), y=battle.y.at[agents:].set(chosen[..., 1]))
    for field, value in changes.items():
        battle = battle._replace(**{field: getattr(battle, field).at[:agents].set(value)})
    none = jnp.zeros((agents, num_envs))
    orders = Orders(jnp.full(none.shape, STOP), none, none, jnp.zeros(none.shape, jnp.int32))
    seen = []
    for number in range(steps):
        battle = advance(
            scenario.units, agents, default_rules(), battle, orders, jax.random.key(number), ground=scenario.ground
        )
        seen.append((np.asarray(battle.x), np.asarray(battle.y)))
    return scenario, np.stack(seen), battle


@pytest.mark.parametrize("name", ["corridor", "so_many_baneling"])
def test_an_army_arrives_from_wherever_it_stands(name):
    """60 steps of 1.25 or more; the way is at most 40 long. Nobody is nearer to a wall than its inner radius."""
    terrain = get_scenario(name).ground.terrain
    scenario, seen, battle = march(name, 60, np.argwhere(terrain.walkable), health=0.0)
    agents = scenario.num_allies
    x, y = seen[-1][:, agents:]
    goal = scenario.ground.order.start
    assert np.hypot(x - goal[0], y - goal[1]).max() < 4.0
    for places in seen[:, :, agents:]:
        for angle in np.arange(8) * np.pi / 4:
            cell = (places + 0.36 * np.array([np.cos(angle), np.sin(angle)])[:, None, None]).astype(int)
            assert terrain.walkable[tuple(cell)].all()


def test_zerglings_go_round_the_cliff_to_a_colossus():
    """Nobody is ever in row 12 between x = 5 and 26; after 25 steps of 1.48 all stand round the colossi."""
    low = np.argwhere(get_scenario("2c_vs_64zg").ground.terrain.walkable)
    low = low[low[:, 1] < 11]
    scenario, seen, battle = march("2c_vs_64zg", 30, low, y=18.0)
    x, y = seen[:, 0, 2:], seen[:, 1, 2:]
    assert not ((y >= 12) & (y < 13) & (x >= 5) & (x < 26)).any()
    assert (y[0] < 13).all() and (y[-1] > 13).mean() > 0.95
