"""The StarCraft renderer.

Blue units are the agents, red ones the enemies. Shape and letter show a unit's type (see the legend at the bottom); the
size is true to scale. Bars above a unit: shield (cyan), health (green to red) and a medivac's energy (violet); the
white end of a bar is what was lost in this step. A bright line runs from a unit to the unit it fires at, a dotted line
to a target that is out of range, a green line from a medivac to the unit it heals. Orange: the line that a colossus
burns, the circle of a baneling's burst. A cross marks a dead unit. Higher ground is lighter; cliffs that only a
colossus crosses are hatched. A side of more than CROWD units has no dotted lines, and no bars over unhurt units.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from envs.rendering import Episode
from envs.smax.canvas import (
    ALLY,
    DIM,
    EMPTY,
    ENEMY,
    ENERGY,
    FOOTER,
    HEADER,
    HEAL,
    LOST,
    MINUS,
    PANEL,
    PLUS,
    SHAPES,
    SHIELD,
    VIEW,
    WIDTH,
    Canvas,
    font,
)
from envs.smax.effect_drawing import Sector, draw_aim, draw_beam, draw_burst, draw_sector
from envs.smax.ground_drawing import View, camera, draw_ground
from envs.smax.scenarios import NUM_COMMON_ACTIONS, Scenario, get_scenario
from envs.smax.terrain import SIZE, STRIP, Terrain
from envs.smax.units import UNITS

CROWD = 15


class BattleScene(NamedTuple):
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
    result: str = ""  # "WON", "LOST", "TIME OUT"; "" during the episode
    values: np.ndarray | None = None  # f32[A] a number to show at each agent, e.g. its intrinsic reward
    terrain: Terrain = STRIP.terrain
    cooldown: np.ndarray | None = None  # f32[N] loops until the weapon may strike again
    fired: np.ndarray | None = None  # bool[N] it has attacked in this step
    burst: np.ndarray | None = None  # bool[N] it is a baneling that died in this step
    sectors: tuple[Sector, ...] = ()  # fields of view to show


def draw_frame(scene: BattleScene, width: int = WIDTH, view: View = VIEW) -> Image.Image:
    """One image of `scene`, `width` pixels wide; `view` is the part of the map to show, which sets its height."""
    canvas = Canvas(width, view)
    draw_ground(canvas, scene.terrain)
    for sector in scene.sectors:
        draw_sector(canvas, scene, sector)
    order = np.argsort([UNITS[t].air for t in scene.types], kind="stable")  # flyers on top
    for n in order:
        if scene.health[n] <= 0:
            _fallen(canvas, scene, n)
    for n in order:
        if scene.burst is not None and scene.burst[n]:
            draw_burst(canvas, scene, n)
    for n in order:
        if scene.health[n] > 0:
            _unit(canvas, scene, n)
    for n in order:
        if scene.target[n] >= 0:
            draw_aim(canvas, scene, n, int(scene.target[n]), dotted=not _crowded(scene, n))
            if scene.fired is not None and scene.fired[n] and UNITS[scene.types[n]].beam[0] > 0:
                draw_beam(canvas, scene, n, int(scene.target[n]))
    for n in order:
        if scene.health[n] > 0:
            _bars(canvas, scene, n)
    if scene.values is not None:
        _values(canvas, scene)
    _header(canvas, scene)
    _legend(canvas, scene)
    return canvas.finish()


def _crowded(scene, n):
    """Whether the side of unit n has many units."""
    return (scene.num_allies if n < scene.num_allies else len(scene.types) - scene.num_allies) > CROWD


def _colour(scene, n):
    return ALLY if n < scene.num_allies else ENEMY


def _unit(canvas, scene, n):
    kind, colour = scene.types[n], _colour(scene, n)
    centre, radius = canvas.at(scene.x[n], scene.y[n]), UNITS[kind].radius * canvas.scale * canvas.k
    edge = tuple(c // 3 for c in colour)
    canvas.shape(kind, centre, radius, (*colour, 190 if UNITS[kind].air else 255), edge)
    size = round(1.25 * radius / max(1, 0.8 * len(SHAPES[kind][0])))
    canvas.draw.text(centre, SHAPES[kind][0], fill=edge, font=font(size), anchor="mm")


def _fallen(canvas, scene, n):
    x, y = float(scene.x[n]), float(scene.y[n])
    if not (0 <= x <= SIZE and 0 <= y <= SIZE):
        return
    r = 0.3
    colour = (*_colour(scene, n), 95)
    canvas.line([canvas.at(x - r, y - r), canvas.at(x + r, y + r)], colour, 2 * canvas.zoom)
    canvas.line([canvas.at(x - r, y + r), canvas.at(x + r, y - r)], colour, 2 * canvas.zoom)


def _bars(canvas, scene, n):
    unit = UNITS[scene.types[n]]
    full = scene.health[n] >= unit.hp and scene.shield[n] >= unit.shield and not scene.lost[n]
    if full and _crowded(scene, n):
        return
    px, py = (v / canvas.k for v in canvas.at(scene.x[n], scene.y[n]))
    half = max(9.0 * canvas.zoom, 0.72 * unit.radius * canvas.scale)
    high = 3.2 * canvas.zoom  # a bar and the line between two
    bottom = py - unit.radius * canvas.scale - 1
    health = float(scene.health[n]) / unit.hp
    warm = (round(255 * min(1.0, 2 - 2 * health)), round(220 * min(1.0, 2 * health)), 70)
    rows = [(health, warm)]
    if unit.shield:
        rows.append((float(scene.shield[n]) / unit.shield, SHIELD))
    if unit.heals:
        rows.append((float(scene.energy[n]) / unit.max_energy, ENERGY))
    canvas.box(px - half - 1, bottom - high * len(rows), px + half + 1, bottom + 1, EMPTY)
    lost = 2 * half * float(scene.lost[n]) / (unit.hp + unit.shield)
    for row, (fraction, colour) in enumerate(rows):
        y = bottom - high * row
        end = px - half + 2 * half * min(fraction, 1.0)
        canvas.box(px - half, y - high + 1, end, y, colour)
        if lost > 0 and row == (1 if scene.shield[n] > 0 else 0):
            canvas.box(end, y - high + 1, min(end + lost, px + half), y, LOST)


def _values(canvas, scene):
    """A ring and a number at each agent: gold above zero, violet below, brighter for larger values."""
    top = max(float(np.abs(scene.values).max()), 1e-9)
    living = [n for n in range(scene.num_allies) if scene.health[n] > 0]
    places = [canvas.at(scene.x[n], scene.y[n]) for n in living]
    radii = [(UNITS[scene.types[n]].radius * canvas.scale + 5) * canvas.k for n in living]
    colours = [PLUS if scene.values[n] >= 0 else MINUS for n in living]
    for n, (x, y), r, colour in zip(living, places, radii, colours, strict=True):
        strength = round(60 + 195 * min(1.0, abs(float(scene.values[n])) / top))
        canvas.draw.ellipse((x - r, y - r, x + r, y + r), outline=(*colour, strength), width=round(3 * canvas.k))
    for n, (x, y), r, colour in zip(living, places, radii, colours, strict=True):
        label = f"{float(scene.values[n]):+.2f}"
        canvas.text(x / canvas.k, (y + r) / canvas.k + 6 * canvas.zoom, label, 9 * canvas.zoom, colour, "mm")


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
    """Unit types on the left, colours of the bars on the right."""
    y, x = canvas.height - FOOTER / 2, 16.0
    canvas.box(0, canvas.height - FOOTER, WIDTH, canvas.height, PANEL)
    for kind in dict.fromkeys(scene.types):
        canvas.shape(kind, ((x + 6) * canvas.k, y * canvas.k), 8 * canvas.k, "#9aa6b8")
        if SHAPES[kind][0]:
            canvas.text(x + 6, y, SHAPES[kind][0], 10 if len(SHAPES[kind][0]) < 2 else 8, PANEL, "mm")
        canvas.text(x + 22, y, kind, 14, DIM)
        x += 22 + font(14).getlength(kind) + 24
    keys = [("lost in this step", LOST), ("health", (70, 220, 70))]
    keys += [("shield", SHIELD)] if any(UNITS[t].shield for t in scene.types) else []
    keys += [("energy", ENERGY)] if any(UNITS[t].heals for t in scene.types) else []
    x = WIDTH - 14.0
    for label, colour in keys:
        canvas.text(x, y, label, 14, DIM, "rm")
        x -= font(14).getlength(label) + 7
        canvas.box(x - 16, y - 3, x, y + 3, colour)
        x -= 16 + 20


def episode_frames(env: Any, episode: Episode, index: int, width: int) -> list[Image.Image]:
    """Images of environment `index` of `episode`, up to the end of its battle."""
    return battle_frames(get_scenario(env.spec.name.split(":")[1]), episode, index, width)


def battle_frames(
    scenario: Scenario, episode: Episode, index: int, width: int, sectors: Sequence[tuple[Sector, ...]] | None = None
) -> list[Image.Image]:
    """`episode_frames` of battles of `scenario`; `sectors`: the fields of view to show in each of the T + 1 moments."""
    scenes, before = [], None
    for t, (state, timestep) in enumerate(zip(episode.states, episode.timesteps, strict=True)):
        action = np.asarray(episode.actions[t - 1])[index] if t else None
        scene = scene_of(scenario, state.battle, index, t, action, before)
        over, cut = (bool(np.asarray(flag)[index]) for flag in (timestep.terminated, timestep.truncated))
        if over or cut:
            won = bool(np.asarray(timestep.info["won"])[index])
            scene = scene._replace(result="WON" if won else "LOST" if over else "TIME OUT")
        if sectors is not None:
            scene = scene._replace(sectors=sectors[t])
        if episode.values is not None and t:
            scene = scene._replace(values=np.asarray(episode.values[t - 1])[index])
        scenes.append(scene)
        if over or cut:
            break
        before = scene
    view = camera(scenes)
    return [draw_frame(scene, width, view) for scene in scenes]


def scene_of(
    scenario: Scenario, battle: Any, index: int, step: int, action: np.ndarray | None, before: BattleScene | None
) -> BattleScene:
    """The scene after a step of a battle.

    Args:
      scenario: the map.
      battle: the engine's arrays, [N, E] each.
      index: the environment.
      step: steps since the reset.
      action: int[A] the agents' actions of the step, None at the reset.
      before: the scene one step earlier, from which the losses are computed.
    """
    count = len(scenario.units)
    fields = (*BattleScene._fields[3:8], "cooldown")
    x, y, health, shield, energy, cooldown = (np.asarray(getattr(battle, name))[:, index] for name in fields)
    target, lost, fired, burst = np.full(count, -1), np.zeros(count), np.zeros(count, bool), np.zeros(count, bool)
    if action is not None:
        enemy_targets = np.asarray(battle.target)[scenario.num_allies :, index]
        target = np.concatenate([agent_targets(scenario, action), enemy_targets])
    if before is not None:
        left = np.where(health > 0, health + shield, 0)
        lost = np.maximum(before.health + before.shield - left, 0)
        target = np.where(before.health > 0, target, -1)
        fired = cooldown > before.cooldown
        burst = (before.health > 0) & (health <= 0) & [UNITS[name].burst > 0 for name in scenario.units]
    units = (x, y, health, shield, energy, target, lost)
    scene = BattleScene(scenario.name, scenario.units, scenario.num_allies, *units, step, scenario.limit)
    return scene._replace(terrain=scenario.ground.terrain, cooldown=cooldown, fired=fired, burst=burst)


def agent_targets(scenario: Scenario, action: np.ndarray) -> np.ndarray:
    """int[A]: the unit each agent's action aims at, -1 for none. A medivac's target ids count agents, not enemies."""
    first = [0 if UNITS[name].heals else scenario.num_allies for name in scenario.allies]
    return np.where(action >= NUM_COMMON_ACTIONS, action - NUM_COMMON_ACTIONS + np.asarray(first), -1)
