"""SMAC's class played by our engine: its arguments, return values and errors, and E battles at once."""

import inspect
import warnings

import numpy as np
import pytest

from envs.numpy_env import NumpyEnv
from envs.smac_compat import MultiAgentEnv, StarCraft2Env, VectorStarCraft2Env
from envs.smac_compat.units import TYPE_IDS
from envs.smax.spawn import spawn
from envs.smax.units import UNITS
from tests.helpers.scripted_smac import attack_first


@pytest.fixture(scope="module")
def marines():
    """Three marines, before their first battle."""
    return StarCraft2Env(map_name="3m", seed=1)


def play(env):
    """A battle; (sum of rewards, steps, last info)."""
    env.reset()
    total, steps, over, info = 0.0, 0, False, {}
    while not over:
        reward, over, info = env.step(attack_first(env.get_avail_actions()))
        total, steps = total + reward, steps + 1
    return total, steps, info


def test_arguments_are_smacs():
    """`oxwhirl/smac` (d6aab33): order and defaults."""
    parameters = inspect.signature(StarCraft2Env).parameters
    assert list(parameters)[:7] == [
        "map_name", "step_mul", "move_amount", "difficulty", "game_version", "seed", "continuing_episode",
    ]  # fmt: skip
    assert len(parameters) == 32 and list(parameters)[-2:] == ["debug", "options"]
    assert StarCraft2Env("3m", 8, 2, "A", "4.10").map_name == "3m"  # by position; the last two have no effect
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            from smac.env import StarCraft2Env as Theirs
    except Exception as missing:  # absent, or the unrelated package of that name
        pytest.skip(f"compared with SMAC's own where it is installed ({type(missing).__name__})")
    theirs = {name: entry.default for name, entry in inspect.signature(Theirs).parameters.items()}
    assert {name: entry.default for name, entry in parameters.items() if name != "options"} == theirs


def test_what_is_known_before_a_battle():
    env = StarCraft2Env(map_name="2s3z")
    assert env.get_env_info() == {
        "state_shape": 120,
        "obs_shape": 80,
        "n_actions": 11,
        "n_agents": 5,
        "episode_limit": 120,
        "agent_features": ["health", "energy/cooldown", "rel_x", "rel_y", "shield", "type_0", "type_1"],
        "enemy_features": ["health", "rel_x", "rel_y", "shield", "type_0", "type_1"],
    }
    assert (env.n_enemies, env.max_reward, env.map_type, env.unit_type_bits) == (5, 1020.0, "stalkers_and_zealots", 2)
    # The parts of an observation: 4 + 5 x 8 + 4 x 8 + 4 = 80.
    assert (env.get_obs_move_feats_size(), env.get_obs_own_feats_size()) == (4, 4)
    assert (env.get_obs_enemy_feats_size(), env.get_obs_ally_feats_size()) == ((5, 8), (4, 8))
    assert (env.unit_shoot_range(0), env.unit_sight_range(0)) == (6.0, 9.0)
    assert isinstance(env, MultiAgentEnv) and env.get_stats()["win_rate"] == 0.0


def test_kinds_of_what_is_returned(marines):
    obs, state = marines.reset()
    assert [row.shape for row in obs] == [(30,)] * 3 and state.shape == (48,)
    assert obs[0].dtype == state.dtype == np.float32
    assert marines.get_avail_actions() == [[0, 1, 1, 1, 1, 1, 0, 0, 0]] * 3
    assert marines.get_avail_agent_actions(2) == [0, 1, 1, 1, 1, 1, 0, 0, 0]
    np.testing.assert_array_equal(marines.get_obs_agent(1), marines.get_obs()[1])
    reward, terminated, info = marines.step(np.array([4, 1, 1]))  # east, stop, stop
    assert (type(reward), type(terminated), reward, terminated) == (float, bool, 0.0, False)
    assert info == {"battle_won": False, "dead_allies": 0, "dead_enemies": 0}
    parts = marines.get_state_dict()
    assert parts["last_action"].tolist() == marines.last_action.tolist() == np.eye(9)[[4, 1, 1]].tolist()
    # State rows of agents: health, cooldown, x and y from the centre in map sizes.
    unit = marines.get_unit_by_id(0)
    assert (unit.health, unit.health_max, unit.unit_type, unit.owner) == (45.0, 45.0, 48, 1)
    expected = [1.0, 0.0, (unit.pos.x - 16) / 32, (unit.pos.y - 16) / 32]
    np.testing.assert_allclose(parts["allies"][0], expected, atol=1e-6)
    # Side by side, the marines see each other, and enemies 14 away see nobody.
    assert marines.get_visibility_matrix().astype(int).tolist() == [
        [0, 1, 1, 0, 0, 0], [1, 0, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0],
    ]  # fmt: skip


@pytest.fixture(scope="module")
def easy():
    """Arguments of battles of 3m in which every enemy has one point of health, so that whoever shoots wins."""

    def weak(*args, **options):
        battle = spawn(*args, **options)
        return battle._replace(health=battle.health.at[3:].set(1.0))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("envs.smax.env.spawn", weak)
        yield {"map_name": "3m", "rules": "smac"}  # the default's name: other options, so an engine of its own


def test_victories(easy):
    env = StarCraft2Env(seed=2, **easy)
    for count in (1, 2):
        total, steps, info = play(env)
        assert info == {"battle_won": True, "dead_allies": 0, "dead_enemies": 3} and steps < 20
        assert total == pytest.approx((3 * 1 + 3 * 10 + 200) / (365 / 20), abs=1e-5)
        stats = {"battles_won": count, "battles_game": count, "battles_draw": 0, "win_rate": 1.0}
        assert env.get_stats() == stats | {"timeouts": 0, "restarts": 0}
    assert env.death_tracker_enemy.tolist() == [1, 1, 1] and env.death_tracker_ally.tolist() == [0, 0, 0]


