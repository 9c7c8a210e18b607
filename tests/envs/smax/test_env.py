"""The environment round the battle: orders, endings, the time limit, restarts, scripted policies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.base import ConfigError
from envs.check import check_env
from envs.registry import known_envs, make_env
from envs.smax import interface, outcome, scripted
from envs.smax.battle import ATTACK, MOVE, NO_ORDER, STOP
from envs.smax.env import Smax
from envs.smax.rules import COINS, RANGES, draw_rules
from envs.smax.scenarios import SCENARIOS
from envs.smax.spawn import spawn

KEY = jax.random.key(0)
NEAR = ("2c_vs_64zg", "6h_vs_8z")  # teams are created 7 apart there, so the first units are in reach at once


@pytest.fixture(scope="module")
def marines():
    """Played with two environments by all tests: each number of environments is three programs more."""
    return Smax("3m")


def with_units(state, **fields):
    """`state` with entries of its battle replaced: {field: {unit: value}}, in every environment."""
    battle = state.battle
    for name, entries in fields.items():
        array = getattr(battle, name)
        for unit, value in entries.items():
            array = array.at[unit].set(value)
        battle = battle._replace(**{name: array})
    return state._replace(battle=battle)


def test_keeps_the_contract(marines):
    check_env(marines, steps=8)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["2s3z", "MMM"])
def test_keeps_the_contract_with_drawn_rules(name):
    check_env(Smax(name, randomise_rules=True))


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_teams_open_out_of_each_others_reach(name):
    """Whatever the rules drawn; and agents are ordered as SMAC sorts them."""
    scenario = SCENARIOS[name]
    agents = scenario.num_allies
    battle = spawn(scenario.units, agents, draw_rules(KEY, 64), KEY, 64, ground=scenario.ground)
    x, y = np.asarray(battle.x), np.asarray(battle.y)
    distance = np.hypot(x[:agents, None] - x[None, agents:], y[:agents, None] - y[None, agents:])
    assert distance.min() > (3.0 if name in NEAR else interface.SHOOT)
    assert scenario.ground.terrain.walkable[x.astype(int), y.astype(int)].all()
    for i in range(agents - 1):
        if scenario.allies[i] == scenario.allies[i + 1]:
            assert (x[i] <= x[i + 1]).all()


def test_first_observation(marines):
    _, timestep = marines.reset(KEY, 2)
    assert timestep.avail[..., 1:6].all() and not timestep.avail[..., 0].any() and timestep.alive.all()
    np.testing.assert_array_equal(timestep.obs[..., :4], np.ones((2, 3, 4)))
    np.testing.assert_array_equal(timestep.obs[..., 4:19], np.zeros((2, 3, 15)))  # no enemy in sight
    np.testing.assert_array_equal(timestep.state[:, -27:], np.zeros((2, 27)))


def test_actions_become_orders():
    env = Smax("MMM")
    battle = spawn(env.scenario.units, 10, draw_rules(KEY, 64), KEY, 64, ground=env.scenario.ground)
    battle = jax.tree.map(lambda field: field[:, :1], battle)
    actions = jnp.asarray([[0], [1], [2], [3], [4], [5], [6], [15], [9], [14]], jnp.int32)
    orders = jax.tree.map(lambda field: np.asarray(field)[:, 0], env.orders(battle, actions))
    np.testing.assert_array_equal(orders.kind, [NO_ORDER, STOP, MOVE, MOVE, MOVE, MOVE, *[ATTACK] * 4])
    x, y = np.asarray(battle.x)[:10, 0], np.asarray(battle.y)[:10, 0]
    np.testing.assert_allclose((orders.goal_x - x)[2:6], [0, 0, 2, -2], atol=1e-5)
    np.testing.assert_allclose((orders.goal_y - y)[2:6], [2, -2, 0, 0], atol=1e-5)
    # 6 + j is enemy j, unit 10 + j; for the medivac it is ally j
    np.testing.assert_array_equal(orders.target[6:], [10, 19, 13, 8])


def test_time_limit_truncates_and_last_actions_are_shown(marines):
    state, _ = marines.reset(KEY, 2)
    state = state._replace(steps=jnp.asarray([58, 59], jnp.int32))
    state, timestep = marines.step(KEY, state, jnp.ones((2, 3), jnp.int32))
    np.testing.assert_array_equal(timestep.truncated, [False, True])
    assert not timestep.terminated.any() and not timestep.info["won"].any()
    np.testing.assert_array_equal(timestep.reward, [0.0, 0.0])
    blocks = np.asarray(timestep.state[:, 21:]).reshape(2, 3, 9)
    np.testing.assert_array_equal(blocks, np.broadcast_to(np.arange(9) == 1, blocks.shape))
    # a restart clears them, and the other environment continues
    state, timestep = marines.restart(KEY, state, timestep, timestep.boundary)
    assert not timestep.boundary.any()
    np.testing.assert_array_equal(timestep.state[:, 21:].sum(1), [3.0, 0.0])
    np.testing.assert_array_equal(state.steps, [59, 0])


def test_win_terminates_even_at_the_limit(marines):
    """Two enemies are dead; a marine's hit of 6 fells the last one, which has 1 hp left."""
    state, _ = marines.reset(KEY, 2)
    state = with_units(state, health={3: 1.0, 4: 0.0, 5: 0.0}, x={0: 12.0, 3: 16.0}, y={0: 16.0, 3: 16.0})
    state = state._replace(steps=jnp.full(2, 59, jnp.int32))
    _, timestep = marines.step(KEY, state, jnp.asarray([[6, 1, 1]] * 2, jnp.int32))
    assert timestep.terminated.all() and not timestep.truncated.any() and timestep.info["won"].all()
    # (1 + 10 + 200) / 18.25
    np.testing.assert_allclose(timestep.reward, [11.561644] * 2, atol=1e-5)
    assert timestep.info["dead_enemies"][0] == 3 and timestep.info["dead_allies"][0] == 0


