"""AIIR-MIX's figure 3 (methods on four maps) and figure 4 (its ablations on two): greedy win rates over env steps.

Both figures and table 1 save their numbers in one file, `fig3.csv` in the directory of the picture, so a run that two
of them need is trained once.
"""

import pathlib
from collections.abc import Sequence

import numpy as np

from envs.errors import ConfigError
from experiments.analysis import style
from experiments.analysis.curves import Curves
from experiments.common.files import read_json
from experiments.figures.runs import FigureTraining, Run, make_run
from experiments.figures.spec import Budget, FigureOptions, parse
from experiments.figures.store import WIN_RATES, keep_curves, read_curves
from experiments.runs import find

METHODS = ("aiir_mix", "liir", "qmix", "qtran", "coma")
ABLATIONS = ("aiir_mix", "rmix", "aiir", "liir")
OTHERS = ("ippo", "mappo", "vdn", "iql")  # not in the paper, but of interest to its readers
FAMILY = "smax"
# "evaluated every 5000 timesteps of training in 20 independent evaluation episodes" (section 5.1)
EVAL_EVERY, EVAL_EPISODES = 5000, 20
# Env steps per second of a learner that was not measured: half of AIIR-MIX's; for the time estimate only.
GUESS = {"cpu": 3000.0, "gpu": 50_000.0}

_ALL_MAPS = {f"{FAMILY}:{name}": 2_000_000 for name in ("8m", "2s3z", "3s5z", "MMM")}  # the paper does not say how long
_TWO_MAPS = {env: 500_000 for env in ("smax:8m", "smax:2s3z")}
_LESS = "three of the paper's five seeds and most of the 2 M steps usual on SMAC"
_PAPER = ("paper", "pymarl", "default")
_PUBLISHED = (
    "The paper names no settings: LIIR's published ones for the methods with intrinsic rewards, PyMARL's for QMIX, "
    "QTRAN and COMA"
)
# They take two to five times as long for an env step (fig3.json).
_Q_STEPS = dict.fromkeys(("qmix", "qtran"), 1_000_000)
_HALF = "; 2 M steps, QMIX and QTRAN 1 M"
_TUNED = "Each method's best settings"
_FAIR = ("tuned", "default")  # the best settings of each method; those with intrinsic rewards have `default`
SUMMARIES = {
    "aiir/fig3": "Figure 3: greedy win rates of AIIR-MIX, LIIR, QMIX, QTRAN and COMA on 8m, 2s3z, 3s5z and MMM.",
    "aiir/fig4": "Figure 4: greedy win rates of AIIR-MIX, its ablations RMIX and AIIR, and LIIR on 8m and 2s3z.",
}
BUDGETS = {
    "aiir/fig3": {
        "small": Budget(2, _TWO_MAPS, METHODS, _FAIR, f"the maps that are not drawn, {_LESS}", also=OTHERS),
        "paper": Budget(5, _ALL_MAPS, METHODS, _PAPER, also=OTHERS, settings=_PUBLISHED + _HALF, other_steps=_Q_STEPS),
        "tuned": Budget(5, _ALL_MAPS, METHODS, _FAIR, also=OTHERS, settings=_TUNED + _HALF, other_steps=_Q_STEPS),
    },
    "aiir/fig4": {
        "small": Budget(2, _TWO_MAPS, ABLATIONS, _FAIR, _LESS),
        "paper": Budget(5, {env: _ALL_MAPS[env] for env in _TWO_MAPS}, ABLATIONS, _PAPER, settings=_PUBLISHED),
    },
}
# 20 episodes measure a win rate to about 10 %: unsmoothed, 400 evaluations of five methods are unreadable.
NUMBERS = {"smooth": (5.0, "evaluations in the moving mean that is drawn; the paper states none")}


def command(argv: Sequence[str]) -> int:
    """Trains the missing runs of figure 3 or 4 and draws it. Returns the exit code."""
    wanted = training(argv)
    smooth = wanted.options.numbers["smooth"]
    if smooth < 1 or smooth != int(smooth):
        raise ConfigError(f"--smooth must be a whole number of at least 1, not {smooth:g}")
    return wanted.run_and_draw(lambda options: draw(options, BUDGETS[options.target]))


def training(argv: Sequence[str]) -> FigureTraining:
    """What the command line `argv` of figure 3 or 4 trains."""
    target = argv[0]
    return win_rate_training(parse(argv, SUMMARIES[target], BUDGETS[target], NUMBERS, FAMILY))


