"""Groups of lanes (seeds, or a sweep's points) that fit in memory: as many at a time as a measured estimate allows."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from experiments.common.text import human
from experiments.config.schema import RunConfig
from experiments.distributed import collectives
from experiments.distributed.layout import device_count
from experiments.training.compile import Compiled, Lowered, compile_lowered
from experiments.training.memory import available_bytes, fitting_seeds, tree_bytes
from experiments.training.runtime import describe_devices

Trace = Callable[[int], Lowered]  # (number of lanes) -> what they would run


def split(lanes: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """As few groups of at most `size` lanes as can be, in order; all of one size, but the last may be smaller."""
    size = -(-len(lanes) // -(-len(lanes) // size))
    return [lanes[i : i + size] for i in range(0, len(lanes), size)]


def compile_groups(
    lanes: Sequence[Any],
    trace: Trace,
    run: RunConfig,
    say: Callable[[str], None],
    keep_size: Callable[[int], None],
    noun: str = "seed",
) -> Iterator[tuple[Sequence[Any], Compiled]]:
    """The groups and their programs, each compiled when its turn comes; says memory and compile seconds.

    Args:
      keep_size: told the size of the groups before the first: checkpoints are of whole groups, so a resumed run must
        form the same ones (it asks for them by `run.seeds_per_batch`).

    Raises:
      ConfigError: not one lane fits, or fewer than were asked for.
    """
    free = collectives.all_min(available_bytes(min(device_count(run.devices), len(lanes))))
    device, processes = describe_devices(run.devices), collectives.process_count()
    if processes > 1:
        device, free = f"{processes} processes with {device} each", None if free is None else processes * free
    say(f"device   {device}, {'unknown' if free is None else human(free)} free")
    size = len(split(lanes, min(run.seeds_per_batch or len(lanes), len(lanes)))[0])
    traced = trace(size)
    per_lane = tree_bytes(traced.states) // size
    fit = fitting_seeds(size, per_lane, 1, run, free)
    say(f"memory   state {human(per_lane)} per {noun}, {human(per_lane * fit)} for {fit} at a time")
    programs = _compile(traced, fit, free, trace, run, say, noun)
    if programs.num_seeds < len(lanes):
        say(f"groups   {programs.num_seeds} {noun}(s) at a time")
    keep_size(programs.num_seeds)
    for group in split(lanes, programs.num_seeds):
        programs = _compile(programs, len(group), None, trace, run, say, noun)
        yield group, programs


def _compile(have: Any, size: int, free: int | None, trace: Trace, run: RunConfig, say: Callable, noun: str) -> Any:
    """Programs for `size` lanes, or for as many as fit where nobody said how many.

    Args:
      have: `Traced` or `Programs` of some number of lanes, used where that is `size`.
    """
    if have.num_seeds != size:
        have = trace(size)
    if isinstance(have, Compiled):
        return have
    programs = compile_lowered(have)
    need = human(programs.bytes_needed)
    say(f"compile  {programs.seconds:.1f} s; {size} {noun}(s) need {need} with what a chunk works on")
    fit = fitting_seeds(size, programs.bytes_needed, size, run, free)
    return programs if fit == size else _compile(programs, fit, free, trace, run, say, noun)
