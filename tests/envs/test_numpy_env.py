"""Environments behind NumPy arrays: the same episodes as in jax, from the same seed again, and replayed."""

import jax
import numpy as np
import pytest

from envs.base import ConfigError, TimeStep
from envs.numpy_env import NumpyEnv, TimeStepLayout
from envs.registry import make_env

ENV = make_env("toy:observation")


def moment(value):
    """A `TimeStep` of two environments, one agent and two actions."""
    return TimeStep(
        obs=np.full((2, 1, 3), value, np.float32),
        state=np.array([[0.5], [-0.5]], np.float32),
        avail=np.array([[[True, False]], [[True, True]]]),
        alive=np.array([[True], [False]]),
        reward=np.array([1.5, -2.0], np.float32),
        terminated=np.array([False, True]),
        truncated=np.array([True, False]),
        info={"score": np.array([3, 2**24], np.int32)},
    )


def same(a, b):
    """Equal values, shapes and types."""
    for left, right in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(left, right)
        assert (left.shape, left.dtype) == (right.shape, right.dtype)


def test_a_time_step_as_one_vector():
    layout = TimeStepLayout(jax.eval_shape(lambda: jax.tree.map(jax.numpy.asarray, moment(0.0))))
    flat = np.asarray(layout.pack(jax.tree.map(jax.numpy.asarray, moment(7.0))))
    # in the order of the fields: 6 obs, 2 state, 4 avail, 2 alive, 2 each of reward, terminated, truncated, score
    assert flat.tolist() == [7.0] * 6 + [0.5, -0.5, 1, 0, 1, 1, 1, 0, 1.5, -2.0, 0, 1, 1, 0, 3, 2**24]
    same(layout.unpack(flat), moment(7.0))


def play(game, steps=3):
    """The time steps of an episode in which everybody takes action 0."""
    frames = [game.reset()]
    action = np.zeros((game.num_envs, game.spec.num_agents), np.int32)
    return [*frames, *(game.step(action) for _ in range(steps))]


def test_shapes_and_types_are_those_of_the_contract():
    game = NumpyEnv(ENV, 2, seed=0)
    frame = game.reset()
    assert frame.obs.shape == (2, ENV.spec.num_agents, ENV.spec.obs_dim) and frame.obs.dtype == np.float32
    assert frame.avail.dtype == frame.terminated.dtype == bool
    frame.obs[:] = 3.0  # the caller's own


def test_it_is_what_jax_plays():
    """The keys are: of the episode fold_in(seed, 0); then a split at the reset, and one at each step."""
    env = make_env("smax:3m")
    key, k_reset = jax.random.split(jax.random.fold_in(jax.random.key(5), 0))
    state, first = env.reset(k_reset, 1)
    _, k_step = jax.random.split(key)
    _, second = env.step(k_step, state, np.ones((1, 3), np.int32))
    game = NumpyEnv(env, 1, seed=5, device="cpu")
    same(game.reset(), jax.tree.map(np.asarray, first))
    frame = game.step(np.ones((1, 3), np.int32))
    np.testing.assert_allclose(frame.obs, second.obs, atol=1e-6)
    np.testing.assert_array_equal(frame.avail, second.avail)


def test_seeds_and_episodes():
    game, other = NumpyEnv(ENV, 4, seed=1), NumpyEnv(ENV, 4, seed=2)
    first, second = play(game), play(game)
    assert not np.array_equal(first[0].obs, second[0].obs)  # another episode of the same seed
    assert not np.array_equal(first[0].obs, play(other)[0].obs)
    game.seed(1)
    assert game.episode == -1
    for a, b in zip(first, play(game), strict=True):
        same(a, b)


def test_a_replay_is_the_episode_and_touches_nothing():
    game = NumpyEnv(ENV, 2, seed=0)
    play(game)
    frames, actions = play(game), [np.zeros((2, ENV.spec.num_agents), np.int32)] * 3
    before = jax.tree.map(np.asarray, game.state)
    assert game.episode == 1
    for (_, timestep), frame in zip(game.replay(1, actions), frames, strict=True):
        same(timestep, frame)
    same(jax.tree.map(np.asarray, game.state), before)


def test_restart_keeps_the_others():
    game = NumpyEnv(ENV, 2, seed=0)
    frame = play(game, steps=1)[-1]
    fresh = game.restart(np.array([True, False]))
    assert fresh.reward[0] == 0.0
    same(jax.tree.map(lambda leaf: leaf[1], fresh), jax.tree.map(lambda leaf: leaf[1], frame))


def test_a_device_that_is_not_there():
    with pytest.raises(ConfigError, match="device=nonsense: jax finds no such device"):
        NumpyEnv(ENV, device="nonsense")
