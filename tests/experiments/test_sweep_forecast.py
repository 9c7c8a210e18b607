"""What a sweep will take: sums over its queue, what is not known, what an earlier sweep has measured."""

import json

import pytest

from experiments.sweeps import forecast
from experiments.sweeps.command_line import parse
from experiments.sweeps.forecast import Forecast, Share, Watch
from experiments.sweeps.plan import make_programs
from experiments.training import time_estimates

GIB = 2**30
AND_ONE = "ETA of all {} and 1 program(s) not compiled yet"


def test_time_and_memory_of_a_queue():
    """1000 steps of 2 s and 500 of 4 s are 4000 s (1:06:40); the third is not known; at most 3 GiB of the two."""
    shares = [Share(1000, seconds=2.0, bytes=GIB), Share(500, seconds=4.0, bytes=3 * GIB), Share(700)]
    queue = Forecast(shares)
    assert queue.line() == (
        "queue    3 program(s), 2,200 env steps to go: about 1:06:40, at most 3.0 GiB at a time;"
        " 1 program(s) unknown until compiled"
    )
    # 250 of 1000 steps in 1000 s: 4 s each, so 3000 s for the other 750, and 2000 s for the second program
    watch = Watch(queue, 0)
    assert watch.at(250, 1000.0) == ["program 1 of 3", "11 % of all", AND_ONE.format("1:23:20")]
    watch.batch_ended(600)  # and 200 of the next group, at 4 s: 200 more of it are 800 s, and those 2000 s
    assert watch.at(200, 800.0)[1:] == ["36 % of all", AND_ONE.format("46:40")]


def test_what_is_not_known_is_not_guessed():
    assert Forecast([Share(10), Share(20)]).line() == (
        "queue    2 program(s), 30 env steps to go: time and memory unknown until compiled"
    )
    ended = Forecast([Share(10, done=10), Share(20, seconds=1.0, bytes=GIB)])
    assert ended.line() == "queue    2 program(s), 20 env steps to go: about 0:20, at most 1.0 GiB at a time"


def test_a_single_program_has_no_more_to_tell():
    watch = Watch(Forecast([Share(100)]), 0)
    assert watch.at(50, 1.0) == []
    assert watch.share.seconds == pytest.approx(0.02)


def test_an_earlier_sweep_is_remembered(tmp_path, monkeypatch):
    """The same trials with other values of the float, and other lengths, are the same program; more trials are not."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "cache"))
    words = ["--algo", "liir", "--env", "smax:3m", "--total-steps"]
    first = make_programs(parse([*words, "1000", "--set", "lr=1e-3,2e-3", "num_envs=8,16"])[1], "out")
    known = forecast.make_forecast(first, [10, 10], [False, False])
    assert [share.seconds for share in known.shares] == [None, None]
    known.shares[0].seconds, known.shares[0].bytes = 0.5, GIB
    forecast.keep(known.shares[0])
    forecast.keep(known.shares[1])  # has measured nothing
    second = make_programs(parse([*words, "3000", "--set", "lr=1e-4,5e-4", "num_envs=8,16"])[1], "out")
    again = forecast.make_forecast(second, [10, 10], [False, True])
    assert [(s.steps, s.done, s.seconds, s.bytes) for s in again.shares] == [
        (30000, 0, 0.5, GIB),
        (30000, 30000, None, None),
    ]
    assert "about 4:10:00" in again.line()  # 15,000 s
    assert forecast.make_forecast(second, [20, 10], [False, False]).shares[0].seconds is None


def _seconds(words):
    """What is remembered of a sweep of one program, asked for by these words beside the usual ones."""
    request = parse(["--algo", "liir", "--env", "toy:memory", "--total-steps", "100", *words])[1]
    return forecast.make_forecast(make_programs(request, "out"), [5], [False]).shares[0]


def test_what_changes_the_speed_is_another_program(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("XLA_FLAGS", "--a --b")
    share = _seconds([])
    share.seconds, share.bytes = 0.5, GIB
    forecast.keep(share)
    assert _seconds(["--total-steps", "900"]).seconds == 0.5
    for words in (
        ["--matmul-precision", "bfloat16"],
        ["--deterministic"],
        ["--eval-every", "10"],
        ["--eval-episodes", "100"],
        ["--preset", "paper"],
    ):
        assert _seconds(words).seconds is None, words
    monkeypatch.setenv("XLA_FLAGS", "--b --a --a")  # what `prepare_jax` adds may be there already
    assert _seconds([]).seconds == 0.5
    monkeypatch.setenv("XLA_FLAGS", "--a")
    assert _seconds([]).seconds is None


@pytest.mark.parametrize("text", ["", "[1]", '{"a": 1}', '{"a": ["x", 1]}'])
def test_a_damaged_memory_is_none(tmp_path, monkeypatch, text):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    (tmp_path / "rates.json").write_text(text)
    assert time_estimates.read_rates() == {}
    forecast.keep(Share(1, "key", 1, 0.25, 7))
    assert json.loads((tmp_path / "rates.json").read_text()) == {"key": [0.25, 7]}
