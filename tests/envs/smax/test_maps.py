"""What holds in battles of random actions on every map."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.smax import scripted
from envs.smax.env import Smax
from envs.smax.scenarios import SCENARIOS
from envs.smax.units import TALL, UNITS

SOME = ("2m_vs_1z", "2s_vs_1sc", "bane_vs_bane")


def play(env, num_envs, steps):
    """Battles and time steps [T, ...] of random legal actions, half of them aimed at the nearest enemy."""
    aims = jnp.arange(num_envs)[:, None] % 2 == 0

    def body(carry, key):
        state, timestep = carry
        aimed, wild = scripted.attack_nearest(env.scenario, timestep), scripted.random_legal(timestep, key)
        state, timestep = env.step(key, state, jnp.where(aims, aimed, wild))
        return (state, timestep), (state.battle, timestep)

    def run(key):
        return jax.lax.scan(body, env.reset(key, num_envs), jax.random.split(key, steps))[1]

    return jax.tree.map(np.asarray, jax.jit(run)(jax.random.key(1)))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in SOME else pytest.mark.slow) for name in sorted(SCENARIOS)]
)
def test_units_stay_within_walls_and_bounds_and_the_dead_stay_dead(name):
    scenario = SCENARIOS[name]
    battle, timestep = play(Smax(name), 8, 60)
    units, terrain = [UNITS[unit] for unit in scenario.units], scenario.ground.terrain
    for n, unit in enumerate(units):
        assert battle.health[:, n].min() >= 0 and battle.health[:, n].max() <= unit.hp + 1e-3
        assert battle.shield[:, n].min() >= 0 and battle.shield[:, n].max() <= unit.shield + 1e-3
        grid = np.ones_like(terrain.walkable) if unit.air else terrain.walkable
        grid = terrain.crossable if unit.plane == TALL else grid
        x, y = (np.clip(leaf[:, n], 0, 31.999).astype(int) for leaf in (battle.x, battle.y))
        assert grid[x, y].all(), (name, n)
    alive = battle.health > 0
    assert not (alive[1:] & ~alive[:-1]).any()
    assert np.isfinite(timestep.obs).all() and np.isfinite(timestep.state).all() and np.isfinite(timestep.reward).all()
    ours, theirs = alive[:, : scenario.num_allies].any(axis=1), alive[:, scenario.num_allies :].any(axis=1)
    if not scenario.has_medivac_rules:  # a draw is no win
        np.testing.assert_array_equal(timestep.terminated, ~(ours & theirs))
        np.testing.assert_array_equal(timestep.info["won"], ours & ~theirs)
    assert timestep.terminated.any() or name == "2s_vs_1sc"
