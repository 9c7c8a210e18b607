"""`python -m experiments.benchmark kernels`: the kernels and memory of a program on a GPU, without a GPU.

XLA's GPU compiler runs wherever jax's CUDA plugin is installed, given a description of the card. The compiled program
says how many kernels an iteration launches, where, and what memory it needs. With few seeds the time of a GPU goes into
launches: at 2 to 4 microseconds each they bound the speed from above, until seeds and environments fill the card. The
bound ignores command buffers (graphs of kernels), which make launches cheaper.
"""

import argparse
import concurrent.futures
import os
import signal
from typing import Any

from benchmarks.arguments import add_json, add_seeds, add_training, check_training, keep, split_name
from benchmarks.worker import fresh_process
from envs.errors import ConfigError
from experiments.common.arguments import whole

LAUNCH = 2.5e-6  # seconds of a kernel launch from a stream; 2 to 4 microseconds on recent servers
LINE = "{:>6} {:>12} {:>9} {:>8} {:>8} {:>8} {:>15} {:>10} {:>10} {:>9}"
HEADS = (
    "seeds", "kernels/iter", "/env step", "rollout", "replay", "learning", "steps/s at most", "state", "needs",
    "compile s",
)  # fmt: skip

# The properties of a card that XLA asks for. An H200 is an H100 with more and faster memory (by its data sheet).
_HOPPER = """
gpu_device_info {{
  threads_per_block_limit: 1024 threads_per_warp: 32 shared_memory_per_block: 49152
  shared_memory_per_core: 233472 shared_memory_per_block_optin: 232448 threads_per_core_limit: 2048
  core_count: 132 fpus_per_core: 128 clock_rate_ghz: 1.98 l2_cache_size: 52428800
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  memory_bandwidth: {bandwidth} device_memory_size: {memory}
  cuda_compute_capability {{ major: 9 }}
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 8 }}
runtime_version {{ major: 12 minor: 9 }}
device_description_str: "{name}"
"""
CARDS = {
    "h100": _HOPPER.format(bandwidth=3352320000000, memory=84929347584, name="NVIDIA H100 80GB HBM3"),
    "h200": _HOPPER.format(bandwidth=4814000000000, memory=150754820096, name="NVIDIA H200"),
}


def _device(card: str) -> Any:
    """A device of that card, to compile for.

    Raises:
      ConfigError: jax's CUDA plugin is not installed.
    """
    import jax
    from jax.experimental import topologies

    try:
        return topologies.get_topology_desc(platform="cuda", target_config=CARDS[card], topology="1x1x1").devices[0]
    except (RuntimeError, NotImplementedError) as error:  # jax's own: no plugin, or one that cannot do it
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            f'jax {jax.__version__} has no GPU compiler here: pip install "iacjax[cuda]" ({reason})'
        ) from None


def compiled_for(
    card: str, algo: str, preset: str, env_name: str, seeds: int, num_envs: int = 0
) -> tuple[Any, Any, Any]:
    """(a chunk of training compiled for the card, the shapes of its states, the algorithm's plan)."""
    import jax
    import numpy as np

    from benchmarks.training import make_training
    from experiments.training.compile import lower_run
    from iacjax.networks.recurrent import use_gru_form

    place = jax.sharding.SingleDeviceSharding(_device(card))
    env, _, algorithm = make_training(algo, preset, env_name, num_envs)
    with use_gru_form("batched"):  # as on a GPU
        traced = lower_run(env, algorithm, seeds, eval_episodes=1)
        states = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), traced.states)
        number = jax.ShapeDtypeStruct((), np.int32, sharding=place)
        return traced.trainer.chunk.lower(states, number, number).compile(), states, algorithm.plan