def test_rewards_do_not_depend_on_earlier_resets(marines):
    """SMAC adds the enemies' health to its scale at each early reset (365, 500, 635); here nothing is carried over."""
    for seed in range(3):
        state, _ = marines.reset(jax.random.key(seed), 2)
    assert outcome.max_reward(marines.scenario) == 365
    state = with_units(state, health={3: 1.0, 4: 0.0, 5: 0.0}, x={0: 12.0, 3: 16.0}, y={0: 16.0, 3: 16.0})
    _, timestep = marines.step(KEY, state, jnp.asarray([[6, 1, 1]] * 2, jnp.int32))
    np.testing.assert_allclose(timestep.reward, [211 / 18.25] * 2, atol=1e-5)


def test_illegal_actions_become_stop_or_no_op(marines):
    state, _ = marines.reset(KEY, 2)
    state = with_units(state, health={2: 0.0}, x={0: 9.0, 3: 14.9, 4: 15.1}, y={0: 16.0, 3: 16.0, 4: 16.0})
    for given, used in (([6, 2, 1], [6, 2, 0]), ([7, 0, 0], [1, 1, 0]), ([99, -1, 6], [1, 1, 0])):
        fixed = marines.legalise(state.battle, jnp.asarray([given] * 2, jnp.int32).T)
        np.testing.assert_array_equal(fixed[:, 0], used)
        after, _ = marines.step(KEY, state, jnp.asarray([given] * 2, jnp.int32))
        same, _ = marines.step(KEY, state, jnp.asarray([used] * 2, jnp.int32))
        jax.tree.map(np.testing.assert_array_equal, after, same)


def test_restart_redraws_rules_of_its_environments_only():
    env = Smax("3m", randomise_rules=True)
    state, timestep = env.reset(KEY, 4)
    where = jnp.asarray([True, False, False, True])
    again, _ = env.restart(jax.random.key(1), state, timestep, where)
    same = np.asarray(again.rules.range_slop) == np.asarray(state.rules.range_slop)
    np.testing.assert_array_equal(same, [False, True, True, False])


