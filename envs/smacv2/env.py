"""SMACv2 as an environment: the battle engine with drawn teams behind SMACv2's interface."""

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs.base import ActionSpec, EnvSpec, TimeStep
from envs.errors import ConfigError
from envs.smacv2 import interface, memory, outcome
from envs.smacv2.memory import Memory
from envs.smacv2.orders import new_orders, no_orders, turn
from envs.smacv2.scenarios import CONE_ACTIONS, GROUND, DrawnScenario, get_scenario
from envs.smacv2.start import start, start_rows
from envs.smacv2.teams import Draws
from envs.smax.battle import Battle, Orders, Rules
from envs.smax.dynamics import advance_drawn
from envs.smax.open_loop import open_loop_obs
from envs.smax.options import make_options, with_reward_options
from envs.smax.outcome import count_dead
from envs.smax.pursuit import Pursuit
from envs.smax.rule_choice import RuleChoice

NO_OP, STAND = 0, 1  # action ids


class Smacv2State(NamedTuple):
    """E battles; every array has E on its MINOR axis. Observations are a function of it."""

    battle: Battle  # [N, E]
    kind: jax.Array  # int32[N, E] types
    pursuit: Pursuit  # orders of the enemies
    orders: Orders  # [A, E] the agents' orders, which go on until another one is given
    rules: Rules  # scalars, or [E] where they are drawn per episode
    last_action: jax.Array  # int32[A, E] the joint action that led here, -1 right after a reset
    steps: jax.Array  # int32[E] since the reset
    look: jax.Array  # int32[A, E] directions of the conic field of view
    memory: Memory  # before the observations of this state
    rank: jax.Array  # f32[A, E] in whose ascending order the agents observe this state
    told: jax.Array  # bool[M, A, E] who is told about enemies found in this state
    scale: jax.Array  # f32[E] the largest return, by which rewards are scaled


def _merge(where: jax.Array, new, old):
    """Environment e of `new` where `where[e]`, else of `old`; E is the minor axis of every leaf."""
    return jax.tree.map(lambda a, b: jnp.where(where, a, b), new, old)


