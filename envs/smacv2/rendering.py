"""The renderer of SMACv2's battles: that of SMAC's maps, with the types that were drawn for the episode."""

from typing import Any

import numpy as np
from PIL import Image

from envs.rendering import Episode
from envs.smacv2.cone import in_cone
from envs.smacv2.scenarios import GROUND, DrawnScenario
from envs.smax.effect_drawing import Sector
from envs.smax.rendering import battle_frames
from envs.smax.scenarios import NUM_COMMON_ACTIONS, Scenario

ANGLES = 120  # directions in which the field of view is looked up
STAND = 1  # action id; shown in the place of "look" actions


def episode_frames(env: Any, episode: Episode, index: int, width: int) -> list[Image.Image]:
    """Images of environment `index` of `episode`, up to the end of its battle."""
    drawn = env.scenario
    types = [drawn.race.types[kind] for kind in np.asarray(episode.states[0].kind)[:, index]]
    allies, enemies = tuple(types[: drawn.num_allies]), tuple(types[drawn.num_allies :])
    battle = Scenario(drawn.name, allies, enemies, drawn.limit, map_type="", ground=GROUND)
    actions = []
    for action in episode.actions:
        action = np.asarray(action)
        looks = (action >= NUM_COMMON_ACTIONS) & (action < drawn.first_target)
        targets = action >= drawn.first_target
        actions.append(np.where(looks, STAND, action - drawn.looks * targets))
    sectors = [fields_of_view(drawn, state, index) for state in episode.states] if drawn.looks else None
    return battle_frames(battle, episode._replace(actions=actions), index, width, sectors)


def fields_of_view(drawn: DrawnScenario, state: Any, index: int) -> tuple[Sector, ...]:
    """What the agents of an environment see with conic_fov, extra pieces included (`envs.smacv2.cone`)."""
    agents, radians = drawn.num_allies, np.radians(np.arange(ANGLES) * 360 / ANGLES + 180 / ANGLES)
    look, kind = np.asarray(state.look)[:, index], np.asarray(state.kind)[:agents, index]
    points = (
        np.broadcast_to(values[None, :, None], (agents, ANGLES, 1)) for values in (np.cos(radians), np.sin(radians))
    )
    seen = np.asarray(in_cone(drawn.looks, look[:, None], *points))[..., 0]
    sectors = []
    for agent in range(agents):
        turn = int(np.flatnonzero(~seen[agent])[0])  # begin outside the cone
        ends = np.flatnonzero(np.diff(np.pad(np.roll(seen[agent], -turn).astype(int), 1)))
        for start, stop in zip(ends[::2], ends[1::2], strict=True):
            sight = float(drawn.race.sight[kind[agent]])
            sectors.append(Sector(agent, sight, (start + turn) * 360 / ANGLES, (stop + turn) * 360 / ANGLES))
    return tuple(sectors)
