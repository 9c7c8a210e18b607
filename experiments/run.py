"""Trains: `python -m experiments.run --algo aiir_mix --env smax:2s3z --seeds 3`; `--help` shows every field.

Ctrl-C or SIGTERM finishes the running chunk, saves, and prints the command that continues.
"""

import pathlib
from collections.abc import Sequence

from envs.registry import known_envs
from experiments.common.cli import leave, run_stoppable
from experiments.config.command_line import Command, new_settings, parse_fields
from experiments.config.schema import check_same, read_config
from experiments.config.trust import check_trusted
from experiments.training.train import train


def print_list() -> None:
    """What `--list` shows."""
    from experiments.config.presets import PRESETS
    from iacjax.algorithms.registry import ALGORITHMS

    print("algorithms (--algo) and their presets (--preset)")
    for name, entry in ALGORITHMS.items():
        print(f"  {name:<16}{entry.summary}{' (centralised execution)' if entry.centralised else ''}")
        for preset, value in PRESETS.get(name, {}).items():
            print(f"    {preset:<14}{value.summary}")
    print("environments (--env)")
    families: dict[str, list[str]] = {}
    for env in known_envs():
        families.setdefault(env.split(":")[0], []).append(env)
    for members in families.values():
        print("  " + "  ".join(members))
    print("  MODULE:NAME, a class or function of yours (envs/custom.py)")


def _command(argv: Sequence[str]) -> int:
    command = Command(argv)
    if command.list and not command.help:
        print_list()
        return 0
    if command.resume is None:
        return train(new_settings(command))
    directory = pathlib.Path(command.resume)
    saved = read_config(directory)
    check_trusted(saved.run.env, directory / "config.json", command.trust or command.env)
    asked = parse_fields(command.fields, saved)
    check_same(saved, asked)
    return train(asked, directory)


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code."""
    return run_stoppable(_command, argv)


if __name__ == "__main__":
    leave(main())
