"""Recordings of policies: episodes are played to their end, and the command refuses what it cannot do."""

import json
import subprocess
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments.analysis import inspection
from experiments.analysis.playback import best_index, choose_index, play
from experiments.config.preset_io import default_settings
from experiments.config.schema import to_dict
from experiments.record import main
from iacjax.policy import load_policy, save_policy
from tests.helpers.readme import POLICY

HEADER = "iteration,env_steps,seed,return_mean,return_std,length_mean,win_rate\n"
SEEDS = (3, 4)
PLAYED = f"pretrained:{POLICY}"


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """A run of two equal seeds, the README's policy, of which the second is said to have won more."""
    directory, (algo, config, spec, _, _, (params,), options) = tmp_path_factory.mktemp("run"), load_policy(PLAYED)
    params = jax.tree.map(lambda x: np.stack([x] * len(SEEDS)), params)
    save_policy(directory / "policy", algo, config, spec, SEEDS, params, options)
    (directory / "eval.csv").write_text(HEADER + "1,100,3,9.0,1,30,0.25\n1,100,4,5.0,1,30,0.75\n")
    return directory


def test_best_seed_is_the_last_evaluations_best(run_dir, tmp_path):
    assert best_index(run_dir, (3, 4)) == 1
    assert best_index(tmp_path, (3, 4)) == 0  # never evaluated
    # a later evaluation counts, the best one of the past does not
    rows = "1,9,3,1,1,9,0.9\n1,9,4,1,1,9,0.1\n2,18,3,1,1,9,0.2\n2,18,4,1,1,9,0.3\n"
    (tmp_path / "eval.csv").write_text(HEADER + rows)
    assert best_index(tmp_path, (3, 4)) == 1
    # no winners in this world: the return decides
    (tmp_path / "eval.csv").write_text(HEADER + "1,9,3,7.0,1,9,\n1,9,4,5.0,1,9,\n")
    assert best_index(tmp_path, (3, 4)) == 0


class Countdown:
    """A world of one agent whose lane e ends after e + 2 steps, by the time limit."""

    spec = SimpleNamespace(name="count:down", horizon=5)

    def reset(self, key, num_envs):
        return jnp.zeros(num_envs, jnp.int32), self._show(jnp.zeros(num_envs, jnp.int32))

    def step(self, key, state, action):
        return state + action[:, 0], self._show(state + action[:, 0])

    def _show(self, count):
        return SimpleTimeStep(count >= jnp.arange(count.shape[0]) + 2)


@jax.tree_util.register_pytree_node_class
class SimpleTimeStep:
    def __init__(self, boundary):
        self.boundary = boundary

    def tree_flatten(self):
        return (self.boundary,), None

    @classmethod
    def tree_unflatten(cls, _, leaves):
        return cls(*leaves)


def test_play_stops_when_the_last_lane_has_ended():
    first_flags = []

    def act(carry, timestep, first, seed_index):
        jax.debug.callback(lambda x: first_flags.append(x.tolist()), first, ordered=True)
        return carry, jnp.ones((2, 1), jnp.int32)

    policy = SimpleNamespace(act=act, carry=lambda num_envs: ())
    episode = play(Countdown(), policy, 0, jax.random.key(0), 2)
    # lane 1 ends after 3 steps: three actions, four moments
    assert (len(episode.actions), len(episode.states), len(episode.timesteps)) == (3, 4, 4)
    np.testing.assert_array_equal(episode.states[-1], [3, 3])
    assert first_flags == [[True, True], [False, False], [False, False]]


def test_the_readmes_first_command_shows_a_battle_that_is_won(tmp_path, capsys):
    policy, out = load_policy(PLAYED), tmp_path / "battle.gif"
    assert main(["--pretrained", POLICY, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert f"1 episode(s) of seed {policy.seeds[0]}, " in said and said.endswith(", 1 won\n")
    with Image.open(out) as gif:
        assert 2 <= gif.n_frames <= 1 + policy.spec.horizon and gif.width == 640
        assert f"{gif.n_frames} frames" in said
    assert out.stat().st_size < 2e6


@pytest.mark.slow
def test_records_the_best_seed(run_dir, capsys):
    assert main([str(run_dir), "--out", str(run_dir / "battle.gif")]) == 0
    assert "1 episode(s) of seed 4" in capsys.readouterr().out


def test_a_seed_may_be_chosen(run_dir):
    assert [choose_index(run_dir, SEEDS, index) for index in (None, 0, 1)] == [1, 0, 1]


def test_what_an_algorithm_does_not_show_is_said_before_anything_is_compiled(tmp_path, monkeypatch, capsys):
    settings = default_settings("aiir_mix", "default", "smax:3m")
    (tmp_path / "config.json").write_text(json.dumps(to_dict(settings)))
    monkeypatch.setattr(inspection, "load_seed", lambda *args: pytest.fail("the run was loaded"))
    assert main([str(tmp_path), "--show", "nope"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: --show nope: what this algorithm has for each agent: ") and said.count("\n") == 1
    assert "intrinsic_reward" in said and "attention" not in said


def test_wrong_input_ends_in_one_line_and_code_2(run_dir, tmp_path, capsys):
    cases = (
        [str(tmp_path)],
        [str(run_dir), "--out", "battle.mp4"],
        [str(run_dir), "--episodes", "0"],
        [str(run_dir), "--seed-index", "worst"],
        [str(run_dir), "--seed-index", "2"],
        [str(run_dir), "--seed-index", "²"],
        [str(run_dir), "--out", str(tmp_path / "no" / "such.gif")],
        [str(run_dir), "--out", ""],
        [""],
    )
    for argv in cases:
        assert main(argv) == 2
        captured = capsys.readouterr()
        assert captured.err.startswith("error: ") and captured.err.count("\n") == 1 and captured.out == ""


def test_help_imports_no_jax():
    code = "import sys\ntry:\n    from experiments.record import main; main(['--help'])\nexcept SystemExit:\n"
    code += "    sys.exit(any(m in sys.modules for m in ('jax', 'PIL', 'matplotlib')))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
