"""For notebooks: `run_dir = trained("--algo iac --env simple_world")` trains once, however often the cell is run."""

import pathlib
import shlex
from collections.abc import Callable

from envs.errors import ConfigError
from experiments import kept_runs
from experiments.config import Command, Settings, default_settings, parse_fields, read_config

Train = Callable[[Settings, pathlib.Path | None], int]


def trained(command: str, run_dir: str | pathlib.Path = "", train: Train | None = None) -> pathlib.Path:
    """The directory of a finished run of `python -m experiments.run COMMAND`.

    It is the newest run of just these settings below its `--run-dir`; one that was stopped goes on, and where there is
    none it is trained now. So a cell that is run again costs nothing, and one with a changed option trains anew.

    Args:
      command: the command's options, in one line.
      run_dir: a run to take as it is instead; "": none.
      train: (settings, directory or None) -> exit code; by default the run command's.

    Raises:
      ConfigError: options that cannot be read or do not go together, or no run in `run_dir`.
      KeyboardInterrupt: the training was stopped, after it had saved.
      RuntimeError: a number of the training was not finite.
    """
    if run_dir:
        read_config(pathlib.Path(run_dir))
        return pathlib.Path(run_dir)
    words = shlex.split(command)
    asked = Command(words)
    if asked.resume is not None or asked.list or asked.help:
        raise ConfigError("trained: give a run's fields alone, without --resume, --list or --help")
    settings = parse_fields(asked.fields, default_settings(asked.algo, asked.preset, asked.env))
    if train is None:
        from experiments.run import train
    begun = kept_runs.newest_run(settings)
    if kept_runs.status(begun) in kept_runs.FINISHED:
        print(f"found    {begun}, trained already")
        return begun
    _end(train(settings if begun is None else read_config(begun), begun))
    return kept_runs.newest_run(settings)


def _end(code: int) -> None:
    """Stops the notebook where the training has not come to its end."""
    if code >= 128:
        raise KeyboardInterrupt("the training was stopped and has saved: run the cell again to go on")
    if code:
        raise RuntimeError("the training came to numbers that are not finite: see log.txt of the run")
