"""Figure 4 (eight methods on three tasks) and figure 6 (increasing numbers of pendulums): returns over env steps."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.analysis import style
from experiments.analysis.curves import Curves
from experiments.common.files import read_json
from experiments.common.stats import mean_interval
from experiments.config.presets import HUNT, SWING
from experiments.config.schema import algorithm_fingerprint
from experiments.figures.runs import FigureTraining, Run, make_run
from experiments.figures.spec import Budget, FigureOptions, parse
from experiments.figures.store import keep_curves, read_curves
from experiments.runs import find

METHODS = ("iac", "siaq", "sq", "siq", "attn_qmix", "ddpg_mix", "maddpg", "maac")
LAST = 5  # evaluations whose mean is a seed's final return
_SHAPED = "multi_pendulum_shaped"
# Settings of each budget. With those of tables 5 to 7, predator-prey is hardly learned in 60 k updates.
PAPER = "Tables 5 to 7 for every method, MADDPG and MAAC being their official codes with these numbers"
TUNED_PENDULUMS = (
    "Table 5, but an update every 16 steps of 16 environments, uniform actions before the first, white noise"
)
TUNED = (
    "Tuned, the same for every method: discount 0.9 and learning rates of 1e-3 on predator-prey, an update every 16 "
    "steps of 16 environments (predator-prey: 32 of 32), uniform actions before the first, white noise"
)
_TASKS = {"multi_pendulum:3": 1_000_000, "predator_prey": 1_000_000, "po_predator_prey": 1_000_000}
_LEARNED = {"multi_pendulum:3": 600_000, "predator_prey": 1_500_000, "po_predator_prey": 1_500_000}
_UNTOLD = ". The paper states neither N nor the number of steps: 3 and"
_HUNTS = {"predator_prey": HUNT, "po_predator_prey": HUNT}
_SHORT = SWING | {"warmup": 20_000}  # sixteen times the episodes for the same updates
_NUMBERS = {f"{_SHAPED}:{n}": 500_000 for n in (3, 5, 8, 10)}

SUMMARIES = {
    "iac/fig4": "Figure 4: greedy return of eight methods on multi-pendulum, predator-prey and its partial version.",
    "iac/fig6": "Figure 6: greedy return of IAC and SIAQ for increasing numbers of pendulums, shaped reward.",
}
BUDGETS = {
    "iac/fig4": {
        "small": Budget(
            2,
            {"multi_pendulum:2": 200_000, "predator_prey": 300_000, "po_predator_prey": 300_000},
            METHODS,
            ("default",),
            "three of the paper's five seeds, its settings, most of its steps, the third pendulum (N = 2), and all but "
            "one of 16 updates (predator-prey: of 32)",
            _HUNTS | {"multi_pendulum": _SHORT},
            settings=TUNED,
        ),
        "paper": Budget(5, _TASKS, METHODS, ("paper",), settings=f"{PAPER}{_UNTOLD} 1 M"),
        "tuned": Budget(
            5,
            _LEARNED,
            METHODS,
            ("default",),
            "the paper's settings, and all but one of 16 updates (predator-prey: of 32)",
            _HUNTS | {"multi_pendulum": SWING},
            settings=f"{TUNED}{_UNTOLD} 0.6 M (predator-prey: 1.5 M)",
        ),
    },
    "iac/fig6": {
        "small": Budget(
            2,
            {f"{_SHAPED}:{n}": 240_000 for n in (2, 3, 5)},
            ("iac", "siaq"),
            ("default",),
            "three of the paper's five seeds, half its steps, 15 of 16 updates, and eight and ten pendulums",
            {_SHAPED: _SHORT},
            settings=TUNED_PENDULUMS,
        ),
        "paper": Budget(5, _NUMBERS, ("iac", "siaq"), ("paper",), settings="Tables 5 to 7"),
        "tuned": Budget(
            5,
            _NUMBERS,
            ("iac", "siaq"),
            ("default",),
            "15 of 16 updates",
            {_SHAPED: SWING},
            settings=TUNED_PENDULUMS,
        ),
    },
}


def command(argv: Sequence[str]) -> int:
    """Trains the missing runs of figure 4 or 6 and draws it. Returns the exit code."""
    wanted = training(argv)
    return wanted.run_and_draw(DRAWINGS[wanted.options.target])


def training(argv: Sequence[str]) -> FigureTraining:
    """What the command line `argv` of figure 4 or 6 trains."""
    options = parse(argv, SUMMARIES[argv[0]], BUDGETS[argv[0]])
    return FigureTraining(options, runs_of(options), lambda run: _keep(options, run))


def runs_of(options: FigureOptions) -> list[Run]:
    """All runs, method by method within each environment, so that the first panel is full first."""
    return [make_run(options, algo, env, "curves") for env in options.steps for algo in options.methods]


def _keep(options: FigureOptions, run: Run) -> None:
    keep_curves(options.out.with_suffix(".csv"), options.budget, run, options.command)


def final_return(curve: Curves) -> float:
    """The mean of a seed's last evaluations; a single one of ten episodes is noisy."""
    return float(np.mean(curve.columns["return_mean"][-LAST:]))


