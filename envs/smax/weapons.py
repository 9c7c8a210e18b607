"""Weapons, damage, healing and regeneration of one game loop.

All arrays are `[N, E]`. Source: the SMAC interface specification, sections 7.1 and 7.3.
"""

import jax
import jax.numpy as jnp
import numpy as np

from envs.smax.battle import NOBODY, RESTING, Battle, Roster, Rules
from envs.smax.bursts import burst
from envs.smax.medivacs import heal
from envs.smax.targeting import FEW, Aim, facing, in_range, join, opponent, over, parts, row, settle
from envs.smax.units import MIN_HIT, SHIELD_DELAY, SHIELD_REGEN


def strike(roster: Roster, rules: Rules, battle: Battle, aim: Aim, jitter: jax.Array):
    """Wind-up and cooldown. Returns (battle, in_range bool[N, E], fired bool[N, E]).

    A weapon in continuous use strikes every ceil(period + jitter) loops: the wind-up is the last part of the period.
    """
    armed = roster.column(lambda unit: unit.armed, bool)
    point = roster.number("damage_point")
    cooldown = jnp.maximum(battle.cooldown - 1.0, 0.0)
    running = (battle.windup >= 0.0) & (aim.target == battle.target) & in_range(aim, roster.range_slop(rules)) & armed
    near = in_range(aim)
    begun = near & (cooldown <= point) & armed
    # A weapon whose period ended during this loop began its wind-up on time; one that rested begins it now.
    fresh = jnp.where(cooldown > point - 1.0, cooldown, point)
    windup = jnp.where(running, battle.windup - 1.0, fresh)
    active = running | begun
    fired = active & (windup <= 0.0)
    windup = jnp.where(active & (windup > 0.0), windup, RESTING)
    cooldown = jnp.where(fired, roster.number("period") + jitter, cooldown)
    # A medivac's `windup` says whether it was healing; `recover` updates it.
    windup = jnp.where(armed, windup, battle.windup)
    return battle._replace(cooldown=cooldown, windup=windup, target=aim.target), near, fired


def launch(roster: Roster, battle: Battle, aim: Aim, fired: jax.Array):
    """Starts missiles and second hits. Returns (battle, the unit hit by each unit in this loop int32[N, E])."""

    def takes_time(unit):
        return unit.missile_speed > 0 or unit.second_hit_delay > 0

    direct = roster.column(lambda unit: unit.missile_speed == 0, bool)
    lands = jnp.where(fired & direct & roster.column(lambda unit: unit.burst == 0.0, bool), aim.target, NOBODY)
    if not roster.any(takes_time):
        return battle, lands
    left = battle.pending_time - 1.0
    late = roster.column(takes_time, bool)
    due = (battle.pending_target != NOBODY) & (left <= 0.0) & late
    # A missile lands also if its shooter has died, a second hit does not.
    lands = jnp.where(due & (battle.alive | ~direct), battle.pending_target, lands)
    pace = roster.column(lambda unit: 1.0 / unit.missile_speed if unit.missile_speed else 0.0)
    flight = jnp.sqrt(aim.dx * aim.dx + aim.dy * aim.dy) * pace + roster.column(lambda unit: unit.second_hit_delay)
    if roster.numbers is not None:
        flight = flight * roster.numbers.flight
    put = fired & late
    target = jnp.where(put, aim.target, jnp.where(due, NOBODY, battle.pending_target))
    return battle._replace(pending_time=jnp.where(put, flight, jnp.maximum(left, 0.0)), pending_target=target), lands


def _in_beam(roster: Roster, rules: Rules, battle: Battle, x, y, dx, dy, beam: tuple[float, float]) -> jax.Array:
    """bool[N, E]: hit by the beam of a shooter at (x, y), a line across its target, which is (dx, dy) away.

    An approximation: the whole line, at right angles to the shot, does damage at once; the shooter's side is spared.
    The place and the target of the shooter are [E], or [N, E] if each unit has its own.
    """
    far = jnp.sqrt(jnp.maximum(dx * dx + dy * dy, 1e-12))
    ux, uy = dx / far, dy / far
    from_x, from_y = battle.x - x, battle.y - y
    radius = rules.beam_radius * roster.column(lambda unit: unit.radius)
    half_length, half_width = beam
    along, across = from_x * ux + from_y * uy - far, from_x * uy - from_y * ux
    return (jnp.abs(along) <= half_width + radius) & (jnp.abs(across) <= half_length + radius)


def _beams(roster: Roster, rules: Rules, before: Battle, aim: Aim, lands: jax.Array) -> list[tuple[int, jax.Array]]:
    """(k, bool[N, E]) of each colossus: its number as an opponent, and whom its beam hits in this loop."""
    beams = []
    for shooter in () if roster.drawn else roster.where(lambda unit: unit.beam[0] > 0.0):
        ally = shooter < roster.num_allies
        burns = (lands[shooter] != NOBODY) & _in_beam(
            roster, rules, before, before.x[shooter], before.y[shooter], aim.dx[shooter], aim.dy[shooter],
            roster.units[shooter].beam,
        )  # fmt: skip
        beams.append((shooter if ally else shooter - roster.num_allies, burns & (roster.is_ally != ally)))
    return beams


