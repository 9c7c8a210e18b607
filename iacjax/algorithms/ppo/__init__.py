"""IPPO and MAPPO."""