def measure(card: str, algo: str, preset: str, env_name: str, seeds: int, num_envs: int = 0) -> dict[str, Any]:
    """The row of one program; `loops` are the places that launch most."""
    import time

    import jax

    from benchmarks.hlo import by_loop, by_part, kernels, total
    from experiments.training.memory import tree_bytes

    start = time.perf_counter()
    program, states, plan = compiled_for(card, algo, preset, env_name, seeds, num_envs)
    found = kernels(program.as_text(), plan.updates)
    memory, launches = program.memory_analysis(), total(found)
    return {
        "card": card, "algo": algo, "preset": preset, "env": env_name, "lanes": seeds, "num_envs": plan.num_envs,
        "kernels": launches, "steps_per_iteration": plan.steps_per_iteration, "updates": plan.updates,
        "kernels_per_step": launches / plan.steps_per_iteration, "parts": by_part(found), "loops": by_loop(found)[:8],
        "steps_per_s_at_most": seeds * plan.steps_per_iteration / (launches * LAUNCH),
        "state_bytes": tree_bytes(states), "bytes_needed": memory.argument_size_in_bytes + memory.temp_size_in_bytes,
        "compile_s": time.perf_counter() - start, "jax": jax.__version__, "flags": os.environ.get("XLA_FLAGS", ""),
    }  # fmt: skip


def measure_in_child(args: tuple) -> dict[str, Any]:
    """`measure` with the environment of a process that only compiles."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.environ.update(JAX_PLATFORMS="cpu", JAX_ENABLE_COMPILATION_CACHE="false")  # no GPU is looked for
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return measure(*args)


def in_a_process(job: tuple) -> dict[str, Any]:
    """`measure` in a fresh process.

    Raises:
      ConfigError: there is no such compiler here, what was asked for cannot be trained, or the process has died.
    """
    with fresh_process() as pool:
        try:
            return pool.submit(measure_in_child, job).result()
        except concurrent.futures.BrokenExecutor:
            text = "the process that compiles has died, most likely for memory: ask for fewer --seeds or --num-envs"
            raise ConfigError(text) from None


def line(row: dict[str, Any]) -> str:
    """The row as it is printed."""
    from experiments.common.text import human

    parts = [f"{row['parts'].get(name, 0):,}" for name in ("rollout", "replay", "learning")]
    return LINE.format(
        row["lanes"], f"{row['kernels']:,}", f"{row['kernels_per_step']:.2f}", *parts,
        f"{row['steps_per_s_at_most']:,.0f}", human(row["state_bytes"]), human(row["bytes_needed"]),
        f"{row['compile_s']:.0f}",
    )  # fmt: skip


def run_kernels(args: argparse.Namespace) -> int:
    """Compiles each number of seeds in a process of its own; then prints where the kernels are."""
    check_training(args.env, args.algo)
    print(f"{args.algo} on {args.env}, compiled for one {args.card}; speed at most by {LAUNCH * 1e6:g} us a launch")
    rows: list[dict[str, Any]] = []
    for seeds in args.seeds:
        job = (args.card, *split_name(args.algo), args.env, seeds, args.num_envs)
        rows.append(in_a_process(job))
        print(*([] if rows[1:] else [LINE.format(*HEADS)]), line(rows[-1]), sep="\n", flush=True)
        keep(args.json, {"note": args.note, "rows": rows})
    print("\nkernels per iteration by the loops they are in, with the iterations of these loops")
    for name, count in rows[-1]["loops"]:
        print(f"{count:>9,} {count / rows[-1]['kernels']:>6.1%}  {name}")
    return 0


def add_parser(commands: Any) -> None:
    """Adds the command `kernels` to the parser of `experiments.benchmark`."""
    parser = commands.add_parser("kernels", help="the kernels and memory of a program on a GPU, without a GPU")
    add = parser.add_argument
    add_training(parser)
    add_seeds(parser, [1, 64])
    add("--num-envs", type=whole(0), default=0, metavar="E", help="parallel environments per seed; 0: the preset's")
    add("--card", choices=sorted(CARDS), default="h100", help="compile for it (default h100)")
    add_json(parser, note=True)
    parser.set_defaults(run=run_kernels)