def test_options_reach_the_engine(easy):
    assert play(StarCraft2Env(seed=2, reward_sparse=True, reward_scale=False, **easy))[0] == 1.0


@pytest.mark.parametrize(
    ("options", "obs", "state"),
    [
        ({"obs_all_health": False}, 62, 120),
        ({"obs_all_health": False, "obs_own_health": False}, 60, 120),
        ({"obs_last_action": True, "state_last_action": False}, 124, 65),
        ({"obs_instead_of_state": True, "state_last_action": True}, 80, 400),  # the default, given: as if it were not
        ({"state_timestep_number": True}, 80, 121),
    ],
)
def test_sizes_under_options(options, obs, state):
    env = StarCraft2Env(map_name="2s3z", **options)
    assert (env.get_obs_size(), env.get_state_size()) == (obs, state)
    enemies, allies = env.get_obs_enemy_feats_size(), env.get_obs_ally_feats_size()
    others = enemies[0] * enemies[1] + allies[0] * allies[1]
    assert env.get_obs_move_feats_size() + others + env.get_obs_own_feats_size() == obs


def test_every_type_has_its_id():
    assert UNITS.keys() <= TYPE_IDS.keys() and len(set(TYPE_IDS.values())) == len(TYPE_IDS)


def test_defeats(marines):
    """Nobody shoots."""
    marines.reset()
    over = False
    while not over:
        _, over, info = marines.step([1 if unit.health > 0 else 0 for unit in marines.agents.values()])
    assert (
        info == {"battle_won": False, "dead_allies": 3, "dead_enemies": 0} and marines.get_stats()["battles_won"] == 0
    )
    assert marines.get_avail_actions() == [[1] + [0] * 8] * 3 and not np.any(marines.get_obs())
    assert marines.death_tracker_ally.tolist() == [1, 1, 1] and not marines.get_visibility_matrix().any()


def test_the_same_seed_gives_the_same_battles():
    first, second = (play(StarCraft2Env(map_name="3m", seed=7)) for _ in range(2))
    assert first == second and StarCraft2Env(map_name="3m", seed=7).seed() == 7


def test_a_time_out(monkeypatch):
    env = StarCraft2Env(map_name="3m", seed=0, continuing_episode=True)
    step = NumpyEnv.step
    monkeypatch.setattr(NumpyEnv, "step", lambda game, act: step(game, act)._replace(truncated=np.array([True])))
    env.reset()
    assert env.step([1, 1, 1])[1:] == (
        True,
        {"battle_won": False, "dead_allies": 0, "dead_enemies": 0, "episode_limit": True},
    )
    assert env.get_stats()["timeouts"] == env.get_stats()["battles_draw"] == 1
    env.continuing_episode = False
    env.reset()
    assert "episode_limit" not in env.step([1, 1, 1])[2]
    with pytest.raises(AssertionError, match="the episode is over"):
        env.step([1, 1, 1])


def test_a_replay_and_an_image(tmp_path, marines):
    env = StarCraft2Env(map_name="3m", seed=0, replay_dir=str(tmp_path / "replays"), replay_prefix="first")
    with pytest.raises(AssertionError, match="no replay"):
        env.save_replay()
    env.reset()
    env.step([4, 4, 4])
    env.step([1, 1, 1])
    image = env.render()
    env.reset()  # the latest episode with steps is kept
    env.save_replay()
    (gif,) = (tmp_path / "replays").iterdir()
    assert gif.name.startswith("first_") and gif.suffix == ".gif"
    from PIL import Image

    assert Image.open(gif).n_frames == 3 and image.shape[2] == 3 and image.std() > 10


def test_many_battles_at_once(easy):
    env = VectorStarCraft2Env(8, seed=0, **easy)
    view, ends = env.reset(), 0
    assert view.obs.shape == (8, 3, 30) and view.state.shape == (8, 48) and view.avail.shape == (8, 3, 9)
    for _ in range(40):
        view, reward, over, info = env.step(attack_first(view.avail))
        assert reward.shape == over.shape == (8,) and ("final_obs" in info) == bool(over.any())
        assert (info["battle_won"] == over).all() and (info["dead_enemies"][over] == 3).all()
        ends += over.sum()
        if over.any():  # new battles: full health, no last action; and the last moment of the old ones
            fresh, last = (env.split_state(state[over]) for state in (view.state, info["final_state"]))
            assert (fresh["allies"][..., 0] == 1.0).all() and not fresh["last_action"].any()
            assert (last["last_action"].sum((1, 2)) == 3).all() and not last["enemies"].any()
            assert info["final_obs"].shape == view.obs.shape
    assert ends >= 16


def test_one_of_many_is_the_same_battle():
    single, vector = StarCraft2Env(map_name="3m", seed=3), VectorStarCraft2Env(1, "3m", seed=3, device="cpu")
    _, state = single.reset()
    np.testing.assert_array_equal(vector.reset().state[0], state)
    for _ in range(10):
        actions = attack_first(single.get_avail_actions())
        reward, *_ = single.step(actions)
        view, rewards, over, _ = vector.step([actions])
        assert rewards.tolist() == [reward] and not over[0]
        np.testing.assert_array_equal(view.obs[0], single.get_obs())
