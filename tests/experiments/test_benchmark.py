"""The benchmark command: its rows, its table, its refusals."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from benchmarks.env_picture import POINT, name_points, points_of
from benchmarks.env_speed import benchmark_env, random_action, random_legal
from benchmarks.reference.environments import reference_of
from benchmarks.scripted import POLICIES, BaselineScore, markdown, play_scripted, policy_names
from envs.base import ActionSpec
from experiments import benchmark
from experiments.common.cli import run_command

FIELDS = {"env", "num_envs", "ours_steps_per_s", "peer", "peer_steps_per_s", "ratio", "device", "versions"}


def test_rows_without_a_reference_implementation(tmp_path, capsys):
    file = tmp_path / "rows.json"
    argv = ["env", "--env", "matrix_game", "toy:memory", "--num-envs", "2", "3", "--length", "4", "--json", str(file)]
    assert run_command(benchmark.command, argv) == 0
    rows = json.loads(file.read_text())
    assert [(row["env"], row["num_envs"]) for row in rows] == [
        ("matrix_game", 2), ("matrix_game", 3), ("toy:memory", 2), ("toy:memory", 3)
    ]  # fmt: skip
    assert all(row.keys() >= FIELDS and row["ours_steps_per_s"] > 0 and row["ours_compile_s"] > 0 for row in rows)
    assert all(row["peer"] is None and row["ratio"] is None for row in rows)
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_other_rows_stay_in_the_file_and_starcraft_maps_are_drawn(tmp_path, capsys):
    file, picture = tmp_path / "rows.json", tmp_path / "maps.png"
    speeds = {"smax:corridor": 5e4, "smax:3m": 3e5, "matrix_game": 1.0}
    old = [{"env": name, "num_envs": 2, "ours_steps_per_s": speed} for name, speed in speeds.items()]
    file.write_text(json.dumps(old))
    argv = ["env", "--env", "matrix_game", "--num-envs", "2", "--length", "4", "--json", str(file)]
    assert run_command(benchmark.command, [*argv, "--picture", str(picture)]) == 0
    rows = json.loads(file.read_text())
    assert rows[:2] == old[:2] and len(rows) == 3 and rows[2]["ours_steps_per_s"] > 1.0
    assert picture.stat().st_size > 1000
    assert points_of(rows, 2) == [("3m", 6, 3e5, True), ("corridor", 30, 5e4, False)]


def test_kept_rows_are_drawn_again_without_measuring(tmp_path):
    file, picture = tmp_path / "rows.json", tmp_path / "maps.png"
    rows = [{"env": f"smax:{name}", "num_envs": 64, "ours_steps_per_s": 1e5} for name in ("3m", "8m")]
    file.write_text(json.dumps(rows))
    argv = ["env", "--redraw", "--json", str(file), "--picture", str(picture)]
    assert run_command(benchmark.command, argv) == 0
    assert json.loads(file.read_text()) == rows and picture.stat().st_size > 1000


def test_names_of_points_cover_no_other_name_and_no_point():
    """Five pairs of points that are less than a point's diameter apart, and one at the right edge."""
    figure = Figure(figsize=(6, 4), dpi=150)
    FigureCanvasAgg(figure)
    ax = figure.subplots()
    points = [
        (f"name_of_map_{i}", x + dx, 5 - x) for i, (x, dx) in enumerate((x, dx) for x in range(5) for dx in (0, 0.01))
    ]
    points.append(("a_map_at_the_edge", 8.0, 1.0))
    ax.plot([p[1] for p in points], [p[2] for p in points], "o", ms=POINT, label="maps")
    ax.legend(loc="lower left")
    boxes = [Text.get_window_extent(text) for text in name_points(figure, ax, points)]
    for i, box in enumerate(boxes):
        assert box.count_overlaps(boxes[:i]) == 0 and box.x1 <= figure.bbox.x1
        assert not any(box.contains(*ax.transData.transform(point[1:])) for point in points)


@pytest.mark.slow
def test_row_beside_jaxmarl():
    row = benchmark_env("smax:3m", 4, length=8)
    assert row["peer"] == "jaxmarl HeuristicEnemySMAX" and row["peer_compile_s"] > 0
    np.testing.assert_allclose(row["ratio"], row["ours_steps_per_s"] / row["peer_steps_per_s"])


def test_row_beside_gymnax():
    row = benchmark_env("multi_pendulum:2", 3, length=4)
    assert (row["peer"], set(row["versions"])) == ("gymnax Pendulum-v1", {"jax", "jaxlib", "gymnax"})
    np.testing.assert_allclose(row["ratio"], row["ours_steps_per_s"] / row["peer_steps_per_s"])


