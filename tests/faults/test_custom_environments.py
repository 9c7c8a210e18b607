"""Broken custom environments, made by a seed: each is refused in one line before anything is compiled or written, and
each sound one, of random sizes, passes."""

import importlib
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys

import pytest

from experiments.run import main

pytestmark = pytest.mark.slow

# Batch-native or of one lane, discrete or continuous; @NAME@ is filled in, by SOUND or by a fault.
SOURCE = """
import sys
import jax
import jax.numpy as jnp
import numpy as np
from envs.base import ActionSpec, EnvSpec, TimeStep, vectorize
@IMPORT@

AGENTS, OBS, STATE, HORIZON, ACTIONS = @AGENTS@, @OBS@, @STATE@, @HORIZON@, @ACTIONS@
NAN = jnp.float32(jnp.nan)
dice = np.random.default_rng()


class Lane:
    def __init__(self, @PARAMETERS@):
        @MAKE@
        action = @ACTION_SPEC@
        self.spec = EnvSpec("lane", @SPEC_AGENTS@, @SPEC_OBS@, @SPEC_STATE@, action, @SPEC_HORIZON@)
        self.calls = 0

    def reset(self, key):
        self.calls += 1
        state = {"time": jnp.int32(0), "alive": jnp.ones(AGENTS, bool), "place": jax.random.uniform(key, (AGENTS,))}
        timestep = self.show(state, jnp.float32(0.0))
        @RESET@
        return state, timestep

    def step(self, key, state, action):
        self.calls += 1
        old = state
        said = action if ACTIONS else action[:, 0] > 0
        time = jnp.minimum(state["time"] + 1, HORIZON)
        alive = state["alive"] & (jnp.arange(AGENTS) != (time >= 2) * (AGENTS - 1))
        state = {"time": time, "alive": alive, "place": state["place"] * jnp.float32(0.9)}
        timestep = self.show(state, (said == 1).sum().astype(jnp.float32))
        @STEP@
        return state, timestep

    def show(self, state, reward):
        time, alive = state["time"], state["alive"]
        obs = jnp.full((AGENTS, OBS), time, jnp.float32) + state["place"][:, None]
        obs = jnp.where(alive[:, None], obs, jnp.float32(0.0))
        whole = jnp.zeros(STATE, jnp.float32) + time
        avail = jnp.ones((AGENTS, ACTIONS), bool)
        return TimeStep(obs, whole, avail, alive, reward, jnp.array(False), time >= HORIZON, {"kills": time})


def Made(@PARAMETERS@):
    return @WRAP@


@END@
"""
SOUND = {
    "IMPORT": "", "PARAMETERS": "size=1", "MAKE": "pass", "RESET": "", "STEP": "", "END": "",
    "SPEC_AGENTS": "AGENTS", "SPEC_OBS": "OBS", "SPEC_STATE": "STATE", "SPEC_HORIZON": "HORIZON",
    "ACTION_SPEC": "ActionSpec(num_actions=ACTIONS) if ACTIONS else ActionSpec(dim=1)",
}  # fmt: skip


def replaced(field, value):
    """The fault of a time step, at reset and step alike, or only from a step on."""
    return f"timestep = timestep._replace({field}={value})"


def late(field, value):
    """The fault of one field from the second step on, by a value of the same shape."""
    return f"timestep = timestep._replace({field}=jnp.where(state['time'] >= 2, {value}, timestep.{field}))"


def both(line):
    return {"RESET": line, "STEP": line}


