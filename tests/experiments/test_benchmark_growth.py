"""How speed and memory grow: points, rows, the picture; and the tables for a GPU, in limited time."""

import json
import time

import pytest

from benchmarks import growth, growth_picture
from benchmarks import seeds as seeds_table
from benchmarks import settings as settings_table
from benchmarks.growth_points import Point, environment_speed
from benchmarks.worker import row_of_process
from experiments import benchmark
from experiments.common.cli import run_command
from experiments.common.files import write_json

VERSIONS = {"jax": "0", "jaxlib": "0"}
GOOD = {"status": "ok", "steps_per_s": 100.0, "steps_per_s_range": [90.0, 120.0], "bytes": 2048, "compile_s": 1.0}
GOOD |= {"num_envs": 4, "device": "cpu, 2 cores", "versions": VERSIONS}


def run(*argv):
    return run_command(benchmark.command, ["growth", *map(str, argv)])


def test_two_points_end_to_end(tmp_path, capsys):
    """An environment alone with 2 and 4 environments, each in a process of its own; then drawn again."""
    file, picture = tmp_path / "new" / "growth.json", tmp_path / "growth.png"
    where = ("--json", file, "--out", picture)
    argv = ("--env", "toy:memory", "--algo", "ippo", "--panels", "environments", "--num-envs", 4, 2, "--seconds", 0.05)
    assert run(*argv, *where) == 0
    rows = json.loads(file.read_text())["rows"]
    assert [(row["panel"], row["system"], row["x"], row["num_envs"], row["status"]) for row in rows] == [
        ("environments", "ours", 4, 4, "ok"), ("environments", "ours", 2, 2, "ok")
    ]  # fmt: skip
    for row in rows:
        low, high = row["steps_per_s_range"]
        assert 0 < low <= row["steps_per_s"] <= high and row["bytes"] > 0 and row["compile_s"] > 0
    assert "2 points, about 0:" in capsys.readouterr().out
    size = picture.stat().st_size
    picture.unlink()
    assert run("--redraw", *where) == 0 and picture.stat().st_size == size


def test_the_points_of_all_panels(monkeypatch, tmp_path):
    """JaxMARL's environment beside ours where it has the map; a series ends where a point does not fit."""
    asked = []

    def fake(point, seconds):
        asked.append(point)
        bad = {"status": "does not fit", "why": "needs 2.0 GiB, 1.0 GiB are free"}
        row = bad if point.panel == "seeds" and point.seeds == 4 else GOOD
        return point.named() | row

    monkeypatch.setattr(growth, "measured", fake)
    file, picture = tmp_path / "growth.json", tmp_path / "growth.png"
    argv = ("--num-envs", 16, 64, "--maps", "3m", "MMM2", "--seeds", 1, 4, 16, "--lengths", 8)
    assert run(*argv, "--json", file, "--out", picture) == 0
    assert [(p.panel, p.system, p.env, p.x, p.num_envs, p.seeds, p.rollout_length) for p in asked] == [
        ("environments", "ours", "smax:2s3z", 16, 16, 1, 0),
        ("environments", "ours", "smax:2s3z", 64, 64, 1, 0),
        ("environments", "jaxmarl", "smax:2s3z", 16, 16, 1, 0),
        ("environments", "jaxmarl", "smax:2s3z", 64, 64, 1, 0),
        ("agents", "ours", "smax:3m", 6, 64, 1, 0),
        ("agents", "jaxmarl", "smax:3m", 6, 64, 1, 0),
        ("agents", "ours", "smax:MMM2", 22, 64, 1, 0),
        ("seeds", "ours", "smax:2s3z", 1, 0, 1, 0),
        ("seeds", "ours", "smax:2s3z", 4, 0, 4, 0),
        ("length", "ours", "smax:2s3z", 8, 0, 1, 8),
    ]
    rows = {growth.key_of(row): row for row in json.loads(file.read_text())["rows"]}
    assert (
        rows["seeds", "ours", "aiir_mix:default", "smax:2s3z", 16]["status"] == "left out"
        and picture.stat().st_size > 0
    )
    # The next call measures one panel; the rows of the others stay.
    assert run("--panels", "length", "--lengths", 16, "--json", file, "--out", picture) == 0
    assert len(json.loads(file.read_text())["rows"]) == len(rows) + 1 and len(asked) == 11


def test_a_training_is_a_point(monkeypatch):
    jobs = []
    found = GOOD | {"bytes_needed": 4096}
    monkeypatch.setattr("benchmarks.growth_points.in_a_process", lambda job: jobs.append(job) or found)
    point = Point("length", "ours", "smax:3m", 8, False, algo="ippo", preset="tuned", rollout_length=8)
    row = growth.measured(point, 0.1)
    assert (row["algo"], row["bytes"], row["rollout_length"]) == ("ippo:tuned", 4096, 8)
    [job] = jobs
    assert (job.env, job.changes, job.seconds) == ("smax:3m", (("rollout_length", 8),), 0.1)
    script = Point("seeds", "jaxmarl ippo_rnn", "smax:3m", 2, False, seeds=2, reference_dir="clone")
    assert growth.measured(script, 0.1)["algo"] == "" and jobs[1].env == "3m"


