"""Overlays training runs: `python -m experiments.plot RUN... [--out curves.png]`.

Reads each run directory's `eval.csv` and `config.json`. One row of panels a task, an environment with its options: win
rate (battles) and return over environment steps. Runs of one label (the algorithm, and whatever its runs differ in) are
one colour: thin lines are seeds, the thick one their mean, as far as all of them go, the band its 95 % interval
(Student's t, from three seeds on).
"""

import pathlib
import sys
import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from envs.errors import ConfigError
from experiments.common.arguments import PICTURES, Parser, out_file, word
from experiments.common.cli import run_command
from experiments.common.files import read_object
from experiments.common.stats import Interval, mean_interval
from experiments.config.env_options import read_env_options
from experiments.config.schema import RunConfig
from experiments.loggers.csv import read_table
from iacjax.schema import check_values, types_of

PANELS = (("win_rate", "win rate (greedy)"), ("return_mean", "episode return (greedy)"))  # columns of eval.csv
COLOURS = ("#2f6fde", "#e4572e", "#2a9d62", "#8e4ec6", "#d69e2e", "#0f9bb0", "#c2417c", "#6b7280")
MAX_DIFFERENCES = 3  # named in a label, unless it takes more to tell two runs apart
RUN_FIELDS = {"matmul_precision": "default"}  # fields of a run that its numbers hang on, as algorithms' fields are
WORLD = "world.txt"  # in a run's directory: the digest of the environment of one's own that it was trained in
TITLE_WIDTH = 54  # characters of a panel's title, which has the task's options in it
BAND_FROM = 3  # seeds; Student's interval over two is some ten times as wide as their distance


class Curves(NamedTuple):
    """The evaluations of one seed of one run. K evaluations; nan where a cell was empty."""

    label: str
    env: str  # the task: an environment and those of its options in which tasks differ
    seed: int
    steps: np.ndarray  # f[K] environment steps
    columns: dict[str, np.ndarray]  # f[K] each: win_rate, return_mean


def read_runs(run_dirs: Sequence[str | pathlib.Path]) -> list[Curves]:
    """The curves of runs, one a run and seed.

    Raises:
      ConfigError: no run there, or one that was never evaluated.
    """
    directories = [pathlib.Path(run_dir) for run_dir in run_dirs]
    configs = [_read_config(directory) for directory in directories]
    triples = zip(directories, make_tasks(configs), make_labels(configs), strict=True)
    return [curves for directory, task, label in triples for curves in _read_curves(directory, task, label)]


def _read_config(directory: pathlib.Path) -> dict[str, Any]:
    try:
        config = read_object(directory / "config.json")
        if not isinstance(config.get("algorithm", {}), dict):
            raise ConfigError("algorithm must be an object of fields")
        # Types alone, and of what is there: curves of other versions are drawn too.
        check_values(RunConfig, {k: v for k, v in config.items() if k in types_of(RunConfig)}, {})
        world = directory / WORLD
        known = {"algo": config["algo"], "env": config["env"], "world": world.read_text() if world.exists() else ""}
        return {"preset": "default", "algorithm": {}, "env_options": [], **RUN_FIELDS, **config, **known}
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(f"no config.json in {directory}: give the directory of a run") from None
    except ConfigError as error:
        raise ConfigError(f"{directory / 'config.json'} is not a run's: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{directory / 'config.json'} is not a run's ({type(error).__name__}: {error})") from None


def _read_curves(directory: pathlib.Path, env: str, label: str) -> list[Curves]:
    try:
        rows = read_table(directory / "eval.csv")
        seeds = sorted({int(row["seed"]) for row in rows})
        curves = [_curves(label, env, seed, [row for row in rows if row["seed"] == seed]) for seed in seeds]
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{directory / 'eval.csv'} cannot be read ({type(error).__name__}: {error})") from None
    if not curves:
        raise ConfigError(f"no evaluations in {directory}: train the run up to its first evaluation")
    return curves


