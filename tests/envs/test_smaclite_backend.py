"""SMAClite behind SMAC's interface: what the adapter shows of a battle is what our own interface shows of it."""

import jax.numpy as jnp
import numpy as np
import pytest

from envs.errors import ConfigError
from envs.smac_backend.arena import Arena
from envs.smac_backend.checks import check_game
from envs.smac_backend.host import Host
from envs.smac_backend.smaclite import BACKEND, make_game, make_noisy_game
from envs.smax import interface
from envs.smax.scenarios import NUM_COMMON_ACTIONS, get_scenario

pytest.importorskip("smaclite", reason="SMAClite is not installed: its battles are not compared with our interface")

MAPS = ("3m", "2s3z", "MMM", pytest.param("3s5z", marks=pytest.mark.slow), pytest.param("MMM2", marks=pytest.mark.slow))


def snapshot(game):
    """The units of a SMAClite battle in our order, [N, 1]. A cooldown is in its seconds, of 16 ticks or loops."""
    env = game._env
    ids = [(env.agents, i) for i in game._agents] + [(env.enemies, i) for i in game._enemies]
    units = [side.get(int(i)) for side, i in ids]
    rows = [
        (*unit.pos, unit.hp, unit.shield, unit.cooldown * 16, unit.energy) if unit else (0.0,) * 6 for unit in units
    ]
    return interface.Snapshot(*(jnp.asarray(column, jnp.float32)[:, None] for column in zip(*rows, strict=True)))


def random_actions(rng, avail, attack):
    """A legal action each; an attack with the chance `attack` where there is one."""
    actions = []
    for row in avail:
        legal = np.flatnonzero(row)
        shots = legal[legal >= NUM_COMMON_ACTIONS]
        actions.append(int(rng.choice(shots if len(shots) and rng.random() < attack else legal)))
    return actions


def battle(name, seed, steps):
    """Yields (game, last actions or None, outcome or None) of a battle, through its first end."""
    rng, game = np.random.default_rng(seed), make_game(name, seed=seed)
    game.reset()
    yield game, None, None
    for _ in range(steps):
        actions = random_actions(rng, game.get_avail_actions(), 0.8)
        outcome = game.step(actions)
        yield game, actions, outcome
        if outcome[1]:
            return


@pytest.mark.parametrize("name", MAPS)
def test_shows_what_our_interface_shows(name):
    """Observations, state and masks, value by value, but for the masks of moves at the western edge."""
    scenario, seen = get_scenario(name), 0
    agents = scenario.num_allies
    for game, actions, _ in battle(name, 3, 30):
        units = snapshot(game)
        last = np.full(agents, -1) if actions is None else np.array(actions)
        ours = interface.observe(scenario, units, jnp.asarray(last, jnp.int32)[:, None])
        avail, obs = np.array(ours.avail[0]), np.array(ours.obs[0])
        x = np.asarray(units.x[:agents, 0])
        for move, edge in ((2, 0.0), (3, 0.0), (5, 1.0)):  # its units are pushed off the map, and only come back east
            avail[x < edge, move], obs[x < edge, move - 2] = False, 0.0
        np.testing.assert_array_equal(game.get_avail_actions() == 1, avail)
        np.testing.assert_allclose(game.get_obs(), obs, atol=2e-6)
        np.testing.assert_allclose(game.get_state(), np.asarray(ours.state[0]), atol=2e-6)
        assert game.alive() == (np.asarray(units.health[:agents, 0]) > 0).tolist()
        seen += int(avail[:, NUM_COMMON_ACTIONS:].sum())
    assert seen > 0  # somebody met somebody


