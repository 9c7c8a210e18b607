"""MABrax as ours: the contract, and step by step what JaxMARL itself does. Without brax only its refusal is tested."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.adapters import mabrax
from envs.adapters.names import MABRAX
from envs.base import ConfigError
from envs.check import check_env
from envs.registry import make_env
from tests.helpers.by_hand import Original, agree

# A hopper that nearly every random push makes fall, within an episode of 6 steps.
SHORT = {"backend": "spring", "episode_length": 6, "healthy_angle_range": (-0.012, 0.012), "reset_noise_scale": 0.01}
brax = pytest.mark.skipif(importlib.util.find_spec("brax") is None, reason="needs brax: pip install iacjax[mabrax]")


def original(member, **options):
    module = pytest.importorskip("jaxmarl.environments.mabrax.mabrax_env")
    return module.MABraxEnv(member, auto_reset=False, **options)


def hand(theirs):
    """`reset` and `step` of the original. Its end is a fall or the time limit, which its `truncation` tells apart."""

    def rows(obs):
        return [obs[agent] for agent in theirs.agents]

    def reset(key):
        obs, inner = theirs.reset(key)
        return Original(inner, rows(obs))

    def step(key, original, action):
        given = {
            agent: jnp.asarray(a[: theirs.action_spaces[agent].shape[0]])
            for agent, a in zip(theirs.agents, action, strict=True)
        }
        obs, inner, rewards, over, info = theirs.step_env(key, original.inner, given)
        assert len({float(reward) for reward in rewards.values()}) == 1
        timed_out = bool(info["truncation"])
        return Original(inner, rows(obs), float(inner.reward), bool(over["__all__"]) and not timed_out, timed_out)

    return reset, step


@pytest.fixture(scope="module")
def hopper():
    return make_env("mabrax:hopper_3x1", **SHORT)


@brax
def test_steps_as_jaxmarl_does(hopper):
    spec = hopper.spec
    assert (spec.num_agents, spec.obs_dim, spec.state_dim, spec.action.dim, spec.horizon) == (3, 9, 11, 1, 6)
    theirs = original("hopper_3x1", **SHORT)

    def also(original, ts, e):
        np.testing.assert_allclose(ts.state[e], original.inner.obs, rtol=1e-5, atol=1e-5)

    counts = agree(hopper, *hand(theirs), also, steps=30, num_envs=3)
    assert counts.terminated >= 3 and counts.truncated >= 1


@brax
def test_keeps_the_contract(hopper):
    check_env(hopper, num_envs=2)


@brax
@pytest.mark.slow
@pytest.mark.parametrize("member", MABRAX)
def test_a_whole_episode_keeps_the_contract(member):
    check_env(make_env(f"mabrax:{member}"), num_envs=2)


@brax
@pytest.mark.slow
@pytest.mark.parametrize("backend", mabrax.BACKENDS)
def test_the_others_step_as_jaxmarl_does(backend):
    options = {"backend": backend, "episode_length": 10, "action_repeat": 3, "homogenisation_method": "max"}
    env = make_env("mabrax:ant_4x2", **options)
    counts = agree(env, *hand(original("ant_4x2", **options)), lambda *row: None, steps=8)
    assert env.spec.horizon == 4 and counts.truncated >= 1  # 12 steps of brax are the first multiple of 3 from 10 on


@brax
@pytest.mark.parametrize("how", [None, "max", "concat"])
def test_a_masked_action_moves_nothing(how):
    """Each number of each agent alone: it reaches one joint, or it is masked."""
    env = make_env("mabrax:humanoid_9|8", homogenisation_method=how)
    theirs, action = env.env.theirs, env.spec.action
    mask, joints = np.array(action.mask), []
    assert mask.shape == (2, {None: 9, "max": 9, "concat": 17}[how]) and mask.sum(1).tolist() == [9, 8]
    for agent, number in np.ndindex(mask.shape):
        given = np.zeros(mask.shape, np.float32)
        given[agent, number] = 1.0
        sizes = [theirs.action_spaces[name].shape[0] for name in theirs.agents]
        moved = theirs.map_agents_to_global_action(
            {name: jnp.asarray(given[i, : sizes[i]]) for i, name in enumerate(theirs.agents)}
        )
        if number < sizes[agent]:
            assert bool(mask[agent, number]) == bool(moved.any())
            joints += np.flatnonzero(moved).tolist()
        else:
            assert not mask[agent, number]
    assert sorted(joints) == list(range(17))


@brax
def test_shapes_are_where_mujoco_has_them():
    """A random pose: our geometry from brax's links, and MuJoCo's own from the same joint angles."""
    import mujoco

    from envs.adapters.mabrax_rendering import TORSO, body_colours, shapes

    theirs = make_env("mabrax:ant_4x2", backend="generalized").env.theirs
    model, robot = theirs.sys.mj_model, theirs.env.unwrapped
    q = np.asarray(theirs.sys.init_q) + np.random.default_rng(0).uniform(-0.3, 0.3, 15)
    q[3:7] /= np.linalg.norm(q[3:7])
    links = jax.jit(robot.pipeline_init)(jnp.asarray(q, jnp.float32), jnp.zeros(14)).x
    data = mujoco.MjData(model)
    data.qpos[:] = q
    mujoco.mj_kinematics(model, data)
    drawn = shapes(model, np.asarray(links.pos), np.asarray(links.rot), body_colours(theirs))
    robots = model.geom_bodyid > 0
    assert len(drawn) == robots.sum() == 17  # a torso, and three capsules and a foot for each of four legs
    np.testing.assert_allclose([shape.ends.mean(0) for shape in drawn], data.geom_xpos[robots], atol=1e-4)
    axes, half = data.geom_xmat[robots].reshape(-1, 3, 3)[:, :, 2], model.geom_size[robots, 1]
    along = np.where(model.geom_type[robots] == mujoco.mjtGeom.mjGEOM_CAPSULE, 2 * half, 0.0)[:, None] * axes
    np.testing.assert_allclose([shape.ends[1] - shape.ends[0] for shape in drawn], along, atol=1e-4)
    assert len({shape.colour for shape in drawn} - {TORSO}) == 4  # a colour for each agent


@brax
def test_an_episode_is_drawn_up_to_its_end(hopper):
    from envs.rendering import Episode, frames, has_renderer

    state, ts = jax.jit(hopper.reset, static_argnums=1)(jax.random.key(3), 2)
    ts = ts._replace(terminated=jnp.array([True, False]))
    images = frames(hopper, Episode([state] * 3, [ts._replace(terminated=~ts.terminated), ts, ts], []), 0, 320)
    assert has_renderer("mabrax:hopper_3x1") and [image.size for image in images] == [(320, 200)] * 2
    robot = np.asarray(images[0]).astype(int)
    assert (np.abs(robot - (86, 204, 242)).sum(-1) < 40).sum() > 50  # the first agent's limb is in view


@brax
@pytest.mark.parametrize(
    "options, text",
    [
        ({"backend": "bullet"}, "backend is 'bullet': give one of spring, positional, generalized, mjx"),
        ({"homogenisation_method": "min"}, "homogenisation_method is 'min': give one of None, max, concat"),
        ({"episode_length": 0}, "episode_length is 0, give at least 1"),
        ({"auto_reset": True}, r"does not take these options: auto_reset \(it takes action_repeat, agent_action_mapp"),
        ({"agent_obs_mapping": {"agent_0": [0, 11]}}, "name different agents: .'agent_1', 'agent_2'."),
        ({"agent_obs_mapping": [0]}, "agent_obs_mapping: give the numbers of each agent"),
        ({"agent_obs_mapping": {"agent_0": [0.5]}}, r"'agent_0' has \[0.5\], give it a list of whole numbers"),
        (
            {"agent_obs_mapping": {f"agent_{i}": [11] for i in range(3)}},
            "agent_obs_mapping names number 11, there are 11, counted from 0",
        ),
        ({"ctrl_cost_weight": "much"}, "ctrl_cost_weight must be a number, not 'much'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(options, text):
    with pytest.raises(ConfigError, match=text) as error:
        make_env("mabrax:hopper_3x1", **options)
    assert "\n" not in str(error.value)


def test_without_brax_one_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(mabrax, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'not installed: pip install "iacjax\[mabrax\]"'):
        make_env("mabrax:ant_4x2")


def test_a_brax_that_does_not_suit_jax_is_one_line(monkeypatch):
    def package(name):
        raise AttributeError("module 'jax' has no attribute 'tree_map'")

    monkeypatch.setattr(mabrax, "find_spec", lambda name: True)
    monkeypatch.setattr(mabrax, "version", lambda name: "0.9.0")
    monkeypatch.setattr(mabrax, "package", package)
    text = r"mabrax: brax 0.9.0 does not work with jax .* \(.*tree_map.*\): pip install .* installs versions that do"
    with pytest.raises(ConfigError, match=text) as error:
        make_env("mabrax:ant_4x2")
    assert "\n" not in str(error.value)


def test_the_jaxmarl_names_lead_here():
    for member in MABRAX:
        with pytest.raises(ConfigError, match=f"its name is 'mabrax:{member.replace('|', '.')}'"):
            make_env(f"jaxmarl:{member}")