def win_rate_training(
    options: FigureOptions, table: pathlib.Path | None = None, folder: str = "win_rates"
) -> FigureTraining:
    """A run of each method on each map, map by map, so that the first panel is complete first.

    Args:
      table: file with the numbers; None: `numbers_file`.
      folder: of the runs.
    """
    table = table or numbers_file(options)
    runs = [
        make_run(options, algo, env, folder, EVAL_EVERY, EVAL_EPISODES)
        for env in options.steps
        for algo in options.methods
    ]

    def keep(run: Run) -> None:
        keep_curves(table, options.budget, run, options.command, WIN_RATES)

    records = table.with_suffix(".json")
    return FigureTraining(options, runs, keep, records=records, guess=GUESS, record_file=lambda run: records)


def numbers_file(options: FigureOptions) -> pathlib.Path:
    """The file with the numbers of both figures and the table."""
    return options.out.with_name("fig3.csv")


def selected(options: FigureOptions, curves: Sequence[Curves], budgets: dict[str, Budget]) -> list[Curves]:
    """The saved curves that belong to the figure; with --redraw only the methods and maps asked for.

    Raises:
      ConfigError: none of them is saved.
    """
    only = options.asked if options.redraw else ()
    mine = {name for budget in budgets.values() for name in (*budget.methods, *budget.also)}
    methods = set(options.methods) if "methods" in only else mine
    envs = set(options.steps) if "envs" in only else {env for budget in budgets.values() for env in budget.steps}
    found = [c for c in curves if c.label in methods and c.env in envs]
    if not found:
        raise ConfigError(f"none of these methods and maps is saved in {numbers_file(options)}: train them first")
    return found


def in_percent(curve: Curves, smooth: int = 1) -> Curves:
    """Millions of steps, percent, and a moving mean over `smooth` evaluations (fewer at the ends)."""
    kernel = np.ones(smooth)
    wins = curve.columns["win_rate"]
    sums, counts = (np.convolve(x, kernel)[smooth // 2 :][: len(wins)] for x in (wins, np.ones_like(wins)))
    return curve._replace(steps=curve.steps / 1e6, columns={"win_rate": 100 * sums / counts})


def draw(options: FigureOptions, budgets: dict[str, Budget]) -> None:
    """One panel for each map, in the order of the paper's budget.

    Raises:
      ConfigError: nothing of it is saved, or the picture cannot be written.
    """
    table, smooth = numbers_file(options), int(options.numbers["smooth"])
    curves = selected(options, read_curves(table, options.budget), budgets)
    known = dict.fromkeys(env for budget in reversed(budgets.values()) for env in budget.steps)
    envs = [env for env in known if any(c.env == env for c in curves)]
    figure = style.new_figure(3.3 * max(len(envs), 2), 3.6)
    for ax, env in zip(figure.subplots(1, len(envs), squeeze=False, sharey=True)[0], envs, strict=True):
        style.percentages(ax, [in_percent(c, smooth) for c in curves if c.env == env], "win_rate")
        ax.set_title(style.env_title(env), fontsize=10)
    figure.axes[0].set_ylabel("test win rate (%)", fontsize=9)
    algos = style.in_order([c.label for c in curves])
    style.legend(figure, algos, ncols=9 if len(envs) > 2 else 5)
    style.foot_note(figure, small_print(options, table, curves, smooth), 57 * max(len(envs), 2))
    style.save(figure, options.out)


def records_of(table: pathlib.Path, budget: str, curves: Sequence[Curves]) -> list[dict]:
    """How these curves were made."""
    drawn = {(c.label, c.env) for c in curves}
    records = read_json(table.with_suffix(".json")).get("runs", [])
    return [r for r in records if r["budget"] == budget and (r["algo"], r["env"]) in drawn]


def small_print(options: FigureOptions, table: pathlib.Path, curves: Sequence[Curves], smooth: int = 1) -> str:
    """The small print: what is drawn and how it was made, from the records saved with the numbers."""
    records = records_of(table, options.budget, curves)
    seeds = [r["seeds"] for r in records]
    text = style.seeds_text(seeds)
    smoothing = f"moving mean over {smooth} evaluations" if smooth > 1 else "not smoothed"
    text += f". Greedy, {EVAL_EPISODES} episodes every {EVAL_EVERY:,} steps, {smoothing}. "
    return text + made_with(options, records)


def made_with(options: FigureOptions, records: Sequence[dict]) -> str:
    """Steps, presets, device, what is left out and what is not finished."""
    presets, devices = (sorted({r[name] for r in records}) for name in ("preset", "device"))
    text = f"{style.span([r['total_steps'] for r in records], 'step')} on this package's SMAX, "
    text += f"preset{'s' * (len(presets) != 1)} {', '.join(presets)}, {', '.join(devices)}"
    begun = [f"{style.name_of(r['algo'])} on {style.env_title(r['env'])}" for r in records
             if r["status"] not in find.FINISHED]  # fmt: skip
    text += f"; {options.note}" + (f"; not finished: {', '.join(begun)}" if begun else "")
    return text + "."