def test_gymnax_plays_as_many_pendulums_and_restarts_them():
    """3 environments of 2 pendulums: 6 of gymnax's, an environment step each for 3; at step 200 they begin anew."""
    open_episodes, step = reference_of("multi_pendulum:2").build(3)
    carry = open_episodes(jax.random.key(0))
    assert carry[1].shape == (6, 3)
    carry, steps = jax.jit(lambda c, k: jax.lax.scan(step, c, k))(carry, jax.random.split(jax.random.key(1), 200))
    assert int(steps.sum()) == 600
    assert carry[0].time.tolist() == [0] * 6


def test_jaxmarl_hunts_with_as_many_bodies_and_restarts():
    """Their episode ends with the step taken at count 100, the 101st; observations as ours, 3 predators of 16."""
    open_episodes, step = reference_of("predator_prey").build(2)
    carry = open_episodes(jax.random.key(0))
    assert carry[1].shape == (2, 3, 16) and carry[0].p_pos.shape == (2, 6, 2)
    carry, steps = jax.jit(lambda c, k: jax.lax.scan(step, c, k))(carry, jax.random.split(jax.random.key(1), 101))
    assert int(steps.sum()) == 202
    assert carry[0].step.tolist() == [0, 0]


def test_environments_without_a_reference_implementation():
    assert (
        reference_of("simple_world") is None
        and reference_of("po_predator_prey") is None
        and reference_of("smax:MMM2") is None
    )


@pytest.mark.parametrize(
    "argv,text",
    [
        (["env", "--env", "smax:9z"], "unknown environment 'smax:9z'"),
        (["env", "--num-envs", "0"], "--num-envs must be at least 1, not 0"),
        (["env", "--redraw"], "--redraw draws the rows of --json: give --picture FILE.png, too"),
        (["scripted", "--env", "matrix_game"], "'matrix_game' has no scripted policies: give smax:<map>"),
        (["scripted", "--episodes", "0"], "--episodes must be at least 1, not 0"),
    ],
)
def test_refusals(argv, text, capsys):
    assert run_command(benchmark.command, argv) == 2
    error = capsys.readouterr().err
    assert text in error and error.count("\n") == 1


@pytest.mark.parametrize("command", ["learn", "train", "seeds"])
def test_reference_implementations_are_in_a_clone_alone(command, tmp_path, monkeypatch, capsys):
    """As where the package is installed without the folder. --peer-dir is the option's old name."""
    for name in [name for name in sys.modules if name.startswith("benchmarks.reference")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "benchmarks.reference", None)
    assert run_command(benchmark.command, [command, "--peer-dir", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "run from a clone of this repository only" in error and error.count("\n") == 1
    assert benchmark_env("multi_pendulum:2", 3, length=4)["peer"] is None


def test_help_imports_no_jax():
    code = "import sys; from experiments.benchmark import parser; parser(); sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_random_legal_draws_legal_actions():
    avail = jax.random.bernoulli(jax.random.key(0), 0.4, (200, 3, 7)).at[..., 2].set(True)
    action = random_legal(avail, jax.random.key(1))
    assert np.take_along_axis(np.asarray(avail), np.asarray(action)[..., None], -1).all()
    assert action.dtype == jnp.int32


def test_random_actions_of_a_continuous_world_fill_its_bounds():
    spec = ActionSpec(dim=2, low=-2.0, high=1.0)
    action = np.asarray(random_action(spec, jnp.ones((500, 3, 0), bool), jax.random.key(0)))
    # 3000 draws uniform in [-2, 1]: mean -0.5 within 4 standard deviations of 0.87 / sqrt(3000) = 0.016
    assert action.shape == (500, 3, 2) and -2 <= action.min() < -1.98 and 0.98 < action.max() < 1
    assert abs(action.mean() + 0.5) < 0.064


def test_scripted_score():
    score = play_scripted("smax:3m", "attack nearest", 8)
    assert score.episodes == 8 and 0.0 <= score.win_low <= score.win_rate <= score.win_high <= 1.0
    assert 1.0 <= score.length_mean <= 60.0 and 2.0 < score.return_mean <= 20.001


@pytest.mark.parametrize("label", POLICIES[1:3])
def test_the_heuristic_is_scored(label):
    score = play_scripted("smax:3m", label, 8, rules="smac")
    assert score.policy == label and score.return_mean > 2.0 and score.length_mean > 10


def test_the_policies_of_smacv2():
    assert policy_names("smacv2:zerg_5_vs_5") == ("attack nearest", "random")
    assert policy_names("smax:3m") == POLICIES


@pytest.mark.slow
def test_smacv2_is_scored():
    score = play_scripted("smacv2:protoss_5_vs_5", "attack nearest", 8, rules="smac")
    assert score.return_mean > 2.0 and 10 < score.length_mean <= 200


def test_scripted_table():
    table = markdown([BaselineScore("smax:3m", "random", 4, 0.25, 0.046, 0.699, 3.14159, 21.4)])
    assert table.splitlines()[-1] == "| smax:3m | random | 0.25 (0.05 to 0.70) | 3.1 | 21 |"
