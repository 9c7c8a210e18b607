"""SMACv2 as an environment: the contract, what a restart keeps, random battles with invariants, and options."""

from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.check import check_env
from envs.errors import ConfigError
from envs.registry import make_env
from envs.rendering import Episode, frames
from envs.smacv2.rendering import fields_of_view
from envs.smacv2.scenarios import get_scenario
from envs.smacv2.scripted import attack_nearest
from envs.smax.scripted import random_legal

ENVS = 32


@cache
def environment(name="terran_5_vs_5", **options):
    return make_env(f"smacv2:{name}", **options)


@cache
def battles(name, steps=60):
    """(states, timesteps, actions) of random battles, leaves [steps + 1, ...]; episodes restart."""
    env = environment(name)

    def body(carry, key):
        state, timestep = carry
        k_act, k_step, k_restart = jax.random.split(key, 3)
        action = random_legal(timestep, k_act)
        state, after = env.step(k_step, state, action)
        begun = env.restart(k_restart, state, after, after.boundary)
        return begun, (state, after, action, begun)

    start = env.reset(jax.random.key(0), ENVS)
    _, played = jax.jit(lambda: jax.lax.scan(body, start, jax.random.split(jax.random.key(1), steps)))()
    return jax.device_get(start), jax.device_get(played)


@pytest.mark.slow
def test_it_keeps_the_contract():
    check_env(environment())


@pytest.mark.parametrize("name", ["protoss_5_vs_5", "terran_5_vs_5", "zerg_5_vs_5"])
def test_random_battles(name):
    (state, first), (states, after, action, begun) = battles(name)
    race = environment(name).scenario.race
    most = {field: np.array([getattr(unit, field) for unit in race.units]) for field in ("hp", "shield", "max_energy")}
    kind = states.kind
    for field, limit in (("health", "hp"), ("shield", "shield"), ("energy", "max_energy")):
        values = getattr(states.battle, field)
        assert (values >= 0).all() and (values <= most[limit][kind] + 1e-3).all(), field
    air = np.array([unit.air for unit in race.units])[kind]
    inner = np.array([unit.inner for unit in race.units])[kind]
    for place in (states.battle.x, states.battle.y):
        assert np.isfinite(place).all() and (place >= 0).all() and (place <= 32).all()
        assert (place >= 2 + inner - 1e-4)[~air].all() and (place <= 30 - inner + 1e-4)[~air].all()
    assert np.isfinite(after.obs).all() and (np.abs(after.obs) <= 1.01).all()
    over = after.terminated | after.truncated
    assert after.terminated.sum() > 10 and (after.reward >= 0).all()
    # Types stay the same within an episode, teams differ between episodes.
    previous = np.concatenate([state.kind[None], begun[0].kind[:-1]])
    np.testing.assert_array_equal(kind, previous)
    assert (begun[0].kind != kind).any(axis=1)[over].mean() > 0.5
    # The enemies' team is the agents', in another order.
    ours, theirs = begun[0].kind[:, :5], begun[0].kind[:, 5:]
    np.testing.assert_array_equal(np.sort(ours, axis=1), np.sort(theirs, axis=1))
    np.testing.assert_array_equal(np.sort(ours, axis=1), ours)  # SMACv2 sorts agents by type
    # The first enemy team of an environment scales its rewards.
    np.testing.assert_array_equal(begun[0].scale, np.broadcast_to(state.scale, begun[0].scale.shape))
    assert (first.reward == 0).all()


def test_enemies_come_from_everywhere():
    """Agents that never move are attacked in nearly every battle before step 40."""
    env = environment("protoss_5_vs_5")
    state, timestep = env.reset(jax.random.key(2), ENVS)
    start = np.asarray(state.battle.health + state.battle.shield)[:5].sum(axis=0)
    for number in range(40):
        state, timestep = env.step(jax.random.key(number), state, timestep.alive.astype(jnp.int32))
    left = np.asarray(state.battle.health + state.battle.shield)[:5].sum(axis=0)
    assert (left < start).mean() > 0.95


