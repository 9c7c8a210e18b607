"""Multi-Agent Brax: IAC and SIAQ beside FACMAC, MASAC, HASAC, MAPPO, MADDPG and MAAC, `reproduce continuous/mabrax`.

Brax is not MuJoCo, on which these methods' papers report: its bodies, rewards and time steps differ, so that returns
cannot be compared with theirs.
"""

from collections.abc import Sequence

from envs.errors import ConfigError
from experiments.analysis import style
from experiments.analysis.curves import Curves
from experiments.common.files import write_text
from experiments.figures import panels
from experiments.figures.aiir.win_rates import records_of
from experiments.figures.runs import FigureTraining, Run, make_run
from experiments.figures.spec import EVAL_EPISODES, Budget, FigureOptions, parse
from experiments.figures.store import keep_curves, read_curves
from experiments.runs import find

SUMMARY = "Greedy returns on three tasks of Multi-Agent Brax of IAC, SIAQ and six other methods."
METHODS = ("iac", "siaq", "facmac", "masac", "hasac", "mappo", "maddpg", "maac")
ENVS = tuple(f"mabrax:{name}" for name in ("halfcheetah_6x1", "ant_4x2", "walker2d_2x3"))
# The same for every off-policy method: those of single-agent SAC on Brax's bodies, an update every 16 env steps.
OFF_POLICY = {"gamma": 0.99, "lr": 3e-4, "critic_lr": 3e-4, "hidden_dim": 128, "warmup": 10_000, "num_envs": 64}
OFF_POLICY |= {"rollout_length": 1, "updates_per_step": 1 / 16}
_PRESETS = ("control", "default")  # PPO has its own settings for continuous control
SETTINGS = (
    "Discount 0.99, learning rates of 3e-4, 128 units, 64 environments, an update every 16 env steps; MAPPO by its "
    "preset control"
)
BUDGETS = {
    "small": Budget(
        2, dict.fromkeys(ENVS[:1], 300_000), METHODS, _PRESETS, "two tasks, and most of the steps",
        {"mabrax": OFF_POLICY}, settings=SETTINGS,
    ),
    "full": Budget(
        3, dict.fromkeys(ENVS, 1_000_000), METHODS, _PRESETS, overrides={"mabrax": OFF_POLICY}, settings=SETTINGS
    ),
}  # fmt: skip
PANELS = panels.Panels(ENVS, METHODS, "return_mean")
GUESS = {"cpu": 1000.0, "gpu": 20_000.0}  # env steps per second, for the time estimate alone
EVALUATIONS = 20  # of a run


def command(argv: Sequence[str]) -> int:
    """Trains the missing runs, draws them and writes the table. Returns the exit code."""
    return training(argv).run_and_draw(draw)


def training(argv: Sequence[str]) -> FigureTraining:
    """What the command line `argv` trains."""
    options = parse(argv, SUMMARY, BUDGETS)
    table = options.out.with_suffix(".csv")
    runs = [
        make_run(options, name, env, "mabrax", options.steps[env] // EVALUATIONS)
        for env in options.steps
        for name in options.methods
    ]

    def keep(run: Run) -> None:
        keep_curves(table, options.budget, run, options.command)

    return FigureTraining(options, runs, keep, records=table.with_suffix(".json"), guess=GUESS)


def draw(options: FigureOptions) -> None:
    """Draws what is saved, and writes the table beside the picture.

    Raises:
      ConfigError: nothing is saved, or a file cannot be written.
    """
    table = options.out.with_suffix(".csv")
    curves = [c for c in read_curves(table, options.budget) if c.label in METHODS and c.env in ENVS]
    if not curves:
        raise ConfigError(f"none of these methods and tasks is saved in {table}: train them first")
    note = small_print(options, curves)
    style.save(panels.draw(PANELS, curves, note), options.out)
    head = "Return of the last five evaluations, mean over seeds and its 95 % interval (Student's t). "
    lines = [*panels.table(PANELS, curves), "", head + note]
    write_text(options.out.with_suffix(".md"), "\n".join(lines) + "\n")


def small_print(options: FigureOptions, curves: Sequence[Curves]) -> str:
    """What is drawn, and how it was made."""
    records = records_of(options.out.with_suffix(".csv"), options.budget, curves)
    text = f"{style.seeds_text([r['seeds'] for r in records])}. Greedy, {EVAL_EPISODES} episodes an evaluation, "
    devices = ", ".join(sorted({r["device"] for r in records}))
    text += f"{style.span([r['total_steps'] for r in records], 'step')}, {devices}"
    begun = [f"{style.name_of(r['algo'])} on {r['env']}" for r in records if r["status"] not in find.FINISHED]
    return text + (f"; not finished: {', '.join(begun)}" if begun else "") + f"; {options.note}."
