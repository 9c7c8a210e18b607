"""StarCraft micromanagement as an environment: the battle engine behind SMAC's interface."""

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs.base import ActionSpec, EnvSpec, TimeStep
from envs.smax import interface, outcome
from envs.smax.battle import ATTACK, MOVE, NO_ORDER, STOP, Battle, Orders, Rules, Team
from envs.smax.dynamics import advance
from envs.smax.options import make_options, with_options
from envs.smax.rule_choice import RuleChoice
from envs.smax.rules_file import find_terrain
from envs.smax.scenarios import NUM_COMMON_ACTIONS, Scenario, get_scenario
from envs.smax.spawn import spawn

NO_OP, STAND = 0, 1  # action ids; 2..5 move, then one id per target
KINDS = (NO_ORDER, STOP, MOVE, MOVE, MOVE, MOVE)
STEP_X = (0, 0, 0, 0, 1, -1)  # directions of the moves
STEP_Y = (0, 0, 1, -1, 0, 0)
REACH_SLACK = 1e-3  # map units, see `Smax.legalise`


class SmaxState(NamedTuple):
    """E battles; every array has E on its MINOR axis."""

    battle: Battle  # [N, E]
    rules: Rules  # scalars, or [E] where they are drawn per episode
    last_action: jax.Array  # int32[A, E] the joint action that led here, -1 right after a reset
    steps: jax.Array  # int32[E] since the reset


def _merge(where: jax.Array, new, old):
    """Environment e of `new` where `where[e]`, else of `old`; E is the minor axis of every leaf."""
    return jax.tree.map(lambda a, b: jnp.where(where, a, b), new, old)


