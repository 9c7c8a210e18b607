"""AIIR-MIX's figures 5 and 6: intrinsic rewards and attention weights in one episode of 2s3z.

    python -m experiments.reproduce aiir/fig5              # trains on 2s3z if needed, plays, draws
    python -m experiments.reproduce aiir/fig6 --run DIR    # from an existing run
    python -m experiments.reproduce aiir/fig5 --redraw     # from the saved numbers

Both are drawn from episode.csv, with one row per unit and step, and episode.json, which records how it was made.
"""

import argparse
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from envs.errors import ConfigError
from experiments.analysis.inspection import TrainedSeed, load_seed
from experiments.common.arguments import PICTURES, out_file, whole, word
from experiments.common.files import read_json, write_csv, write_json
from experiments.config.schema import RunConfig, read_config
from experiments.figures.aiir.bars import AGENT_STEPS_PER_SECOND
from experiments.figures.runs import device_and_versions, make_run, train_all
from experiments.figures.spec import FigureOptions, parser
from experiments.figures.store import number

SUMMARIES = {
    "aiir/fig5": "Figure 5: the intrinsic rewards and the attention weights in an episode of 2s3z.",
    "aiir/fig6": "Figure 6: snapshots of the same episode.",
}
ENV, AGENTS = "smax:2s3z", 5
TRIES = 16  # episodes that are played; one is shown
COLUMNS = ("step", "unit", "side", "type", "x", "y", "health", "shield", "energy", "target", "event", "r_in")


def command(argv: Sequence[str]) -> int:
    """Trains if necessary, plays, saves the episode and draws the figure that `argv` names. Returns the exit code."""
    from experiments.figures.aiir.episode_drawing import draw

    args = _parse(argv)
    table = args.out.with_name("episode.csv")
    if not args.redraw:
        directory, code = (pathlib.Path(args.run), 0) if args.run else _trained(args, argv)
        if code:
            return code
        trained = load_seed(directory, args.seed_index)
        if not trained.env.spec.name.startswith("smax:"):
            raise ConfigError(f"--run {directory}: is of {trained.env.spec.name}; give a run of a StarCraft map")
        keep(table, trained, directory, "python -m experiments.reproduce " + " ".join(argv))
    draw(args.target, table, args.out)
    return 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    target = argv[0]
    options = parser(target, SUMMARIES[target])
    options.set_defaults(seeds=1, total_steps=500_000, run_dir="runs/aiir")
    options.add_argument("--run", type=word, metavar="DIR", help="use this run directory; nothing is trained")
    options.add_argument(
        "--seed-index", type=whole(0), default=None, help="seed of the run, from 0 (default: the best)"
    )
    to_write, out = out_file(*PICTURES, parents=True), f"results/{target}.png"
    options.add_argument("--out", type=to_write, default=out, help="picture to write (default: %(default)s)")
    return options.parse_args(argv)


def _trained(args: argparse.Namespace, argv: Sequence[str]) -> tuple[pathlib.Path, int]:
    """Trains the run of the default preset, or finds it: (directory, exit code of the training)."""
    options = FigureOptions(
        target=args.target,
        seeds=args.seeds,
        steps={ENV: args.total_steps},
        presets=("default",),
        run_dir=args.run_dir,
        out=args.out,
        command="python -m experiments.reproduce " + " ".join(argv),
    )
    run = make_run(options, "aiir_mix", ENV, eval_episodes=RunConfig.eval_episodes)
    guess = {platform: rate / AGENTS for platform, rate in AGENT_STEPS_PER_SECOND.items()}
    code = train_all(options, [run], lambda run: None, guess=guess)
    return run.directory, code


