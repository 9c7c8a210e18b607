"""`python -m experiments.benchmark train`: how fast training is, and where its time goes.

Each of our algorithms trains, one seed and several in one vmapped program, and a clone of JaxMARL (`--peer-dir`) trains
its IPPO-RNN and QMIX-RNN by its own scripts on its own map of the same name. Compiling is timed apart, a replay's
warm-up left out; speeds are medians over updates. `cpu us` is processor time a step: the figure to compare where the
machine has other work too. Parts are told of AIIR-MIX and its family.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

from experiments.benchmarks.point import split_name
from experiments.benchmarks.training import REPEATS, compile_training, speed_of
from experiments.common.arguments import folder, number, out_file, whole
from experiments.common.files import write_json
from experiments.config.validation import MAX_SEEDS
from iacjax.schema import POSITIVE

TURNS = 10  # of a part, in one timed call


def benchmark_ours(env: Any, algorithm: Any, seeds: int, seconds: float) -> dict[str, Any]:
    """Training speed in environment steps a second, all seeds together: the median of REPEATS calls.

    Args:
      env, algorithm: as the run would have them.
      seeds: trained in one program.
      seconds: about how long each timed call takes.
    """
    return speed_of(compile_training(env, algorithm, seeds), seconds)


def _timed(function: Callable, first: Any, *rest: Any) -> tuple[Any, float]:
    """The function's result, and its processor seconds, looped as in training: the least of three.

    Called once, a program asks the system for fresh memory, which can cost as much as its work. Each turn's `first`
    hangs on the result before, so that nothing can be moved out of the loop.
    """
    import jax
    import jax.numpy as jnp

    def nudged(result, first):
        scalar = 1e-12 * jax.tree.leaves(result)[0].ravel()[0].astype(jnp.float32)
        return jax.tree.map(lambda x: x + scalar if jnp.issubdtype(x.dtype, jnp.floating) else x, first)

    def turns(count, result, first, rest):
        return jax.lax.fori_loop(0, count, lambda _, result: function(nudged(result, first), *rest), result)

    result = jax.jit(function)(first, *rest)
    compiled, seconds = jax.jit(turns).lower(TURNS, result, first, rest).compile(), []
    for _ in range(REPEATS):
        start = time.process_time()
        jax.block_until_ready(compiled(TURNS, result, first, rest))
        seconds.append((time.process_time() - start) / TURNS)
    return result, min(seconds)


def time_by_part(env: Any, config: Any) -> dict[str, float]:
    """Microseconds of processor time a row of the rollouts and part, each part compiled by itself.

    `env_step` and `act` make the rollout; `values_and_rewards`, `meta_gradient`, `epochs` (the actor's, and the
    critics' where they train with it) and `critics_per_time_index` make the update.
    """
    import jax
    import jax.numpy as jnp

    from iacjax.algorithms.intrinsic import learner as intrinsic
    from iacjax.rollout import rollout
    from iacjax.train import init_state
    from iacjax.types import Clock

    nets, algorithm = intrinsic.build(env.spec, config), intrinsic.make(env.spec, config)
    state = jax.jit(lambda key: init_state(env, algorithm, key))(jax.random.key(0))
    learner, runner, clock = state.learner, state.runner, Clock(jnp.int32(0), jnp.int32(0))
    one, key = jnp.float32(1.0), jax.random.key(1)

    def play(params, runner, key):
        return rollout(env, algorithm, params, runner, key, clock)[1]

    def prepare(learner, batch):
        values = intrinsic.values_of(nets, learner, batch, batch.action[-1])
        r_total, _, _ = intrinsic.rewards(nets, learner.params["reward"], batch)
        return intrinsic.intrinsic_data(nets, learner, batch, values, r_total)[0], values

    seconds = {}
    batch, whole = _timed(play, algorithm.policy(learner), runner, key)
    acting = _acting_seconds(algorithm, learner, runner, key, clock)
    seconds["env_step"], seconds["act"] = max(whole - acting, 0.0), acting
    (data, values), seconds["values_and_rewards"] = _timed(prepare, learner, batch)
    if nets.reward is not None:
        gradient = lambda *args: intrinsic.reward_gradient(nets, *args)  # noqa: E731
        _, seconds["meta_gradient"] = _timed(gradient, learner, batch, data, values)
    epochs = lambda learner, hidden, data: intrinsic.train_epochs(nets, learner, hidden, data, key, one)  # noqa: E731
    _, seconds["epochs"] = _timed(epochs, learner, batch.carry0.hidden, data)
    if config.critic_update == "per_time_index":
        critics = lambda learner, data: intrinsic.train_critics_per_time_index(nets, learner, data, one)  # noqa: E731
        _, seconds["critics_per_time_index"] = _timed(critics, learner, data)
    return {part: value / algorithm.plan.steps_per_iteration * 1e6 for part, value in seconds.items()}


def _acting_seconds(algorithm: Any, learner: Any, runner: Any, key: Any, clock: Any) -> float:
    """Processor seconds of choosing the actions of a whole rollout."""
    import jax

    def act(params, carry, timestep, first, key):
        def body(carry, key):
            carry, action, _ = algorithm.act(params, carry, timestep, first, key, clock, explore=True)
            return carry, action

        return jax.lax.scan(body, carry, jax.random.split(key, algorithm.plan.rollout_length))

    args = (algorithm.policy(learner), runner.carry, runner.timestep, runner.first, key)
    return _timed(act, *args)[1]


def _facts(config: Any) -> dict[str, Any]:
    names = ("num_envs", "rollout_length", "epochs", "minibatches", "critic_update", "reward_net", "hidden_dim")
    names += ("batch_size", "window", "updates_per_step", "storage")
    return {name: getattr(config, name) for name in names if hasattr(config, name)}


def _rows(args: argparse.Namespace):
    """Yields the rows of the table as they are measured."""
    from envs.registry import make_env
    from experiments.benchmarks.peers import PEERS, benchmark_peer
    from experiments.config.preset_io import default_settings
    from iacjax.algorithms.intrinsic.config import AiirMixConfig
    from iacjax.algorithms.registry import get_entry

    env = make_env(args.env)
    for algo, preset in map(split_name, args.algos):
        config = default_settings(algo, preset, args.env).algorithm
        algorithm = get_entry(algo).make(env.spec, config)
        for i, seeds in enumerate(args.seeds):
            row = {"system": f"{algo} {preset}", "env": args.env, "seeds": seeds}
            row |= benchmark_ours(env, algorithm, seeds, args.seconds)
            apart = i == 0 and isinstance(config, AiirMixConfig)
            parts = {"cpu_us_by_part": time_by_part(env, config)} if apart else {}
            yield row | {"config": _facts(config)} | parts
    if args.peer_dir is None:
        return
    for name in PEERS:
        for seeds in args.seeds:
            map_name = args.env.partition(":")[2]
            row = benchmark_peer(name, args.peer_dir, map_name, seeds, args.peer_updates)
            yield {"system": name, "env": map_name, "seeds": seeds} | row


def _print(row: dict[str, Any]) -> None:
    print(f"{row['system']:<28} {row['seeds']:>5} {row['steps_per_s']:>12,.0f} {row['cpu_us_per_step']:>10.0f} "
          f"{row['compile_s']:>10.1f}", flush=True)  # fmt: skip
    parts = row.get("cpu_us_by_part")
    if parts:
        total = sum(parts.values())
        shares = ", ".join(f"{name.replace('_', ' ')} {value / total:.0%}" for name, value in parts.items())
        print(f"  of its processor time: {shares}", flush=True)


def check(args: argparse.Namespace) -> None:
    """Raises ConfigError for what cannot be measured, before anything is compiled."""
    from envs.registry import check_name
    from experiments.benchmarks.peers import check_peers_of
    from experiments.config.preset_io import default_settings

    check_name(args.env)
    for word in args.algos:
        default_settings(*split_name(word), args.env)
    check_peers_of(args.peer_dir, args.env)


def run_train(args: argparse.Namespace) -> int:
    """Measures and prints row after row; `--json` holds those measured so far."""
    check(args)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
    from experiments.runs.directory import software_versions
    from experiments.training.runtime import describe_device

    facts = {"device": describe_device(), "versions": software_versions(describe_device())}
    if args.peer_dir is None:
        print("ours alone: --peer-dir with a clone of github.com/FLAIROx/JaxMARL measures its IPPO and QMIX beside it")
    print(f"{'training':<28} {'seeds':>5} {'steps/s':>12} {'cpu us':>10} {'compile s':>10}")
    rows = []
    for row in _rows(args):
        rows.append(row | facts)
        _print(row)
        if args.json:
            write_json(args.json, rows)
    return 0


def add_parser(commands: Any) -> None:
    """Adds the command `train` to the parser of `experiments.benchmark`."""
    train = commands.add_parser("train", help="training steps a second, beside JaxMARL's IPPO-RNN and QMIX-RNN")
    train.add_argument("--env", default="smax:2s3z", metavar="NAME", help="default smax:2s3z")
    train.add_argument("--algos", nargs="+", default=["aiir_mix", "aiir_mix:paper"], metavar="NAME[:PRESET]")
    train.add_argument(
        "--seeds", nargs="+", type=whole(1, MAX_SEEDS), default=[1, 5], metavar="S", help="seeds in one program"
    )
    train.add_argument(
        "--seconds", type=number(POSITIVE), default=10.0, help="about so long is each of our timed calls"
    )
    train.add_argument("--peer-dir", type=folder, metavar="CLONE", help="clone of github.com/FLAIROx/JaxMARL")
    train.add_argument("--peer-updates", type=whole(), default=3, help="updates of the peers that are timed")
    train.add_argument("--json", type=out_file(parents=True), metavar="FILE", help="write the rows there")
    train.set_defaults(run=run_train)
