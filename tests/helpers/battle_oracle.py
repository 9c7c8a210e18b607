"""One game loop in plain Python, one unit at a time: the slow twin of `envs.smax.dynamics`.

Written from the specification (sections 5.3, 7.1, 7.3) and from the docstrings of `Rules`, with no array in it.
"""

import math

from envs.smax.paths import detours
from envs.smax.units import UNITS
from tests.helpers.wall_oracle import keep_in

NOBODY, RESTING = -1, -1.0
REACH_TOLERANCE = 1e-3
SPLIT = 1e-5


class Unit:
    """A mutable unit; `side` 0 ally, 1 enemy. `prey`: the agent that a map script sent an enemy after."""

    prey = NOBODY

    def __init__(self, name, side, fields):
        self.kind, self.side = UNITS[name], side
        self.__dict__.update(fields)

    @property
    def alive(self):
        return self.health > 0


def distance(a, b):
    return math.hypot(a.x - b.x, a.y - b.y)


def reach(unit, other):
    return unit.kind.range + unit.kind.radius + other.kind.radius


def ordered_target(unit, order, units):
    """The target of an attack order that can be carried out."""
    if unit.kind.heals or order["kind"] != 3:
        return NOBODY
    other = units[order["target"]]
    return order["target"] if other.side == 1 and unit.kind.can_hit(other.kind) else NOBODY


def enemy_target(me, number, units, orders, rules, hunts):
    """Keep the old target while it may be kept, else (attackers of mine first) the nearest in scan range.

    While it only walks to it, another one in its weapon's reach comes first, if the rules say so.
    """
    scan = me.kind.scan + rules["scan_margin"]
    begun = max(rules["keep_slop"], rules["range_slop"] * me.kind.range_slop)
    slop = begun if me.windup >= 0 else rules["keep_slop"]
    switches, kept, choices = rules["switch"] > 0.5 and me.windup < 0, NOBODY, []
    for index, other in enumerate(units):
        if other.side == me.side or not other.alive or not me.kind.can_hit(other.kind):
            continue
        radii = me.kind.radius + other.kind.radius
        gap = distance(me, other)
        keep = math.inf if hunts else max(me.kind.range + slop, rules["chase"] * scan) + radii
        close = gap <= reach(me, other) + REACH_TOLERANCE
        if me.target == index and gap <= keep:
            if close or not switches:
                return index
            kept = index
        busy = other.windup >= 0 or other.cooldown > 0
        attacked = ordered_target(other, orders[index], units) if busy else NOBODY
        attacks_me = attacked != NOBODY if hunts else attacked == number
        limit = max(scan + rules["scan_edge"] * radii, rules["weapon_scan"] * reach(me, other))
        limit += rules["response"] if attacks_me else 0.0
        if gap > limit:
            continue
        seems = gap + (rules["medivac_rank"] if other.kind.heals else 0.0)
        prefers = attacks_me and rules["prefer_attackers"] > 0.5
        choices.append((not (switches and close), not prefers, seems, index))
    if kept != NOBODY and (not choices or min(choices)[0]):
        return kept
    return min(choices)[3] if choices else NOBODY


def patient(me, units, order):
    choices = []
    for index, other in enumerate(units):
        hurt = other.alive and other.health < other.kind.hp
        if other.side != me.side or not other.kind.biological or not hurt:
            continue
        if me.side == 0:
            if order["kind"] == 3 and order["target"] == index:
                choices.append((0.0, index))
        elif distance(me, other) <= 6.0 + me.kind.radius + other.kind.radius:
            mine = me.windup >= 0 and me.target == index
            choices.append((other.health / other.kind.hp - (2.0 if mine else 0.0), index))
    return min(choices)[1] if choices else NOBODY


def choose(number, me, units, orders, rules, ground):
    if not me.alive:
        return NOBODY
    order = orders[number] if me.side == 0 else None
    if me.kind.heals:
        return patient(me, units, order)
    if me.prey != NOBODY:
        return me.prey
    if me.side == 1:
        return enemy_target(me, number, units, orders, rules, ground.order.kind == "hunt")
    target = ordered_target(me, order, units)
    return target if target != NOBODY and units[target].alive else NOBODY


