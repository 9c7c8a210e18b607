"""`python -m experiments.benchmark train`: how fast training is, and where its time goes.

Each of our algorithms trains, one seed and several in one vmapped program, and a clone of JaxMARL (`--reference-dir`)
trains its IPPO-RNN and QMIX-RNN by its own scripts on its own map of the same name. Compiling is timed apart, the
warm-up of a replay buffer left out; speeds are medians over updates. `cpu us` is processor time per step: the number to
compare where the machine has other work too. AIIR-MIX and its relatives are also timed in parts.
"""

import argparse
from typing import Any

from benchmarks.arguments import add_json, add_seconds, add_seeds, check_training, keep, split_name
from benchmarks.references import OURS_ALONE, UPDATES, add_reference, check_reference, load_reference
from benchmarks.training import benchmark_ours, machine, make_training, time_rollout, timed


def time_by_part(env: Any, config: Any) -> dict[str, float]:
    """{part: microseconds of processor time per row of the rollout}, each part compiled by itself.

    `env_step` and `act` make the rollout; `values_and_rewards`, `meta_gradient`, `epochs` (the actor's, and the
    critics' where they train with it) and `critics_per_time_index` make the update.
    """
    import jax
    import jax.numpy as jnp

    from iacjax.algorithms.intrinsic import learner as intrinsic

    nets, algorithm = intrinsic.build(env.spec, config), intrinsic.make(env.spec, config)
    one, key, seconds = jnp.float32(1.0), jax.random.key(1), {}
    state, batch, seconds["env_step"], seconds["act"] = time_rollout(env, algorithm)
    learner = state.learner

    def prepare(learner, batch):
        values = intrinsic.values_of(nets, learner, batch, batch.action[-1])
        r_total, _, _ = intrinsic.rewards(nets, learner.params["reward"], batch)
        return intrinsic.intrinsic_data(nets, learner, batch, values, r_total)[0], values

    (data, values), seconds["values_and_rewards"] = timed(prepare, learner, batch)
    if nets.reward is not None:
        gradient = lambda *args: intrinsic.reward_gradient(nets, *args)  # noqa: E731
        _, seconds["meta_gradient"] = timed(gradient, learner, batch, data, values)
    epochs = lambda learner, hidden, data: intrinsic.train_epochs(nets, learner, hidden, data, key, one)  # noqa: E731
    _, seconds["epochs"] = timed(epochs, learner, batch.carry0.hidden, data)
    if config.critic_update == "per_time_index":
        critics = lambda learner, data: intrinsic.train_critics_per_time_index(nets, learner, data, one)  # noqa: E731
        _, seconds["critics_per_time_index"] = timed(critics, learner, data)
    return {part: value / algorithm.plan.steps_per_iteration * 1e6 for part, value in seconds.items()}


def _facts(config: Any) -> dict[str, Any]:
    names = ("num_envs", "rollout_length", "epochs", "minibatches", "critic_update", "reward_net", "hidden_dim")
    names += ("batch_size", "window", "updates_per_step", "storage")
    return {name: getattr(config, name) for name in names if hasattr(config, name)}


def _rows(args: argparse.Namespace):
    """Yields the rows of the table as they are measured."""
    from iacjax.algorithms.intrinsic.config import AiirMixConfig

    for algo, preset in map(split_name, args.algos):
        env, config, algorithm = make_training(algo, preset, args.env)
        for i, seeds in enumerate(args.seeds):
            row = {"system": f"{algo} {preset}", "env": args.env, "seeds": seeds}
            row |= benchmark_ours(env, algorithm, seeds, args.seconds)
            apart = i == 0 and isinstance(config, AiirMixConfig)
            parts = {"cpu_us_by_part": time_by_part(env, config)} if apart else {}
            yield row | {"config": _facts(config)} | parts
    if args.reference_dir is None:
        return
    scripts, map_name = load_reference("scripts"), args.env.partition(":")[2]
    for name in scripts.TIMED:
        for seeds in args.seeds:
            row = scripts.time_script(name, args.reference_dir, map_name, seeds, args.reference_updates)
            yield {"system": name, "env": map_name, "seeds": seeds} | row


def _print(row: dict[str, Any]) -> None:
    print(f"{row['system']:<28} {row['seeds']:>5} {row['steps_per_s']:>12,.0f} {row['cpu_us_per_step']:>10.0f} "
          f"{row['compile_s']:>10.1f}", flush=True)  # fmt: skip
    parts = row.get("cpu_us_by_part")
    if parts:
        total = sum(parts.values())
        shares = ", ".join(f"{name.replace('_', ' ')} {value / total:.0%}" for name, value in parts.items())
        print(f"  of its processor time: {shares}", flush=True)


def run_train(args: argparse.Namespace) -> int:
    """Measures and prints row after row; `--json` holds those measured so far."""
    check_training(args.env, *args.algos)
    check_reference(args.reference_dir, args.env)
    facts = machine()
    if args.reference_dir is None:
        print(OURS_ALONE)
    print(f"{'training':<28} {'seeds':>5} {'steps/s':>12} {'cpu us':>10} {'compile s':>10}")
    rows = []
    for row in _rows(args):
        rows.append(row | facts)
        _print(row)
        keep(args.json, rows)
    return 0


def add_parser(commands: Any) -> None:
    """Adds the command `train` to the parser of `experiments.benchmark`."""
    train = commands.add_parser(
        "train", help="training steps per second, compared with JaxMARL's IPPO-RNN and QMIX-RNN"
    )
    train.add_argument("--env", default="smax:2s3z", metavar="NAME", help="default smax:2s3z")
    train.add_argument("--algos", nargs="+", default=["aiir_mix", "aiir_mix:paper"], metavar="NAME[:PRESET]")
    add_seeds(train, [1, 5], old="")
    add_seconds(train, 10.0)
    add_reference(train, updates=UPDATES)
    add_json(train)
    train.set_defaults(run=run_train)
