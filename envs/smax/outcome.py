"""SMAC's rewards and endings.

They are those of `oxwhirl/smac` (d6aab33) under the options `scenario.options`. Arrays are `[n, E]`, as in
`envs.smax.interface`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs.smax.interface import Units
from envs.smax.options import Options
from envs.smax.scenarios import Scenario
from envs.smax.units import UNITS


class Tally(NamedTuple):
    """What the reward remembers about the units of one side."""

    total: jax.Array  # f32[n, E] health + shield after the previous step
    tracked: jax.Array  # bool[n, E] not yet recorded dead


class Tallies(NamedTuple):
    """What the reward remembers."""

    enemies: Tally
    allies: Tally  # read by signed rewards only


def max_reward(scenario: Scenario) -> float:
    """The unscaled return of a perfect episode: all damage, all kills, the win."""
    options = scenario.options
    bodies = sum(UNITS[name].hp + UNITS[name].shield for name in scenario.enemies)
    return float(bodies + options.reward_death_value * scenario.num_enemies + options.reward_win)


def tally(scenario: Scenario, units: Units) -> Tallies:
    """The tallies of `units`. Since no unit revives, they can be computed from the units and need not be stored."""

    def of_side(side: slice) -> Tally:
        return Tally(units.health[side] + units.shield[side], units.health[side] > 0)

    return Tallies(of_side(slice(scenario.num_allies, None)), of_side(slice(0, scenario.num_allies)))


def reward(scenario: Scenario, before: Tallies, units: Units, won: jax.Array) -> tuple[jax.Array, Tallies]:
    """Team reward f32[E] of the step from `before` to `units`, and the next tallies.

    As in SMAC it is the absolute value of the NET change over the step: a regenerating enemy shield also gives reward.
    `scenario.options` may choose another form.
    """
    options, after = scenario.options, tally(scenario, units)
    if options.reward_sparse:
        gained = won.astype(jnp.float32) - lost(scenario, units)
    else:
        gained = losses(options, before.enemies, after.enemies)
        if options.reward_only_positive:
            gained = jnp.abs(gained)
        else:
            gained = gained - options.reward_negative_scale * losses(options, before.allies, after.allies)
        gained = gained + options.reward_win * won
        if options.reward_defeat:
            gained = gained + options.reward_defeat * lost(scenario, units)
    if options.reward_scale:
        gained = gained / (max_reward(scenario) / options.reward_scale_rate)
    still = (Tally(new.total, old.tracked & new.tracked) for old, new in zip(before, after, strict=True))
    return gained, Tallies(*still)


def losses(options: Options, before: Tally, after: Tally) -> jax.Array:
    """f32[E]: net loss of health and shield of one side, and the worth of its dead."""
    if options.reward_damage:
        loss = jnp.where(after.tracked, before.total - after.total, before.total + options.reward_death_value)
    else:
        loss = jnp.where(after.tracked, 0.0, options.reward_death_value)
    return jnp.where(before.tracked, loss, 0.0).sum(axis=0)


def ending(scenario: Scenario, units: Units) -> tuple[jax.Array, jax.Array]:
    """Whether the battle is over and whether the agents won it, bool[E] each.

    On MMM maps a side is beaten when only medivacs are left. Defeat is tested first: if both sides are beaten, the
    agents lose.
    """
    alive = units.health > 0
    fights = np.asarray([[not (scenario.has_medivac_rules and name == "medivac")] for name in scenario.units])
    fighting = alive & fights
    ally_fights, enemy_fights = fighting[: scenario.num_allies].any(axis=0), fighting[scenario.num_allies :].any(axis=0)
    enemies_alive = alive[scenario.num_allies :].sum(axis=0)
    beaten = ~enemy_fights & (enemies_alive <= 1)
    return ~ally_fights | beaten, ally_fights & beaten


def lost(scenario: Scenario, units: Units) -> jax.Array:
    """bool[E]: the agents have lost. Where both sides are dead, the battle is a draw; MMM maps have none."""
    over, won = ending(scenario, units)
    if scenario.has_medivac_rules:
        return over & ~won
    return over & ~won & (units.health[scenario.num_allies :] > 0).any(axis=0)


def count_dead(scenario: Scenario, units: Units) -> tuple[jax.Array, jax.Array]:
    """Dead allies and dead enemies, int32[E] each."""
    dead = (units.health <= 0).astype(jnp.int32)
    return dead[: scenario.num_allies].sum(axis=0), dead[scenario.num_allies :].sum(axis=0)
