"""Jumanji's multi-agent environments: `jumanji:LevelBasedForaging-v0`, `jumanji:RobotWarehouse-v0`, ...

An agent's observation, flattened (it does not contain the time; the legal actions are in `avail`):

* LevelBasedForaging: `agents_view`: (x, y, level) of each food, of the agent, of the others; -1, -1, 0 if not visible.
* RobotWarehouse: `agents_view`: the agent, then the cells around it.
* Connector: six boards of zeros and ones: the agent's path, head and target, the others' paths, heads and targets.
* Cleaner: four boards: dirty tiles, walls, the agent, all agents.
* SearchAndRescue (continuous): `searcher_views`, the agent's position, the share of targets not found yet.

The state is the concatenated observations. Rewards per agent are summed by default (`reward=sum|mean|first`).
Jumanji's `time_limit` is the horizon, which truncates, also in tasks where Jumanji reports a terminal state there.
Options are those of the environment's class and of its generator (`num_agents=4`, `grid_size=12`, `fov=2`). A name such
as `RobotWarehouse-tiny-2ag` or `LevelBasedForaging-8x8-2p-2f-coop` stands for the generator's arguments. Jumanji
keeps its random key in the state, so the key of `step` is not used.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs.adapters.common import Adapted, check_reward, package, plain_options, taking, team_reward
from envs.base import ActionSpec, ConfigError, Environment, EnvSpec, TimeStep, vectorize


def _rows(x: jax.Array) -> jax.Array:
    return x.astype(jnp.float32).reshape(x.shape[0], -1)


def _agents_view(theirs: Any, observation: Any) -> jax.Array:
    return _rows(observation.agents_view)


def _connector_boards(theirs: Any, observation: Any) -> jax.Array:
    """The boards f32[A, 6 * cells]. In `observation.grid`, 1, 2, 3 + 3 i are agent i's path, head and target."""
    kind = jnp.arange(1, 4)[:, None, None]
    first = 3 * jnp.arange(theirs.num_agents)[:, None, None, None]
    own = observation.grid == first + kind
    anybody = (observation.grid > 0) & ((observation.grid - 1) % 3 + 1 == kind)
    return _rows(jnp.concatenate([own, anybody & ~own], axis=1))


def _cleaner_boards(theirs: Any, observation: Any) -> jax.Array:
    tiles = observation.grid == jnp.array([0, 2])[:, None, None]  # dirty, wall; 1 is clean
    rows, columns = (observation.agents_locations[:, d, None] == jnp.arange(theirs.grid_shape[d]) for d in (0, 1))
    own = rows[:, :, None] & columns[:, None, :]
    boards = (jnp.broadcast_to(x, (len(own), *x.shape)) for x in (tiles, own.any(0, keepdims=True)))
    tiles, everybody = boards
    return _rows(jnp.concatenate([tiles, own[:, None], everybody], axis=1))


def _search_view(theirs: Any, observation: Any) -> jax.Array:
    left = jnp.broadcast_to(observation.targets_remaining, (theirs.num_agents, 1))
    parts = (_rows(observation.searcher_views), observation.positions, left)
    return jnp.concatenate([part.astype(jnp.float32) for part in parts], axis=1)


def _no_discount(theirs: Any, before: Any, action: jax.Array, after: Any, theirs_ts: Any) -> jax.Array:
    return (theirs_ts.discount == 0).all()


def _collision(theirs: Any, before: Any, action: jax.Array, after: Any, theirs_ts: Any) -> jax.Array:
    """True if two robots are in one cell, that is, if one is missing from its cell.

    Jumanji reports the time limit and a collision in the same way.
    """
    utils = package("jumanji.environments.routing.robot_warehouse.utils")
    return jax.vmap(partial(utils.is_collision, after.grid))(after.agents, theirs.agent_ids).any()


def _clean_or_against_a_wall(theirs: Any, before: Any, action: jax.Array, after: Any, theirs_ts: Any) -> jax.Array:
    legal = before.action_mask[jnp.arange(theirs.num_agents), action]
    return ~(after.grid == 0).any() | ~legal.all()


def _all_found(theirs: Any, before: Any, action: jax.Array, after: Any, theirs_ts: Any) -> jax.Array:
    return after.targets.found.all()


def _everybody(theirs: Any, mask: jax.Array) -> jax.Array:
    return jnp.ones(theirs.num_agents, bool)


def _can_move(theirs: Any, mask: jax.Array) -> jax.Array:
    """False for an agent that is connected or blocked: only its no-op is legal."""
    return mask[:, 1:].any(-1)


class Task(NamedTuple):
    """How one of Jumanji's environments is built, observed and ended."""

    generator: tuple[str, str]  # module and class
    generates: dict[str, Any]  # its arguments, with Jumanji's defaults
    view: Callable[[Any, Any], jax.Array]  # (theirs, observation) -> f32[A, O]
    ended: Callable[..., jax.Array]  # (theirs, before, action, after, their TimeStep) -> bool[], of a LAST step
    alive: Callable[[Any, jax.Array], jax.Array] = _everybody  # (theirs, action mask) -> bool[A]


