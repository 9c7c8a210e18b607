"""`python -m experiments.reproduce claims`: tests the papers' claims by the saved rows and writes docs/claims.md."""

import argparse
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from envs.errors import ConfigError
from experiments.analysis import style
from experiments.analysis.curves import Curves
from experiments.common.arguments import Parser, out_file, word
from experiments.common.files import write_text
from experiments.figures.aiir import sparse, why
from experiments.figures.claims.comparisons import ENOUGH, OPEN, Evidence, Rivals, Source, compare, measure, together
from experiments.figures.claims.other_checks import CHECKS
from experiments.figures.claims.papers import PAPERS, Claim
from experiments.figures.store import read_curves

RESULTS, OUT = pathlib.Path("results"), pathlib.Path("docs/claims.md")
INTRODUCTION = f"""\
# The papers' claims

Written by `python -m experiments.reproduce claims` from the rows in `results/`; do not edit it by hand. More rows
come by `python -m experiments.reproduce all` ([the queue](results.md#what-the-figures-need-in-one-queue)).

A seed's score is the mean of its last five greedy evaluations. **Chance**: the probability that a seed of the method
scores higher than one of the rival (ties count half), with the 95 % interval of the stratified bootstrap. A comparison
is *confirmed* if that interval lies above 0.5, *refuted* if it lies below, with at least {ENOUGH} seeds each, as in the
papers; else it is *open*. A claim is refuted if one of its comparisons is, and confirmed if all are. Levels ("good",
"fails") have no numbers in the papers; the bars are ours. Steps to a threshold: a seed that has not arrived when the
shorter of two runs ends counts as later than all that have. All StarCraft numbers are of our model of the game, those
of figures 3 and 4 so far by the rules before its calibration (`rules=smac_v0`), and AIIR-MIX's with the former learning
rate of its rewards (`--reward-lr 5e-4`).
"""


class Tested(NamedTuple):
    """A claim with its findings, by settings."""

    claim: Claim
    findings: dict[str, list[Evidence]]
    verdicts: dict[str, str]  # by settings

    @property
    def verdict(self) -> tuple[str, str]:
        """That of the first settings by which it is decided, and these; else open."""
        for settings, verdict in self.verdicts.items():
            if verdict != OPEN:
                return verdict, settings
        return OPEN, ""


class Results:
    """The curves of the figures' files, read once."""

    def __init__(self, directory: pathlib.Path):
        self.directory = directory
        self._curves: dict[Source, dict[tuple[str, str], list[Curves]]] = {}

    def __getitem__(self, source: Source) -> dict[tuple[str, str], list[Curves]]:
        """(method, environment) -> a curve for each seed; empty if the file has none of this budget."""
        if source not in self._curves:
            found: dict[tuple[str, str], list[Curves]] = {}
            try:
                curves = read_curves(self.directory / f"{source.file}.csv", source.budget)
            except ConfigError:  # nothing is saved yet
                curves = []
            for curve in curves:
                found.setdefault((curve.label, curve.env), []).append(curve)
            self._curves[source] = found
        return self._curves[source]


def name_of(method: str) -> str:
    """As the papers write it."""
    return sparse.NAMES.get(method) or style.name_of(method)


def examine(claim: Claim, results: Results) -> Tested:
    """The findings of a claim by all that is saved."""
    findings: dict[str, list[Evidence]] = {}
    counts: dict[str, int] = {}
    for wanted in claim.tests:
        for source in wanted.sources:
            evaluate = compare if isinstance(wanted, Rivals) else measure
            found = evaluate(wanted, results[source], source, name_of)
            findings.setdefault(source.settings, []).extend(found)
            counts[source.settings] = counts.get(source.settings, 0) + wanted.count
    for name in claim.checks:
        for found in CHECKS[name](results.directory):
            findings.setdefault(found.settings, []).append(found)
            counts[found.settings] = counts.get(found.settings, 0) + 1
    findings = {settings: rows for settings, rows in findings.items() if rows}
    verdicts = {k: together([row.verdict for row in rows], counts[k]) for k, rows in findings.items()}
    return Tested(claim, findings, verdicts)


