"""Films a trained policy: `python -m experiments.record RUN [--out battle.gif] [--episodes 1] [--seed-index best|K]`.

Plays greedy episodes in the run's own environment and writes them as one GIF. With `--show intrinsic_reward` each agent
wears what its learner made of its last action.
"""

import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from envs.errors import ConfigError
from experiments.common.arguments import Parser, check_file, out_file, whole, word
from experiments.common.cli import run_command
from experiments.config.env_options import make_run_env
from experiments.config.trust import Trust, check_trusted
from experiments.runs.results import last_evaluations

if TYPE_CHECKING:  # they import jax, which --help can do without
    from envs.base import Environment
    from envs.rendering import Episode
    from iacjax import Policy


def play(env: "Environment", policy: "Policy", seed_index: int, key: Any, num_episodes: int) -> "Episode":
    """Plays greedy episodes, one a lane, until all have ended. All arrays of the result are NumPy's."""
    import jax
    import jax.numpy as jnp

    from envs.rendering import Episode

    @jax.jit
    def step(key, state, timestep, carry, first):
        carry, action = policy.act(carry, timestep, first, seed_index)
        state, timestep = env.step(key, state, action)
        return state, timestep, carry, action

    k_reset, k_play = jax.random.split(key)
    state, timestep = jax.jit(env.reset, static_argnums=1)(k_reset, num_episodes)
    carry = policy.carry(num_episodes)
    moments, actions = [jax.device_get((state, timestep))], []
    over = np.zeros(num_episodes, bool)
    for t in range(env.spec.horizon):
        first = jnp.full(num_episodes, t == 0)
        state, timestep, carry, action = step(jax.random.fold_in(k_play, t), state, timestep, carry, first)
        moments.append(jax.device_get((state, timestep)))
        actions.append(np.asarray(action))
        over |= np.asarray(timestep.boundary)
        if over.all():
            break
    states, timesteps = zip(*moments, strict=True)
    return Episode(list(states), list(timesteps), actions)


def write_gif(env: "Environment", episode: "Episode", out: str | pathlib.Path, width: int = 640) -> int:
    """Writes all lanes of `episode`, one after the other, as a GIF. Returns its number of pictures.

    Raises:
      ConfigError: a world nobody draws, or a file that cannot be written.
    """
    from envs.rendering import frames, frames_per_second, save_gif

    lanes = episode.timesteps[0].terminated.shape[0]
    images = [image for lane in range(lanes) for image in frames(env, episode, lane, width)]
    try:
        save_gif(images, out, frames_per_second(env.spec.name))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot write {out} ({error}): give a writable file such as battle.gif") from None
    return len(images)


def best_index(run_dir: str | pathlib.Path, seeds: Sequence[int]) -> int:
    """Index in `seeds` of the seed with the best last evaluation (win rate, then return). 0 if there was none."""
    results = [result for result in last_evaluations(pathlib.Path(run_dir)) if result.seed in seeds]
    best = max(results, key=lambda r: (np.nan_to_num(r.win_rate, nan=-1.0), r.return_mean), default=None)
    return 0 if best is None else seeds.index(best.seed)


def film_name(env: str) -> str:
    """What a film of the environment called `env` is called unless somebody says otherwise."""
    return "battle.gif" if env.startswith("smax:") else "episode.gif"


def play_run(
    run_dir: str | pathlib.Path, episodes: int = 1, seed_index: int | None = None, trust: Trust = False
) -> tuple["Environment", "Episode", int]:
    """Plays greedy episodes of one seed of a run (None: the best): (the world, the episodes, the seed).

    `trust`: True runs an environment of one's own that the run names; a name, that one alone.

    Raises:
      ConfigError: no policy there, no such seed, no pictures of that world, or a world that is not trusted.
    """
    import jax

    from envs.rendering import check_renderer
    from iacjax import load_policy

    policy = load_policy(run_dir)
    check_trusted(policy.spec.name, run_dir, trust)
    check_renderer(policy.spec.name)
    if seed_index is None:
        seed_index = best_index(run_dir, policy.seeds)
    if not 0 <= seed_index < len(policy.seeds):
        raise ConfigError(f"no seed index {seed_index}: the run has {len(policy.seeds)} seed(s), counted from 0")
    env, seed = make_run_env(policy.spec.name, policy.env_options), policy.seeds[seed_index]
    return env, play(env, policy, seed_index, jax.random.key(seed), episodes), seed


