"""Weights & Biases: one of its runs a seed, all seeds of a run in one group, so that W&B itself averages over seeds."""

import pathlib
from typing import Any

from envs.errors import ConfigError
from experiments.config.schema import Settings, to_dict

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
      ConfigError: the package is not installed, or W&B does not let us in.
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
    """Logs `metrics/<name>` and `eval/<name>` over environment steps; a resumed run goes on in the same W&B runs."""

    def __init__(self, settings: Settings, directory: pathlib.Path):
        self._wandb, self._settings, self._directory = _package(), settings, directory
        self._runs: dict[int, Any] = {}

    def _open(self, seed: int) -> Any:
        run, group = self._settings.run, self._directory.name
        arguments = dict(
            project=run.wandb_project,
            group=group,
            id=f"{group}-seed{seed}",
            name=f"{run.algo} {run.env} {group} seed {seed}",
            dir=str(self._directory),
            config={**to_dict(self._settings), "seed": seed},
            resume="allow",
            reinit="create_new",  # the other seeds' runs stay open
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
            told = {k: v for k, v in row.items() if k not in ("iteration", "env_steps", "seed") and v == v}
            named = {f"{table}/{k}": v for k, v in told.items()}
            self._runs[seed].log({"env_steps": int(row["env_steps"]), **named})

    def sync(self) -> None:
        """W&B sends from its own process, which outlives this one."""

    def close(self) -> None:
        for run in self._runs.values():
            run.finish()