def test_order_of_agents_and_targets():
    """MMM: marauders, marines, medivac here; medivac, marines, marauders there."""
    game = make_game("MMM", seed=0)
    game.reset()
    env = game._env
    names = [env.agents[int(i)].type.stats.name for i in game._agents]
    assert names == ["marauder"] * 2 + ["marine"] * 7 + ["medivac"]
    names = [env.enemies[int(i)].type.stats.name for i in game._enemies]
    assert names == ["marine"] * 7 + ["marauder"] * 2 + ["medivac"]
    env.agents[int(game._agents[0])].hp = 60
    game.step([1] * 9 + [6])  # the medivac heals our agent 0
    healed = {unit.id_in_faction: unit.hp for unit in env.agents.values() if unit.hp not in (45, 125, 150)}
    assert healed == {int(game._agents[0]): 60 + 8 * 9 / 16}


def test_ends_by_smacs_rules():
    game = make_game("MMM", seed=0)
    game.reset()
    for unit in game._env.enemies.values():
        unit.hp = 150 if unit.type.stats.name == "medivac" else 0
    _, terminated, info = game.step([1] * 10)
    assert terminated and info == {"battle_won": True, "dead_allies": 0, "dead_enemies": 9}
    game.reset()
    for unit in game._env.agents.values():
        unit.hp = 150 if unit.type.stats.name == "medivac" else 0
    game._env._SMACliteEnv__update_deaths()
    _, terminated, info = game.step([0] * 9 + [1])
    assert terminated and not info["battle_won"] and info["dead_allies"] == 9


def test_time_limit_and_cleared_actions():
    """3m: 60 steps far from the enemy, then over; a reset clears the last actions, which SMAClite keeps."""
    game = make_game("3m", seed=0)
    game.reset()
    for unit in game._env.enemies.values():
        unit.max_velocity = 0.0
    ends = [game.step([1, 1, 1])[1] for _ in range(60)]
    assert ends == [False] * 59 + [True]
    last = game.get_state()[-3 * 9 :].reshape(3, 9)
    np.testing.assert_array_equal(last, np.eye(9)[[1, 1, 1]])
    game.reset()
    assert not game.get_state()[-3 * 9 :].any()


@pytest.mark.parametrize("name", ["3m", "8m", "2s3z", "MMM2"])
def test_passes_the_arenas_checks(name):
    host = Host(BACKEND, name, {"seed": 1, "replay_prefix": "x"})
    moment, facts = host.reset()
    check_game("smaclite", get_scenario(name), moment, facts)
    assert {"n_actions", "obs_shape", "state_shape", "max_reward", "pathing_grid"} <= set(facts)


def test_plays_in_the_arena():
    """Everybody attacks what is first in reach and else walks east: a whole episode, no illegal action."""

    def act(carry, timestep, first):
        shots = timestep.avail[..., NUM_COMMON_ACTIONS:]
        walk = np.where(timestep.avail[..., 4], 4, np.where(timestep.alive, 1, 0))
        return carry, np.where(shots.any(-1), NUM_COMMON_ACTIONS + shots.argmax(-1), walk)

    episodes = []
    with Arena(BACKEND, "3m", games=0) as arena:
        arena.play(act, None, 1, episodes.append)
        assert arena.discarded == arena.replaced == 0
    assert len(episodes) == 1 and episodes[0].length > 5
    assert episodes[0].won == (episodes[0].dead_enemies == 3)


def test_maps_it_cannot_play():
    with pytest.raises(ConfigError, match="no hydralisk"):
        make_game("6h_vs_8z")


def test_noise_moves_every_unit_a_little():
    """At most 0.1 cells along each axis; other places at each reset, the same with the same seed."""
    places = []
    for game in (make_game("3m"), make_noisy_game("3m", seed=5), make_noisy_game("3m", seed=5)):
        for _ in range(2):
            game.reset()
            places.append(np.array([unit.pos for unit in game._env.all_units.values()]))
            assert np.isfinite(game.get_obs()).all()
    plain, again, first, second, same, _ = places
    np.testing.assert_array_equal(plain, again)
    np.testing.assert_array_equal(first, same)
    for noisy in (first, second):
        off = np.abs(noisy - plain)
        assert 0.0 < off.min() and off.max() <= 0.1 + 1e-6
    assert np.abs(first - second).max() > 0.01
