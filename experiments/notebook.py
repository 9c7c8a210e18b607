"""For notebooks: `trained(algo="iac", env="simple_world")` trains once, however often the cell is run.

`iacjax.train(..., reuse=True)` does the same and returns the policies and the numbers; `trained` returns the directory
of the run, and can train by another function than the run command's.
"""

import pathlib
import shlex
from typing import Any

from envs.errors import ConfigError
from experiments.config.command_line import Command, new_settings, words_of
from experiments.config.schema import read_config
from experiments.training.reuse import Stopped, Train, train_once


def trained(
    command: str = "", existing: str | pathlib.Path = "", train: Train | None = None, **options: Any
) -> pathlib.Path:
    """The directory of a finished run, by the options of `python -m experiments.run`.

        trained(algo="iac", env="simple_world", seeds=2, pictures=False)
        trained("--algo iac --env simple_world --seeds 2 --no-pictures")

    It is the newest run with these settings below its `run_dir`. A run that was stopped is continued; if there is none,
    it is trained now. So running a cell again costs nothing, and changing an option, or what a custom environment
    computes, starts a new run.

    Args:
      command: options as one line.
      existing: the directory of a run to use instead; "": none.
      train: (settings, directory or None) -> exit code; by default the run command's.
      options: options by name, after those of `command`.

    Raises:
      ConfigError: options that cannot be read or do not go together, or no run in `existing`.
      Stopped: the training was interrupted: once, and it has saved; twice, and it was stopped at once.
      RuntimeError: a number of the training was not finite.
    """
    if existing:
        read_config(pathlib.Path(existing))
        return pathlib.Path(existing)
    asked = Command([*shlex.split(command), *words_of(options)])
    if asked.resume is not None or asked.list or asked.help:
        raise ConfigError("trained: give a run's fields alone, without --resume, --list or --help")
    directory, code = train_once(new_settings(asked), train)
    _end(code)
    return directory


def swept(command: str = "", **options: Any) -> pathlib.Path:
    """Runs or continues a sweep, by the options of `python -m experiments.sweep`, as `trained`. Returns its `out`.

        swept(algo="ippo", env="smax:3m", set=["lr=5e-4,2e-3", "entropy=0.01,0.1"], seeds=3, out="sweeps/lr_entropy")

    Raises:
      ConfigError: options that cannot work: the line above says which.
      Stopped: the sweep was interrupted.
      RuntimeError: a number of the training was not finite.
    """
    from experiments import sweep

    words = [*shlex.split(command), *words_of(options)]
    if "--out" not in words[:-1]:
        raise ConfigError("swept: give out, the directory of the sweep, which the cells below read")
    _end(sweep.main(words))
    return pathlib.Path(words[words.index("--out") + 1])


def _end(code: int) -> None:
    """Raises where the training was not finished."""
    if code >= 128:
        raise Stopped("stopped and saved: run the cell again to continue")
    if code == 2:
        raise ConfigError("nothing was trained: the line above says why")
    if code:
        raise RuntimeError("a number of the training is not finite: see log.txt of the run")
