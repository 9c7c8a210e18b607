"""The renderer of the pendulums, one dial each.

The wedge at the top of a dial is where a pendulum counts as up: it lights up when the pendulum is in it, and all dials
glow when all pendulums are up. The arrow around the pivot is the torque of the step, counter-clockwise (cyan) or
clockwise (orange); its length shows the strength. Fading rods show the last steps. The strip below is the episode so
far, gold where there was a reward.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from envs.pendulum.multi_pendulum import MAX_TORQUE, MultiPendulum
from envs.rendering import Episode
from envs.smax.canvas import DIM, INK, MINUS, PANEL, PLUS, font

WIDTH, HEADER, FOOTER = 640, 46, 30  # pixels; all lengths below are in pixels of a frame this wide
OVERSAMPLE = 3  # drawn this much larger, then scaled down, for smooth edges
MOST_COLUMNS, TALLEST = 5, 300  # dials in a row; the height of one
ROD, PIVOT, ARC = 0.68, 0.075, 0.27  # in dial radii: rod length, pivot radius, radius of the torque arrow
TRAIL = 4  # steps

BACK, FACE, RIM, TICK = "#171c25", "#222936", "#39445a", "#4b586f"
REST, UP, LEFT, RIGHT = (214, 92, 84), (255, 205, 70), (86, 204, 242), (255, 150, 80)
LINES = {"rod": 0.135, "rim": 0.022, "arrow": 0.045}  # line widths, in dial radii


class PendulumScene(NamedTuple):
    """What one frame shows: NumPy arrays of one environment with N pendulums."""

    name: str
    upright: float  # rad
    limit: int  # steps of an episode
    angle: np.ndarray  # f32[TRAIL or fewer, N] rad, 0 is up, counter-clockwise; the newest last
    torque: np.ndarray | None  # f32[N] of the step that led here
    rewards: np.ndarray  # f32[t] so far
    full: float  # the reward of a step in which all are up
    values: np.ndarray | None = None  # f32[N] a number to show at each pendulum

    @property
    def up(self) -> np.ndarray:
        """bool[N]: which pendulums are up."""
        return np.cos(self.angle[-1]) > math.cos(self.upright)


def grid(count: int) -> tuple[int, int]:
    """(columns, rows) for `count` dials, in rows of nearly equal length."""
    rows = -(-count // MOST_COLUMNS)
    return -(-count // rows), rows


class PendulumCanvas:
    """A frame for `count` dials, drawn larger and scaled down at the end."""

    def __init__(self, width: int, count: int):
        self.columns, self.rows = grid(count)
        self.cell = WIDTH / self.columns, min(TALLEST, WIDTH / self.columns)
        self.k = OVERSAMPLE * width / WIDTH
        height = HEADER + self.rows * self.cell[1] + FOOTER
        self.height = height
        self.size = width, round(height * width / WIDTH)
        self.image = Image.new("RGB", (OVERSAMPLE * self.size[0], OVERSAMPLE * self.size[1]), BACK)
        self.draw = ImageDraw.Draw(self.image, "RGBA")

    def dial(self, n: int) -> tuple[float, float, float]:
        """Centre and radius of dial n; the last row is centred."""
        row, column = divmod(n, self.columns)
        return (column + 0.5) * self.cell[0], HEADER + (row + 0.5) * self.cell[1], 0.46 * min(self.cell)

    def disc(self, x, y, r, fill=None, outline=None, width=1.0):
        box = [v * self.k for v in (x - r, y - r, x + r, y + r)]
        self.draw.ellipse(box, fill, outline, max(1, round(width * self.k)))

    def rod(self, a, b, width, fill):
        """A line with round ends."""
        self.draw.line([v * self.k for v in (*a, *b)], fill, max(1, round(width * self.k)))
        for x, y in (a, b):
            self.disc(x, y, width / 2, fill)

    def box(self, x0, y0, x1, y1, fill):
        self.draw.rectangle([v * self.k for v in (x0, y0, x1, y1)], fill)

    def text(self, x, y, text, size, fill=INK, anchor="lm"):
        face = font(max(1, round(size * self.k)))
        self.draw.text((x * self.k, y * self.k), text, fill=fill, font=face, anchor=anchor)

    def finish(self) -> Image.Image:
        """The image in its final size."""
        return self.image.resize(self.size, Image.Resampling.LANCZOS)


def tip(x: float, y: float, length: float, angle: float) -> tuple[float, float]:
    """The pixel at distance `length` from (x, y), at `angle` rad counter-clockwise from straight up."""
    return x - length * math.sin(angle), y - length * math.cos(angle)


def draw_frame(scene: PendulumScene, width: int = WIDTH) -> Image.Image:
    """One image of `scene`, `width` pixels wide."""
    count = scene.angle.shape[1]
    canvas = PendulumCanvas(width, count)
    for n in range(count):
        _face(canvas, scene, n)
        _pendulum(canvas, scene, n)
        if scene.torque is not None:
            _torque(canvas, *canvas.dial(n), float(scene.torque[n]))
        if scene.values is not None:
            x, y, r = canvas.dial(n)
            value = float(scene.values[n])
            canvas.text(x, y + 0.72 * r, f"{value:+.2f}", max(9, 0.13 * r), PLUS if value >= 0 else MINUS, "mm")
    _header(canvas, scene)
    _timeline(canvas, scene)
    return canvas.finish()


def _face(canvas, scene, n):
    x, y, r = canvas.dial(n)
    up, all_up = bool(scene.up[n]), bool(scene.up.all())
    for ring in range(6 if all_up else 3 if up else 0):  # a glow around the rim
        canvas.disc(x, y, r * (1 + 0.012 * ring), None, (*UP, 110 - 17 * ring), 0.02 * r)
    canvas.disc(x, y, r, FACE, UP if up else RIM, LINES["rim"] * r)
    box = [v * canvas.k for v in (x - 0.9 * r, y - 0.9 * r, x + 0.9 * r, y + 0.9 * r)]
    half = math.degrees(scene.upright)
    canvas.draw.pieslice(box, 270 - half, 270 + half, fill=(*UP, 150 if all_up else 95 if up else 34))
    for degrees in range(0, 360, 30):
        inner = 0.86 if degrees % 90 else 0.8
        a, b = (tip(x, y, part * r, math.radians(degrees)) for part in (inner, 0.92))
        canvas.rod(a, b, 0.014 * r, TICK)


def _pendulum(canvas, scene, n):
    x, y, r = canvas.dial(n)
    angles, colour = scene.angle[:, n], UP if scene.up[n] else REST
    for age, angle in enumerate(angles[:-1]):
        canvas.rod((x, y), tip(x, y, ROD * r, float(angle)), LINES["rod"] * r, (*colour, 14 + 12 * age))
    end, width = tip(x, y, ROD * r, float(angles[-1])), LINES["rod"] * r
    if scene.up[n]:
        for spread in (1.9, 1.5, 1.25):
            canvas.rod((x, y), end, spread * width, (*UP, 38))
    canvas.rod((x, y), end, width, tuple(round(0.45 * c) for c in colour))
    canvas.rod((x, y), end, 0.78 * width, colour)
    shine = tuple(round(c + 0.45 * (255 - c)) for c in colour)
    canvas.rod(tip(x, y, 0.12 * r, float(angles[-1])), end, 0.2 * width, (*shine, 190))
    canvas.disc(x, y, PIVOT * r, "#0d1016", "#8b95a5", 0.02 * r)
    canvas.disc(x, y, 0.4 * PIVOT * r, "#c9d1de")


def _torque(canvas, x, y, r, torque):
    """An arrow around the pivot, from straight down up to 140 degrees in the direction of the torque."""
    share = min(abs(torque) / MAX_TORQUE, 1.0)
    if share < 0.02:
        return
    colour, radius, width = LEFT if torque > 0 else RIGHT, ARC * r, LINES["arrow"] * r
    turn = math.copysign(math.radians(15 + 125 * share), torque)
    steps = max(3, round(24 * share))
    points = [tip(x, y, radius, math.pi + turn * i / steps) for i in range(steps + 1)]
    for a, b in zip(points, points[1:], strict=False):
        canvas.rod(a, b, width, colour)
    side, ahead = 1.9 * width, math.copysign(2.6 * width / radius, torque)
    head = [tip(x, y, radius + d, math.pi + turn) for d in (-side, side)] + [tip(x, y, radius, math.pi + turn + ahead)]
    canvas.draw.polygon([(px * canvas.k, py * canvas.k) for px, py in head], fill=colour)


def _header(canvas, scene):
    step, gained = len(scene.rewards), float(scene.rewards[-1]) if len(scene.rewards) else 0.0
    canvas.box(0, 0, WIDTH, HEADER - 6, PANEL)
    canvas.text(14, HEADER / 2 - 3, scene.name, 17)
    canvas.text(WIDTH / 2 - 14, HEADER / 2 - 3, f"step {step} / {scene.limit}", 14, DIM, "mm")
    if gained > 0:
        canvas.text(WIDTH - 150, HEADER / 2 - 3, f"+{gained:g}", 17, UP, "rm")
    canvas.text(WIDTH - 14, HEADER / 2 - 3, f"return {float(scene.rewards.sum()):g}", 17, INK, "rm")


def _timeline(canvas, scene):
    """The episode from left to right: the reward of each step, as a share of the largest possible one."""
    left, right, bottom, high = 14, WIDTH - 14, canvas.height - 10, 12
    canvas.box(left, bottom - high, right, bottom, "#0d1016")
    step = (right - left) / scene.limit
    paid = np.clip(scene.rewards / scene.full, 0.0, 1.0)
    for t in np.flatnonzero(paid):
        shade = (*UP, round(70 + 185 * float(paid[t])))
        canvas.box(left + t * step, bottom - high * float(paid[t]), left + (t + 1) * step, bottom, shade)
    now = left + len(scene.rewards) * step
    canvas.box(now - 0.8, bottom - high - 3, now + 0.8, bottom + 3, INK)


def episode_frames(env: Any, episode: Episode, index: int, width: int) -> list[Image.Image]:
    """Images of environment `index` of `episode`, up to the end of its episode."""
    return [draw_frame(scene, width) for scene in scenes(env, episode, index)]


def scenes(env: MultiPendulum, episode: Episode, index: int) -> list[PendulumScene]:
    """What the frames of environment `index` show, up to the end of its episode."""
    angles = np.stack([np.asarray(state.angle)[:, index] for state in episode.states])
    rewards = np.array([float(np.asarray(ts.reward)[index]) for ts in episode.timesteps[1:]])
    over = np.array([bool(np.asarray(ts.truncated)[index]) for ts in episode.timesteps])
    last = int(over.argmax()) if over.any() else len(over) - 1
    spec, full = env.spec, 0.5 if env.shaped else 5.0
    shown = []
    for t in range(last + 1):
        torque = np.asarray(episode.actions[t - 1])[index, :, 0] if t else None
        values = np.asarray(episode.values[t - 1])[index] if episode.values is not None and t else None
        trail = angles[max(0, t + 1 - TRAIL) : t + 1]
        shown.append(PendulumScene(spec.name, env.upright, spec.horizon, trail, torque, rewards[:t], full, values))
    return shown