@pytest.mark.slow
def test_jaxmarls_environment():
    row = environment_speed("smax:3m", "jaxmarl", 2, 0.01)
    assert row["status"] == "ok" and row["steps_per_s"] > 0 and row["num_envs"] == 2


def test_the_line_of_linear_cost():
    """Speeds 100, 50 and 10 with 1, 2 and 4 units: per pair the dearest is the last, 10 x 16; the line starts at 2."""
    assert growth_picture.linear([1, 2, 4], [100, 50, 10], lambda x: x**-2.0, largest=True) == [200.0, 50.0, 12.5]
    assert growth_picture.linear([1, 2], [10, 40], lambda x: x, largest=False) == [10.0, 20.0]


@pytest.mark.parametrize(
    "argv,text",
    [
        (["--env", "smax:9z"], "unknown environment 'smax:9z'"),
        (["--maps", "9z"], "unknown environment 'smax:9z'"),
        (["--panels", "memory"], "invalid choice: 'memory'"),
        (["--num-envs", "0"], "--num-envs must be at least 1, not 0"),
        (["--seconds", "0"], "--seconds must be"),
        (["--out", "growth.txt"], "--out must be a file that can be written"),
        (["--reference-dir", "nowhere"], "no baselines/IPPO/ippo_rnn_smax.py in nowhere"),
        (["--redraw", "--json", "no_rows.json"], "there is nothing to draw in no_rows.json"),
    ],
)
def test_refusals(argv, text, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*argv) == 2
    error = capsys.readouterr().err
    assert text in error and error.count("\n") == 1


def test_files_of_other_commands_are_refused(tmp_path, capsys):
    file = tmp_path / "seeds.json"
    write_json(file, {"rows": [{"system": "ours", "status": "ok"}]})
    assert run("--redraw", "--json", file) == 2
    assert "was written by another command: give another file" in capsys.readouterr().err


def sleep(seconds):
    time.sleep(seconds)
    return {"status": "ok"}


def test_a_process_is_ended_when_its_time_is_up():
    assert row_of_process(sleep, 0.0, limit=120.0) == {"status": "ok"}
    row = row_of_process(sleep, 600.0, limit=0.5)
    assert row["status"] == "timed out" and row["limit_s"] == 0.5


def test_tables_for_a_gpu_are_written_point_by_point_and_continued(tmp_path, monkeypatch, capsys):
    """The clock moves by a point's seconds. 100 s: seeds get 45, and so on; the same call continues the tables."""
    clock, asked = [0.0], []

    def fake(job):
        took = 10.0 * job.seeds if job.algo == "aiir_mix" else 5.0
        asked.append((job.algo, job.seeds, job.num_envs))
        clock[0] += min(took, job.limit)
        if took > job.limit:
            return {"status": "timed out", "why": f"not measured in {job.limit:.0f} s", "limit_s": job.limit}
        row = GOOD | {
            "devices": 1,
            "num_envs": job.num_envs,
            "platform": "gpu",
            "s_per_iteration": 1.0,
            "bytes_needed": 1,
            "peak_bytes": 1,
        }
        return row | {"first_update": {"loss": [1.0]}, "returns": [1.0, 2.0], "repeats": True}

    monkeypatch.setattr("benchmarks.gpu.time.monotonic", lambda: clock[0])
    for module in (seeds_table, settings_table):
        monkeypatch.setattr(module, "in_a_process", fake)
    argv = ["gpu", "--out", str(tmp_path), "--seeds", "1", "4", "16", "--budget"]
    assert run_command(benchmark.command, [*argv, "100"]) == 0
    rows = json.loads((tmp_path / "seeds_gpu.json").read_text())["rows"]
    assert [(row["lanes"], row["status"]) for row in rows] == [(1, "ok"), (4, "timed out")]
    assert clock[0] <= 100 and "skipped: aiir_mix smax:2s3z seeds=4" in capsys.readouterr().out
    measured_before = len(asked)
    assert run_command(benchmark.command, [*argv, "2000"]) == 0
    assert ("aiir_mix", 1, 0) not in asked[measured_before:]
    rows = json.loads((tmp_path / "seeds_gpu.json").read_text())["rows"]
    assert [(row["lanes"], row["status"]) for row in rows] == [(1, "ok"), (4, "ok"), (16, "ok")]
    batch = json.loads((tmp_path / "batch_gpu.json").read_text())["rows"]
    assert [(row["num_envs"], row["rollout_length"]) for row in batch][:2] == [(64, 32), (256, 32)]
    settings = json.loads((tmp_path / "settings_gpu.json").read_text())["rows"]
    assert len(settings) == len(settings_table.SETTINGS) and settings[0]["setting"] == "default"
    # All is measured: a third call measures nothing.
    measured_before = len(asked)
    assert run_command(benchmark.command, [*argv, "100"]) == 0 and len(asked) == measured_before


@pytest.mark.parametrize(
    "argv,text",
    [
        (["--budget", "0"], "--budget must be"),
        (["--seeds", "0"], "--seeds must be at least 1, not 0"),
        (["--reference-dir", "nowhere"], "no baselines/IPPO/ippo_rnn_smax.py in nowhere"),
    ],
)
def test_wrong_words_of_the_gpu_tables(argv, text, capsys):
    assert run_command(benchmark.command, ["gpu", *argv]) == 2
    error = capsys.readouterr().err
    assert text in error and error.count("\n") == 1