def _hit(
    roster: Roster, rules: Rules, before: Battle, aim: Aim, lands: jax.Array, beams: list, part: slice, k
) -> jax.Array:
    """bool[n, E]: opponent k of each unit of a part hits it in this loop. `before`: the battle at the loop's start."""
    hit = opponent(roster, lands, k, part) == roster.rows[part]
    if part == slice(None) and roster.num_allies * 2 != len(roster):
        hit &= k < np.where(roster.is_ally, len(roster.enemies), roster.num_allies)
    if roster.drawn:
        return _burnt_by(roster, rules, before, aim, lands, k, hit)
    for number, burns in beams:
        if not isinstance(k, int):
            hit |= burns[part] & (k == number)
        elif k == number:
            hit |= burns[part]
    return hit


def _burnt_by(roster: Roster, rules: Rules, before: Battle, aim: Aim, lands: jax.Array, k, hit: jax.Array) -> jax.Array:
    """`hit`, and the units in the beam of their opponent k where that is a colossus, of drawn types."""
    beam = max(unit.beam for unit in roster.units)
    if beam[0] == 0.0:
        return hit
    place = (facing(roster, leaf, k) for leaf in (before.x, before.y, aim.dx, aim.dy))
    burns = (facing(roster, lands, k) != NOBODY) & roster.against(lambda unit, by: by.beam[0] > 0.0, bool)[k]
    return hit | burns & _in_beam(roster, rules, before, *place, beam)


def _blows(roster: Roster, armor: np.ndarray, part: slice):
    """A function (k) -> the damage of one hit by opponent k of each unit of a part: before shield and armor, and to
    life only."""
    if roster.numbers is None:
        raw = roster.against(lambda unit, by: by.raw_damage(unit))
        bare = roster.against(lambda unit, by: max(by.raw_damage(unit) - unit.armor, MIN_HIT))
        return lambda k: (row(raw, k)[part], row(bare, k)[part])
    bonus = roster.against(lambda unit, by: by.has_bonus(unit))
    damages, bonuses = roster.numbers.damage, roster.numbers.bonus

    def blow(k):
        extra = opponent(roster, bonuses, k, part) * row(bonus, k)[part]
        raw = opponent(roster, damages, k, part) + extra
        return raw, jnp.maximum(raw - armor[part], MIN_HIT)

    return blow


def _take_hits(
    roster: Roster, rules: Rules, before: Battle, battle: Battle, aim: Aim, lands: jax.Array, unrolled: bool
):
    """(health, shield) after all hits, one after another in the opponents' order: life may be below 0."""
    armor = roster.column(lambda unit: unit.armor)
    together = roster.against(lambda unit, by: by.hits_at_once, np.int32)
    most_together = max(unit.hits_at_once for unit in roster.units)
    shielded = roster.any(lambda unit: unit.shield > 0)
    beams = _beams(roster, rules, before, aim, lands)

    def of(part, count):
        blow = _blows(roster, armor, part)

        def body(k, carry):
            health, shield = carry
            hit = _hit(roster, rules, before, aim, lands, beams, part, k)
            raw, bare = blow(k)
            for strike_number in range(most_together):
                lands_now = hit & (row(together, k)[part] > strike_number) if strike_number else hit
                if not shielded:
                    health = health - jnp.where(lands_now, bare, 0.0)
                    continue
                damage = jnp.where(lands_now, raw, 0.0)
                spill = jnp.maximum(damage - shield, 0.0)
                health = health - jnp.where(spill > 0.0, jnp.maximum(spill - armor[part], MIN_HIT), 0.0)
                shield = jnp.maximum(shield - damage, 0.0)
            return health, shield

        return over(count, unrolled or count <= FEW, body, (battle.health[part], battle.shield[part]))

    return tuple(join(values) for values in zip(*(of(*part) for part in parts(roster)), strict=True))


def suffer(
    roster: Roster, rules: Rules, loop, before: Battle, battle: Battle, aim: Aim, fired, lands, unrolled: bool
) -> Battle:
    """Applies hits and bursts: to the shield first, then to life, minus armor. Shields that rested regenerate."""
    health, shield = _take_hits(roster, rules, before, battle, aim, lands, unrolled)
    if roster.any(lambda unit: unit.burst > 0.0):
        battle, health, shield = burst(roster, before, battle, fired, health, shield, unrolled)
    if not roster.any(lambda unit: unit.shield > 0):
        health = settle(loop, health) if roster.any(lambda unit: unit.heals) else health
        return battle._replace(health=jnp.maximum(health, 0.0))
    both = settle(loop, jax.lax.complex(health, shield))
    health, shield = jnp.real(both), jnp.imag(both)
    hurt = (health < battle.health) | (shield < battle.shield)
    rested = (battle.shield_timer >= SHIELD_DELAY) & ~hurt & (health > 0.0)
    full = roster.column(lambda unit: unit.shield)
    return battle._replace(
        health=jnp.maximum(health, 0.0),
        shield=jnp.where(rested, jnp.minimum(shield + SHIELD_REGEN, full), shield),
        shield_timer=jnp.where(hurt, 0.0, jnp.minimum(battle.shield_timer + 1.0, SHIELD_DELAY)),
    )


def recover(roster: Roster, loop, battle: Battle, aim: Aim, unrolled: bool) -> Battle:
    """Healing, energy and regeneration of life, for units that are still alive after the hits of the loop."""
    full = roster.column(lambda unit: unit.hp)
    if roster.any(lambda unit: unit.regen > 0):
        regen = roster.column(lambda unit: unit.regen)
        health = jnp.minimum(battle.health + regen, full)
        battle = battle._replace(health=jnp.where(battle.alive, health, battle.health))
    return heal(roster, loop, battle, aim, unrolled)
