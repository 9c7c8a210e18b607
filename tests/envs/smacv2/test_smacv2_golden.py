"""The interface against what the unmodified SMACv2 code gave on 439 snapshots (tests/data/smacv2_vectors)."""

from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.smacv2 import interface, outcome
from envs.smacv2.cone import directions
from envs.smacv2.memory import forget, forget_all, look, shown
from envs.smacv2.scenarios import CONE_ACTIONS, GROUND, RACES, DrawnScenario
from envs.smax.interface import Snapshot

DATA = Path(__file__).parents[2] / "data" / "smacv2_vectors"
NAMES = ("protoss_5_vs_5", "protoss_5_vs_5__conic_fov", "terran_5_vs_5", "terran_5_vs_5__epo", "zerg_5_vs_5")
each_file = pytest.mark.parametrize("name", NAMES)


@cache
def load(name):
    """(scenario, data, kind int32[N, K], units [N, K], look int32[A, K]); the axis of environments holds snapshots."""
    data = dict(np.load(DATA / f"{name}.npz"))
    race = RACES[name.partition("_")[0]]
    looks = CONE_ACTIONS if name.endswith("conic_fov") else 0
    scenario = DrawnScenario(race, 5, 5, looks)
    types = [race.types.index(unit) if unit in race.types else -1 for unit in data["unit_names"].tolist()]
    kind = jnp.asarray(np.array(types, np.int32)[data["unit_type"]].T)
    columns = {field: data[field].T for field in ("health", "shield", "cooldown", "energy")}
    units = Snapshot(data["corpse_x"].T, data["corpse_y"].T, **columns)
    facing = np.zeros((5, len(data["step"])), np.int32)
    if looks:
        facing = (data["fov"] @ directions(looks).T).argmax(-1).T.astype(np.int32)
    return scenario, data, kind, jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), units), jnp.asarray(facing)


@cache
def seen(name):
    """What our interface gives on all snapshots of a file, by one program: {what: array}.

    The memory (`finder`, `seen`) is replayed over the snapshots; `known` is what is shown of it. Rewards are those of
    the step from the snapshot before.
    """
    scenario, data, kind, units, facing = load(name)
    fresh, starts = forget_all(5, 5, 1), jnp.asarray(data["step"] == 0)
    rank = jnp.asarray(np.argsort(data["order"], axis=1).T, jnp.float32)
    last_action, scale = jnp.asarray(data["last_action"].T, jnp.int32), jnp.asarray(data["max_reward"], jnp.float32)
    epo = name.endswith("epo")

    def evaluate(kind, units, facing, rank, last_action):
        alive = units.health > 0
        sight = interface.survey(scenario, kind, units, facing)
        avail = interface.available(scenario, kind, units, sight, action_mask=not epo)

        def replay(memory, k):
            memory = forget(memory, alive[:5, k][:, None], alive[5:, k][:, None])
            memory = jax.tree.map(lambda a, b: jnp.where(starts[k], a, b), fresh, memory)
            memory, known = look(memory, sight.visible[:, 5:, k][..., None], rank[:, k][:, None], not epo)
            return memory, (jax.tree.map(lambda leaf: leaf[..., 0], memory), known[..., 0])

        _, (memories, known) = jax.lax.scan(replay, fresh, jnp.arange(len(starts)))
        rows = shown(jnp.moveaxis(known, 0, -1), bug=True)
        over, won = outcome.ending(scenario, kind, units)
        before = jax.tree.map(lambda leaf: jnp.roll(leaf, 1, axis=1), units)
        return {
            "avail": jnp.moveaxis(avail, -1, 0),
            "finder": memories.finder,
            "seen": jnp.moveaxis(memories.seen, 1, 2),
            "obs": interface.observations(scenario, kind, units, facing, sight, avail, rows),
            "state": interface.global_state(scenario, kind, units, facing, last_action),
            "over": over,
            "won": won,
            "reward": outcome.reward(scenario, kind, before, units, won, scale),
        }

    return jax.device_get(jax.jit(evaluate)(kind, units, facing, rank, last_action))


def test_the_data_hold_439_snapshots():
    assert sum(len(np.load(DATA / f"{name}.npz")["step"]) for name in NAMES) == 439
    assert sorted(path.stem for path in DATA.glob("*.npz")) == sorted((*NAMES, "draws"))


@each_file
def test_sizes(name):
    scenario, data, *_ = load(name)
    assert scenario.obs_dim == data["obs"].shape[2]
    assert scenario.state_dim == data["state"].shape[1]
    assert scenario.num_actions == data["avail"].shape[2]
    assert scenario.limit == data["episode_limit"]
    np.testing.assert_array_equal(GROUND.terrain.walkable, data["walkable"])


@each_file
def test_masks(name):
    np.testing.assert_array_equal(seen(name)["avail"], load(name)[1]["avail"])


@each_file
def test_memory(name):
    for field in ("finder", "seen"):
        np.testing.assert_array_equal(seen(name)[field], load(name)[1][field], err_msg=field)


@each_file
def test_observations(name):
    np.testing.assert_allclose(seen(name)["obs"], load(name)[1]["obs"], rtol=0, atol=1e-6)


@each_file
def test_states(name):
    np.testing.assert_allclose(seen(name)["state"], load(name)[1]["state"], rtol=0, atol=1e-6)


@each_file
def test_rewards_and_endings(name):
    scenario, data, _, units, _ = load(name)
    ours, steps = seen(name), data["step"] > 0  # nothing is returned by a reset
    np.testing.assert_allclose(ours["reward"][steps], data["reward"][steps], rtol=1e-6, atol=1e-6)
    limit = data["step"] >= scenario.limit
    np.testing.assert_array_equal((ours["over"] | limit)[steps], data["terminated"][steps])
    np.testing.assert_array_equal(ours["won"][steps], data["battle_won"][steps])
    dead = np.asarray(units.health <= 0)
    np.testing.assert_array_equal(dead[:5].sum(0)[steps], data["dead_allies"][steps])
    np.testing.assert_array_equal(dead[5:].sum(0)[steps], data["dead_enemies"][steps])


def test_the_first_enemy_team_of_a_process_scales_its_rewards():
    scenario, data, kind, *_ = load("zerg_5_vs_5")
    first = np.asarray(outcome.max_reward(scenario, kind))[data["step"] == 0]
    assert first[0] == data["max_reward"][0]
    assert (first != data["max_reward"][data["step"] == 0]).any()  # later episodes of the same process
