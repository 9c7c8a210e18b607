"""Policies with NumPy alone: every algorithm's, the file by itself, the rules of primitives, and what is refused."""

import ast
import os
import subprocess
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.errors import ConfigError
from envs.registry import make_env
from iacjax.algorithms.registry import ALGORITHMS
from iacjax.policy import Policy
from tests.helpers.exported import check_same, jax_answers, play_numpy, random_steps, small_policy

KINDS = {"discrete": "toy:coordination", "continuous": "toy:coordination_continuous"}
QUICK = {"ippo", "iac"}
PLAYER = """
import sys
import numpy as np

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("jax", "jaxlib", "flax", "iacjax", "envs", "experiments", "scipy"):
            raise ImportError(name)

sys.meta_path.insert(0, Blocked())
sys.path.insert(0, sys.argv[1])
before = set(sys.modules)
from policy_np import Policy

policy, steps = Policy(), dict(np.load(sys.argv[1] + "/steps.npz"))
num_steps, num_envs = steps["first"].shape
carry, played = policy.carry(num_envs), {}
for t in range(num_steps):
    carry, action = policy.act(carry, **{name: value[t] for name, value in steps.items()})
    played["action_%d" % t] = action
    for name in carry:
        played["carry_%d_%s" % (t, name)] = carry[name]
np.savez(sys.argv[1] + "/played.npz", **played)
print(",".join(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""


def _cases():
    for name, entry in ALGORITHMS.items():
        for kind, env in KINDS.items():
            if getattr(entry, kind) and name != "fake":
                quick = name in QUICK and kind == ("discrete" if entry.discrete else "continuous")
                quick |= (name, kind) == ("happo", "continuous")
                yield pytest.param(name, env, marks=() if quick else pytest.mark.slow, id=f"{name}-{kind}")


@pytest.mark.parametrize(("algo", "env"), list(_cases()))
def test_it_plays_as_jax_does(algo, env):
    policy = small_policy(algo, env)
    steps = random_steps(policy.spec, num_envs=3)
    answers = jax_answers(policy, steps)
    check_same(answers, play_numpy(policy.to_numpy(), steps))
    one = {name: value[:, :1] for name, value in steps.items()}  # the number of environments is open
    check_same([(action[:1], {k: v[:1] for k, v in carry.items()}) for action, carry in answers],
               play_numpy(policy.to_numpy(), one))  # fmt: skip


@pytest.fixture(scope="module")
def recurrent():
    return small_policy("ippo", "toy:coordination")


def played_alone(python, policy, directory):
    """Other modules that the file loads, after a process without jax has played it as jax does."""
    policy.to_numpy(directory / "policy_np.py")
    steps = random_steps(policy.spec, num_envs=2)
    np.savez(directory / "steps.npz", **steps)
    command = [python, "-I", "-c", PLAYER, str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
    assert done.returncode == 0, done.stderr
    with np.load(directory / "played.npz") as played:
        others = []
        for t in range(len(steps["first"])):
            start = f"carry_{t}_"
            carry = {name[len(start) :]: played[name] for name in played.files if name.startswith(start)}
            others.append((played[f"action_{t}"], carry))
    assert others[0][1].keys() == {"hidden", "last_action"}
    check_same(jax_answers(policy, steps), others)
    return set(done.stdout.split()[0].split(","))


def test_the_file_needs_numpy_alone(recurrent, tmp_path):
    loaded = played_alone(sys.executable, recurrent, tmp_path)
    assert "policy_np" in loaded and loaded - sys.stdlib_module_names <= {"policy_np", "numpy"}
    ast.parse((tmp_path / "policy_np.py").read_text(), feature_version=(3, 8))


@pytest.mark.skipif("OLD_PYTHON" not in os.environ, reason="OLD_PYTHON: a Python 3.8 with NumPy 1.17")
def test_an_old_python_plays_it(recurrent, tmp_path):
    assert "policy_np" in played_alone(os.environ["OLD_PYTHON"], recurrent, tmp_path)


def test_inputs_of_other_shapes_are_refused(recurrent):
    policy = recurrent.to_numpy()
    avail = np.ones((1, 2, 3), bool)
    with pytest.raises(ValueError, match=r"obs must have the shape \(1, 2, 1\), not \(1, 2\)"):
        policy.act(policy.carry(1), np.zeros((1, 2)), avail, [True])
    with pytest.raises(ValueError, match=r"first must have the shape \(1,\), not \(2,\)"):
        policy.act(policy.carry(1), np.zeros((1, 2, 1)), avail, [True, True])
    assert policy.act(policy.carry(1), [[[0], [1]]], avail.astype(int).tolist(), [True])[1].shape == (1, 2)


def of_function(act, carry=lambda num_envs: ()):
    """A policy whose action is `act(obs, timestep)`, continuous."""
    algorithm = SimpleNamespace(carry=carry, act=lambda p, c, ts, *_, **__: (c, act(ts.obs, ts), ()))
    spec = make_env("toy:coordination_continuous").spec._replace(obs_dim=4)
    return Policy("own", None, spec, (0,), algorithm, ({"scale": np.float32([0.5, 1, 2, 4])},))


def many(x, ts):
    """f32[E, 2, 4] by operations that few policies need, at values where a careless rule overflows."""
    total = jnp.cumsum(x, -1) + jnp.einsum("eai,ebi->eab", x, x).sum(-1, keepdims=True) + x**3
    total += jnp.einsum("eai,bi->eba", x, jnp.ones((4, 4)))[:, 0, :1, None] + x[:, :, 1::2].prod(-1)[..., None]
    total += jax.nn.sigmoid(200 * x) + jnp.sqrt(jnp.abs(x)) + jnp.log1p(x * x) + jnp.exp(-x) + jnp.sin(x) * jnp.cos(x)
    total += jax.lax.scan(lambda c, y: (c - y, c * y), x[..., 0], jnp.moveaxis(x, -1, 0), reverse=True)[0][..., None]
    total += jnp.moveaxis(jax.lax.scan(lambda c, y: (c - y, c * y), x[..., 0], jnp.moveaxis(x, -1, 0))[1], 0, -1)
    total += jnp.where(x.argmin(-1, keepdims=True) > 1, jnp.floor(x), jnp.sign(x)) + jax.lax.clamp(-0.1, x, 0.1) / 2
    total += jnp.max(x, 1, keepdims=True) + jnp.power(jnp.abs(x) + 1, x) + jnp.isfinite(x) + jnp.minimum(x, 1)
    table = jnp.array([[1.0, 2, 3, 4], [4, 3, 2, 1], [9, 9, 9, 9]])
    return total + table.at[ts.alive.astype(jnp.int32)].get(mode="clip") - jax.lax.rsqrt(x * x + 1)


def test_the_rules_of_primitives_are_jaxs():
    policy = of_function(many)
    steps = random_steps(policy.spec, num_envs=3)
    steps = {"obs": steps["obs"], "first": steps["first"], "alive": steps["obs"][..., 0] > 0}
    with_alive, in_jax = policy.to_numpy(), jax.jit(lambda x, alive: many(x, SimpleNamespace(alive=alive)))
    for t, obs in enumerate(steps["obs"]):
        expected = in_jax(obs, steps["alive"][t])
        _, action = with_alive.act({}, obs, steps["alive"][t], steps["first"][t])
        np.testing.assert_allclose(action, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "act, message",
    [
        (lambda x, ts: jnp.sort(x, -1)[..., :1], "computes sort, which has no rule for NumPy"),
        (lambda x, ts: x[..., :1] + ts.reward[:, None, None], "acts by reward, which other programs do not give it"),
        (lambda x, ts: x[..., :1] - x[..., :1].mean(0), "what it computes depends on the number of environments"),
        (lambda x, ts: jnp.concatenate([x, x[:1]])[1:, :, :1], "a size depends on the number"),
    ],
)
def test_what_cannot_be_exported_is_one_line(act, message):
    with pytest.raises(ConfigError) as caught:
        of_function(act).to_numpy()
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_carry_of_any_start_and_name_is_carried(tmp_path):
    """A carry that is not reset by `first`: its first value is in the file. Parts without effect are left out."""

    def act(params, carry, timestep, first, key, clock, explore):
        new = carry["class"] * params["scale"] + timestep.obs[..., :1].sum(1)
        return {"class": new, "unused": carry["unused"] + 1}, new[:, None, :1], ()

    start = np.float32([0, 1, 2, 3])

    def carry(num_envs):
        return {"class": jnp.tile(start, (num_envs, 1)), "unused": jnp.zeros((num_envs, 2))}

    policy = of_function(None)._replace(algorithm=SimpleNamespace(act=act, carry=carry))
    numpy = policy.to_numpy()
    (name,) = numpy.carry(2)
    assert name == "carry_class" and numpy.carry(2)[name].tolist() == [[0, 1, 2, 3]] * 2
    after, action = numpy.act(numpy.carry(1), np.ones((1, 2, 4)), [True])  # start x scale + 2 agents' ones
    assert after[name].tolist() == [[2, 3, 6, 14]] and action.tolist() == [[[2]]]


def test_a_name_in_a_policys_file_stays_a_name(recurrent):
    name = 'toy"""\nraise SystemExit("code")\n"""\\'
    player = recurrent._replace(spec=recurrent.spec._replace(name=name)).to_numpy()
    assert player.env == name


def test_seeds_are_chosen_by_their_index(recurrent):
    two = recurrent._replace(
        seeds=(3, 5), params=(recurrent.params[0], jax.tree.map(np.zeros_like, recurrent.params[0]))
    )
    assert two.to_numpy(seed_index=1).seed == 5
    assert all((value == 0).all() for value in two.to_numpy(seed_index=1).weights.values() if value.dtype.kind == "f"
               and value.shape != (2, 2))  # fmt: skip
    with pytest.raises(ConfigError, match="seed_index must be from 0 to 1, not 2"):
        two.to_numpy(seed_index=2)
