"""Trains one tiny run on one device and on several, and compares all that comes of it; run in a process of its own.

python -m tests.helpers.split_training ALGO SEEDS DEVICES...
"""

import dataclasses
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from envs.registry import make_env
from experiments.distributed.layout import make_mesh
from experiments.runs.build import seed_keys
from experiments.training.compile import compile_lowered, lower_run
from iacjax.algorithms.registry import get_entry
from iacjax.device_mesh import SEEDS, SplitResets

ITERATIONS = 3
SMALL = {"num_envs": 8, "rollout_length": 6, "hidden_dim": 8}
EPOCHS = {"minibatches": 2, "epochs": 2, "critic_dim": 8}
REPLAY = {"batch_size": 16, "updates_per_step": 1 / 24, "warmup": 48, "mixer_dim": 4}
FIELDS = {
    "aiir_mix": EPOCHS | {"embed_dim": 8, "mix_dim": 4},
    "mappo": EPOCHS,
    "happo": EPOCHS,
    "mat": EPOCHS,
    "coma": {"critic_dim": 8},
    "qmix": REPLAY | {"buffer_size": 2048},
    "qplex": REPLAY | {"buffer_size": 2048},
    "pqn_vdn": {"minibatches": 2, "epochs": 2},
    "iac": REPLAY | {"buffer_size": 960},
    "facmac": REPLAY | {"buffer_size": 960},
    "masac": REPLAY
    | {"buffer_size": 960, "critic_lr": 1e-4},  # its gradients are small, and Adam enlarges what differs
}
CONTINUOUS = ("iac", "facmac", "masac")


def make(algo):
    """(environment, algorithm) of a few small layers; of `FIELDS` those that its configuration has."""
    entry = get_entry(algo)
    # Few steps an episode: pendulums enlarge what differs.
    env = make_env("multi_pendulum_shaped:2", horizon=20) if algo in CONTINUOUS else make_env("toy:variable")
    known = {field.name for field in dataclasses.fields(entry.config)}
    fields = {name: value for name, value in (SMALL | FIELDS[algo]).items() if name in known}
    return env, entry.make(env.spec, dataclasses.replace(entry.config(), **fields))


def train(env, algorithm, seeds, devices):
    """(devices of a seed, states, metrics, episode statistics, greedy episodes), all of ITERATIONS and `seeds`."""
    compiled = compile_lowered(lower_run(env, algorithm, seeds, eval_episodes=8, devices=devices))
    layout, keys = compiled.layout, seed_keys(tuple(range(seeds)))
    states = compiled.init(layout.shard(keys))
    states, *rows = compiled.chunk(states, np.int32(0), np.int32(ITERATIONS))
    episodes = compiled.evaluate.result()(states, layout.shard(keys))
    rows = [jax.tree.map(lambda x: x[:ITERATIONS, :seeds], layout.fetch(row)) for row in rows]
    return layout, layout.unshard(states), *rows, jax.tree.map(lambda x: x[:seeds], layout.fetch(episodes))


def numbers(x):
    return np.asarray(jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x)


def close(path, x, y):
    """Sums over environments are in another order, and Adam divides by the root of small numbers: 1e-4 and 1e-5 are ten
    times what three iterations made of it. Actions drawn are the same, so integers are equal."""
    x, y, name = numbers(x), numbers(y), jax.tree_util.keystr(path)
    if x.dtype == np.uint32:  # rows of a replay, bit by bit; what differs are numbers
        differs = x != y
        x, y = x[differs].view(np.float32), y[differs].view(np.float32)
    if np.issubdtype(x.dtype, np.floating):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5, err_msg=name)
    else:
        np.testing.assert_array_equal(x, y, err_msg=name)


def play(env, key):
    """The timesteps of 256 environments after four steps of random legal actions."""
    state, timestep = SplitResets(env).reset(key, 256)
    for k in range(4):
        action = jax.random.categorical(jax.random.fold_in(key, k), jnp.where(timestep.avail, 0.0, -1e9))
        state, timestep = env.step(key, state, action)
    return timestep


def compare_steps(devices):
    env, key = make_env("smax:3m"), jax.random.key(3)
    alone = jax.jit(play, static_argnums=0)(env, key)
    for count in devices:
        mesh = make_mesh(jax.devices()[:count], count)
        spec = {"in_specs": PartitionSpec(), "out_specs": PartitionSpec(), "axis_names": {SEEDS}, "check_vma": False}
        split = jax.jit(jax.shard_map(lambda key: play(env, key), mesh=mesh, **spec))(key)
        assert split.obs.sharding.shard_shape(split.obs.shape)[0] == 256 // count, split.obs.sharding
        jax.tree_util.tree_map_with_path(close, split, alone)
        print(f"smax on {count} devices as on one")


def main(algo, seeds, devices):
    if algo == "smax":
        return compare_steps(devices)
    env, algorithm = make(algo)
    _, *alone = train(env, algorithm, seeds, 1)
    assert algo in CONTINUOUS or np.asarray(alone[2].episodes).sum() > 0, "no episode ended"
    for count in devices:
        layout, *split = train(env, algorithm, seeds, count)
        assert (layout.blocks, layout.devices_per_member) == (seeds, count // seeds), layout
        jax.tree_util.tree_map_with_path(close, split, alone)
        print(f"{algo}: {seeds} seed(s) on {count} devices as on one")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), [int(word) for word in sys.argv[3:]])
