"""`smac.env.multiagentenv.MultiAgentEnv`."""

from smac.env import MultiAgentEnv as MultiAgentEnv
