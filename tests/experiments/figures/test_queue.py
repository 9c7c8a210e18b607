"""The queue of evidence: what is in it, in which order it is trained, and what a stop, a failure or a second call does.

The processes that would train are `tests/helpers/fake_queue_run.py`; one run is trained in this process.
"""

import json
import os
import shutil
import signal
import sys
import threading

import pytest

from envs.errors import ConfigError
from experiments.common.files import read_csv, read_json, write_json
from experiments.config.presets import PRESETS, Preset
from experiments.figures import store
from experiments.figures.iac import curves
from experiments.figures.queue import processes, queued_runs
from experiments.figures.queue.entries import QUEUES, QueueEntry
from experiments.figures.spec import Budget
from experiments.reproduce import main
from experiments.runs.directory import create_directory, locked
from experiments.training.signals import Signals, stop_with_parent
from tests.helpers import fake_queue_run

ENVS = ("toy:coordination", "toy:constant", "toy:memory")


class Queue:
    """A queue of three runs of two entries of figure 4, and one that figure 6 has too."""

    def __init__(self, folder):
        self.folder, self.orders, self.results = folder, folder / "orders", folder / "results"
        self.words = ["all", "--run-dir", str(folder / "runs"), "--results", str(self.results)]
        self.orders.mkdir()

    def __call__(self, *words):
        return main([*self.words, *words])

    def order(self, name):
        (self.orders / name).touch()

    @property
    def started(self):
        """Environments of the processes so far, in their order."""
        return [path.read_text() for path in sorted(self.orders.glob("*.started"))]

    def rows(self, name="fig4"):
        return [(r["env"], r["seed"], r["env_steps"]) for r in read_csv(self.results / "iac" / f"{name}.csv")]

    def statuses(self):
        return {r["env"]: r["status"] for r in read_json(self.results / "iac" / "fig4.json")["runs"]}

    def directories(self):
        return list(self.folder.glob("runs/**/config.json"))


@pytest.fixture
def queue(monkeypatch, tmp_path):
    budget = Budget(2, dict.fromkeys(ENVS, 64), ("fake",), ("default",))
    monkeypatch.setitem(curves.BUDGETS, "iac/fig4", {"small": budget, "paper": budget})
    monkeypatch.setitem(curves.BUDGETS, "iac/fig6", {"small": budget._replace(steps={ENVS[2]: 64})})
    monkeypatch.setitem(PRESETS, "fake", {"default": Preset({}, {})})
    entries = (
        QueueEntry("iac/fig4 --budget small --envs toy:constant", "one"),
        QueueEntry("iac/fig4 --budget small", "all three"),
        QueueEntry("iac/fig6 --budget small", "what figure 4 has too"),
    )
    monkeypatch.setitem(QUEUES, "paper", entries)
    monkeypatch.setattr(queued_runs, "BENCHMARKS", ())
    monkeypatch.setattr(queued_runs, "RECORDS", ())
    monkeypatch.setattr(processes, "COMMAND", (sys.executable, "-S", fake_queue_run.__file__))
    monkeypatch.setattr(processes, "POLL_SECONDS", 0.01)
    monkeypatch.setenv("FAKE_RUNS", str(tmp_path / "orders"))
    return Queue(tmp_path)


def test_it_is_trained_in_order_once_and_into_the_figures_files(queue, capsys):
    assert queue("--jobs", "1") == 0
    out = capsys.readouterr().out
    assert queue.started == ["toy:constant", "toy:coordination", "toy:memory"]
    assert "all: 3 runs: 0 done, 0 begun, 3 to do" in out
    assert "done     iac/fig4 fake on toy:constant" in out and "3 of 3 runs" in out
    for name, count in (("fig4", 3), ("fig6", 1)):  # one run is of both figures
        line = (
            f"python -m experiments.reproduce iac/{name} --budget small --out {queue.results}/iac/{name}.png --redraw"
        )
        assert out.count(f"         {line}\n") == count
    assert queue.rows() == [(env, seed, "64") for env in sorted(ENVS) for seed in "01"]
    assert queue.rows("fig6") == [("toy:memory", seed, "64") for seed in "01"]
    assert queue.statuses() == dict.fromkeys(ENVS, "finished")
    for name in ("fig4", "fig6"):  # as if this process had ended before it could write them
        (queue.results / "iac" / f"{name}.csv").unlink()
        (queue.results / "iac" / f"{name}.json").unlink()
    assert queue("--jobs", "2") == 0
    assert "all: 3 runs: 3 done, 0 begun, 0 to do\n" == capsys.readouterr().out
    assert len(queue.started) == 3 and len(queue.rows()) == 6 and len(queue.rows("fig6")) == 2


