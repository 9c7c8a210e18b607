"""Pictures of an episode, whatever the world: `frames` finds the family's own artist.

A family joins by one line in `ARTISTS`: the module that draws it, with a function
`episode_frames(env, episode, lane, width) -> list[PIL.Image]`. Artists and Pillow are imported when they are used.
"""

from importlib import import_module
from typing import Any, NamedTuple

from envs.base import ConfigError, Environment, TimeStep

ARTISTS = {"smax": "envs.smax.render"}  # the name before the colon -> module


class Episode(NamedTuple):
    """One episode as it was played, an entry a moment: T + 1 states and time steps, T actions. NumPy arrays will do."""

    states: list[Any]
    timesteps: list[TimeStep]
    actions: list[Any]  # int32[E, A] or f32[E, A, D]
    values: list[Any] | None = None  # f32[E, A] a number an agent to show, e.g. intrinsic rewards of the T steps


def has_artist(name: str) -> bool:
    """True if pictures of the environment called `name` can be drawn."""
    return name.split(":")[0] in ARTISTS


def frames(env: Environment, episode: Episode, lane: int = 0, width: int = 640) -> list:
    """T + 1 pictures (PIL) of lane `lane` of `episode`, `width` pixels wide.

    Raises ConfigError for a world nobody draws.
    """
    family = env.spec.name.split(":")[0]
    if family not in ARTISTS:
        raise ConfigError(f"no pictures of '{env.spec.name}': worlds that can be drawn are {', '.join(ARTISTS)}")
    return import_module(ARTISTS[family]).episode_frames(env, episode, lane, width)


def save_gif(images: list, path, fps: float = 8.0, hold: float = 1.5) -> None:
    """Writes PIL `images` as a looping GIF of `fps` pictures a second; the last one stays for `hold` seconds.

    All pictures share one palette, so that still regions stay identical and compress to nothing.
    """
    from PIL import Image

    samples = images[:: max(1, len(images) // 6)][:7] + images[-1:]
    strip = Image.new("RGB", (images[0].width, images[0].height * len(samples)))
    for i, image in enumerate(samples):
        strip.paste(image, (0, i * image.height))
    palette = strip.quantize(colors=96, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    flat = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    wait = [round(1000 / fps)] * (len(flat) - 1) + [round(1000 * hold)]
    flat[0].save(path, save_all=True, append_images=flat[1:], duration=wait, loop=0, optimize=False)