FAULTS = {
    # what is no module, or makes no environment
    "no syntax": {"END": "def ("},
    "import fails": {"IMPORT": "import no_such_module_anywhere"},
    "import exits": {"IMPORT": "sys.exit(0)"},
    "import raises": {"IMPORT": "raise KeyError('a\\nb')"},
    "no such name": {"END": "del Made"},
    "not callable": {"END": "Made = 3"},
    "an argument is due": {"PARAMETERS": "size"},
    "made with an error": {"MAKE": "raise ZeroDivisionError"},
    "made with an exit": {"MAKE": "sys.exit(0)"},
    "made with a mute error": {"MAKE": "raise type('Mute', (Exception,), {'__str__': lambda self: 1 / 0})"},
    "makes nothing": {"WRAP": "None"},
    "makes a number": {"WRAP": "3.5"},
    "makes the class": {"WRAP": "Lane"},
    # spec
    "no agents": {"SPEC_AGENTS": "0"},
    "agents by text": {"SPEC_AGENTS": "'2'"},
    "other agents": {"SPEC_AGENTS": "AGENTS + 1"},
    "other observations": {"SPEC_OBS": "OBS + 1"},
    "no state": {"SPEC_STATE": "0"},
    "other state": {"SPEC_STATE": "STATE + 2"},
    "no horizon": {"SPEC_HORIZON": "0"},
    "half a horizon": {"SPEC_HORIZON": "HORIZON + 0.5"},
    "horizon of none": {"SPEC_HORIZON": "None"},
    "short horizon": {"SPEC_HORIZON": "HORIZON - 1"},
    "long horizon": {"SPEC_HORIZON": "HORIZON + 1"},
    "no action": {"ACTION_SPEC": "None"},
    "one action": {"ACTION_SPEC": "ActionSpec(num_actions=1)"},
    "two kinds of action": {"ACTION_SPEC": "ActionSpec(num_actions=3, dim=1)"},
    "bounds turned": {"ACTION_SPEC": "ActionSpec(dim=1, low=1.0, high=-1.0)"},
    "bound of nan": {"ACTION_SPEC": "ActionSpec(dim=1, low=float('nan'))"},
    # shapes and dtypes
    "integer reward": both(replaced("reward", "timestep.reward.astype(jnp.int32)")),
    "reward of two": both(replaced("reward", "jnp.zeros(2, jnp.float32)")),
    "weak reward": both(replaced("reward", "jnp.asarray(1.0) * 1 + 0 * state['time'].weak_type")),
    "reward of none": both(replaced("reward", "None")),
    "integer observation": both(replaced("obs", "timestep.obs.astype(jnp.int32)")),
    "flat observation": both(replaced("obs", "timestep.obs.ravel()")),
    "number masks": both(replaced("avail", "timestep.avail.astype(jnp.float32)")),
    "number of the living": both(replaced("alive", "timestep.alive.sum()")),
    "integer end": both(replaced("terminated", "jnp.int32(0)")),
    "no truncation": both(replaced("truncated", "None")),
    "no info": both(replaced("info", "None")),
    "number won": both(replaced("info", "{'won': timestep.reward}")),
    "info of text": both(replaced("info", "{'what': 'text'}")),
    "other info": {"STEP": replaced("info", "{'other': state['time']}")},
    "other state tree": {"STEP": "state = (state, state)"},
    "other state dtype": {"STEP": "state = state | {'time': state['time'].astype(jnp.float32)}"},
    "reset gives one thing": {"RESET": "return timestep"},
    "step gives three": {"STEP": "return state, timestep, {}"},
    "step gives nothing": {"STEP": "return None"},
    # tracing
    "python flow": {"STEP": "if state['time'] > 1: timestep = timestep._replace(obs=timestep.obs * 2)"},
    "numpy of a tracer": {"STEP": "np.asarray(state['place'])"},
    "step raises": {"STEP": "raise LookupError('no\\nsuch unit')"},
    "step exits": {"STEP": "sys.exit(0)"},
    "step has no attribute": {"STEP": "self.nothing"},
    "dice of numpy": {"STEP": replaced("obs", "timestep.obs + np.float32(dice.random())")},
    "counts its calls": {"STEP": replaced("obs", "timestep.obs + jnp.float32(self.calls)")},
    # played
    "nan observation": {"STEP": late("obs", "jnp.float32(jnp.nan)")},
    "nan of the dead": {"STEP": replaced("obs", "jnp.where(timestep.alive[:, None], timestep.obs, NAN)")},
    "infinite state": {"STEP": late("state", "jnp.float32(jnp.inf)")},
    "nan reward": {"STEP": late("reward", "jnp.float32(jnp.nan)")},
    "reward at reset": {"RESET": replaced("reward", "jnp.float32(1.0)")},
    "over at reset": {"RESET": replaced("terminated", "jnp.array(True)")},
    "nobody lives": {"RESET": replaced("alive", "jnp.zeros(AGENTS, bool)")},
    "never ends": {"STEP": replaced("truncated", "jnp.array(False)")},
    "cut early": {"STEP": late("truncated", "jnp.array(True)")},
    "lives on": {"STEP": replaced("terminated", "state['time'] == 1")},
    "restarts itself": {"STEP": "state['time'] = jnp.where(old['time'] >= HORIZON, 1, state['time'])\n        "
                                + replaced("truncated", "state['time'] >= HORIZON")},
    "no legal action": {"STEP": late("avail", "jnp.array(False)"), "ONLY": "discrete"},
    "not the same twice": {"STEP": replaced("reward", "jax.pure_callback(lambda x: x + np.float32(dice.random()), "
                                            "timestep.reward, timestep.reward, vmap_method='expand_dims')")},
}  # fmt: skip


