"""The algorithms, a package a family, and their registry."""
