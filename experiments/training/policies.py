"""Saving the policies of a training with each checkpoint, and refusing to overwrite those of a lost training."""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from envs.errors import ConfigError
from experiments.config.env_options import to_saved_options
from experiments.config.schema import Settings
from experiments.distributed import collectives
from experiments.training.hooks import Hook, LoopView


class PolicyTarget(NamedTuple):
    """The run directory that gets the policies of some of the loop's seeds."""

    directory: pathlib.Path
    settings: Settings
    seeds: tuple[int, ...]
    index: tuple[int, ...]  # places of `seeds` among the loop's

    @property
    def files(self) -> list[pathlib.Path]:
        """The files of the policies."""
        return [self.directory / "policy" / f"seed_{seed}.npz" for seed in self.seeds]


class SavePolicies(Hook):
    """Saves the policies of every seed with each checkpoint, on the process that writes files."""

    def __init__(self, targets: Sequence[PolicyTarget]):
        self._targets = targets

    def on_start(self, loop: LoopView, restored: Any) -> None:
        """Saves restored policies again: they may be lost, or the process was killed before it saved them.

        Raises:
          ConfigError: there are policies, but no checkpoint: a new training would overwrite them and drop the rows.
        """
        if restored is None:
            collectives.broadcast_from_main(lambda: self._check_absent(loop.checkpoint_directory))
        else:
            self.on_save(loop, restored)

    def on_save(self, loop: LoopView, states: Any) -> None:
        params = loop.context.algorithm.policy(states.learner)
        collectives.broadcast_from_main(lambda: self._write(loop.context.env.spec, params))

    def _check_absent(self, checkpoints: pathlib.Path) -> None:
        for file in (file for target in self._targets for file in target.files):
            if file.exists():
                text = f"{file} is there, but no checkpoint in {checkpoints}: restore it from a copy"
                raise ConfigError(f"{text}, or move {file.parent} away to train from the start")

    def _write(self, spec: Any, params: Any) -> None:
        """Writes the actor parameters [S, ...]."""
        import jax

        from iacjax.policy import save_policy

        params = jax.device_get(params)
        for directory, settings, seeds, index in self._targets:
            some = jax.tree.map(lambda x, places=index: x[list(places)], params)
            run, algorithm = settings.run, settings.algorithm
            options = to_saved_options(run.env, run.env_options)
            save_policy(directory / "policy", run.algo, algorithm, spec, seeds, some, options)
