"""Stands in for the package `smac` when its parent folder is on PYTHONPATH: `smac.env.StarCraft2Env` is ours."""
