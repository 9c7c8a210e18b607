"""Hooks of the training loop: when each is called and with what; what an observed training leaves behind."""

import dataclasses
import json
import signal
import types

import jax
import numpy as np
import pytest

from experiments.common.files import read_csv, write_sums
from experiments.config.command_line import Command, new_settings
from experiments.config.schema import Settings, read_config
from experiments.runs import find
from experiments.runs.checkpoint import fingerprints_of
from experiments.training import live_curves
from experiments.training.hooks import Hook
from experiments.training.live_curves import LiveCurves
from experiments.training.observers import read_seen, train_and_observe
from experiments.training.train import train
from tests.helpers.run_fixtures import FAST

# 12 iterations of 8 rows, 4 of them env steps; evaluations after 3, 6, 9 and 12.
SHORT = ["--total-steps", "48", "--seeds", "2", "--eval-every", "12", "--log-every", "2", "--eval-episodes", "4"]
SHORT += ["--chunk-iterations", "5", "--checkpoint-every", "9999"]


class Recorder(Hook):
    """Notes each call, with the iteration; stops the run in the chunk that ends at `stop_at`."""

    def __init__(self, stop_at=-1):
        self.calls, self.stop_at = [], stop_at

    def on_start(self, loop, restored):
        self.calls.append(("start", loop.progress.iteration, None if restored is None else shape_of(restored)))

    def on_chunk(self, loop):
        self.calls.append(("chunk", loop.progress.iteration))
        loop.notes = [f"after {loop.progress.iteration}"]
        if loop.progress.iteration == self.stop_at:
            signal.raise_signal(signal.SIGTERM)

    def on_evaluation(self, loop, rows):
        self.calls.append(("evaluation", loop.progress.iteration, [row["seed"] for row in rows]))

    def on_save(self, loop, states):
        self.calls.append(("save", loop.progress.iteration, shape_of(states)))

    def on_end(self, loop):
        self.calls.append(("end", loop.progress.iteration))


def shape_of(states):
    return states.learner["logits"].shape[0]


@pytest.fixture
def settings(tmp_path):
    return new_settings(Command([*FAST, "--run-dir", str(tmp_path / "runs"), *SHORT]))


def evaluations(directory):
    return [int(row["iteration"]) for row in read_csv(directory / "eval.csv") if row["seed"] == "0"]


def test_hooks_are_called_in_order(settings, capsys):
    hook = Recorder()
    assert train(settings, hooks=[hook]) == 0
    evaluated = [("evaluation", at, [0, 1]) for at in (3, 6, 9, 12)]
    others = [call for call in hook.calls if call[0] != "chunk"]
    assert others == [("start", 0, None), *evaluated, ("save", 12, 2), ("end", 12)]
    for call in evaluated:
        assert hook.calls[hook.calls.index(call) - 1] == ("chunk", call[1])
    assert "after 12" in capsys.readouterr().out


def test_a_resumed_training_starts_with_the_restored_states(settings):
    cut, rest = Recorder(stop_at=6), Recorder()
    assert train(settings, hooks=[cut]) == 128 + signal.SIGTERM
    assert cut.calls[-3:] == [("chunk", 6), ("evaluation", 6, [0, 1]), ("save", 6, 2)]  # and no end
    directory = find.newest_run(settings)
    assert train(read_config(directory), directory, [rest]) == 0
    assert rest.calls[0] == ("start", 6, 2) and rest.calls[-1] == ("end", 12)


def test_each_batch_of_seeds_has_its_own_start_and_end(settings):
    hook = Recorder()
    run = dataclasses.replace(settings.run, seeds_per_batch=1)
    assert train(Settings(run, settings.algorithm), hooks=[hook]) == 0
    assert [call[0] for call in hook.calls if call[0] in ("start", "end")] == ["start", "end"] * 2
    assert [call[2] for call in hook.calls if call[0] == "save"] == [1, 1]


def test_evaluations_stand_where_they_are_asked_for(settings):
    assert train(settings, evaluate_at=[4, 20, 21, 999]) == 0
    assert evaluations(find.newest_run(settings)) == [1, 5, 6, 12]


