"""What a trained learner computes for an episode: intrinsic rewards, attention weights, values (AIIR-MIX's figure 5).

    episode, numbers = inspect_run("runs/smax_2s3z/aiir_mix/DIR")
    numbers["intrinsic_reward"]  # [T, A]
    numbers["attention"]         # [T, A, A], row i the weights of agent i

The saved policy is not enough: the networks that make rewards are not part of it, so the run's newest checkpoint is
read.
"""

import pathlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from envs.errors import ConfigError
from experiments.analysis.playback import choose_index, play
from experiments.config.schema import read_config
from experiments.config.trust import Trust, check_trusted
from experiments.runs.build import build, state_shapes
from experiments.runs.checkpoint import Checkpoints, fingerprints_of

if TYPE_CHECKING:
    from envs.rendering import Episode


def load_learners(run_dir: str | pathlib.Path, trust: Trust = False) -> dict[int, Any]:
    """The learner of every seed of a run, from its newest checkpoints: {seed: learner}.

    Raises:
      ConfigError: no run there, an untrusted custom environment (see `load_seed`), or no usable checkpoint.
    """
    import jax

    directory = pathlib.Path(run_dir)
    settings = read_config(directory)
    check_trusted(settings.run.env, directory, trust)
    env, algorithm = build(settings)
    learners = {}
    for group in sorted((directory / "checkpoints").glob("seeds_*")):
        first, last = (int(number) for number in group.name.removeprefix("seeds_").split("-"))
        seeds = range(first, last + 1)
        abstract = state_shapes(env, algorithm, len(seeds))
        checkpoints = Checkpoints(group, fingerprints_of(settings), every=0, keep=settings.run.keep_checkpoints)
        found = checkpoints.restore(abstract)
        for k, seed in enumerate(seeds if found else ()):
            learners[seed] = jax.tree.map(lambda x, k=k: x[k], found[0].learner)
    if not learners:
        raise ConfigError(f"no checkpoint in {directory}: give the directory of a run that has trained")
    return learners


def as_batch(episode: "Episode", carry0: Any) -> Any:
    """An episode of one environment as a `Batch` of one environment, without `aux`."""
    import jax
    import jax.numpy as jnp

    from iacjax.types import Batch

    rows = jax.tree.map(lambda *moments: jnp.stack(moments), *episode.timesteps)
    first = jnp.zeros(rows.boundary.shape, bool).at[0].set(True)
    mask = (~rows.boundary[:-1]).astype(jnp.float32)
    return Batch(rows, first, jnp.stack(episode.actions), (), mask, carry0)


def numbers_per_agent(env: Any, algorithm: Any) -> list[str]:
    """Names of what the algorithm's `inspect` has one number of for each agent and step. Nothing is compiled."""
    import jax
    import jax.numpy as jnp

    from envs.rendering import Episode

    def inspect(key):
        learner = algorithm.init(key)
        state, timestep = env.reset(key, 1)
        acting = _Acting(algorithm, algorithm.policy(learner))
        _, action = acting.act(algorithm.carry(1), timestep, jnp.ones(1, bool), 0)
        _, after = env.step(key, state, action)
        return algorithm.inspect(learner, as_batch(Episode([], [timestep, after], [action]), algorithm.carry(1)))

    shapes = jax.eval_shape(inspect, jax.random.key(0))
    return [name for name, shape in shapes.items() if shape.shape == (1, 1, env.spec.num_agents)]


def inspect_run(
    run_dir: str | pathlib.Path, seed_index: int | None = None, trust: Trust = False
) -> tuple["Episode", dict[str, np.ndarray]]:
    """Plays one greedy episode with one seed of a run (None: the best) and runs its algorithm's `inspect` on it.

    Returns:
      (the episode, what `inspect` returns for its T steps: arrays [T, ...], without an axis of environments).

    Raises:
      ConfigError: as `load_seed`, or an algorithm that has nothing to inspect.
    """
    trained = load_seed(run_dir, seed_index, trust)
    episode = trained.play(1)
    return episode, trained.inspect(episode)


class TrainedSeed(NamedTuple):
    """One seed of a run, from its newest checkpoint."""

    env: Any
    algorithm: Any
    learner: Any
    seed: int

    def play(self, num_episodes: int) -> "Episode":
        """Greedy episodes, one in each parallel environment, always the same ones."""
        import jax

        acting = _Acting(self.algorithm, self.algorithm.policy(self.learner))
        return play(self.env, acting, 0, jax.random.key(self.seed), num_episodes)

    def inspect(self, episode: "Episode", index: int = 0) -> dict[str, np.ndarray]:
        """What the algorithm's `inspect` returns for the episode in environment `index`: arrays [T, ...].

        Raises:
          ConfigError: it returns nothing.
        """
        import jax

        steps = 1 + next(t for t, ts in enumerate(episode.timesteps[1:]) if ts.boundary[index])
        rows = [jax.tree.map(lambda x: x[index : index + 1], ts) for ts in episode.timesteps[: steps + 1]]
        actions = [action[index : index + 1] for action in episode.actions[:steps]]
        batch = as_batch(episode._replace(timesteps=rows, actions=actions), self.algorithm.carry(1))
        numbers = jax.jit(self.algorithm.inspect)(self.learner, batch)
        if not numbers:
            raise ConfigError(f"the algorithm of this run on {self.env.spec.name} has no numbers to inspect")
        return {name: np.asarray(value[:, 0]) for name, value in numbers.items()}


def load_seed(run_dir: str | pathlib.Path, seed_index: int | None = None, trust: Trust = False) -> TrainedSeed:
    """One seed of a run (None: the best). `trust`: True runs the custom environment that the run names; a name runs
    that one alone.

    Raises:
      ConfigError: no such run or seed, an untrusted environment, or no usable checkpoint.
    """
    learners = load_learners(run_dir, trust)
    env, algorithm = build(read_config(pathlib.Path(run_dir)))
    seeds = sorted(learners)
    seed = seeds[choose_index(run_dir, seeds, seed_index)]
    return TrainedSeed(env, algorithm, learners[seed], seed)


class _Acting:
    """The part of `iacjax.Policy` that `play` uses."""

    def __init__(self, algorithm: Any, params: Any):
        self._algorithm, self._params = algorithm, params
        self.carry = algorithm.carry

    def act(self, carry: Any, timestep: Any, first: Any, seed_index: int) -> tuple[Any, Any]:
        import jax
        import jax.numpy as jnp

        from iacjax.types import Clock

        clock, key = Clock(jnp.int32(0), jnp.int32(0)), jax.random.key(0)
        carry, action, _ = self._algorithm.act(self._params, carry, timestep, first, key, clock, explore=False)
        return carry, action