def small_print(options: FigureOptions, table: Any, algos: Sequence[str] = (), bars: bool = False) -> str:
    """The small print: seeds, steps and unfinished runs, from the records saved with the numbers.

    Args:
      bars: whether the picture has bars with intervals instead of curves.
    """
    records = read_json(table.with_suffix(".json")).get("runs", [])
    records = [r for r in records if r["budget"] == options.budget and (not algos or r["algo"] in algos)]
    seeds = sorted({r["seeds"] for r in records})
    steps = sorted({r["total_steps"] for r in records})
    begun = [f"{style.name_of(r['algo'])} on {r['env']}" for r in records if r["status"] not in find.FINISHED]
    text = f"Mean and 95 % interval over {style.span(seeds, 'seed')}" if bars else style.seeds_text(seeds)
    text += ", greedy, 10 episodes an evaluation, "
    text += f"{style.span(steps, 'step')} on {', '.join(sorted({r['device'] for r in records}))}; {options.note}"
    text += f"; not finished: {', '.join(begun)}" if begun else ""
    other = [f"{style.name_of(r['algo'])} on {r['env']}" for r in records if _made_otherwise(options, r)]
    other = [f"all {len(other)}"] if len(other) == len(records) else other
    text += f"; made with other or unknown settings: {', '.join(other)}" if other else ""
    return f"{text}."


def _made_otherwise(options: FigureOptions, record: dict[str, Any]) -> bool:
    """Whether a saved run was trained with other fields of its algorithm than the budget has, or unknown ones."""
    one = dataclasses.replace(options, steps={record["env"]: record["total_steps"]})
    today = make_run(one, record["algo"], record["env"]).settings.algorithm
    return record.get("algorithm") != algorithm_fingerprint(today)


def _panels(options: FigureOptions, curves: Sequence[Curves]) -> list[str]:
    """Environments to draw: those asked for first, then all others that are saved."""
    saved = dict.fromkeys(c.env for c in curves)
    return [env for env in options.steps if env in saved] + [env for env in saved if env not in options.steps]


def draw_tasks(options: FigureOptions) -> None:
    """Figure 4: one panel for each environment."""
    table = options.out.with_suffix(".csv")
    curves = read_curves(table, options.budget)
    envs = _panels(options, curves)
    figure = style.new_figure(4.1 * len(envs), 3.9)
    for ax, env in zip(figure.subplots(1, len(envs), squeeze=False)[0], envs, strict=True):
        style.bands(ax, [c for c in curves if c.env == env])
        ax.set_title(style.env_title(env), fontsize=10)
    figure.axes[0].set_ylabel("episode return (greedy)", fontsize=9)
    style.legend(figure, [c.label for c in curves], ncols=8 if len(envs) > 1 else 4)
    style.foot_note(figure, small_print(options, table), 62 * len(envs))
    style.save(figure, options.out)


def draw_scalability(options: FigureOptions) -> None:
    """Figure 6: a panel of curves for each N, then the final return over N."""
    table = options.out.with_suffix(".csv")
    curves = read_curves(table, options.budget)
    envs = sorted(_panels(options, curves), key=_count)
    figure = style.new_figure(3.4 * (len(envs) + 1), 3.7)
    *panels, last = figure.subplots(1, len(envs) + 1, squeeze=False)[0]
    for ax, env in zip(panels, envs, strict=True):
        style.bands(ax, [c for c in curves if c.env == env])
        ax.set_title(style.env_title(env), fontsize=10)
        ax.set_ylim(-4, 104)  # 200 steps x 0.5
    for algo in style.in_order([c.label for c in curves]):
        _over_n(last, algo, [c for c in curves if c.label == algo])
    last.set_title(f"final return (last {LAST} evaluations)", fontsize=10)
    last.set_xlabel("N, number of pendulums", fontsize=9)
    last.set_xticks([_count(env) for env in envs])
    last.set_ylim(-4, 104)
    style.plain(last)
    figure.axes[0].set_ylabel("episode return (greedy)", fontsize=9)
    style.legend(figure, [c.label for c in curves])
    style.foot_note(figure, small_print(options, table), 52 * (len(envs) + 1))
    style.save(figure, options.out)


def _count(env: str) -> int:
    return int(env.split(":")[1])


def _over_n(ax: Any, algo: str, curves: Sequence[Curves]) -> None:
    """Means with 95 % intervals where there are enough seeds for one, and a dot for each seed."""
    numbers = sorted({_count(c.env) for c in curves})
    finals = [[final_return(c) for c in curves if _count(c.env) == n] for n in numbers]
    bands = [mean_interval(values) for values in finals]
    half = [float(b.high - b.mean) if len(v) >= style.BAND_FROM else 0.0 for b, v in zip(bands, finals, strict=True)]
    shift = 0.06 if algo == "siaq" else -0.06  # so that error bars do not overlap
    colour, x = style.colour_of(algo), np.array(numbers) + shift
    ax.errorbar(x, [float(b.mean) for b in bands], half, color=colour, lw=1.8, capsize=3 * any(half), marker="o", ms=4)
    for at, values in zip(x, finals, strict=True):
        ax.scatter([at] * len(values), values, s=12, color=colour, alpha=0.5)


DRAWINGS = {"iac/fig4": draw_tasks, "iac/fig6": draw_scalability}
