"""Our battle engine behind the real SMAC code: `StarCraft2Env` whose StarCraft II is `envs.smax`.

Everything but the game is the unmodified `oxwhirl/smac`: it launches (`_launch` is replaced), sends raw orders, steps
eight game loops, and reads protobuf units, as it does with SC2. Importing this needs SMAC.
Source: the SMAC interface specification, section 6.7.
"""

import os
from typing import NamedTuple

os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")

import jax
import numpy as np
from pysc2.lib import protocol
from s2clientprotocol import raw_pb2, sc2api_pb2
from smac.env import StarCraft2Env

from envs.smac_backend.starcraft import without_damage
from envs.smax.battle import ATTACK, MOVE, NO_ORDER, NOBODY, STOP, Battle, Orders, Rules, default_rules
from envs.smax.dynamics import advance, spawn
from envs.smax.interface import MAP_SIZE
from envs.smax.scenarios import get_scenario
from envs.smax.units import LOOPS_PER_STEP, UNITS

# Blizzard's unit type ids, and the first of those that a map's own copies for the agents get (it differs from version
# to version of the game).
STANDARD_ID = {
    "colossus": 4, "marine": 48, "marauder": 51, "medivac": 54, "zealot": 73, "stalker": 74, "hydralisk": 107,
    "baneling": 9, "spine_crawler": 98, "zergling": 105,
}  # fmt: skip
FIRST_OWN_ID = 1970
ALLY, ENEMY = 1, 2  # owners
KEPT = 8  # battles that a controller remembers
ABILITY_KIND = {4: STOP, 16: MOVE, 23: ATTACK, 386: ATTACK}  # 386 is the medivac's heal


class Step(NamedTuple):
    """What the engine was given: with it, and this alone, the step can be made again."""

    battle: Battle
    orders: Orders
    key: jax.Array
    loops: int


class Controller:
    """The methods of PySC2's controller that SMAC calls after the launch. One battle, E = 1.

    `rules`: of the engine. `enemy_life`: the fraction of life and shield with which enemies are made, for easy wins.
    `breaks_after`: so many steps, the connection breaks.
    """

    def __init__(
        self, map_name: str, rules: Rules, seed: int, enemy_life: float = 1.0, breaks_after: int | None = None
    ):
        self.scenario = get_scenario(map_name)
        self.rules = rules
        self.enemy_life = enemy_life
        self.units = [UNITS[name] for name in self.scenario.units]
        self.breaks_after = breaks_after
        self.stories: list[list[Step]] = []  # of each battle, the latest ones
        self._key = jax.random.key(seed)
        self._shuffle = np.random.default_rng(seed)
        self._generation = 0
        self._ids = [self._type_id(index) for index in range(len(self.units))]
        self._make()

    def actions(self, request: sc2api_pb2.RequestAction) -> None:
        """Gives raw orders: stop, move to a point, attack or heal a unit."""
        for action in request.actions:
            command = action.action_raw.unit_command
            kind = ABILITY_KIND[command.ability_id]
            target = self._index(command.target_unit_tag) if kind == ATTACK else NOBODY
            point = command.target_world_space_pos
            for tag in command.unit_tags:
                row = self._index(tag)
                self._orders.kind[row], self._orders.target[row] = kind, target
                self._orders.goal_x[row], self._orders.goal_y[row] = point.x, point.y
        self._renewed = True

    def step(self, count: int) -> None:
        """Runs `count` game loops. If no unit is alive, the map's trigger creates both teams again.

        The loops that enemies walk before the first observation are `Rules.pre_advance`.
        """
        if self.breaks_after is not None:
            self.breaks_after -= 1
            if self.breaks_after < 0:
                raise protocol.ConnectionError("the game is gone")
        if not (self.battle.health > 0).any():
            self._make()
            return
        # Only an order that was given again may restart a strike.
        rules = self.rules if self._renewed else self.rules._replace(restart_windup=np.float32(0.0))
        orders = Orders(*(field.copy() for field in self._orders))
        step = Step(self.battle, orders, self._next_key(), count)
        self.stories[-1].append(step)
        scenario = self.scenario
        extra = {"ground": scenario.ground} | ({} if count == LOOPS_PER_STEP else {"loops": count})
        battle = advance(scenario.units, scenario.num_allies, rules, self.battle, orders, step.key, **extra)
        self.battle = jax.device_get(battle)
        self._renewed = False

    def observe(self) -> sc2api_pb2.ResponseObservation:
        """The living units: enemies as they were made, allies in an order of their own, which SMAC has to sort."""
        answer = sc2api_pb2.ResponseObservation()
        answer.observation.raw_data.units.extend(
            self._unit(index) for index in self._listed if self.battle.health[index, 0] > 0
        )
        return answer

    def debug(self, commands) -> None:
        """Kills units by tag."""
        health = self.battle.health.copy()
        for command in commands:
            for tag in command.kill_unit.tag:
                health[self._index(tag)] = 0.0
        self.battle = self.battle._replace(health=health)

    def save_replay(self) -> bytes:
        """What would be a replay."""
        return f"{self._generation} battles".encode()

    def _make(self) -> None:
        """Both teams, by new tags."""
        self.stories = [*self.stories[-KEPT:], []]
        scenario = self.scenario
        army = (scenario.units, scenario.num_allies)
        battle = jax.device_get(spawn(*army, self.rules, self._next_key(), 1, ground=scenario.ground))
        life = np.where(np.arange(len(self.units)) < scenario.num_allies, 1.0, self.enemy_life)[:, None]
        life = life.astype(np.float32)
        self.battle = Battle(*battle)._replace(health=battle.health * life, shield=battle.shield * life)
        self._generation += 1
        agents, shape = scenario.num_allies, (scenario.num_allies, 1)
        self._listed = [*self._shuffle.permutation(agents), *range(agents, len(self.units))]
        nowhere = np.zeros(shape, np.float32)
        self._orders = Orders(
            np.full(shape, NO_ORDER, np.int32), nowhere, nowhere.copy(), np.full(shape, NOBODY, np.int32)
        )
        self._renewed = True

    def _next_key(self) -> jax.Array:
        self._key, key = jax.random.split(self._key)
        return key

    def tag_of(self, index: int) -> int:
        return (self._generation << 20) + 1 + index

    def _index(self, tag: int) -> int:
        """The unit called `tag`; a tag of an earlier battle is an error of who gave it."""
        index = tag - self.tag_of(0)
        assert 0 <= index < len(self.units), f"no unit has the tag {tag}"
        return index

    def _type_id(self, index: int) -> int:
        if index >= self.scenario.num_allies:
            return STANDARD_ID[self.scenario.units[index]]
        return FIRST_OWN_ID + (self.scenario.type_index(index) or 0)

    def _unit(self, index: int) -> raw_pb2.Unit:
        battle, unit, agents = self.battle, self.units[index], self.scenario.num_allies
        message = raw_pb2.Unit(
            tag=self.tag_of(index),
            owner=ALLY if index < agents else ENEMY,
            unit_type=self._ids[index],
            radius=unit.radius,
            is_flying=unit.air,
            health=battle.health[index, 0],
            health_max=unit.hp,
            shield=battle.shield[index, 0],
            shield_max=unit.shield,
            energy_max=unit.max_energy,
        )
        message.pos.x, message.pos.y = battle.x[index, 0], battle.y[index, 0]
        if index < agents:  # the game does not tell those of the other side
            message.weapon_cooldown, message.energy = battle.cooldown[index, 0], battle.energy[index, 0]
        return message


