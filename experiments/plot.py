"""Overlays training runs: `python -m experiments.plot RUN... [--out curves.png]`.

Reads each run directory's `eval.csv` and `config.json`. One row of panels an environment: win rate (battles) and
return over environment steps. Runs of one label (the algorithm, and whatever its runs differ in) are one colour: thin
lines are seeds, the thick one their mean, the band its 95 % interval (Student's t, from three seeds on).
"""

import json
import pathlib
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from envs.errors import ConfigError
from experiments.arguments import PICTURES, Parser, out_file, word
from experiments.cli import run_command
from experiments.logging.csv_sink import read_table
from experiments.stats import mean_interval

PANELS = (("win_rate", "win rate (greedy)"), ("return_mean", "episode return (greedy)"))  # columns of eval.csv
COLOURS = ("#2f6fde", "#e4572e", "#2a9d62", "#8e4ec6", "#d69e2e", "#0f9bb0", "#c2417c", "#6b7280")
MAX_DIFFERENCES = 3  # named in a label
BAND_FROM = 3  # seeds; Student's interval over two is some ten times as wide as their distance


class Curves(NamedTuple):
    """The evaluations of one seed of one run. K evaluations; nan where a cell was empty."""

    label: str
    env: str
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
    triples = zip(directories, configs, make_labels(configs), strict=True)
    return [curves for directory, config, label in triples for curves in _read_curves(directory, config["env"], label)]


def _read_config(directory: pathlib.Path) -> dict[str, Any]:
    try:
        config = json.loads((directory / "config.json").read_text())
        return {"preset": "default", "algorithm": {}, **config, "algo": config["algo"], "env": config["env"]}
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(f"no config.json in {directory}: give the directory of a run") from None
    except (KeyError, TypeError, ValueError, RecursionError) as error:
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


def make_labels(configs: Sequence[dict[str, Any]]) -> list[str]:
    """A label a run: its algorithm, its preset if not the default, and the algorithm's fields that differ between the
    runs of the same algorithm and preset on the same environment."""
    labels, kin = [], ("algo", "preset", "env")
    for config in configs:
        same = [c for c in configs if all(c[k] == config[k] for k in kin)]
        fields = config["algorithm"]
        changed = [k for k in fields if any(c["algorithm"].get(k) != fields[k] for c in same)]
        words = [config["algo"]] + [config["preset"]] * (config["preset"] != "default")
        words += [f"{k}={fields[k]}" for k in changed[:MAX_DIFFERENCES]] + ["..."] * (len(changed) > MAX_DIFFERENCES)
        labels.append(" ".join(words))
    return labels


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
        steps, values = on_common_steps(group, name)
        for c in group:
            ax.plot(c.steps, c.columns[name], color=colour, lw=0.7, alpha=0.35)
        band = mean_interval(values)
        ax.plot(steps, band.mean, color=colour, lw=2.2)
        if len(group) >= BAND_FROM:
            low, high = (np.clip(b, 0, 1) if name == "win_rate" else b for b in (band.low, band.high))
            ax.fill_between(steps, low, high, color=colour, alpha=0.16, lw=0)
    ax.set_title(f"{curves[0].env}: {title}", fontsize=11)
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
