"""Figures 4, 6 and 7: what is trained, what is kept, what is drawn; their numbers."""

import dataclasses
import json
import math

import numpy as np
import pytest

from experiments.analysis.curves import Curves
from experiments.common.files import read_csv, read_json, write_csv
from experiments.config.presets import PRESETS, Preset
from experiments.config.schema import Settings
from experiments.figures import runs, spec, store
from experiments.figures.iac import covariance, curves, saved_steps, simple_world
from experiments.figures.runs import Run
from experiments.figures.spec import Budget
from experiments.reproduce import main
from experiments.runs.results import write_summary


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Figure 4 of the fake learner on two toys -> (argv, path of the picture)."""
    budget = Budget(2, {"toy:coordination": 64, "toy:constant": 64}, ("fake",), ("{family}", "default"), "all else")
    monkeypatch.setitem(curves.BUDGETS, "iac/fig4", {"small": budget, "paper": budget._replace(seeds=5)})
    monkeypatch.setitem(PRESETS, "fake", {"default": Preset({}, {})})
    out = tmp_path / "results" / "fig4.png"
    return ["iac/fig4", "--run-dir", str(tmp_path / "runs"), "--out", str(out)], out


def test_figure_4_trains_what_is_missing_and_redraws_without_training(tiny, capsys, monkeypatch):
    argv, out = tiny
    assert main([*argv, "--envs", "toy:constant"]) == 0
    text = capsys.readouterr().out
    assert "iac/fig4: 1 runs, 1 to train: about 0.0 hours" in text
    assert "budget small with other envs; leaves out: all else" in text
    assert main(argv) == 0
    assert "iac/fig4: 2 runs, 1 to train" in capsys.readouterr().out
    rows = read_csv(out.with_suffix(".csv"))
    assert {(r["algo"], r["env"], r["seed"]) for r in rows} == {
        ("fake", env, seed) for env in ("toy:coordination", "toy:constant") for seed in "01"
    }
    assert tuple(rows[0]) == store.COLUMNS
    records = read_json(out.with_suffix(".json"))["runs"]
    assert [(r["env"], r["status"], r["seeds"], r["total_steps"]) for r in records] == [
        ("toy:constant", "finished", 2, 64),
        ("toy:coordination", "finished", 2, 64),
    ]
    assert all("jax=" in r["versions"] and r["device"] and "iac/fig4" in r["command"] for r in records)
    out.unlink()
    monkeypatch.setattr("experiments.training.train.train", None)  # what --redraw must not need
    assert main([*argv, "--redraw", "--run-dir", "elsewhere"]) == 0
    assert out.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert read_csv(out.with_suffix(".csv")) == rows


def test_a_picture_says_which_of_its_numbers_were_made_by_other_settings(tiny, capsys):
    """Trained in four environments, where the budget has come to ask for two."""
    argv, out = tiny
    assert main(argv) == 0
    table, budgets = out.with_suffix(".csv"), curves.BUDGETS["iac/fig4"]
    options = spec.parse(argv, "", budgets)
    assert "other settings" not in curves.small_print(options, table)
    changed = {"small": budgets["small"]._replace(overrides={"toy": {"num_envs": 2}})}
    text = curves.small_print(spec.parse(argv, "", changed), table)
    assert "made with other or unknown settings: all 2" in text


def test_a_begun_run_goes_on_and_is_said_to_be_unfinished_until_then(tiny, tmp_path, capsys):
    argv, out = tiny
    argv = [*argv, "--envs", "toy:constant"]
    assert main(argv) == 0
    (directory,) = (path.parent for path in tmp_path.glob("runs/*/*/*/*/config.json"))
    write_summary(directory, "interrupted", {})
    out.with_suffix(".json").write_text(out.with_suffix(".json").read_text().replace('"finished"', '"begun"'))
    options = spec.parse(argv, "", curves.BUDGETS["iac/fig4"])
    assert "not finished: Fake on toy:constant" in curves.small_print(options, out.with_suffix(".csv"))
    capsys.readouterr()
    assert main(argv) == 0
    assert "1 runs, 1 to train" in capsys.readouterr().out
    assert len(list(tmp_path.glob("runs/*/*/*/*/config.json"))) == 1  # in its own directory
    assert "not finished" not in curves.small_print(options, out.with_suffix(".csv"))


def test_an_interrupted_training_stops_the_figure_and_says_how_to_continue(tiny, capsys):
    argv, _ = tiny
    options = spec.parse(argv, "", curves.BUDGETS["iac/fig4"])
    seen = []
    code = runs.train_all(options, curves.runs_of(options), seen.append, lambda settings, directory: 130)
    assert (code, len(seen)) == (130, 1)
    assert f"resume with: python -m experiments.reproduce {' '.join(argv)}" in capsys.readouterr().out
    assert runs.train_all(options, curves.runs_of(options), seen.append, lambda settings, directory: 1) == 1
    assert len(seen) == 3  # one method that fails does not take the others along


def _now(status="finished", preset="default", steps=64):
    return {"budget": "small", "algo": "iac", "env": "e", "preset": preset, "seeds": 1, "total_steps": steps,
            "status": status, "command": ""}  # fmt: skip


def _row(seed, value="1", algo="iac"):
    return {"budget": "small", "algo": algo, "env": "e", "seed": seed, "env_steps": "64", "return_mean": value}


def test_merging_keeps_other_seeds_and_other_runs():
    other = _row("0", algo="siaq")
    old = [other, _row("0", "1"), _row("1", "2")]
    rows, record = store.merged(old, [_row("1", "9")], _now(), _now())
    assert sorted(rows, key=str) == sorted([other, _row("1", "9"), _row("0", "1")], key=str)
    assert record["seeds"] == 2
    first, later = {**_now(), "command": "first"}, {**_now(), "command": "later"}
    assert store.merged(old, [_row("1", "2")], first, later) == (old, first)  # nothing new


def test_merging_displaces_other_lengths_and_never_what_is_finished_by_what_is_not():
    old = [_row("0", "1"), _row("1", "2")]
    assert store.merged(old, [_row("0", "9")], _now(), _now(steps=128))[0] == [_row("0", "9")]
    assert store.merged(old, [_row("0", "9")], _now(), _now(preset="paper"))[0] == [_row("0", "9")]
    others = {**_now(), "algorithm": "other fields"}  # of the same preset, whose numbers have changed since
    assert store.merged(old, [_row("0", "9")], _now(), others)[0] == [_row("0", "9")]
    assert store.merged(old, [_row("0", "9")], _now(), _now("begun", steps=128)) == (old, _now())


def _run(env="toy:constant", algo="aiir_mix", steps=1000, seeds=2):
    from experiments.config.preset_io import default_settings

    settings = default_settings(algo, "default", env)
    return Run(Settings(dataclasses.replace(settings.run, seeds=seeds, total_steps=steps), settings.algorithm))


def test_prediction_by_a_rough_guess_and_by_a_finished_run(monkeypatch, tmp_path):
    """Guess: 2 x 450000 updates at 250 a second are one hour. Finished: 2 x 500 steps in 10 s; 2 x 18000 take 360 s."""
    assert runs.estimate_run(_run(steps=450_000), [], "cpu").hours == pytest.approx(1.0)
    summary = {"status": "finished", "train_seconds": 8.0, "eval_seconds": 1.5, "save_seconds": 0.5,
               "seeds": [{"env_steps": 500}] * 2}  # fmt: skip
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    there = _run("toy:coordination", steps=500)
    monkeypatch.setattr(Run, "directory", property(lambda self: tmp_path if self.env == there.env else None))
    assert runs.estimate_run(_run(steps=18_000), runs.speed_of(there), "cpu").hours == pytest.approx(0.1)


def test_presets_by_family_by_name_and_default(monkeypatch):
    monkeypatch.setitem(PRESETS, "fake", {"default": Preset({}, {}), "toy": Preset({}, {})})
    assert runs.preset_of("fake", "toy:constant", ("{family}", "default")) == "toy"
    assert runs.preset_of("fake", "smax:3m", ("{family}", "default")) == "default"
    assert runs.preset_of("fake", "toy:constant", ("paper", "default")) == "default"
    assert runs.preset_of("fake", "toy:constant", ("mine",)) == "mine"  # asked for: refused where it is not known


def test_the_budgets_overrides_are_for_the_default_preset_and_the_fields_that_a_method_has(monkeypatch):
    budget = curves.BUDGETS["iac/fig4"]["small"]._replace(
        steps={"toy:constant": 64, "smax:3m": 64}, methods=("fake",), overrides={"toy": {"num_envs": 3, "heads": 2}}
    )
    monkeypatch.setitem(PRESETS, "fake", {"default": Preset({}, {"num_envs": 2}), "named": Preset({}, {"num_envs": 5})})
    for words, expected in ([], [3, 2]), (["--preset", "named"], [5, 5]):
        options = spec.parse(["iac/fig4", *words], "", {"small": budget})
        assert [run.settings.algorithm.num_envs for run in curves.runs_of(options)] == expected


# Tables 5 to 7, and one environment step an update, as algorithm 1 has it; fields that a method lacks are left out.
TABLES = {
    "gamma": 0.95, "lr": 1e-4, "critic_lr": 1e-3, "batch_size": 256, "buffer_size": 500_000, "target_every": 200,
    "tau": 1.0, "hidden_dim": 64, "policy_layers": 3, "critic_layers": 3, "exploration_layers": 2, "mixer_layers": 2,
    "attention_layers": 2, "output_layers": 2, "heads": 4, "rank": 1, "diagonal_min": 1e-6, "factor_limit": 1.0,
    "temperature": 0.01, "num_envs": 1, "rollout_length": 1, "updates_per_step": 1.0, "warmup": 256,
    "warmup_actions": "policy", "noise_correlation": 0.0, "policy": "gaussian", "normalise_rewards": True,
}  # fmt: skip
# What tuning may change, and must change alike.
TUNED = ("gamma", "lr", "critic_lr", "batch_size", "buffer_size", "target_every", "tau", "hidden_dim", "policy_layers")
TUNED += ("num_envs", "rollout_length", "updates_per_step", "warmup", "warmup_actions", "noise_correlation")
TUNED += ("noise_scale", "temperature")


@pytest.mark.parametrize("target, module", [("iac/fig4", curves), ("iac/fig6", curves), ("iac/fig7", saved_steps)])
@pytest.mark.parametrize("name", ["small", "paper", "tuned"])
def test_a_budget_trains_every_method_alike_and_paper_by_the_papers_tables(target, module, name):
    budgets = curves.BUDGETS[target] if module is curves else saved_steps.budgets()
    options = spec.parse([target, "--budget", name], "", budgets)
    by_env = {}
    for run in curves.runs_of(options):
        fields = dataclasses.asdict(run.settings.algorithm)
        if name == "paper":
            assert run.settings.run.preset == "paper"
            assert {k: v for k, v in TABLES.items() if k in fields} == {k: fields[k] for k in TABLES if k in fields}
        for field in set(TUNED) & set(fields):
            by_env.setdefault((run.env, field), set()).add(fields[field])
    assert {key: values for key, values in by_env.items() if len(values) > 1} == {}
    assert by_env["predator_prey" if target != "iac/fig6" else "multi_pendulum_shaped:3", "gamma"] == {
        0.95 if name == "paper" or target == "iac/fig6" else 0.9
    }
    assert budgets[name].settings and budgets[name].settings in options.note
    assert bool(budgets[name].leaves_out) == (name != "paper")


def test_figures_2_and_5_say_what_they_train_by():
    (run,) = (
        runs.make_run(options, "iac", "multi_pendulum:3")
        for options in [spec.parse(["iac/fig5", "--budget", "paper"], "", covariance.BUDGETS)]
    )
    fields = dataclasses.asdict(run.settings.algorithm)
    assert {k: fields[k] for k in TABLES if k in fields} == {k: v for k, v in TABLES.items() if k in fields}
    for budgets in (covariance.BUDGETS, simple_world.BUDGETS):
        assert all(budget.settings for budget in budgets.values())


def test_help_describes_the_budgets(capsys):
    with pytest.raises(SystemExit):
        main(["iac/fig4", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "paper (5 seeds. Tables 5 to 7 for every method" in text
    assert (
        "tuned (5 seeds. Tuned, the same for every method: discount 0.9 and learning rates of 1e-3 on predator" in text
    )
    assert "Leaves out three of the paper's five seeds, its settings, most of its steps" in text


def _curve(algo, env, seed, returns, steps=(10, 20, 30, 40)):
    return Curves(algo, env, seed, np.array(steps, float), {"return_mean": np.array(returns, float)})


def test_steps_to_a_threshold():
    """The first of 5, 100, 40, 100 that is at least 100 stands at step 20."""
    curve = _curve("iac", "predator_prey", 0, [5, 100, 40, 100])
    assert saved_steps.steps_to(curve, 100) == 20.0
    assert math.isnan(saved_steps.steps_to(curve, 101))


@pytest.mark.parametrize(
    "base, method, steps, certain",
    [
        ([0, 0, 9, 9], [0, 9, 9, 9], 10.0, "exact"),  # 30 - 20
        ([0, 0, 0, 0], [0, 9, 9, 9], 20.0, "at least"),  # more than 40 - 20
        ([9, 0, 0, 0], [0, 0, 0, 0], -30.0, "at most"),  # 10 - more than 40
        ([0, 0, 0, 0], [0, 0, 0, 0], 0.0, "neither got there"),
    ],
)
def test_saved_steps(base, method, steps, certain):
    world = "predator_prey"
    found = saved_steps.saved(_curve("ddpg_mix", world, 0, base), _curve("iac", world, 0, method), 9)
    assert found == (steps, certain)


def test_figure_7_compares_the_same_seeds_and_is_drawn_from_figure_4s_file(tmp_path, capsys):
    """IAC, seed 0: reaches 9 at step 20, DDPG-MIX at 30: 10 saved. Final returns 8 and 2 (mean of all four): 6 more."""
    rows = []
    for algo, fast, last in (("ddpg_mix", [0, 0, 9, 9], [2] * 4), ("iac", [0, 9, 9, 9], [5, 7, 9, 11])):
        for env, returns in (("predator_prey", fast), ("po_predator_prey", last)):
            rows += [{"budget": "small", "algo": algo, "env": env, "seed": 0, "env_steps": step, "return_mean": value,
                      "return_std": 0} for step, value in zip((10, 20, 30, 40), returns, strict=True)]  # fmt: skip
    write_csv(tmp_path / "fig4.csv", rows, store.COLUMNS)
    argv = ["iac/fig7", "--redraw", "--threshold", "9", "--out", str(tmp_path / "fig7.png")]
    assert main(argv) == 0
    (row,) = read_csv(tmp_path / "fig7.csv")
    assert row == {"budget": "small", "algo": "iac", "seed": "0", "threshold": "9.0", "saved_steps": "10",
                   "certain": "exact", "return_difference": "6"}  # fmt: skip
    assert (tmp_path / "fig7.png").exists()
    assert main(argv) == 0
    assert len(read_csv(tmp_path / "fig7.csv")) == 1
    assert main(["iac/fig7", "--redraw", "--out", str(tmp_path / "fig7.png")]) == 0  # nobody reaches the budget's 200
    (row,) = read_csv(tmp_path / "fig7.csv")
    assert (row["threshold"], row["certain"]) == ("200.0", "neither got there")


def test_figure_6_over_n(tmp_path):
    rows = [{"budget": "small", "algo": algo, "env": f"multi_pendulum_shaped:{n}", "seed": seed, "env_steps": step,
             "return_mean": step * n / 10 + seed, "return_std": 0}
            for algo in ("iac", "siaq") for n in (2, 4) for seed in (0, 1) for step in (10, 20)]  # fmt: skip
    write_csv(tmp_path / "fig6.csv", rows, store.COLUMNS)
    assert main(["iac/fig6", "--redraw", "--out", str(tmp_path / "fig6.png")]) == 0
    found = store.read_curves(tmp_path / "fig6.csv", "small")
    assert len(found) == 8
    assert curves.final_return(found[-1]) == pytest.approx((10 * 0.4 + 20 * 0.4) / 2 + 1)  # N = 4, seed 1


def test_other_numbers_of_pendulums_have_their_familys_steps():
    options = spec.parse(["iac/fig6", "--envs", "multi_pendulum_shaped:7"], "", curves.BUDGETS["iac/fig6"])
    assert dict(options.steps) == {"multi_pendulum_shaped:7": 240_000}
    paper = curves.BUDGETS["iac/fig4"]["paper"]
    assert (paper.seeds, set(paper.methods)) == (5, set(curves.METHODS))


@pytest.mark.parametrize(
    "argv, message",
    [
        (["iac/fig8"], "nothing called 'iac/fig8' to reproduce: did you mean"),
        (["iac/fig4", "--budget", "huge"], "--budget: no 'huge'; it is one of small, paper"),
        (["iac/fig4", "--methods", "ppo"], "--methods: no 'ppo' in this figure; it has attn_qmix, ddpg_mix, iac"),
        (["iac/fig4", "--envs", "smax:3m"], "--envs: no 'smax' in this figure; it has multi_pendulum, predator_prey"),
        (["iac/fig6", "--seeds", "-1"], "--seeds must be at least 1, not -1"),
        (["iac/fig4", "--redraw", "--out", "nowhere/fig4.png"], "is saved in nowhere/fig4.csv: train first"),
        (["iac/fig5", "--redraw", "--out", "nowhere/fig5.png"], "is saved in nowhere/fig5.csv: train first"),
        (["iac/fig2", "--redraw", "--out", "nowhere/fig2.png"], "is saved in nowhere/fig2.csv: train first"),
        (["iac/tables", "--redraw", "--out", "nowhere/t.csv"], "nothing is saved in nowhere/t.csv: train first"),
    ],
)
def test_wrong_input_is_one_line_and_code_2(argv, message, capsys):
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
