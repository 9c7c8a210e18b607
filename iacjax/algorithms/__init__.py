"""The algorithms, one package for each family, and their registry."""
