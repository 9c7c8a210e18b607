"""Pictures of a battle: one frame, and a GIF of many.

Blue units are the agents, red ones the enemies. The shape and the letter tell a unit's type (a legend stands below), its size is
true to scale. Above a unit: shield (cyan), health (green to red) and a medivac's energy (violet); the white end of a bar is what
was lost in this step. A bright line runs from a unit to the one it fires at, a dotted one to a target still out of reach, a
green one from a medivac to its patient. A cross marks where a unit fell.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from envs.smax.units import UNITS

WIDTH = 960  # pixels; all lengths below are in pixels of a frame this wide
VIEW = (-0.6, 32.6, 7.5, 24.9)  # x0, x1, y0, y1 in map units: the 32 x 16 strip and a margin
HEADER, FOOTER = 66, 34
SCALE = WIDTH / (VIEW[1] - VIEW[0])  # pixels a map unit
HEIGHT = round(HEADER + SCALE * (VIEW[3] - VIEW[2]) + FOOTER)
OVERSAMPLE = 2  # drawn this much larger, then shrunk: smooth edges

INK, DIM, PANEL, GROUND, WALL, GRID = "#e8ecf2", "#8b95a5", "#12161d", "#242b36", "#1a1f28", "#2c3440"
ALLY, ENEMY, HEAL = (74, 158, 255), (255, 92, 80), (70, 220, 120)
SHIELD, ENERGY, LOST, EMPTY = (90, 215, 235), (190, 120, 255), (255, 255, 255), (10, 12, 16)
PLUS, MINUS = (255, 205, 70), (225, 110, 255)  # an agent's value above and below zero
# type -> (letter, corners of the polygon, angle of its first corner in degrees); 0 corners: a disc, 12: a cross
SHAPES = {
    "marine": ("M", 0, 0),
    "marauder": ("R", 4, 45),
    "medivac": ("", 12, 0),
    "stalker": ("S", 4, 0),
    "zealot": ("Z", 3, 90),
    "colossus": ("C", 6, 0),
    "hydralisk": ("H", 5, 90),
}
ENERGY_MAX = 200.0  # a medivac's


class Scene(NamedTuple):
    """What one frame shows. N units, agents first; NumPy arrays of one environment."""

    name: str  # of the map
    types: tuple[str, ...]  # [N] unit types
    num_allies: int
    x: np.ndarray  # f32[N] map units
    y: np.ndarray  # f32[N]
    health: np.ndarray  # f32[N] points, 0: dead
    shield: np.ndarray  # f32[N]
    energy: np.ndarray  # f32[N]
    target: np.ndarray  # int[N] the unit fired at or healed in this step, -1 for none
    lost: np.ndarray  # f32[N] health and shield lost in this step
    step: int
    limit: int
    result: str = ""  # "WON", "LOST", "TIME OUT", "" while it lasts
    values: np.ndarray | None = None  # f32[A] a number an agent, e.g. its intrinsic reward


class _Canvas:
    """Draws in map units on a larger picture."""

    def __init__(self, width: int):
        self.k = OVERSAMPLE * width / WIDTH
        self.size = (width, round(HEIGHT * width / WIDTH))
        self.image = Image.new("RGB", (width * OVERSAMPLE, self.size[1] * OVERSAMPLE), PANEL)
        self.draw = ImageDraw.Draw(self.image, "RGBA")

    def at(self, x, y):
        """Pixel of a point of the map; the map's y points up."""
        return (x - VIEW[0]) * SCALE * self.k, (HEADER + (VIEW[3] - y) * SCALE) * self.k

    def box(self, x0, y0, x1, y1, fill, radius=0.0, outline=None):
        """A rectangle given in pixels of a WIDTH-wide frame."""
        corners = [v * self.k for v in (x0, y0, max(x0, x1), max(y0, y1))]
        self.draw.rounded_rectangle(corners, radius * self.k, fill=fill, outline=outline, width=round(self.k))

    def text(self, x, y, text, size, fill=INK, anchor="lm"):
        """Text at a pixel of a WIDTH-wide frame."""
        self.draw.text((x * self.k, y * self.k), text, fill=fill, font=_font(round(size * self.k)), anchor=anchor)

    def line(self, points, fill, width):
        self.draw.line(points, fill=fill, width=max(1, round(width * self.k)), joint="curve")

    def finish(self):
        return self.image.resize(self.size, Image.Resampling.LANCZOS)


