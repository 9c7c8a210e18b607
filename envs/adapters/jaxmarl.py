"""JaxMARL's cooperative environments: `jaxmarl:smax:2s3z`, `jaxmarl:MPE_simple_spread_v3`, `jaxmarl:overcooked`, ...

JaxMARL's dicts become arrays here, in the order of its `agents`. Observations are flattened. Smaller observations are
padded with zeros; where an agent has fewer actions, the others are illegal or masked. The state is `world_state` if
there is one, else the concatenated observations. The team reward is the first agent's if all agents get the same
reward, else their sum, as in JaxMARL's Q-learning; `reward=sum|mean|first` overrides it.

Steps are made by `step_env`, which does not reset. JaxMARL's time limit is the horizon, which truncates. Its MPE and
SMAX compare the clock before they advance it, so `max_steps=25` gives 26 steps. Agents die in SMAX only.
"""

import inspect
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs.adapters.common import Adapted, check_reward, flat, package, plain_options, taking, team_reward
from envs.base import ActionSpec, ConfigError, Environment, EnvSpec, TimeStep, vectorize


def _late(theirs: Any) -> int:
    return theirs.max_steps + 1


def _punctual(theirs: Any) -> int:
    return theirs.max_steps


def _hanabi_horizon(theirs: Any) -> int:
    """An upper bound on the length of a game.

    A play or discard draws a card, a hint costs a token, and a discard or a complete colour returns one.
    """
    drawn = int(theirs.deck_size) - theirs.num_agents * theirs.hand_size
    return 2 * (drawn + theirs.num_agents) + theirs.max_info_tokens + theirs.num_colors


def _battle_over(theirs: Any, before: Any, action: jax.Array, after: Any, over: jax.Array) -> jax.Array:
    ours, enemies = _sides(theirs, after)
    return ~ours.any() | ~enemies.any()


def _sides(theirs: Any, inner: Any) -> tuple[jax.Array, jax.Array]:
    alive = inner.state.unit_alive
    return alive[: theirs.num_allies], alive[theirs.num_allies :]


def _battle_won(theirs: Any, inner: Any) -> jax.Array:
    ours, enemies = _sides(theirs, inner)
    return ours.any() & ~enemies.any()


def _answered(theirs: Any, before: Any, action: jax.Array, after: Any, over: jax.Array) -> jax.Array:
    return action[before.agent_in_room] == theirs.game_actions["TELL"]


class FamilyFacts(NamedTuple):
    """Facts about a family of environments that JaxMARL's interface does not tell."""

    horizon: Callable[[Any], int] = _late  # (theirs) -> the longest episode, in steps
    same_reward: bool = True
    ended: Callable[..., jax.Array] | None = None  # (theirs, before, action, after, over) -> bool[]; None: never
    legal: str = ""  # the method that returns the legal actions; "": all actions are legal
    alive: Callable[[Any, Any], jax.Array] | None = None  # (theirs, inner) -> bool[A]; None: all are
    won: Callable[[Any, Any], jax.Array] | None = None  # (theirs, inner) -> bool[]
    world_state: bool = False
    agents: str = "agents"  # the attribute that lists the agents to train


