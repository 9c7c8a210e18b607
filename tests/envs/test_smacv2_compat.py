"""SMACv2's wrapper played by our engine: the arguments of its yaml files, sizes, the scale of its rewards."""

import copy

import numpy as np
import pytest

from envs.errors import ConfigError
from envs.smac_compat import StarCraftCapabilityEnvWrapper
from tests.helpers.scripted_smac import attack_first

# sc2_gen_protoss.yaml of SMACv2, with its values that are not SMAC's defaults.
PROTOSS = {
    "map_name": "10gen_protoss", "difficulty": "7", "obs_own_pos": True, "use_unit_ranges": True, "min_attack_range": 2,
    "num_fov_actions": 12, "conic_fov": False, "prob_obs_enemy": 1.0, "action_mask": True, "reward_scale_rate": 20,
    "capability_config": {
        "n_units": 5,
        "n_enemies": 5,
        "team_gen": {
            "dist_type": "weighted_teams",
            "unit_types": ["stalker", "zealot", "colossus"],
            "weights": [0.45, 0.45, 0.1],
            "observe": True,
        },
        "start_positions": {"dist_type": "surrounded_and_reflect", "p": 0.5, "map_x": 32, "map_y": 32},
    },
}  # fmt: skip
HEALTH = (350.0, 160.0, 150.0)  # and shield, of colossus, stalker, zealot


@pytest.fixture(scope="module")
def env():
    return StarCraftCapabilityEnvWrapper(seed=3, **copy.deepcopy(PROTOSS))


def test_sizes(env):
    """Those of the specification of protoss_5_vs_5."""
    info = {"state_shape": 130, "obs_shape": 92, "n_actions": 11, "n_agents": 5, "episode_limit": 200, "cap_shape": 3}
    assert env.get_env_info() == info
    cone = StarCraftCapabilityEnvWrapper(**copy.deepcopy(PROTOSS) | {"conic_fov": True})
    assert (cone.get_obs_size(), cone.get_state_size(), cone.get_total_actions()) == (94, 200, 23)


def test_it_is_also_the_battle_that_smacv2s_wraps(env):
    """HARL reads its counters there."""
    assert env.env.timeouts == env.timeouts and env.env.n_agents == 5


def test_an_episode(env):
    """Every episode has another team, in the order colossi, stalkers, zealots; type bits stalker, zealot, colossus."""
    teams = set()
    for _ in range(4):
        obs, state = env.reset()
        assert [row.shape for row in obs] == [(92,)] * 5 and state.shape == (130,)
        capabilities = env.get_capabilities().reshape(5, 3)
        np.testing.assert_array_equal(capabilities, np.array(obs)[:, -3:])  # the end of each own observation
        assert capabilities.sum(1).tolist() == [1.0] * 5
        teams.add(tuple(capabilities.argmax(1).tolist()))
    assert len(teams) > 1
    over, steps = False, 0
    while not over:
        reward, over, info = env.step(attack_first(env.get_avail_actions()))
        steps += 1
    assert 0 < steps <= 200 and set(info) == {"battle_won", "dead_allies", "dead_enemies"} and isinstance(reward, float)
    assert env.get_stats()["battles_game"] == 1
    with pytest.raises(AssertionError, match="the episode is over"):
        env.step([1] * 5)


def test_rewards_are_scaled_by_the_first_enemies():
    """The enemies' team is the agents' team; max_reward = 5 x 10 + 200 + their health and shields."""

    def largest():
        counts = env.get_capabilities().reshape(5, 3).sum(0)[[2, 0, 1]]  # colossi, stalkers, zealots
        return 250.0 + float(counts @ np.array(HEALTH))

    env = StarCraftCapabilityEnvWrapper(seed=0, **copy.deepcopy(PROTOSS))
    exact = StarCraftCapabilityEnvWrapper(seed=0, smacv2_bug=False, **copy.deepcopy(PROTOSS))
    env.reset(), exact.reset()
    first = largest()
    while largest() == first:
        env.reset(), exact.reset()
    pairs = []
    for _ in range(60):
        actions = attack_first(env.get_avail_actions())
        (reward, over, _), (other, _, _) = env.step(actions), exact.step(actions)
        pairs.append((reward, other * largest() / first))
        if over:
            break
    rewards, expected = np.array(pairs).T
    assert rewards.sum() > 0
    np.testing.assert_allclose(rewards, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("map_name", "10gen_terran", "weights marauder 0.45, marine 0.45, medivac 0.1"),
        ("map_name", "8m", "SMACv2's maps are"),
        ("obs_own_pos", False, "obs_own_pos=False: it is True here"),
        ("obs_own_pos", None, "obs_own_pos is not given"),
        ("capability_config.n_units", 7, "unknown environment 'smacv2:protoss_7_vs_5'"),
        ("capability_config.team_gen.dist_type", "all_teams", "must be weighted_teams"),
        ("capability_config.team_gen.exception_unit_types", ["zealot"], "10gen_protoss has none"),
        ("capability_config.start_positions.p", 1.0, "start_positions must be"),
        ("capability_config.attack", {"dist_type": "per_agent_uniform"}, "attack cannot be honoured"),
        ("capability_config", [], "capability_config must be a dict"),
        ("capability_config.team_gen", "weighted", "team_gen must be a dict"),
        ("capability_config.team_gen.weights", [1.0], "must be weighted_teams"),
        ("seed", "x", "seed must be a whole number"),
        ("replay_dir", 3, "replay_dir must be text or None"),
        ("reward", "sparse", "reward=sparse sets all options of the reward: leave out reward_scale_rate"),
        ("nothing", 1, "does not take these options: nothing"),
    ],
)
def test_what_is_not_played(path, value, message):
    arguments = copy.deepcopy(PROTOSS)
    *folders, name = path.split(".")
    place = arguments
    for folder in folders:
        place = place[folder]
    if value is None:
        del place[name]
    else:
        place[name] = value
    with pytest.raises(ConfigError, match=message):
        StarCraftCapabilityEnvWrapper(**arguments)
