"""Do individual intrinsic rewards help where the team's reward is sparse? Greedy win rates over env steps.

AIIR-MIX, LIIR, AIIR-MIX's learner without intrinsic rewards, MAPPO and QMIX, with `reward=sparse` (a win 1, a defeat
-1) and `reward=semisparse` (deaths and the win). Random play never wins by SMAC's rules, and who has only been punished
for defeats learns to hide until the time is up. So there is a third form: only wins count (`reward=win`), against
enemies that chance can beat (`rules=short_sighted`, on the maps of marines). The numbers of each form are in a file of
its own, `win.csv`, `semisparse.csv` and `sparse.csv` in the directory of the picture; beside them is the table of the
final win rates, `sparse.md`.
"""

import contextlib
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from envs.errors import ConfigError
from experiments.analysis import style
from experiments.analysis.curves import Curves
from experiments.common.files import write_text
from experiments.figures.aiir.maps_table import cell, final_win_rate, table_of
from experiments.figures.aiir.win_rates import (
    EVAL_EPISODES,
    EVAL_EVERY,
    FAMILY,
    GUESS,
    in_percent,
    made_with,
    records_of,
)
from experiments.figures.iac.curves import LAST
from experiments.figures.runs import FigureTraining, Run, make_run
from experiments.figures.spec import Budget, FigureOptions, parse
from experiments.figures.store import WIN_RATES, keep_curves, read_curves

SUMMARY = "Greedy win rates of methods with and without intrinsic rewards where the team's reward is (semi-)sparse."


class Form(NamedTuple):
    """What is trained: the options of the environments, what they are called, and the maps (None: all)."""

    env_options: tuple[str, ...]
    title: str
    maps: tuple[str, ...] | None = None


FORMS = {
    "win": Form(
        ("reward=win", "rules=short_sighted"), "a win 1, nothing else; short-sighted", (f"{FAMILY}:3m", f"{FAMILY}:8m")
    ),
    "semisparse": Form(("reward=semisparse",), "semi-sparse: deaths and the win"),
    "sparse": Form(("reward=sparse",), "sparse: a win 1, a defeat -1"),
}
NO_INTRINSIC = "no_intrinsic"  # a preset of AIIR-MIX, a method here
NAMES = {NO_INTRINSIC: "AIIR-MIX without intrinsic rewards"}
METHODS = ("aiir_mix", "liir", NO_INTRINSIC, "mappo", "qmix")
OTHERS = ("rmix", "aiir", "ippo", "vdn", "coma")
SMOOTH = 5  # evaluations in the moving mean that is drawn
_FAIR = ("tuned", "default")
_ALL_MAPS = {f"{FAMILY}:{name}": 1_000_000 for name in ("3m", "8m", "2s3z")}
BUDGETS = {
    "small": Budget(
        3, {"smax:3m": 300_000}, METHODS, _FAIR, "8m and 2s3z, two of five seeds, and most of the steps", also=OTHERS
    ),
    "full": Budget(5, _ALL_MAPS, METHODS, _FAIR, also=OTHERS),
}


def command(argv: Sequence[str]) -> int:
    """Trains the missing runs, draws them and writes the table. Returns the exit code."""
    return training(argv).run_and_draw(draw_all)


def draw_all(options: FigureOptions) -> None:
    """The picture and the table of what is saved."""
    found = saved(options)
    draw(options, found)
    write_table(options, found)


def make_runs(options: FigureOptions) -> list[Run]:
    """All runs: form by form and map by map, so that the first panels are complete first."""
    made = []
    for form in FORMS.values():
        for env in options.steps if form.maps is None else [env for env in options.steps if env in form.maps]:
            for name in options.methods:
                plain = name != NO_INTRINSIC
                asked = options if plain else dataclasses.replace(options, presets=(NO_INTRINSIC,))
                run = make_run(asked, name if plain else "aiir_mix", env, "sparse", EVAL_EVERY, EVAL_EPISODES)
                settings = run.settings
                changed = dataclasses.replace(settings.run, env_options=form.env_options)
                made.append(Run(dataclasses.replace(settings, run=changed), name))
    return made


