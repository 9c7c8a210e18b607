"""Weights & Biases: one W&B run per seed, grouped by run, so that W&B can average over seeds."""

import hashlib
import pathlib
from collections.abc import Sequence
from typing import Any

from envs.errors import ConfigError
from experiments.config.schema import Settings, to_dict
from experiments.loggers.csv import ROW_KEYS

NO_LOGIN = ("offline", "dryrun", "disabled")  # modes of W&B


def _package() -> Any:
    try:
        import wandb
    except ImportError:
        raise ConfigError('--wandb needs its package: pip install "iacjax[wandb]"') from None
    return wandb


def log_in() -> None:
    """Logs in, or asks for the key where there is a terminal.

    Raises:
      ConfigError: the package is not installed, or W&B refuses the login.
    """
    wandb = _package()
    if wandb.setup().settings.mode in NO_LOGIN:
        return
    try:
        wandb.login(verify=True)
    except wandb.errors.Error as error:
        raise ConfigError(_refused(error)) from None


def _refused(error: Exception) -> str:
    text = next(iter(str(error).splitlines()), type(error).__name__)
    return f"--wandb: {text.rstrip('.')}: run wandb login, or set WANDB_MODE=offline"


class WandbSink:
    """Logs `metrics/<name>` and `eval/<name>` over environment steps; a resumed run continues the same W&B runs."""

    def __init__(self, settings: Settings, directory: pathlib.Path, trials_of: str = ""):
        """`trials_of`: if the run belongs to a sweep, the name of its configuration."""
        self._wandb, self._settings, self._directory = _package(), settings, directory
        self._group, self._id = trials_of or directory.name, directory.name
        if trials_of:  # directories of different sweeps have the same name
            self._id = hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:12]
        self._runs: dict[int, Any] = {}

    def _open(self, seed: int) -> Any:
        run, group = self._settings.run, self._group
        arguments = dict(
            project=run.wandb_project,
            group=group,
            id=f"{self._id}-seed{seed}",
            name=f"{run.algo} {run.env} {group} seed {seed}",
            dir=str(self._directory),
            config={**to_dict(self._settings), "seed": seed},
            resume="allow",
            reinit="create_new",  # the runs of the other seeds stay open
        )
        try:
            opened = self._wandb.init(**arguments)
        except Exception as error:
            if type(error).__module__.partition(".")[0] != "wandb":
                raise
            raise ConfigError(_refused(error)) from None
        opened.define_metric("*", step_metric="env_steps")
        return opened

    def write(self, table: str, rows: list[dict[str, float]]) -> None:
        for row in rows:
            seed = int(row["seed"])
            if seed not in self._runs:
                self._runs[seed] = self._open(seed)
            names = [name for name in row if name not in ROW_KEYS and row[name] == row[name]]
            named = {f"{table}/{name}": row[name] for name in names}
            self._runs[seed].log({"env_steps": int(row["env_steps"]), **named})

    def check(self, seeds: Sequence[int], iteration: int, known: dict[str, str]) -> None:
        """Nothing to check: rows are not read back from W&B."""

    def trim(self, seeds: Sequence[int], iteration: int) -> None:
        """W&B cannot drop rows: those that are written again appear twice, at the same env steps."""

    def digests(self, seeds: Sequence[int]) -> dict[str, str]:
        """None are kept."""
        return {}

    def sync(self) -> None:
        """Nothing to do: W&B sends from another process, which outlives this one."""

    def close(self) -> None:
        for run in self._runs.values():
            run.finish()
