"""SMAC's options against what the unmodified SMAC code gave under them (tests/data/smac_vectors/options)."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.base import TimeStep
from envs.check import check_env
from envs.errors import ConfigError
from envs.registry import make_env
from envs.smax import interface, outcome, scripted
from envs.smax.env import Smax
from envs.smax.options import Options, make_options
from envs.smax.scenarios import get_scenario
from envs.smax.surroundings import heights_around, walkable_around

DATA = Path(__file__).parents[2] / "data" / "smac_vectors" / "options"
FIELDS = ("x", "y", "health", "shield", "cooldown", "energy")
# What the words in the files' names stand for.
WORDS = {
    "obs_all_health_off": {"obs_all_health": False},
    "obs_no_health": {"obs_all_health": False, "obs_own_health": False},
    "obs_last_action": {"obs_last_action": True},
    "obs_pathing_grid": {"obs_pathing_grid": True},
    "obs_terrain_height": {"obs_terrain_height": True},
    "obs_everything": {
        "obs_last_action": True,
        "obs_pathing_grid": True,
        "obs_terrain_height": True,
        "obs_timestep_number": True,
        "state_timestep_number": True,
    },
    "move_amount_4": {"move_amount": 4, "obs_pathing_grid": True},
    "obs_timestep_number": {"obs_timestep_number": True},
    "obs_instead_of_state": {"obs_instead_of_state": True},
    "state_last_action_off": {"state_last_action": False},
    "state_timestep_number": {"state_timestep_number": True},
    "reward_sparse": {"reward_sparse": True},
    "reward_sparse_unscaled": {"reward": "sparse"},
    "reward_signed": {"reward_only_positive": False},
    "reward_unscaled": {"reward_scale": False},
    "reward_custom": {
        "reward_only_positive": False,
        "reward_death_value": 5,
        "reward_win": 100,
        "reward_defeat": -100,
        "reward_negative_scale": 1,
        "reward_scale_rate": 10,
    },
    "reward_semisparse": {"reward": "semisparse"},
}
FILES = [path.stem for path in sorted(DATA.glob("*.npz"))]


def load(name):
    """The vectors in a file, and the scenario under its options."""
    data = dict(np.load(DATA / f"{name}.npz"))
    map_name, _, word = name.partition("__")
    scenario = get_scenario(map_name)
    return data, replace(scenario, options=make_options(**WORDS[word]))


def snapshot(data, index=slice(None)):
    """The snapshots `index` as [N, K] arrays: the axis of environments holds snapshots here."""
    return interface.Snapshot(*(jnp.asarray(data[field][index].T, jnp.float32) for field in FIELDS))


def test_the_data_hold_every_option_on_two_maps():
    assert sorted(FILES) == sorted(f"{map_name}__{word}" for map_name in ("2s3z", "2c_vs_64zg") for word in WORDS)


@pytest.mark.parametrize("name", FILES)
def test_observations_state_and_masks(name):
    data, scenario = load(name)
    last_action, steps = jnp.asarray(data["last_action"].T, jnp.int32), jnp.asarray(data["step"], jnp.int32)
    seen = jax.jit(partial(interface.observe, scenario))(snapshot(data), last_action, steps)
    np.testing.assert_array_equal(seen.avail, data["avail"])
    np.testing.assert_allclose(seen.obs, data["obs"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(seen.state, data["state"], rtol=0, atol=1e-6)
    assert (scenario.obs_dim, scenario.state_dim) == (data["obs"].shape[2], data["state"].shape[1])


@pytest.mark.parametrize("name", FILES)
def test_the_grids_of_the_data_are_ours(name):
    data, terrain = load(name)[0], get_scenario(name.partition("__")[0]).ground.terrain
    np.testing.assert_array_equal(terrain.walkable, data["walkable"])
    np.testing.assert_array_equal(terrain.height_byte, data["height_byte"])


@pytest.mark.parametrize("other,cells,seen_from", [("2s3z", 114, 212), ("MMM", 115, 211)])
def test_strips_differ_beside_their_walkable_cells(other, cells, seen_from):
    """Heights of two strip maps against those of 3m; `seen_from` walkable cells an agent observes a difference."""
    first, second = (get_scenario(name).ground.terrain for name in ("3m", other))
    differs = first.height_byte != second.height_byte
    assert (differs.sum(), differs[first.walkable].sum()) == (cells, 0)
    assert sorted(set(np.argwhere(differs)[:, 1])) == [5, 6, 25, 26]
    assert np.abs(first.height_byte.astype(int) - second.height_byte).max() == 15
    x, y = jnp.asarray(np.argwhere(first.walkable).T[:, None], jnp.float32) + 0.5  # agents in all cells, [1, 504] each
    seen = np.asarray(heights_around(first, x, y, 2) != heights_around(second, x, y, 2)).any(axis=1)
    assert seen.sum() == seen_from and set(np.unique(y[seen]).tolist()) == {7.5, 8.5, 9.5, 10.5, 21.5, 22.5, 23.5, 24.5}


@partial(jax.jit, static_argnums=0)
def judge(scenario, before, after):
    """(reward, over, won), [E] each, of a step between two snapshots."""
    over, won = outcome.ending(scenario, after)
    return outcome.reward(scenario, outcome.tally(scenario, before), after, won)[0], over, won


@pytest.mark.parametrize("name", FILES)
def test_rewards_and_endings(name):
    data, scenario = load(name)
    now = np.flatnonzero(data["step"] > 0)  # nothing is returned by a reset; no unit of these files revives
    before, after = snapshot(data, now - 1), snapshot(data, now)

    reward, over, won = judge(scenario, before, after)
    assert outcome.max_reward(scenario) == data["max_reward"]
    np.testing.assert_allclose(reward, data["reward"][now], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(won, data["battle_won"][now])
    np.testing.assert_array_equal(over | (data["step"][now] >= scenario.limit), data["terminated"][now])


def paid(options, *dead, map_name="3m"):
    """The reward of a step in which the units `dead` of a whole battle die."""
    scenario = replace(get_scenario(map_name), options=make_options(**options))
    units = len(scenario.units)
    full = interface.Snapshot(*(np.full((units, 1), value, np.float32) for value in (16, 16, 45, 0, 0, 0)))
    health = full.health.copy()
    health[list(dead)] = 0.0
    return float(judge(scenario, full, full._replace(health=health))[0][0])


def test_the_three_forms_on_3m():
    everybody, enemies, agents = range(6), (3, 4, 5), (0, 1, 2)
    sparse, semisparse = {"reward": "sparse"}, {"reward": "semisparse"}
    assert [paid(sparse, *dead) for dead in (enemies, agents, everybody, (3,))] == [1.0, -1.0, 0.0, 0.0]
    assert paid({"reward_sparse": True}, *enemies) == pytest.approx(0.0547945)  # 20 / 365
    # unit 10 / 365: a kill 10, an own loss -5, the win 200
    assert paid(semisparse, 3) == pytest.approx(0.2739726)
    assert paid(semisparse, 0) == pytest.approx(-0.1369863)
    assert paid(semisparse, *enemies) == pytest.approx(6.3013699)  # 0.8219 + 5.4795
    win = {"reward": "win"}
    assert paid(win, 3) == paid(win, 0) == 0.0 and paid(win, *enemies) == 1.0
    assert paid({}, *enemies) == pytest.approx(20.0) == paid({"reward": "dense"}, *enemies)


def test_a_defeat_on_mmm_is_the_loss_of_all_but_the_medivac():
    sparse = {"reward": "sparse"}
    assert paid(sparse, *range(9), map_name="MMM") == -1.0
    assert paid(sparse, *range(20), map_name="MMM") == -1.0  # no draws there
    assert paid(sparse, *range(10, 19), map_name="MMM") == 1.0


def test_an_environment_pays_by_its_options():
    """A marine's hit of 6 fells the last enemy."""
    for options, expected in (({"reward": "sparse"}, 1.0), ({"reward_scale": False}, 211.0)):
        env = make_env("smax:3m", **options)
        state, _ = env.reset(jax.random.key(0), 1)
        battle = state.battle
        health = battle.health.at[3:, 0].set(jnp.asarray([1.0, 0.0, 0.0]))
        x, y = battle.x.at[3].set(battle.x[0] + 4.0), battle.y.at[3].set(battle.y[0])
        state = state._replace(battle=battle._replace(health=health, x=x, y=y))
        _, timestep = env.step(jax.random.key(1), state, jnp.asarray([[6, 1, 1]], jnp.int32))
        assert timestep.info["won"][0]
        np.testing.assert_allclose(timestep.reward, [expected])