def weapon(me, old, target, gap, span, rules, jitter):
    """Cooldown, wind-up and pending slot of `me`. Returns (fired, [victims of this loop's blows])."""
    kind = me.kind
    me.cooldown = max(old.cooldown - 1.0, 0.0)
    fired = False
    if kind.armed:
        near = target != NOBODY and gap <= span + REACH_TOLERANCE
        within_slop = target != NOBODY and gap <= span + rules["range_slop"] * kind.range_slop
        if old.windup >= 0 and target == old.target and within_slop:
            me.windup = old.windup - 1.0
            active = True
        elif near and me.cooldown <= kind.damage_point:
            just_ready = me.cooldown > kind.damage_point - 1.0
            me.windup = me.cooldown if just_ready else kind.damage_point
            active = True
        else:
            active = False
        fired = active and me.windup <= 0
        if fired or not active:
            me.windup = RESTING
        if fired:
            me.cooldown = kind.period + jitter
    victims = [target] if fired and not kind.missile_speed and not kind.burst else []
    if kind.missile_speed or kind.second_hit_delay:
        me.pending_time = max(old.pending_time - 1.0, 0.0)
        if old.pending_target != NOBODY and old.pending_time - 1.0 <= 0:
            if old.alive or kind.missile_speed:
                victims = [old.pending_target]
            me.pending_target = NOBODY
        if fired:
            me.pending_target = target
            me.pending_time = gap / kind.missile_speed if kind.missile_speed else kind.second_hit_delay
    return fired, victims


def first_bend(me, heading, ground):
    """The middle of the cell to which the way along `heading` leads first; None if it is straight."""
    first, bends = detours(ground.terrain)
    places = (me.x, me.y), (me.x + heading[0], me.y + heading[1])
    here, there = (32 * int(min(max(x, 0), 31)) + int(min(max(y, 0), 31)) for x, y in places)
    bend = first[1024 * here + there]
    return None if bend == 255 or me.kind.plane != 0 else bends[bend]


def walk(me, old, target, gap, span, stands, order, units, rules, goal, ground):
    """Moves `me`; returns whether it wanted to."""
    speed, halt, heading = me.kind.speed, 0.0, None
    if old.alive and target != NOBODY:
        if not stands:
            heading, halt = (units[target].x - old.x, units[target].y - old.y), span
    elif old.alive and me.side == 0:
        if order["kind"] == 2:
            heading = (order["goal_x"] - old.x, order["goal_y"] - old.y)
    elif old.alive and goal and not (me.kind.heals and rules["enemy_medivac"] < 0.5):
        heading = (goal[0] - old.x, goal[1] - old.y)
        army = [unit.kind.separation for unit in units if unit.side == 1]
        halt = max(army) * math.sqrt(len(army))
        if me.kind.heals:
            speed = min(unit.kind.speed for unit in units if unit.side == 1)
    bend = first_bend(old, heading, ground) if heading and ground.winding else None
    if bend is not None:
        heading, halt = (bend[0] - old.x, bend[1] - old.y), 0.0
    length = math.hypot(*heading) if heading else 0.0
    left = max(length - halt, 0.0)
    wanted = (0.0, 0.0)
    if length > 0:
        braked = math.sqrt(2 * me.kind.acceleration * left) if me.kind.heals else left
        pace = min(speed, braked)
        wanted = (heading[0] / length * pace, heading[1] / length * pace)
    if me.kind.heals and old.alive:
        change = (wanted[0] - old.vx, wanted[1] - old.vy)
        size = math.hypot(*change)
        part = min(1.0, me.kind.acceleration / size) if size > 0 else 0.0
        wanted = (old.vx + change[0] * part, old.vy + change[1] * part)
        me.vx, me.vy = wanted
        wanted = ((old.vx + me.vx) / 2, (old.vy + me.vy) / 2)
    elif me.kind.heals:
        me.vx = me.vy = 0.0
    me.x, me.y = old.x + wanted[0], old.y + wanted[1]
    return heading is not None


def separate(units, before, gives, rules, ground):
    shifts = []
    for n, (me, give) in enumerate(zip(units, gives, strict=True)):
        dx = dy = 0.0
        for k, other in enumerate(units):
            if other is me or not other.alive or other.kind.plane != me.kind.plane:
                continue
            off_x, off_y = me.x - other.x, me.y - other.y + SPLIT * (n - k)
            s = (off_x**2 + off_y**2) / (me.kind.separation + other.kind.separation) ** 2
            if s < 1:
                size = (1 - s) * (0.5 + 0.5 * (1 - s) ** 2 + 1.5 * (1 - s) ** 4)
                dx, dy = dx + off_x * size, dy + off_y * size
        shifts.append((dx * give, dy * give) if me.alive else (0.0, 0.0))
    for n, (me, old, (dx, dy)) in enumerate(zip(units, before, shifts, strict=True)):
        vx, vy = me.x - old.x, me.y - old.y
        if vx or vy:  # what stops it sends it round: to the left or, every other unit, to the right
            share = min(max(-(dx * vx + dy * vy) / max(vx * vx + vy * vy, 1e-12), 0.0), 1.0)
            share *= rules["slide"] * (-1.0 if n % 2 else 1.0)
            dx, dy = dx - vy * share, dy + vx * share
        me.x, me.y = me.x + dx, me.y + dy
        keep_in(me, old, ground.terrain)