class Smax:
    """`smax:<map>`: an `Environment` whose observations, masks and rewards are SMAC's own.

    An illegal action cannot raise an error inside a compiled program. It is replaced by no-op for a dead agent and by
    stop for a living one. The time limit truncates; a battle that ends at the limit is terminated.

    Args:
      map_name: one of SMAC's 23 maps (`envs.smax.scenarios.SCENARIOS`).
      rules: the rules that only the real game could settle: `Rules`, the name of a preset ("smac", "smac_v0",
        "smaclite"), or a file that ends in .json (`envs.smax.rules_file`), which may also have a game's walkable cells.
        None: "smac".
      randomise_rules: draw the rules anew for each episode (`envs.smax.rules.draw_rules`).
      randomise: if above 0, draw the rules and the units' numbers anew for each episode; numbers vary by this share,
        0 <= randomise < 1 (`envs.smax.rules.draw_all`).
      options: SMAC's, by its own names, and `reward`, one of dense, sparse, semisparse, win (`envs.smax.options`).

    Raises:
      ConfigError: an unknown map or rules, or an option that is out of range.
    """

    def __init__(
        self,
        map_name: str = "2s3z",
        rules: Rules | str | None = None,
        randomise_rules: bool = False,
        randomise: float = 0.0,
        **options: bool | float | str,
    ):
        scenario = replace(get_scenario(map_name), options=make_options(**options))
        if isinstance(rules, str):
            terrain = find_terrain(rules, scenario.ground.terrain)
            scenario = replace(scenario, ground=replace(scenario.ground, terrain=terrain))
        self.choice = RuleChoice(Team(scenario.units).kinds, rules, randomise_rules, randomise)
        self.scenario: Scenario = scenario
        self.rules = self.choice.rules
        self.spec = EnvSpec(
            name=f"smax:{map_name}",
            num_agents=scenario.num_allies,
            obs_dim=scenario.obs_dim,
            state_dim=scenario.state_dim,
            action=ActionSpec(num_actions=scenario.num_actions),
            horizon=scenario.limit,
            state_is_obs=scenario.options.obs_instead_of_state,
        )

    @partial(jax.jit, static_argnums=(0, 2))
    def reset(self, key: jax.Array, num_envs: int) -> tuple[SmaxState, TimeStep]:
        """Starts a battle in each environment."""
        state = self._open(key, num_envs)
        flags = (jnp.zeros(num_envs, bool) for _ in range(3))  # separate buffers, so that a caller may donate them
        return state, self._show(state, jnp.zeros(num_envs, jnp.float32), *flags)

    @partial(jax.jit, static_argnums=0)
    def step(self, key: jax.Array, state: SmaxState, action: jax.Array) -> tuple[SmaxState, TimeStep]:
        """One step of eight game loops under the joint action int32[E, A].

        A step after the end of an episode is harmless, and the episode stays over.
        """
        return self.obey(key, state, self.legalise(state.battle, action.T.astype(jnp.int32)))

    def obey(self, key: jax.Array, state: SmaxState, action: jax.Array) -> tuple[SmaxState, TimeStep]:
        """`step` for action ids int32[A, E] that are carried out even where the mask forbids them."""
        scenario, before = self.scenario, state.battle
        orders = self.orders(before, action)
        army = (scenario.units, scenario.num_allies)
        battle = advance(*army, state.rules, before, orders, key, ground=scenario.ground)
        terminated, won = outcome.ending(scenario, battle)
        reward, _ = outcome.reward(scenario, outcome.tally(scenario, before), battle, won)
        state = SmaxState(battle, state.rules, action, state.steps + 1)
        truncated = (state.steps >= scenario.limit) & ~terminated
        return state, self._show(state, reward, terminated, truncated, won)

    @partial(jax.jit, static_argnums=0)
    def restart(
        self, key: jax.Array, state: SmaxState, timestep: TimeStep, where: jax.Array
    ) -> tuple[SmaxState, TimeStep]:
        """Starts new battles where `where` is True; the other environments keep their state and time step.

        Observations are functions of the state and are computed from the merged state. In a program that steps and
        then restarts, the compiler can drop the observations of the step, so each step computes only one set.
        """
        fresh = self._open(key, where.shape[0])
        rules = _merge(where, fresh.rules, state.rules) if self.choice.draws else state.rules
        state = _merge(where, fresh._replace(rules=()), state._replace(rules=()))._replace(rules=rules)
        reward = jnp.where(where, 0.0, timestep.reward)
        flags = (timestep.terminated, timestep.truncated, timestep.info["won"])
        return state, self._show(state, reward, *(flag & ~where for flag in flags))

    def legalise(self, battle: Battle, action: jax.Array) -> jax.Array:
        """Replaces illegal entries of `action`, int32[A, E], by stop, or by no-op for dead agents.

        The reach has a slack of 0.001, because rounding of distances may differ between compiled programs.
        """
        legal = interface.available(self.scenario, battle, interface.SHOOT + REACH_SLACK)
        chosen = action[:, None] == np.arange(self.scenario.num_actions)[None, :, None]
        alive = battle.health[: self.scenario.num_allies] > 0
        return jnp.where((legal & chosen).any(axis=1), action, jnp.where(alive, STAND, NO_OP))

    def _open(self, key: jax.Array, num_envs: int) -> SmaxState:
        key_rules, key_spawn = jax.random.split(key)
        return self.begin(key_spawn, self.choice.of_episodes(key_rules, num_envs), num_envs)

    def begin(self, key: jax.Array, rules: Rules, num_envs: int) -> SmaxState:
        """The start of `num_envs` episodes that are played by `rules`, fields f32 scalars or [E]."""
        scenario = self.scenario
        return SmaxState(
            battle=spawn(scenario.units, scenario.num_allies, rules, key, num_envs, ground=scenario.ground),
            rules=rules,
            last_action=jnp.full((scenario.num_allies, num_envs), -1, jnp.int32),
            steps=jnp.zeros(num_envs, jnp.int32),
        )

    def orders(self, battle: Battle, action: jax.Array) -> Orders:
        """SMAC's action ids as orders; on MMM maps a medivac's targets are allies."""
        scenario, amount = self.scenario, float(self.scenario.options.move_amount)
        agents = scenario.num_allies

        def lookup(table, otherwise):
            value = jnp.full(action.shape, otherwise)
            for index, entry in enumerate(table):
                value = jnp.where(action == index, entry, value)
            return value

        heals = np.asarray([[scenario.has_medivac_rules and name == "medivac"] for name in scenario.allies])
        named = action - NUM_COMMON_ACTIONS + np.where(heals, 0, agents).astype(np.int32)
        return Orders(
            kind=lookup(KINDS, np.int32(ATTACK)),
            goal_x=battle.x[:agents] + lookup([amount * dx for dx in STEP_X], np.float32(0.0)),
            goal_y=battle.y[:agents] + lookup([amount * dy for dy in STEP_Y], np.float32(0.0)),
            target=jnp.clip(named, 0, len(scenario.units) - 1),
        )

    def _show(self, state: SmaxState, reward, terminated, truncated, won) -> TimeStep:
        scenario, battle = self.scenario, state.battle
        seen = interface.observe(scenario, battle, state.last_action, state.steps)
        dead_allies, dead_enemies = outcome.count_dead(scenario, battle)
        return TimeStep(
            obs=seen.obs,
            state=seen.state,
            avail=seen.avail,
            alive=(battle.health[: scenario.num_allies] > 0).T,
            reward=reward,
            terminated=terminated,
            truncated=truncated,
            info={"won": won, "dead_allies": dead_allies, "dead_enemies": dead_enemies},
        )


Smax.__signature__ = with_options(Smax)  # the options by name: what `make_env` accepts
