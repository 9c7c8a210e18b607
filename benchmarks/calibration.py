"""Which of the rules that only the real game could settle make SMAC's heuristic win as often as it does there.

Run by `python -m experiments.benchmark calibration`. Settings of the rules are drawn at random, beside all combinations
of those that are on or off. SMAC's built-in heuristic plays all of them at once, one compiled program per map, and the
likelihood of the real game's win rates orders them. The best ones are played again with more episodes and other random
numbers, beside the presets. Every map's wins are written as soon as they are known; the same command goes on from them.
"""

import argparse
import itertools
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from envs.errors import ConfigError
from experiments.common.arguments import whole
from experiments.common.files import read_json, write_json
from experiments.common.stats import wilson

# Win rates of `heuristic_ai` on the real game: SMAC's paper (Samvelyan et al. 2019, arXiv 1902.04043, the appendix with
# the results of all scenarios; StarCraft II 4.6.2.69232). The paper itself could not be read here: 27m_vs_30m and
# 3s5z_vs_3s6z were found in a listing of its results, the others are quoted from memory. See docs/starcraft.md.
REAL = {
    "2s3z": 0.90, "3s5z": 0.42, "1c3s5z": 0.81, "10m_vs_11m": 0.12, "bane_vs_bane": 0.43, "2s_vs_1sc": 0.0,
    "2c_vs_64zg": 0.0, "5m_vs_6m": 0.0, "3s_vs_5z": 0.0, "3s5z_vs_3s6z": 0.0, "6h_vs_8z": 0.0, "27m_vs_30m": 0.0,
    "MMM2": 0.0, "corridor": 0.0,
}  # fmt: skip
GAMES = 32  # what a real rate counts for: as if it came from so many games
CHUNK = 512  # battles at a time
FEW = 8  # episodes per setting where a rate of 0 is expected of more units than this:
MANY_UNITS = 40

# A range, or the values that are drawn. What the heuristic's battles cannot show, such as medivacs' ranks, is left out.
SPACE: dict[str, Any] = {
    "scan_margin": (-0.5, 0.5),
    "scan_edge": [0.0, 0.5, 1.0],
    "keep_slop": (0.0, 1.0),
    "chase": [0.0, 1.0],
    "switch": [0.0, 1.0],
    "prefer_attackers": [0.0, 1.0],
    "response": (0.0, 6.0),
    "restart_windup": [0.0, 1.0],
    "range_slop": (0.0, 1.0),
    "push_moving": (0.1, 0.5),
    "push_idle": (0.0, 0.5),
    "push_attacking": (0.0, 0.5),
    "slide": (0.0, 1.0),
    "beam_radius": (0.0, 1.0),
    "pre_advance": (0.0, 2.0),
    "spawn_gap": (0.0, 0.3),
    "spawn_noise": (0.0, 0.3),
}
Settings = dict[str, np.ndarray]  # f32[S] by rule


def combinations() -> Settings:
    """All combinations of the rules that have listed values in SPACE; the others as in `default_rules`."""
    from envs.smax.battle import default_rules

    lists = {name: values for name, values in SPACE.items() if isinstance(values, list)}
    rows = [dict(zip(lists, row, strict=True)) for row in itertools.product(*lists.values())]
    usual = default_rules()
    return {name: np.array([row.get(name, getattr(usual, name)) for row in rows], np.float32) for name in SPACE}


def draw_settings(count: int, seed: int) -> Settings:
    """`count` settings of the rules in SPACE, each rule uniform and independent of the others."""
    rng = np.random.default_rng(seed)
    drawn = {}
    for name, values in SPACE.items():
        share = rng.random(count)
        if isinstance(values, tuple):
            drawn[name] = values[0] + (values[1] - values[0]) * share
        else:
            drawn[name] = np.array(values)[(share * len(values)).astype(int)]
    return {name: column.astype(np.float32) for name, column in drawn.items()}