def test_what_the_figures_files_have_is_not_trained_again(queue, capsys):
    """As in a clone with the committed files of runs whose directories are elsewhere."""
    assert queue("--jobs", "1", "--only", "iac/fig4") == 0
    shutil.rmtree(queue.folder / "runs")
    (queue.results / "iac" / "fig4.csv").rename(rows := queue.folder / "rows.csv")
    assert queue("--list", "--only", "iac/fig4") == 0
    assert "3 runs: 3 done, 0 begun, 0 to do" in capsys.readouterr().out
    assert queue("--list") == 0  # figure 6 needs one of them, and its own file has it not
    assert "3 runs: 2 done, 0 begun, 1 to do" in capsys.readouterr().out
    assert queue("--list", "--only", "iac/fig4", "--again") == 0
    assert "3 runs: 0 done, 0 begun, 3 to do" in capsys.readouterr().out
    assert queue("--jobs", "1", "--only", "iac/fig4") == 0
    assert len(queue.started) == 3 and rows.exists() and not (queue.results / "iac" / "fig4.csv").exists()


@pytest.mark.parametrize(
    "change",
    [{"preset": "paper"}, {"total_steps": 32}, {"seeds": 1}, {"algorithm": "0"}, {"status": "begun"},
     {"env_options": ["reward=sparse"]}],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_a_record_of_another_run_counts_for_nothing(queue, change):
    assert queue("--jobs", "1", "--only", "iac/fig6") == 0
    (queued,) = queued_runs.make_queue("paper", ("iac/fig6",), queue.folder / "runs", queue.results)
    path = queued.training.record_path(queued.run)
    assert store.is_recorded(path, "small", queued.run) and not store.is_recorded(path, "paper", queued.run)
    (record,) = read_json(path)["runs"]
    write_json(path, {"runs": [record | change]})
    assert not store.is_recorded(path, "small", queued.run)


def test_two_at_once_have_a_core_each_and_both_write_their_rows(queue):
    queue.order("together")
    assert queue("--jobs", "2", "--only", "iac/fig4") == 0
    assert set(queue.started[:2]) == {"toy:constant", "toy:coordination"}
    assert len(queue.rows()) == 6
    for config in queue.directories():
        used = json.loads((config.parent / "process.json").read_text())
        assert used == {"nice": 19, "cores": 1, "devices": "1"}


def test_ctrl_c_stops_the_processes_and_the_same_command_goes_on(queue, capsys):
    def stop():
        fake_queue_run.until(lambda: len(queue.started) == 2)
        os.kill(os.getpid(), signal.SIGINT)

    queue.order("wait")
    thread = threading.Thread(target=stop)
    thread.start()
    assert queue("--jobs", "2") == 130
    thread.join()
    out = capsys.readouterr().out
    assert out.count("stopped  ") == 2 and "failed" not in out
    assert f"stopped; resume with: python -m experiments.reproduce {' '.join(queue.words)} --jobs 2" in out
    assert queue.statuses() == {"toy:constant": "begun", "toy:coordination": "begun"}
    assert {steps for _, _, steps in queue.rows()} == {"32"}
    assert queue("--list") == 0
    out = capsys.readouterr().out
    assert out.count("begun, 50%") == 3 and "3 runs: 0 done, 2 begun, 1 to do" in out  # one is of two entries
    (queue.orders / "wait").unlink()
    assert queue("--jobs", "1") == 0
    out = capsys.readouterr().out
    assert queue.started[2:] == ["toy:constant", "toy:coordination", "toy:memory"]
    assert out.count("resumed") == 2 and out.count("begun    ") == 1
    assert len(queue.directories()) == 3 and {steps for _, _, steps in queue.rows()} == {"64"}


def test_a_run_that_fails_takes_no_other_along(queue, capsys):
    queue.order("fail")
    assert queue("--jobs", "1") == 1
    out = capsys.readouterr().out
    assert len(queue.started) == 3
    assert out.count("(exit code 1); continuing with the others\n         error: the disk is full\n") == 3


def test_an_error_here_lets_the_processes_save(queue, capsys, monkeypatch):
    def make(settings):
        if settings.run.env == "toy:constant":
            return create_directory(settings)
        fake_queue_run.until(lambda: queue.started)
        raise ConfigError("the disk is full")

    queue.order("wait")
    monkeypatch.setattr(processes, "create_directory", make)
    assert queue("--jobs", "2") == 2
    assert capsys.readouterr().err == "error: the disk is full\n"
    (directory,) = (path.parent for path in queue.directories())
    assert (directory / "stopped").read_text() == str(int(signal.SIGTERM))


def test_the_list_shows_states_and_hours(queue, capsys):
    assert queue("--jobs", "1", "--only", "iac/fig6") == 0
    capsys.readouterr()
    assert queue("--list", "--jobs", "2") == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[1:4] == [
        "1 iac/fig4 --budget small --envs toy:constant",
        "one",
        "fake toy:constant default 2 x 64 to do 0.03 h as fake on toy:memory",  # 128 steps in 100 s
    ]
    assert lines.count("fake toy:memory default 2 x 64 done") == 2
    assert lines[-1] == ("3 runs: 1 done, 0 begun, 2 to do; about 0.1 hours one after another, 0.0 with --jobs 2")
    assert len(queue.started) == 1


def test_hours_of_what_was_never_measured_are_unknown(queue, capsys):
    assert queue("--list", "--jobs", "1", "--only", "iac/fig6") == 0
    assert "to do ? h" in " ".join(capsys.readouterr().out.split())


def test_a_process_trains_the_run_of_its_directory(queue, capsys):
    """What `processes.COMMAND` starts, in this process."""
    queued = queued_runs.make_queue("paper", ("iac/fig6",), queue.folder / "runs", queue.results)[0]
    directory = create_directory(queued.run.settings)
    assert main(["all", "--train", str(directory), *queued.words]) == 0
    assert queued.run.directory == directory and queued.run.status == "finished"
    assert queue("--only", "iac/fig6") == 0
    assert "1 runs: 1 done" in capsys.readouterr().out
    assert {seed for _, seed, _ in queue.rows("fig6")} == {"0", "1"} and queue.started == []


def test_a_process_stops_when_the_one_that_started_it_is_killed(monkeypatch):
    parents = iter([7, 7, 1, 1, 1])
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    with Signals().listening() as stop, stop_with_parent(0.01):
        fake_queue_run.until(stop)
    assert stop.received == signal.SIGTERM


def test_one_command_at_a_time(queue, capsys):
    (queue.folder / "runs").mkdir()
    with locked(queue.folder / "runs"):
        assert queue() == 2
    assert "another process is training in" in capsys.readouterr().err


def test_rows_of_runs_that_end_at_once_are_all_kept(queue):
    """Without the lock one of the writers would undo what another has written."""
    found = queued_runs.make_queue("paper", ("iac/fig4",), queue.folder / "runs", queue.results)
    run = found[0].run
    runs = [run._replace(name=f"method_{k}") for k in range(8)]
    directory = create_directory(run.settings)
    (directory / "eval.csv").write_text("iteration,env_steps,seed,return_mean,return_std\n1,64,0,1,0\n")
    table = queue.results / "iac" / "fig4.csv"
    threads = [threading.Thread(target=store.keep_curves, args=(table, "small", each, "")) for each in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {row["algo"] for row in read_csv(table)} == {each.name for each in runs}
    assert {record["algo"] for record in read_json(table.with_suffix(".json"))["runs"]} == {r.name for r in runs}


def _found(only):
    """{(figure, budget, environment): methods and their steps} of the committed list; five seeds each."""
    found = {}
    for queued in queued_runs.make_queue("paper", only):
        run = queued.run.settings.run
        assert run.seeds == 5
        env = " ".join((run.env, *run.env_options))
        found.setdefault((queued.training.options.budget, env), []).append((queued.run.method, run.total_steps))
    return found


def test_the_order_of_the_committed_list():
    order = ["aiir/sparse", "aiir/fig4", "iac/fig4", "iac/fig5", "iac/fig6", "iac/fig7"]
    order += ["aiir/why", "aiir/fig3", "smac/maps"]
    assert list(dict.fromkeys(queued.entry.target for queued in queued_runs.make_queue("paper"))) == order
    assert all(entry.why for entry in QUEUES["paper"])


def test_the_committed_list_for_aiir_mix():
    methods = ("aiir_mix", "liir", "no_intrinsic", "mappo", "qmix")
    sparse = [
        ("full", f"smax:{name} reward={form}") for form in ("semisparse", "sparse") for name in ("3m", "8m", "2s3z")
    ]
    sparse = [("full", f"smax:{name} reward=win rules=short_sighted") for name in ("3m", "8m")] + sparse
    found = _found(("aiir/sparse",))
    assert list(found) == sparse
    assert all(each == [(name, 1_000_000) for name in methods] for each in found.values())
    ablations = [(name, 2_000_000) for name in ("aiir_mix", "rmix", "aiir", "liir")]
    assert _found(("aiir/fig4",)) == {("paper", f"smax:{name}"): ablations for name in ("8m", "2s3z")}
    five = [(name, 2_000_000) for name in ("aiir_mix", "liir", "coma")]
    five += [(name, 1_000_000) for name in ("qmix", "qtran")]
    maps = [(budget, f"smax:{name}") for budget in ("paper", "tuned") for name in ("MMM", "3s5z", "8m", "2s3z")]
    found = _found(("aiir/fig3",))
    assert list(found) == maps and all(each == five for each in found.values())
    presets = {(queued.training.options.budget, queued.run.method): queued.run.settings.run.preset
               for queued in queued_runs.make_queue("paper", ("aiir/fig3",))}  # fmt: skip
    assert presets == {
        **{("paper", name): "paper" for name in ("aiir_mix", "liir")},
        **{("paper", name): "pymarl" for name in ("qmix", "qtran")},
        ("paper", "coma"): "default",  # PyMARL's settings
        **{("tuned", name): "default" for name in ("aiir_mix", "liir")},
        **{("tuned", name): "tuned" for name in ("qmix", "qtran", "coma")},
    }


def test_the_committed_list_for_iac():
    steps = {"multi_pendulum:3": 600_000, "predator_prey": 1_500_000, "po_predator_prey": 1_500_000}
    assert _found(("iac/fig4",)) == {("tuned", env): [(m, n) for m in curves.METHODS] for env, n in steps.items()}
    assert _found(("iac/fig5",)) == {("tuned", "multi_pendulum:3"): [("iac", 600_000)]}
    assert _found(("iac/fig6",)) == {
        ("tuned", f"multi_pendulum_shaped:{n}"): [("iac", 500_000), ("siaq", 500_000)] for n in (2, 3, 5, 8)
    }
    trained = {queued.run.settings for queued in queued_runs.make_queue("paper", ("iac/fig4",))}
    needed = [queued.run.settings for queued in queued_runs.make_queue("paper", ("iac/fig7",))]
    assert len(needed) == 10 and set(needed) <= trained


@pytest.mark.parametrize(
    "words, message",
    [
        (["--budget", "huge"], "--budget: no 'huge'; it is one of paper"),
        (["--only", "iac/fig2"], "--only: no 'iac/fig2' in this queue; it has aiir/sparse, aiir/fig4, iac/fig4"),
        (["--jobs", "0"], "--jobs must be at least 1, not 0"),
        (["--seeds", "3"], "unrecognized arguments: --seeds 3: see --help"),
        (["--run-dir", "/dev/null/runs"], "--run-dir must be a directory that can be written to"),
        (["--train"], "--train takes a run directory and a figure's command line"),
    ],
)
def test_wrong_input_is_one_line_and_code_2(words, message, capsys):
    assert main(["all", *words]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1


def test_help_says_how_it_is_used(capsys):
    with pytest.raises(SystemExit):
        main(["all", "--help"])
    out = capsys.readouterr().out
    assert "python -m experiments.reproduce all --only aiir/sparse" in out and "Ctrl-C" in out
