"""Pictures of an episode, whatever the world: `frames` finds the family's own artist.

A family joins by one line in `ARTISTS`: the module that draws it, with a function
`episode_frames(env, episode, lane, width) -> list[PIL.Image]`, and its pictures a second. A world of one's own
(`envs.custom`) is drawn by that function of its own module, FPS pictures a second where the module names a number.
Artists and Pillow are imported when they are used.
"""

from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from envs.base import ConfigError, Environment, TimeStep
from envs.custom import is_own, module_of
from envs.registry import FAMILIES


class Artist(NamedTuple):
    """The module that draws a family, and how many pictures a second make a film of it."""

    module: str
    fps: float


ARTISTS = {  # by the name before the colon
    "smax": Artist("envs.smax.rendering", 8.0),
    "multi_pendulum": Artist("envs.pendulum.rendering", 20.0),  # as fast as the pendulums
    "multi_pendulum_shaped": Artist("envs.pendulum.rendering", 20.0),
    "predator_prey": Artist("envs.mpe.rendering", 10.0),  # as fast as MPE
    "po_predator_prey": Artist("envs.mpe.rendering", 10.0),
}


class Episode(NamedTuple):
    """One episode as it was played, an entry a moment: T + 1 states and time steps, T actions. NumPy arrays will do."""

    states: list[Any]
    timesteps: list[TimeStep]
    actions: list[Any]  # int32[E, A] or f32[E, A, D]
    values: list[Any] | None = None  # f32[E, A] a number an agent to show, e.g. intrinsic rewards of the T steps


def has_artist(name: str) -> bool:
    """True if pictures of the environment called `name` can be drawn."""
    return _find_artist(name) is not None


def check_artist(name: str) -> None:
    """Raises ConfigError if nobody draws the environment called `name`."""
    if not has_artist(name):
        raise ConfigError(
            f"no pictures of '{name}': worlds that can be drawn are {', '.join(ARTISTS)}, and yours, "
            "by a function episode_frames in its module"
        )


def frames(env: Environment, episode: Episode, lane: int = 0, width: int = 640) -> list:
    """Pictures (PIL) of lane `lane` of `episode`, `width` pixels wide, from its reset to its end: at most T + 1.

    Raises ConfigError for a world nobody draws.
    """
    artist = _artist(env.spec.name)
    return import_module(artist.module).episode_frames(env, episode, lane, width)


def frames_per_second(name: str) -> float:
    """How fast a film of the environment called `name` runs. Raises ConfigError for a world nobody draws."""
    return _artist(name).fps


def _artist(name: str) -> Artist:
    check_artist(name)
    return _find_artist(name)


def _find_artist(name: str) -> Artist | None:
    family = name.split(":")[0]
    if family in FAMILIES or not is_own(name):
        return ARTISTS.get(family)
    module = module_of(name)
    return Artist(family, float(getattr(module, "FPS", 8.0))) if hasattr(module, "episode_frames") else None


def save_gif(images: list, path, fps: float = 8.0, hold: float = 1.5) -> None:
    """Writes PIL `images` as a looping GIF of `fps` pictures a second; the last one stays for `hold` seconds.

    All pictures share one palette, so that still regions stay identical and compress to nothing.
    """
    palette = _palette(images[:: max(1, len(images) // 6)][:7] + images[-1:])
    flat = [image.quantize(palette=palette, dither=0) for image in images]
    wait = [round(1000 / fps)] * (len(flat) - 1) + [round(1000 * hold)]
    flat[0].save(path, save_all=True, append_images=flat[1:], duration=wait, loop=0, optimize=False)


def _palette(images: list):
    """At most 252 colours for all `images`: the 32 most frequent as they are, the others with no regard to frequency.

    A palette by frequency would spend itself on shades of the ground and lose the small bright things.
    """
    from PIL import Image

    pixels = np.concatenate([np.asarray(image).reshape(-1, 3) for image in images]).astype(np.uint32)
    codes, counts = np.unique(pixels @ np.array([65536, 256, 1], np.uint32), return_counts=True)
    colours = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1).astype(np.uint8)
    frequent = colours[np.argsort(-counts)[:32]]
    rest = Image.fromarray(colours[None]).quantize(colors=220, method=Image.Quantize.MEDIANCUT)
    chosen = np.concatenate([frequent, np.array(rest.getpalette(), np.uint8).reshape(-1, 3)[:220]])
    palette = Image.new("P", (1, 1))
    palette.putpalette(chosen.tobytes())
    return palette
