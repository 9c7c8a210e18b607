"""A battle of a learner with intrinsic rewards, for notebooks; `battle_views` draws it."""

import pathlib
from typing import Any, NamedTuple

import numpy as np

from envs.errors import ConfigError
from experiments.analysis.inspection import load_seed
from experiments.figures.aiir.episode import observe
from experiments.figures.aiir.episode_drawing import EpisodeData, as_data, over_uniform


class RecordedBattle(NamedTuple):
    """A greedy episode of T steps, with the outputs of the learner's reward networks. A agents; nan for dead agents."""

    data: EpisodeData  # units, intrinsic rewards and attention at T + 1 moments
    reward: np.ndarray  # f[T + 1] the team's reward of the step that led there, nan at the reset
    record: dict[str, Any]  # algo, preset, env, seed, env_steps, steps, won, device

    @property
    def steps(self) -> int:
        """T, the number of steps; the last one ends the battle."""
        return len(self.reward) - 1

    @property
    def weights(self) -> np.ndarray:
        """f[T + 1, A, A]: the attention of agent i (row), in per cent above equal attention to all living agents."""
        return over_uniform(self.data.attention)

    @property
    def has_attention(self) -> bool:
        """Whether the reward network attends to other agents (LIIR's does not)."""
        return bool(np.nanmax(np.abs(self.weights)) > 0)

    @property
    def summary(self) -> str:
        """`aiir_mix on smax:2s3z, seed 0 after 500,736 steps: won in 42 steps`."""
        r = self.record
        trained = f" after {r['env_steps']:,} steps" if r.get("env_steps") else ""
        end = "won" if r["won"] else "not won"
        return f"{r['algo']} on {r['env']}, seed {r['seed']}{trained}: {end} in {self.steps} steps"


def battle(run_dir: str | pathlib.Path, seed_index: int | None = None) -> RecordedBattle:
    """Plays a few greedy battles with one seed of a run (None: the best) and takes one that was won with a loss.

    Raises:
      ConfigError: no such run or seed, no checkpoint, not a StarCraft map, or no intrinsic rewards.
    """
    directory = pathlib.Path(run_dir)
    trained = load_seed(directory, seed_index)
    if not trained.env.spec.name.startswith("smax:"):
        raise ConfigError(f"{directory} is of {trained.env.spec.name}: give a run of a StarCraft map")
    seen = observe(trained, directory)
    return RecordedBattle(as_data(seen.rows), seen.reward, seen.record)