def preset_settings(names: tuple[str, ...]) -> Settings:
    """The presets called `names`, as settings."""
    from envs.smax.rules import preset

    rules = [preset(name, ()) for name in names]
    return {name: np.array([getattr(rule, name) for rule in rules], np.float32) for name in SPACE}


def count_wins(map_name: str, settings: Settings, episodes: int, seed: int) -> np.ndarray:
    """int[S]: battles that SMAC's heuristic wins of `episodes` on a map, under each of S settings."""
    import jax
    import jax.numpy as jnp

    from envs.smax import heuristic
    from envs.smax.battle import default_rules
    from envs.smax.env import Smax

    env = Smax(map_name)
    limit = env.spec.horizon

    @jax.jit
    def play(key, values):
        rules = default_rules()._replace(**values)
        key_start, key_play = jax.random.split(key)

        def body(carry):
            state, targets, won, over, step = carry
            action, targets = heuristic.choose(env.scenario, state.battle, targets, restricted=False)
            state, timestep = env.obey(jax.random.fold_in(key_play, step), state, action)
            won |= timestep.info["won"] & ~over
            return state, targets, won, over | timestep.terminated, step + 1

        def goes_on(carry):
            return ~carry[3].all() & (carry[4] < limit)

        nobody = jnp.zeros(CHUNK, bool)
        start = (env.begin(key_start, rules, CHUNK), heuristic.no_targets(env.scenario, CHUNK), nobody, nobody)
        return jax.lax.while_loop(goes_on, body, (*start, jnp.int32(0)))[2]

    each = {name: np.repeat(column, episodes) for name, column in settings.items()}
    total = len(each["chase"])
    won = []
    for number, first in enumerate(range(0, total, CHUNK)):
        places = np.minimum(np.arange(first, first + CHUNK), total - 1)  # the last chunk repeats its last battle
        values = {name: jnp.asarray(column[places]) for name, column in each.items()}
        won.append(np.asarray(play(jax.random.fold_in(jax.random.key(seed), number), values)))
    return np.concatenate(won)[:total].reshape(-1, episodes).sum(1)


def log_likelihood(wins: Mapping[str, np.ndarray], episodes: Mapping[str, int]) -> np.ndarray:
    """f[S]: of the real win rates as GAMES games, given the `wins` int[S] of each setting in `episodes` on every map.

    Beta-binomial: a setting's own rate is uncertain after so few episodes, with Jeffreys' prior.
    """
    from scipy.special import betaln, gammaln

    total = np.zeros(len(next(iter(wins.values()))))
    for name, count in wins.items():
        real, played = round(REAL[name] * GAMES), episodes[name]
        a, b = count + 0.5, played - count + 0.5
        ways = gammaln(GAMES + 1) - gammaln(real + 1) - gammaln(GAMES - real + 1)
        total += ways + betaln(a + real, b + GAMES - real) - betaln(a, b)
    return total


def is_crowded(map_name: str) -> bool:
    """Whether many units fight there without a chance: long battles that tell little, left to the second stage."""
    from envs.smax.scenarios import get_scenario

    return len(get_scenario(map_name).units) > MANY_UNITS and REAL[map_name] == 0.0


def play_stage(path: pathlib.Path, stage: str, settings: Settings, maps: list[str], episodes: int, seed: int):
    """Plays what the file at `path` does not have yet. Returns {map: wins int[S]} and {map: episodes}."""
    data = read_json(path)
    request = {"settings": {name: column.tolist() for name, column in settings.items()}, "seed": seed}
    kept = data.get(stage, {})
    if {name: kept.get(name) for name in request} != request:
        kept = {**request, "episodes": {}, "wins": {}}
    for name in maps:
        count = min(episodes, FEW) if is_crowded(name) else episodes
        if kept["episodes"].get(name) != count:
            kept["wins"][name] = count_wins(name, settings, count, seed).tolist()
            kept["episodes"][name] = count
            write_json(path, {**data, stage: kept})
            print(f"{stage}: {name} played", flush=True)
    return {name: np.array(kept["wins"][name]) for name in maps}, {name: kept["episodes"][name] for name in maps}


