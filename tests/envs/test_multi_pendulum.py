"""The pendulums against gymnasium and gymnax, and their rewards against numbers worked out by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.check import check_env
from envs.pendulum.multi_pendulum import MultiPendulum, PendulumState, multi_pendulum, multi_pendulum_shaped, swing

KEY = jax.random.key(0)


@pytest.mark.parametrize("env", [multi_pendulum(3), multi_pendulum_shaped(1, horizon=5)], ids=lambda env: env.spec.name)
def test_it_keeps_the_contract(env):
    assert env.spec.state_is_obs and (env.spec.obs_dim, env.spec.action.low, env.spec.action.high) == (3, -2.0, 2.0)
    check_env(env)


def test_200_steps_are_those_of_gymnasium():
    """3 environments of 2 pendulums and six pendulums of gymnasium, in float64, with the same torques, some too large.

    From gymnasium's own state each step agrees to float32's rounding; over the whole episode it adds up.
    """
    import gymnasium

    theirs = [gymnasium.make("Pendulum-v1").unwrapped for _ in range(6)]
    for i, world in enumerate(theirs):
        world.reset(seed=i)
    env, num_envs = multi_pendulum(2), 3
    step = jax.jit(env.step)

    def ours():
        angle, speed = (np.array([w.state[k] for w in theirs], np.float32).reshape(2, num_envs) for k in (0, 1))
        return PendulumState(jnp.asarray(angle), jnp.asarray(speed), jnp.zeros(num_envs, jnp.int32))

    free, torques = ours(), np.random.default_rng(0).uniform(-2.5, 2.5, (200, 2, num_envs)).astype(np.float32)
    for t, torque in enumerate(torques):
        action = jnp.asarray(torque.T[..., None])
        timestep = step(KEY, ours(), action)[1]
        free, shown = step(KEY, free, action)
        obs = np.stack([w.step(np.array([u]))[0] for w, u in zip(theirs, torque.reshape(-1), strict=True)])
        obs = obs.reshape(2, num_envs, 3).transpose(1, 0, 2)
        np.testing.assert_allclose(timestep.obs, obs, atol=2e-5, err_msg=f"step {t}")
        np.testing.assert_allclose(shown.obs, obs, atol=2e-2, err_msg=f"step {t} of the whole episode")
    assert shown.truncated.all() and not timestep.truncated.any()


def test_a_step_is_that_of_gymnax():
    from gymnax.environments.classic_control.pendulum import EnvState, Pendulum

    rng = np.random.default_rng(1)
    angle, speed, torque = (rng.uniform(-x, x, 100).astype(np.float32) for x in (10, 8, 3))
    world = Pendulum()
    states = EnvState(time=jnp.zeros(100, jnp.int32), theta=angle, theta_dot=speed, last_u=jnp.zeros(100))
    step = jax.vmap(lambda state, u: world.step_env(KEY, state, u[None], world.default_params)[1])
    theirs = step(states, jnp.asarray(torque))
    ours = swing(jnp.asarray(angle), jnp.asarray(speed), jnp.asarray(torque))
    np.testing.assert_allclose(ours, (theirs.theta, theirs.theta_dot), rtol=1e-5, atol=1e-6)


def test_one_step_by_hand():
    # 15 sin(pi/2) + 3 (1) = 18 rad/s^2; speed 1 + 18 (0.05) = 1.9; angle pi/2 + 1.9 (0.05); torque 5 counts as 2: 21
    # from below at 7.9: 7.9 + 0.05 (15 sin(1) + 6) = 8.83, cut at 8
    angle, speed = swing(jnp.array([math.pi / 2, math.pi / 2, 1.0]), jnp.array([1.0, 1.0, 7.9]), jnp.array([1.0, 5, 2]))
    np.testing.assert_allclose(speed, [1.9, 2.05, 8.0], rtol=1e-6)
    np.testing.assert_allclose(angle, [math.pi / 2 + 0.095, math.pi / 2 + 0.1025, 1.4], rtol=1e-6)


def rewards(env, *angles):
    """Rewards of environments whose pendulums stand at these angles after the step."""
    angle = jnp.array(angles, jnp.float32).T
    # a speed that the step stops: pull = 15 sin(a) DT, so the angle stays where it is
    state = PendulumState(angle, -0.75 * jnp.sin(angle), jnp.zeros(len(angles), jnp.int32))
    state, timestep = env.step(KEY, state, jnp.zeros((len(angles), env.spec.num_agents, 1)))
    np.testing.assert_allclose(state.angle, angle, atol=1e-5)
    return [round(float(x), 6) for x in timestep.reward]


def test_the_sparse_reward():
    angles = [(0.19, -0.19), (0.19, 0.21), (-0.21, 0.0), (math.pi, 0.0), (2 * math.pi + 0.1, -4 * math.pi - 0.1)]
    assert rewards(multi_pendulum(2), *angles) == [5.0, 0.0, 0.0, 0.0, 5.0]
    assert rewards(multi_pendulum(2, upright=0.3), (0.29, 0.21), (0.31, 0.0)) == [5.0, 0.0]


def test_the_shaped_reward():
    up, off = 0.1, 1.0
    angles = [(up,) * count + (off,) * (5 - count) for count in range(6)]
    assert rewards(multi_pendulum_shaped(5), *angles) == [0.0, 0.1, 0.1, 0.2, 0.2, 0.5]
    assert rewards(multi_pendulum_shaped(3), (up, up, off), (up, up, up)) == [0.1, 0.5]
    assert rewards(multi_pendulum_shaped(1), (off,), (up,)) == [0.0, 0.5]


def test_the_reward_is_read_after_the_step():
    # 0.25 - 1.2 (0.05) = 0.19 with the pull 0.75 sin(0.25) = 0.1856 undone beforehand
    state = PendulumState(jnp.array([[0.25]]), jnp.array([[-1.2 - 0.75 * math.sin(0.25)]]), jnp.zeros(1, jnp.int32))
    state, timestep = multi_pendulum(1).step(KEY, state, jnp.zeros((1, 1, 1)))
    np.testing.assert_allclose(state.angle, [[0.19]], rtol=1e-5)
    assert timestep.reward.tolist() == [5.0]


def test_an_agent_sees_its_own_pendulum_alone():
    env = multi_pendulum(3)
    state, _ = env.reset(KEY, 4)
    push = jnp.zeros((4, 3, 1))
    one, other = env.step(KEY, state, push)[1], env.step(KEY, state, push.at[:, 1].set(2.0))[1]
    np.testing.assert_array_equal(one.obs[:, [0, 2]], other.obs[:, [0, 2]])
    # 3 x 2 x 0.05 = 0.3 rad/s more, unless the speed is at its limit
    np.testing.assert_allclose(other.obs[:, 1, 2] - one.obs[:, 1, 2], 0.3, rtol=1e-4)
    np.testing.assert_array_equal(one.state, one.obs.reshape(4, 9))


def test_episodes_begin_anywhere():
    state, timestep = multi_pendulum(2).reset(KEY, 2000)
    assert not timestep.reward.any() and not timestep.truncated.any()
    # uniform: standard deviations pi / sqrt(3) = 1.814 and 1 / sqrt(3) = 0.577; means within 4.5 of sd / sqrt(4000)
    for values, top in ((state.angle, math.pi), (state.speed, 1.0)):
        assert 0.99 * top < np.abs(values).max() <= top
        assert abs(float(values.mean())) < 4.5 * top / math.sqrt(3 * 4000)
        np.testing.assert_allclose(values.std(), top / math.sqrt(3), rtol=0.03)


def test_a_restart_starts_the_selected_environments_with_new_draws():
    env = multi_pendulum(2, horizon=1)
    state, timestep = env.step(KEY, env.reset(KEY, 3)[0], jnp.ones((3, 2, 1)))
    assert timestep.truncated.all()
    again, shown = env.restart(jax.random.key(5), state, timestep, jnp.array([True, False, True]))
    assert shown.truncated.tolist() == [False, True, False] and again.steps.tolist() == [0, 1, 0]
    np.testing.assert_array_equal(again.angle[:, 1], state.angle[:, 1])
    assert len(np.unique(np.asarray(again.angle))) == 6
    np.testing.assert_allclose(shown.obs[..., 0], jnp.cos(again.angle).T, rtol=1e-6)


@pytest.mark.slow
def test_random_torque_hardly_ever_meets_a_reward():
    """The shares of episodes in the docstring of `MultiPendulum`."""

    def share(num_pendulums, num_envs):
        env = MultiPendulum(num_pendulums)
        opened = env.reset(KEY, num_envs)[0], jnp.zeros(num_envs, bool)

        def body(carry, key):
            action = jax.random.uniform(key, (num_envs, num_pendulums, 1), minval=-2.0, maxval=2.0)
            state, timestep = env.step(key, carry[0], action)
            return (state, carry[1] | (timestep.reward > 0)), None

        return float(jax.lax.scan(body, opened, jax.random.split(KEY, 200))[0][1].mean())

    # 4 standard errors: sqrt(0.3 0.7 / 20000) = 0.0032, sqrt(0.03 / 20000) = 0.0012, sqrt(0.0015 / 40000) = 0.0002
    assert abs(share(1, 20000) - 0.30) < 0.013
    assert abs(share(2, 20000) - 0.03) < 0.005
    assert abs(share(3, 40000) - 0.0015) < 0.0008