def choose(timesteps: Sequence[Any]) -> tuple[int, int, bool]:
    """(lane, steps, won) of the episode to show: one that was won and has cost an agent, or that was won, or any.

    Args:
      timesteps: T + 1 of them, of E lanes each; a lane counts to its first boundary.
    """
    boundary = np.stack([ts.boundary for ts in timesteps])
    ends = boundary.argmax(0)
    lanes = np.arange(len(ends))
    won = np.stack([ts.info["won"] for ts in timesteps])[ends, lanes]
    fell = np.stack([ts.info["dead_allies"] for ts in timesteps])[ends, lanes] > 0
    lane = int(np.argmax(2 * won + (won & fell)))
    return lane, int(ends[lane]), bool(won[lane])


class Observed(NamedTuple):
    """One episode that a learner with intrinsic rewards played."""

    rows: list[dict]  # of `episode_rows`
    record: dict[str, Any]  # how it was made
    reward: np.ndarray  # f[T + 1], of the team in the step that led to each moment, nan at the reset


def observe(trained: TrainedSeed, run_dir: pathlib.Path) -> Observed:
    """Plays a few episodes and inspects the learner for the chosen one; ConfigError if it has no reward network."""
    settings = read_config(run_dir)
    if getattr(settings.algorithm, "reward_net", "none") == "none":
        raise ConfigError(f"--run {run_dir}: has no intrinsic rewards; give a run of aiir_mix, aiir, rmix or liir")
    episode = trained.play(TRIES)
    lane, steps, won = choose(episode.timesteps)
    seen = trained.inspect(episode, lane)
    rows = episode_rows(trained.env.spec.name, episode, lane, seen["intrinsic_reward"], seen["attention"])
    summary = read_json(run_dir / "summary.json")
    record = {
        "algo": settings.run.algo,
        "preset": settings.run.preset,
        "env": settings.run.env,
        "seed": trained.seed,
        "env_steps": next((s["env_steps"] for s in summary.get("seeds", ()) if s["seed"] == trained.seed), None),
        "episode": lane,
        "steps": steps,
        "won": won,
        **device_and_versions(run_dir),
    }
    reward = np.array([np.nan, *(float(ts.reward[lane]) for ts in episode.timesteps[1 : steps + 1])])
    return Observed(rows, record, reward)


def keep(table: pathlib.Path, trained: TrainedSeed, run_dir: pathlib.Path, again: str) -> None:
    """Plays, and writes the chosen episode to `table` and how it was made to the json file of the same name."""
    seen = observe(trained, run_dir)
    write_csv(table, seen.rows)
    write_json(table.with_suffix(".json"), {**seen.record, "command": again})


def episode_rows(env_name: str, episode: Any, lane: int, r_in: np.ndarray, attention: np.ndarray) -> list[dict]:
    """One row per unit and moment, agents first. r_in [T, A] and attention [T, A, A] are in the row of the moment after
    the rewarded action; they are empty for enemies, for dead agents and at the reset."""
    from envs.smax.rendering import scene_of
    from envs.smax.scenarios import get_scenario

    scenario = get_scenario(env_name.split(":")[1])
    agents, rows, scene = scenario.num_allies, [], None
    for t in range(len(r_in) + 1):
        before, action = scene, episode.actions[t - 1][lane] if t else None
        scene = scene_of(scenario, episode.states[t].battle, lane, t, action, before)
        for n, kind in enumerate(scenario.units):
            acted = t > 0 and n < agents and before.health[n] > 0
            fell = before is not None and before.health[n] > 0 >= scene.health[n]
            row = dict(zip(COLUMNS[:4], (t, n + 1, "agent" if n < agents else "enemy", kind), strict=True))
            row |= {name: number(getattr(scene, name)[n]) for name in ("x", "y", "health", "shield", "energy")}
            row |= {"target": int(scene.target[n]) + 1, "event": "falls" if fell else ""}
            row["r_in"] = number(r_in[t - 1, n]) if acted else ""
            weights = attention[t - 1, n] if acted else [None] * agents
            row |= {f"attention_{j + 1}": number(w) if acted else "" for j, w in enumerate(weights)}
            rows.append(row)
    return rows
