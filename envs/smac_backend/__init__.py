"""Plays a policy on another StarCraft simulator: SMAC's `StarCraft2Env`, or any object with its interface.

`backend.Backend` says what a simulator must offer, and `starcraft.BACKEND` is the real game. `host` runs one game in a
separate process. `arena.Arena` plays episodes on several games, replays every lost episode, and closes all games.

Only `arena` and `checks` import jax; the games' processes do not.
"""
