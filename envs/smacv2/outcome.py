"""SMACv2's rewards and endings. Arrays are `[n, E]`, as in `envs.smacv2.interface`."""

import jax
import jax.numpy as jnp
import numpy as np

from envs.smacv2.interface import is_healer
from envs.smacv2.scenarios import DrawnScenario
from envs.smax.drawn import lookup
from envs.smax.interface import Units
from envs.smax.outcome import losses, tally


def max_reward(scenario: DrawnScenario, kind: jax.Array) -> jax.Array:
    """f32[E]: the unscaled return of a perfect episode against this enemy team: all damage, all kills, the win."""
    options = scenario.options
    bodies = [unit.hp + unit.shield for unit in scenario.race.units]
    total = jnp.asarray(lookup(kind[scenario.num_allies :], bodies, np.float32)).sum(axis=0)
    return total + np.float32(options.reward_death_value * scenario.num_enemies + options.reward_win)


def reward(
    scenario: DrawnScenario, kind: jax.Array, before: Units, units: Units, won: jax.Array, scale: jax.Array
) -> jax.Array:
    """Team reward f32[E] of the step from `before` to `units`; `scale` f32[E] is a `max_reward`.

    It is the enemies' net loss, or 0 if they have gained, where SMAC takes the absolute value. `scenario.options` may
    choose another form, as in SMAC.
    """
    options, old, new = scenario.options, tally(scenario, before), tally(scenario, units)
    if options.reward_sparse:
        gained = won.astype(jnp.float32) - lost(scenario, kind, units)
    else:
        gained = losses(options, old.enemies, new.enemies)
        if options.reward_only_positive:
            gained = jnp.maximum(gained, 0.0)
        else:
            gained = gained - options.reward_negative_scale * losses(options, old.allies, new.allies)
        gained = gained + options.reward_win * won + options.reward_defeat * lost(scenario, kind, units)
    return gained / (scale / options.reward_scale_rate) if options.reward_scale else gained


def ending(scenario: DrawnScenario, kind: jax.Array, units: Units) -> tuple[jax.Array, jax.Array]:
    """Whether the battle is over and whether the agents won it, bool[E] each.

    A side of medivacs alone is beaten. If both sides are beaten, the agents have not won.
    """
    fighting = (units.health > 0) & ~jnp.asarray(is_healer(scenario, kind))
    ours = fighting[: scenario.num_allies].any(axis=0)
    theirs = fighting[scenario.num_allies :].any(axis=0)
    return ~ours | ~theirs, ours & ~theirs


def lost(scenario: DrawnScenario, kind: jax.Array, units: Units) -> jax.Array:
    """bool[E]: the agents have lost. Where both sides are dead, the battle is a draw; terrans have none."""
    over, won = ending(scenario, kind, units)
    if scenario.race.healer is not None:
        return over & ~won
    return over & ~won & (units.health[scenario.num_allies :] > 0).any(axis=0)
