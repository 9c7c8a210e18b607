"""The arguments of SMAC's `StarCraft2Env`, in its order, with its defaults. No jax here."""

import inspect
from collections.abc import Collection
from typing import Any

from envs.errors import ConfigError
from envs.values import expected, show

# `oxwhirl/smac` (d6aab33).
DEFAULTS: dict[str, Any] = {
    "map_name": "8m", "step_mul": 8, "move_amount": 2, "difficulty": "7", "game_version": None, "seed": None,
    "continuing_episode": False, "obs_all_health": True, "obs_own_health": True, "obs_last_action": False,
    "obs_pathing_grid": False, "obs_terrain_height": False, "obs_instead_of_state": False,
    "obs_timestep_number": False, "state_last_action": True, "state_timestep_number": False, "reward_sparse": False,
    "reward_only_positive": True, "reward_death_value": 10, "reward_win": 200, "reward_defeat": 0,
    "reward_negative_scale": 0.5, "reward_scale": True, "reward_scale_rate": 20, "replay_dir": "",
    "replay_prefix": "", "window_size_x": 1920, "window_size_y": 1200, "heuristic_ai": False,
    "heuristic_rest": False, "debug": False,
}  # fmt: skip
# Accepted without effect: the enemies are scripted, and there is no game to launch, no window and no log.
WITHOUT_EFFECT = ("difficulty", "game_version", "window_size_x", "window_size_y", "heuristic_rest", "debug")
HANDLED = ("map_name", "step_mul", "seed", "continuing_episode", "replay_dir", "replay_prefix", "heuristic_ai")
KINDS = {
    "map_name": str, "seed": int | None, "continuing_episode": bool, "replay_dir": str | None,
    "replay_prefix": str | None, "heuristic_ai": bool,
}  # fmt: skip
LOOPS_PER_STEP = 8

SIGNATURE = inspect.Signature(
    [
        *(
            inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=DEFAULTS[name])
            for name in DEFAULTS
        ),
        inspect.Parameter("options", inspect.Parameter.VAR_KEYWORD),
    ]
)


def bind(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], frozenset[str]]:
    """(SMAC's arguments, all of them; the other keyword arguments; the names that were given) of a call."""
    bound = SIGNATURE.bind(*args, **kwargs)
    given = frozenset(bound.arguments)
    bound.apply_defaults()
    options = bound.arguments.pop("options")
    return dict(bound.arguments), options, given


def engine_options(arguments: dict[str, Any], options: dict[str, Any], given: Collection[str] = ()) -> dict[str, Any]:
    """The options of `smax:<map>`, which checks them: SMAC's arguments that were set, and `options`.

    An argument with SMAC's default counts as not set, because PyMARL gives all of them. Beside `reward=...`, which
    replaces the defaults of the `reward_...` arguments, it counts if it was given.

    Args:
      arguments, options, given: what `bind` returns.

    Raises:
      ConfigError: an argument that would change results, and cannot be honoured.
    """
    if arguments["step_mul"] not in (None, LOOPS_PER_STEP):
        raise ConfigError(f"step_mul={show(arguments['step_mul'])}: a step is {LOOPS_PER_STEP} game loops here")
    check_kinds(arguments)
    if arguments["heuristic_ai"]:
        raise ConfigError("heuristic_ai=True: the agents are not played by a script here, give their actions")
    replaced = options.get("reward", "dense") != "dense"
    passed = [name for name in DEFAULTS if name not in HANDLED and name not in WITHOUT_EFFECT]
    return {
        name: arguments[name]
        for name in passed
        if arguments[name] != DEFAULTS[name] or (replaced and name in given and name.startswith("reward_"))
    } | options


def check_kinds(arguments: dict[str, Any]) -> None:
    """Raises ConfigError if one of `arguments` that is named in `KINDS` has a wrong type."""
    for name, value in arguments.items():
        wanted = expected(value, KINDS.get(name, Any))
        if wanted:
            raise ConfigError(f"{name} must be {wanted}, not {show(value)}")
