"""Playing a policy on somebody else's StarCraft: SMAC's `StarCraft2Env`, or any object with its interface.

`backend.Backend` says what a simulator must offer, `starcraft.BACKEND` is the real game's, `host` runs one game in a
process of its own, and `arena.Arena` plays episodes on several of them, loses none silently and closes them all.

Nothing here but `arena` and `checks` brings jax along: the processes of the games do without.
"""
