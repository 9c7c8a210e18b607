"""The command line of the figures. No jax here.

A figure has budgets. `small` ends within an hour on two cores; `paper` has the paper's seeds, steps and settings; some
figures have `tuned`, equally long, with settings under which the methods learn. --help, the output and the picture
state the settings of a budget and what it leaves out.
"""

import argparse
import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from envs.errors import ConfigError
from envs.registry import check_name
from experiments.common.arguments import PICTURES, Parser, number, out_file, out_folder, whole
from experiments.config.validation import MAX_SEEDS
from iacjax.schema import NOT_NEGATIVE

ENVIRONMENTS = {"--envs": "environments", "--maps": "maps"}
EVAL_EPISODES = 10  # iac, appendix B: "each algorithm is evaluated for 10 rounds"


class Budget(NamedTuple):
    """What one budget of a figure trains. The keys of `steps` (env steps per seed) are its environments."""

    seeds: int
    steps: Mapping[str, int]
    methods: tuple[str, ...]
    presets: tuple[
        str, ...
    ]  # names to look for, best first; {family} stands for the environment's family; else `default`
    leaves_out: str = ""  # "" where nothing is missing
    overrides: Mapping[str, Mapping[str, Any]] = {}  # by family: fields of algorithms that have no preset for it
    also: tuple[str, ...] = ()  # further methods that the command line may name
    settings: str = ""  # the settings of the methods, in words
    other_steps: Mapping[str, int] = {}  # env steps per seed of methods that are trained for another time than `steps`


@dataclasses.dataclass(frozen=True, kw_only=True)
class FigureOptions:
    """A figure's command line."""

    target: str
    budget: str = ""
    seeds: int
    steps: Mapping[str, int]  # env steps per seed, by environment
    other_steps: Mapping[str, int] = dataclasses.field(default_factory=dict)  # by method, of those that have others
    methods: tuple[str, ...] = ()
    presets: tuple[str, ...]
    overrides: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    note: str = ""  # what is left out
    run_dir: pathlib.Path
    out: pathlib.Path  # the picture; its numbers have the same name
    redraw: bool = False
    numbers: Mapping[str, float] = dataclasses.field(default_factory=dict)  # options of this figure only
    command: str
    asked: tuple[str, ...] = ()  # options that the command line changed, e.g. methods


def parser(target: str, summary: str) -> argparse.ArgumentParser:
    """The options that every target of this package takes."""
    parser = Parser(prog=f"python -m experiments.reproduce {target}", description=summary)
    parser.add_argument("target", help=argparse.SUPPRESS)
    parser.add_argument("--seeds", type=whole(1, MAX_SEEDS), help="seeds per run (default: the target's)")
    parser.add_argument("--total-steps", type=whole(), help="env steps per seed (default: the target's)")
    runs = f"runs/{target.split('/')[0]}"
    parser.add_argument("--run-dir", type=out_folder, default=runs, help="parent of the runs (default: %(default)s)")
    parser.add_argument("--redraw", action="store_true", help="train nothing: use the saved numbers")
    return parser


def parse(
    argv: Sequence[str],
    summary: str,
    budgets: Mapping[str, Budget],
    numbers: Mapping[str, tuple[float, str]] | None = None,
    family: str = "",
    suffix: str = ".png",
) -> FigureOptions:
    """Reads a figure's command line; its budgets give the defaults.

    Args:
      numbers: further options, by name: default and help.
      family: if all environments of the figure are of one family: then `--maps` names its members.
      suffix: of the file to write.

    Raises:
      ConfigError: the figure has no such budget, method or environment, or a number is out of range.
    """
    target = argv[0]
    everywhere = sorted({name for b in budgets.values() for name in (*b.methods, *b.also)})
    options = parser(target, summary)
    word = "--maps" if family else "--envs"
    _add_choices(options, budgets, everywhere, word)
    _add_output(options, f"results/{target}{suffix}", suffix, numbers or {})
    args = options.parse_args(argv)
    if args.budget not in budgets:
        raise ConfigError(f"--budget: no {args.budget!r}; it is one of {', '.join(budgets)}")
    budget = budgets[args.budget]
    methods = chosen(args.methods, budget.methods, everywhere, "--methods")
    steps = _map_steps(args.envs, args.budget, budgets, family) if family else _steps(args.envs, budget)
    changed = tuple(name for name in ("seeds", "total_steps", "methods", "envs", "preset") if getattr(args, name))
    return FigureOptions(
        target=target,
        budget=args.budget,
        seeds=args.seeds or budget.seeds,
        steps={env: args.total_steps or number for env, number in steps.items()},
        other_steps={} if args.total_steps else budget.other_steps,
        methods=methods,
        presets=tuple(args.preset) or budget.presets,
        overrides={} if args.preset else budget.overrides,
        note=_note(args.budget, budget, [word[2:] if name == "envs" else name for name in changed]),
        run_dir=args.run_dir,
        out=args.out,
        redraw=args.redraw,
        numbers={name: getattr(args, name) for name in numbers or {}},
        command="python -m experiments.reproduce " + " ".join(argv),
        asked=changed,
    )


