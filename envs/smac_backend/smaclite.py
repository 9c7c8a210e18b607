"""SMAClite (uoe-agents/smaclite, 0d6abbe) as a game with SMAC's interface: a thin adapter of permutations and scalings.

Adapted, so that a policy receives what SMAC would show it:
- the order: agents by (type, x, y) at the reset, enemies by SMAC's creation order of types; also in actions and masks;
- the type bits of enemies, which SMAC numbers differently from those of allies on maps of stalkers and zealots;
- a medivac's rows of enemies, which begin with "can heal ally j" for SMAC's j;
- the state's cooldowns: fractions of the weapon's period in SMAClite, of SMAC's constants here;
- the last actions, which SMAClite does not clear at a reset; the time limit, which it lacks; medivacs cannot win alone;
- a battle without survivors, which SMAClite counts as won, is not won.

Not adapted, because the point is to play on another simulator: physics, enemies, the start formation, rewards (damage
dealt, without regeneration), and the movement masks at the western edge: west is legal down to x = 1 instead of 0, and
a unit that was pushed off the map (x < 0) may not go north or south.

SMAClite starts every battle in the same way, and only the order of updates is random, so a greedy policy plays nearly
the same battle in every episode. `NOISY` (--backend envs.smac_backend.smaclite:NOISY) moves the start position of each
unit by up to 0.1 cells, as our engine does, so that episodes differ.
"""

import contextlib
import io
from typing import Any

import numpy as np

from envs.errors import ConfigError
from envs.smac_backend.backend import Backend
from envs.smax.options import options_among
from envs.smax.scenarios import MOVE_FEATURES, NUM_COMMON_ACTIONS, Scenario, get_scenario
from envs.smax.terrain import STRIP
from envs.smax.units import LOOPS_PER_SECOND

SOURCE = "git+https://github.com/uoe-agents/smaclite.git"
# SMAC's divisors of cooldowns, in game loops (specification, section 3).
MAX_COOLDOWN = {"marine": 15, "marauder": 25, "stalker": 35, "zealot": 22, "colossus": 24, "hydralisk": 10}
NO_OP = 0
SPAWN_NOISE = 0.1  # cells, as in `default_rules`


def make_game(map_name: str, seed: int | None = None, noise: float = 0.0, **options: Any) -> "SmacliteGame":
    """A game of a map of SMAClite, or of a SMAC map that it lacks (3m, 8m), built from its units.

    Args:
      map_name: the map.
      seed: of SMAClite and of the noise.
      noise: each coordinate of each unit is moved by up to this many cells at the reset, uniformly.
      options: of SMAC. SMAClite has its own rewards, so those of the reward are ignored.

    Raises:
      ConfigError: SMAClite is not installed, does not have the units of that map, or would need an option of SMAC.
    """
    lacks = [name for name in options_among(options) if not name.startswith("reward")]
    if lacks:
        raise ConfigError(f"SMAClite does not have SMAC's {', '.join(lacks)}: it plays policies trained without")
    try:
        from smaclite.env import SMACliteEnv
        from smaclite.env.maps.map import MapPreset
    except ImportError as error:
        raise ConfigError(f"SMAClite cannot be imported ({error}): pip install '{SOURCE}'") from None
    scenario = get_scenario(map_name)
    own = [entry.value for entry in MapPreset if entry.value.name == map_name]
    with contextlib.redirect_stdout(io.StringIO()):  # it prints how it avoids collisions
        env = SMACliteEnv(map_info=own[0] if own else _new_map(scenario), seed=seed)
    return SmacliteGame(env, scenario, noise, seed)


def make_noisy_game(map_name: str, **options: Any) -> "SmacliteGame":
    """`make_game` with the position noise of our engine."""
    return make_game(map_name, **{"noise": SPAWN_NOISE, **options})


def _new_map(scenario: Scenario) -> Any:
    """A map that SMAClite lacks, on a strip of SMAC's size."""
    from smaclite.env.maps.map import Group, MapInfo
    from smaclite.env.terrain.terrain import TERRAIN_PRESETS
    from smaclite.env.units.unit_type import STANDARD_UNIT_TYPES
    from smaclite.env.util.faction import Faction

    lacks = sorted({name for name in scenario.units if name.upper() not in STANDARD_UNIT_TYPES})
    if lacks:
        raise ConfigError(f"SMAClite cannot play {scenario.name}: it has no {', '.join(lacks)}")

    def group(place, faction, names):
        counts = [(STANDARD_UNIT_TYPES[name.upper()], names.count(name)) for name in dict.fromkeys(names)]
        return Group(*(int(n) for n in place), faction, counts)

    kinds = {STANDARD_UNIT_TYPES[name.upper()]: scenario.type_index(row) for row, name in enumerate(scenario.allies)}
    return MapInfo(
        name=scenario.name,
        num_allied_units=scenario.num_allies,
        num_enemy_units=scenario.num_enemies,
        groups=[
            group(STRIP.ally_spawns[0][:2], Faction.ALLY, scenario.allies),
            group(STRIP.enemy_spawns[0][:2], Faction.ENEMY, scenario.enemies),
        ],
        attack_point=tuple(int(n) for n in STRIP.order.start),
        terrain=TERRAIN_PRESETS["SIMPLE"].value,
        ally_has_shields=scenario.ally_shields,
        enemy_has_shields=scenario.enemy_shields,
        num_unit_types=scenario.type_bits,
        unit_type_ids=kinds if scenario.type_bits else None,
    )


