"""`smac.env.starcraft2.starcraft2.StarCraft2Env`."""

from smac.env import MultiAgentEnv as MultiAgentEnv
from smac.env import StarCraft2Env as StarCraft2Env
