"""For notebooks: `trained(algo="iac", env="simple_world")` trains once, however often the cell is run."""

import pathlib
import shlex
from collections.abc import Callable
from typing import Any

from envs.custom import is_custom_name
from envs.errors import ConfigError
from experiments.config.command_line import Command, new_settings, words_of
from experiments.config.schema import Settings, read_config
from experiments.runs import custom_environment, find
from experiments.runs.directory import create_directory

Train = Callable[[Settings, pathlib.Path | None], int]


class Stopped(KeyboardInterrupt):
    """The kernel was interrupted: the training has stopped and saved, and the cells below are not run."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows: one line instead of a traceback."""
        return [str(self)]


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
    settings = new_settings(asked)
    if train is None:
        from experiments.training.train import train
    digest = _digest(settings)
    runs = list(find.runs(settings))
    begun = next((run for run in runs if _may_go_on(run, digest)), None)
    if find.status(begun) in find.FINISHED:
        print(f"found    {begun}, trained already")
        return begun
    if runs and begun is None:
        print(f"new      {settings.run.env} has changed since {runs[0]} was trained")
    if begun is None and digest:  # written down before it trains: the kernel may be killed
        begun = create_directory(settings)
        custom_environment.keep_digest(begun, settings.run.env, digest, print)
    try:
        code = train(settings if begun is None else read_config(begun), begun)
    except KeyboardInterrupt:  # the second one, which stops at once
        code = 130
    _end(code)
    return begun or next(run for run in find.runs(settings) if run not in runs)


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


def _may_go_on(run: pathlib.Path, digest: str) -> bool:
    """Whether a run may have been trained in the environment with this digest."""
    return not digest or custom_environment.is_same(custom_environment.read_digest(run), digest) is not False


def _digest(settings: Settings) -> str:
    """The digest of a custom environment; "" of others.

    Raises:
      ConfigError: there is no such environment, or the algorithm cannot be trained in it.
    """
    if not is_custom_name(settings.run.env):
        return ""
    from experiments.runs.build import build
    from experiments.training.runtime import prepare_jax

    prepare_jax(settings.run, lambda line: None)  # before jax looks for devices; the training prints what it has to say
    env, _ = build(settings)
    return custom_environment.environment_digest(env)


def _end(code: int) -> None:
    """Raises where the training was not finished."""
    if code >= 128:
        raise Stopped("stopped and saved: run the cell again to continue")
    if code == 2:
        raise ConfigError("nothing was trained: the line above says why")
    if code:
        raise RuntimeError("a number of the training is not finite: see log.txt of the run")
