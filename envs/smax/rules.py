"""Rule sets: SMAC's, those with SMAClite's numbers, and random ones, so that a policy does not depend on them.

Sources: the project's SMAC interface specification, sections 7.1 and 7.2, and SMAClite (uoe-agents/smaclite, 0d6abbe).
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from envs.errors import ConfigError
from envs.smax.battle import Numbers, Rules, default_rules
from envs.smax.units import LOOPS_PER_SECOND, UNITS

# 0 or 1, equally likely.
COINS = ("scan_edge", "chase", "switch", "prefer_attackers", "enemy_medivac", "restart_windup")
# Uniform between the values that the specification considers possible, or around the default if it names none.
RANGES = {
    "scan_margin": (-0.5, 0.5),
    "weapon_scan": (1.0, 1.0),  # not in doubt; only SMAClite differs
    "keep_slop": (0.0, 1.0),
    "response": (0.0, 6.0),
    "medivac_rank": (0.0, 2.0),
    "range_slop": (0.0, 1.0),
    "push_moving": (0.3, 0.5),
    "push_idle": (0.3, 0.5),
    "push_attacking": (0.05, 0.5),
    "slide": (0.0, 1.0),
    "beam_radius": (0.0, 1.0),
    "pre_advance": (0.0, 2.0),
    "spawn_gap": (0.0, 0.2),
    "spawn_noise": (0.05, 0.3),
}
UNKNOWN = tuple(name for name in Rules._fields if name != "numbers")
SHARES = ("jitter", "flight")  # of delays; 1 in SMAC, 0 in SMAClite
OTHER_RULES = 0.25  # probability that an episode uses SMAClite's value of a rule instead of a drawn one
PRESETS = ("smac", "smac_v0", "smaclite", "short_sighted")
SHORT_SIGHTED = {"scan_margin": -2.5, "weapon_scan": 0.0, "response": 0.0}
V0 = {  # what `default_rules` had before they were calibrated
    "scan_edge": 1.0, "chase": 0.0, "switch": 0.0, "push_attacking": 0.15, "slide": 0.0, "beam_radius": 1.0,
}  # fmt: skip

# SMAClite counts in "Faster" seconds with 16 ticks each, so everything happens faster per step. It has no hydralisk.
# Its colossus has range 7 instead of 6 and does more damage to light units, which `Numbers` cannot express.
_FASTER = {  # speed per second, seconds from attack to attack, damage, bonus against armored or light
    "baneling": (3.15, 1.0, 80.0, 0.0),
    "colossus": (3.15, 1.07, 10.0, 0.0),
    "marauder": (3.15, 1.07, 10.0, 10.0),
    "marine": (3.15, 0.61, 6.0, 0.0),
    "medivac": (3.5, 0.0, 0.0, 0.0),
    "stalker": (4.13, 1.34, 13.0, 5.0),
    "spine_crawler": (0.0, 1.32, 25.0, 5.0),
    "zealot": (3.15, 0.86, 8.0, 0.0),
    "zergling": (4.13, 0.497, 5.0, 0.0),
}
_SCAN = 5.0  # scan range of every type, from the unit's centre to the target's edge


def smac_numbers(name: str) -> dict[str, float]:
    """The fields of `Numbers` for the unit type `name`, from `UNITS`."""
    shares = dict.fromkeys(SHARES, 1.0)
    return {field: shares.get(field) or getattr(UNITS[name], field) for field in Numbers._fields}


def smaclite_numbers(name: str) -> dict[str, float]:
    """The same for SMAClite: no wind-up, missiles or random delay; units are pushed apart by their full radius."""
    if name not in _FASTER:
        return smac_numbers(name)
    speed, period, damage, bonus = _FASTER[name]
    return {
        "speed": speed / LOOPS_PER_SECOND,
        "period": period * LOOPS_PER_SECOND,
        "damage_point": 0.0,
        "jitter": 0.0,
        "damage": damage,
        "bonus": bonus,
        "flight": 0.0,
        "scan": _SCAN - UNITS[name].radius,
        "separation": UNITS[name].radius,
        "acceleration": speed / LOOPS_PER_SECOND if UNITS[name].heals else UNITS[name].acceleration,  # immediate
    }


def stack_numbers(rows: Mapping[str, Mapping[str, float]]) -> Numbers:
    """`Numbers` f32[T, 1] of {unit type: {field: value}}, T in the order of `rows`: sorted names, as `Team.kinds`."""
    return Numbers(*(np.array([[row[field]] for row in rows.values()], np.float32) for field in Numbers._fields))


def preset(name: str, kinds: tuple[str, ...]) -> Rules:
    """The rules called `name` for a battle of the unit types `kinds` (sorted).

    "smac" is the default, without numbers. "smac_v0" is what it was before the rules were calibrated: enemies notice
    agents from further away and drop a target that leaves their weapon's range, and crowds do not flow round those who
    stand in their way. "short_sighted" is easier: enemies look 2.5 cells less far, less than their weapons reach, and
    do not answer attacks from farther away, so that chance wins a few battles (2 % on 3m, 10 % on 8m).

    "smaclite" has SMAClite's numbers and the rules of its enemies, but does not stand for SMAClite: win rates on the
    two differ, also those of scripted policies (docs/starcraft.md). It does not have SMAClite's collision avoidance:
    units that fight or stand do not yield, units that walk are pushed out of the radii. Missiles and second hits land
    one loop late, and medivacs heal by SMAC's rules. Enemies that are attacked from beyond their scan range pick the
    nearest attacker. SMAClite's enemies keep a target that is out of their weapon's range while it attacks them; here
    they keep any within scan range.

    Raises:
      ConfigError: there is no preset of this name.
    """
    if name not in PRESETS:
        raise ConfigError(f"unknown rules '{name}': choose {' or '.join(PRESETS)}")
    if name == "smac":
        return default_rules()
    if name == "short_sighted":
        return default_rules()._replace(**{field: np.float32(value) for field, value in SHORT_SIGHTED.items()})
    if name == "smac_v0":
        return default_rules()._replace(**{field: np.float32(value) for field, value in V0.items()})
    numbers = stack_numbers({kind: smaclite_numbers(kind) for kind in kinds})
    values = {
        "scan_edge": 1.0, "weapon_scan": 0.0, "chase": 1.0, "switch": 0.0, "prefer_attackers": 0.0,
        "response": 40.0, "medivac_rank": -1.0, "push_idle": 0.0, "push_attacking": 0.0, "slide": 0.0,
        "beam_radius": 1.0, "pre_advance": 0.0, "spawn_noise": 0.0,
    }  # fmt: skip
    rules = default_rules()._replace(**{field: np.float32(value) for field, value in values.items()})
    return rules._replace(numbers=numbers)


def draw_rules(key: jax.Array, num_envs: int) -> Rules:
    """Draws the rules of `num_envs` environments, each field f32[E]. The units keep their numbers."""
    draw = dict(zip(UNKNOWN, jax.random.uniform(key, (len(UNKNOWN), num_envs)), strict=True))
    coins = {name: (draw[name] < 0.5).astype(jnp.float32) for name in COINS}
    return Rules(**coins, **{name: low + (high - low) * draw[name] for name, (low, high) in RANGES.items()})


def draw_all(key: jax.Array, num_envs: int, kinds: tuple[str, ...], width: float) -> Rules:
    """Domain randomisation: draws the rules of `num_envs` environments and numbers f32[T, E] of the unit types `kinds`.

    Each rule is drawn by `draw_rules`; with probability 1/4 it is SMAClite's instead. Each number lies between SMAC's
    and SMAClite's, at a uniform share that is the same for all types of an episode, and is multiplied by a factor
    U(1 - width, 1 + width), drawn per type. Both sides have the same numbers.
    """
    key_rules, key_other, key_share, key_width = jax.random.split(key, 4)
    other = preset("smaclite", kinds)
    rules = draw_rules(key_rules, num_envs)
    takes = jax.random.uniform(key_other, (len(UNKNOWN), num_envs)) < OTHER_RULES
    rules = rules._replace(
        **{
            name: jnp.where(take, getattr(other, name), getattr(rules, name))
            for name, take in zip(UNKNOWN, takes, strict=True)
        }
    )
    home = stack_numbers({kind: smac_numbers(kind) for kind in kinds})
    shares = jax.random.uniform(key_share, (len(Numbers._fields), 1, num_envs))
    factors = jax.random.uniform(key_width, (len(Numbers._fields), len(kinds), num_envs), minval=-width, maxval=width)
    numbers = {}
    for row, field in enumerate(Numbers._fields):
        a, b = getattr(home, field), getattr(other.numbers, field)
        spread = 1.0 if field in SHARES else 1.0 + factors[row]
        numbers[field] = (a + (b - a) * shares[row]) * spread
    return rules._replace(numbers=Numbers(**numbers))
