"""Batches of seeds (of a sweep: of trials) that fit in memory: as many at a time as the compiler's estimate allows."""

from collections.abc import Callable, Sequence
from typing import Any

from experiments.common.text import human
from experiments.config.schema import RunConfig
from experiments.distributed import collectives
from experiments.training.compile import Compiled, Lowered, compile_lowered
from experiments.training.memory import available_bytes, fitting_seeds, tree_bytes
from experiments.training.runtime import describe_devices

Lower = Callable[[int], Lowered]  # (number of seeds) -> the functions of a batch of so many
Say = Callable[[str], None]


def split(seeds: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """The fewest batches of at most `size` seeds, in order; all of the same size, but the last may be smaller."""
    size = -(-len(seeds) // -(-len(seeds) // size))
    return [seeds[i : i + size] for i in range(0, len(seeds), size)]


def compile_largest(count: int, lower: Lower, run: RunConfig, say: Say, noun: str = "seed") -> Compiled:
    """Compiles the program of `count` seeds, or of as many as fit in memory or `run.seeds_per_batch` asks for.

    Args:
      say: prints the lines about the device, the memory and the compilation.
      noun: what a seed is called in them.

    Raises:
      ConfigError: not one seed fits, or fewer than were asked for.
    """
    size = len(split(range(count), min(run.seeds_per_batch or count, count))[0])
    lowered = lower(size)
    layout, processes = lowered.layout, collectives.process_count()
    own = layout.devices // processes
    device, free = describe_devices(own), collectives.all_min(available_bytes(own))
    if processes > 1:
        device, free = f"{processes} processes with {device} each", None if free is None else processes * free
    say(f"device   {device}, {'unknown' if free is None else human(free)} free{layout.describe(noun)}")
    each = tree_bytes(lowered.states) // size
    fit = fitting_seeds(size, each, 1, run, free)
    say(f"memory   state {human(each)} per {noun}, {human(each * fit)} for {fit} at a time")
    compiled = _compile(lowered if fit == size else lower(fit), say, noun)
    while (fit := fitting_seeds(compiled.num_seeds, compiled.bytes_needed, compiled.num_seeds, run, free)) != (
        compiled.num_seeds
    ):
        compiled = _compile(lower(fit), say, noun)
    if compiled.num_seeds < count:
        say(f"batches  {compiled.num_seeds} {noun}(s) at a time")
    return compiled


def compile_batch(size: int, compiled: Compiled, lower: Lower, say: Say, noun: str = "seed") -> Compiled:
    """`compiled` if it is of `size` seeds, else the program of so many."""
    return compiled if compiled.num_seeds == size else _compile(lower(size), say, noun)


def _compile(lowered: Lowered, say: Say, noun: str) -> Compiled:
    if lowered.init is not None:
        say(f"compile  ...{' once: the next start with these settings skips it' if lowered.kept else ''}")
    compiled = compile_lowered(lowered)
    need, how = human(compiled.bytes_needed), ", kept from an earlier start" if compiled.was_kept else ""
    size = f"{compiled.num_seeds} {noun}(s)"
    say(f"compile  {compiled.seconds:.1f} s{how}; {size} need {need} with what a chunk works on")
    return compiled
