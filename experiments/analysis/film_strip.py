"""Pictures of one episode side by side, where a film cannot be shown: on paper, or in a notebook on a web page."""

import pathlib
from typing import Any

GAP, GROUND = 4, (255, 255, 255)  # pixels between pictures, and their colour


def moments(frames: int, pictures: int) -> list[int]:
    """Indices of at most `pictures` of so many frames, evenly spread from the first to the last."""
    count = min(frames, pictures)
    return [round(k * (frames - 1) / max(count - 1, 1)) for k in range(count)]


def film_strip(
    run_dir: str | pathlib.Path,
    pictures: int = 6,
    columns: int = 3,
    width: int = 320,
    seed_index: int | None = None,
    steps: int | None = None,
    trust: bool | str = False,
) -> Any:
    """A PIL image of a greedy episode of one seed of a run (None: the best), the one that `experiments.record` films.

    Args:
      pictures: moments of the episode, evenly spread, read as text is: `columns` of them a line.
      width: pixels of one picture.
      steps: of the episode's beginning, if not all of it is to be seen.
      trust: True runs an environment of one's own that the run names; a name, that one alone.

    Raises:
      ConfigError: as `experiments.record`.
    """
    from envs.rendering import frames
    from experiments.record import play_run

    env, episode, _ = play_run(run_dir, 1, seed_index, trust)
    images = frames(env, episode, 0, width)
    last = len(images) if steps is None else min(len(images), steps + 1)
    return tile([images[k] for k in moments(last, pictures)], columns)


def tile(images: list, columns: int) -> Any:
    """PIL images of one size, `columns` a line, as one with 256 colours."""
    from PIL import Image

    wide, high = (side + GAP for side in images[0].size)
    across, down = min(columns, len(images)), -(-len(images) // columns)
    sheet = Image.new("RGB", (across * wide - GAP, down * high - GAP), GROUND)
    for k, image in enumerate(images):
        sheet.paste(image, (k % columns * wide, k // columns * high))
    return sheet.quantize(256, dither=Image.Dither.NONE)