_ROUTING = "jumanji.environments.routing"
TASKS = {
    "LevelBasedForaging-v0": Task(
        (f"{_ROUTING}.lbf.generator", "RandomGenerator"),
        {"grid_size": 8, "fov": 8, "num_agents": 2, "num_food": 2, "max_agent_level": 2, "force_coop": True},
        _agents_view,
        _no_discount,
    ),
    "RobotWarehouse-v0": Task(
        (f"{_ROUTING}.robot_warehouse.generator", "RandomGenerator"),
        {"column_height": 8, "shelf_rows": 2, "shelf_columns": 3, "num_agents": 4}
        | {"sensor_range": 1, "request_queue_size": 8},
        _agents_view,
        _collision,
    ),
    "Connector-v3": Task(
        (f"{_ROUTING}.connector.generator", "RandomWalkGenerator"),
        {"grid_size": 10, "num_agents": 10},
        _connector_boards,
        _no_discount,
        _can_move,
    ),
    "Cleaner-v0": Task(
        (f"{_ROUTING}.cleaner.generator", "RandomGenerator"),
        {"num_rows": 10, "num_cols": 10, "num_agents": 3},
        _cleaner_boards,
        _clean_or_against_a_wall,
    ),
    "SearchAndRescue-v0": Task(
        ("jumanji.environments.swarms.search_and_rescue.generator", "RandomGenerator"),
        {"num_targets": 40, "num_searchers": 2},
        _search_view,
        _all_found,
    ),
}


def task_of(member: str) -> tuple[str, dict[str, Any]]:
    """The key of `TASKS` and the generator's arguments of a member: of `RobotWarehouse-tiny-2ag`, for example,
    `RobotWarehouse-v0` and the arguments that this size stands for. Sizes are those of the original environments."""
    if member in TASKS:
        return member, TASKS[member].generates
    kind, _, size = member.partition("-")
    name = f"{kind}-v0"
    if kind == "RobotWarehouse":
        store, agents, *easy = size.split("-")
        agents = int(agents.removesuffix("ag"))
        rows = {"tiny": 1, "small": 2}[store]
        given = {"shelf_rows": rows, "num_agents": agents, "request_queue_size": agents * (2 if easy else 1)}
    else:
        sight, grid, players, food, coop = re.fullmatch(r"(?:(\d+)s-)?(\d+)x\d+-(\d+)p-(\d+)f(-coop)?", size).groups()
        given = {"grid_size": int(grid), "fov": int(sight or grid), "num_agents": int(players)}
        given |= {"num_food": int(food), "force_coop": bool(coop)}
    return name, TASKS[name].generates | given


def jumanji_env(member: str) -> Callable[..., Environment]:
    """A function that builds Jumanji's environment `member` from its options, given by keyword.

    Raises:
      ConfigError: jumanji is not installed, or has no such environment.
    """
    task, generates = task_of(member)
    factory = getattr(package("jumanji.environments"), task.rpartition("-")[0])
    if task not in package("jumanji").registered_environments():
        raise ConfigError(f"jumanji:{member}: the installed version of jumanji does not have it")
    options = [o for o in plain_options(factory) if o not in ("viewer", "generator", "reward_fn", "target_dynamics")]
    options = [o for o in options if o != "observation"]
    return taking(partial(_build, member, factory), [*options, *generates, "reward"])


def _build(member: str, factory: Callable, reward: str = "sum", **options) -> Environment:
    key, generates = task_of(member)
    name, task = f"jumanji:{member}", TASKS[key]
    check_reward(name, reward)
    module, generator = task.generator
    generates = generates | {k: v for k, v in options.items() if k in generates}
    try:
        made = getattr(package(module), generator)(**generates)
        theirs = factory(generator=made, **{k: v for k, v in options.items() if k not in task.generates})
    except AssertionError as error:
        raise ConfigError(f"{name}: {error}") from error
    if theirs.time_limit < 1:
        raise ConfigError(f"{name}: time_limit is {theirs.time_limit}, give at least 1")
    action = _action_spec(theirs.action_spec)
    shown = jax.eval_shape(lambda key: task.view(theirs, theirs.reset(key)[1].observation), jax.random.key(0))
    agents, obs_dim = shown.shape
    spec = EnvSpec(name, agents, obs_dim, agents * obs_dim, action, int(theirs.time_limit), state_is_obs=True)
    return vectorize(Adapted(spec, partial(_open, theirs, task, action), partial(_move, theirs, task, action, reward)))


def _open(theirs: Any, task: Task, action: ActionSpec, key: jax.Array) -> tuple[Any, TimeStep]:
    inner, ts = theirs.reset(key)
    no = jnp.bool_(False)
    return inner, _show(theirs, task, action, ts.observation, jnp.float32(0.0), no, no)


def _move(
    theirs: Any, task: Task, action: ActionSpec, how: str, key: jax.Array, before: Any, chosen: jax.Array
) -> tuple[Any, TimeStep]:
    after, ts = theirs.step(before, chosen)
    last = ts.last()
    terminated = last & task.ended(theirs, before, chosen, after, ts)
    reward = team_reward(ts.reward, how)
    return after, _show(theirs, task, action, ts.observation, reward, terminated, last & ~terminated)


def _show(theirs, task, action, observation, reward, terminated, truncated) -> TimeStep:
    rows = task.view(theirs, observation)
    agents = rows.shape[0]
    avail = observation.action_mask.astype(bool) if action.discrete else jnp.ones((agents, 0), bool)
    return TimeStep(
        obs=rows,
        state=rows.reshape(-1),
        avail=avail,
        alive=task.alive(theirs, avail),
        reward=reward,
        terminated=terminated,
        truncated=truncated,
        info={},
    )


def _action_spec(spec: Any) -> ActionSpec:
    if hasattr(spec, "num_values"):
        return ActionSpec(num_actions=int(np.max(spec.num_values)))
    return ActionSpec(dim=spec.shape[-1], low=float(np.min(spec.minimum)), high=float(np.max(spec.maximum)))