RULES = {  # by prefix of the name; the first match counts
    "smax:": FamilyFacts(
        ended=_battle_over,
        legal="get_avail_actions",
        alive=lambda theirs, inner: _sides(theirs, inner)[0],
        won=_battle_won,
        world_state=True,
    ),
    "MPE_simple_facmac": FamilyFacts(agents="adversaries"),  # the good agents, the prey, are scripted
    "MPE_": FamilyFacts(same_reward=False),
    "overcooked": FamilyFacts(horizon=_punctual),
    "hanabi": FamilyFacts(horizon=_hanabi_horizon, ended=lambda *step: step[-1], legal="get_legal_moves"),
    "switch_riddle": FamilyFacts(horizon=_punctual, ended=_answered),
}
MODULES = {  # prefix of the name -> (JaxMARL module, class)
    "smax:": ("smax", "HeuristicEnemySMAX"),
    "MPE_simple_v3": ("mpe", "SimpleMPE"),
    "MPE_simple_spread_v3": ("mpe", "SimpleSpreadMPE"),
    "MPE_simple_reference_v3": ("mpe", "SimpleReferenceMPE"),
    "MPE_simple_speaker_listener_v4": ("mpe", "SimpleSpeakerListenerMPE"),
    "MPE_simple_facmac_v1": ("mpe", "SimpleFacmacMPE"),
    "MPE_simple_facmac_3a_v1": ("mpe", "SimpleFacmacMPE3a"),
    "MPE_simple_facmac_6a_v1": ("mpe", "SimpleFacmacMPE6a"),
    "MPE_simple_facmac_9a_v1": ("mpe", "SimpleFacmacMPE9a"),
    "overcooked_v2": ("overcooked_v2", "OvercookedV2"),
    "overcooked": ("overcooked", "Overcooked"),
    "hanabi": ("hanabi", "Hanabi"),
    "switch_riddle": ("switch_riddle", "SwitchRiddle"),
}


def _first_fit(table: dict[str, Any], member: str) -> Any:
    return next(value for start, value in table.items() if member.startswith(start))


def jaxmarl_env(member: str) -> Callable[..., Environment]:
    """A function that builds JaxMARL's environment `member` from the options of its class, given by keyword.

    Raises:
      ConfigError: jaxmarl is not installed, or has no such environment.
    """
    module, name = _first_fit(MODULES, member)
    factory = getattr(package(f"jaxmarl.environments.{module}"), name, None)
    if factory is None:
        raise ConfigError(f"jaxmarl:{member}: the installed version of jaxmarl does not have it")
    options = plain_options(factory)
    if (
        member.startswith("MPE_") and "kwargs" in inspect.signature(factory).parameters
    ):  # options of JaxMARL's base class
        options += ["max_steps", "dt"]
    if member.startswith("smax:"):
        base = package("jaxmarl.environments.smax").SMAX
        fixed = ("scenario", "num_allies", "num_enemies", "action_type", "use_self_play_reward")
        options += [o for o in plain_options(base) if o not in fixed and not o.startswith("smacv2")]
    if member == "overcooked":
        options.append("layout")
    return taking(partial(_build, member, factory), [*options, "reward"])


