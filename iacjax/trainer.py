"""The one training step: every algorithm, every replay buffer, many seeds in one program."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from envs.base import Environment
from iacjax import rollout as acting
from iacjax.device_mesh import ENVS, SEEDS, SplitResets, doubled_axes, env_devices, split_at, split_envs, time_major
from iacjax.evaluation import Episodes, evaluate
from iacjax.types import Algorithm, Batch, Clock, EpisodeStats, Metrics, TrainState


class Trainer(NamedTuple):
    """The compiled functions of a run. S seeds are a leading axis on every leaf; see `make_trainer`."""

    init: Callable[[jax.Array], TrainState]  # (keys [S]) -> states
    # (states, first iteration, n <= chunk_size) -> (states, metrics [chunk_size, S], stats [chunk_size, S]).
    # `states` is donated; rows from n on are zero. n is traced, so chunks of any size are one program.
    chunk: Callable[[TrainState, jax.Array | int, jax.Array | int], tuple[TrainState, Metrics, EpisodeStats]]
    evaluate: Callable[[TrainState, jax.Array], Episodes]  # (states, keys [S]) -> [S, N]
    # One seed, one iteration, unjitted: (state, iteration) -> (state, metrics, stats).
    step: Callable[[TrainState, jax.Array | int], tuple[TrainState, Metrics, EpisodeStats]]
    shardings: Callable[[TrainState], Any]  # (states or their shapes) -> those of a mesh; None without one


def init_state(env: Environment, algorithm: Algorithm, key: jax.Array, times: int = 1) -> TrainState:
    """The state of one seed before its first iteration; with `times` as many environments as the plan has."""
    algorithm = algorithm._replace(plan=algorithm.plan._replace(num_envs=times * algorithm.plan.num_envs))
    k_learner, k_runner, k_run = jax.random.split(key, 3)
    learner = algorithm.init(k_learner)
    runner = acting.start(env, algorithm, k_runner)
    clock = Clock(jnp.int32(0), jnp.int32(0))

    def one_rollout(learner, runner, key):
        return acting.rollout(env, algorithm, algorithm.policy(learner), runner, key, clock)[1]

    batch = jax.eval_shape(one_rollout, learner, runner, k_run)
    return TrainState(learner, runner, algorithm.plan.buffer.init(batch), k_run, jnp.zeros((), jnp.int32))


def train_step(
    env: Environment, algorithm: Algorithm, state: TrainState, iteration: jax.Array
) -> tuple[TrainState, Metrics, EpisodeStats]:
    """One iteration of one seed: a rollout of E x T rows, then the plan's updates.

    The metrics are means over the updates, 0 where there was none (`Plan.is_warm`), and the schedules.
    """
    plan = algorithm.plan
    clock = Clock(iteration, state.env_steps)
    k_rollout, k_update = jax.random.split(jax.random.fold_in(state.key, iteration))
    policy = algorithm.policy(state.learner)
    with jax.named_scope("rollout"):  # the scopes are names in profiles, and in `experiments.benchmark kernels`
        runner, batch, stats = acting.rollout(env, algorithm, policy, state.runner, k_rollout, clock)
    env_steps = state.env_steps + stats.env_steps
    with jax.named_scope("replay"):
        store = plan.buffer.add(state.store, batch, clock)

    def update(learner, key):
        k_sample, k_learn = jax.random.split(key)
        with jax.named_scope("replay"):
            sampled = split_batch(plan.buffer.sample(store, batch, k_sample, clock))
        with jax.named_scope("learning"), time_major():
            return algorithm.update(learner, sampled, k_learn, clock)

    keys = jax.random.split(k_update, plan.updates)
    if plan.warmup == 0:
        learner, metrics = jax.lax.scan(update, state.learner, keys)
        metrics = jax.tree.map(lambda x: x.mean(0), metrics)
    else:
        # No seed is warm before it has as many rows; all seeds have the same rows, so most of a warm-up has no updates.
        some_warm = iteration + 1 >= math.ceil(plan.warmup / plan.steps_per_iteration)
        learner, metrics = _updates_if(some_warm, plan.is_warm(env_steps), update, state.learner, keys)
    return TrainState(learner, runner, store, state.key, env_steps), metrics | algorithm.schedules(clock), stats


def split_batch(batch: Batch) -> Batch:
    """A batch whose environments, or sequences, are split over the devices of a seed."""
    return split_envs(batch._replace(carry0=()), 1)._replace(carry0=split_envs(batch.carry0, 0))


def _updates_if(
    some_warm: jax.Array, warm: jax.Array, update: Callable, learner: Any, keys: jax.Array
) -> tuple[Any, Metrics]:
    """All updates where `warm`, else none and metrics of zero; where not `some_warm`, they are not computed.

    A loop of all or of no iterations works in place; `lax.cond` copies every leaf of the learner (IAC on a GPU: 173 of
    the 390 kernels of an iteration), and would copy the replay if it were an operand.
    """
    shapes = jax.eval_shape(update, learner, keys[0])[1]
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

    def body(i, carry):
        learner, total = carry
        new, metrics = update(learner, keys[i])
        added = jax.tree.map(jnp.add, total, metrics)
        return jax.tree.map(partial(jnp.where, warm), (new, added), carry)

    learner, total = jax.lax.fori_loop(0, jnp.where(some_warm, len(keys), 0), body, (learner, zeros))
    return learner, jax.tree.map(lambda x: x / len(keys), total)


def over_seeds(function: Callable, num_seeds: int) -> Callable:
    """`function(tree, *shared)` for trees with the seeds as first axis: vmapped, or, for one seed, called without it.

    XLA's CPU backend is up to 2.6 times slower on batched matrix products with one more axis, of size 1.
    """
    if num_seeds == 1:
        return function
    return lambda tree, *shared: jax.vmap(function, in_axes=(0, *(None for _ in shared)))(tree, *shared)


def strip_seeds(tree: Any, num_seeds: int) -> Any:
    """`tree` without the axis of seeds where there is one seed; `add_seeds` is the inverse."""
    return jax.tree.map(lambda x: x[0], tree) if num_seeds == 1 else tree


def add_seeds(tree: Any, num_seeds: int) -> Any:
    """The inverse of `strip_seeds`."""
    return jax.tree.map(lambda x: x[None], tree) if num_seeds == 1 else tree


def over_devices(function: Callable, mesh: Mesh | None, seed_axes: tuple, out_axes: Any) -> Callable:
    """`function` on each device's own seeds; as it is where there is no mesh.

    Seeds are independent, so each device runs the whole program on its own, and where a device has one seed its axis is
    stripped, as it is of a run of one seed. There are collectives only where several devices share a seed's
    environments (the mesh has an axis ENVS).

    Args:
      seed_axes: for each argument, and `out_axes` for the results, the axis of the seeds; None: there is none.
    """
    if mesh is None:
        return function

    def spec(axis):
        return PartitionSpec() if axis is None else PartitionSpec(*(None,) * axis, SEEDS)

    in_specs, out_specs = tuple(map(spec, seed_axes)), jax.tree.map(spec, out_axes)
    return jax.shard_map(
        function, mesh=mesh, in_specs=in_specs, out_specs=out_specs, axis_names={SEEDS}, check_vma=False
    )


class StateAxes:
    """Where the environments are in the state of one seed: found by asking for its shapes with twice as many."""

    def __init__(self, init_one: Callable, inputs_of: Callable, mesh: Mesh | None):
        """See `assemble_trainer`."""
        self.init_one, self.inputs_of, self.mesh = init_one, inputs_of, mesh
        self._found: Any = None

    def of(self, state: Any) -> Any:
        """For each leaf of a state the axis of the environments, -1 where it has none."""
        if self._found is None:  # tracing an initial state takes a second
            inputs = self.inputs_of(state)
            self._found = doubled_axes(lambda times: jax.eval_shape(partial(self.init_one, times=times), inputs))
        return self._found

    def split(self, state: Any) -> Any:
        """A state whose environments are split over the devices of its seed."""
        return state if env_devices() == 1 else split_at(state, self.of(state))

    def shardings(self, states: Any) -> Any:
        """The shardings of states with the seeds as first axis; None where there is no mesh."""
        if self.mesh is None:
            return None
        one_state = jax.eval_shape(lambda states: jax.tree.map(lambda x: x[0], states), states)
        split = ENVS in self.mesh.shape
        axes = self.of(one_state) if split else jax.tree.map(lambda _: -1, states)

        def one(x, axis):
            rest = () if axis < 0 else (*(None,) * axis, ENVS)
            spec = PartitionSpec(SEEDS, *rest) if x.size else PartitionSpec()  # XLA does not split what is empty
            return NamedSharding(self.mesh, spec)

        return jax.tree.map(one, states, axes)

    def place(self, states: Any) -> Any:
        """States with the seeds as first axis, as `shardings` says."""
        shardings = self.shardings(states)
        return states if shardings is None else jax.lax.with_sharding_constraint(states, shardings)


def make_trainer(
    env: Environment, algorithm: Algorithm, chunk_size: int, eval_episodes: int, mesh: Mesh | None = None
) -> Trainer:
    """Builds the compiled functions of a run. `chunk_size` bounds the iterations of one call of `chunk`.

    With a mesh the seeds, a multiple of its axis SEEDS, are spread over it, and the environments of a seed over its
    axis ENVS, where it has one; a device then has one seed.
    """

    def evaluate_one(state, key):
        return evaluate(SplitResets(env), algorithm, algorithm.policy(state.learner), key, eval_episodes)

    step, init_one = partial(train_step, env, algorithm), partial(init_state, env, algorithm)
    return assemble_trainer(init_one, step, evaluate_one, chunk_size, mesh, lambda state: state.key)


def assemble_trainer(
    init_one: Callable, step: Callable, evaluate_one: Callable, chunk_size: int, mesh: Mesh | None, inputs_of: Callable
) -> Trainer:
    """The compiled functions of many seeds, given those of one.

    Args:
      init_one: (the inputs of one seed, its key for instance; times=1) -> state; see `init_state`.
      step: (state, iteration) -> (state, metrics, stats).
      evaluate_one: (state, key) -> Episodes.
      inputs_of: state -> inputs of `init_one`, of the same shapes as those that it was made of.
    """
    axes = StateAxes(init_one, inputs_of, mesh)

    def split_step(state, iteration):
        state, *rest = step(axes.split(state), iteration)
        return axes.split(state), *rest

    def evaluate_seeds(states, keys):
        num_seeds = keys.shape[0]
        play = over_seeds(lambda state_and_key: evaluate_one(*state_and_key), num_seeds)
        return add_seeds(play(strip_seeds((states, keys), num_seeds)), num_seeds)

    # One seed after the other: jaxlib's batched QR (orthogonal initialisers) blocks a thread of the pool that it needs,
    # and two at once deadlock on two cores.
    def init_seeds(inputs):
        return jax.lax.map(lambda inputs: axes.split(init_one(inputs)), inputs)

    def init(inputs):
        return axes.place(over_devices(init_seeds, mesh, (0,), 0)(inputs))

    def chunk(states, t0, n):
        steps = partial(_chunk, split_step, chunk_size)
        states, *rows = over_devices(steps, mesh, (0, None, None), (0, 1, 1))(states, t0, n)
        return axes.place(states), *rows

    return Trainer(
        init=jax.jit(init),
        chunk=jax.jit(chunk, donate_argnums=0),
        evaluate=jax.jit(over_devices(evaluate_seeds, mesh, (0, 0), 0)),
        step=step,
        shardings=axes.shardings,
    )


def _chunk(step: Callable, chunk_size: int, states: Any, t0: jax.Array, n: jax.Array) -> tuple[Any, Metrics, Any]:
    """`n` iterations of the seeds of one device; see `Trainer.chunk`."""
    num_seeds = jax.tree.leaves(states)[0].shape[0]
    # Jitted so that shapes and calls share one trace, which saves a second of start-up.
    step_seeds = jax.jit(over_seeds(step, num_seeds))
    states = strip_seeds(states, num_seeds)  # before the loop, whose state must keep its layout
    shapes = jax.eval_shape(step_seeds, states, t0)[1:]
    rows = jax.tree.map(lambda x: jnp.zeros((chunk_size, *x.shape), x.dtype), shapes)

    def body(i, carry):
        states, rows = carry
        states, *new = step_seeds(states, t0 + i)
        return states, jax.tree.map(lambda row, x: row.at[i].set(x), rows, tuple(new))

    states, rows = jax.lax.fori_loop(0, n, body, (states, rows))
    metrics, stats = jax.tree.map(lambda row: row.reshape(chunk_size, num_seeds), rows)
    return add_seeds(states, num_seeds), metrics, stats