@lru_cache(maxsize=64)
def _font(size: int):
    return ImageFont.load_default(size=size)


def draw_frame(scene: Scene, width: int = WIDTH) -> Image.Image:
    """One picture of `scene`, `width` pixels wide and 0.62 times as high."""
    canvas = _Canvas(width)
    _ground(canvas)
    order = np.argsort([UNITS[t].air for t in scene.types], kind="stable")  # flyers on top
    for n in order:
        if scene.health[n] <= 0:
            _fallen(canvas, scene, n)
    for n in order:
        if scene.health[n] > 0:
            _unit(canvas, scene, n)
    for n in order:
        if scene.target[n] >= 0:
            _aim(canvas, scene, n, int(scene.target[n]))
    for n in order:
        if scene.health[n] > 0:
            _bars(canvas, scene, n)
    if scene.values is not None:
        _values(canvas, scene)
    _header(canvas, scene)
    _legend(canvas, scene)
    return canvas.finish()


def _ground(canvas):
    left, top = canvas.at(VIEW[0], VIEW[3])
    right, bottom = canvas.at(VIEW[1], VIEW[2])
    canvas.draw.rectangle((left, top, right, bottom), fill=WALL)
    canvas.draw.rectangle((*canvas.at(0, 24), *canvas.at(32, 8)), fill=GROUND)
    for x in range(4, 32, 4):
        canvas.line([canvas.at(x, 8), canvas.at(x, 24)], GRID, 1)
    for y in range(12, 24, 4):
        canvas.line([canvas.at(0, y), canvas.at(32, y)], GRID, 1)


def _colour(scene, n):
    return ALLY if n < scene.num_allies else ENEMY


def _shape(canvas, kind, centre, radius, fill, outline):
    """The body of a unit type about a pixel, `radius` in pixels of the large picture."""
    _, corners, turn = SHAPES[kind]
    width = max(1, round(1.5 * canvas.k))
    if corners == 0:
        box = (centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius)
        canvas.draw.ellipse(box, fill=fill, outline=outline, width=width)
        return
    if corners == 12:
        a, b = radius, radius * 0.42
        steps = [(-b, -a), (b, -a), (b, -b), (a, -b), (a, b), (b, b), (b, a), (-b, a), (-b, b), (-a, b), (-a, -b), (-b, -b)]
        points = [(centre[0] + dx, centre[1] + dy) for dx, dy in steps]
    else:
        angles = [math.radians(turn + 360 * c / corners) for c in range(corners)]
        reach = radius * (1.3 if corners < 5 else 1.1)  # about the area of the disc
        points = [(centre[0] + reach * math.cos(a), centre[1] - reach * math.sin(a)) for a in angles]
    canvas.draw.polygon(points, fill=fill, outline=outline, width=width)


