"""The arguments of SMAC's `StarCraft2Env`, in its order, with its defaults. No jax here."""

import inspect
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


def bind(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(SMAC's arguments, all of them; the other keyword arguments) of a call."""
    bound = SIGNATURE.bind(*args, **kwargs)
    bound.apply_defaults()
    options = bound.arguments.pop("options")
    return dict(bound.arguments), options


def engine_options(arguments: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """The options of `smax:<map>`: those of SMAC's arguments that differ from their defaults, and `options`.

    Raises:
      ConfigError: an argument that would change results, and cannot be honoured.
    """
    if arguments["step_mul"] not in (None, LOOPS_PER_STEP):
        raise ConfigError(f"step_mul={show(arguments['step_mul'])}: a step is {LOOPS_PER_STEP} game loops here")
    if arguments["heuristic_ai"]:
        raise ConfigError("heuristic_ai=True: the agents are not played by a script here, give their actions")
    for name in ("seed", "continuing_episode", "replay_dir", "replay_prefix"):
        kind = {"seed": int | None, "continuing_episode": bool}.get(name, str | None)
        wanted = expected(arguments[name], kind)
        if wanted:
            raise ConfigError(f"{name} must be {wanted}, not {show(arguments[name])}")
    without = {*HANDLED, *WITHOUT_EFFECT}
    # What another argument makes SMAC ignore; the engine refuses what would have no effect.
    without |= {"obs_own_health"} if arguments["obs_all_health"] else set()
    without |= {"state_last_action", "state_timestep_number"} if arguments["obs_instead_of_state"] else set()
    passed = [name for name in DEFAULTS if name not in without]
    return {name: arguments[name] for name in passed if arguments[name] != DEFAULTS[name]} | options
