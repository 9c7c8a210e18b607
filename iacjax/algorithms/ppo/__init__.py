"""IPPO, MAPPO and HAPPO."""
