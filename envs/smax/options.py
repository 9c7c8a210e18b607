"""SMAC's options: what agents observe, what the state holds, what is rewarded. No jax here.

The names, defaults and meanings are those of `StarCraft2Env`'s arguments (`oxwhirl/smac`, d6aab33). `reward=...` names
the reward forms of the literature.
"""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from envs.errors import ConfigError
from envs.values import expected, show

MAX_MOVE = 32  # the size of a map
RewardForm = Literal["dense", "sparse", "semisparse", "win"]
# The reward forms, as options. dense: SMAC's default. sparse: +1 for a win, -1 for a defeat, as in LAIES (80fb849).
# win: 1 for a win and nothing else, so that a defeat is no worse than hiding until the time is up.
# semisparse: kills, losses and the win only, as in MASER (70ae469) and ICES (2fcc473).
REWARD_FORMS: dict[str, dict[str, Any]] = {
    "dense": {},
    "sparse": {"reward_sparse": True, "reward_scale": False},
    "win": {"reward_death_value": 0.0, "reward_win": 1.0, "reward_scale": False, "reward_damage": False},
    "semisparse": {"reward_only_positive": False, "reward_scale_rate": 10.0, "reward_damage": False},
}


@dataclass(frozen=True)
class Options:
    """The options of a battle, by `StarCraft2Env`'s names; all defaults are SMAC's.

    Observations: health and shield of others (`obs_all_health`; with it always the agent's own) and of the agent
    (`obs_own_health`), the last actions of visible allies, which cells around are walkable and how high they are, and
    the time, steps / limit, after a constant 0 (dead agents see the time too). State: the last actions, the time; or
    all observations and nothing else (`obs_instead_of_state`). `move_amount` is the length of a move order in map
    units; a move is legal if the cell half as far ahead is walkable.

    `open_loop` is not SMAC's: agents observe the time and their number only (`envs.smax.open_loop`).

    Rewards, in the order in which `envs.smax.outcome.reward` applies them. Of a step: the health and shield that
    enemies lost, net; `reward_death_value` for each enemy that died; its absolute value. Or, without
    `reward_only_positive`, minus `reward_negative_scale` times the same of the agents. Then `reward_win` or
    `reward_defeat` is added. With `reward_sparse` the reward is 1 for a win, -1 for a defeat, else 0. With
    `reward_scale` everything is divided by (max_reward / `reward_scale_rate`), in the sparse form too.
    `reward_damage` is not SMAC's: False leaves out the losses of health and shield, on both sides.

    Raises:
      ConfigError: a value of a wrong type or out of range.
    """

    obs_all_health: bool = True
    obs_own_health: bool = True
    obs_last_action: bool = False
    obs_pathing_grid: bool = False
    obs_terrain_height: bool = False
    obs_timestep_number: bool = False
    obs_instead_of_state: bool = False
    state_last_action: bool = True
    state_timestep_number: bool = False
    move_amount: float = 2.0
    open_loop: bool = False
    reward_sparse: bool = False
    reward_only_positive: bool = True
    reward_death_value: float = 10.0
    reward_win: float = 200.0
    reward_defeat: float = 0.0
    reward_negative_scale: float = 0.5
    reward_scale: bool = True
    reward_scale_rate: float = 20.0
    reward_damage: bool = True

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            wanted = expected(value, field.type)
            if not wanted and field.type is float and not math.isfinite(value):
                wanted = "a finite number"
            if wanted:
                raise ConfigError(f"{field.name} must be {wanted}, not {show(value)}")
        for name in ("reward_death_value", "reward_win", "reward_negative_scale"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be at least 0, not {show(getattr(self, name))}")
        if self.reward_scale_rate <= 0:
            raise ConfigError(f"reward_scale_rate must be above 0, not {show(self.reward_scale_rate)}")
        if not 0 < self.move_amount <= MAX_MOVE:
            raise ConfigError(f"move_amount must be above 0 and at most {MAX_MOVE}, not {show(self.move_amount)}")
        if (self.obs_pathing_grid or self.obs_terrain_height) and self.move_amount % 1:
            raise ConfigError(
                f"obs_pathing_grid and obs_terrain_height need a whole move_amount, not {self.move_amount}"
            )

    @property
    def changed(self) -> dict[str, Any]:
        """The options that differ from SMAC's defaults, by name: arguments of `StarCraft2Env` (and `reward_damage`)."""
        different = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        if different.get("move_amount", 0.5) % 1 == 0:
            different["move_amount"] = int(self.move_amount)  # SMAC counts cells with it
        return different

    @property
    def own_health(self) -> bool:
        """Agents observe their own health."""
        return self.obs_own_health or self.obs_all_health


def options_among(given: Mapping[str, Any]) -> dict[str, Any]:
    """What of `given`, the options of an environment by name, `make_options` takes."""
    names = {"reward", *(field.name for field in fields(Options))}
    return {name: value for name, value in given.items() if name in names}


def make_options(reward: RewardForm = "dense", **given: Any) -> Options:
    """`Options` from the words of a user: `reward` names a form of `REWARD_FORMS`, `given` are fields of `Options`.

    Raises:
      ConfigError: an unknown name, a wrong value, or options that contradict each other.
    """
    known = [field.name for field in fields(Options)]
    unknown = [name for name in given if name not in known]
    if unknown:
        raise ConfigError(f"no such options: {', '.join(unknown)}; there are reward, {', '.join(known)}")
    if reward not in REWARD_FORMS:
        raise ConfigError(f"reward={show(reward)}: give one of {', '.join(REWARD_FORMS)}, or SMAC's own options")
    rewards = [name for name in given if name.startswith("reward_")]
    if reward != "dense" and rewards:
        raise ConfigError(f"reward={reward} sets all options of the reward: leave out {', '.join(rewards)}, or reward")
    options = Options(**REWARD_FORMS[reward], **given)
    _check_effects(options, given)
    return options


def _check_effects(options: Options, given: Iterable[str]) -> None:
    """Raises ConfigError if something that the user gave has no effect."""
    without = "obs_instead_of_state=True replaces the state"
    vain = {
        "obs_own_health": (options.obs_all_health and not options.obs_own_health, "obs_all_health=True includes it"),
        "state_last_action": (options.obs_instead_of_state, without),
        "state_timestep_number": (options.obs_instead_of_state, without),
    }
    if options.open_loop:
        vain |= {name: (True, "open_loop=True replaces observations") for name in given if name.startswith("obs_")}
    for name, (has_none, why) in vain.items():
        if name in given and has_none:
            raise ConfigError(f"{name}={getattr(options, name)} has no effect: {why}")


def with_reward_options(build: Callable) -> inspect.Signature:
    """`with_options`, without those of SMAC that are not about rewards."""
    full = with_options(build)
    names = [field.name for field in fields(Options)]
    other = {name for name in names if not name.startswith("reward_") and name != "open_loop"}
    return full.replace(parameters=[entry for name, entry in full.parameters.items() if name not in other])


def with_options(build: Callable) -> inspect.Signature:
    """The signature of `build`, whose `**options` go to `make_options`, with these options by name."""
    own = [entry for entry in inspect.signature(build).parameters.values() if entry.kind is not entry.VAR_KEYWORD]
    named = inspect.Parameter.KEYWORD_ONLY
    forms = inspect.Parameter("reward", named, default="dense", annotation=RewardForm)
    options = [inspect.Parameter(f.name, named, default=f.default, annotation=f.type) for f in fields(Options)]
    return inspect.Signature([*own, forms, *options])
