"""`smacv2.env.starcraft2.wrapper.StarCraftCapabilityEnvWrapper`."""

from smacv2.env import StarCraftCapabilityEnvWrapper as StarCraftCapabilityEnvWrapper