def _unit(canvas, scene, n):
    kind, colour = scene.types[n], _colour(scene, n)
    centre, radius = canvas.at(scene.x[n], scene.y[n]), UNITS[kind].radius * SCALE * canvas.k
    edge = tuple(c // 3 for c in colour)
    _shape(canvas, kind, centre, radius, colour, edge)
    size = round(1.25 * radius)
    canvas.draw.text(centre, SHAPES[kind][0], fill=edge, font=_font(size), anchor="mm")


def _fallen(canvas, scene, n):
    x, y = float(scene.x[n]), float(scene.y[n])
    if not (0 <= x <= 32 and 8 <= y <= 24):
        return
    r = 0.3
    colour = (*_colour(scene, n), 95)
    canvas.line([canvas.at(x - r, y - r), canvas.at(x + r, y + r)], colour, 2)
    canvas.line([canvas.at(x - r, y + r), canvas.at(x + r, y - r)], colour, 2)


def _aim(canvas, scene, n, m):
    """The line from unit n to its target m: from edge to edge, a little to its right, so that two who duel show two lines."""
    kind = UNITS[scene.types[n]]
    dx, dy = float(scene.x[m] - scene.x[n]), float(scene.y[m] - scene.y[n])
    distance = math.hypot(dx, dy)
    radii = kind.radius + UNITS[scene.types[m]].radius
    if scene.health[n] <= 0 or distance < 1e-3:
        return
    ux, uy = dx / distance, dy / distance
    start, stop = min(0.7 * kind.radius, 0.3 * distance), max(distance - 0.5 * radii / 2, 0.6 * distance)
    side = 0.1
    points = [canvas.at(scene.x[n] + s * ux + side * uy, scene.y[n] + s * uy - side * ux) for s in (start, stop)]
    colour = HEAL if kind.heals else tuple((c + 255) // 2 for c in _colour(scene, n))
    if distance > kind.range + radii + 0.3:  # a little slack: the target has moved since the shot
        _dots(canvas, *points, (*colour, 110))
        return
    canvas.line(points, (*colour, 215), 3.0 if kind.heals else 1.8)
    x, y = points[1]
    r = 3.0 * canvas.k
    canvas.draw.ellipse((x - r, y - r, x + r, y + r), fill=(*colour, 255))


def _dots(canvas, a, b, colour):
    length = math.hypot(b[0] - a[0], b[1] - a[1])
    r, count = 1.1 * canvas.k, max(1, int(length / (7 * canvas.k)))
    for i in range(1, count + 1):
        x, y = a[0] + (b[0] - a[0]) * i / count, a[1] + (b[1] - a[1]) * i / count
        canvas.draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)


def _bars(canvas, scene, n):
    unit = UNITS[scene.types[n]]
    px, py = (v / canvas.k for v in canvas.at(scene.x[n], scene.y[n]))
    half = max(10.0, 0.95 * unit.radius * SCALE)
    bottom = py - 1.3 * unit.radius * SCALE - 1
    health = float(scene.health[n]) / unit.hp
    warm = (round(255 * min(1.0, 2 - 2 * health)), round(220 * min(1.0, 2 * health)), 70)
    rows = [(health, warm)]
    if unit.shield:
        rows.append((float(scene.shield[n]) / unit.shield, SHIELD))
    if unit.heals:
        rows.append((float(scene.energy[n]) / ENERGY_MAX, ENERGY))
    canvas.box(px - half - 1, bottom - 4 * len(rows), px + half + 1, bottom + 1, EMPTY)
    lost = float(scene.lost[n]) / (unit.hp + unit.shield)
    for row, (fraction, colour) in enumerate(rows):
        y = bottom - 4 * row
        end = px - half + 2 * half * min(fraction, 1.0)
        canvas.box(px - half, y - 3, end, y, colour)
        if lost > 0 and row < 2 and not (unit.heals and row == 1) and fraction < 1:
            canvas.box(end, y - 3, min(end + 2 * half * lost, px + half), y, LOST)


def _values(canvas, scene):
    """A ring and a number an agent: gold above zero, violet below, brighter the larger."""
    top = max(float(np.abs(scene.values).max()), 1e-9)
    for n in range(scene.num_allies):
        if scene.health[n] <= 0:
            continue
        value = float(scene.values[n])
        colour = PLUS if value >= 0 else MINUS
        x, y = canvas.at(scene.x[n], scene.y[n])
        r = (UNITS[scene.types[n]].radius * SCALE + 5) * canvas.k
        strength = round(60 + 195 * min(1.0, abs(value) / top))
        canvas.draw.ellipse((x - r, y - r, x + r, y + r), outline=(*colour, strength), width=round(2.5 * canvas.k))
        canvas.text(x / canvas.k, (y + r) / canvas.k + 6, f"{value:+.2f}", 10, colour, "mm")


def _header(canvas, scene):
    canvas.box(0, 0, WIDTH, HEADER, PANEL)
    canvas.text(14, 18, scene.name, 21)
    canvas.text(WIDTH / 2, 18, f"step {scene.step} / {scene.limit}", 17, DIM, "mm")
    good = scene.result == "WON"
    canvas.text(WIDTH - 14, 18, scene.result, 22, HEAL if good else ENEMY, "rm")
    full = np.array([UNITS[t].hp + UNITS[t].shield for t in scene.types])
    now = np.maximum(scene.health, 0) + np.where(scene.health > 0, scene.shield, 0)
    a, middle, length = scene.num_allies, WIDTH / 2, WIDTH / 2 - 140
    sides = ((slice(None, a), ALLY, "agents", -1), (slice(a, None), ENEMY, "enemies", 1))
    for part, colour, label, sign in sides:
        fraction = float(now[part].sum() / full[part].sum())
        inner, outer, end = middle + sign * 6, middle + sign * (6 + length), middle + sign * (6 + length * fraction)
        canvas.box(min(inner, outer), 40, max(inner, outer), 54, EMPTY, 3)
        if fraction > 0:
            canvas.box(min(inner, end), 40, max(inner, end), 54, colour, 3)
        count = f"{label} {int((scene.health[part] > 0).sum())}/{len(scene.types[part])}"
        canvas.text(14 if sign < 0 else WIDTH - 14, 47, count, 15, colour, "lm" if sign < 0 else "rm")


def _legend(canvas, scene):
    """Unit types on the left, the bars' colours on the right."""
    y, x = HEIGHT - FOOTER / 2, 16.0
    canvas.box(0, HEIGHT - FOOTER, WIDTH, HEIGHT, PANEL)
    for kind in dict.fromkeys(scene.types):
        _shape(canvas, kind, ((x + 6) * canvas.k, y * canvas.k), 8 * canvas.k, "#9aa6b8", None)
        if SHAPES[kind][0]:
            canvas.text(x + 6, y, SHAPES[kind][0], 10, PANEL, "mm")
        canvas.text(x + 22, y, kind, 14, DIM)
        x += 22 + _font(14).getlength(kind) + 24
    keys = [("lost in this step", LOST), ("health", (70, 220, 70))]
    keys += [("shield", SHIELD)] if any(UNITS[t].shield for t in scene.types) else []
    keys += [("energy", ENERGY)] if any(UNITS[t].heals for t in scene.types) else []
    x = WIDTH - 14.0
    for label, colour in keys:
        canvas.text(x, y, label, 14, DIM, "rm")
        x -= _font(14).getlength(label) + 7
        canvas.box(x - 16, y - 3, x, y + 3, colour)
        x -= 16 + 20


def save_gif(frames: list[Image.Image], path, fps: float = 8.0, hold: float = 1.5) -> None:
    """Writes `frames` as a looping GIF of `fps` frames a second; the last frame stays for `hold` seconds.

    All frames share one palette, so that still regions stay identical and compress to nothing.
    """
    samples = frames[:: max(1, len(frames) // 6)][:7] + frames[-1:]
    strip = Image.new("RGB", (frames[0].width, frames[0].height * len(samples)))
    for i, frame in enumerate(samples):
        strip.paste(frame, (0, i * frame.height))
    palette = strip.quantize(colors=96, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    flat = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    wait = [round(1000 / fps)] * (len(flat) - 1) + [round(1000 * hold)]
    flat[0].save(path, save_all=True, append_images=flat[1:], duration=wait, loop=0, optimize=False)
