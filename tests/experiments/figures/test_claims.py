"""The papers' claims: how a comparison is decided, and that the committed page is that of the committed rows."""

import math
import pathlib

import numpy as np
import pytest

from experiments.analysis.curves import Curves
from experiments.common.files import write_csv
from experiments.figures.claims import command, comparisons, other_checks, papers
from experiments.figures.claims.comparisons import NO, OPEN, YES, Level, Rivals, Source
from experiments.reproduce import main

ROOT = pathlib.Path(__file__).parents[3]
SOURCE = Source("aiir/fig3", "paper", "published")


def curve(values, label="a", seed=0, env="smax:8m"):
    steps = 1000.0 * np.arange(1, len(values) + 1)
    return Curves(label, env, seed, steps, {"win_rate": np.array(values, float)})


def curves(rows, label="a"):
    return [curve(values, label, seed) for seed, values in enumerate(rows)]


@pytest.mark.parametrize(
    "ours, theirs, chance, verdict",
    [
        ([0.8, 0.9, 1.0, 0.9, 0.8], [0.1, 0.2, 0.3, 0.2, 0.1], 1.0, YES),  # every pair
        ([0.1, 0.2, 0.3, 0.2, 0.1], [0.8, 0.9, 1.0, 0.9, 0.8], 0.0, NO),
        ([0.1, 0.2, 0.3, 0.4, 0.5], [0.1, 0.2, 0.3, 0.4, 0.5], 0.5, OPEN),  # 10 of 25 pairs above, 5 ties
        ([0.8, 0.9], [0.1, 0.2, 0.3, 0.2, 0.1], 1.0, OPEN),  # two seeds decide nothing
    ],
)
def test_a_comparison_is_decided_by_the_interval_of_the_chance(ours, theirs, chance, verdict):
    found, decided = comparisons.better(np.array(ours), np.array(theirs))
    assert found.mean == pytest.approx(chance) and decided == verdict


def test_seeds_that_never_arrive_are_ties():
    never, early = np.full(5, -math.inf), np.array([-1.0, -2.0, -3.0, -4.0, -5.0])
    assert comparisons.better(never, never)[0].mean == 0.5
    assert comparisons.better(early, never)[1] == YES and comparisons.better(never, early)[1] == NO


@pytest.mark.parametrize(
    "scores, least, most, verdict",
    [
        # Mean 0.92, s = 0.0274, half width 2.776 x 0.0274 / sqrt(5) = 0.034.
        ([0.9, 0.9, 0.9, 0.95, 0.95], 0.8, math.inf, YES),
        ([0.9, 0.9, 0.9, 0.95, 0.95], 0.9, math.inf, OPEN),
        ([0.9, 0.9, 0.9, 0.95, 0.95], -math.inf, 0.5, NO),
        ([0.9, 0.9, 0.9, 0.95], 0.8, math.inf, OPEN),  # four seeds
    ],
)
def test_a_level_is_decided_by_the_means_interval(scores, least, most, verdict):
    assert comparisons.level(np.array(scores), least, most) == verdict


def test_a_claim_needs_all_of_its_comparisons():
    assert comparisons.together([YES, YES], 2) == YES
    assert comparisons.together([YES], 2) == OPEN  # one was not measured
    assert comparisons.together([YES, OPEN], 2) == OPEN
    assert comparisons.together([NO], 2) == NO


def test_arrival_is_the_first_mean_of_five_evaluations_at_the_threshold():
    # Means of five: at evaluation 5 (0 + 0.5 + 1 + 1 + 1) / 5 = 0.7, at 6 0.9.
    times = comparisons.arrivals(curves([[0, 0.5, 1, 1, 1, 1], [1] * 6, [0] * 6]), "win_rate", 0.9, 6000.0)
    assert times.tolist() == [6000.0, 5000.0, math.inf]
    assert comparisons.times_text(times, 6000.0) == "arrives in 2 of 3 seeds, mean at least 0.01 M"
    assert comparisons.arrivals(curves([[0, 0.5, 1, 1, 1, 1]]), "win_rate", 0.9, 5000.0).tolist() == [math.inf]


def test_a_seed_falls_if_it_has_arrived_and_a_later_mean_of_five_is_low():
    def falls(*values):
        return comparisons.falls(curve(values), "win_rate", 0.8, 0.5)

    assert falls(1, 1, 1, 1, 1, 0, 0, 0)  # means 1, 0.8, 0.6, 0.4
    assert not falls(1, 1, 1, 1, 1, 0, 0)
    assert not falls(0, 0, 0, 0, 0, 1, 1, 1, 1)  # low before it arrives, at the last mean
    assert not falls(0.7, 0.7, 0.7, 0.7, 0.7, 0, 0, 0, 0)  # never arrives