def training(argv: Sequence[str]) -> FigureTraining:
    """What the command line `argv` trains."""
    options = parse(argv, SUMMARY, BUDGETS, family=FAMILY)

    def numbers(run: Run) -> pathlib.Path:
        form = next(name for name, form in FORMS.items() if form.env_options == run.settings.run.env_options)
        return numbers_file(options, form)

    def keep(run: Run) -> None:
        keep_curves(numbers(run), options.budget, run, options.command, WIN_RATES)

    def record_file(run: Run) -> pathlib.Path:
        return numbers(run).with_suffix(".json")

    speeds = numbers_file(options, "sparse").with_suffix(".json")
    return FigureTraining(options, make_runs(options), keep, None, speeds, GUESS, record_file)


def numbers_file(options: FigureOptions, form: str) -> pathlib.Path:
    """The file with the numbers of a form of the reward."""
    return options.out.with_name(f"{form}.csv")


def saved(options: FigureOptions) -> dict[str, list[Curves]]:
    """The saved curves of each form of which there are any; with --redraw only the methods and maps asked for.

    Raises:
      ConfigError: none of them is saved.
    """
    only, found = options.asked if options.redraw else (), {}
    for form in FORMS:
        with contextlib.suppress(ConfigError):  # nothing of this form yet
            curves = read_curves(numbers_file(options, form), options.budget)
            curves = [c for c in curves if "methods" not in only or c.label in options.methods]
            found[form] = [c for c in curves if "envs" not in only or c.env in options.steps]
    found = {form: curves for form, curves in found.items() if curves}
    if not found:
        folder = options.out.parent
        raise ConfigError(f"nothing of budget {options.budget} is saved in {folder}: train first, without --redraw")
    return found


def draw(options: FigureOptions, found: dict[str, list[Curves]]) -> None:
    """A row of panels for each form of the reward, a column for each map."""
    envs = [env for env in _ALL_MAPS if any(c.env == env for curves in found.values() for c in curves)]
    figure = style.new_figure(3.3 * max(len(envs), 2), 1.2 + 2.6 * len(found))
    panels = figure.subplots(len(found), len(envs), squeeze=False, sharey=True)
    for row, (form, curves) in zip(panels, found.items(), strict=True):
        row[0].set_ylabel(f"{FORMS[form].title}\ntest win rate (%)", fontsize=9)
        for ax, env in zip(row, envs, strict=True):
            here = [in_percent(c, SMOOTH) for c in curves if c.env == env]
            ax.set_visible(bool(here))  # nothing of it is saved yet
            if here:
                style.percentages(ax, [c._replace(label=NAMES.get(c.label, c.label)) for c in here], "win_rate")
            ax.set_title(style.env_title(env), fontsize=10)
    labels = [NAMES.get(c.label, c.label) for curves in found.values() for c in curves]
    style.legend(figure, style.in_order(labels), ncols=3)
    style.foot_note(figure, small_print(options, found), 57 * max(len(envs), 2))
    style.save(figure, options.out)


def small_print(options: FigureOptions, found: dict[str, list[Curves]]) -> str:
    """What the numbers are and how they were made."""
    records = [r for form, curves in found.items()
               for r in records_of(numbers_file(options, form), options.budget, curves)]  # fmt: skip
    text = style.seeds_text([r["seeds"] for r in records])
    text += f". Greedy, {EVAL_EPISODES} episodes every {EVAL_EVERY:,} steps, moving mean over {SMOOTH} evaluations. "
    return text + made_with(options, records)


def write_table(options: FigureOptions, found: dict[str, list[Curves]]) -> None:
    """Prints the final win rates of each form and writes them beside the picture, as Markdown."""
    lines = []
    for form, curves in found.items():
        table = table_of({(c.label, c.env, c.seed): final_win_rate(c) for c in curves})
        envs = [env for env in _ALL_MAPS if any(known == env for _, known in table)]
        lines += [f"| {FORMS[form].title} | {' | '.join(style.env_title(env) for env in envs)} |"]
        lines += ["|---" * (len(envs) + 1) + "|"]
        for name in dict.fromkeys(name for name, _ in table):
            cells = [cell(table[name, env][1].mean) if (name, env) in table else "" for env in envs]
            lines.append(f"| {NAMES.get(name, style.name_of(name))} | {' | '.join(cells)} |")
        lines.append("")
    what = f"Percent of episodes won in the last {LAST} evaluations: mean over seeds and its 95 % interval "
    text = "\n".join([*lines, f"{what}(Student's t, cut at 0 and 100). {small_print(options, found)}"]) + "\n"
    out = options.out.with_suffix(".md")
    write_text(out, text)
    print(f"{text}wrote {out}")
