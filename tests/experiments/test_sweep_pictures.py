"""Pictures of a sweep: what is read of its directory, what stands in the panels, what cannot be drawn."""

import csv
import io
import json

import numpy as np
import pytest
from rich.console import Console

from envs.errors import ConfigError
from experiments.config.schema import to_dict
from experiments.sweeps import pictures, results
from experiments.sweeps.plan import make_programs
from experiments.sweeps.request import Request, as_json
from experiments.sweeps.trials import runs_of

LRS, ENTROPIES, STEPS = (1e-3, 2e-3), (0.0, 0.1), (50, 100)


def write_sweep(
    out, win_rate, sets=("lr=1e-3,2e-3", "entropy=0,0.1"), envs=("smax:3m",), diverged=(), algos=("ippo",), left=()
):
    """A sweep with two seeds and two evaluations; the last one's win rate is win_rate(values, seed).

    diverged: names of results that have no evaluation.
    left: names of results whose second seed diverged after its first evaluation.
    """
    request = Request(algos, envs, sets, run=(("seeds", 2), ("total_steps", 100)))
    out.mkdir()
    (out / "job.json").write_text(json.dumps(as_json(request)))
    for sweep_run in (each for p in make_programs(request, str(out)) for each in runs_of(p, out)):
        sweep_run.directory.mkdir(parents=True)
        (sweep_run.directory / "config.json").write_text(json.dumps(to_dict(sweep_run.configuration.settings)))
        bad = sweep_run.configuration.name in diverged
        half = sweep_run.configuration.name in left
        summary = {"status": "finished", "diverged": {"0": 1, "1": 1} if bad else {"1": 1} if half else {}}
        (sweep_run.directory / "summary.json").write_text(json.dumps(summary))
        with (sweep_run.directory / "eval.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["seed", "iteration", "env_steps", "return_mean", "win_rate"])
            for seed in () if bad else (0, 1):
                for k, steps in enumerate(STEPS[:1] if half and seed else STEPS):
                    rows.writerow([seed, k, steps, 1.0, k * win_rate(sweep_run.configuration.values, seed)])
    return out


def rates(values, seed):
    """0.2 for lr 1e-3 and 0.6 for 2e-3, 0.1 more with entropy; the second seed is 0.1 better."""
    return {1e-3: 0.2, 2e-3: 0.6}[values["lr"]] + values["entropy"] + 0.1 * seed


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    return write_sweep(tmp_path_factory.mktemp("pictures") / "out", rates)


def test_the_points_come_best_first(swept):
    results = pictures.read_sweep(swept)
    names = [result.configuration.name for result in results]
    assert names == ["lr=0.002_entropy=0.1", "lr=0.002_entropy=0", "lr=0.001_entropy=0.1", "lr=0.001_entropy=0"]
    assert pictures.numbers(results) == ["lr", "entropy"]
    assert pictures.score_of(results) == ("win rate", "win_rate", (0.0, 1.0))


def test_interval_of_a_point(swept):
    """Seeds 0.7 and 0.8: mean 0.75, deviation 0.0707, error 0.05, Student's t of one freedom 12.706: +- 0.6353."""
    best, *_, last = pictures.read_sweep(swept)
    assert [float(x) for x in pictures.interval(best, (-9, 9))] == pytest.approx([0.75, 0.1147, 1.3853], abs=1e-4)
    # cut at the bounds of a rate; seeds 0.2 and 0.3
    assert [float(x) for x in pictures.interval(last, (0, 1))] == pytest.approx([0.25, 0.0, 0.8853], abs=1e-4)


def test_a_field_has_a_line_for_each_value_of_the_other(swept):
    figure = pictures.fields_view(pictures.read_sweep(swept))
    by_lr, by_entropy = figure.axes
    lines = {line.get_label(): line.get_ydata() for line in by_lr.lines if line.get_label()[0] != "_"}
    assert lines.keys() == {"entropy=0", "entropy=0.1"}
    np.testing.assert_allclose(lines["entropy=0.1"], [0.35, 0.75])
    assert [tick.get_text() for tick in by_lr.get_xticklabels()] == ["0.001", "0.002"]
    lines = {line.get_label(): line.get_ydata() for line in by_entropy.lines if line.get_label()[0] != "_"}
    np.testing.assert_allclose(lines["lr=0.002"], [0.65, 0.75])


def test_the_map_holds_the_means_and_frames_the_best(swept):
    figure = pictures.map_view(pictures.read_sweep(swept), "lr", "entropy")
    ax = figure.axes[0]
    np.testing.assert_allclose(ax.images[0].get_array(), [[0.25, 0.65], [0.35, 0.75]])  # rows: entropy 0 and 0.1
    assert sorted(text.get_text() for text in ax.texts) == ["0.25", "0.35", "0.65", "0.75"]
    assert ax.patches[0].get_xy() == pytest.approx((0.53, 0.53))  # lr 2e-3, entropy 0.1


def test_curves_are_of_every_point_the_best_with_its_interval(swept):
    results = pictures.read_sweep(swept)
    ax = pictures.curves_view(results).axes[0]
    drawn = {line.get_label(): line.get_ydata() for line in ax.lines}
    np.testing.assert_allclose(drawn["lr=0.002 entropy=0.1"], [0.0, 0.75])
    assert len(drawn) == 4 and len(ax.collections) == 1
    assert [text.get_text() for text in ax.get_legend().get_texts()][0] == "lr=0.002 entropy=0.1"


def test_a_curve_is_of_the_seeds_that_have_not_diverged_from_its_start(tmp_path):
    """The first evaluation's win rate is 1 here: of the seed that diverged, it is not in the mean."""
    out = write_sweep(tmp_path / "out", lambda values, seed: 0.5, sets=("lr=1e-3,2e-3",), left=("lr=0.001",))
    file = next(out.glob("**/lr=0.001/eval.csv"))
    file.write_text(file.read_text().replace("1,0,50,1.0,0.0", "1,0,50,1.0,1.0"))
    ax = pictures.curves_view(pictures.read_sweep(out)).axes[0]
    drawn = {line.get_label(): (line.get_xdata(), line.get_ydata()) for line in ax.lines}
    np.testing.assert_allclose(drawn["lr=0.001"], [STEPS, (0.0, 0.5)])


def test_points_without_a_result_leave_a_gap(tmp_path):
    out = write_sweep(tmp_path / "out", rates, diverged=("lr=0.002_entropy=0",))
    results = pictures.read_sweep(out)
    assert [result.configuration.name for result in results][-1] == "lr=0.002_entropy=0"
    ax = pictures.map_view(results, "lr", "entropy").axes[0]
    assert np.isnan(ax.images[0].get_array().filled(np.nan)[0, 1])
    assert "none ended" in [text.get_text() for text in ax.texts]
    assert len(pictures.curves_view(results).axes[0].lines) == 3
    pictures.fields_view(results)


def test_many_drawn_points_stand_on_a_logarithm(tmp_path):
    drawn = ",".join(f"{1e-4 * 2**k:g}" for k in range(9))  # 1e-4 to 2.56e-2
    results = pictures.read_sweep(write_sweep(tmp_path / "out", lambda values, seed: 0.5, (f"lr={drawn}",)))
    assert pictures.numbers(results) == ["lr"]
    ax = pictures.fields_view(results).axes[0]
    assert ax.get_xscale() == "log" and ax.get_legend() is None


def test_the_overview_has_a_row_an_environment(tmp_path):
    out = write_sweep(tmp_path / "out", rates, envs=("smax:3m", "smax:2s3z"))
    figure = pictures.overview(pictures.read_sweep(out))
    assert len(figure.axes) == 6  # two numbers and the curves, twice
    assert len(pictures.read_sweep(out, "smax:2s3z")) == 4
    with pytest.raises(ConfigError, match="no evaluation of smax:8m in .* yet"):
        pictures.read_sweep(out, "smax:8m")


def test_a_row_of_the_table_is_a_line_of_a_terminal(swept):
    terminal = Console(width=80, file=io.StringIO())
    (table,) = results.tables(pictures.read_sweep(swept))
    terminal.print(table)
    assert table.title == "ippo on smax:3m: mean of the last tenth of the evaluations, 95 % over seeds"
    rows = [line for line in terminal.file.getvalue().splitlines() if "entropy" in line]
    assert [row.strip("│").split("│")[0].strip() for row in rows] == [
        "lr=0.002 entropy=0.1",
        "lr=0.002 entropy=0",
        "lr=0.001 entropy=0.1",
        "lr=0.001 entropy=0",
    ]
    assert rows[0].split("│")[2:4] == [" 2     ", " 1 [1, 1] "] and "0.750 [0.115, 1.000]" in rows[0]


def test_the_table_of_two_algorithms_names_them(tmp_path):
    out = write_sweep(tmp_path / "out", rates, algos=("ippo", "mappo"))
    (table,) = results.tables(pictures.read_sweep(out))
    assert table.title.startswith("smax:3m: mean") and len(table.rows) == 8
    assert list(table.columns[0].cells)[:2] == ["ippo lr=0.002 entropy=0.1", "mappo lr=0.002 entropy=0.1"]


def test_a_picture_that_cannot_be_drawn_spoils_nothing(swept, tmp_path):
    said, results = [], pictures.read_sweep(swept)
    pictures.write_overview(tmp_path / "sweep.png", results, said.append)
    assert said == [f"wrote    {tmp_path / 'sweep.png'}"] and (tmp_path / "sweep.png").exists()
    pictures.write_overview(tmp_path / "sweep.png" / "sweep.png", results, said.append)
    assert said[1].startswith("no sweep.png: ")


def test_it_says_what_cannot_be_drawn(swept, tmp_path):
    with pytest.raises(ConfigError, match="no sweep in .*none: give the directory that experiments.sweep names"):
        pictures.read_sweep(tmp_path / "none")
    results = pictures.read_sweep(swept)
    with pytest.raises(ConfigError, match="varies no number 'gamma': it varies lr, entropy"):
        pictures.map_view(results, "gamma", "lr")
    with pytest.raises(ConfigError, match="the configurations differ in no number"):
        pictures.fields_view(results[:1])
