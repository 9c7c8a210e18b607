"""JaxMARL's environments as ours: the contract, and step by step what JaxMARL itself does."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.adapters.names import JAXMARL, SMAX_SCENARIOS
from envs.base import ConfigError
from envs.check import check_env
from envs.registry import check_name, make_env
from tests.helpers.by_hand import Original, agree


@pytest.fixture(scope="module")
def jaxmarl():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import jaxmarl
    return jaxmarl


def hand(theirs, common, ended):
    """`reset` and `step` of the original. `common`: all agents have one reward; `ended(inner)`: a true end."""

    def rows(obs):
        return [obs[agent] for agent in theirs.agents]

    def reset(key):
        obs, inner = theirs.reset(key)
        return Original((inner, obs, None), rows(obs))

    def step(key, original, action):
        given = {agent: jnp.int32(a) for agent, a in zip(theirs.agents, action, strict=True)}
        obs, inner, rewards, dones, _ = theirs.step_env(key, original.inner[0], given)
        rewards = [float(rewards[agent]) for agent in theirs.agents]
        assert not common or len(set(rewards)) == 1
        over, true_end = bool(dones["__all__"]), bool(ended(inner))
        reward = rewards[0] if common else sum(rewards)
        return Original((inner, obs, dones), rows(obs), reward, over and true_end, over and not true_end)

    return reset, step


def never(inner):
    return False


def everything_legal(theirs):
    def also(original, ts, e):
        assert ts.alive[e].all()
        for agent, legal in zip(theirs.agents, np.asarray(ts.avail[e]), strict=True):
            count = theirs.action_space(agent).n
            assert legal[:count].all() and not legal[count:].any()

    return also


@pytest.mark.parametrize(
    "name, obs_dim, num_actions",
    [
        pytest.param("MPE_simple_spread_v3", 18, 5, marks=pytest.mark.slow),
        ("MPE_simple_speaker_listener_v4", 11, 5),  # the speaker sees 3 numbers and has 3 words
    ],
)
def test_mpe_steps_as_jaxmarl_does(jaxmarl, name, obs_dim, num_actions):
    theirs = jaxmarl.make(name, max_steps=4)
    env = make_env(f"jaxmarl:{name}", max_steps=4)
    spec = env.spec
    assert (spec.obs_dim, spec.action.num_actions, spec.horizon, spec.state_is_obs) == (obs_dim, num_actions, 5, True)
    counts = agree(env, *hand(theirs, False, never), everything_legal(theirs), steps=13)
    assert (counts.terminated, counts.truncated) == (0, 4)  # time steps 5 and 10 of 2 environments


def test_the_reward_of_a_team_is_the_sum_unless_told_otherwise(jaxmarl):
    """By hand from one step of speaker and listener, who get -d**2 each, d the listener's distance."""
    paid = {}
    for how in ("sum", "mean", "first"):
        env = make_env("jaxmarl:MPE_simple_speaker_listener_v4", reward=how)
        state, _ = env.reset(jax.random.key(0), 1)
        paid[how] = float(env.step(jax.random.key(1), state, jnp.zeros((1, 2), jnp.int32))[1].reward[0])
    assert paid["first"] < 0
    assert paid["sum"] == pytest.approx(2 * paid["first"], rel=1e-5) and paid["mean"] == pytest.approx(paid["first"])


def test_switch_riddle_tells_a_verdict_from_a_time_limit(jaxmarl):
    """4 n - 6 = 6 steps; TELL (action 2) by the agent in the room ends it, +1 or -1."""
    theirs = jaxmarl.make("switch_riddle")
    env = make_env("jaxmarl:switch_riddle")
    reset, step = hand(theirs, True, never)

    def judged(key, original, action):
        answered = action[int(original.inner[0].agent_in_room)] == 2
        new = step(key, original, action)
        assert (abs(new.reward) == 1.0) == answered
        return new._replace(terminated=bool(answered), truncated=new.truncated and not answered)

    counts = agree(env, reset, judged, everything_legal(theirs), steps=40, num_envs=3)
    assert counts.terminated > 10 and counts.truncated >= 1


@pytest.fixture(scope="module")
def marines():
    return make_env("jaxmarl:smax:3m", max_steps=15)  # random play loses after 13 to 26 steps