def record(
    run_dir: str | pathlib.Path,
    out: str | pathlib.Path | None,
    episodes: int = 1,
    seed_index: int | None = None,
    trust: Trust = False,
) -> str:
    """Films `episodes` greedy episodes of one seed of a run (None: the best) into `out` (None: by `film_name`, here).

    Returns a line that sums up.

    Raises:
      ConfigError: as `play_run`, or an unwritable file.
    """
    check_file(pathlib.Path(out or film_name("")))  # before anything is played
    env, episode, seed = play_run(run_dir, episodes, seed_index, trust)
    out = out or film_name(env.spec.name)
    count = write_gif(env, episode, out)
    return f"wrote {out}: {episodes} episode(s) of seed {seed}, {count} pictures{_wins(episode)}"


def record_insight(
    run_dir: str | pathlib.Path,
    out: str | pathlib.Path | None,
    show: str,
    seed_index: int | None,
    trust: Trust = False,
) -> str:
    """As `record`, one episode, with a number at each agent: `show` is one of what the algorithm's `inspect` names.

    Raises:
      ConfigError: as `record`, or no such number per agent.
    """
    from envs.rendering import check_renderer
    from experiments.analysis.inspection import insight, shown_per_agent
    from experiments.config.schema import read_config
    from experiments.runs.build import build

    settings = read_config(pathlib.Path(run_dir))
    check_trusted(settings.run.env, run_dir, trust)
    check_renderer(settings.run.env)
    out = out or film_name(settings.run.env)
    check_file(pathlib.Path(out))
    env, algorithm = build(settings)
    known = shown_per_agent(env, algorithm)
    if show not in known:
        raise ConfigError(f"--show {show}: this algorithm knows {', '.join(known) or 'nothing'} of each agent")
    episode, seen = insight(run_dir, seed_index, trust)
    episode = episode._replace(values=list(seen[show][:, None]))
    return f"wrote {out}: {write_gif(env, episode, out)} pictures with {show}{_wins(episode)}"


def _wins(episode: "Episode") -> str:
    if "won" not in episode.timesteps[0].info:
        return ""
    boundary = np.stack([ts.boundary for ts in episode.timesteps])
    won = np.stack([ts.info["won"] for ts in episode.timesteps])
    ends = boundary.argmax(axis=0)
    return f", {int(won[ends, np.arange(len(ends))].sum())} won"


def _seed_index(text: str) -> int | None:
    return None if text == "best" else whole(0)(text)


def _command(argv: Sequence[str]) -> int:
    parser = Parser(prog="python -m experiments.record", description=__doc__.split("\n\n")[0])
    parser.add_argument("run", metavar="RUN", type=word, help="run directory")
    parser.add_argument(
        "--out", type=out_file(".gif"), help="GIF to write (default: battle.gif, or episode.gif where nobody fights)"
    )
    parser.add_argument("--episodes", type=whole(1, 4096), default=1, help="how many to film (default: %(default)s)")
    parser.add_argument(
        "--seed-index", type=_seed_index, default="best", help="which of the run's seeds, from 0 (default: %(default)s)"
    )
    parser.add_argument("--show", type=word, help="a number at each agent, e.g. intrinsic_reward (one episode)")
    parser.add_argument("--trust", action="store_true", help="run an environment of your own that RUN names")
    args = parser.parse_args(argv)
    if args.show:
        print(record_insight(args.run, args.out, args.show, args.seed_index, args.trust))
    else:
        print(record(args.run, args.out, args.episodes, args.seed_index, args.trust))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code: 2 for input that cannot work."""
    return run_command(_command, argv)


if __name__ == "__main__":
    sys.exit(main())
