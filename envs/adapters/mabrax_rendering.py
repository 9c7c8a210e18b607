"""The renderer of brax's robots: capsules and spheres above a chequered floor with tiles of 1 m, seen from the side.

A limb has the colour of the agent that moves its joint; what no agent moves is grey. The camera follows the torso.
Images are at least 0.05 s apart, which is real time, unless an episode would have more than `MOST` of them.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from envs.rendering import Episode
from envs.smax.canvas import DIM, INK, MINUS, PANEL, PLUS, font

WIDTH, HEADER, FOOTER, PICTURE = 640, 40, 30, 330  # pixels; all lengths below are in pixels of a frame this wide
OVERSAMPLE = 2  # drawn this much larger, then scaled down, for smooth edges
SECONDS, MOST = 0.05, 500  # between two images; images of an episode
VIEW, MIDDLE, BEHIND = 4.6, 0.75, 7  # m: width of the view, height of its centre, floor behind and before the robot
PLANAR = ("halfcheetah", "hopper", "walker2d")
SIDE, OBLIQUE = (0.0, 9.0), (-32.0, 24.0)  # azimuth and elevation of the camera, degrees
SPHERE, CAPSULE = 2, 3  # MuJoCo's numbers
SKY, TILES, EDGE, SHADE = "#1b2230", ("#2b3444", "#323d4f"), (12, 15, 20), (10, 12, 16, 110)
TORSO = (150, 158, 170)
COLOURS = (
    *((86, 204, 242), (255, 150, 80), (120, 214, 120), (240, 110, 170)),
    *((255, 205, 70), (160, 140, 255), (90, 220, 200), (235, 95, 85)),
)


class RobotShape(NamedTuple):
    """A capsule, or a sphere if both ends are the same point."""

    ends: np.ndarray  # f64[2, 3] m, in the world
    radius: float  # m
    colour: tuple[int, int, int]


def turn(rotation: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """`vector` [..., 3] turned by unit quaternions `rotation` [..., 4] in the order w, x, y, z."""
    w, axis = rotation[..., :1], rotation[..., 1:]
    twice = 2 * np.cross(axis, vector)
    return vector + w * twice + np.cross(axis, twice)


def shapes(model: Any, position: np.ndarray, rotation: np.ndarray, colours: dict[int, tuple]) -> list[RobotShape]:
    """The robot's shapes: `model` is MuJoCo's; position f32[L, 3] and rotation f32[L, 4] those of brax's links, which
    are MuJoCo's bodies without the world; `colours`: of bodies, by number."""
    found = []
    for geom in np.flatnonzero((model.geom_bodyid > 0) & np.isin(model.geom_type, (SPHERE, CAPSULE))):
        body, (radius, half, _) = int(model.geom_bodyid[geom]), model.geom_size[geom]
        half = half if model.geom_type[geom] == CAPSULE else 0.0
        along = turn(model.geom_quat[geom], np.array([0.0, 0.0, half]))
        local = model.geom_pos[geom] + np.stack([-along, along])
        ends = position[body - 1] + turn(rotation[body - 1], local)
        found.append(RobotShape(ends, float(radius), colours.get(body, TORSO)))
    return found


def body_colours(theirs: Any) -> dict[int, tuple]:
    """The colour of each body that an agent moves, by MuJoCo's number of the body."""
    model, colours = theirs.sys.mj_model, {}
    for i, agent in enumerate(theirs.agents):
        for action in np.asarray(theirs.agent_action_mapping[agent]):
            colours[int(model.jnt_bodyid[model.actuator_trnid[action, 0]])] = COLOURS[i % len(COLOURS)]
    return colours


class Camera(NamedTuple):
    """An orthographic camera."""

    right: np.ndarray  # f64[3], of the image
    up: np.ndarray  # f64[3], of the image
    away: np.ndarray  # f64[3], from the camera
    centre: np.ndarray  # f64[3] m, in the middle of the image

    def at(self, points: np.ndarray) -> np.ndarray:
        """Pixels f64[..., 2] of points f64[..., 3]."""
        offset, scale = points - self.centre, WIDTH / VIEW
        x, y = WIDTH / 2 + scale * (offset @ self.right), HEADER + PICTURE / 2 - scale * (offset @ self.up)
        return np.stack([x, y], axis=-1)


def camera(planar: bool, torso: np.ndarray) -> Camera:
    """The camera that follows `torso` f32[3]: from the side, or for robots that turn from above and the side."""
    azimuth, elevation = map(math.radians, SIDE if planar else OBLIQUE)
    right = np.array([math.cos(azimuth), math.sin(azimuth), 0.0])
    ahead, high = np.array([-math.sin(azimuth), math.cos(azimuth), 0.0]), np.array([0.0, 0.0, 1.0])
    up = math.sin(elevation) * ahead + math.cos(elevation) * high
    away = math.cos(elevation) * ahead - math.sin(elevation) * high
    return Camera(right, up, away, np.array([torso[0], torso[1], MIDDLE]))


class Scene(NamedTuple):
    """What one frame shows."""

    name: str
    shapes: list[RobotShape]
    camera: Camera
    step: int
    seconds: float
    gained: float  # the return so far
    agents: list[str]
    values: np.ndarray | None = None  # f32[A] a number to show for each agent


