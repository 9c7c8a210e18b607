"""Overlays training runs: `python -m experiments.plot RUN... [--out curves.png]`.

Reads each run directory's `eval.csv` and `config.json`. One row of panels an environment: win rate (battles) and
return over environment steps. Runs of one algorithm are one colour: thin lines are seeds, the thick one their mean,
the band its 95 % interval (Student's t over seeds).
"""

import argparse
import csv
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from envs.errors import ConfigError
from experiments.stats import mean_interval

PANELS = (("win_rate", "win rate (greedy)"), ("return_mean", "episode return (greedy)"))  # columns of eval.csv
COLOURS = ("#2f6fde", "#e4572e", "#2a9d62", "#8e4ec6", "#d69e2e", "#0f9bb0", "#c2417c", "#6b7280")


class Curves(NamedTuple):
    """The evaluations of one seed of one run. K evaluations; nan where a cell was empty."""

    algo: str
    env: str
    seed: int
    steps: np.ndarray  # f[K] environment steps
    columns: dict[str, np.ndarray]  # f[K] each: win_rate, return_mean


def read_run(run_dir: str | pathlib.Path) -> list[Curves]:
    """The curves of a run, one a seed.

    Raises:
      ConfigError: no run there, or one that was never evaluated.
    """
    directory = pathlib.Path(run_dir)
    try:
        config = json.loads((directory / "config.json").read_text())
        algo, env = str(config["algo"]), str(config["env"])
        with (directory / "eval.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        seeds = sorted({int(row["seed"]) for row in rows})
        curves = [_curves(algo, env, seed, [row for row in rows if int(row["seed"]) == seed]) for seed in seeds]
    except FileNotFoundError as error:
        missing = pathlib.Path(error.filename).name
        raise ConfigError(f"no {missing} in {directory}: give the directory of a run that was evaluated") from None
    except (KeyError, ValueError, TypeError, OSError) as error:
        raise ConfigError(f"{directory} cannot be read as a run ({type(error).__name__}: {error})") from None
    if not curves:
        raise ConfigError(f"{directory / 'eval.csv'} has no rows yet: train the run up to its first evaluation")
    return curves


def _curves(algo: str, env: str, seed: int, rows: list[dict]) -> Curves:
    def column(name):
        return np.array([float(row.get(name) or "nan") for row in rows])

    return Curves(algo, env, seed, column("env_steps"), {name: column(name) for name, _ in PANELS})


def on_common_steps(curves: Sequence[Curves], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Column `name` of S curves on the union of their steps: steps f[K], values f[S, K].

    Between two evaluations a curve is a straight line; outside its own first and last one it is nan.
    """
    steps = np.unique(np.concatenate([c.steps for c in curves]))
    values = [np.interp(steps, c.steps, c.columns[name], left=np.nan, right=np.nan) for c in curves]
    return steps, np.stack(values)


def plot_runs(run_dirs: Sequence[str | pathlib.Path], out: str | pathlib.Path) -> None:
    """Draws the runs into `out` (its suffix names the format).

    Raises:
      ConfigError: a directory that is no evaluated run, or a picture that cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curves = [curve for run_dir in run_dirs for curve in read_run(run_dir)]
    envs = list(dict.fromkeys(c.env for c in curves))
    colours = {algo: COLOURS[i % len(COLOURS)] for i, algo in enumerate(dict.fromkeys(c.algo for c in curves))}
    panels = [p for p in PANELS if any(np.isfinite(c.columns[p[0]]).any() for c in curves)] or [PANELS[1]]
    figure = Figure(figsize=(5.6 * len(panels), 0.5 + 3.5 * len(envs)), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(envs), len(panels), squeeze=False)
    for row, env in zip(axes, envs, strict=True):
        here = [c for c in curves if c.env == env]
        for ax, (name, title) in zip(row, panels, strict=True):
            _panel(ax, here, name, title, colours)
    try:
        figure.savefig(out)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot write {out} ({error}): give a writable file such as curves.png") from None


def _panel(ax, curves: Sequence[Curves], name: str, title: str, colours: dict[str, str]) -> None:
    for algo, colour in colours.items():
        group = [c for c in curves if c.algo == algo and np.isfinite(c.columns[name]).any()]
        if not group:
            continue
        steps, values = on_common_steps(group, name)
        for c in group:
            ax.plot(c.steps, c.columns[name], color=colour, lw=0.7, alpha=0.35)
        band = mean_interval(values)
        plural = "" if len(group) == 1 else "s"
        ax.plot(steps, band.mean, color=colour, lw=2.2, label=f"{algo} ({len(group)} seed{plural})")
        low, high = (np.clip(b, 0, 1) if name == "win_rate" else b for b in (band.low, band.high))
        ax.fill_between(steps, low, high, color=colour, alpha=0.16, lw=0)
    ax.set_title(f"{curves[0].env}: {title}", fontsize=11)
    ax.set_xlabel("environment steps")
    ax.set_ylabel(title.split(" (")[0])
    ax.ticklabel_format(axis="x", style="sci", scilimits=(0, 3), useMathText=True)
    if name == "win_rate":
        ax.set_ylim(-0.03, 1.03)
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    if ax.has_data():
        ax.legend(frameon=False, fontsize=9, loc="best")


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code: 2 for input that cannot work."""
    parser = argparse.ArgumentParser(prog="python -m experiments.plot", description=__doc__.split("\n\n")[0])
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run directories")
    parser.add_argument("--out", default="curves.png", help="picture to write (default: %(default)s)")
    args = parser.parse_args(argv)
    try:
        plot_runs(args.runs, args.out)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"wrote {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