def source(draw, fault):
    """A module with an environment of random sizes, spoilt by `fault`."""
    changes = dict(FAULTS.get(fault, {}))
    actions = draw.choice((2, 3, 5)) if changes.pop("ONLY", "") or draw.random() < 0.6 else 0
    sizes = {"AGENTS": draw.randint(2, 4), "OBS": draw.randint(1, 5), "STATE": draw.randint(1, 6)}
    sizes |= {"HORIZON": draw.randint(3, 9), "ACTIONS": actions, "WRAP": draw.choice(("Lane()", "vectorize(Lane())"))}
    if fault == "an argument is due":
        sizes["WRAP"] = "Lane(1)"
    text = SOURCE
    for name, value in (SOUND | sizes | changes).items():
        text = text.replace(f"@{name}@", str(value))
    assert "@" not in text
    return text


@pytest.fixture
def start(tmp_path, monkeypatch, capfd):
    """(module's text, *options) -> (code, output, errors) of the run command, which does all but train."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("experiments.training.train.train_batches", lambda *args: 0)

    def start(text, *options):
        (tmp_path / "my_lane.py").write_text(text)
        sys.modules.pop("my_lane", None)
        importlib.invalidate_caches()
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
        algo = "maddpg" if re.search(r"^AGENTS.* 0$", text, re.MULTILINE) else "ippo"
        argv = ["--algo", algo, "--env", "my_lane:Made", "--total-steps", "64", "--run-dir", str(tmp_path / "runs")]
        argv += ["--warmup", "32"] if algo == "maddpg" else []
        capfd.readouterr()
        code = main([*argv, *options])
        return code, *capfd.readouterr()

    yield start
    sys.modules.pop("my_lane", None)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_one_is_refused_in_one_line(fault, start, tmp_path):
    for seed in range(2):
        text = source(random.Random(f"{fault} {seed}"), fault)
        code, out, err = start(text)
        assert code == 2, (fault, seed, out, err)
        assert err.count("\n") == 1 and err.startswith("error: ") and "Traceback" not in out, (fault, seed, err)
        assert not pathlib.Path(tmp_path / "runs").exists()


@pytest.mark.parametrize("seed", range(12))
def test_a_sound_one_passes_and_is_kept_by_its_digest(seed, start, tmp_path):
    """The same text again, in a fresh module, is the same environment; another number in it is another one."""
    text = source(random.Random(seed), "")
    code, out, err = start(text)
    assert (code, err) == (0, ""), (out, err)
    directory = next((tmp_path / "runs").glob("*/*/*"))
    code, out, err = start(text + "\n# a comment\n", "--resume", str(directory))
    assert (code, err) == (0, ""), (out, err)
    code, out, err = start(text.replace("jnp.float32(0.9)", "jnp.float32(0.8)"), "--resume", str(directory))
    assert code == 2 and err.count("\n") == 1 and "computes something else than when" in err


def test_the_digest_is_the_same_in_every_process():
    """Whatever Python's hashes are: a run is resumed by another process than the one that began it."""
    code = "from experiments.runs.custom_environment import environment_digest; from envs.registry import make_env; "
    code += "print([environment_digest(make_env(name)) for name in ('toy:death', 'smax:3m', 'predator_prey')])"
    said = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(pathlib.Path(__file__).parents[2])}
        said.add(subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True).stdout)
    assert len(said) == 1
