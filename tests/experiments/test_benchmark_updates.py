"""The updates benchmark: its rows and its refusals."""

import json

import pytest

from experiments import benchmark
from experiments.common.cli import run_command


@pytest.mark.slow
def test_rows_say_how_fast_and_where_the_time_goes(tmp_path, capsys):
    out = tmp_path / "updates.json"
    options = ["updates", "--algo", "ddpg_mix", "--env", "toy:action_continuous", "--seeds", "1", "2"]
    assert run_command(benchmark.command, [*options, "--seconds", "0.01", "--json", str(out)]) == 0
    rows = json.loads(out.read_text())
    assert [row["seeds"] for row in rows] == [1, 2]
    assert all(row["updates_per_s"] > 0 for row in rows)
    assert set(rows[0]["cpu_us_by_part"]) == {"act", "env", "buffer", "actor", "critic"}
    assert "of its processor time" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--algo", "maac"], "--algo maac: give one of iac"),
        (["--seeds", "0"], "--seeds must be at least 1, not 0"),
        (["--env", "multi_pendulum:0"], "multi_pendulum:0"),
        (["--env", "toy:action"], "iac cannot handle the discrete actions"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(options, message, capsys):
    assert run_command(benchmark.command, ["updates", *options]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