def _name(unit: Any) -> str:
    return unit.type.stats.name.lower()


class SmacliteGame:
    """A `SMACliteEnv` with `StarCraft2Env`'s interface; see `envs.smac_backend.backend.Game` for the methods."""

    def __init__(self, env: Any, scenario: Scenario, noise: float = 0.0, seed: int | None = None):
        self._env, self._scenario = env, scenario
        self._noise, self._random = noise, np.random.default_rng(seed)
        self.n_agents, self.n_enemies = scenario.num_allies, scenario.num_enemies
        self.map_x, self.map_y = env.map_info.width, env.map_info.height
        self._heals = np.array([scenario.has_medivac_rules and name == "medivac" for name in scenario.allies])
        self._steps = 0
        self._last = np.zeros((scenario.num_allies, scenario.num_actions), np.float32)

    @property
    def max_reward(self) -> float:
        return self._env.max_reward

    @property
    def pathing_grid(self) -> np.ndarray:
        """bool[x, y]: walkable cells."""
        rows = [[cell.name == "NORMAL" for cell in row] for row in self._env.map_info.terrain]
        return np.array(rows).T

    def get_env_info(self) -> dict[str, int]:
        return {
            "n_agents": self._env.n_agents,
            "n_actions": self._env.n_actions,
            "obs_shape": self._env.obs_size,
            "state_shape": self._env.state_size,
        }

    def reset(self) -> None:
        self._env.reset()
        if self._noise:
            self._move_apart()
        ours, theirs = self._scenario, self._env
        kinds = list(dict.fromkeys(ours.allies))

        def agent_key(unit):
            return kinds.index(_name(unit)), *unit.pos

        agents = sorted(theirs.agents.values(), key=agent_key)
        enemies = sorted(theirs.enemies.values(), key=lambda unit: ours.enemies.index(_name(unit)))
        made = tuple(_name(unit) for unit in agents + enemies)
        if made != ours.units:
            raise ConfigError(f"SMAClite's map {ours.name} differs from ours: its units are {', '.join(made)}")
        self._agents = np.array([unit.id_in_faction for unit in agents])  # SMAClite's number of our agent a
        self._enemies = np.array([unit.id_in_faction for unit in enemies])
        self._ally_bits, self._enemy_bits = self._bits(agents, 0), self._bits(enemies, ours.num_allies)
        periods = [unit.max_cooldown * LOOPS_PER_SECOND / MAX_COOLDOWN.get(_name(unit), 1.0) for unit in agents]
        self._charge = np.where(self._heals, 1.0, periods).astype(np.float32)
        self._steps, self._last = 0, np.zeros_like(self._last)

    def _move_apart(self) -> None:
        """Adds noise to the positions of all units."""
        env = self._env
        for unit in env.all_units.values():
            unit.pos += self._random.uniform(-self._noise, self._noise, 2).astype(np.float32)
        for finder in (env.neighbour_finder_all, env.neighbour_finder_ally, env.neighbour_finder_enemy):
            finder.update()

    def _bits(self, units: list, first: int) -> np.ndarray:
        """SMAClite's index of our type bit b, for the side whose first unit is `first`; absent types keep theirs."""
        bits = np.arange(self._scenario.type_bits)
        for row, unit in enumerate(units):
            if len(bits):
                bits[self._scenario.type_index(first + row)] = self._env.map_info.unit_type_ids[unit.type]
        return bits

    def step(self, actions: list[int]) -> tuple[float, bool, dict]:
        theirs = [NO_OP] * self.n_agents
        for agent, action in enumerate(actions):
            target = action - NUM_COMMON_ACTIONS
            if target >= 0:
                named = self._agents if self._heals[agent] else self._enemies
                action = NUM_COMMON_ACTIONS + int(named[target])
            theirs[self._agents[agent]] = int(action)
        _, reward, terminated, _, _ = self._env.step(theirs)
        self._steps += 1
        self._last = np.eye(self._scenario.num_actions, dtype=np.float32)[np.asarray(actions)]
        lost, won = self._outcome()
        limit = self._steps >= self._scenario.limit
        info = {
            "battle_won": won,
            "dead_allies": self.n_agents - len(self._env.agents),
            "dead_enemies": self.n_enemies - len(self._env.enemies),
        }
        return float(reward), bool(terminated or lost or won or limit), info

    def _outcome(self) -> tuple[bool, bool]:
        """Whether the agents have lost or won, by SMAC's rules (specification, section 5.4)."""
        medivacs = self._scenario.has_medivac_rules

        def fighters(units):
            return sum(not (medivacs and _name(unit) == "medivac") for unit in units.values())

        lost = fighters(self._env.agents) == 0
        beaten = fighters(self._env.enemies) == 0 and len(self._env.enemies) <= 1
        return lost, beaten and not lost

    def alive(self) -> list[bool]:
        """Whether each of our agents is alive."""
        return [agent in self._env.agents for agent in self._agents]

    def get_avail_actions(self) -> np.ndarray:
        """int[A, U]"""
        theirs = np.asarray(self._env.get_avail_actions(), int)[self._agents]
        common = NUM_COMMON_ACTIONS
        out = np.zeros((self.n_agents, self._scenario.num_actions), int)
        out[:, :common] = theirs[:, :common]
        out[:, common:] = np.where(self._heals[:, None], 0, theirs[:, common + self._enemies])
        slots = min(self.n_agents, self.n_enemies)
        heal = theirs[:, common + self._agents[:slots]] if self._heals.any() else 0
        out[:, common : common + slots] += np.where(self._heals[:, None] & ~self._heals[:slots], heal, 0)
        return out

    def get_obs(self) -> np.ndarray:
        """f32[A, O]"""
        s = self._scenario
        theirs = np.asarray(self._env.get_obs(), np.float32)[self._agents]
        cuts = np.cumsum([MOVE_FEATURES, s.num_enemies * s.enemy_row, (s.num_allies - 1) * s.ally_row])
        moves, enemies, allies, own = np.split(theirs, cuts, axis=1)
        enemies = enemies.reshape(self.n_agents, s.num_enemies, -1)[:, self._enemies]
        enemies = _permute_bits(enemies, self._enemy_bits)
        seen = enemies[:, :, 4] > 0  # health
        enemies[:, :, 0] = seen & (self.get_avail_actions()[:, NUM_COMMON_ACTIONS:] > 0)
        allies = _permute_bits(self._ally_rows(allies.reshape(self.n_agents, s.num_allies - 1, -1)), self._ally_bits)
        own = _permute_bits(own, self._ally_bits)
        flat = (block.reshape(self.n_agents, -1) for block in (moves, enemies, allies, own))
        return np.concatenate(list(flat), axis=1)

    def _ally_rows(self, rows: np.ndarray) -> np.ndarray:
        """[A, A - 1, ...] in our order. SMAClite's row k is its agent k, or k + 1 if k >= the observer's number."""
        out = np.zeros_like(rows)
        for agent, me in enumerate(self._agents):
            others = np.delete(self._agents, agent)
            out[agent] = rows[agent, others - (others > me)]
        return out

    def get_state(self) -> np.ndarray:
        """f32[X]"""
        s = self._scenario
        theirs = np.asarray(self._env.get_state(), np.float32)
        cuts = np.cumsum([s.num_allies * (s.ally_row - 1), s.num_enemies * (s.enemy_row - 2)])
        allies, enemies, _ = np.split(theirs, cuts)
        allies = _permute_bits(allies.reshape(s.num_allies, -1)[self._agents], self._ally_bits)
        enemies = _permute_bits(enemies.reshape(s.num_enemies, -1)[self._enemies], self._enemy_bits)
        allies[:, 1] *= self._charge
        return np.concatenate([allies.ravel(), enemies.ravel(), self._last.ravel()])

    def save_replay(self) -> None:
        """Raises ConfigError: SMAClite writes no replays."""
        raise ConfigError("SMAClite writes no replays: leave out --save-replay")

    def close(self) -> None:
        self._env.close()


def _permute_bits(rows: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """A copy of `rows` [..., F] whose last len(bits) entries are type bits, in our order."""
    plain = rows.shape[-1] - len(bits)
    return np.concatenate([rows[..., :plain], rows[..., plain:][..., bits]], axis=-1)


BACKEND = Backend("smaclite", make_game, alive=SmacliteGame.alive)
NOISY = Backend("smaclite_noisy", make_noisy_game, alive=SmacliteGame.alive)
