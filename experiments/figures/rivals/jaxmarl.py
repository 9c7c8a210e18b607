"""JaxMARL's own SMAX: our learners beside JaxMARL's scripts, `python -m experiments.reproduce smax/jaxmarl`.

The scripts' rows are those of `python -m experiments.benchmark learn`, which trains them, in the file learn_peers.csv:
dashed, the win rates while training; a cross, the greedy policies at the end. Dotted: what JaxMARL publishes.
"""

import functools
import pathlib
from collections.abc import Sequence
from typing import Any

from envs.errors import ConfigError
from experiments.analysis import style
from experiments.analysis.curves import Curves
from experiments.common.files import read_csv, write_text
from experiments.figures import panels
from experiments.figures.aiir.win_rates import GUESS, records_of
from experiments.figures.runs import FigureTraining, Run, make_run
from experiments.figures.spec import Budget, FigureOptions, parse
from experiments.figures.store import WIN_RATES, keep_curves, read_curves
from experiments.runs import find

SUMMARY = "Greedy win rates on JaxMARL's SMAX after 2 M env steps, beside JaxMARL's own scripts."
METHODS = ("ippo", "mappo", "qmix", "vdn", "pqn_vdn", "aiir_mix")
PREFIX = "jaxmarl:smax:"
MAPS = tuple(f"{PREFIX}{name}" for name in ("2s3z", "3s5z", "3s_vs_5z", "6h_vs_8z"))
EVAL_EVERY, EVAL_EPISODES = 50_000, 32
_PRESETS = ("jaxmarl", "tuned", "default")
BUDGETS = {
    "small": Budget(
        2, dict.fromkeys(MAPS[:1], 500_000), METHODS, _PRESETS, "three maps, and three quarters of the steps"
    ),
    "full": Budget(3, dict.fromkeys(MAPS, 2_000_000), METHODS, _PRESETS),
}
# Means over the last 2 % of 10 M steps of the curves that JaxMARL publishes.
PUBLISHED = dict(zip(MAPS, ({"ippo": value} for value in (0.96, 0.50, 0.82, 0.98)), strict=True))
PANELS = panels.Panels(MAPS, METHODS, published=PUBLISHED)
QUARTERS = (25, 50, 75, 100)  # per cent of a script's steps at which its file has a win rate


def command(argv: Sequence[str]) -> int:
    """Trains the missing runs, draws them and writes the table. Returns the exit code."""
    return training(argv).run_and_draw(draw)


def training(argv: Sequence[str]) -> FigureTraining:
    """What the command line `argv` trains."""
    options = parse(argv, SUMMARY, BUDGETS)
    table = options.out.with_suffix(".csv")
    runs = [
        make_run(options, name, env, "jaxmarl", EVAL_EVERY, EVAL_EPISODES)
        for env in options.steps
        for name in options.methods
    ]

    def keep(run: Run) -> None:
        keep_curves(table, options.budget, run, options.command, WIN_RATES)

    return FigureTraining(options, runs, keep, records=table.with_suffix(".json"), guess=GUESS)


def scripts_file(options: FigureOptions) -> pathlib.Path:
    """The rows of JaxMARL's scripts."""
    return options.out.parent.parent / "learn_peers.csv"


def script_rows(path: pathlib.Path, env: str) -> list[dict[str, str]]:
    """The rows of JaxMARL's scripts on this map; none where there is no file."""
    name = env.removeprefix(PREFIX)
    return [row for row in read_csv(path) if row["system"] == "jaxmarl" and row["map"] == name]


def draw(options: FigureOptions) -> None:
    """Draws what is saved, and writes the table beside the picture.

    Raises:
      ConfigError: nothing is saved, or a file cannot be written.
    """
    table, scripts = options.out.with_suffix(".csv"), scripts_file(options)
    curves = [c for c in read_curves(table, options.budget) if c.label in METHODS and c.env in MAPS]
    if not curves:
        raise ConfigError(f"none of these methods and maps is saved in {table}: train them first")
    note = small_print(options, table, curves)
    figure = panels.draw(PANELS, curves, note, functools.partial(_scripts, path=scripts))
    style.save(figure, options.out)
    text = ["Win rates of the last five evaluations, mean over seeds and its 95 % interval. ", note]
    write_text(options.out.with_suffix(".md"), "\n".join([*panels.table(PANELS, curves), "", "".join(text)]) + "\n")


def _scripts(ax: Any, env: str, path: pathlib.Path) -> None:
    """A script's seeds: its win rates while training, and of its greedy policy at the end."""
    for row in script_rows(path, env):
        end, colour = float(row["env_steps"]) / 1e6, style.colour_of(row["algo"])
        rates = [row[f"win_rate_at_{quarter}"] for quarter in QUARTERS]
        points = [(end * q / 100, 100 * float(rate)) for q, rate in zip(QUARTERS, rates, strict=True) if rate]
        ax.plot(*zip(*points, strict=True), color=colour, lw=1.0, ls="--", alpha=0.7)
        ax.plot(end, 100 * float(row["greedy_win_rate"]), "x", color=colour, ms=6)


def small_print(options: FigureOptions, table: pathlib.Path, curves: Sequence[Curves]) -> str:
    """What is drawn, and how it was made."""
    records = records_of(table, options.budget, curves)
    presets, devices = (sorted({r[name] for r in records}) for name in ("preset", "device"))
    text = f"{style.seeds_text([r['seeds'] for r in records])}. Greedy, {EVAL_EPISODES} episodes every "
    text += f"{EVAL_EVERY:,} steps, {style.span([r['total_steps'] for r in records], 'step')}, "
    text += f"presets {', '.join(presets)}, {', '.join(devices)}. Dashed: JaxMARL's scripts while training; a cross: "
    text += "their greedy policies at the end. Dotted: JaxMARL's published IPPO-RNN, 10 M steps"
    begun = [f"{style.name_of(r['algo'])} on {r['env']}" for r in records if r["status"] not in find.FINISHED]
    return text + (f"; not finished: {', '.join(begun)}" if begun else "") + f"; {options.note}."