def _bar(claim: Claim) -> str:
    bars = [wanted.bar for wanted in claim.tests] or ["see below"]
    return "; ".join(dict.fromkeys(bars))


def _measured(tested: Tested) -> str:
    parts = []
    for settings, rows in tested.findings.items():
        counts = {v: sum(row.verdict == v for row in rows) for v in ("confirmed", "refuted", "open")}
        text = ", ".join(f"{n} {name}" for name, n in counts.items() if n)
        parts.append(f"{settings}: {text}" if settings else text)
    return "; ".join(parts) or "nothing yet"


def _overview(paper: str, tests: Sequence[Tested]) -> list[str]:
    lines = [
        f"## {paper}",
        "",
        "| claim | where | confirmed by | comparisons so far | verdict |",
        "|---|---|---|---|---|",
    ]
    for tested in tests:
        claim, (verdict, settings) = tested.claim, tested.verdict
        text = f"**{verdict}**" + (f", {settings}" if settings else "")
        name = f"[{claim.says}](#{claim.key})"
        lines.append(f"| {name} | {claim.where} | {_bar(claim)} | {_measured(tested)} | {text} |")
    return [*lines, ""]


def _details(tested: Tested) -> list[str]:
    lines = [f"### {tested.claim.key}", "", f"{tested.claim.says} ({tested.claim.where})", ""]
    if not tested.findings:
        return [*lines, "Nothing has been measured yet.", ""]
    lines += ["| settings | environment | method | against | chance [95 %] | |", "|---|---|---|---|---|---|"]
    for rows in tested.findings.values():
        for row in rows:
            lines.append("| " + " | ".join(row) + " |")
    return [*lines, ""]


def examine_all(results: Results) -> dict[str, list[Tested]]:
    """The claims of each paper."""
    return {paper: [examine(claim, results) for claim in claims] for paper, claims in PAPERS.items()}


def reasons(results: pathlib.Path) -> list[str]:
    """Why claims fail, as far as an experiment that changes one thing has shown it; empty where nothing is saved."""
    table = results / "aiir/why.csv"
    found = [why.saved(table, budget) for budget in why.budgets_of(table)]
    if not found:
        return []
    text = "AIIR-MIX with its default settings and one of them changed (`python -m experiments.reproduce aiir/why`)."
    lines = ["## AIIR-MIX: what slows it down", "", text, ""]
    return lines + [line for budget in found for env, seeds in budget.items() for line in why.rows_of(env, seeds)]


def markdown(tests: dict[str, list[Tested]], why_it_fails: Sequence[str] = ()) -> str:
    """The whole page, of what `examine_all` and `reasons` return."""
    lines = [INTRODUCTION]
    for paper, each in tests.items():
        lines += _overview(paper, each)
    lines += why_it_fails
    for paper, each in tests.items():
        lines += [f"## {paper}: the comparisons", ""]
        for tested in each:
            lines += _details(tested)
    return "\n".join(lines).rstrip() + "\n"


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m experiments.reproduce claims", description=__doc__.split(": ", 1)[1])
    add = parser.add_argument
    add("--results", type=word, default=str(RESULTS), help="directory with the figures' files (default: %(default)s)")
    add("--out", type=out_file(".md"), default=OUT, help="the page (default: %(default)s)")
    return parser.parse_args(argv[1:])


def command(argv: Sequence[str]) -> int:
    """Writes the page and prints a line for each claim. Returns the exit code."""
    args = _parse(argv)
    directory = pathlib.Path(args.results)
    if not directory.is_dir():
        raise ConfigError(f"--results: no directory {directory}: give the one with the figures' files")
    tests = examine_all(Results(directory))
    write_text(args.out, markdown(tests, reasons(directory)))
    for paper, each in tests.items():
        for tested in each:
            verdict, settings = tested.verdict
            print(f"{paper:<9}{tested.claim.key:<26}{verdict:<10}{settings}".rstrip())
    print(f"wrote {args.out}")
    return 0
