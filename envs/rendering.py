"""Images of an episode. `frames` calls the renderer of the environment's family.

A renderer is a module with a function

    episode_frames(env, episode, index, width) -> list[PIL.Image.Image]

that draws environment `index` of the batch. Families register theirs in `RENDERERS`, with its frames per second. A
custom environment (`envs.custom`) is drawn by the function `episode_frames` of its own module; a number `FPS` in that
module sets the frames per second (default 8). Renderers and Pillow are imported when they are first used.
"""

from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from envs.base import ConfigError, Environment, TimeStep
from envs.custom import is_custom_name, module_of
from envs.registry import FAMILIES


class Renderer(NamedTuple):
    """The module that draws a family, and the frames per second of its videos."""

    module: str
    fps: float


RENDERERS = {  # by family, the name before the colon
    "smax": Renderer("envs.smax.rendering", 8.0),
    "smacv2": Renderer("envs.smacv2.rendering", 8.0),
    "multi_pendulum": Renderer("envs.pendulum.rendering", 20.0),  # real time: a step is 0.05 s
    "multi_pendulum_shaped": Renderer("envs.pendulum.rendering", 20.0),
    "predator_prey": Renderer("envs.mpe.rendering", 10.0),  # real time: a step is 0.1 s
    "po_predator_prey": Renderer("envs.mpe.rendering", 10.0),
    "mabrax": Renderer("envs.adapters.mabrax_rendering", 20.0),  # real time: images are 0.05 s apart
}


class Episode(NamedTuple):
    """A recorded episode of E environments and T steps. Leaves are jax or NumPy arrays with E in front."""

    states: list[Any]  # T + 1 environment states
    timesteps: list[TimeStep]  # T + 1
    actions: list[Any]  # T times int32[E, A] or f32[E, A, D]
    values: list[Any] | None = None  # T times f32[E, A]: a number to show at each agent, e.g. its intrinsic reward


def has_renderer(name: str) -> bool:
    """True if the environment called `name` can be drawn."""
    return _find_renderer(name) is not None


def check_renderer(name: str) -> None:
    """Checks that the environment called `name` can be drawn.

    Raises:
      ConfigError: it has no renderer.
    """
    if not has_renderer(name):
        raise ConfigError(
            f"'{name}' has no renderer: {', '.join(RENDERERS)} have one, and so has a custom environment "
            "whose module has a function episode_frames"
        )


def frames(env: Environment, episode: Episode, index: int = 0, width: int = 640) -> list:
    """Draws environment `index` of `episode`, from its reset to the end of its episode.

    Returns:
      At most T + 1 PIL images, `width` pixels wide.

    Raises:
      ConfigError: the environment has no renderer.
    """
    renderer = _renderer(env.spec.name)
    return import_module(renderer.module).episode_frames(env, episode, index, width)


def frames_per_second(name: str) -> float:
    """The frames per second of a video of the environment called `name`.

    Raises:
      ConfigError: the environment has no renderer.
    """
    return _renderer(name).fps


def _renderer(name: str) -> Renderer:
    check_renderer(name)
    return _find_renderer(name)


def _find_renderer(name: str) -> Renderer | None:
    family = name.split(":")[0]
    if family in FAMILIES or not is_custom_name(name):
        return RENDERERS.get(family)
    module = module_of(name)
    return Renderer(family, float(getattr(module, "FPS", 8.0))) if hasattr(module, "episode_frames") else None


def save_gif(images: list, file, fps: float = 8.0, hold: float = 1.5) -> None:
    """Writes PIL `images` to `file`, a path or a binary file, as a looping GIF of `fps` frames per second.

    The last image stays for `hold` seconds.

    All images share one palette, so that regions without change are identical and compress well.
    """
    palette = _palette(images[:: max(1, len(images) // 6)][:7] + images[-1:])
    flat = [image.quantize(palette=palette, dither=0) for image in images]
    wait = [round(1000 / fps)] * (len(flat) - 1) + [round(1000 * hold)]
    flat[0].save(file, save_all=True, append_images=flat[1:], duration=wait, loop=0, optimize=False)


def _palette(images: list):
    """At most 252 colours for all `images`: the 32 most frequent, and others chosen regardless of their frequency.

    A palette chosen by frequency alone would hold many shades of the background and lose small bright objects.
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
