"""What MAPPO and QMIX learn on the hard maps of SMAC and on SMACv2: `python -m experiments.reproduce smac/maps`.

The dotted lines are published win rates on StarCraft II itself, for orientation only: our combat is a model of the
game's, and those runs had 10 M steps or more. `open_loop` is MAPPO whose agents observe the time and their number only:
what it wins can be learned by heart. SMACv2 was made because much of SMAC can (Ellis et al. 2023, section 4).
"""

import contextlib
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from envs.errors import ConfigError
from experiments.analysis import style
from experiments.analysis.curves import Curves
from experiments.figures.aiir.win_rates import (
    EVAL_EPISODES,
    EVAL_EVERY,
    GUESS,
    in_percent,
    made_with,
    records_of,
)
from experiments.figures.runs import FigureTraining, Run, make_run
from experiments.figures.spec import Budget, FigureOptions, parse
from experiments.figures.store import WIN_RATES, keep_curves, read_curves

SUMMARY = "Greedy win rates of MAPPO and QMIX on nine maps of SMAC and three of SMACv2, and of an open-loop policy."
OPEN_LOOP = "open_loop"  # MAPPO with an option of the environment, a method here
METHODS = ("mappo", "qmix", OPEN_LOOP)
NAMES = {OPEN_LOOP: "MAPPO, open loop"}
MAPS = tuple(
    f"smax:{name}"
    for name in (
        "2s_vs_1sc", "3s_vs_5z", "5m_vs_6m", "so_many_baneling", "corridor", "2c_vs_64zg", "6h_vs_8z", "3s5z_vs_3s6z",
        "MMM2",
    )
)  # fmt: skip
_V2 = tuple(f"smacv2:{race}_5_vs_5" for race in ("protoss", "terran", "zerg"))
_EASY = "smax:2s3z"  # for the open-loop policy to be compared on
MAPS += (*_V2, _EASY)
METHODS_OF = {_EASY: ("mappo", OPEN_LOOP)} | dict.fromkeys(_V2, METHODS)  # elsewhere without the open-loop policy
_PRESETS = ("tuned", "default")
_STEPS = dict.fromkeys(MAPS, 1_000_000)
BUDGETS = {
    "small": Budget(3, _STEPS, METHODS, _PRESETS, "two of five seeds, and nine tenths of the usual 10 M steps"),
    "full": Budget(5, dict.fromkeys(MAPS, 10_000_000), METHODS, _PRESETS),
}
# Win rates in per cent on the game, in the order of METHODS: HARL (Zhong et al. 2024) on SMAC, Ellis et al. 2023 on
# SMACv2.
PUBLISHED = {
    "smax:5m_vs_6m": (75, 77),
    "smax:MMM2": (94, 88),
    "smax:3s5z_vs_3s6z": (70, 88),
    "smax:corridor": (98, 83),
    "smax:6h_vs_8z": (85, 92),
    "smacv2:protoss_5_vs_5": (52, 75, 12),
    "smacv2:terran_5_vs_5": (54, 62, 13),
    "smacv2:zerg_5_vs_5": (51, 40, 6),
}
SMOOTH = 5  # evaluations in the moving mean that is drawn
COLUMNS = 4  # panels in a row


def command(argv: Sequence[str]) -> int:
    """Trains the missing runs and draws what there is. Returns the exit code."""
    wanted = training(argv)
    options = wanted.options
    code = 0 if options.redraw else wanted.run_all()
    with contextlib.suppress(ConfigError) if code >= 128 else contextlib.nullcontext():
        draw(options)  # stopped by the user: draw what there is
    return code


def training(argv: Sequence[str]) -> FigureTraining:
    """What the command line `argv` trains."""
    options = parse(argv, SUMMARY, BUDGETS)
    table = numbers_file(options)
    runs = [make_run_of(options, name, env) for env in options.steps for name in methods_of(options, env)]

    def keep(run: Run) -> None:
        keep_curves(table, options.budget, run, options.command, WIN_RATES)

    records = table.with_suffix(".json")
    return FigureTraining(options, runs, keep, records=records, guess=GUESS, record_file=lambda run: records)


def methods_of(options: FigureOptions, env: str) -> list[str]:
    """The methods that are asked for and that this map has."""
    return [name for name in options.methods if name in METHODS_OF.get(env, METHODS[:2])]


def make_run_of(options: FigureOptions, name: str, env: str) -> Run:
    """The run of a method; the open-loop policy's is MAPPO's in a changed environment."""
    plain = name != OPEN_LOOP
    run = make_run(options, name if plain else "mappo", env, "maps", EVAL_EVERY, EVAL_EPISODES)
    if plain:
        return run
    settings = run.settings
    changed = dataclasses.replace(settings.run, env_options=("open_loop=True",))
    return Run(dataclasses.replace(settings, run=changed), name)


def numbers_file(options: FigureOptions) -> pathlib.Path:
    """The file with the figure's numbers."""
    return options.out.with_suffix(".csv")


def draw(options: FigureOptions) -> None:
    """A panel for each map that something is saved of.

    Raises:
      ConfigError: nothing is saved, or the picture cannot be written.
    """
    table = numbers_file(options)
    curves = [c for c in read_curves(table, options.budget) if c.label in METHODS and c.env in options.steps]
    if not curves:
        raise ConfigError(f"none of these methods and maps is saved in {table}: train them first")
    envs = [env for env in MAPS if any(c.env == env for c in curves)]
    rows = -(-len(envs) // COLUMNS)
    figure = style.new_figure(2.9 * min(len(envs), COLUMNS) + 0.3, 2.7 * rows + 1.0)
    panels = figure.subplots(rows, min(len(envs), COLUMNS), squeeze=False, sharey=True).flat
    for ax in panels[len(envs) :]:
        ax.set_visible(False)
    for ax, env in zip(panels, envs, strict=False):
        _panel(ax, env, [c for c in curves if c.env == env])
    for row in range(rows):
        panels[row * min(len(envs), COLUMNS)].set_ylabel("test win rate (%)", fontsize=9)
    style.legend(figure, [NAMES.get(name, name) for name in METHODS if any(c.label == name for c in curves)])
    style.foot_note(figure, _small_print(options, curves), 45 * min(len(envs), COLUMNS))
    style.save(figure, options.out)


def _panel(ax: Any, env: str, curves: Sequence[Curves]) -> None:
    smooth = [in_percent(c, SMOOTH) for c in curves]
    style.percentages(ax, [c._replace(label=NAMES.get(c.label, c.label)) for c in smooth], "win_rate")
    for name, value in zip(METHODS, PUBLISHED.get(env, ()), strict=False):
        ax.axhline(value, color=style.colour_of(NAMES.get(name, name)), lw=1.0, ls=":")
    ax.set_title(style.env_title(env), fontsize=10)


def _small_print(options: FigureOptions, curves: Sequence[Curves]) -> str:
    records = records_of(numbers_file(options), options.budget, curves)
    text = f"{style.seeds_text([r['seeds'] for r in records])}. Greedy, {EVAL_EPISODES} episodes every "
    text += f"{EVAL_EVERY:,} steps, moving mean over {SMOOTH} evaluations. "
    text += "Dotted: published, StarCraft II, 10 M steps or more. "
    return text + made_with(options, records)
