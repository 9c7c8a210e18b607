"""Battles of the real game logged loop by loop, for `experiments.smac_probe`: what the game shows, no conclusions.

The game is SMAC's `StarCraft2Env`; its own functions build the orders and read the units, but a step here is one
game loop, and an order is not repeated in each of them. Source: the SMAC interface specification, section 6.6.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from envs.smax.scenarios import Scenario
from envs.smax.units import UNITS

STOP, NORTH, SOUTH, EAST, WEST, FIRST_TARGET = range(1, 7)  # SMAC's action ids
WALK = 24  # loops that the agents walk west in `march`: a medivac needs 19 to gather speed
LONGEST = 300  # loops of a battle
RECOVERY = 220  # loops without an enemy in `recover`: 160, and some in which shields grow
# Blizzard's ids of the enemies' types.
TYPE_NAMES = {
    4: "colossus", 9: "baneling", 48: "marine", 51: "marauder", 54: "medivac", 73: "zealot", 74: "stalker",
    98: "spine_crawler", 105: "zergling", 107: "hydralisk",
}  # fmt: skip


class BattleLog(NamedTuple):
    """One battle: frame 0 is the state after a reset, then one frame for each game loop. Arrays are [T, N], agents
    first."""

    names: tuple[str, ...]  # unit types; enemies in the order in which the game lists them
    num_allies: int
    x: np.ndarray  # map cells; the dead stay at their last position
    y: np.ndarray
    health: np.ndarray  # points
    shield: np.ndarray
    cooldown: np.ndarray  # loops; the game reports it for agents only
    energy: np.ndarray
    shift: int = 0  # of `Duels`

    @property
    def alive(self) -> np.ndarray:
        """bool[T, N]"""
        return self.health > 0.0


Choose = Callable[
    [Any, int], dict[int, int]
]  # (game, loop from 0) -> action ids by agent, for agents that get a new order


def _units(game) -> list:
    return [unit for side in (game.agents, game.enemies) for _, unit in sorted(side.items())]


def _frame(game) -> np.ndarray:
    """f64[6, N] in the order of the fields of BattleLog."""
    rows = [(u.pos.x, u.pos.y, u.health, u.shield, u.weapon_cooldown, u.energy) for u in _units(game)]
    return np.asarray(rows, np.float64).T


def tick(game, orders: dict[int, int]) -> None:
    """Gives the orders and runs one game loop."""
    from s2clientprotocol import sc2api_pb2

    actions = [game.get_agent_action(agent, action) for agent, action in orders.items()]
    if actions:
        game._controller.actions(sc2api_pb2.RequestAction(actions=actions))
    game._controller.step(1)
    game._obs = game._controller.observe()
    game.update_units()


def log_battle(
    game,
    scenario: Scenario,
    choose: Choose,
    until: Callable[[Any], bool] = lambda game: False,
    finale: Callable[[Any, Callable], None] | None = None,
) -> BattleLog:
    """Plays and logs a battle from its reset until one side is dead, `until` holds, or LONGEST loops are over.

    Then `finale(game, play)` may go on: `play(orders)` plays and logs a loop.
    """
    game.reset()
    game._episode_count = max(game._episode_count, 1)  # so that the next reset does not launch another game
    names = (*scenario.allies, *(TYPE_NAMES[game.enemies[e].unit_type] for e in range(game.n_enemies)))
    frames = [_frame(game)]

    def play(orders: dict[int, int]) -> None:
        tick(game, orders)
        frames.append(_frame(game))

    for loop in range(LONGEST):
        alive = frames[-1][2] > 0
        if until(game) or not (alive[: game.n_agents].any() and alive[game.n_agents :].any()):
            break
        play(choose(game, loop))
    if finale:
        finale(game, play)
    return BattleLog(names, game.n_agents, *np.stack(frames, axis=1), shift=getattr(choose, "shift", 0))


def living(game) -> list[int]:
    """The agents that live."""
    return [agent for agent, unit in game.agents.items() if unit.health > 0]


def march(game, loop: int) -> dict[int, int]:
    """The agents walk west, stand still from then on, and are attacked."""
    if loop > WALK:
        return {}
    legal = {agent: game.get_avail_agent_actions(agent) for agent in living(game)}
    return {agent: WEST if loop < WALK and legal[agent][WEST] else STOP for agent in legal}


class Duels:
    """Agent i walks up to enemy (i + shift) and attacks it alone, so that each loss has one known cause.

    An attack is ordered once, or in every loop if `again`. Medivacs heal the agent that has lost most.
    """

    def __init__(self, scenario: Scenario, shift: int, again: bool = False):
        self.scenario, self.shift, self.again = scenario, shift, again
        self.ordered: dict[int, int] = {}

    def __call__(self, game, loop: int) -> dict[int, int]:
        orders = {}
        for agent in living(game):
            legal = game.get_avail_agent_actions(agent)
            heals = UNITS[self.scenario.allies[agent]].heals
            action = self._patient(game, legal) if heals else self._attack(game, agent, legal)
            if legal[action] and (self.again or action < FIRST_TARGET or self.ordered.get(agent) != action):
                orders[agent] = action
            self.ordered[agent] = action
        return orders

    def _attack(self, game, agent: int, legal) -> int:
        target = (agent + self.shift) % self.scenario.num_enemies
        if game.enemies[target].health == 0:
            return STOP
        action = FIRST_TARGET + target
        if legal[action] or self.ordered.get(agent) == action:
            return action
        here, there = game.agents[agent].pos, game.enemies[target].pos
        dx, dy = there.x - here.x, there.y - here.y
        return (EAST if dx > 0 else WEST) if abs(dx) > abs(dy) else NORTH if dy > 0 else SOUTH

    def _patient(self, game, legal) -> int:
        hurt = {a: game.agents[a].health / game.agents[a].health_max for a in living(game)}
        inside = [a for a in hurt if hurt[a] < 1.0 and FIRST_TARGET + a < len(legal) and legal[FIRST_TARGET + a]]
        return FIRST_TARGET + min(inside, key=hurt.get) if inside else STOP


def shifts(scenario: Scenario) -> list[int]:
    """The shifts of `Duels` after which every type has attacked every type."""
    met, chosen = set(), []
    fighters = [a for a, name in enumerate(scenario.allies) if not UNITS[name].heals]
    for shift in range(scenario.num_enemies):
        pairs = {(scenario.allies[a], scenario.enemies[(a + shift) % scenario.num_enemies]) for a in fighters}
        if pairs - met:
            met |= pairs
            chosen.append(shift)
    return chosen


def stand(game, loop: int) -> dict[int, int]:
    """The agents stand still."""
    return {agent: STOP for agent in living(game)} if loop == 0 else {}


def half_are_dead(game) -> bool:
    """Whether half of the agents are dead."""
    return 2 * len(living(game)) <= game.n_agents


def an_agent_is_hurt(game) -> bool:
    """Whether an agent has lost shield."""
    return any(unit.shield < unit.shield_max for unit in game.agents.values())


def recover(game, play: Callable[[dict[int, int]], None]) -> None:
    """A finale: removes every enemy, and plays on while the agents' shields recover."""
    from s2clientprotocol import debug_pb2

    tags = [unit.tag for unit in game.enemies.values() if unit.health > 0]
    game._controller.debug([debug_pb2.DebugCommand(kill_unit=debug_pb2.DebugKillUnit(tag=tags))])
    for _ in range(RECOVERY):
        play({})


class ProbeLogs(NamedTuple):
    """All battles of a probe."""

    march: BattleLog
    duels: tuple[BattleLog, ...]  # of `shifts`
    again: BattleLog  # the first of them, with orders given again in every loop
    recovery: BattleLog | None  # where agents have shields


def log_battles(game, scenario: Scenario, say: Callable[[str], None] = print) -> ProbeLogs:
    """Plays and logs the battles of a probe, four to six of them."""
    say("the agents walk, stand and are attacked")
    first = log_battle(game, scenario, march, until=half_are_dead)
    duels = []
    for shift in shifts(scenario):
        say(f"duels: agent i attacks enemy i + {shift}")
        duels.append(log_battle(game, scenario, Duels(scenario, shift)))
    say("duels with orders given again in every loop")
    again = log_battle(game, scenario, Duels(scenario, shifts(scenario)[0], again=True))
    recovery = None
    if scenario.ally_shields:
        say("shields recover")
        recovery = log_battle(game, scenario, stand, until=an_agent_is_hurt, finale=recover)
    return ProbeLogs(first, tuple(duels), again, recovery)
