"""Every option that an algorithm offers changes what is trained, and what it does not offer changes nothing.

One iteration, from the seed on, is traced at the smallest sizes with a field as it is and changed; nothing is compiled.
What no result depends on is taken out of the traced program first.
"""

import dataclasses
import functools
import hashlib
import re
import typing

import jax
import numpy as np
import pytest
from jax.interpreters.partial_eval import dce_jaxpr

from envs.errors import ConfigError
from envs.registry import make_env
from iacjax.algorithms.registry import ALGORITHMS, option_names
from iacjax.trainer import init_state, train_step

SMALL = {"hidden_dim": 8, "critic_dim": 8, "embed_dim": 8, "mix_dim": 4, "mixer_dim": 4, "hyper_dim": 4, "heads": 2}
SMALL |= {"num_envs": 4, "rollout_length": 4, "batch_size": 4, "buffer_size": 64, "warmup": 16}
SMALL |= {"updates_per_step": 1 / 8, "epochs": 2, "minibatches": 2}

# Options that say in their docstring, or when they are refused, beside which other one they have an effect, where that
# is not the default.
BESIDE = {
    "agent_layers": {"recurrent": False},
    "others_actions": {"recurrent": False},
    "baseline_samples": {"policy_gradient": "score"},
    "critic_layers": {"critic": "plain"},
    "hyper_dim": {"mixer_layers": 2},
    "advantage_dim": {"advantage_layers": 2},
    "epochs": {"critic_update": "epochs"},
    "minibatches": {"critic_update": "epochs"},
    "noise_scale": {"exploration": "deterministic", "entropy": "none", "policy": "deterministic"},
    "anneal_to": {"anneal_steps": 100},
}
# Not offered and yet in the program, with the reason.
INERT = {"rank": "the size of a noise that policies without shared noise draw, carry and do not use"}
# What makes one algorithm another, which is an algorithm of its own.
CHOICES = ("reward_net", "combine", "mixer", "recurrent", "others_actions", "exploration", "critic", "entropy")
CHOICES += ("actor_update",)
NAMES = [name for name in ALGORITHMS if name != "fake"]


@functools.cache
def _world(discrete):
    """Three agents where they can attend to each other: with one other alone there is nothing to weigh."""
    return make_env("toy:coordination") if discrete else make_env("multi_pendulum:3", horizon=2)


def _config(algo):
    kind = ALGORITHMS[algo].config
    names = {field.name for field in dataclasses.fields(kind)}
    layers = {name: 1 for name in names if name.endswith("_layers")}
    return kind(**{name: value for name, value in SMALL.items() if name in names}, **layers)


@functools.cache
def _program(algo, config, discrete):
    """A hash of one iteration from the seed on, traced, without what its results do not depend on."""
    entry = ALGORITHMS[algo]
    env = _world(discrete)
    algorithm = entry.make(env.spec, config)

    def one_iteration(key, iteration):
        return train_step(env, algorithm, init_state(env, algorithm, key), iteration)

    closed = jax.make_jaxpr(one_iteration)(*jax.eval_shape(lambda: (jax.random.key(0), jax.numpy.int32(0))))
    jaxpr, _ = dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars), instantiate=True)
    text = re.sub(r"0x[0-9a-f]+", "", str(jaxpr)) + str([np.asarray(x).tobytes() for x in closed.consts])
    return hashlib.sha256(text.encode()).hexdigest()


def _others(field, value):
    """Other values that the field may have."""
    if typing.get_origin(field.type) is typing.Literal:
        return [other for other in typing.get_args(field.type) if other != value]
    if field.type is bool:
        return [not value]
    if field.type is int:
        return [2 * value if value else 8]
    return [value / 2 if value else 0.5]


def _changes(algo, base, field):
    """Whether some other value of the field, if it is not refused, makes another program with some kind of actions."""
    entry = ALGORITHMS[algo]
    for discrete in {entry.discrete, not entry.continuous}:
        for other in _others(field, getattr(base, field.name)):
            try:
                changed = dataclasses.replace(base, **{field.name: other})
                if _program(algo, changed, discrete) != _program(algo, base, discrete):
                    return True
            except ConfigError:
                continue
    return False


@pytest.mark.slow
@pytest.mark.parametrize("algo", NAMES)
def test_offered_fields_change_the_program_and_the_others_do_not(algo):
    config = _config(algo)
    offered = option_names(config)
    dead, alive = [], []
    for field in dataclasses.fields(config):
        fields = {k: v for k, v in BESIDE.get(field.name, {}).items() if k in offered}
        changes = _changes(algo, dataclasses.replace(config, **fields), field)
        if field.name in offered and not changes:
            dead.append(field.name)
        if field.name not in offered and changes and field.name not in (*INERT, *CHOICES):
            alive.append(field.name)
    assert (dead, alive) == ([], [])


@pytest.mark.parametrize("algo", NAMES)
def test_what_is_not_offered_is_a_field(algo):
    config = ALGORITHMS[algo].config()
    names = [field.name for field in dataclasses.fields(config)]
    without = config.without
    assert len(set(without)) == len(without) and set(without) <= set(names)
    assert option_names(config) == [name for name in names if name not in without]
