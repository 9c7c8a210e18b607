"""Observing a learner while it trains: arrays of its state at chosen times, for figures 2 and 5 of IAC's paper.

Observations are saved in the run directory, so that a resumed run adds the rest.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from experiments.common.files import write_npz
from experiments.config.schema import Settings
from experiments.training.hooks import Hook, LoopView
from experiments.training.loop import batch_name
from experiments.training.train import train

Seen = dict[str, np.ndarray]  # [S, ...] each, and `env_steps` [S]
# (env, algorithm) -> a pure function of one seed: (TrainState, key, env steps int32[]) -> named arrays
MakeLook = Callable[[Any, Any], Callable[[Any, Any, Any], dict[str, Any]]]


class Observer(Hook):
    """Saves, at each evaluation, what `look` returns of every seed, its mean return and its env steps.

    The files are <run>/seen/<iteration>.npz, or <run>/seen/<batch>/<iteration>.npz where not all seeds are one batch.
    """

    def __init__(self, make_look: MakeLook):
        self._make_look = make_look

    def on_start(self, loop: LoopView, restored: Any) -> None:
        import jax

        run = loop.context.settings.run
        self._look = jax.jit(jax.vmap(self._make_look(loop.context.env, loop.context.algorithm)))
        self._directory = loop.context.directory / "seen"
        if len(loop.seeds) < run.seeds:
            self._directory = self._directory / batch_name(loop.seeds)

    def on_evaluation(self, loop: LoopView, rows: list[dict[str, float]]) -> None:
        """Called before the checkpoint of these states, so a run resumed from it has their observation."""
        import jax

        layout, steps = loop.compiled.layout, np.array(loop.progress.env_steps, np.int32)
        keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(loop.keys, loop.progress.iteration)
        found = layout.fetch(self._look(loop.states, *layout.shard((keys, steps))))
        seen = {name: value[: len(loop.seeds)] for name, value in found.items()}
        seen |= {"return_mean": np.array([row["return_mean"] for row in rows]), "env_steps": steps}
        self._directory.mkdir(parents=True, exist_ok=True)
        write_npz(self._directory / f"{loop.progress.iteration}.npz", seen)


def read_seen(directory: pathlib.Path) -> list[Seen]:
    """The observations of a run so far, in order of time; of batches of seeds, as many as the last batch has."""
    whole = _read_files(directory / "seen")
    batches = sorted((directory / "seen").glob("seeds_*"), key=lambda path: int(path.name.split("_")[1].split("-")[0]))
    parts = [_read_files(batch) for batch in batches]
    return whole or [
        {name: np.concatenate([seen[name] for seen in moment]) for name in moment[0]}
        for moment in zip(*parts, strict=False)
    ]


def _read_files(directory: pathlib.Path) -> list[Seen]:
    files = sorted(directory.glob("*.npz"), key=lambda path: int(path.stem))
    return [dict(np.load(file)) for file in files]


def train_and_observe(
    settings: Settings, directory: pathlib.Path | None, times: Sequence[int], make_look: MakeLook
) -> int:
    """As `train`, evaluating and looking after each of `times` env steps and at the end, nowhere else."""
    run = dataclasses.replace(settings.run, pictures=False)  # the caller draws other ones
    return train(Settings(run, settings.algorithm), directory, [Observer(make_look)], times)
