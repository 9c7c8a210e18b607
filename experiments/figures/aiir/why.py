"""Why AIIR-MIX learns more slowly than its rivals, or loses what it has learned: one setting changed at a time.

`python -m experiments.reproduce aiir/why`.

Each row is AIIR-MIX with its default settings and one thing changed. The table says for each how likely one of its
seeds ends higher than one of the unchanged method (ties count half), when its seeds first win 0.8, and how many of them
fall below 0.5 later.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from envs.errors import ConfigError
from experiments.analysis import style
from experiments.analysis.curves import Curves
from experiments.common.files import read_csv, write_text
from experiments.common.stats import RATE, interval_text
from experiments.figures.aiir.win_rates import EVAL_EPISODES, EVAL_EVERY, FAMILY, GUESS, made_with, records_of
from experiments.figures.claims.comparisons import arrivals, better, falls, times_text
from experiments.figures.iac.curves import LAST
from experiments.figures.panels import final_scores
from experiments.figures.runs import FigureTraining, Run, make_run
from experiments.figures.spec import Budget, FigureOptions, parse
from experiments.figures.store import WIN_RATES, keep_curves, read_curves

SUMMARY = "AIIR-MIX with one setting changed at a time: what slows it down on 8m."
ALGO = "aiir_mix"
THRESHOLD = 0.8  # win rate
LOST = 0.5  # a seed that wins less after it has reached the threshold has lost what it had learned


class Variant(NamedTuple):
    """AIIR-MIX with something changed."""

    title: str
    fields: dict[str, Any] = {}  # of its configuration
    preset: str = "default"


# 1e-12: the optimiser's steps have the size of the rate, so that nothing moves.
VARIANTS = {
    ALGO: Variant("AIIR-MIX, unchanged"),
    "high_rate": Variant("reward net learns at 5e-4 (LIIR), not 5e-5", {"reward_lr": 5e-4}),
    "high_rate_linear": Variant("at 5e-4, and linear (AIIR)", {"reward_lr": 5e-4, "combine": "linear"}),
    "frozen": Variant("reward net and mixing as they start, not learned", {"reward_lr": 1e-12}),
    "no_weight": Variant("r_in starts with weight 0, not 0.01", {"intrinsic_weight": 0.0}),
    "high_weight": Variant("r_in starts with weight 0.1, not 0.01", {"intrinsic_weight": 0.1}),
    "random_mixing": Variant("mixing starts at random, not at r_ex", {"mix_init": "random"}),
    "linear": Variant("linear, not the mixing network (AIIR)", {"combine": "linear"}),
    "one_epoch": Variant("one epoch a batch, not four", {"epochs": 1}),
    "large_batch": Variant("256 environments, not 64", {"num_envs": 256}),
    "no_intrinsic": Variant("no intrinsic rewards", preset="no_intrinsic"),
}
_ALL_MAPS = {f"{FAMILY}:{name}": 1_000_000 for name in ("3m", "8m", "2s3z")}
_DEFAULT = ("default",)
BUDGETS = {
    "small": Budget(
        5, {f"{FAMILY}:8m": 300_000}, tuple(VARIANTS), _DEFAULT, "3m and 2s3z, and seven tenths of the steps"
    ),
    "full": Budget(5, _ALL_MAPS, tuple(VARIANTS), _DEFAULT),
}  # fmt: skip


def command(argv: Sequence[str]) -> int:
    """Trains the missing runs, draws them and writes the table. Returns the exit code."""
    return training(argv).run_and_draw(draw)


def training(argv: Sequence[str]) -> FigureTraining:
    """What the command line `argv` trains."""
    options = parse(argv, SUMMARY, BUDGETS, family=FAMILY)
    table = options.out.with_suffix(".csv")
    runs = [make_variant(options, name, env) for env in options.steps for name in options.methods]

    def keep(run: Run) -> None:
        keep_curves(table, options.budget, run, options.command, WIN_RATES)

    return FigureTraining(options, runs, keep, records=table.with_suffix(".json"), guess=GUESS)


def make_variant(options: FigureOptions, name: str, env: str) -> Run:
    """The run of a variant."""
    variant = VARIANTS[name]
    asked = dataclasses.replace(options, presets=(variant.preset,))
    settings = make_run(asked, ALGO, env, "why", EVAL_EVERY, EVAL_EPISODES).settings
    changed = dataclasses.replace(settings.algorithm, **variant.fields)
    return Run(dataclasses.replace(settings, algorithm=changed), name)


def budgets_of(table: pathlib.Path) -> list[str]:
    """The budgets of which the file has rows."""
    rows = read_csv(table) if table.exists() else []
    return [budget for budget in BUDGETS if any(row["budget"] == budget for row in rows)]


def saved(table: pathlib.Path, budget: str) -> dict[str, dict[str, list[Curves]]]:
    """Environment -> variant -> a curve for each seed, in the order of `VARIANTS`.

    Raises:
      ConfigError: none is saved.
    """
    curves = [c for c in read_curves(table, budget) if c.label in VARIANTS]
    if not curves:
        raise ConfigError(f"nothing of budget {budget} is saved in {table}: train first, without --redraw")
    envs = [env for env in _ALL_MAPS if any(c.env == env for c in curves)]
    named = {env: {name: [c for c in curves if (c.env, c.label) == (env, name)] for name in VARIANTS} for env in envs}
    return {env: {name: seeds for name, seeds in found.items() if seeds} for env, found in named.items()}


def draw(options: FigureOptions) -> None:
    """A panel for each map, a row for each variant; and the table beside the picture.

    Raises:
      ConfigError: nothing is saved, or a file cannot be written.
    """
    table = options.out.with_suffix(".csv")
    found = saved(table, options.budget)
    records = records_of(table, options.budget, [c for env in found.values() for seeds in env.values() for c in seeds])
    seeds = style.span([r["seeds"] for r in records], "seed")
    note = f"{seeds}, a dot each; a line is their mean. Greedy, {EVAL_EPISODES} episodes every "
    note += f"{EVAL_EVERY:,} steps. {made_with(options, records)}"
    most = max(len(env) for env in found.values())
    figure = style.new_figure(2.9 + 3.4 * len(found), 1.5 + 0.32 * most)
    for ax, (env, variants) in zip(figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True):
        _panel(ax, env, variants)
    style.foot_note(figure, note, 57 * max(len(found), 2))
    style.save(figure, options.out)
    lines = [line for env, variants in found.items() for line in rows_of(env, variants)]
    write_text(options.out.with_suffix(".md"), "\n".join([*lines, note]) + "\n")


def _panel(ax: Any, env: str, variants: dict[str, list[Curves]]) -> None:
    """Seeds as dots, their mean as a line; grey: the mean of the unchanged method."""
    for row, (name, curves) in enumerate(variants.items()):
        scores = final_scores(curves, "win_rate")
        colour = style.colour_of(ALGO) if name == ALGO else style.GREY
        ax.plot(scores, np.full(len(scores), row), "o", color=colour, ms=4, alpha=0.7)
        ax.plot([scores.mean()] * 2, [row - 0.3, row + 0.3], color=colour, lw=2)
    if ALGO in variants:
        ax.axvline(final_scores(variants[ALGO], "win_rate").mean(), color=style.GREY, lw=0.8, ls=":")
    ax.set_yticks(range(len(variants)), [VARIANTS[name].title for name in variants], fontsize=8)
    ax.set_ylim(len(variants) - 0.5, -0.5)
    ax.set_xlim(-0.03, 1.03)
    ax.set_xlabel("test win rate at the end", fontsize=9)
    ax.set_title(style.env_title(env), fontsize=10)
    style.plain(ax)


def rows_of(env: str, variants: dict[str, list[Curves]]) -> list[str]:
    """The table of a map, as Markdown."""
    end = min(float(c.steps[-1]) for curves in variants.values() for c in curves)
    lines = [f"| {style.env_title(env)}: what is changed | win rate | higher than unchanged | wins {THRESHOLD:g} "]
    lines[0] += f"| then below {LOST:g} |"
    lines.append("|---|---|---|---|---|")
    for name, curves in variants.items():
        scores, chance = final_scores(curves, "win_rate"), ""
        if name != ALGO and ALGO in variants:
            found, verdict = better(scores, final_scores(variants[ALGO], "win_rate"))
            chance = f"{float(found.mean):.2f} [{float(found.low):.2f}, {float(found.high):.2f}], {verdict}"
        times = times_text(arrivals(curves, "win_rate", THRESHOLD, end), end)
        lost = f"{sum(falls(c, 'win_rate', THRESHOLD, LOST) for c in curves)} of {len(curves)} seeds"
        lines.append(f"| {VARIANTS[name].title} | {interval_text(scores, RATE, '.2f')} | {chance} | {times} | {lost} |")
    text = f"Win rate: mean of the last {LAST} evaluations over seeds and its 95 % interval (Student's t). Higher than "
    text += "unchanged: probability of improvement with the interval of the stratified bootstrap. Wins, then below: "
    text += f"means of {LAST} evaluations in a row."
    return [*lines, "", text, ""]