def test_a_restart_leaves_the_other_battles_alone():
    env = environment("protoss_5_vs_5")
    state, timestep = env.reset(jax.random.key(0), ENVS)
    state, timestep = env.step(jax.random.key(1), state, random_legal(timestep, jax.random.key(2)))
    where = jnp.arange(ENVS) % 2 == 0
    new_state, new_timestep = env.restart(jax.random.key(3), state, timestep, where)
    for old, new in zip(jax.tree.leaves(timestep), jax.tree.leaves(new_timestep), strict=True):
        np.testing.assert_allclose(new[~where], old[~where], atol=1e-6)
    np.testing.assert_array_equal(new_state.kind[:, ~where], state.kind[:, ~where])
    assert new_state.steps.tolist() == [0, 1] * (ENVS // 2)
    assert not np.asarray(new_timestep.reward[where]).any()


def test_the_bug_blanks_rows_and_fixes_the_scale():
    """With it rows are missing in the same battles, and a restart keeps the scale."""
    env = environment("protoss_5_vs_5")
    fixed = environment("protoss_5_vs_5", smacv2_bug=False)
    (state, timestep), (_, right) = (each.reset(jax.random.key(5), ENVS) for each in (env, fixed))
    for number in range(8):
        action = timestep.alive.astype(jnp.int32)
        state, timestep = env.step(jax.random.key(number), state, action)
    sound = fixed.restart(jax.random.key(0), state, timestep, jnp.zeros(ENVS, bool))[1]
    rows, sound_rows = (np.asarray(each.obs)[..., 4:49].reshape(ENVS, 5, 5, 9) for each in (timestep, sound))
    shown, sound_shown = rows.any(axis=-1), sound_rows.any(axis=-1)
    assert (shown <= sound_shown).all() and shown.sum() < 0.95 * sound_shown.sum()
    np.testing.assert_array_equal(rows[shown], sound_rows[shown])
    np.testing.assert_array_equal(
        np.asarray(right.obs)[..., 49:], np.asarray(env.reset(jax.random.key(5), ENVS)[1].obs)[..., 49:]
    )
    everybody = jnp.ones(ENVS, bool)
    assert (fixed.restart(jax.random.key(1), state, timestep, everybody)[0].scale != state.scale).any()


def test_attack_nearest_wins_more_than_random():
    env = environment("protoss_5_vs_5")
    aims = jnp.arange(256)[:, None] < 128  # the other battles are played at random

    @jax.jit
    def play(key):
        def body(carry, key):
            state, timestep, won = carry
            action = jnp.where(aims, attack_nearest(env.scenario, timestep), random_legal(timestep, key))
            state, timestep = env.step(key, state, action)
            return (state, timestep, won | timestep.info["won"]), None

        start = (*env.reset(jax.random.key(0), 256), jnp.zeros(256, bool))
        return jax.lax.scan(body, start, jax.random.split(key, 100))[0][2]

    won = np.asarray(play(jax.random.key(1)))
    assert won[:128].mean() > 0.15 and won[128:].mean() < 0.1


def test_the_epo_setting_offers_targets_at_any_distance():
    env = environment("terran_5_vs_5", prob_obs_enemy=0.0, action_mask=False)
    state, timestep = env.reset(jax.random.key(0), ENVS)
    healer = np.asarray(state.kind[:5] == 2).T
    attack = np.asarray(timestep.avail)[..., 6:]
    assert attack[~healer].all()  # all enemies live
    np.testing.assert_array_equal(attack[healer], (~healer)[np.nonzero(healer)[0]])


def test_a_battle_is_drawn():
    env = environment("terran_5_vs_5", prob_obs_enemy=0.0, action_mask=False)
    state, timestep = env.reset(jax.random.key(0), ENVS)
    images = frames(env, Episode([state], [timestep], []), 0, width=320)
    assert len(images) == 1 and images[0].size[0] == 320


def test_cones_are_drawn_with_their_extra_pieces():
    """Specification 5, with 12 directions: looks 0, 1, 3, 4, 6 are 0, 30, 90, 120, 180 degrees; the last agent's type
    is a zealot, whose sight is 9, the others are stalkers and a colossus."""
    scenario = replace(get_scenario("protoss_5_vs_5"), looks=12)
    look, kind = np.array([0, 1, 3, 4, 6])[:, None], np.array([0, 1, 1, 1, 2] * 2)[:, None]
    found = [[] for _ in range(5)]
    for sector in fields_of_view(scenario, SimpleNamespace(look=look, kind=kind), 0):
        found[sector.agent].append((sector.start % 360, sector.stop % 360))
        assert sector.radius == (9.0 if sector.agent == 4 else 10.0)
    both = {(345.0, 15.0), (165.0, 195.0)}
    assert [set(pieces) for pieces in found] == [
        both, {(15.0, 45.0), (90.0, 105.0)}, {(75.0, 105.0)}, {(105.0, 135.0), (75.0, 90.0)}, both
    ]  # fmt: skip
    assert [len(pieces) for pieces in found] == [2, 2, 1, 2, 2]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"prob_obs_enemy": 1.5}, "prob_obs_enemy=1.5: give a probability"),
        ({"obs_last_action": True}, "does not take these options: obs_last_action"),
        ({"rules": "nobody"}, "unknown rules 'nobody'"),
        ({"reward": "often"}, "reward"),
    ],
)
def test_wrong_options_are_one_line(options, message):
    with pytest.raises(ConfigError, match=message):
        make_env("smacv2:protoss_5_vs_5", **options)


def test_an_unknown_scenario_is_one_line():
    with pytest.raises(ConfigError, match="did you mean 'smacv2:protoss_5_vs_5'"):
        make_env("smacv2:protos_5_vs_5")