class Smacv2:
    """`smacv2:<scenario>`: an `Environment` whose observations, masks and rewards are SMACv2's own.

    Teams and start positions are drawn anew for each episode. Illegal actions and the time limit: as in
    `envs.smax.env.Smax`. After a reset agents observe twice, as with SMACv2, whose reset observes once by itself.

    Args:
      name: a race and sizes (`envs.smacv2.scenarios.SCENARIOS`), e.g. protoss_5_vs_5.
      conic_fov: agents see and attack in a cone, and have 12 more actions, which turn it (`envs.smacv2.cone`).
      prob_obs_enemy: probability that an agent is told about an enemy that another one has found.
      action_mask: False: all living targets are legal, and orders out of reach are not sent. The extended partial
        observability challenge is prob_obs_enemy=0 action_mask=False.
      smacv2_bug: True: two errors of SMACv2 are reproduced. An enemy that nobody has found blanks the rows of all
        enemies before it, and rewards are scaled by the first enemy team of an environment.
      rules, randomise_rules, randomise: as in `Smax`.
      options: of the reward, SMAC's by its own names, and `reward`, one of dense, sparse, semisparse,
        win; and `open_loop`.

    Raises:
      ConfigError: an unknown name or rules, or an option that is out of range.
    """

    def __init__(
        self,
        name: str = "protoss_5_vs_5",
        conic_fov: bool = False,
        prob_obs_enemy: float = 1.0,
        action_mask: bool = True,
        smacv2_bug: bool = True,
        rules: Rules | str | None = None,
        randomise_rules: bool = False,
        randomise: float = 0.0,
        **options: bool | float | str,
    ):
        if not 0.0 <= prob_obs_enemy <= 1.0:
            raise ConfigError(f"prob_obs_enemy={prob_obs_enemy}: give a probability, 0 <= p <= 1")
        looks = CONE_ACTIONS if conic_fov else 0
        self.scenario: DrawnScenario = replace(get_scenario(name), looks=looks, options=make_options(**options))
        self.prob_obs_enemy = float(prob_obs_enemy)
        self.action_mask, self.bug = bool(action_mask), bool(smacv2_bug)
        self.choice = RuleChoice(self.scenario.race.types, rules, randomise_rules, randomise)
        self.spec = EnvSpec(
            name=f"smacv2:{name}",
            num_agents=self.scenario.num_allies,
            obs_dim=self.scenario.obs_dim,
            state_dim=self.scenario.state_dim,
            action=ActionSpec(num_actions=self.scenario.num_actions),
            horizon=self.scenario.limit,
        )

    @partial(jax.jit, static_argnums=(0, 2))
    def reset(self, key: jax.Array, num_envs: int) -> tuple[Smacv2State, TimeStep]:
        """Starts a battle in each environment."""
        state = self._open(key, num_envs)
        flags = (jnp.zeros(num_envs, bool) for _ in range(3))  # separate buffers, so that a caller may donate them
        return state, self._show(state, jnp.zeros(num_envs, jnp.float32), *flags)

    @partial(jax.jit, static_argnums=0)
    def step(self, key: jax.Array, state: Smacv2State, action: jax.Array) -> tuple[Smacv2State, TimeStep]:
        """One step of eight game loops under the joint action int32[E, A].

        A step after the end of an episode is harmless, and the episode stays over.
        """
        sight = interface.survey(self.scenario, state.kind, state.battle, state.look, interface.REACH_SLACK)
        action = self._legalise(state, sight, action.T.astype(jnp.int32))
        return self.obey(key, state, action)

    def obey(self, key: jax.Array, state: Smacv2State, action: jax.Array) -> tuple[Smacv2State, TimeStep]:
        """`step` under the joint action int32[A, E], without the legal actions. Targets out of reach get no order."""
        scenario, before, kind = self.scenario, state.battle, state.kind
        sight = interface.survey(scenario, kind, before, state.look, interface.REACH_SLACK)
        key_loops, key_look = jax.random.split(key)
        orders = new_orders(scenario, kind, before, state.orders, action, sight.reach)
        types, agents = scenario.race.types, scenario.num_allies
        battle, pursuit = advance_drawn(
            types, agents, kind, state.rules, before, state.pursuit, orders, key_loops, ground=GROUND
        )
        terminated, won = outcome.ending(scenario, kind, battle)
        reward = outcome.reward(scenario, kind, before, battle, won, state.scale)
        alive = battle.health > 0
        remembered = memory.forget(self._observe(state)[1], alive[:agents], alive[agents:])
        draws = Draws(jax.random.uniform(key_look, (self.look_rows, len(terminated))))
        rank, told = self._draw_looks(draws)
        state = state._replace(
            battle=battle, pursuit=pursuit, orders=orders, last_action=action, steps=state.steps + 1,
            look=turn(scenario, state.look, action), memory=remembered, rank=rank, told=told,
        )  # fmt: skip
        truncated = (state.steps >= scenario.limit) & ~terminated
        return state, self._show(state, reward, terminated, truncated, won)

    @partial(jax.jit, static_argnums=0)
    def restart(
        self, key: jax.Array, state: Smacv2State, timestep: TimeStep, where: jax.Array
    ) -> tuple[Smacv2State, TimeStep]:
        """Starts new battles where `where` is True; the other environments keep their state and time step.

        Observations are functions of the state and are computed from the merged state. In a program that steps and
        then restarts, the compiler can drop the observations of the step, so each step computes only one set.
        """
        fresh = self._open(key, where.shape[0])
        rules = _merge(where, fresh.rules, state.rules) if self.choice.draws else state.rules
        scale = state.scale if self.bug else jnp.where(where, fresh.scale, state.scale)
        state = _merge(where, fresh._replace(rules=()), state._replace(rules=()))._replace(rules=rules, scale=scale)
        reward = jnp.where(where, 0.0, timestep.reward)
        flags = (timestep.terminated, timestep.truncated, timestep.info["won"])
        return state, self._show(state, reward, *(flag & ~where for flag in flags))

    def _legalise(self, state: Smacv2State, sight: interface.Sight, action: jax.Array) -> jax.Array:
        """Replaces illegal entries of `action`, int32[A, E], by stop, or by no-op for dead agents."""
        legal = interface.available(self.scenario, state.kind, state.battle, sight, self.action_mask)
        chosen = action[:, None] == np.arange(self.scenario.num_actions)[None, :, None]
        alive = state.battle.health[: self.scenario.num_allies] > 0
        return jnp.where((legal & chosen).any(axis=1), action, jnp.where(alive, STAND, NO_OP))

    def _open(self, key: jax.Array, num_envs: int) -> Smacv2State:
        """New episodes, after SMACv2's own first observation."""
        scenario, agents = self.scenario, self.scenario.num_allies
        key_rules, key_draws = jax.random.split(key)
        rules = self.choice.of_episodes(key_rules, num_envs)
        draws = Draws(jax.random.uniform(key_draws, (start_rows(scenario) + 2 * self.look_rows, num_envs)))
        kind, battle, pursuit = start(scenario, rules, draws)
        rank, told = self._draw_looks(draws)
        state = Smacv2State(
            battle=battle,
            kind=kind,
            pursuit=pursuit,
            orders=no_orders(agents, num_envs),
            rules=rules,
            last_action=jnp.full((agents, num_envs), -1, jnp.int32),
            steps=jnp.zeros(num_envs, jnp.int32),
            look=jnp.zeros((agents, num_envs), jnp.int32),
            memory=memory.forget_all(scenario.num_enemies, agents, num_envs),
            rank=rank,
            told=told,
            scale=outcome.max_reward(scenario, kind),
        )
        rank, told = self._draw_looks(draws)
        return state._replace(memory=self._observe(state)[1], rank=rank, told=told)

    @property
    def look_rows(self) -> int:
        """Rows of uniform numbers that one round of observations takes."""
        agents = self.scenario.num_allies
        return agents + (agents * self.scenario.num_enemies if 0.0 < self.prob_obs_enemy < 1.0 else 0)

    def _draw_looks(self, draws: Draws) -> tuple[jax.Array, jax.Array]:
        """`rank` and `told` of one round of observations."""
        agents, enemies, p = self.scenario.num_allies, self.scenario.num_enemies, self.prob_obs_enemy
        rank = draws.take(agents)
        if 0.0 < p < 1.0:
            return rank, draws.take(enemies, agents) < p
        return rank, jnp.full((enemies, *rank.shape), p == 1.0)

    def _observe(self, state: Smacv2State) -> tuple[interface.Sight, Memory, jax.Array]:
        """What agents see, the memory after it, and what each of them knew when it looked, bool[M, A, E]."""
        sight = interface.survey(self.scenario, state.kind, state.battle, state.look)
        visible = sight.visible[:, self.scenario.num_allies :]
        return sight, *memory.look(state.memory, visible, state.rank, state.told)

    def _show(self, state: Smacv2State, reward, terminated, truncated, won) -> TimeStep:
        scenario, kind, battle = self.scenario, state.kind, state.battle
        sight, _, known = self._observe(state)
        avail = interface.available(scenario, kind, battle, sight, self.action_mask)
        rows = memory.shown(known, self.bug)
        dead_allies, dead_enemies = count_dead(scenario, battle)
        obs = interface.observations(scenario, kind, battle, state.look, sight, avail, rows)
        if scenario.options.open_loop:
            obs = open_loop_obs(scenario.num_allies, scenario.limit, state.steps)
        return TimeStep(
            obs=obs,
            state=interface.global_state(scenario, kind, battle, state.look, state.last_action),
            avail=avail.transpose(2, 0, 1),
            alive=(battle.health[: scenario.num_allies] > 0).T,
            reward=reward,
            terminated=terminated,
            truncated=truncated,
            info={"won": won, "dead_allies": dead_allies, "dead_enemies": dead_enemies},
        )


Smacv2.__signature__ = with_reward_options(Smacv2)  # the options by name: what `make_env` accepts