def draw_frame(scene: Scene, width: int = WIDTH) -> Image.Image:
    """One image of `scene`, `width` pixels wide."""
    k, height = OVERSAMPLE * width / WIDTH, HEADER + PICTURE + FOOTER
    size = width, round(height * width / WIDTH)
    image = Image.new("RGB", (OVERSAMPLE * size[0], OVERSAMPLE * size[1]), SKY)
    draw = ImageDraw.Draw(image, "RGBA")
    _floor(draw, scene.camera, k)
    robot, pixels = scene.shapes, k * WIDTH / VIEW
    for shape in robot:
        flat = k * scene.camera.at(shape.ends * np.array([1.0, 1.0, 0.0]))
        _capsule(draw, flat, pixels * shape.radius, SHADE)
    for shape in sorted(robot, key=lambda shape: -float(shape.ends.mean(0) @ scene.camera.away)):
        ends, radius = k * scene.camera.at(shape.ends), pixels * shape.radius
        _capsule(draw, ends, radius + 1.4 * k, EDGE)
        _capsule(draw, ends, radius, shape.colour)
        _capsule(draw, ends - 0.3 * radius, 0.3 * radius, tuple(round(c + 0.35 * (255 - c)) for c in shape.colour))
    _texts(draw, scene, k)
    return image.resize(size, Image.Resampling.LANCZOS)


def _capsule(draw: ImageDraw.ImageDraw, ends: np.ndarray, radius: float, fill: Any) -> None:
    draw.line([tuple(end) for end in ends], fill, max(1, round(2 * radius)))
    for x, y in ends:
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill)


def _floor(draw: ImageDraw.ImageDraw, view: Camera, k: float) -> None:
    x0, y0 = np.rint(view.centre[:2]).astype(int)  # a torso near y = 0 stays in one row
    for x in range(x0 - BEHIND, x0 + BEHIND):
        for y in range(y0 - BEHIND, y0 + BEHIND):
            tile = np.array([[x, y, 0], [x + 1, y, 0], [x + 1, y + 1, 0], [x, y + 1, 0]], float)
            draw.polygon([tuple(point) for point in k * view.at(tile)], TILES[(x + y) % 2])


def _texts(draw: ImageDraw.ImageDraw, scene: Scene, k: float) -> None:
    def text(x, y, words, size, fill=INK, anchor="lm"):
        draw.text((x * k, y * k), words, fill=fill, font=font(max(1, round(size * k))), anchor=anchor)

    bottom = HEADER + PICTURE
    draw.rectangle([0, 0, WIDTH * k, HEADER * k], PANEL)
    draw.rectangle([0, bottom * k, WIDTH * k, (bottom + FOOTER) * k], PANEL)
    text(14, HEADER / 2, scene.name, 16)
    clock = f"step {scene.step}   {scene.seconds:.1f} s   x {scene.camera.centre[0]:+.1f} m"
    text(WIDTH / 2 + 20, HEADER / 2, clock, 13, DIM, "mm")
    text(WIDTH - 14, HEADER / 2, f"return {scene.gained:.1f}", 16, INK, "rm")
    for i, agent in enumerate(scene.agents):
        x = 14 + i * (WIDTH - 28) / len(scene.agents)
        text(x, bottom + FOOTER / 2, agent, 12, COLOURS[i % len(COLOURS)])
        if scene.values is not None:
            value = float(scene.values[i])
            text(x + 52, bottom + FOOTER / 2, f"{value:+.2f}", 12, PLUS if value >= 0 else MINUS)


def episode_frames(env: Any, episode: Episode, index: int, width: int) -> list[Image.Image]:
    """Images of environment `index` of `episode`, up to the end of its episode."""
    return [draw_frame(scene, width) for scene in scenes(env, episode, index)]


def scenes(env: Any, episode: Episode, index: int) -> list[Scene]:
    """What the frames of environment `index` show: at regular steps, and the last one."""
    theirs = env.env.theirs
    rewards = np.array([float(np.asarray(ts.reward)[index]) for ts in episode.timesteps])
    over = np.array([bool(np.asarray(ts.boundary)[index]) for ts in episode.timesteps])
    last = int(over.argmax()) if over.any() else len(over) - 1
    seconds = float(theirs.env.dt) * theirs.action_repeat
    stride = max(1, round(SECONDS / seconds), -(-last // MOST))
    colours, planar = body_colours(theirs), env.spec.name.partition(":")[2].startswith(PLANAR)
    shown = []
    for t in sorted({*range(0, last + 1, stride), last}):
        links = episode.states[t].inner.pipeline_state.x
        position, rotation = np.asarray(links.pos)[index], np.asarray(links.rot)[index]
        robot = shapes(theirs.sys.mj_model, position, rotation, colours)
        values = np.asarray(episode.values[t - 1])[index] if episode.values is not None and t else None
        gained, view = float(rewards[: t + 1].sum()), camera(planar, position[0])
        shown.append(Scene(env.spec.name, robot, view, t, t * seconds, gained, list(theirs.agents), values))
    return shown