def test_smax_steps_as_jaxmarl_does(jaxmarl, marines):
    from jaxmarl.environments.smax import map_name_to_scenario

    theirs = jaxmarl.make(
        "HeuristicEnemySMAX", scenario=map_name_to_scenario("3m"), max_steps=15, see_enemy_actions=True
    )
    legal = jax.jit(theirs.get_avail_actions)

    def battle_over(inner):
        alive = np.asarray(inner.state.unit_alive)
        return not alive[:3].any() or not alive[3:].any()

    def also(original, ts, e):
        inner, obs, dones = original.inner
        np.testing.assert_allclose(ts.state[e], obs["world_state"], rtol=1e-5, atol=1e-5)
        masks = legal(inner)
        assert np.array_equal(ts.avail[e], np.stack([np.asarray(masks[a], bool) for a in theirs.agents]))
        alive = [True] * 3 if dones is None else [not bool(dones[agent]) for agent in theirs.agents]
        assert ts.alive[e].tolist() == alive
        units = np.asarray(inner.state.unit_alive)
        assert bool(ts.info["won"][e]) == (units[:3].any() and not units[3:].any())

    assert (marines.spec.horizon, marines.spec.state_dim, marines.spec.state_is_obs) == (16, 6 * 12, False)
    counts = agree(marines, *hand(theirs, True, battle_over), also, steps=35)
    assert counts.terminated >= 1 and counts.truncated >= 1


def test_a_battle_that_is_over_stays_over_and_pays_nothing(marines):
    """A original in which the enemies are killed by hand is won at the next step, and not once more after it."""
    state, _ = marines.reset(jax.random.key(0), 2)
    battle = state.inner.state
    dead = battle.replace(
        unit_health=battle.unit_health.at[0, 3:].set(0.0), unit_alive=battle.unit_alive.at[0, 3:].set(False)
    )
    state = state._replace(inner=state.inner.replace(state=dead))
    step = jax.jit(marines.step)
    for expected in (1.0, 0.0):  # the bonus; their heads were at 0 before
        state, ts = step(jax.random.key(1), state, jnp.full((2, 3), 4, jnp.int32))
        assert ts.terminated.tolist() == [True, False] and ts.info["won"].tolist() == [True, False]
        assert float(ts.reward[0]) == expected


def test_smax_keeps_the_contract(marines):
    check_env(marines, num_envs=2, steps=8)


SLOW = [
    "smax:2s3z",
    "MPE_simple_speaker_listener_v4",
    "switch_riddle",
    "MPE_simple_reference_v3",
    "MPE_simple_facmac_v1",
    "overcooked",
    "overcooked_v2",
    "hanabi",
]


@pytest.mark.parametrize(
    "name",
    [
        "MPE_simple_spread_v3",
        *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW),
    ],
)
def test_keeps_the_contract(name):
    clock = {"max_steps": 20} if "facmac" not in name and name not in ("hanabi", "switch_riddle") else {}
    check_env(make_env(f"jaxmarl:{name}", **clock), num_envs=2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hanabi", "overcooked"])
def test_the_others_step_as_jaxmarl_does(jaxmarl, name):
    clock = {"max_steps": 15} if name == "overcooked" else {}
    theirs = jaxmarl.make(name, **clock)

    def also(original, ts, e):
        assert ts.alive[e].all()
        if name == "hanabi":
            legal = theirs.get_legal_moves(original.inner[0])
            assert np.array_equal(ts.avail[e], np.stack([np.asarray(legal[a]) > 0 for a in theirs.agents]))

    ended = (lambda inner: True) if name == "hanabi" else never
    counts = agree(make_env(f"jaxmarl:{name}", **clock), *hand(theirs, True, ended), also, steps=80)
    assert counts.terminated + counts.truncated > 2


def test_the_names_are_jaxmarl_s(jaxmarl):
    from jaxmarl.environments.smax.smax_env import MAP_NAME_TO_SCENARIO

    assert set(SMAX_SCENARIOS) <= set(MAP_NAME_TO_SCENARIO)
    assert {name for name in JAXMARL if not name.startswith("smax:")} <= set(jaxmarl.registered_envs)


@pytest.mark.parametrize(
    "name, options, text",
    [
        ("jaxmarl:smax:2s4z", {}, "did you mean 'jaxmarl:smax:2s3z'"),
        ("jaxmarl:MPE_simple_tag_v3", {}, "no 'jaxmarl:MPE_simple_tag_v3': its teams play against each other"),
        ("jaxmarl:HeuristicEnemySMAX", {}, "name the scenario: e.g. 'jaxmarl:smax:2s3z'"),
        ("jaxmarl:smax:3m", {"scenario": 1}, "does not take these options: scenario"),
        ("jaxmarl:MPE_simple_spread_v3", {"reward": "max"}, "reward is 'max': give sum, mean or first"),
        ("jaxmarl:overcooked", {"layout": "hall"}, "no layout 'hall' .known: cramped_room"),
        ("jaxmarl:switch_riddle", {"num_agents": 2}, "minimum number of agents for this environment is 3"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(name, options, text):
    with pytest.raises(ConfigError, match=text) as error:
        make_env(name, **options)
    assert "\n" not in str(error.value)


def test_every_name_is_known():
    for name in JAXMARL:
        check_name(f"jaxmarl:{name}")