def _curves(label: str, env: str, seed: int, rows: list[dict[str, float]]) -> Curves:
    columns = {name: np.array([row.get(name, np.nan) for row in rows]) for name, _ in PANELS}
    return Curves(label, env, seed, np.array([row["env_steps"] for row in rows]), columns)


def make_tasks(configs: Sequence[dict[str, Any]]) -> list[str]:
    """A name a run's task: its environment, and the options in which the runs on that environment differ. Runs in an
    environment of one's own that was changed between them are of two tasks."""
    options, names = [_options(config) for config in configs], []
    for config, own in zip(configs, options, strict=True):
        kin = [k for k, c in enumerate(configs) if c["env"] == config["env"]]
        words = [f"{key}={own[key]}" for key in sorted(own) if any(options[k].get(key) != own[key] for k in kin)]
        worlds, world = {configs[k].get("world", "") for k in kin} - {""}, config.get("world", "")
        words += [f"world={world[:6]}"] * (len(worlds) > 1 and bool(world))
        names.append(" ".join((config["env"], *words)))
    return names


def _options(config: dict[str, Any]) -> dict[str, str]:
    """The options of a run's environment, written in one way."""
    try:
        found = read_env_options(config.get("env_options", ()))
    except (ConfigError, TypeError, AttributeError) as error:
        raise ConfigError(f"the env_options of a run on {config['env']} cannot be read: {error}") from None
    return {key: str(value).replace(" ", "") for key, value in found.items()}


def make_labels(configs: Sequence[dict[str, Any]]) -> list[str]:
    """A label a run: its algorithm, its preset if not the default, and the fields that differ between the runs of the
    same algorithm and preset on the same task."""
    labels, tasks = [], make_tasks(configs)
    kin = [(config["algo"], config["preset"], task) for config, task in zip(configs, tasks, strict=True)]
    fields = [{**{k: config.get(k, v) for k, v in RUN_FIELDS.items()}, **config["algorithm"]} for config in configs]
    for config, own, key in zip(configs, fields, kin, strict=True):
        same = [other for other, its in zip(fields, kin, strict=True) if its == key]
        changed = [k for k in own if any(other.get(k) != own[k] for other in same)]
        named = _enough(own, same, changed)
        words = [config["algo"]] + [config["preset"]] * (config["preset"] != "default")
        words += [f"{k}={own[k]}" for k in named] + ["..."] * (len(named) < len(changed))
        labels.append(" ".join(words))
    return labels


def _enough(own: dict[str, Any], same: Sequence[dict[str, Any]], changed: Sequence[str]) -> Sequence[str]:
    """The first MAX_DIFFERENCES of `changed`, or as many as tell a run from all that differ from it."""
    count = MAX_DIFFERENCES
    others = [other for other in same if any(other.get(k) != own[k] for k in changed)]
    while any(all(other.get(k) == own[k] for k in changed[:count]) for other in others):
        count += 1
    return changed[:count]


