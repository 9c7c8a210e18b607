"""How long a training will take: by the most similar one that was measured, by timing a few iterations, or by a guess.

No jax here but in what times it."""

import contextlib
import json
import os
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from experiments.common.cpu import prepare_cpu
from experiments.common.files import read_json, write_json
from experiments.runs import find
from experiments.training.compile import Compiled
from experiments.training.runtime import cache_dir

# Updates a second, all seeds of a run together, where nothing was measured.
UPDATES_PER_SECOND = {"cpu": 250.0, "gpu": 1500.0}
BENCHMARK = pathlib.Path("results/train_speed.json")  # written by `python -m experiments.benchmark train`


KEPT_RATES = 500  # programs whose speed is remembered
PROBE = 3  # iterations that `time_env_step` times


class MeasuredSpeed(NamedTuple):
    """A measured speed. `facts` say of what: algo, env, preset, and whatever else the speed depends on."""

    facts: Mapping[str, Any]
    rate: float  # env steps a second, all seeds together
    source: str


class Estimate(NamedTuple):
    """The expected duration, and the speed that it is derived from; `facts` are empty where it is a guess."""

    seconds: float
    rate: float
    source: str
    facts: Mapping[str, Any]

    @property
    def hours(self) -> float:
        return self.seconds / 3600


def estimate(steps: float, wanted: Mapping[str, Any], speeds: Sequence[MeasuredSpeed], guess: float) -> Estimate:
    """The duration of `steps` (env steps of all seeds together) by the speed most similar to what is `wanted`.

    Args:
      wanted: facts of what will be trained, the most important first: similar is what agrees in the first of them, then
        in the second, and so on; of equally similar speeds the first counts.
      guess: env steps a second where there are no speeds.
    """
    if not speeds:
        return Estimate(steps / guess, guess, "a rough guess", {})
    best = min(speeds, key=lambda speed: [speed.facts.get(name) != value for name, value in wanted.items()])
    return Estimate(steps / best.rate, best.rate, best.source, best.facts)


def of_run(directory: pathlib.Path | None, facts: Mapping[str, Any]) -> list[MeasuredSpeed]:
    """The speed of the run in a directory, evaluating and saving included; none where it is not finished."""
    if directory is None or find.status(directory) not in find.FINISHED:
        return []
    steps, seconds = find.env_steps(directory), find.seconds(directory)
    return [MeasuredSpeed(facts, steps / seconds, "a finished run")] if steps and seconds else []


def of_records(path: pathlib.Path, platform: str) -> list[MeasuredSpeed]:
    """The speeds in a figure's record of how its runs were made, of the runs on such a device (cpu or gpu)."""
    return [
        MeasuredSpeed(
            _facts(r["algo"], r["env"], r["preset"]), r["seeds"] * r["total_steps"] / r["hours"] / 3600, str(path)
        )
        for r in read_json(path).get("runs", [])
        if r["status"] == "finished" and r["hours"] and _is_on(r, platform)
    ]


def of_benchmark(path: pathlib.Path, platform: str) -> list[MeasuredSpeed]:
    """The speeds that the benchmark measured on such a device, those of most seeds first."""
    rows = sorted((r for r in read_json(path, list) if _is_on(r, platform)), key=lambda r: -r["seeds"])
    named = [(r, *r["system"].partition(" ")[::2]) for r in rows]
    return [MeasuredSpeed(_facts(algo, r["env"], preset), r["steps_per_s"], str(path)) for r, algo, preset in named]


def _facts(algo: str, env: str, preset: str) -> dict[str, str]:
    return {"algo": algo, "env": env, "preset": preset}


def _is_on(row: Mapping[str, Any], platform: str) -> bool:
    return row.get("device", "").split(" x ")[-1].startswith("cpu") == (platform == "cpu")


def platform() -> str:
    """The kind of device that trains here: cpu or gpu."""
    prepare_cpu()  # before jax looks for devices
    import jax

    return "cpu" if jax.devices()[0].platform == "cpu" else "gpu"


def time_env_step(compiled: Compiled, inputs: Any, plan: Any, size: int) -> float:
    """Seconds of an env step of one of `size` members, learning included: times a few iterations past the warm-up, and
    discards their results.

    Args:
      inputs: of `compiled.init`, for all members.
      plan: of the algorithm.
    """
    import jax
    import numpy as np

    from iacjax.types import with_env_steps

    past = np.int32(-(-plan.warmup // plan.steps_per_iteration))
    states = compiled.init(compiled.layout.shard(inputs))
    states = with_env_steps(states, states.env_steps + np.int32(plan.warmup))
    states = jax.block_until_ready(compiled.chunk(states, past, np.int32(1))[0])
    began = time.monotonic()
    stats = jax.block_until_ready(compiled.chunk(states, past, np.int32(PROBE))[2])
    seconds = time.monotonic() - began
    return seconds / max(1, int(compiled.layout.fetch(stats.env_steps)[:PROBE, :size].sum()))


def _rates_file() -> pathlib.Path:
    """Beside the compiled programs, which are of this machine too."""
    return pathlib.Path(os.environ.get("JAX_COMPILATION_CACHE_DIR") or cache_dir()) / "rates.json"


def read_rates() -> dict[str, tuple[float, int]]:
    """{key of a program: seconds of an env step, bytes needed} of what was measured on this machine."""
    try:
        kept = json.loads(_rates_file().read_text())
        return {str(key): (float(seconds), int(needed)) for key, (seconds, needed) in kept.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}  # none yet, or another program's file


def keep_rate(key: str, seconds: float, needed: int | None) -> None:
    """Saves a program's measurement with those of the latest other programs; errors of the disk are ignored."""
    kept = read_rates()
    kept.pop(key, None)
    rates = {**kept, key: (seconds, needed)}
    with contextlib.suppress(OSError):
        _rates_file().parent.mkdir(parents=True, exist_ok=True)
        write_json(_rates_file(), dict(list(rates.items())[-KEPT_RATES:]))