def test_speed_is_compared_up_to_the_end_of_the_shorter_run():
    slow = [[0] * 8 + [1] * 8] * 5  # arrives at 13 000, after the end of the other's runs
    found = {("a", "e"): curves(slow), ("b", "e"): curves([[0] * 10] * 5, "b")}
    wanted = Rivals((SOURCE,), ("a",), ("b", "c"), ("e",), threshold=0.9)
    (row,) = comparisons.compare(wanted, found, SOURCE, str.upper)  # nothing is known of c
    assert row.ours.startswith("A arrives in 0 of 5") and row.chance == "0.50 [0.50, 0.50]" and row.verdict == OPEN
    assert wanted.count == 2


def test_a_level_has_a_row_for_each_method_and_environment():
    wanted = Level((SOURCE,), ("a", "b"), ("e",), most=0.2)
    found = {("a", "e"): curves([[0.0] * 6] * 5)}
    (row,) = comparisons.measure(wanted, found, SOURCE, str.upper)
    assert row == ("published", "e", "A 0.00 [0.00, 0.00], 5 seeds", "at most 0.2", "", YES) and wanted.count == 2


def test_a_claim_is_examined_by_each_choice_of_settings(tmp_path):
    """LIIR masters 8m by the tuned rows (five seeds), and by the published ones nothing is known."""
    rows = [
        {"budget": "tuned", "algo": "liir", "env": "smax:8m", "seed": s, "env_steps": k, "win_rate": 1}
        for s in range(5) for k in range(5)
    ]  # fmt: skip
    write_csv(tmp_path / "aiir" / "fig3.csv", rows, tuple(rows[0]))
    claim = next(c for c in papers.AIIR_MIX if c.key == "liir-masters-8m")
    tested = command.examine(claim, command.Results(tmp_path))
    assert tested.verdicts == {"tuned settings, 2 M steps": YES}
    assert tested.verdict == (YES, "tuned settings, 2 M steps")


def test_claims_that_are_no_curves(tmp_path):
    columns = ("method", "seed", "payoff", "policy")
    rows = [
        dict(zip(columns, (method, seed, payoff, p), strict=True))
        for method, p_best in (("qmix", 0.02), ("qmixs", 0.8))
        for seed in range(5)
        for payoff, p in ((8.0, p_best), (0.0, 0.1))
    ]
    write_csv(tmp_path / "iac" / "tables.csv", rows, columns)
    assert [f.verdict for f in other_checks.matrix_qmix(tmp_path)] == [YES]
    assert [f.verdict for f in other_checks.matrix_qmixs(tmp_path)] == [YES]
    cells = [
        {"budget": "x", "seed": seed, "env_steps": steps, "row": r, "column": c, "covariance": 4 if r == c else value}
        for seed in range(5)
        for steps, value in ((1, 2.0), (2, -1.0))  # correlations of 0.5, at the end of -0.25
        for r in range(2)
        for c in range(2)
    ]
    write_csv(tmp_path / "iac" / "fig5.csv", cells, tuple(cells[0]))
    (found,) = other_checks.covariance(tmp_path)
    assert found.verdict == NO and "-0.25 to -0.25" in found.ours


def test_seeds_that_disagree_leave_it_open():
    assert other_checks.verdict_of([True] * 5) == YES and other_checks.verdict_of([False] * 5) == NO
    assert other_checks.verdict_of([True] * 4 + [False]) == OPEN and other_checks.verdict_of([True] * 4) == OPEN


def test_every_claim_has_a_test_and_a_name_of_its_own():
    claims = [claim for each in papers.PAPERS.values() for claim in each]
    assert all(bool(claim.tests) != bool(claim.checks) for claim in claims)
    assert all(name in other_checks.CHECKS for claim in claims for name in claim.checks)
    assert len({claim.key for claim in claims}) == len(claims)


def test_the_committed_page_is_that_of_the_committed_rows(tmp_path, capsys):
    page = tmp_path / "claims.md"
    assert main(["claims", "--results", str(ROOT / "results"), "--out", str(page)]) == 0
    wanted = "docs/claims.md is old: python -m experiments.reproduce claims"
    assert page.read_text() == (ROOT / "docs" / "claims.md").read_text(), wanted
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + sum(map(len, papers.PAPERS.values()))


def test_wrong_input_is_one_line_and_code_2(capsys, tmp_path):
    assert main(["claims", "--results", str(tmp_path / "none")]) == 2
    err = capsys.readouterr().err
    assert "--results: no directory" in err and err.count("\n") == 1
