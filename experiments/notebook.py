"""For notebooks: `run_dir = trained("--algo iac --env simple_world")` trains once, however often the cell is run."""

import pathlib
import shlex
from collections.abc import Callable

from envs.custom import is_custom_name
from envs.errors import ConfigError
from experiments.config.command_line import Command, new_settings
from experiments.config.schema import Settings, read_config
from experiments.runs import custom_environment, find
from experiments.runs.directory import create_directory

Train = Callable[[Settings, pathlib.Path | None], int]


class Stopped(KeyboardInterrupt):
    """Interrupt the kernel, and what runs stops, saves and raises this: the cells below are not run."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows of it (IPython asks): the line, without a traceback."""
        return [str(self)]


def trained(command: str, run_dir: str | pathlib.Path = "", train: Train | None = None) -> pathlib.Path:
    """The directory of a finished run of `python -m experiments.run COMMAND`.

    It is the newest run of just these settings below its `--run-dir`; one that was stopped goes on, and where there is
    none it is trained now. So a cell that is run again costs nothing, and one with a changed option trains anew, as
    does one whose world of one's own computes something else than it did.

    Args:
      command: the command's options, in one line.
      run_dir: a run to take as it is instead; "": none.
      train: (settings, directory or None) -> exit code; by default the run command's.

    Raises:
      ConfigError: options that cannot be read or do not go together, or no run in `run_dir`.
      Stopped: the training was interrupted: once, and it has saved; twice, and it was stopped at once.
      RuntimeError: a number of the training was not finite.
    """
    if run_dir:
        read_config(pathlib.Path(run_dir))
        return pathlib.Path(run_dir)
    words = shlex.split(command)
    asked = Command(words)
    if asked.resume is not None or asked.list or asked.help:
        raise ConfigError("trained: give a run's fields alone, without --resume, --list or --help")
    settings = new_settings(asked)
    if train is None:
        from experiments.training.train import train
    digest = _digest(settings)
    kept = list(find.runs(settings))
    begun = next((run for run in kept if _may_go_on(run, digest)), None)
    if find.status(begun) in find.FINISHED:
        print(f"found    {begun}, trained already")
        return begun
    if kept and begun is None:
        print(f"new      {settings.run.env} has changed since {kept[0]} was trained")
    if begun is None and digest:  # written down before it trains: the kernel may be killed
        begun = create_directory(settings)
        custom_environment.keep_digest(begun, settings.run.env, digest, print)
    try:
        code = train(settings if begun is None else read_config(begun), begun)
    except KeyboardInterrupt:  # the second one, which stops at once
        code = 130
    _end(code)
    return begun or next(run for run in find.runs(settings) if run not in kept)


def swept(command: str) -> pathlib.Path:
    """`python -m experiments.sweep COMMAND`, which goes on where it was stopped; returns its directory, `--out`.

    Raises:
      ConfigError: options that cannot work: the line above says which.
      Stopped: the sweep was interrupted.
      RuntimeError: a number of the training was not finite.
    """
    from experiments import sweep

    words = shlex.split(command)
    if "--out" not in words[:-1]:
        raise ConfigError("swept: give the sweep a directory by --out, which the cells below read")
    _end(sweep.main(words))
    return pathlib.Path(words[words.index("--out") + 1])


def _may_go_on(run: pathlib.Path, digest: str) -> bool:
    """Whether a run was trained in the environment of this digest, as far as is known."""
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

    prepare_jax(settings.run, lambda line: None)  # before jax looks for devices; what it says, the training says
    env, _ = build(settings)
    return custom_environment.environment_digest(env)


def _end(code: int) -> None:
    """Stops the notebook where the training has not come to its end."""
    if code >= 128:
        raise Stopped("stopped: run the cell again, and it goes on from what was saved")
    if code == 2:
        raise ConfigError("nothing was trained: the line above says why")
    if code:
        raise RuntimeError("the training came to numbers that are not finite: see log.txt of the run")