def profile(settings: Settings, score: np.ndarray, within: float = 2.0) -> list[str]:
    """A row per rule: its value in the best setting, and those within 2 log units of it (as a 95 % interval)."""
    near = score >= score.max() - within
    rows = ["| rule | best | all settings within 2 log units of the best |", "|---|---|---|"]
    for name, column in settings.items():
        low, high = column[near].min(), column[near].max()
        rows.append(f"| `{name}` | {column[score.argmax()]:.2f} | {low:.2f} to {high:.2f} |")
    return [*rows, f"({near.sum()} settings)"]


def rates_table(labels: list[str], wins: Mapping[str, np.ndarray], episodes: Mapping[str, int], rows: list[int]):
    """A row per map: the real win rate, and those of the settings `rows` with their 95 % intervals."""
    out = [f"| map | real game | {' | '.join(labels)} |", "|---|---|" + "---|" * len(labels)]
    for name, count in wins.items():
        played = episodes[name]
        cells = []
        for row in rows:
            low, high = wilson(count[row], played)
            cells.append(f"{count[row] / played:.2f} ({low:.2f} to {high:.2f})")
        out.append(f"| {name} | {REAL[name]:.2f} | {' | '.join(cells)} |")
    return out


def run_calibration(args: argparse.Namespace) -> int:
    """Both stages, and their tables."""
    from envs.smax.scenarios import SCENARIOS

    unknown = sorted(set(args.maps or ()) - REAL.keys())
    if unknown:
        raise ConfigError(f"no win rate of the real game is known on {', '.join(unknown)}: choose {', '.join(REAL)}")
    maps = args.maps or [name for name in REAL if name in SCENARIOS]
    given, drawn = combinations(), draw_settings(args.settings, args.seed)
    drawn = {name: np.concatenate([given[name], drawn[name]]) for name in SPACE}
    quick = [name for name in maps if not is_crowded(name)] or maps
    wins, episodes = play_stage(args.out, "screened", drawn, quick, args.episodes, args.seed)
    best = np.argsort(-log_likelihood(wins, episodes), kind="stable")[: args.best]
    presets = ("smac", "smac_v0")
    again = {name: np.concatenate([preset_settings(presets)[name], drawn[name][best]]) for name in SPACE}
    wins, episodes = play_stage(args.out, "replayed", again, maps, 4 * args.episodes, args.seed + 1)
    score = log_likelihood(wins, episodes)
    first = len(presets)
    print("\n".join(profile({name: column[first:] for name, column in again.items()}, score[first:])))
    top = first + int(score[first:].argmax())
    labels = [f"`rules={name}`" for name in presets] + ["best drawn"]
    print("\n".join(rates_table(labels, wins, episodes, [*range(first), top])))
    values = " | ".join(f"{score[row]:.1f}" for row in [*range(first), top])
    print(f"| log likelihood | | {values} |")
    return 0


def add_parser(commands: Any) -> None:
    """Adds the command `calibration` to the parser of `experiments.benchmark`."""
    parser = commands.add_parser("calibration", help="rules under which SMAC's heuristic wins as on the real game")
    parser.add_argument("--maps", nargs="+", metavar="MAP", help="default: all whose real win rate is known")
    parser.add_argument("--settings", type=whole(1, 100_000), default=104, help="drawn settings (default 104)")
    parser.add_argument("--best", type=whole(1, 100_000), default=24, help="of them, played again (default 24)")
    parser.add_argument("--episodes", type=whole(1, 10_000), default=32, help="per setting and map; 4 x again")
    parser.add_argument("--seed", type=whole(0, 2**31 - 1), default=0)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("results/calibration.json"))
    parser.set_defaults(run=run_calibration)