class Installation:
    """Stands for the game's process and its folder: what SMAC closes, and where it puts replays."""

    def __init__(self):
        self.closed = 0
        self.replays: list[tuple[str, bytes]] = []

    def close(self) -> None:
        """Counts the processes that were ended."""
        self.closed += 1

    def save_replay(self, data: bytes, replay_dir: str, prefix: str) -> str:
        """Keeps a replay, and names it as PySC2 does."""
        self.replays.append((prefix, data))
        return f"{replay_dir}/{prefix}.SC2Replay"


class FakeSC2(StarCraft2Env):
    """SMAC's environment over `Controller`. `breaks_after`: the first launch's; `options`: StarCraft2Env's."""

    def __init__(
        self,
        map_name: str = "3m",
        seed: int = 0,
        rules: Rules | None = None,
        enemy_life: float = 1.0,
        breaks_after: int | None = None,
        **options,
    ):
        super().__init__(map_name=map_name, seed=seed, **options)
        self.rules = default_rules() if rules is None else rules
        self.enemy_life = enemy_life
        self.breaks_after = breaks_after
        self.launches = 0

    def _launch(self):
        seed = self._seed + 1000 * self.launches
        self._controller = Controller(self.map_name, self.rules, seed, self.enemy_life, self.breaks_after)
        self._sc2_proc = self._run_config = Installation()
        self.breaks_after = None
        self.launches += 1
        size = int(MAP_SIZE)
        self.map_x = self.map_y = self.max_distance_x = self.max_distance_y = size
        terrain = self._controller.scenario.ground.terrain
        self.pathing_grid = terrain.walkable  # [x, y]
        self.terrain_height = terrain.height_byte / 255


def make_game(map_name: str, reward_damage: bool = True, **options) -> FakeSC2:
    """A game for tests that play through SMAC's interface; see `FakeSC2`."""
    return (FakeSC2 if reward_damage else without_damage(FakeSC2))(map_name, **options)
