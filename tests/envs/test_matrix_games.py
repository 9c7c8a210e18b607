"""The one-step games against numbers computed by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.base import ConfigError
from envs.check import check_env
from envs.toy.matrix_games import continuous_matrix_game, matrix_game, simple_world, simple_world_reward

KEY = jax.random.key(0)


def pay(env, *actions):
    """The reward and the flags (terminated, truncated) of one joint action."""
    state, timestep = env.reset(KEY, 1)
    dtype = jnp.int32 if env.spec.action.discrete else jnp.float32
    action = jnp.array([actions], dtype) if env.spec.action.discrete else jnp.array([actions], dtype)[..., None]
    timestep = env.step(KEY, state, action)[1]
    return float(timestep.reward[0]), bool(timestep.terminated[0]), bool(timestep.truncated[0])


@pytest.mark.parametrize("make", [matrix_game, simple_world, continuous_matrix_game])
def test_they_keep_the_contract(make):
    env = make()
    assert env.spec.name == make.__name__ and env.spec.state_is_obs == (make is matrix_game)
    check_env(env)


def test_the_matrix_game_pays_table_1():
    env = matrix_game()
    paid = [[pay(env, a, b)[0] for b in range(3)] for a in range(3)]
    assert paid == [[8, -12, -12], [-12, 0, 0], [-12, 0, 0]]
    assert pay(env, 0, 0) == (8.0, True, False)


def test_any_square_payoff():
    env = matrix_game([[1, 2], [3, 4]])
    assert env.spec.action.num_actions == 2
    assert pay(env, 1, 0)[0] == 3.0


@pytest.mark.parametrize("payoff", [((1.0, 2.0), (3.0,)), ((1.0,),), 3, "ab", ((1.0, "x"), (2.0, 3.0)), ()])
def test_other_payoffs_are_refused(payoff):
    with pytest.raises(ConfigError, match="matrix_game: .*payoff"):
        matrix_game(payoff)


def test_simple_world_pays_one_at_the_narrow_mode_and_two_fifths_at_the_wide_one():
    # peaks 1 / (2 pi 2) and 1 / (2 pi 5), scaled by 4 pi: 1 and 0.4; each 15 away from the other: e^-22 and e^-54
    given = simple_world_reward(jnp.array([[-6.0, -6.0], [4.0, 3.0], [-6.0, -4.0], [4.0, 6.0], [-1.0, -1.0]]))
    # 2 off the narrow mode: exp(-4 / 4); 3 off the wide one: 0.4 exp(-9 / 10)
    # the start of figure 3: squared distances 25 + 25 and 25 + 16: exp(-50 / 4) + 0.4 exp(-41 / 10)
    expected = [1.0, 0.4, math.exp(-1), 0.4 * math.exp(-0.9), math.exp(-12.5) + 0.4 * math.exp(-4.1)]
    np.testing.assert_allclose(given, expected, rtol=1e-5)


def test_simple_world_is_proportional_to_scipys_densities():
    from scipy.stats import multivariate_normal

    actions = np.random.default_rng(0).uniform(-10, 10, (50, 2)).astype(np.float32)
    density = sum(w * multivariate_normal(m, v).pdf(actions) for m, v, w in [([1, 2], 3, 1.0), ([-4, 0], 8, 2.5)])
    # the higher peak: 1 / (2 pi 3) = 0.053 against 2.5 / (2 pi 8) = 0.0497
    given = simple_world_reward(jnp.asarray(actions), ((1, 2), (-4, 0)), (3, 8), (1.0, 2.5), peak=7.0)
    np.testing.assert_allclose(given, 7.0 * density * (2 * np.pi * 3), rtol=1e-4, atol=1e-7)


def test_simple_world_shows_nothing_and_ends_at_once():
    env = simple_world()
    timestep = env.reset(KEY, 2)[1]
    assert not timestep.obs.any()
    assert (timestep.state == 1).all()  # at a state of 0 a mixer's weights |W s| would be 0 for ever
    assert (env.spec.action.dim, env.spec.action.low, env.spec.action.high) == (1, -10.0, 10.0)
    reward, terminated, truncated = pay(env, -6.0, -6.0)
    np.testing.assert_allclose(reward, 1.0, rtol=1e-6)
    assert terminated and not truncated


def test_the_continuous_matrix_game_pays_on_its_ridge():
    """-0.1 (x^2 + y^2); on the ridge x + y too, and 1 on its crest, 0.1 beside it, where 1e-5 / (d + 1e-5) is less."""
    env = continuous_matrix_game()
    for x, y, due in (
        (0.0, 0.0, 0.0),  # both must be above 0
        (1.0, 1.0, 2.8),  # -0.2 + 2 + 1
        (0.5, 0.5, 1.95),  # -0.05 + 1 + 1
        (0.5, 0.505, 1.0544975),  # -0.0505025 + 1.005 + 0.1
        (0.5, 0.52, -0.05204),  # beside it
        (-0.5, -0.5, -0.05),
        (3.0, 1.0, 2.8),  # as the bound, 1
    ):
        assert pay(env, x, y) == (pytest.approx(due, abs=1e-5), True, False)
    reset = env.reset(KEY, 2)[1]
    assert (reset.obs == 1).all() and (reset.state == 1).all() and reset.obs.shape == (2, 2, 5)


def test_actions_outside_the_bounds_count_as_the_bounds():
    env = simple_world(means=((2, 2),), variances=(1,), low=-3, high=2)
    np.testing.assert_allclose(pay(env, 50.0, 9.0)[0], 1.0, rtol=1e-6)


@pytest.mark.parametrize(
    "options, text",
    [
        ({"means": ((1, 2),)}, "as many means"),
        ({"means": ((1, 2, 3), (1, 2, 3))}, "as many means"),
        ({"means": 5}, "means must be a list of pairs of numbers"),
        ({"variances": (5, "x")}, "variances must be a list of finite numbers"),
        ({"variances": (5, 0)}, "must be more than 0"),
        ({"weights": (1, -1)}, "must be more than 0"),
        ({"peak": 0}, "must be more than 0"),
        ({"low": 3, "high": 3}, "low 3.0 is not below high 3.0"),
        ({"low": "x"}, "low, high and peak must be a list of finite"),
    ],
)
def test_wrong_options_are_refused(options, text):
    with pytest.raises(ConfigError, match=text) as error:
        simple_world(**options)
    assert "\n" not in str(error.value)
