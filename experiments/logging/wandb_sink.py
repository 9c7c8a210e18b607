"""Weights & Biases: one of its runs for all seeds of a run, one series a seed."""

import pathlib

from envs.errors import ConfigError
from experiments.config import Settings, to_dict


class WandbSink:
    """Logs `metrics/<name>/seed_<seed>` over environment steps; a resumed run goes on in the same one."""

    def __init__(self, settings: Settings, directory: pathlib.Path):
        try:
            import wandb
        except ImportError:
            raise ConfigError('--wandb needs its package: pip install "iacjax[wandb]"') from None
        self._run = wandb.init(
            project=settings.run.wandb_project,
            id=directory.name,
            name=f"{settings.run.algo} {settings.run.env} {directory.name}",
            dir=str(directory),
            config=to_dict(settings),
            resume="allow",
        )
        self._run.define_metric("*", step_metric="env_steps")

    def write(self, table: str, rows: list[dict[str, float]]) -> None:
        for row in rows:
            told = {k: v for k, v in row.items() if k not in ("iteration", "env_steps", "seed") and v == v}
            named = {f"{table}/{k}/seed_{int(row['seed'])}": v for k, v in told.items()}
            self._run.log({"env_steps": int(row["env_steps"]), **named})

    def sync(self) -> None:
        """W&B sends from its own process, which outlives this one."""

    def close(self) -> None:
        self._run.finish()
