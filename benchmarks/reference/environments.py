"""Reference implementations of our environments, which `experiments.benchmark env` times with the same work.

They restart within their own step, as their users have it, and return the observations (and what else an algorithm
reads) of every step in the carry of the scan, so that no compiler can leave them out.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from benchmarks.env_speed import random_legal

SMAX_MAPS = ("3m", "8m", "25m", "2s3z", "3s5z", "3s5z_vs_3s6z", "5m_vs_6m", "10m_vs_11m", "27m_vs_30m", "6h_vs_8z")


class ReferenceEnvironment(NamedTuple):
    """A reference implementation of one of our environments."""

    name: str
    package: str  # whose version is written beside the numbers
    # (num_envs) -> (open, step): open(key) gives a carry; step(carry, key) a carry and the environment steps made.
    build: Callable[[int], tuple[Callable, Callable]]


def _smax(map_name: str, num_envs: int) -> tuple[Callable, Callable]:
    """JaxMARL's SMAX on the same map; carry (state, observations, masks [E, A, U])."""
    import jax
    import jax.numpy as jnp
    from jaxmarl.environments.smax import HeuristicEnemySMAX, map_name_to_scenario

    env = HeuristicEnemySMAX(scenario=map_name_to_scenario(map_name))

    def masks(state):
        avail = jax.vmap(env.get_avail_actions)(state)
        return jnp.stack([avail[agent] for agent in env.agents], axis=1)

    def open_episodes(key):
        obs, state = jax.vmap(env.reset)(jax.random.split(key, num_envs))
        return state, obs, masks(state)

    def step(carry, key):
        state, _, avail = carry
        k_act, k_step = jax.random.split(key)
        action = random_legal(avail, k_act)
        actions = {agent: action[:, i] for i, agent in enumerate(env.agents)}
        obs, state, *_ = jax.vmap(env.step)(jax.random.split(k_step, num_envs), state, actions)
        return (state, obs, masks(state)), jnp.int32(num_envs)

    return open_episodes, step


def _pendulum(pendulums: int, num_envs: int) -> tuple[Callable, Callable]:
    """As many of gymnax's pendulums as ours has; `pendulums` of them count as one environment."""
    import jax
    import jax.numpy as jnp
    from gymnax.environments.classic_control.pendulum import Pendulum

    env, count = Pendulum(), num_envs * pendulums
    params = env.default_params

    def open_episodes(key):
        obs, state = jax.vmap(env.reset, in_axes=(0, None))(jax.random.split(key, count), params)
        return jax.tree.map(jnp.asarray, (state, obs, jnp.zeros(count)))

    def step(carry, key):
        k_act, k_step = jax.random.split(key)
        action = jax.random.uniform(k_act, (count, 1), minval=-params.max_torque, maxval=params.max_torque)
        play = jax.vmap(env.step, in_axes=(0, 0, 0, None))
        obs, state, reward, *_ = play(jax.random.split(k_step, count), carry[0], action, params)
        return (state, obs, reward), jnp.int32(num_envs)

    return open_episodes, step


def _simple_tag(num_envs: int) -> tuple[Callable, Callable]:
    """JaxMARL's simple_tag with as many bodies and steps, a random prey and continuous forces. What only the prey
    sees or earns is not in the carry, so that the compiler may leave it out."""
    import jax
    import jax.numpy as jnp
    from jaxmarl.environments.mpe.default_params import CONTINUOUS_ACT
    from jaxmarl.environments.mpe.simple_tag import SimpleTagMPE

    env = SimpleTagMPE(action_type=CONTINUOUS_ACT, max_steps=100)

    def seen(obs):
        return jnp.stack([obs[agent] for agent in env.adversaries], axis=1)

    def open_episodes(key):
        obs, state = jax.vmap(env.reset)(jax.random.split(key, num_envs))
        return state, seen(obs), jnp.zeros(num_envs, jnp.int32)

    def step(carry, key):
        k_act, k_step = jax.random.split(key)
        force = jax.random.uniform(k_act, (num_envs, env.num_agents, 2), minval=-1.0)
        rest = jnp.zeros(force.shape[:2])  # an action is (unused, left, right, down, up); right - left is the force
        action = jnp.stack([rest, rest, force[..., 0], rest, force[..., 1]], axis=-1)
        actions = {agent: action[:, i] for i, agent in enumerate(env.agents)}
        obs, state, reward, *_ = jax.vmap(env.step)(jax.random.split(k_step, num_envs), carry[0], actions)
        return (state, seen(obs), reward[env.adversaries[0]]), jnp.int32(num_envs)

    return open_episodes, step


def reference_of(name: str) -> ReferenceEnvironment | None:
    """The reference implementation of our environment `name`, if there is one."""
    family, _, member = name.partition(":")
    if family == "smax" and member in SMAX_MAPS:
        return ReferenceEnvironment("jaxmarl HeuristicEnemySMAX", "jaxmarl", partial(_smax, member))
    if family in ("multi_pendulum", "multi_pendulum_shaped"):
        return ReferenceEnvironment("gymnax Pendulum-v1", "gymnax", partial(_pendulum, int(member)))
    if name == "predator_prey":  # there is none of the partially observed one
        return ReferenceEnvironment("jaxmarl SimpleTagMPE", "jaxmarl", _simple_tag)
    return None
