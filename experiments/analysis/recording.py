"""Videos of a trained run: greedy episodes as a GIF, on request with a number drawn at each agent."""

import io
import pathlib
from typing import TYPE_CHECKING

import numpy as np

from envs.errors import ConfigError
from experiments.analysis.inspection import inspect_run, numbers_per_agent
from experiments.analysis.playback import play_run
from experiments.common.arguments import check_file
from experiments.common.files import write_bytes
from experiments.config.schema import read_config
from experiments.config.trust import Trust, check_trusted
from experiments.runs.build import build

if TYPE_CHECKING:  # they import jax, which --help can do without
    from envs.base import Environment
    from envs.rendering import Episode


def write_gif(env: "Environment", episode: "Episode", out: str | pathlib.Path, width: int = 640) -> int:
    """Writes the episodes of all parallel environments, one after another, as a GIF. Returns its number of frames.

    Raises:
      ConfigError: an environment without a renderer, or a file that cannot be written.
    """
    from envs.rendering import frames, frames_per_second, save_gif

    num_envs = episode.timesteps[0].terminated.shape[0]
    images = [image for index in range(num_envs) for image in frames(env, episode, index, width)]
    content = io.BytesIO()
    content.name = str(out)  # its suffix says the format
    try:
        save_gif(images, content, frames_per_second(env.spec.name))
        write_bytes(pathlib.Path(out), content.getvalue())
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot write {out} ({error}): give a writable file such as battle.gif") from None
    return len(images)


def video_name(env: str) -> str:
    """The default file name of a video of the environment called `env`."""
    return "battle.gif" if env.startswith(("smax:", "smacv2:")) else "episode.gif"


def record(
    run_dir: str | pathlib.Path,
    out: str | pathlib.Path | None,
    episodes: int = 1,
    seed_index: int | None = None,
    trust: Trust = False,
) -> str:
    """Records `episodes` greedy episodes of one seed of a run (None: the best) into `out` (None: `video_name`, in the
    working directory). Returns a line that says what was written.

    Raises:
      ConfigError: as `play_run`, or a file that cannot be written.
    """
    check_file(pathlib.Path(out or video_name("")))  # before anything is played
    env, episode, seed = play_run(run_dir, episodes, seed_index, trust)
    out = out or video_name(env.spec.name)
    count = write_gif(env, episode, out)
    return f"wrote {out}: {episodes} episode(s) of seed {seed}, {count} frames{_wins(episode)}"


def record_with_numbers(
    run_dir: str | pathlib.Path,
    out: str | pathlib.Path | None,
    show: str,
    seed_index: int | None = None,
    trust: Trust = False,
) -> str:
    """As `record`, one episode, with a number at each agent: `show` is one of `numbers_per_agent`.

    Raises:
      ConfigError: as `record`, or the algorithm has no such number for each agent.
    """
    from envs.rendering import check_renderer

    settings = read_config(pathlib.Path(run_dir))
    check_trusted(settings.run.env, run_dir, trust)
    check_renderer(settings.run.env)
    out = out or video_name(settings.run.env)
    check_file(pathlib.Path(out))
    env, algorithm = build(settings)
    known = numbers_per_agent(env, algorithm)
    if show not in known:
        raise ConfigError(f"--show {show}: what this algorithm has for each agent: {', '.join(known) or 'nothing'}")
    episode, numbers = inspect_run(run_dir, seed_index, trust)
    episode = episode._replace(values=list(numbers[show][:, None]))
    return f"wrote {out}: {write_gif(env, episode, out)} frames with {show}{_wins(episode)}"


def _wins(episode: "Episode") -> str:
    if "won" not in episode.timesteps[0].info:
        return ""
    boundary = np.stack([ts.boundary for ts in episode.timesteps])
    won = np.stack([ts.info["won"] for ts in episode.timesteps])
    ends = boundary.argmax(axis=0)
    return f", {int(won[ends, np.arange(len(ends))].sum())} won"
