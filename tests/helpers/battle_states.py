"""Random battles, orders and rules for tests."""

import numpy as np

from envs.smax.battle import Battle, Orders, Rules
from envs.smax.rules import UNKNOWN

FIELDS = tuple(name for name in Battle._fields if name != "goal")  # those that every battle has


def random_rules(rng, num_envs):
    """[E] each, every rule across its range."""
    uniform = {
        "scan_margin": (-1, 1), "keep_slop": (0, 1), "response": (0, 4), "medivac_rank": (0, 2), "range_slop": (0, 1),
        "push_moving": (0.2, 0.6), "push_idle": (0.2, 0.6), "push_attacking": (0, 0.3), "pre_advance": (0, 2),
        "spawn_gap": (0, 0.2), "spawn_noise": (0, 0.3),
    }  # fmt: skip
    values = {name: rng.uniform(*uniform.get(name, (0, 1)), num_envs).astype(np.float32) for name in UNKNOWN}
    for name in set(UNKNOWN) - set(uniform):
        values[name] = np.round(values[name])
    return Rules(**values)


def _onto_cells(rng, terrain, x, y):
    """Places in blocked cells replaced by random places in the 40 walkable cells nearest the middle."""
    inside = (x >= 0) & (x < 32) & (y >= 0) & (y < 32)
    blocked = ~(inside & terrain.walkable[np.clip(x, 0, 31).astype(int), np.clip(y, 0, 31).astype(int)])
    cells = np.argwhere(terrain.walkable)
    cells = cells[np.argsort(((cells - 15) ** 2).sum(axis=1), kind="stable")[:40]]
    place = cells[rng.integers(len(cells), size=x.shape)] + rng.random((*x.shape, 2))
    return np.where(blocked, place[..., 0], x), np.where(blocked, place[..., 1], y)


def random_battle(rng, roster, num_envs):
    """Random states in which every kind of pending action occurs, in walkable cells."""
    shape = (len(roster), num_envs)
    first = roster.num_allies
    opponent = np.where(roster.is_ally, rng.integers(first, len(roster), shape), rng.integers(0, first, shape))
    heals = roster.column(lambda unit: unit.heals, bool)
    fellow = np.where(roster.is_ally, rng.integers(0, first, shape), rng.integers(first, len(roster), shape))
    target = np.where(rng.random(shape) < 0.3, -1, np.where(heals, fellow, opponent))
    alive = rng.random(shape) < 0.85
    later = roster.column(lambda unit: unit.missile_speed > 0 or unit.second_hit_delay > 0, bool)
    bombs = roster.column(lambda unit: unit.burst > 0, bool)
    armed = roster.column(lambda unit: unit.armed, bool)
    winds = (rng.random(shape) < 0.4) & (target >= 0) & alive
    point = np.where(armed, np.maximum(roster.column(lambda unit: unit.damage_point), 0.01), 0.0)
    health = roster.column(lambda unit: unit.hp) * np.where(rng.random(shape) < 0.3, 1.0, rng.random(shape))
    shield = roster.column(lambda unit: unit.shield) * np.where(rng.random(shape) < 0.3, 0.0, rng.random(shape))
    speed = np.where(heals, 0.1, 0.0)
    fields = {
        "x": rng.uniform(12, 18, shape) + np.where(rng.random(shape) < 0.1, 13, 0),
        "y": rng.uniform(13, 17, shape) + rng.choice([-4.5, 0, 6.8], shape, p=[0.1, 0.8, 0.1]),
        "vx": speed * rng.uniform(-1, 1, shape), "vy": speed * rng.uniform(-1, 1, shape),
        "health": np.where(alive, health, 0.0), "shield": np.where(alive, shield, 0.0),
        "energy": roster.column(lambda unit: unit.max_energy) * rng.choice([0.001, 0.02, 0.5, 1.0], shape),
        "cooldown": armed * rng.choice([0.0, 0.0, 0.4, 1.7, 3.1, 9.3], shape),
        "windup": np.where(winds, np.where(armed, point * rng.random(shape), 0.0), -1.0),
        "target": target,
        "shield_timer": rng.choice([0.0, 158.0, 159.0, 160.0], shape),
        "pending_time": later * rng.uniform(0, 4, shape),
        "pending_target": np.where(
            later & (rng.random(shape) < 0.5), opponent,
            np.where(bombs & ~alive & (rng.random(shape) < 0.5), roster.rows, -1),
        ),
    }  # fmt: skip
    fields["x"], fields["y"] = _onto_cells(rng, roster.ground.terrain, fields["x"], fields["y"])
    kinds = {"target": np.int32, "pending_target": np.int32}
    order = roster.ground.order
    goal = np.float32(order.start)[:, None] + np.zeros((2, num_envs), np.float32) if order.drawn else None
    if order.drawn:
        goal += (np.float32(order.end) - order.start)[:, None] * rng.random(num_envs, np.float32)
    return Battle(**{name: value.astype(kinds.get(name, np.float32)) for name, value in fields.items()}, goal=goal)


def random_orders(rng, roster, num_envs):
    shape = (roster.num_allies, num_envs)
    heals = roster.allies.column(lambda unit: unit.heals, bool)
    foe, friend = rng.integers(roster.num_allies, len(roster), shape), rng.integers(0, roster.num_allies, shape)
    return Orders(
        kind=rng.choice([0, 1, 2, 3, 3, 3], shape).astype(np.int32),
        goal_x=rng.uniform(0, 32, shape).astype(np.float32),
        goal_y=rng.uniform(0, 32, shape).astype(np.float32),
        target=np.where(heals, friend, foe).astype(np.int32),
    )
