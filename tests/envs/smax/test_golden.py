"""The interface against what the unmodified SMAC code gave on 2132 snapshots of 23 maps (tests/data/smac_vectors)."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.smax import interface, outcome
from envs.smax.scenarios import SCENARIOS, get_scenario

DATA = Path(__file__).parents[2] / "data" / "smac_vectors"
FIELDS = ("x", "y", "health", "shield", "cooldown", "energy")


def load(name):
    return dict(np.load(DATA / f"{name}.npz"))


def snapshot(data, index=slice(None)):
    """The snapshots `index` as [N, K] arrays: the axis of environments holds snapshots here."""
    return interface.Snapshot(*(jnp.asarray(data[field][index].T, jnp.float32) for field in FIELDS))


def test_the_data_hold_2132_snapshots_of_every_map():
    sizes = {path.stem: len(load(path.stem)["step"]) for path in DATA.glob("*.npz")}
    assert sum(sizes.values()) == 2132
    assert sorted(sizes) == sorted(SCENARIOS)


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_scenario_is_the_map_of_the_data(name):
    data, scenario = load(name), get_scenario(name)
    assert scenario.units == tuple(str(data["unit_names"][kind]) for kind in data["unit_type"])
    assert scenario.num_allies == data["num_allies"]
    assert scenario.limit == data["episode_limit"]
    assert outcome.max_reward(scenario) == data["max_reward"]
    assert scenario.obs_dim == data["obs"].shape[2]
    assert scenario.state_dim == data["state"].shape[1]
    assert scenario.num_actions == data["avail"].shape[2]


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_observations_state_and_masks(name):
    data, scenario = load(name), get_scenario(name)
    seen = jax.jit(partial(interface.observe, scenario))(snapshot(data), jnp.asarray(data["last_action"].T, jnp.int32))
    np.testing.assert_array_equal(seen.avail, data["avail"] == 1)
    np.testing.assert_allclose(seen.obs, data["obs"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(seen.state, data["state"], rtol=0, atol=1e-6)


@partial(jax.jit, static_argnums=0)
def replay(scenario, units, opening):
    """(reward, over, won, dead agents, dead enemies), [K] each, of steps to the snapshots `units` [N, K], in order.

    At those that are `opening` [K] a battle begins.
    """
    fresh = outcome.tally(scenario, units)

    def step(tally, k):
        now = jax.tree.map(lambda field: field[:, k][:, None], units)
        over, won = outcome.ending(scenario, now)
        reward, stepped = outcome.reward(scenario, tally, now, won)
        first = jax.tree.map(lambda field: field[:, k][:, None], fresh)
        tally = jax.tree.map(lambda a, b: jnp.where(opening[k], a, b), first, stepped)
        return tally, (reward[0], over[0], won[0], *(count[0] for count in outcome.count_dead(scenario, now)))

    start = jax.tree.map(lambda field: field[:, :1], fresh)
    return jax.lax.scan(step, start, jnp.arange(len(opening)))[1]


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_rewards_and_endings(name):
    data, scenario = load(name), get_scenario(name)
    outputs = replay(scenario, snapshot(data), jnp.asarray(data["step"] == 0))
    reward, over, won, dead_allies, dead_enemies = map(np.asarray, outputs)
    steps = data["step"] > 0  # nothing is returned by a reset
    np.testing.assert_allclose(reward[steps], data["reward"][steps], rtol=1e-6, atol=1e-6)
    limit = data["step"] >= scenario.limit
    np.testing.assert_array_equal((over | limit)[steps], data["terminated"][steps])
    np.testing.assert_array_equal(won[steps], data["battle_won"][steps])
    np.testing.assert_array_equal(dead_allies[steps], data["dead_allies"][steps])
    np.testing.assert_array_equal(dead_enemies[steps], data["dead_enemies"][steps])