def on_common_steps(curves: Sequence[Curves], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Column `name` of S curves on the union of their steps: steps f[K], values f[S, K].

    Between two evaluations a curve is a straight line; outside its own first and last one it is nan.
    """
    steps = np.unique(np.concatenate([c.steps for c in curves]))
    values = [np.interp(steps, c.steps, c.columns[name], left=np.nan, right=np.nan) for c in curves]
    return steps, np.stack(values)


def mean_over_seeds(curves: Sequence[Curves], name: str) -> tuple[np.ndarray, Interval]:
    """Steps f[K] and the mean of column `name` there with its interval, from where the last seed begins to where the
    first one ends: beyond, a mean would follow those that are left. K = 0 where that is nowhere."""
    steps, values = on_common_steps(curves, name)
    everyone = np.isfinite(values).all(axis=0)
    return steps[everyone], mean_interval(values[:, everyone])


def plot_runs(run_dirs: Sequence[str | pathlib.Path], out: str | pathlib.Path) -> None:
    """Draws the runs into `out` (its suffix names the format).

    Raises:
      ConfigError: a directory that is no evaluated run, or a picture that cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curves = read_runs(run_dirs)
    envs = list(dict.fromkeys(c.env for c in curves))
    colours = {label: COLOURS[i % len(COLOURS)] for i, label in enumerate(dict.fromkeys(c.label for c in curves))}
    panels = [p for p in PANELS if any(np.isfinite(c.columns[p[0]]).any() for c in curves)] or [PANELS[1]]
    figure = Figure(figsize=(5.6 * len(panels), 0.6 + 3.5 * len(envs)), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(envs), len(panels), squeeze=False)
    for row, env in zip(axes, envs, strict=True):
        here = [c for c in curves if c.env == env]
        for ax, (name, title) in zip(row, panels, strict=True):
            _panel(ax, here, name, title, colours)
    _legend(figure, curves, colours)
    try:
        figure.savefig(out)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot write {out} ({error}): give a writable file such as curves.png") from None


def _legend(figure, curves: Sequence[Curves], colours: dict[str, str]) -> None:
    """One legend below all panels, with the most seeds that a label has on any environment."""
    from matplotlib.lines import Line2D

    lines, texts = [], []
    for label, colour in colours.items():
        counts = Counter(c.env for c in curves if c.label == label)
        seeds = max(counts.values())
        lines.append(Line2D([], [], color=colour, lw=2.2))
        texts.append(f"{label} ({seeds} seed{'s' * (seeds > 1)})")
    figure.legend(lines, texts, loc="outside lower center", ncols=3, frameon=False, fontsize=9)


def _panel(ax, curves: Sequence[Curves], name: str, title: str, colours: dict[str, str]) -> None:
    for label, colour in colours.items():
        group = [c for c in curves if c.label == label and np.isfinite(c.columns[name]).any()]
        if not group:
            continue
        steps, band = mean_over_seeds(group, name)
        for c in group:
            ax.plot(c.steps, c.columns[name], color=colour, lw=0.7, alpha=0.35)
        ax.plot(steps, band.mean, color=colour, lw=2.2)
        if len(group) >= BAND_FROM:
            low, high = (np.clip(b, 0, 1) if name == "win_rate" else b for b in (band.low, band.high))
            ax.fill_between(steps, low, high, color=colour, alpha=0.16, lw=0)
    ax.set_title(textwrap.fill(f"{curves[0].env}: {title}", TITLE_WIDTH), fontsize=11)
    ax.set_xlabel("environment steps")
    ax.set_ylabel(title.split(" (")[0])
    ax.ticklabel_format(axis="x", style="sci", scilimits=(0, 3), useMathText=True)
    if name == "win_rate":
        ax.set_ylim(-0.03, 1.03)
    else:  # the seeds set the scale: a band over few seeds may be many times as wide
        values = np.concatenate([c.columns[name] for c in curves])
        margin = 0.06 * float(np.ptp(values[np.isfinite(values)])) if np.isfinite(values).any() else 0.0
        if margin > 0:
            ax.set_ylim(np.nanmin(values) - margin, np.nanmax(values) + margin)
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)


def _command(argv: Sequence[str]) -> int:
    parser = Parser(prog="python -m experiments.plot", description=__doc__.split("\n\n")[0])
    parser.add_argument("runs", nargs="+", metavar="RUN", type=word, help="run directories")
    parser.add_argument(
        "--out", type=out_file(*PICTURES), default="curves.png", help="picture to write (default: %(default)s)"
    )
    args = parser.parse_args(argv)
    plot_runs(args.runs, args.out)
    print(f"wrote {args.out}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code: 2 for input that cannot work."""
    return run_command(_command, argv)


if __name__ == "__main__":
    sys.exit(main())
