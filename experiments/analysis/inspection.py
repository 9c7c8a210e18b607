"""What a trained learner thinks of an episode: intrinsic rewards, attention weights, values (AIIR-MIX's figure 5).

    episode, seen = insight("runs/smax_2s3z/aiir_mix/DIR")
    seen["intrinsic_reward"]  # [T, A]
    seen["attention"]         # [T, A, A], row i the weights of agent i

The policy alone cannot tell: the nets that make rewards are not part of it, so the run's newest checkpoint is read.
"""

import pathlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from envs.errors import ConfigError
from experiments.config.schema import fingerprint, read_config
from experiments.config.trust import Trust, check_trusted
from experiments.record import best_index, play
from experiments.runs.build import build, state_shapes
from experiments.runs.checkpoint import Checkpoints

if TYPE_CHECKING:
    from envs.rendering import Episode


def load_learners(run_dir: str | pathlib.Path, trust: Trust = False) -> dict[int, Any]:
    """The learner of every seed of a run, from its newest checkpoints: {seed: learner}.

    Raises:
      ConfigError: no run there, an environment of one's own (see `trust`), or no checkpoint of it that can be used.
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
        checkpoints = Checkpoints(group, fingerprint(settings), every=0, keep=settings.run.keep_checkpoints)
        found = checkpoints.restore(abstract)
        for k, seed in enumerate(seeds if found else ()):
            learners[seed] = jax.tree.map(lambda x, k=k: x[k], found[0].learner)
    if not learners:
        raise ConfigError(f"no checkpoint in {directory}: give the directory of a run that has trained")
    return learners


def as_batch(episode: "Episode", carry0: Any) -> Any:
    """An episode of one lane as a `Batch` of one lane; what acting noted (`aux`) is left out."""
    import jax
    import jax.numpy as jnp

    from iacjax.types import Batch

    rows = jax.tree.map(lambda *moments: jnp.stack(moments), *episode.timesteps)
    first = jnp.zeros(rows.boundary.shape, bool).at[0].set(True)
    mask = (~rows.boundary[:-1]).astype(jnp.float32)
    return Batch(rows, first, jnp.stack(episode.actions), (), mask, carry0)


def shown_per_agent(env: Any, algorithm: Any) -> list[str]:
    """What the algorithm's `inspect` has a number of for each agent and step, by name. Nothing is compiled."""
    import jax
    import jax.numpy as jnp

    from envs.rendering import Episode

    def look(key):
        learner = algorithm.init(key)
        state, timestep = env.reset(key, 1)
        acting = _Acting(algorithm, algorithm.policy(learner))
        _, action = acting.act(algorithm.carry(1), timestep, jnp.ones(1, bool), 0)
        _, after = env.step(key, state, action)
        return algorithm.inspect(learner, as_batch(Episode([], [timestep, after], [action]), algorithm.carry(1)))

    shapes = jax.eval_shape(look, jax.random.key(0))
    return [name for name, shape in shapes.items() if shape.shape == (1, 1, env.spec.num_agents)]


def insight(
    run_dir: str | pathlib.Path, seed_index: int | None = None, trust: Trust = False
) -> tuple["Episode", dict[str, np.ndarray]]:
    """Plays one greedy episode of one seed of a run (None: the best) and asks its learner about it.

    `trust`: True runs an environment of one's own that the run names; a name, that one alone.

    Returns:
      (the episode, what the algorithm's `inspect` says of its T steps: each [T, ...], without a lane axis).

    Raises:
      ConfigError: no such run or seed, no checkpoint, or an algorithm that has nothing to show.
    """
    trained = load(run_dir, seed_index, trust)
    episode = trained.play(1)
    return episode, trained.look(episode)


class Trained(NamedTuple):
    """One seed of a run, as its newest checkpoint has it."""

    env: Any
    algorithm: Any
    learner: Any
    seed: int

    def play(self, num_episodes: int) -> "Episode":
        """Greedy episodes, one a lane, always the same ones."""
        import jax

        acting = _Acting(self.algorithm, self.algorithm.policy(self.learner))
        return play(self.env, acting, 0, jax.random.key(self.seed), num_episodes)

    def look(self, episode: "Episode", lane: int = 0) -> dict[str, np.ndarray]:
        """What `inspect` says of the steps of one lane: each [T, ...], without a lane axis; ConfigError if nothing."""
        import jax

        steps = 1 + next(t for t, ts in enumerate(episode.timesteps[1:]) if ts.boundary[lane])
        rows = [jax.tree.map(lambda x: x[lane : lane + 1], ts) for ts in episode.timesteps[: steps + 1]]
        actions = [action[lane : lane + 1] for action in episode.actions[:steps]]
        batch = as_batch(episode._replace(timesteps=rows, actions=actions), self.algorithm.carry(1))
        seen = jax.jit(self.algorithm.inspect)(self.learner, batch)
        if not seen:
            raise ConfigError(f"{self.env.spec.name}: its learner has nothing to show of an episode beside its actions")
        return {name: np.asarray(value[:, 0]) for name, value in seen.items()}


def load(run_dir: str | pathlib.Path, seed_index: int | None = None, trust: Trust = False) -> Trained:
    """One seed of a run (None: the best); raises ConfigError as `insight`."""
    learners = load_learners(run_dir, trust)
    env, algorithm = build(read_config(pathlib.Path(run_dir)))
    seeds = sorted(learners)
    index = best_index(run_dir, seeds) if seed_index is None else seed_index
    if not 0 <= index < len(seeds):
        raise ConfigError(f"no seed index {index}: the run has {len(seeds)} seed(s), counted from 0")
    return Trained(env, algorithm, learners[seeds[index]], seeds[index])


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
