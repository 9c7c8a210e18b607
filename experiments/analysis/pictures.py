"""The pictures that a run draws at its end."""

import pathlib
from collections.abc import Callable

from experiments.config.schema import read_config


def draw_pictures(directory: pathlib.Path, say: Callable[[str], None]) -> None:
    """Writes curves.png and a video of the best seed; what cannot be drawn is reported in one line."""
    from experiments.analysis.curves_picture import plot_runs
    from experiments.analysis.recording import record, video_name

    env = read_config(directory).run.env
    drawn = {
        "curves.png": lambda out: plot_runs([directory], out),
        video_name(env): lambda out: record(directory, out, trust=env),  # it was trained in, so it is trusted
    }
    for name, draw in drawn.items():
        try:
            draw(directory / name)
            say(f"wrote    {directory / name}")
        except Exception as error:  # a picture is not worth a run's end
            say(f"no {name}: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
