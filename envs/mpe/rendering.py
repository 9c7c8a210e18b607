"""The renderer of predator-prey.

Red discs are predators, green ones prey, grey ones landmarks, all true to scale. The square is the arena in which they
start. A thin line from a predator is the force it applies; fading trails show the last steps. A gold halo marks bodies
in contact, with the reward of the step. In the partially observable version a faint disc shows how far each predator
sees, and a body that no predator sees is drawn hollow.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from envs.mpe.predator_prey import ARENA, PredatorPrey
from envs.rendering import Episode
from envs.smax.canvas import DIM, GRID, GROUND, INK, MINUS, OVERSAMPLE, PANEL, PLUS, WALL, font

WIDTH, HEADER, FOOTER = 640, 44, 30  # pixels; all lengths below are in pixels of a frame this wide
PREDATORS = ((240, 84, 80), (255, 138, 76), (226, 76, 140), (250, 110, 110), (255, 165, 110), (200, 90, 170))
PREY, LANDMARK, GOLD = (88, 214, 118), (104, 115, 132), (255, 205, 70)
TRAIL = 14  # steps
FORCE = 0.1  # units by which a full force is drawn beyond the predator's edge
LEAST_SPAN, MOST_SPAN, MARGIN = 2.5, 3.4, 0.25  # units across a frame; margin around the bodies


class ParticleScene(NamedTuple):
    """What one frame shows: NumPy arrays of one environment; K bodies: predators, then prey, then landmarks."""

    x: np.ndarray  # f32[K]
    y: np.ndarray  # f32[K]
    touching: np.ndarray  # bool[P, M] predators and prey in contact
    step: int
    gained: float  # reward of this step
    total: float  # return so far
    force: np.ndarray | None = None  # f32[P, 2] the predators' forces in this step
    values: np.ndarray | None = None  # f32[P] a number to show at each predator


class ParticleCanvas:
    """Draws in environment units, `span` of them across around `centre`, on a larger image that is then scaled down."""

    def __init__(self, width: int, centre: tuple[float, float], span: float):
        self.k = OVERSAMPLE * width / WIDTH  # pixels of the large image per pixel of a frame WIDTH wide
        self.unit = WIDTH / span * self.k  # pixels of the large image per environment unit
        self.corner = centre[0] - span / 2, centre[1] + span / 2  # left and top edge of the visible part
        self.span = span
        self.size = width, round((HEADER + WIDTH + FOOTER) * width / WIDTH)
        self.image = Image.new("RGB", tuple(OVERSAMPLE * s for s in self.size), WALL)
        self.draw = ImageDraw.Draw(self.image, "RGBA")

    def at(self, x: float, y: float) -> tuple[float, float]:
        """The pixel of a point in environment units; y points up."""
        return (float(x) - self.corner[0]) * self.unit, (self.corner[1] - float(y)) * self.unit + HEADER * self.k

    def disc(self, x, y, radius, fill=None, outline=None, width=1.5):
        """A disc of `radius` units around a point in environment units."""
        (px, py), r = self.at(x, y), radius * self.unit
        self.draw.ellipse((px - r, py - r, px + r, py + r), fill, outline, max(1, round(width * self.k)))

    def line(self, points, fill, width):
        """A line through points in environment units."""
        self.draw.line([self.at(*p) for p in points], fill, max(1, round(width * self.k)), joint="curve")

    def text(self, px, py, text, size, fill=INK, anchor="lm"):
        """Text at a pixel of a frame WIDTH wide."""
        place = px * self.k, py * self.k
        self.draw.text(place, text, fill=fill, font=font(max(1, round(size * self.k))), anchor=anchor)

    def box(self, x0, y0, x1, y1, fill):
        """A rectangle given in pixels of a frame WIDTH wide."""
        self.draw.rectangle([v * self.k for v in (x0, y0, x1, y1)], fill=fill)

    def finish(self) -> Image.Image:
        """The image in its final size."""
        return self.image.resize(self.size, Image.Resampling.LANCZOS)


def cameras(env: PredatorPrey, scenes: list[ParticleScene]) -> list[tuple[tuple[float, float], float]]:
    """(centre, span) for each frame.

    If MOST_SPAN is enough, the camera stands still and shows the whole episode; else it follows the moving bodies and
    zooms out smoothly when they separate.
    """
    places = np.array([[s.x, s.y] for s in scenes])  # [T, 2, K]
    low, high = (f(places.reshape(len(scenes), 2, -1), axis=(0, 2)) for f in (np.min, np.max))
    low, high = np.minimum(low - MARGIN, -ARENA - 0.1), np.maximum(high + MARGIN, ARENA + 0.1)
    span = float(max((high - low).max(), LEAST_SPAN))
    if span <= MOST_SPAN:
        centre = (low + high) / 2
        return [((float(centre[0]), float(centre[1])), span)] * len(scenes)
    moving = places[:, :, : env.movers]
    low, high = _around(moving.min(-1), np.min) - MARGIN, _around(moving.max(-1), np.max) + MARGIN
    spans = np.maximum((high - low).max(-1), MOST_SPAN)
    return [((float(c[0]), float(c[1])), float(s)) for c, s in zip((low + high) / 2, spans, strict=True)]


def _around(values, extreme, reach=8):
    """The `extreme` of f[T, 2] over `reach` rows to each side, then averaged over as many.

    The result is smooth, and never less extreme than the row itself.
    """
    for f in (extreme, np.mean):
        padded = np.pad(values, ((reach, reach), (0, 0)), mode="edge")
        values = np.array([f(padded[t : t + 2 * reach + 1], axis=0) for t in range(len(values))])
    return values


def draw_frame(env: PredatorPrey, scenes: list[ParticleScene], view: tuple, width: int = WIDTH) -> Image.Image:
    """An image of the last of `scenes`, with trails from the earlier ones; `view` is one of `cameras`."""
    canvas, scene = ParticleCanvas(width, *view), scenes[-1]
    _ground(canvas)
    if env.radius is not None:
        for i in range(env.num_predators):
            canvas.disc(scene.x[i], scene.y[i], env.radius, (120, 160, 255, 14), (120, 160, 255, 70), 1.0)
    _trails(canvas, env, scenes)
    seen = _seen(env, scene)
    for n in range(env.movers, env.bodies):
        edge = (150, 160, 176)
        canvas.disc(scene.x[n], scene.y[n], env.discs.radius[n], LANDMARK if seen[n] else None, edge)
    for i, m in zip(*np.nonzero(scene.touching), strict=True):
        for n in (i, env.num_predators + m):
            canvas.disc(scene.x[n], scene.y[n], env.discs.radius[n] + 0.055, (*GOLD, 90))
            canvas.disc(scene.x[n], scene.y[n], env.discs.radius[n] + 0.025, (*GOLD, 255))
    for i in range(env.num_predators):
        _predator(canvas, env, scene, i)
    for n in range(env.num_predators, env.movers):
        canvas.disc(scene.x[n], scene.y[n], env.discs.radius[n], PREY if seen[n] else None, (190, 255, 200), 1.8)
    _gains(canvas, env, scene)
    _panels(canvas, env, scene)
    return canvas.finish()


def _seen(env, scene):
    """bool[K]: visible to some predator. All are, if there is no `radius`."""
    if env.radius is None:
        return np.ones(env.bodies, bool)
    hunters = slice(env.num_predators)
    dx, dy = (v[:, None] - v[None, hunters] for v in (scene.x, scene.y))
    return (dx**2 + dy**2 <= env.radius**2).any(1)


def _ground(canvas):
    left, top = canvas.corner
    start, stop = canvas.at(-ARENA, ARENA), canvas.at(ARENA, -ARENA)
    canvas.draw.rectangle((*start, *stop), fill=GROUND)
    for v in np.arange(math.floor(2 * left) / 2, left + canvas.span + 0.5, 0.5):
        canvas.line([(v, top), (v, top - canvas.span)], GRID, 1)
    for v in np.arange(math.floor(2 * (top - canvas.span)) / 2, top + 0.5, 0.5):
        canvas.line([(left, v), (left + canvas.span, v)], GRID, 1)
    canvas.draw.rectangle((*start, *stop), outline=(70, 82, 100), width=round(1.5 * canvas.k))


def _colour(env, n):
    return PREDATORS[n % len(PREDATORS)] if n < env.num_predators else PREY


def _trails(canvas, env, scenes):
    past = scenes[-TRAIL - 1 :]
    for n in range(env.movers):
        for age, (old, new) in enumerate(zip(reversed(past[:-1]), reversed(past[1:]), strict=True)):
            strength = 1 - age / TRAIL
            colour = (*_colour(env, n), round(200 * strength**1.5))
            canvas.line([(old.x[n], old.y[n]), (new.x[n], new.y[n])], colour, 1 + 2.5 * strength)


def _predator(canvas, env, scene, i):
    x, y, radius = scene.x[i], scene.y[i], env.discs.radius[i]
    if scene.force is not None:
        fx, fy = FORCE * np.asarray(scene.force[i], float)
        length = math.hypot(fx, fy)
        if length > 1e-3:
            scale = (radius + length) / length
            canvas.line([(x, y), (x + fx * scale, y + fy * scale)], (232, 236, 242, 190), 2)
    canvas.disc(x, y, radius, _colour(env, i), tuple((c + 255) // 2 for c in _colour(env, i)), 1.8)
    size = 1.1 * radius * canvas.unit / canvas.k
    px, py = (v / canvas.k for v in canvas.at(x, y))
    canvas.text(px, py, str(i + 1), size, "#2a1210", "mm")
    if scene.values is not None:
        value = float(scene.values[i])
        canvas.disc(x, y, radius + 0.03, None, PLUS if value >= 0 else MINUS, 2.5)
        canvas.text(px, py + (radius + 0.07) * canvas.unit / canvas.k, f"{value:+.2f}", 12, INK, "mm")


def _gains(canvas, env, scene):
    """Writes the reward of the step above each prey in contact."""
    for m in np.nonzero(scene.touching.any(0))[0]:
        n = env.num_predators + int(m)
        px, py = (v / canvas.k for v in canvas.at(scene.x[n], scene.y[n] + 0.2))
        pairs = int(scene.touching[:, m].sum())
        label = f"+{scene.gained:g}" if env.num_prey == 1 else f"x{pairs}"
        canvas.text(px, py, label, 18, GOLD, "mm")


def _panels(canvas, env, scene):
    canvas.box(0, 0, WIDTH, HEADER, PANEL)
    canvas.text(14, HEADER / 2, env.spec.name, 18)
    canvas.text(WIDTH / 2 + 20, HEADER / 2, f"step {scene.step} / {env.spec.horizon}", 15, DIM, "mm")
    canvas.text(WIDTH - 14, HEADER / 2, f"return {scene.total:g}", 18, GOLD if scene.gained > 0 else INK, "rm")
    top = HEADER + WIDTH
    canvas.box(0, top, WIDTH, top + FOOTER, PANEL)
    keys = [("predator", PREDATORS[0]), ("prey", PREY), ("landmark", LANDMARK), ("in contact", GOLD)]
    keys += [(f"sight {env.radius:g}", (84, 106, 160))] if env.radius is not None else []
    x, y = 16.0, top + FOOTER / 2
    for label, colour in keys:
        r = 6 * canvas.k
        canvas.draw.ellipse((x * canvas.k, y * canvas.k - r, x * canvas.k + 2 * r, y * canvas.k + r), fill=colour)
        canvas.text(x + 18, y, label, 13, DIM)
        x += 18 + font(13).getlength(label) + 20


def episode_frames(env: Any, episode: Episode, index: int, width: int) -> list[Image.Image]:
    """Images of environment `index` of `episode`, up to the end of its episode."""
    scenes: list[ParticleScene] = []
    for t, (state, timestep) in enumerate(zip(episode.states, episode.timesteps, strict=True)):
        x, y = (np.asarray(v)[:, index] for v in state.motion[:2])
        gained = float(np.asarray(timestep.reward)[index])
        scenes.append(
            ParticleScene(
                x=x,
                y=y,
                touching=np.asarray(env.contacts(state.motion))[..., index],
                step=t,
                gained=gained,
                total=gained + (scenes[-1].total if scenes else 0.0),
                force=np.clip(np.asarray(episode.actions[t - 1])[index], -1, 1) if t else None,
                values=np.asarray(episode.values[t - 1])[index] if episode.values is not None and t else None,
            )
        )
        if bool(np.asarray(timestep.truncated)[index]):
            break
    views = cameras(env, scenes)
    return [draw_frame(env, scenes[max(0, t - TRAIL) : t + 1], views[t], width) for t in range(len(scenes))]
