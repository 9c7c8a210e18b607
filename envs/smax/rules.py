"""Draws the rules that only the real game could settle, so that a policy learns to do without knowing them."""

import jax
import jax.numpy as jnp

from envs.smax.battle import Rules

COINS = ("scan_edge", "chase", "prefer_attackers", "enemy_medivac", "restart_windup")  # 0 or 1, evenly
# Uniform between the readings that the specification names, or round the default where it names none.
RANGES = {
    "scan_margin": (-0.5, 0.5),
    "keep_slop": (0.0, 1.0),
    "response": (0.0, 6.0),
    "medivac_rank": (0.0, 2.0),
    "range_slop": (0.0, 1.0),
    "push_moving": (0.3, 0.5),
    "push_idle": (0.3, 0.5),
    "push_attacking": (0.05, 0.3),
    "pre_advance": (0.0, 2.0),
    "spawn_gap": (0.0, 0.2),
    "spawn_noise": (0.05, 0.3),
}


def draw_rules(key: jax.Array, num_envs: int) -> Rules:
    """Rules of `num_envs` lanes, each field f32[E]."""
    draw = dict(zip(Rules._fields, jax.random.uniform(key, (len(Rules._fields), num_envs)), strict=True))
    coins = {name: (draw[name] < 0.5).astype(jnp.float32) for name in COINS}
    return Rules(**coins, **{name: low + (high - low) * draw[name] for name, (low, high) in RANGES.items()})