def _add_choices(
    options: argparse.ArgumentParser, budgets: Mapping[str, Budget], everywhere: Sequence[str], word: str
) -> None:
    """The options that choose among what a figure has; `word` is the option for its environments."""
    known = "; ".join(_describe(name, budget) for name, budget in budgets.items()).replace("%", "%%")
    options.add_argument("--budget", default="small", help=f"one of {known} (default: %(default)s)")
    options.add_argument("--methods", nargs="+", metavar="NAME", help=f"only these, of {', '.join(everywhere)}")
    options.add_argument(word, dest="envs", nargs="+", metavar="NAME", help=f"only these {ENVIRONMENTS[word]}")
    presets = "for each method the first of these that it has, instead of the budget's"
    options.add_argument("--preset", nargs="+", default=(), metavar="NAME", help=presets)


def _add_output(
    options: argparse.ArgumentParser, default: str, suffix: str, numbers: Mapping[str, tuple[float, str]]
) -> None:
    """The file to write, and the numbers that are options of this figure only."""
    to_write = out_file(*(PICTURES if suffix in PICTURES else ()), parents=True)
    text = "file to write; its numbers get the same name (default: %(default)s)"
    options.add_argument("--out", type=to_write, default=default, help=text)
    for name, (value, text) in numbers.items():
        options.add_argument(f"--{name}", type=number(NOT_NEGATIVE), default=value, help=f"{text} ({value:g})")


def chosen(asked: Sequence[str] | None, default: tuple[str, ...], known: Sequence[str], option: str) -> tuple[str, ...]:
    """`asked`, or `default` if it is empty; ConfigError if something in `asked` is not in `known`."""
    unknown = [name for name in asked or () if name not in known]
    if unknown:
        raise ConfigError(f"{option}: no {unknown[0]!r} in this figure; it has {', '.join(known)}")
    return tuple(asked or default)


def _steps(asked: Sequence[str] | None, budget: Budget) -> dict[str, int]:
    """Env steps per seed by environment; another member of a family (another number of pendulums) has the family's."""
    by_family = {env.split(":")[0]: steps for env, steps in budget.steps.items()}
    families = chosen([env.split(":")[0] for env in asked or ()], (), list(by_family), "--envs")
    if not asked:
        return dict(budget.steps)
    for env in asked:
        check_name(env)  # another member of the family may be none
    return {env: budget.steps.get(env, by_family[family]) for env, family in zip(asked, families, strict=True)}


def _map_steps(asked: Sequence[str] | None, name: str, budgets: Mapping[str, Budget], family: str) -> dict[str, int]:
    """Env steps per seed by environment; a map of another budget is trained as long as the first map of this one."""
    steps = budgets[name].steps
    known = dict.fromkeys(env.partition(":")[2] for b in (budgets[name], *budgets.values()) for env in b.steps)
    envs = [f"{family}:{name}" for name in chosen(asked, (), list(known), "--maps")]
    return {env: steps.get(env, next(iter(steps.values()))) for env in envs} or dict(steps)


def _describe(name: str, budget: Budget) -> str:
    """A budget in a few words, for --help."""
    parts = [f"{budget.seeds} seeds", *([budget.settings] if budget.settings else [])]
    parts += [f"Leaves out {budget.leaves_out}"] if budget.leaves_out else []
    return f"{name} ({'. '.join(parts)})"


def _note(name: str, budget: Budget, changed: Sequence[str]) -> str:
    text = f"budget {name}" + (f" with other {', '.join(changed).replace('_', ' ')}" if changed else "")
    text += f": {budget.settings}" if budget.settings and "preset" not in changed else ""
    return text + (f"; leaves out: {budget.leaves_out}" if budget.leaves_out else "")