def _make(member: str, factory: Callable, options: dict[str, Any]) -> Any:
    if member.startswith("smax:"):
        scenario = package("jaxmarl.environments.smax").map_name_to_scenario(member.partition(":")[2])
        return factory(scenario=scenario, **options)
    if member == "overcooked" and "layout" in options:
        layouts = package("jaxmarl.environments.overcooked").overcooked_layouts
        layout = options["layout"]
        if layout not in layouts:
            raise ConfigError(f"jaxmarl:overcooked: no layout {layout!r} (known: {', '.join(layouts)})")
        options = options | {"layout": layouts[layout]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return factory(**options)


def _build(member: str, factory: Callable, reward: str | None = None, **options) -> Environment:
    name, rules = f"jaxmarl:{member}", _first_fit(RULES, member)
    how = reward or ("first" if rules.same_reward else "sum")
    check_reward(name, how)
    try:
        theirs = _make(member, factory, options)
    except AssertionError as error:
        raise ConfigError(f"{name}: {error}") from error
    view = _View(theirs, rules, how)
    horizon = int(rules.horizon(theirs))
    if horizon < 1:
        raise ConfigError(f"{name}: max_steps is {theirs.max_steps}, give at least 1")
    obs_dim, action = view.obs_dim, view.action
    state_dim = int(theirs.state_size) if rules.world_state else len(view.agents) * obs_dim
    spec = EnvSpec(name, len(view.agents), obs_dim, state_dim, action, horizon, not rules.world_state)
    return vectorize(Adapted(spec, view.open, view.move))


class _View:
    """A JaxMARL environment in terms of our contract: its dicts become arrays with an agent axis."""

    def __init__(self, theirs: Any, rules: FamilyFacts, how: str):
        self.theirs, self.rules, self.how = theirs, rules, how
        self.agents = tuple(getattr(theirs, rules.agents))
        self.rest = tuple(agent for agent in theirs.agents if agent not in self.agents)
        shown = jax.eval_shape(theirs.reset, jax.random.key(0))[0]
        self.obs_dim = max(int(np.prod(shown[agent].shape)) for agent in self.agents)
        self.spaces = [theirs.action_space(agent) for agent in self.agents]
        self.action = _action_spec(self.spaces)

    def open(self, key: jax.Array) -> tuple[Any, TimeStep]:
        obs, inner = self.theirs.reset(key)
        no = jnp.bool_(False)
        return inner, self._show(obs, inner, jnp.float32(0.0), no, no)

    def move(self, key: jax.Array, before: Any, action: jax.Array) -> tuple[Any, TimeStep]:
        given = {a: self._their_action(self.spaces[i], action[i]) for i, a in enumerate(self.agents)}
        for agent in self.rest:
            given[agent] = jnp.zeros(self.theirs.action_space(agent).shape, jnp.float32)
        obs, inner, rewards, ends, _ = self.theirs.step_env(key, before, given)
        over = jnp.asarray(ends["__all__"], bool).reshape(())
        ended = self.rules.ended
        terminated = jnp.bool_(False) if ended is None else over & ended(self.theirs, before, action, inner, over)
        reward = team_reward(jnp.concatenate([flat(rewards[agent]) for agent in self.agents]), self.how)
        return inner, self._show(obs, inner, reward, terminated, over & ~terminated)

    def _their_action(self, space: Any, action: jax.Array) -> jax.Array:
        return action if self.action.discrete else action[: int(np.prod(space.shape))].reshape(space.shape)

    def _show(self, obs: dict, inner: Any, reward: jax.Array, terminated: jax.Array, truncated: jax.Array) -> TimeStep:
        theirs, rules = self.theirs, self.rules
        rows = jnp.stack([flat(obs[agent], self.obs_dim) for agent in self.agents])
        return TimeStep(
            obs=rows,
            state=flat(obs["world_state"]) if rules.world_state else rows.reshape(-1),
            avail=self._legal(inner),
            alive=jnp.ones(len(self.agents), bool) if rules.alive is None else rules.alive(theirs, inner),
            reward=reward,
            terminated=terminated,
            truncated=truncated,
            info={} if rules.won is None else {"won": rules.won(theirs, inner)},
        )

    def _legal(self, inner: Any) -> jax.Array:
        num_actions = self.action.num_actions
        if self.rules.legal:
            given = getattr(self.theirs, self.rules.legal)(inner)
            legal = jnp.stack([flat(given[agent], num_actions) > 0 for agent in self.agents])
            return legal | ~legal.any(-1, keepdims=True)  # after the end no action is legal: then all are
        counts = [space.n for space in self.spaces] if num_actions else [0] * len(self.spaces)
        return jnp.asarray(np.arange(num_actions)[None] < np.array(counts)[:, None])


def _action_spec(spaces: list) -> ActionSpec:
    if all(hasattr(space, "n") for space in spaces):
        return ActionSpec(num_actions=max(int(space.n) for space in spaces))
    dims = [int(np.prod(space.shape)) for space in spaces]
    low, high = ({float(np.min(getattr(space, bound))) for space in spaces} for bound in ("low", "high"))
    mask = tuple(tuple(d < dim for d in range(max(dims))) for dim in dims)
    return ActionSpec(0, max(dims), low.pop(), high.pop(), None if len(set(dims)) == 1 else mask)