def test_rows_of_an_evaluation_are_of_their_own_seeds(settings):
    """Episodes of 1 to 5 steps, drawn by each seed's key: seeds differ, and are the same however they are batched."""
    run = dataclasses.replace(settings.run, env="toy:variable", total_steps=16, eval_every=16)
    found = []
    for size in (0, 1):
        each = dataclasses.replace(run, seeds_per_batch=size, run_dir=f"{run.run_dir}_{size}")
        assert train(Settings(each, settings.algorithm)) == 0
        table = read_csv(find.newest_run(Settings(each, settings.algorithm)) / "eval.csv")
        found.append({row["seed"]: row["return_mean"] for row in table})
    assert found[0] == found[1] and found[0]["0"] != found[0]["1"]


def test_the_curves_are_drawn_while_a_run_trains(settings):
    assert train(settings, hooks=[LiveCurves(seconds=0.0), Recorder(stop_at=3)]) == 128 + signal.SIGTERM
    directory = find.newest_run(settings)
    assert (directory / "curves.png").read_bytes().startswith(b"\x89PNG") and find.status(directory) == "begun"


@pytest.mark.parametrize("failure, drawn_at", [("", [100, 135, 240]), ("no curves.png: full", [100])])
def test_drawing_takes_a_hundredth_of_the_time(monkeypatch, failure, drawn_at):
    """Evaluations every 5 seconds; drawing takes 1 second, the first time 2. After a failure it is not tried again."""
    clock, drawn, said = [70.0], [], []

    def draw(directory):
        drawn.append(clock[0])
        clock[0] += 1 + (len(drawn) == 1)
        return failure

    monkeypatch.setattr(live_curves, "time", types.SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(live_curves, "draw_curves", draw)
    console = types.SimpleNamespace(say=said.append)
    hook, loop = LiveCurves(), types.SimpleNamespace(context=types.SimpleNamespace(directory=None, console=console))
    for moment in range(70, 340, 5):
        clock[0] = float(moment)
        hook.on_evaluation(loop, [])
    assert drawn == drawn_at and said == [failure] * bool(failure)


def make_look(env, algorithm):
    return lambda state, key, steps: {"mean": state.learner["logits"], "noise": jax.random.normal(key)}


def test_batches_see_what_one_batch_sees(settings):
    assert train_and_observe(settings, None, [20], make_look) == 0
    whole = read_seen(find.newest_run(settings))
    run = dataclasses.replace(settings.run, seeds_per_batch=1, run_dir=settings.run.run_dir + "_apart")
    apart = Settings(run, settings.algorithm)
    assert train_and_observe(apart, None, [20], make_look) == 0
    directory = find.newest_run(apart)
    assert sorted(path.name for path in (directory / "seen").iterdir()) == ["seeds_0-0", "seeds_1-1"]
    for one, other in zip(whole, read_seen(directory), strict=True):
        assert one.keys() == other.keys() == {"mean", "noise", "return_mean", "env_steps"}
        for name in one:
            np.testing.assert_allclose(one[name], other[name], rtol=1e-6)


def test_an_observed_run_of_an_older_version_goes_on(settings, monkeypatch):
    """It wrote no rows, and no size of batches into its configuration."""
    assert train_and_observe(settings, None, [20], make_look) == 0
    expected = read_seen(find.newest_run(settings))
    run = dataclasses.replace(settings.run, run_dir=settings.run.run_dir + "_old")
    old = Settings(run, settings.algorithm)
    stops = iter([False] * 4 + [True])
    with monkeypatch.context() as patch:
        patch.setattr("experiments.training.signals.Signals.__call__", lambda self: next(stops, False))
        assert train_and_observe(old, None, [20], make_look) == 128
    directory = find.newest_run(old)
    for table in ("metrics", "eval"):
        (directory / f"{table}.csv").unlink()
    config = json.loads((directory / "config.json").read_text()) | {"seeds_per_batch": 0}
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "config.json.sha256").unlink()
    (place,) = (directory / "checkpoints" / "seeds_0-1").iterdir()
    progress = json.loads((place / "progress.json").read_text())
    progress |= {"fingerprint": fingerprints_of(read_config(directory))[1], "window": {}, "rows": {}}
    progress["bar_hits"], progress["stopped"] = progress.pop("target_hits"), progress.pop("reached_target_win_rate")
    (place / "progress.json").write_text(json.dumps(progress))
    write_sums(place)
    assert train_and_observe(read_config(directory), directory, [20], make_look) == 0
    found = read_seen(directory)
    assert all(np.array_equal(a[name], b[name]) for a, b in zip(expected, found, strict=True) for name in a)
    first = read_csv(directory / "metrics.csv")[0]
    assert int(first["iteration"]) > int(place.name) and first["loss"] and find.status(directory) == "finished"
