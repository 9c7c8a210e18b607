"""SMACv2's conic field of view: agents see and attack in a cone of 30 degrees around the direction of their look.

Action 6 + k looks in the direction k/F of a turn, counter-clockwise from east. SMACv2 compares arctangents of slopes,
which have period pi, so its cone has extra pieces (the SMACv2 specification, section 5); they are reproduced here.
"""

import jax
import jax.numpy as jnp
import numpy as np

LEAST = 1e-7  # SMACv2 keeps this distance from a division by zero


def directions(looks: int) -> np.ndarray:
    """f32[F, 2]: cosine and sine of the directions."""
    angle = 2.0 * np.pi * np.arange(looks) / looks
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def _chosen(look: jax.Array, values: np.ndarray) -> jax.Array:
    """`values[look]`, by comparisons."""
    out = jnp.float32(values[0])
    for index in range(1, len(values)):
        out = jnp.where(look == index, jnp.float32(values[index]), out)
    return out


def heading(looks: int, look: jax.Array) -> jax.Array:
    """f32[A, 2, E]: the direction of each agent's look; `look` int32[A, E] is an index 0..F-1."""
    table = directions(looks)
    return jnp.stack([_chosen(look, table[:, 0]), _chosen(look, table[:, 1])], axis=1)


def in_cone(looks: int, look: jax.Array, dx: jax.Array, dy: jax.Array) -> jax.Array:
    """bool[A, n, E]: whether the point (dx, dy) from each agent is in its cone, at any distance; `look` int32[A, E]."""
    fx, fy = directions(looks).astype(np.float64).T
    east = np.arctan(fy / np.maximum(fx, LEAST))  # the slope of the look, on the side of the target
    west = np.arctan(fy / np.minimum(fx, -LEAST))
    right = dx > 0
    slope = dy / jnp.where(right, jnp.maximum(dx, LEAST), jnp.minimum(dx, -LEAST))
    faced = jnp.where(right, _chosen(look, east)[:, None], _chosen(look, west)[:, None])
    return jnp.abs(jnp.arctan(slope) - faced) < np.float32(np.pi / looks)
