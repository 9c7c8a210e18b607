"""`iacjax.make_algorithm`: an algorithm by name, from Python."""

import jax
import jax.numpy as jnp
import pytest

import iacjax
from envs.errors import ConfigError
from envs.registry import make_env
from iacjax.trainer import init_state, train_step

SMALL = {"hidden_dim": 8, "num_envs": 2, "rollout_length": 2}


def test_it_trains():
    env = make_env("toy:coordination")
    algorithm = iacjax.make_algorithm("ippo", env.spec, critic_dim=8, minibatches=1, **SMALL)
    assert algorithm.plan.num_envs == 2

    def one_iteration(key):
        return train_step(env, algorithm, init_state(env, algorithm, key), jnp.int32(0))

    _, metrics, stats = jax.eval_shape(one_iteration, jax.random.key(0))
    assert "actor_loss" in metrics and stats.env_steps.dtype == jnp.int32


@pytest.mark.parametrize(
    "name, fields, message",
    [
        ("ipo", {}, "unknown algorithm 'ipo': did you mean ippo?"),
        ("iac", {}, "iac cannot handle the discrete actions of toy:coordination"),
        ("ippo", {"lrr": 1e-3}, "ippo has no field lrr: see python -m experiments.run --algo ippo --help"),
        ("vdn", {"mixer": "qmix"}, "vdn has no field mixer"),
        ("ippo", {"lr": -1.0}, "--lr must be more than 0, not -1.0"),
        ("ippo", {"num_envs": 3}, "--minibatches must divide --num-envs 3, which 4 does not"),
    ],
)
def test_what_cannot_be_made_is_refused_in_one_line(name, fields, message):
    with pytest.raises(ConfigError) as caught:
        iacjax.make_algorithm(name, make_env("toy:coordination").spec, **fields)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)
