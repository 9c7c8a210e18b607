"""What units of a picture do in a step: shots, the colossus' beam, banelings' bursts, and where agents look."""

import math
from typing import Any, NamedTuple

from envs.smax.canvas import ALLY, ENEMY, FIRE, HEAL, Canvas
from envs.smax.units import UNITS

MELEE = 1.0  # cells: weapons of a shorter range have a short, thin line


class Sector(NamedTuple):
    """A part of an agent's field of view, from `start` counter-clockwise to `stop`."""

    agent: int
    radius: float  # map units
    start: float  # degrees from east
    stop: float


def draw_sector(canvas: Canvas, scene: Any, sector: Sector) -> None:
    """A faint sector of a circle around a living agent."""
    x, y, count = float(scene.x[sector.agent]), float(scene.y[sector.agent]), 12
    if scene.health[sector.agent] <= 0:
        return
    angles = [math.radians(sector.start + (sector.stop - sector.start) * i / count) for i in range(count + 1)]
    rim = [canvas.at(x + sector.radius * math.cos(a), y + sector.radius * math.sin(a)) for a in angles]
    canvas.draw.polygon([canvas.at(x, y), *rim], fill=(*ALLY, 26))
    canvas.line([canvas.at(x, y), *rim, canvas.at(x, y)], (*ALLY, 80), 1)


def draw_burst(canvas: Canvas, scene: Any, n: int) -> None:
    """The circle in which the baneling n, which died in this step, has hit: from its centre to the others' edges."""
    x, y, r = float(scene.x[n]), float(scene.y[n]), UNITS[scene.types[n]].burst
    box = (*canvas.at(x - r, y + r), *canvas.at(x + r, y - r))
    canvas.draw.ellipse(box, fill=(*FIRE, 34), outline=(*FIRE, 170), width=max(1, round(1.4 * canvas.zoom * canvas.k)))


def draw_beam(canvas: Canvas, scene: Any, n: int, m: int) -> None:
    """The line across the shot of the colossus n at m, along which it hits everybody."""
    dx, dy = float(scene.x[m] - scene.x[n]), float(scene.y[m] - scene.y[n])
    length, (half, width) = math.hypot(dx, dy), UNITS[scene.types[n]].beam
    if length < 1e-3:
        return
    ux, uy, x, y = dx / length, dy / length, float(scene.x[m]), float(scene.y[m])
    corners = [(half, width), (half, -width), (-half, -width), (-half, width)]
    points = [canvas.at(x - uy * s + ux * w, y + ux * s + uy * w) for s, w in corners]
    canvas.draw.polygon(points, fill=(*FIRE, 150), outline=(*FIRE, 255))


def draw_aim(canvas: Canvas, scene: Any, n: int, m: int, dotted: bool = True) -> None:
    """The line from unit n to its target m, slightly to the right, so that a duel shows two lines.

    `dotted`: a target out of range has a dotted line, else none.
    """
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
    colour = HEAL if kind.heals else tuple((c + 255) // 2 for c in (ALLY if n < scene.num_allies else ENEMY))
    if distance > kind.range + radii + 0.3:  # a little slack: the target has moved since the shot
        if dotted:
            canvas.dots(*points, (*colour, 110))
        return
    melee = not kind.heals and kind.range < MELEE
    canvas.line(points, (*colour, 215), (3.0 if kind.heals else 1.2 if melee else 1.8) * canvas.zoom)
    x, y = points[1]
    r = (1.6 if melee else 3.0) * canvas.zoom * canvas.k
    canvas.draw.ellipse((x - r, y - r, x + r, y + r), fill=(*colour, 255))
