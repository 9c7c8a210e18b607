"""IPPO, MAPPO, HAPPO and MAT."""