def test_a_move_order_is_as_long_as_the_option_says():
    for options, length in (({}, 2.0), ({"move_amount": 3.5}, 3.5)):
        env = Smax("3m", **options)
        state, _ = env.reset(jax.random.key(0), 1)
        orders = env.orders(state.battle, jnp.asarray([[2], [5], [1]], jnp.int32))
        np.testing.assert_allclose(orders.goal_y - state.battle.y[:3], [[length], [0.0], [0.0]], atol=1e-5)
        np.testing.assert_allclose(orders.goal_x - state.battle.x[:3], [[0.0], [-length], [0.0]], atol=1e-5)


def test_the_ground_at_the_edges_of_the_map():
    """On the strip (x 2..29, y 7..24 are walkable) at (2.5, 7.5), and at (31.9, 0.2) in the corner of the map."""
    strip = get_scenario("3m").ground.terrain
    x, y = jnp.asarray([[2.5], [31.9]]), jnp.asarray([[7.5], [0.2]])
    # north, south, east, west of 4 cells, then the diagonals of 2: (4, 9), (0, 5), (4, 5), (0, 9)
    expected = [[1, 0, 1, 1, 1, 0, 0, 0], [0, 1, 1, 0, 1, 1, 1, 0]]  # off the map 1
    np.testing.assert_array_equal(walkable_around(strip, x, y, 2)[..., 0], expected)
    heights = heights_around(strip, x, y, 2)[..., 0]
    np.testing.assert_array_equal(heights[1] == 1.0, [False, True, True, False, True, True, True, False, False])
    assert heights[0, 0] == pytest.approx(191 / 255)  # 255 * (8 + 16) / 32, four cells to the north


