"""A small learner for the tests of the host's loop: a softmax policy on a bias alone, REINFORCE, and a countdown."""

import dataclasses

import jax
import jax.numpy as jnp

from iacjax.algorithms.common.config import AlgorithmConfig
from iacjax.algorithms.registry import ALGORITHMS, Entry
from iacjax.buffers.rollout import rollout_buffer
from iacjax.types import Algorithm, Plan, masked_mean


@dataclasses.dataclass(frozen=True)
class FakeConfig(AlgorithmConfig):
    """Fields of a fake learner."""

    lr: float = 0.1
    """Step size."""
    num_envs: int = 4
    """Parallel environments."""
    rollout_length: int = 8
    """Rows per iteration."""
    nan_at: int = 0
    """Iteration whose loss is NaN in every odd seed's eyes; 0: never."""
    warmup: int = 0
    """Env steps before the first update."""


def make(spec, config):
    shape = (spec.num_agents, spec.action.num_actions)

    def init(key):
        return {"logits": 0.01 * jax.random.normal(key, shape), "count": jnp.zeros((), jnp.int32)}

    def act(policy, carry, timestep, first, key, clock, explore):
        logits = jnp.where(timestep.avail, policy["logits"], -1e9)
        action = jax.random.categorical(key, logits) if explore else logits.argmax(-1)
        return carry, action.astype(jnp.int32), ()

    def update(learner, batch, key, clock):
        def loss(logits):
            log_probs = jax.nn.log_softmax(logits)
            chosen = jnp.take_along_axis(
                jnp.broadcast_to(log_probs, (*batch.action.shape, shape[1])), batch.action[..., None], -1
            )[..., 0].sum(-1)
            return -masked_mean(chosen * batch.next.reward, batch.mask)

        value, gradient = jax.value_and_grad(loss)(learner["logits"])
        broken = (clock.iteration + 1 == config.nan_at) & (config.nan_at > 0) | (jnp.asarray(config.lr) > 1e38)
        metrics = {"loss": jnp.where(broken, jnp.nan, value), "noise": jax.random.normal(key)}
        logits = learner["logits"] - config.lr * gradient
        return {"logits": logits, "count": learner["count"] + 1}, metrics

    return Algorithm(
        init=init,
        policy=lambda learner: {"logits": learner["logits"]},
        carry=lambda num_envs: (),
        act=act,
        update=update,
        plan=Plan(config.num_envs, config.rollout_length, rollout_buffer(), warmup=config.warmup),
        schedules=lambda clock: {"pace": 1.0 - clock.env_steps / 100},
    )


ENTRY = Entry("Fake", FakeConfig, "tests.helpers.fake_algorithm:make", "for tests", discrete=True)


def register():
    """Adds `fake` to the registry of this process."""
    ALGORITHMS["fake"] = ENTRY


if __name__ == "__main__":  # the run command, in a process of its own
    import sys

    from experiments.run import main

    register()
    sys.exit(main())
