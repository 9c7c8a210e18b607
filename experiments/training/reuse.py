"""Training once: a finished run with the same settings is found again, a stopped one is continued. For notebooks."""

import pathlib
from collections.abc import Callable

from envs.custom import is_custom_name
from experiments.config.schema import Settings, read_config
from experiments.runs import custom_environment, find
from experiments.runs.directory import create_directory

Train = Callable[[Settings, pathlib.Path | None], int]


class Stopped(KeyboardInterrupt):
    """A training was interrupted, and has saved; in a notebook, the cells below are not run."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows: one line instead of a traceback."""
        return [str(self)]


def train_once(settings: Settings, train: Train | None = None) -> tuple[pathlib.Path, int]:
    """The newest run with these settings below their `run_dir`, trained now as far as it was not. What a custom
    environment computes belongs to the settings.

    Args:
      train: (settings, directory or None) -> exit code; None: the run command's.

    Returns:
      The run's directory, and the exit code of the training; 130 after a second interrupt, which stops at once.

    Raises:
      ConfigError: there is no such environment, or the algorithm cannot be trained in it.
    """
    if train is None:
        from experiments.training.train import train
    digest = _digest(settings)
    runs = list(find.runs(settings))
    begun = next((run for run in runs if _may_go_on(run, digest)), None)
    if find.status(begun) in find.FINISHED:
        print(f"found    {begun}, trained already")
        return begun, 0
    if runs and begun is None:
        print(f"new      {settings.run.env} has changed since {runs[0]} was trained")
    if begun is None and digest:  # written down before it trains: the kernel may be killed
        begun = create_directory(settings)
        custom_environment.keep_digest(begun, settings.run.env, digest, print)
    try:
        code = train(settings if begun is None else read_config(begun), begun)
    except KeyboardInterrupt:  # the second one, which stops at once
        code = 130
    return begun or next((run for run in find.runs(settings) if run not in runs), pathlib.Path()), code


def _may_go_on(run: pathlib.Path, digest: str) -> bool:
    """Whether a run may have been trained in the environment with this digest."""
    return not digest or custom_environment.is_same(custom_environment.read_digest(run), digest) is not False


def _digest(settings: Settings) -> str:
    """The digest of a custom environment; "" of others."""
    if not is_custom_name(settings.run.env):
        return ""
    from experiments.runs.build import build
    from experiments.training.runtime import prepare_jax

    prepare_jax(settings.run, lambda line: None)  # before jax looks for devices; the training prints what it has to say
    env, _ = build(settings)
    return custom_environment.environment_digest(env)
