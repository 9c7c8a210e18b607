"""`smac.env.starcraft2`."""
