"""Jumanji's environments as ours: the contract, the views, and step by step what Jumanji itself does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.adapters.jumanji import task_of
from envs.base import ConfigError
from envs.check import check_env
from envs.registry import make_env
from tests.helpers.by_hand import Original, agree

SMALL = {
    "LevelBasedForaging-v0": {"grid_size": 6, "fov": 2, "num_agents": 3, "num_food": 1, "time_limit": 12},
    "RobotWarehouse-v0": {"column_height": 2, "shelf_rows": 1, "num_agents": 3, "request_queue_size": 3}
    | {"time_limit": 12},
    "Connector-v3": {"grid_size": 5, "num_agents": 2, "time_limit": 8},
    "Cleaner-v0": {"num_rows": 4, "num_cols": 4, "num_agents": 2, "time_limit": 9},
    "SearchAndRescue-v0": {"num_targets": 3, "time_limit": 6},
}


def original(name):
    from jumanji import environments
    from jumanji.environments.routing import connector, lbf, robot_warehouse

    options = dict(SMALL[name])
    limit = options.pop("time_limit")
    if name == "LevelBasedForaging-v0":
        made = lbf.generator.RandomGenerator(**options, max_agent_level=2, force_coop=True)
    elif name == "RobotWarehouse-v0":
        made = robot_warehouse.generator.RandomGenerator(**options, shelf_columns=3, sensor_range=1)
    else:
        made = connector.generator.RandomWalkGenerator(**options)
    return getattr(environments, name.rpartition("-")[0])(generator=made, time_limit=limit)


def hand(theirs, view, ended):
    """`reset` and `step` of the original; `ended(state, ts)` says whether its last step was a true end."""
    reset_one, step_one = jax.jit(theirs.reset), jax.jit(theirs.step)

    def reset(key):
        inner, ts = reset_one(key)
        return Original((inner, ts), view(ts.observation))

    def step(key, original, action):
        inner, ts = step_one(original.inner[0], action)
        last, true_end = bool(ts.last()), bool(ended(inner, ts))
        reward = float(np.sum(ts.reward))
        return Original((inner, ts), view(ts.observation), reward, last and true_end, last and not true_end)

    return reset, step


def legal(original, ts, e):
    assert np.array_equal(ts.avail[e], original.inner[1].observation.action_mask)


def in_one_cell(inner, ts):
    cells = np.stack([np.asarray(inner.agents.position.x), np.asarray(inner.agents.position.y)], axis=1)
    return len(np.unique(cells, axis=0)) < len(cells)


def discount_is_zero(inner, ts):
    return not np.asarray(ts.discount).any()


def boards_of(grid, agents):
    """The six boards of each agent, cell by cell."""
    grid = np.asarray(grid)
    boards = np.zeros((agents, 6, *grid.shape), np.float32)
    for (row, column), value in np.ndenumerate(grid):
        if value:
            owner, kind = divmod(value - 1, 3)
            for agent in range(agents):
                boards[agent, kind + 3 * (owner != agent), row, column] = 1.0
    return boards


@pytest.mark.parametrize(
    "name, view, ended",
    [
        pytest.param(
            "LevelBasedForaging-v0", lambda obs: list(obs.agents_view), discount_is_zero, marks=pytest.mark.slow
        ),
        ("RobotWarehouse-v0", lambda obs: list(obs.agents_view), in_one_cell),
        ("Connector-v3", lambda obs: list(boards_of(obs.grid, 2)), discount_is_zero),
    ],
)
def test_steps_as_jumanji_does(name, view, ended):
    env = make_env(f"jumanji:{name}", **SMALL[name])
    assert env.spec.horizon == SMALL[name]["time_limit"]
    counts = agree(env, *hand(original(name), view, ended), legal, steps=40)
    assert counts.truncated >= 1
    assert counts.terminated >= (name != "LevelBasedForaging-v0")  # three of one food do not meet by chance


def test_keeps_the_contract():
    name = "LevelBasedForaging-v0"
    check_env(make_env(f"jumanji:{name}", **SMALL[name]), num_envs=2)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SMALL if name != "LevelBasedForaging-v0"])
def test_the_others_keep_the_contract(name):
    check_env(make_env(f"jumanji:{name}", **SMALL[name]), num_envs=2)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_they_keep_the_contract_as_jumanji_makes_them(name):
    check_env(make_env(f"jumanji:{name}"), num_envs=2, steps=30)


@pytest.mark.parametrize(
    "size, obs_dim, generator",
    [
        # x, y, level of 2 players and 2 foods; those of 4 and 5
        ("LevelBasedForaging-2s-8x8-2p-2f-coop", 12, {"grid_size": 8, "fov": 2, "num_food": 2, "force_coop": True}),
        ("LevelBasedForaging-15x15-4p-5f", 27, {"grid_size": 15, "fov": 15, "num_food": 5, "force_coop": False}),
        ("RobotWarehouse-tiny-2ag", 66, {"shelf_rows": 1, "shelf_columns": 3, "request_queue_size": 2}),
        ("RobotWarehouse-small-4ag-easy", 66, {"shelf_rows": 2, "shelf_columns": 3, "request_queue_size": 8}),
    ],
)
def test_a_size_stands_for_arguments_of_the_generator(size, obs_dim, generator):
    task, made = task_of(size)
    assert task in SMALL and made | generator == made
    spec = make_env(f"jumanji:{size}").spec
    assert (spec.num_agents, spec.obs_dim) == (made["num_agents"], obs_dim)


def test_options_change_what_a_size_says():
    assert make_env("jumanji:LevelBasedForaging-8x8-2p-2f-coop", num_agents=3).spec.num_agents == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "size, generator",
    [
        ("LevelBasedForaging-2s-8x8-2p-2f-coop", {"grid_size": 8, "fov": 2, "num_agents": 2, "num_food": 2}),
        ("LevelBasedForaging-15x15-4p-5f", {"grid_size": 15, "fov": 15, "num_agents": 4, "num_food": 5}),
        ("RobotWarehouse-tiny-2ag", {"shelf_rows": 1, "num_agents": 2, "request_queue_size": 2}),
        ("RobotWarehouse-small-4ag-easy", {"shelf_rows": 2, "num_agents": 4, "request_queue_size": 8}),
    ],
)
def test_a_size_is_the_environment_of_the_generator_it_stands_for(size, generator):
    """Its first time steps are those of Jumanji's own environment with these arguments."""
    from jumanji import environments
    from jumanji.environments.routing import lbf, robot_warehouse

    if size.startswith("Level"):
        made = lbf.generator.RandomGenerator(**generator, max_agent_level=2, force_coop=size.endswith("coop"))
        theirs = environments.LevelBasedForaging(generator=made)
    else:
        store = {"column_height": 8, "shelf_columns": 3, "sensor_range": 1}
        theirs = environments.RobotWarehouse(generator=robot_warehouse.generator.RandomGenerator(**generator, **store))
    env, key = make_env(f"jumanji:{size}"), jax.random.key(5)
    assert (env.spec.num_agents, env.spec.horizon) == (generator["num_agents"], theirs.time_limit)
    inner, opened = theirs.reset(jax.random.split(key, 1)[0])
    state, ts = env.reset(key, 1)
    assert np.array_equal(ts.obs[0], opened.observation.agents_view) and np.array_equal(
        ts.avail[0], opened.observation.action_mask
    )
    assert all(np.array_equal(ours[0], leaf) for ours, leaf in zip(*map(plain, (state.inner, inner)), strict=True))


