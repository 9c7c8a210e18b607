"""Weapons, damage, healing and regeneration of one game loop.

Everything is `[n, E]`, n units of one side. Source: the SMAC interface specification, sections 7.1 and 7.3.
"""

import jax
import jax.numpy as jnp
import numpy as np

from envs.smax.battle import NOBODY, RESTING, Battle, Rules, Team
from envs.smax.targeting import Aim, in_range, over, row
from envs.smax.units import ENERGY_REGEN, HEAL_COST, HEAL_RATE, HEAL_START, MIN_HIT, SHIELD_DELAY, SHIELD_REGEN


def strike(team: Team, rules: Rules, side: Battle, aim: Aim, ready: jax.Array, jitter: jax.Array):
    """Wind-up, launch and cooldown. Returns (side, fired bool[n, E]).

    Weapons that are kept in use strike every ceil(period + jitter) loops: the wind-up is the end of the period.
    """
    armed = team.column(lambda unit: unit.armed, bool)
    point = team.column(lambda unit: unit.damage_point)
    period = team.column(lambda unit: unit.period)
    cooldown = jnp.maximum(side.cooldown - 1.0, 0.0)
    running = (side.windup >= 0.0) & (aim.target == side.target) & in_range(aim, rules.range_slop)
    # A weapon whose period ran out during this loop began its wind-up on time; one that rested begins it now.
    fresh = jnp.where(cooldown > point - 1.0, cooldown, point)
    begun = ready & (cooldown <= point)
    windup = jnp.where(running, side.windup - 1.0, jnp.where(begun, fresh, 1.0))
    fired = (running | begun) & armed & (windup <= 0.0)
    windup = jnp.where((running | begun) & armed & ~fired, windup, RESTING)
    cooldown = jnp.where(fired, period + jitter, cooldown)
    return side._replace(cooldown=cooldown, windup=windup, target=aim.target), fired


def launch(team: Team, side: Battle, aim: Aim, fired: jax.Array):
    """Puts strikes under way. Returns (side, whom each unit's hit lands on in this loop, int32[n, E])."""
    later = team.column(lambda unit: unit.missile_speed > 0 or unit.second_hit_delay > 0, bool)
    direct = team.column(lambda unit: unit.missile_speed == 0, bool)
    lands = jnp.where(fired & direct, aim.target, NOBODY)
    if not later.any():
        return side, lands
    left = side.pending_time - 1.0
    due = (side.pending_target != NOBODY) & (left <= 0.0)
    # A missile outlives its shooter, a second blow does not.
    due_lands = due & (side.alive | ~direct)
    lands = jnp.where(due_lands, side.pending_target, lands)
    pace = team.column(lambda unit: 1.0 / unit.missile_speed if unit.missile_speed else 0.0)
    delay = team.column(lambda unit: unit.second_hit_delay)
    flight = jnp.sqrt(aim.dx * aim.dx + aim.dy * aim.dy) * pace + delay
    put = fired & later
    target = jnp.where(put, aim.target, jnp.where(due, NOBODY, side.pending_target))
    return side._replace(pending_time=jnp.where(put, flight, left), pending_target=target), lands


def _damage_tables(team: Team, others: Team):
    """Of each attacker in `others` on each unit of `team`: raw damage f32[a, n, 1], hits that land together [a]."""
    raw = np.stack([team.column(lambda unit, by=by: by.raw_damage(unit)) for by in others.units])
    together = np.array([1 if by.second_hit_delay > 0 else by.hits for by in others.units])
    return raw, together


def _in_beam(team: Team, side: Battle, unit, x, y, dx, dy) -> jax.Array:
    """bool[n, E]: touched by the line that `unit` at (x, y) [E] burns across its target at offset (dx, dy) [E].

    An approximation: the whole line burns at once, at right angles to the shot, and spares the shooter's friends.
    """
    far = jnp.sqrt(jnp.maximum(dx * dx + dy * dy, 1e-12))
    ux, uy = dx / far, dy / far
    along = (side.x - x) * ux + (side.y - y) * uy - far
    across = (side.x - x) * uy - (side.y - y) * ux
    radius = team.column(lambda unit: unit.radius)
    half_length, half_width = unit.beam
    return (jnp.abs(along) <= half_width + radius) & (jnp.abs(across) <= half_length + radius)


