"""The contracts between algorithms, replay buffers and the training loop. Shape letters are those of `envs.base`."""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from envs.base import TimeStep

Learner = Any  # params, targets, optimiser states, statistics: whatever one algorithm learns
PolicyParams = Any  # actor parameters: all that acting needs
Carry = Any  # recurrent state and last action; () when an algorithm needs none
Metrics = dict[str, jax.Array]  # scalars


class Clock(NamedTuple):
    """The progress of a seed. Control flow may depend on the iteration alone, which all seeds share, so that it stays
    unbatched under vmap; `env_steps` is each seed's own and enters arithmetic only."""

    iteration: jax.Array  # int32[]
    env_steps: jax.Array  # int32[] steps in which the agents acted before this iteration, in all environments together


class Batch(NamedTuple):
    """Consecutive rows of B environments (or sequences). Row t + 1 is the true successor of row t where `mask[t]` is 1.

    An episode of L steps fills L + 1 rows: its final observation has a row of its own, from which no action is
    taken (`mask` 0), so no observation is stored twice and none is lost. The row after it opens the next episode.

    | at index t                         | meaning                         | used for                                |
    |------------------------------------|---------------------------------|-----------------------------------------|
    | `ts`, `first`                      | acted on; opens an episode      | reset the carry BEFORE step t           |
    | `action`, `aux`                    | chosen at t                     | ratios, log-probabilities               |
    | `next.reward`                      | consequence of action t         | r_{t+1}                                 |
    | `next.terminated`                  | the successor is terminal       | discount = gamma (1 - terminated)       |
    | `next.boundary`                    | the episode ends after t        | cut lambda-traces                       |
    | `next.obs`, `next.state`           | the true successor              | bootstrap                               |
    | `mask`                             | 1 where an action was taken     | every reduction                         |
    """

    rows: TimeStep  # [T + 1, B, ...]
    first: jax.Array  # bool[T + 1, B]
    action: jax.Array  # int32[T, B, A] or f32[T, B, A, D]
    aux: Any  # [T, B, ...]
    mask: jax.Array  # f32[T, B]
    carry0: Carry  # [B, ...] the carry that row 0 was acted with

    @property
    def ts(self) -> TimeStep:
        return jax.tree.map(lambda x: x[:-1], self.rows)

    @property
    def next(self) -> TimeStep:
        return jax.tree.map(lambda x: x[1:], self.rows)


class ReplayBuffer(NamedTuple):
    """Where updates get their batches from: the newest rollout (`buffers.rollout`), or a replay of older ones.

    The clock is that of the iteration that made the newest rollout. All seeds share the iteration, so a position that
    is derived from it stays unbatched under vmap: writing there is a plain slice update, not a scatter.
    """

    init: Callable[[Batch], Any]  # abstract rollout -> state
    add: Callable[[Any, Batch, Clock], Any]  # (state, rollout, clock) -> state
    sample: Callable[[Any, Batch, jax.Array, Clock], Batch]  # (state, newest rollout, key, clock) -> batch


class Plan(NamedTuple):
    """How an algorithm is run."""

    num_envs: int  # E
    rollout_length: int  # T, rows per iteration and environment
    buffer: ReplayBuffer
    updates: int = 1  # calls of `update` per iteration
    warmup: int = 0  # env steps before the first update

    @property
    def steps_per_iteration(self) -> int:
        """Rows of a rollout: as many env steps, less one for each episode that ended."""
        return self.num_envs * self.rollout_length

    def is_warm(self, env_steps: Any) -> Any:
        """Whether a seed learns at the end of an iteration after which it has made so many env steps."""
        return env_steps >= self.warmup


class Algorithm(NamedTuple):
    """An algorithm is a value: pure functions built by one factory `make(spec, config)`."""

    init: Callable[[jax.Array], Learner]  # (key)
    policy: Callable[[Learner], PolicyParams]
    carry: Callable[[int], Carry]  # (num_envs)
    # (policy, carry, timestep [E, ...], first bool[E], key, clock, explore: bool) -> (carry, action, aux).
    # With explore=False it is greedy and depends on obs, avail and alive alone.
    act: Callable[..., tuple[Carry, jax.Array, Any]]
    update: Callable[[Learner, Batch, jax.Array, Clock], tuple[Learner, Metrics]]
    plan: Plan
    # For analyses, e.g. attention weights and intrinsic rewards: (learner, batch) -> named arrays.
    inspect: Callable[[Learner, Batch], dict[str, jax.Array]] = lambda learner, batch: {}
    # What depends on the clock alone, e.g. epsilon: logged in every iteration, metrics only in those with updates.
    schedules: Callable[[Clock], Metrics] = lambda clock: {}


class Runner(NamedTuple):
    """The state of acting in each of E environments, between two rollouts."""

    env_state: Any
    timestep: TimeStep  # [E, ...]
    first: jax.Array  # bool[E]
    carry: Carry
    episode_return: jax.Array  # f32[E] of the running episode
    episode_length: jax.Array  # int32[E]


class EpisodeStats(NamedTuple):
    """Sums over the episodes that ended in a rollout (exploring policy), and its env steps."""

    episodes: jax.Array
    return_sum: jax.Array
    length_sum: jax.Array
    won_sum: jax.Array
    env_steps: jax.Array  # int32[] rows in which the agents acted, of E x T


class TrainState(NamedTuple):
    """The whole state of one seed's training: checkpointed, vmapped over seeds and donated as one."""

    learner: Learner
    runner: Runner
    store: Any  # the state of the plan's replay buffer
    key: jax.Array
    env_steps: jax.Array  # int32[] made so far, in all environments together


def with_env_steps(states: Any, env_steps: jax.Array) -> Any:
    """`states` with other counts of env steps. They may be parts of other states, as a sweep's are."""
    return _map_states(lambda state: state._replace(env_steps=env_steps), states)


class _Uncounted(NamedTuple):
    """A TrainState in checkpoints that are older than the count of env steps."""

    learner: Learner
    runner: Runner
    store: Any
    key: jax.Array


def without_env_steps(states: Any) -> Any:
    """`states` without their counts; `with_env_steps` is the inverse."""
    return _map_states(lambda state: _Uncounted(state.learner, state.runner, state.store, state.key), states)


def _map_states(change: Callable, states: Any) -> Any:
    def one(node):
        if isinstance(node, _Uncounted):
            node = TrainState(*node, None)
        return change(node) if isinstance(node, TrainState) else node

    return jax.tree.map(one, states, is_leaf=lambda node: isinstance(node, TrainState | _Uncounted))


def masked_mean(x: jax.Array, mask: jax.Array) -> jax.Array:
    """Mean of `x` where `mask` is 1; 0 where it is 0 everywhere. `mask` has the shape of `x`, or axes of size 1."""
    chex.assert_equal_rank([x, mask])
    mask = jnp.broadcast_to(mask, x.shape)
    return (x * mask).sum() / jnp.maximum(mask.sum(), 1.0)