def burnt(shooter, target, other, share):
    """The colossus' line, 2.8 by 0.3 across the shot, touches `other`, of whose radius `share` counts."""
    far = distance(shooter, target)
    ux, uy = (target.x - shooter.x) / far, (target.y - shooter.y) / far
    px, py = other.x - target.x, other.y - target.y
    half_length, half_width = shooter.kind.beam
    along, across = px * ux + py * uy, px * uy - py * ux
    return (
        abs(along) <= half_width + share * other.kind.radius and abs(across) <= half_length + share * other.kind.radius
    )


def blow(victim, raw):
    absorbed = min(victim.shield, raw)
    victim.shield -= absorbed
    if raw > absorbed:
        victim.health -= max(raw - absorbed - victim.kind.armor, 0.5)


def game_loop(units, before, orders, jitter, rules, ground, goal):
    """Advances `units` (list of Unit) in place; `before` is a deep copy of them. `goal`: where enemies are sent."""
    targets = [choose(n, unit, before, orders, rules, ground) for n, unit in enumerate(before)]
    gives, hits, attacks = [], [], []
    for n, (me, old) in enumerate(zip(units, before, strict=True)):
        target = targets[n]
        gap = distance(old, before[target]) if target != NOBODY else 0.0
        span = reach(old, before[target]) if target != NOBODY else 0.0
        fired, victims = weapon(me, old, target, gap, span, rules, jitter[n])
        hits += [(n, victim) for victim in victims]
        me.target = target
        winds = me.kind.armed and me.windup >= 0
        stands = fired or winds or (target != NOBODY and gap <= span + REACH_TOLERANCE)
        order = orders[n] if me.side == 0 else None
        goal_of = goal if ground.order.kind == "go" else None
        goes = walk(me, old, target, gap, span, stands, order, before, rules, goal_of, ground)
        give = rules["push_moving" if goes else "push_attacking" if stands else "push_idle"]
        gives.append(0.0 if me.kind.structure else give)
        attacks.append(fired)
    separate(units, before, gives, rules, ground)

    for shooter, victim in hits:
        kind, side = units[shooter].kind, units[shooter].side
        for index, other in enumerate(units):
            beam = (
                kind.beam[0] > 0
                and other.side != side
                and burnt(before[shooter], before[victim], before[index], rules["beam_radius"])
            )
            if index == victim or beam:
                for _ in range(1 if kind.second_hit_delay else kind.hits):
                    blow(other, kind.raw_damage(other.kind))
    burst(units, before, attacks)
    recover(units, before)


def burst(units, before, attacks):
    """Banelings that attack, were killed by the hits, or were left over from the last loop burst once."""
    bombs = [n for n, unit in enumerate(units) if unit.kind.burst]
    bursting = [
        n for n in bombs
        if before[n].pending_target == n or before[n].alive and (attacks[n] or units[n].health <= 0)
    ]  # fmt: skip
    for n in bursting:
        for index, other in enumerate(units):
            spared = other.side == units[n].side or other.kind.air or other.kind.structure or not before[index].alive
            if not spared and distance(before[n], before[index]) <= 2.2 + other.kind.radius:
                blow(other, 35.0 if other.kind.light else 20.0)
    for n in bombs:
        left_over = before[n].alive and n not in bursting and units[n].health <= 0
        units[n].pending_target = n if left_over else NOBODY
        if n in bursting:
            units[n].health = 0.0


def recover(units, before):
    for me, old in zip(units, before, strict=True):
        hurt = me.health < old.health or me.shield < old.shield
        if me.kind.shield or any(unit.kind.shield for unit in units):
            if old.shield_timer >= 160 and not hurt and me.alive:
                me.shield = min(me.shield + 0.125, me.kind.shield)
            me.shield_timer = 0.0 if hurt else min(old.shield_timer + 1, 160.0)
        me.health = max(me.health, 0.0)
        if me.alive:
            me.health = min(me.health + me.kind.regen, me.kind.hp)
    for me, old in zip(units, before, strict=True):
        if not me.kind.heals:
            continue
        enough = me.energy > (0.0 if old.windup >= 0 else 5.0)
        target = me.target
        near = target != NOBODY and distance(old, before[target]) <= reach(me, units[target]) + REACH_TOLERANCE
        able = me.alive and near and enough
        if able and units[target].alive:
            healed = min(0.5625, me.energy / 0.33, units[target].kind.hp - units[target].health)
            units[target].health += healed
            me.energy -= 0.33 * healed
        able = able and me.energy > 0.01
        if me.alive:
            me.energy = min(me.energy + 0.5625 / 16, 200.0)
        me.windup = 0.0 if able else RESTING