def plain(state):
    """Its leaves that are not keys."""
    leaves = jax.tree.leaves(state)
    return [leaf for leaf in leaves if not jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)]


def test_foraging_ends_when_the_last_food_is_eaten():
    """Agents of level 1 and 1 next to a food of level 2: LOAD (action 5) by both eats it, with a total reward of 1."""
    env = make_env("jumanji:LevelBasedForaging-v0", num_food=1, num_agents=2, grid_size=5, fov=5)
    state, _ = env.reset(jax.random.key(0), 1)
    inner = state.inner
    position, level = jnp.array([[[1, 2], [3, 2]]], jnp.int32), jnp.array([[1, 1]], jnp.int32)
    inner.agents.position, inner.agents.level = position, level
    inner.food_items.position, inner.food_items.level = jnp.array([[[2, 2]]], jnp.int32), jnp.array([[2]], jnp.int32)
    step = jax.jit(env.step)
    for action, terminated, paid in (([5, 0], False, 0.0), ([5, 5], True, 1.0), ([5, 5], True, 0.0)):
        state, ts = step(jax.random.key(1), state, jnp.array([action], jnp.int32))
        assert (bool(ts.terminated[0]), bool(ts.truncated[0])) == (terminated, False)
        assert float(ts.reward[0]) == pytest.approx(paid)


def test_a_connected_agent_is_out_of_it():
    """An agent with only the no-op left is not alive; all others are alive."""
    env = make_env("jumanji:Connector-v3", **SMALL["Connector-v3"])
    state, ts = env.reset(jax.random.key(0), 8)
    step = jax.jit(env.step)
    for t in range(6):
        action = jnp.where(ts.avail[..., 1:].any(-1), ts.avail[..., 1:].argmax(-1) + 1, 0).astype(jnp.int32)
        state, ts = step(jax.random.key(t), state, action)
        assert np.array_equal(ts.alive, np.asarray(ts.avail)[..., 1:].any(-1))
    assert not ts.alive.all() and ts.avail[..., 0].all()


@pytest.mark.parametrize(
    "name, options, text",
    [
        ("jumanji:Connector-v2", {}, "did you mean 'jumanji:Connector-v3'"),
        ("jumanji:LevelBasedForaging-v0", {"grid_size": 3}, "Grid size must be greater than 5"),
        ("jumanji:Connector-v3", {"viewer": 1}, r"does not take these options: viewer \(it takes grid_size, num_a"),
        ("jumanji:RobotWarehouse-tiny-3ag", {}, "did you mean 'jumanji:RobotWarehouse-tiny-4ag'"),
        ("jumanji:Connector-v3", {"time_limit": 0}, "time_limit is 0, give at least 1"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(name, options, text):
    with pytest.raises(ConfigError, match=text) as error:
        make_env(name, **options)
    assert "\n" not in str(error.value)
