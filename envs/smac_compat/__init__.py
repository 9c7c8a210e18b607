"""SMAC's `StarCraft2Env`, played by our engine: other people's SMAC code runs here without StarCraft II.

`docs/drop_in.md` says how. Importing this package imports no jax; the constructors do.
"""

from envs.smac_compat.multi_agent_env import MultiAgentEnv as MultiAgentEnv
from envs.smac_compat.on_policy import OnPolicyStarCraft2Env as OnPolicyStarCraft2Env
from envs.smac_compat.smacv2 import StarCraftCapabilityEnvWrapper as StarCraftCapabilityEnvWrapper
from envs.smac_compat.starcraft import StarCraft2Env as StarCraft2Env
from envs.smac_compat.vector import VectorStarCraft2Env as VectorStarCraft2Env
