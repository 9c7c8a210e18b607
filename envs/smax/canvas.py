"""The canvas, colours and unit shapes of the StarCraft renderer."""

import math
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

WIDTH = 960  # pixels; all lengths below are in pixels of a frame this wide
VIEW = (-0.6, 32.6, 7.5, 24.9)  # x0, x1, y0, y1 in map units: what is shown unless another part is given
HEADER, FOOTER = 66, 34
OVERSAMPLE = 2  # drawn this much larger, then scaled down, for smooth edges

INK, DIM, PANEL, GROUND, WALL, GRID = "#e8ecf2", "#8b95a5", "#12161d", "#2a323e", "#171b22", "#343e4b"
EDGE, HIGH = "#566273", "#46515f"  # the rim of walls; ground two cliff levels up
ALLY, ENEMY, HEAL = (74, 158, 255), (255, 92, 80), (70, 220, 120)
SHIELD, ENERGY, LOST, EMPTY = (90, 215, 235), (190, 120, 255), (255, 255, 255), (10, 12, 16)
FIRE = (255, 165, 60)  # beams and bursts
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
    "baneling": ("B", 0, 0),
    "zergling": ("G", 3, 270),
    "spine_crawler": ("SC", 8, 22.5),
}


@lru_cache(maxsize=64)
def font(size: int):
    """Pillow's default font."""
    return ImageFont.load_default(size=size)


class Canvas:
    """Draws in map units on a larger image. `view` (x0, x1, y0, y1) is the visible part of the map, which fills it.

    `height`: of the image, header and footer included, in pixels of a WIDTH-wide frame.
    """

    def __init__(self, width: int, view: tuple[float, float, float, float] = VIEW):
        self.view = view
        self.scale = WIDTH / (view[1] - view[0])  # pixels of a WIDTH-wide frame per map unit
        self.zoom = (VIEW[1] - VIEW[0]) / (view[1] - view[0])
        self.k = OVERSAMPLE * width / WIDTH  # pixels of the large image per pixel of a WIDTH-wide frame
        self.height = round(HEADER + self.scale * (view[3] - view[2]) + FOOTER)
        self.size = (width, round(self.height * width / WIDTH))
        self.image = Image.new("RGB", (width * OVERSAMPLE, self.size[1] * OVERSAMPLE), PANEL)
        self.draw = ImageDraw.Draw(self.image, "RGBA")

    def at(self, x, y):
        """The pixel of a point of the map; y points up."""
        return (x - self.view[0]) * self.scale * self.k, (HEADER + (self.view[3] - y) * self.scale) * self.k

    def box(self, x0, y0, x1, y1, fill, radius=0.0, outline=None):
        """A rectangle given in pixels of a WIDTH-wide frame."""
        corners = [v * self.k for v in (x0, y0, max(x0, x1), max(y0, y1))]
        self.draw.rounded_rectangle(corners, radius * self.k, fill=fill, outline=outline, width=round(self.k))

    def text(self, x, y, text, size, fill=INK, anchor="lm"):
        """Text at a pixel of a WIDTH-wide frame."""
        self.draw.text((x * self.k, y * self.k), text, fill=fill, font=font(round(size * self.k)), anchor=anchor)

    def line(self, points, fill, width):
        """A line through pixels of the large image, `width` in pixels of a WIDTH-wide frame."""
        self.draw.line(points, fill=fill, width=max(1, round(width * self.k)), joint="curve")

    def finish(self):
        """The image in its final size."""
        return self.image.resize(self.size, Image.Resampling.LANCZOS)

    def shape(self, kind, centre, radius, fill, outline=None):
        """The body of a unit type around a pixel, `radius` in pixels of the large image."""
        _, corners, turn = SHAPES[kind]
        width = max(1, round(1.5 * self.zoom * self.k))
        if corners == 0:
            box = (centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius)
            self.draw.ellipse(box, fill=fill, outline=outline, width=width)
            return
        if corners == 12:
            a, b = radius, radius * 0.42
            arm = [(-b, -a), (b, -a), (b, -b)]  # a quarter of the cross, turned four times
            steps = arm + [(-y, x) for x, y in arm] + [(-x, -y) for x, y in arm] + [(y, -x) for x, y in arm]
            points = [(centre[0] + dx, centre[1] + dy) for dx, dy in steps]
        else:
            angles = [math.radians(turn + 360 * c / corners) for c in range(corners)]
            reach = radius * (1.2 if corners < 5 else 1.1)  # a corner sticks out, a side lies inside the disc
            points = [(centre[0] + reach * math.cos(a), centre[1] - reach * math.sin(a)) for a in angles]
        self.draw.polygon(points, fill=fill, outline=outline, width=width)

    def dots(self, a, b, colour):
        """A dotted line between two pixels of the large image."""
        length = math.hypot(b[0] - a[0], b[1] - a[1])
        r, count = 1.1 * self.zoom * self.k, max(1, int(length / (7 * self.zoom * self.k)))
        for i in range(1, count + 1):
            x, y = a[0] + (b[0] - a[0]) * i / count, a[1] + (b[1] - a[1]) * i / count
            self.draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)
