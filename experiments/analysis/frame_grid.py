"""Frames of one episode in a grid, where a video cannot be shown: on paper, or in a notebook on a web page."""

import pathlib
from typing import Any

from experiments.analysis.playback import play_run

GAP, BACKGROUND = 4, (255, 255, 255)  # pixels between frames, and their colour


def frame_indices(frames: int, pictures: int) -> list[int]:
    """Indices of at most `pictures` of `frames` frames, evenly spread from the first to the last."""
    count = min(frames, pictures)
    return [round(k * (frames - 1) / max(count - 1, 1)) for k in range(count)]


def frame_grid(
    run_dir: str | pathlib.Path,
    pictures: int = 6,
    columns: int = 3,
    width: int = 320,
    seed_index: int | None = None,
    steps: int | None = None,
    trust: bool | str = False,
) -> Any:
    """A PIL image of a greedy episode of one seed of a run (None: the best), the episode that `record` writes.

    Args:
      pictures: number of frames, evenly spread over the episode, `columns` of them in a row.
      width: pixels of one frame.
      steps: only the first steps of the episode; None: all.
      trust: True runs the custom environment that the run names; a name runs that one alone.

    Raises:
      ConfigError: as `playback.play_run`.
    """
    from envs.rendering import frames

    env, episode, _ = play_run(run_dir, 1, seed_index, trust)
    images = frames(env, episode, 0, width)
    last = len(images) if steps is None else min(len(images), steps + 1)
    return tile([images[k] for k in frame_indices(last, pictures)], columns)


def tile(images: list, columns: int) -> Any:
    """PIL images of one size, `columns` in a row, as one image with 256 colours."""
    from PIL import Image

    wide, high = (side + GAP for side in images[0].size)
    across, down = min(columns, len(images)), -(-len(images) // columns)
    sheet = Image.new("RGB", (across * wide - GAP, down * high - GAP), BACKGROUND)
    for k, image in enumerate(images):
        sheet.paste(image, (k % columns * wide, k // columns * high))
    return sheet.quantize(256, dither=Image.Dither.NONE)