def test_drawn_rules_keep_their_ranges():
    rules = draw_rules(KEY, 512)
    assert sorted((*COINS, *RANGES, "numbers")) == sorted(rules._fields)
    for name, (low, high) in RANGES.items():
        values = np.asarray(getattr(rules, name))
        assert low <= values.min() and values.max() <= high and values.std() >= 0.2 * (high - low)
    for name in COINS:
        assert set(np.asarray(getattr(rules, name)).tolist()) == {0.0, 1.0}


def play(env, policy, num_envs):
    """Plays one episode per environment: (time steps [T + 1, E, ...], actions int32[T, E, A])."""

    def body(carry, key):
        state, timestep = carry
        action = policy(timestep, jax.random.fold_in(key, 1))
        return env.step(key, state, action), (timestep, action)

    def run(key):
        carry, (rows, actions) = jax.lax.scan(body, env.reset(key, num_envs), jax.random.split(key, env.spec.horizon))
        return jax.tree.map(lambda row, last: jnp.concatenate([row, last[None]]), rows, carry[1]), actions

    return jax.tree.map(np.asarray, jax.jit(run)(jax.random.key(3)))


@pytest.mark.parametrize("name", ["2s3z", "MMM"])
def test_scripted_policies_play_legally_and_aim_beats_chance(name):
    env = Smax(name)
    aims = jnp.arange(32) < 16  # the other environments play at random

    def policy(timestep, key):
        aimed = scripted.attack_nearest(env.scenario, timestep)
        return jnp.where(aims[:, None], aimed, scripted.random_legal(timestep, key))

    rows, actions = play(env, policy, 32)
    assert np.take_along_axis(rows.avail[:-1], actions[..., None], -1).all()
    assert np.isfinite(rows.obs).all() and np.isfinite(rows.reward).all()
    over = np.maximum.accumulate(rows.terminated | rows.truncated)
    assert over[-1].all()
    before_end = np.concatenate([np.ones((1, 32), bool), ~over[:-1]])
    returns = (rows.reward * before_end).sum(0)
    assert returns[:16].mean() > returns[16:].mean() + 1.0


def test_random_legal_is_uniform(marines):
    avail = jnp.broadcast_to(jnp.asarray([False, True, False, True, True, False]), (4000, 1, 6))
    timestep = marines.reset(KEY, 2)[1]._replace(avail=avail)
    shares = np.bincount(np.asarray(scripted.random_legal(timestep, KEY))[:, 0], minlength=6) / 4000
    # 1/3 each; the standard deviation of a share is sqrt(2/9 / 4000) = 0.0075
    np.testing.assert_allclose(shares, [0, 1 / 3, 0, 1 / 3, 1 / 3, 0], atol=0.035)


def test_registry():
    assert make_env("smax:2s3z").spec.name == "smax:2s3z"
    assert {"smax:MMM", "matrix_game"} <= set(known_envs())
    with pytest.raises(ConfigError, match="did you mean 'smax:2s3z'.*known: .*smax:MMM"):
        make_env("smax:2s3zz")
    with pytest.raises(ConfigError, match="did you mean 'smax:8m'"):
        make_env("8m")
    with pytest.raises(ConfigError, match="does not take these options: colour"):
        make_env("smax:3m", colour="red")


def test_a_step_reads_the_same_in_a_second_program(marines):
    """Results must lie in memory as their shapes say: a second program takes that for granted, the host does not."""
    state, timestep = marines.reset(KEY, 2)
    state = with_units(state, health={2: 0.0})
    results = marines.step(KEY, state, jnp.ones((2, 3), jnp.int32))
    again = jax.jit(lambda tree: jax.tree.map(lambda x: x ^ False if x.dtype == bool else x * 1, tree))(results)
    jax.tree.map(np.testing.assert_array_equal, again, results)
    np.testing.assert_array_equal(again[1].alive, np.broadcast_to([True, True, False], (2, 3)))
