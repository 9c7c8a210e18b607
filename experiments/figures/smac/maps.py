"""What MAPPO and QMIX learn on the hard maps of SMAC and on SMACv2: `python -m experiments.reproduce smac/maps`.

The dotted lines are published win rates on StarCraft II itself, for orientation only: our combat is a model of the
game's, and those runs had 10 M steps or more. `open_loop` is MAPPO whose agents observe the time and their number only:
what it wins can be learned by heart. SMACv2 was made because much of SMAC can (Ellis et al. 2023, section 4).
"""

import dataclasses
import pathlib
from collections.abc import Sequence

from envs.errors import ConfigError
from experiments.analysis import style
from experiments.common.files import write_text
from experiments.figures import panels
from experiments.figures.aiir.win_rates import (
    EVAL_EPISODES,
    EVAL_EVERY,
    GUESS,
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
# Final win rates on the game: HARL (Zhong et al. 2024) on SMAC, Ellis et al. 2023 on SMACv2.
_PUBLISHED = {
    "smax:5m_vs_6m": (0.75, 0.77),
    "smax:MMM2": (0.94, 0.88),
    "smax:3s5z_vs_3s6z": (0.70, 0.88),
    "smax:corridor": (0.98, 0.83),
    "smax:6h_vs_8z": (0.85, 0.92),
    "smacv2:protoss_5_vs_5": (0.52, 0.75, 0.12),
    "smacv2:terran_5_vs_5": (0.54, 0.62, 0.13),
    "smacv2:zerg_5_vs_5": (0.51, 0.40, 0.06),
}
PANELS = panels.Panels(
    MAPS,
    METHODS,
    names=NAMES,
    published={env: dict(zip(METHODS, values, strict=False)) for env, values in _PUBLISHED.items()},
)


def command(argv: Sequence[str]) -> int:
    """Trains the missing runs and draws what there is. Returns the exit code."""
    return training(argv).run_and_draw(draw)


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
    records = records_of(table, options.budget, curves)
    text = f"{style.seeds_text([r['seeds'] for r in records])}. Greedy, {EVAL_EPISODES} episodes every "
    text += f"{EVAL_EVERY:,} steps, moving mean over {panels.SMOOTH} evaluations. "
    text += "Dotted: published, StarCraft II, 10 M steps or more. "
    style.save(panels.draw(PANELS, curves, text + made_with(options, records)), options.out)
    lines = [*panels.table(PANELS, curves), "", "Win rates of the last five evaluations: mean over seeds and its 95 % "]
    lines[-1] += f"interval (Student's t, cut at 0 and 1). {text}{made_with(options, records)}"
    write_text(options.out.with_suffix(".md"), "\n".join(lines) + "\n")