def suffer(team: Team, others: Team, side: Battle, lands, shooters: Battle, aim: Aim, unrolled: bool) -> Battle:
    """Applies the hits of `others`, one after another in index order: shield first, then life less armor.

    `lands`: int32[a, E]; `shooters`, `aim`: the attackers and what they aim at, of use for beams only.
    """
    numbers = team.first + np.arange(len(team), dtype=np.int32)[:, None]
    armor = team.column(lambda unit: unit.armor)
    raw, together = _damage_tables(team, others)
    shielded = team.any(lambda unit: unit.shield > 0)

    def one_hit(hit, damage, health, shield):
        if not shielded:
            return health - jnp.where(hit, jnp.maximum(damage - armor, MIN_HIT), 0.0), shield
        damage = jnp.where(hit, damage, 0.0)
        spill = damage - jnp.minimum(shield, damage)
        loss = jnp.where(spill > 0.0, jnp.maximum(spill - armor, MIN_HIT), 0.0)
        return health - loss, shield - (damage - spill)

    def body(a, carry):
        hit = lands[a] == numbers
        if isinstance(a, int) and others.units[a].beam[0] > 0.0:
            place = (shooters.x[a], shooters.y[a], aim.dx[a], aim.dy[a])
            hit |= (lands[a] != NOBODY) & _in_beam(team, side, others.units[a], *place)
        for k in range(together.max()):
            carry = one_hit(hit & row(together > k, a), row(raw, a), *carry)
        return carry

    health, shield = over(len(others), unrolled, body, (side.health, side.shield))
    unhurt = (health >= side.health) & (shield >= side.shield)
    timer = side.shield_timer
    if shielded:
        timer = jnp.where(unhurt, jnp.minimum(timer + 1.0, SHIELD_DELAY), 0.0)
        rested = (side.shield_timer >= SHIELD_DELAY) & unhurt & (health > 0.0)
        full = team.column(lambda unit: unit.shield)
        shield = jnp.where(rested, jnp.minimum(shield + SHIELD_REGEN, full), shield)
    return side._replace(health=jnp.maximum(health, 0.0), shield=shield, shield_timer=timer)


def recover(team: Team, side: Battle, aim: Aim) -> Battle:
    """Healing, energy and the regeneration of life, of whom the loop's hits left alive."""
    if team.any(lambda unit: unit.regen > 0):
        regen, full = team.column(lambda unit: unit.regen), team.column(lambda unit: unit.hp)
        side = side._replace(health=jnp.where(side.alive, jnp.minimum(side.health + regen, full), side.health))
    for med in team.where(lambda unit: unit.heals):
        numbers = team.first + np.arange(len(team), dtype=np.int32)[:, None]
        full = team.column(lambda unit: unit.hp)
        energy = side.energy[med]
        able = side.alive[med] & in_range(aim)[med] & (energy > jnp.where(side.windup[med] >= 0.0, 0.0, HEAL_START))
        most = jnp.minimum(HEAL_RATE, energy / HEAL_COST)
        patient = able & (aim.target[med] == numbers) & side.alive
        healed = jnp.where(patient, jnp.minimum(most, full - side.health), 0.0)
        here = np.arange(len(team))[:, None] == med
        spent = energy - HEAL_COST * healed.sum(axis=0)
        gained = jnp.minimum(spent + ENERGY_REGEN, team.units[med].max_energy)
        side = side._replace(
            health=side.health + healed,
            energy=jnp.where(here & side.alive, gained, side.energy),
            windup=jnp.where(here, jnp.where(able, 0.0, RESTING), side.windup),
        )
    return side
