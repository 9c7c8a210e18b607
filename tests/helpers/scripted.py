"""An algorithm that learns nothing: it counts, so that the loop around it can be checked by numbers."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from envs.base import EnvSpec
from envs.check import random_actions
from iacjax.buffers import rollout_buffer
from iacjax.types import Algorithm, Plan, masked_mean


class Counter(NamedTuple):
    """What the scripted algorithm "learns"."""

    updates: jax.Array  # int32[] calls of update
    rewards: jax.Array  # f32[] sum of the batches' mean rewards


def make_scripted(
    spec: EnvSpec, num_envs: int, length: int, buffer=None, updates: int = 1, warmup: int = 0
) -> Algorithm:
    """Explores uniformly, is greedy by always choosing the highest legal action.

    Its carry counts the actions since the episode opened; `aux` is that count before the action, int32[E].
    """

    def act(policy, carry, timestep, first, key, clock, explore):
        since = jnp.where(first, 0, carry)
        if explore:
            action = random_actions(key, spec, timestep.avail)
        else:
            last = spec.action.num_actions - 1
            action = (last - jnp.argmax(timestep.avail[..., ::-1], -1)).astype(jnp.int32)
        return since + 1, action, since

    def update(learner, batch, key, clock):
        reward = masked_mean(batch.next.reward, batch.mask)
        metrics = {"reward": reward, "updates": learner.updates.astype(jnp.float32), "env_steps": clock.env_steps}
        return Counter(learner.updates + 1, learner.rewards + reward), metrics

    return Algorithm(
        init=lambda key: Counter(jnp.int32(0), jax.random.uniform(key, (), jnp.float32)),
        policy=lambda learner: (),
        carry=lambda num_envs: jnp.zeros(num_envs, jnp.int32),
        act=act,
        update=update,
        plan=Plan(num_envs, length, buffer or rollout_buffer(), updates, warmup),
    )
