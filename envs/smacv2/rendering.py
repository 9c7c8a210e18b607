"""The renderer of SMACv2's battles: that of SMAC's maps, with the types that were drawn for the episode."""

from typing import Any

import numpy as np
from PIL import Image

from envs.rendering import Episode
from envs.smacv2.scenarios import GROUND
from envs.smax.rendering import battle_frames
from envs.smax.scenarios import NUM_COMMON_ACTIONS, Scenario

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
    return battle_frames(battle, episode._replace(actions=actions), index, width)
