"""`python -m experiments.benchmark updates`: gradient updates per second of IAC and its ablations, by part.

One seed and several in one vmapped program, at the paper's settings: an update for each step of one environment.
"""

import argparse
from typing import Any

from benchmarks.arguments import add_json, add_seconds, add_seeds, check_training, keep
from benchmarks.training import benchmark_ours, machine, make_training, time_rollout, timed
from envs.errors import ConfigError
from iacjax.algorithms.iac.config import IacConfig
from iacjax.algorithms.registry import ALGORITHMS

FAMILY = [name for name, entry in ALGORITHMS.items() if issubclass(entry.config, IacConfig)]  # IAC and its ablations


def time_by_part(env: Any, config: Any) -> dict[str, float]:
    """{part: microseconds of processor time per update (and env step)}, each part compiled by itself.

    `actor` and `critic` are losses, gradients and optimiser steps, the critic's with its target; `buffer` samples a
    batch (to write a row, in place, costs a thousandth of that); `env` and `act` make the row.
    """
    import jax
    import jax.numpy as jnp

    from iacjax.algorithms.iac import learner as iac
    from iacjax.types import Clock

    nets, algorithm = iac.build(env.spec, config), iac.make(env.spec, config)
    full, key, seconds = Clock(jnp.int32(config.buffer_size), jnp.int32(config.buffer_size)), jax.random.key(1), {}
    state, rows, seconds["env"], seconds["act"] = time_rollout(env, algorithm, config.warmup)
    learner = state.learner

    def buffer(rows, store, key):
        return algorithm.plan.buffer.sample(store, rows, key, full)

    batch, seconds["buffer"] = timed(buffer, rows, state.store, key)
    seconds |= _update_seconds(nets, learner, batch, key)
    return {part: value * 1e6 for part, value in seconds.items()}


def _update_seconds(nets: Any, learner: Any, batch: Any, key: Any) -> dict[str, float]:
    """Processor seconds of the actor's and the critic's step of one update."""
    import jax
    import jax.numpy as jnp

    from iacjax.algorithms.common.off_policy import transition
    from iacjax.algorithms.common.optimizer_step import optimizer_step
    from iacjax.algorithms.iac import learner as iac
    from iacjax.algorithms.iac import policy as iac_policy

    ts, after = transition(batch)
    mask, action = jnp.ones_like(batch.mask[0]), batch.action[0]
    noise = iac_policy.draw_noise(nets.policy, key, mask.shape)

    def actor(params, learner):
        loss = lambda actor: iac.actor_loss(nets, actor, learner.params["critic"], ts, noise, mask)[0]  # noqa: E731
        return optimizer_step(nets.optimizers["actor"], params, learner.opt["actor"], jax.grad(loss)(params))

    def critic(params, learner):
        target = iac.td_target(nets, learner.target, after, noise)
        loss = lambda critic: iac.critic_loss(nets, critic, ts, action, target, mask)[0]  # noqa: E731
        return optimizer_step(nets.optimizers["critic"], params, learner.opt["critic"], jax.grad(loss)(params))

    parts = {"actor": actor, "critic": critic}
    return {name: timed(part, learner.params[name], learner)[1] for name, part in parts.items()}


def run_updates(args: argparse.Namespace) -> int:
    """Measures and prints row after row; `--json` holds those measured so far."""
    check_training(args.env)
    if args.algo not in FAMILY:
        raise ConfigError(f"--algo {args.algo}: give one of {', '.join(FAMILY)}")
    env, config, algorithm = make_training(args.algo, "default", args.env, warmup=0)
    rows, facts = [], machine()
    print(f"{args.algo} on {args.env}, {facts['device']}\n{'seeds':>5} {'updates/s':>10} {'compile s':>10}")
    for i, seeds in enumerate(args.seeds):
        speed = benchmark_ours(env, algorithm, seeds, args.seconds)
        row = {"algo": args.algo, "env": args.env, "seeds": seeds, "updates_per_s": speed["steps_per_s"]}
        row |= {"cpu_us_per_update": speed["cpu_us_per_step"], "compile_s": speed["compile_s"]}
        print(f"{seeds:>5} {row['updates_per_s']:>10,.0f} {row['compile_s']:>10.1f}", flush=True)
        if i == 0:
            parts = row["cpu_us_by_part"] = time_by_part(env, config)
            shares = ", ".join(f"{name} {value / sum(parts.values()):.0%}" for name, value in parts.items())
            print(f"  of its processor time: {shares}", flush=True)
        rows.append(row | facts)
        keep(args.json, rows)
    return 0


def add_parser(commands: Any) -> None:
    """Adds the command `updates` to the parser of `experiments.benchmark`."""
    updates = commands.add_parser("updates", help="gradient updates per second of IAC and its ablations")
    updates.add_argument("--algo", default="iac", metavar="NAME", help=f"one of {', '.join(FAMILY)}; default iac")
    updates.add_argument("--env", default="multi_pendulum:2", metavar="NAME", help="default multi_pendulum:2")
    add_seeds(updates, [1, 5], old="")
    add_seconds(updates, 10.0)
    add_json(updates)
    updates.set_defaults(run=run_updates)
