"""The pictures that a run draws: its curves, again and again while it trains, and a video at its end."""

import pathlib
from collections.abc import Callable

from experiments.config.schema import read_config

CURVES = "curves.png"


def draw_pictures(directory: pathlib.Path, say: Callable[[str], None]) -> None:
    """Writes curves.png and a video of the best seed; what cannot be drawn is reported in one line."""
    from experiments.analysis.recording import record, video_name

    env = read_config(directory).run.env
    video = directory / video_name(env)
    say(draw_curves(directory) or f"wrote    {directory / CURVES}")
    # It was trained in that environment, so it is trusted.
    say(_try(lambda: record(directory, video, trust=env), video.name) or f"wrote    {video}")


def draw_curves(directory: pathlib.Path) -> str:
    """Writes curves.png from the evaluations so far. Returns one line that says why it could not; "" if it could."""
    from experiments.analysis.curves_picture import plot_runs

    return _try(lambda: plot_runs([directory], directory / CURVES), CURVES)


def _try(draw: Callable[[], object], name: str) -> str:
    try:
        draw()
    except Exception as error:  # a picture is not worth a run's end
        return f"no {name}: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
    return ""