def test_defaults_are_no_options():
    assert Smax("3m").scenario == get_scenario("3m") and make_options() == Options()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"reward": "sparser"}, "'smax:3m': reward must be one of dense, sparse, semisparse, win, not 'sparser'"),
        ({"reward_sparse": 1}, "reward_sparse must be True or False, not 1"),
        ({"reward_win": "much"}, "reward_win must be a number, not 'much'"),
        ({"reward_win": float("nan")}, "reward_win must be a finite number, not nan"),
        ({"reward_death_value": -1}, "reward_death_value must be at least 0, not -1"),
        ({"reward_scale_rate": 0}, "reward_scale_rate must be above 0, not 0"),
        ({"reward": "sparse", "reward_scale": True}, "sets all options of the reward: leave out reward_scale, or"),
        ({"move_amount": 0}, "move_amount must be above 0 and at most 32, not 0"),
        (
            {"move_amount": 1.5, "obs_pathing_grid": True},
            "and obs_terrain_height need a whole move_amount, not 1.5",
        ),
        ({"obs_own_health": False}, "obs_own_health=False has no effect: obs_all_health=True includes it"),
        (
            {"obs_instead_of_state": True, "state_timestep_number": True},
            "state_timestep_number=True has no effect: obs_instead_of_state=True replaces the state",
        ),
        ({"open_loop": True, "obs_last_action": True}, "obs_last_action=True has no effect: open_loop=True replaces"),
        ({"reward_spars": True}, "'smax:3m' does not take these options: reward_spars (it takes rules, "),
    ],
)
def test_what_cannot_be_is_one_line(options, message):
    with pytest.raises(ConfigError) as error:
        make_env("smax:3m", **options)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "options",
    [
        {"obs_all_health": False, "obs_last_action": True, "obs_timestep_number": True, "obs_instead_of_state": True},
        {"open_loop": True},
    ],
)
def test_environments_with_options_keep_the_contract(options):
    check_env(Smax("2m_vs_1z", **options), steps=8)


@partial(jax.jit, static_argnums=0)
def nearest(scenario, x, y, health):
    """What `attack_nearest` does [E, A] in a first step with units at these places, [N, E]."""
    rest = jnp.zeros_like(x)
    units = interface.Snapshot(x, y, health, rest, rest, rest)
    seen = interface.observe(scenario, units, jnp.full_like(x[: scenario.num_allies], -1, int), jnp.zeros(1, jnp.int32))
    flags = jnp.zeros(1, bool)
    alive = (health[: scenario.num_allies] > 0).T
    timestep = TimeStep(seen.obs, seen.state, seen.avail, alive, rest[0], flags, flags, {})
    return scripted.attack_nearest(scenario, timestep)


def test_the_scripted_policy_reads_the_rows_wherever_they_are():
    """Agent 0 has an enemy in reach, agent 1 sees one 8 units to the north, agent 2 is dead."""
    places = [(9.0, 10.0), (25.0, 10.0), (25.0, 10.0), (14.0, 10.0), (25.0, 18.0), (31.0, 20.0)]
    hidden = {"obs_all_health": False, "obs_last_action": True, "obs_timestep_number": True}
    for options in ({}, hidden, {"obs_pathing_grid": True, "obs_terrain_height": True}):
        scenario = Smax("3m", **options).scenario
        x, y = (np.array(coordinate, np.float32)[:, None] for coordinate in zip(*places, strict=True))
        health = np.array([[45], [45], [0], [45], [45], [45]], np.float32)
        np.testing.assert_array_equal(nearest(scenario, x, y, health), [[6, 2, 0]])
    with pytest.raises(ConfigError, match="the medivac of MMM cannot be scripted with obs_all_health=False"):
        scripted.attack_nearest(Smax("MMM", obs_all_health=False).scenario, None)
    with pytest.raises(ConfigError, match="open_loop=True hides the enemies"):
        scripted.attack_nearest(Smax("3m", open_loop=True).scenario, None)


@pytest.mark.parametrize("name, agents, limit", [("smax:3m", 3, 60), ("smacv2:terran_5_vs_5", 5, 200)])
def test_an_open_loop_policy_sees_the_time_and_its_number(name, agents, limit):
    env = make_env(name, open_loop=True)
    assert env.spec.obs_dim == 1 + agents
    state, timestep = env.reset(jax.random.key(0), 2)
    np.testing.assert_array_equal(timestep.obs, np.broadcast_to(np.eye(agents, agents + 1, k=1), timestep.obs.shape))
    _, timestep = env.step(jax.random.key(1), state, jnp.ones((2, agents), jnp.int32))
    np.testing.assert_allclose(timestep.obs[..., 0], 1 / limit, rtol=1e-6)
    np.testing.assert_array_equal(timestep.obs[..., 1:], np.broadcast_to(np.eye(agents), (2, agents, agents)))
    plain = make_env(name).reset(jax.random.key(0), 2)[1]
    np.testing.assert_array_equal(env.reset(jax.random.key(0), 2)[1].state, plain.state)
