"""What the tests of exported policies share: small policies with random weights, random steps, and jax's answers."""

import jax
import jax.numpy as jnp
import numpy as np

from envs.base import TimeStep
from envs.registry import make_env
from iacjax.algorithms.registry import get_entry, option_names
from iacjax.policy import Policy

SIZES = {"hidden_dim": 8, "critic_dim": 8, "embed_dim": 8, "mix_dim": 4, "mixer_dim": 4, "hyper_dim": 4}
SIZES |= {"num_envs": 4, "rollout_length": 8, "updates_per_step": 0.0625}
STEPS, BEGINNINGS = 8, (0, 5)


def small_policy(algo, env_name):
    """A policy of small networks; the weights are those of the first step and noise, so that none is 0 by chance."""
    entry, spec = get_entry(algo), make_env(env_name).spec
    names = option_names(entry.config)
    fields = {name: value for name, value in SIZES.items() if name in names}
    fields |= {} if entry.discrete else {name: 1 for name in names if name.endswith("_layers")}
    config = entry.config(**fields)
    algorithm = entry.make(spec, config)
    shapes = jax.eval_shape(lambda key: algorithm.policy(algorithm.init(key)), jax.random.key(0))
    random = np.random.RandomState(0)
    params = jax.tree.map(lambda leaf: jnp.asarray(0.5 * random.standard_normal(leaf.shape), leaf.dtype), shapes)
    return Policy(algo, config, spec, (0,), algorithm, (params,))


def random_steps(spec, num_envs):
    """{name: inputs of STEPS steps}; every agent has a legal action in most of them."""
    random, shape = np.random.RandomState(1), (STEPS, num_envs, spec.num_agents)
    first = np.zeros((STEPS, num_envs), bool)
    first[list(BEGINNINGS)] = True
    first[3, 0] = True
    steps = {"obs": random.standard_normal((*shape, spec.obs_dim)).astype(np.float32), "first": first}
    if spec.action.discrete:
        steps["avail"] = random.random_sample((*shape, spec.action.num_actions)) < 0.6
    return steps


def jax_answers(policy, steps):
    """(action, {name: carry after it}) of each step."""
    num_envs, spec = steps["obs"].shape[1], policy.spec
    agents, flag = np.ones((num_envs, spec.num_agents), bool), np.zeros(num_envs, bool)
    act, carry, answers = jax.jit(policy.act), policy.carry(num_envs), []
    for t, obs in enumerate(steps["obs"]):
        avail = steps["avail"][t] if "avail" in steps else np.zeros((*agents.shape, 0), bool)
        state = np.zeros((num_envs, spec.state_dim), np.float32)
        timestep = TimeStep(obs, state, avail, agents, np.zeros(num_envs, np.float32), flag, flag, {})
        carry, action = act(carry, timestep, steps["first"][t])
        answers.append((np.asarray(action), carry._asdict() if carry else {}))
    return answers


def whole_episode(policy, env_name):
    """(steps, jax's answers) of one greedy episode, which the policy plays."""
    env = make_env(env_name)
    state, timestep = jax.jit(env.reset, static_argnums=1)(jax.random.key(0), 1)
    step, act, carry = jax.jit(env.step), jax.jit(policy.act), policy.carry(1)
    steps, answers, first = {name: [] for name in ("obs", "avail", "first")}, [], np.ones(1, bool)
    while not timestep.boundary.all():
        for name, value in {"obs": timestep.obs, "avail": timestep.avail, "first": first}.items():
            steps[name].append(np.asarray(value))
        carry, action = act(carry, timestep, first)
        answers.append((np.asarray(action), carry._asdict() if carry else {}))
        state, timestep = step(jax.random.key(len(answers)), state, action)
        first = np.zeros(1, bool)
    steps = {name: np.stack(value) for name, value in steps.items()}
    return {name: value for name, value in steps.items() if value.size}, answers


def play_numpy(policy, steps):
    """What a NumPy policy answers, from a carry of zeros, as `first` asks for nothing else."""
    carry = {name: np.zeros_like(value) for name, value in policy.carry(steps["obs"].shape[1]).items()}
    answers = []
    for t in range(len(steps["obs"])):
        carry, action = policy.act(carry, **{name: value[t] for name, value in steps.items()})
        answers.append((action, carry))
    return answers


def check_same(answers, others):
    """The actions are the same (to 1e-5 if they are continuous), and so is what both carry."""
    for (action, carry), (other, other_carry) in zip(answers, others, strict=True):
        assert action.dtype == other.dtype and action.shape == other.shape
        np.testing.assert_allclose(other, action, atol=1e-5 if action.dtype.kind == "f" else 0)
        for name, value in other_carry.items():
            np.testing.assert_allclose(value, carry[name], atol=1e-5)
