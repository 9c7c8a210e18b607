"""Named defaults per algorithm: data only. A preset overrides fields of `RunConfig` and of the algorithm's config."""

import difflib
from typing import Any, NamedTuple

from envs.errors import ConfigError


class Preset(NamedTuple):
    """Overrides by field name; what is not named keeps its dataclass default."""

    run: dict[str, Any]
    algorithm: dict[str, Any]
    summary: str = ""  # one line for --list


# LIIR's published settings (Du et al. 2019, and the code they published): what AIIR-MIX's authors most likely ran.
_LIIR = {
    "mix_init": "random",  # as hypernetworks come; the paper names no other start
    "intrinsic_weight": 0.01,
    "reward_lr": 5e-4,
    "critic_others_actions": True,
    "critic_update": "per_time_index",
    "critic_target_every": 200,
    "td_lambda": 0.8,
    "time_limit": "terminate",
    "num_envs": 32,
    "rollout_length": 64,  # LIIR: 32 whole episodes a batch, about as many rows
    "epochs": 1,
    "minibatches": 1,
    "entropy": 0.0,
    "optimizer": "rmsprop",
    "lr": 5e-4,
    "critic_lr": 5e-4,
    "anneal_steps": 0,
    "value_norm": False,
    "epsilon_start": 0.5,
    "epsilon_end": 0.01,
}

_BATTLE = {"env": "smax:2s3z", "total_steps": 2_000_000}
# SMAC counts its time limit as an end. Bootstrapping past it learns 2s3z more slowly: who survives by hiding would be
# worth as much as who is still winning (greedy win rate after 0.3 M steps: 0.53 truncated, 0.59 to 0.95 terminated).
_TUNED = {"time_limit": "terminate"}

# IAC's paper evaluates over 10 episodes; its Simple World has policies of one parameter and hidden layers of 10 units.
_CONTROL = {"env": "multi_pendulum:2", "total_steps": 50_000, "eval_episodes": 10}
_SIMPLE_WORLD = Preset(
    {"env": "simple_world", "total_steps": 10_000, "eval_episodes": 10},
    {"temperature": 0.02, "squash": "none", "policy_layers": 0, "hidden_dim": 10, "heads": 2},
    "the paper's settings for Simple World",
)
_IAC = {"default": Preset(_CONTROL, {}, "the paper's tables 5 to 7"), "simple_world": _SIMPLE_WORLD}

PRESETS: dict[str, dict[str, Preset]] = {
    "aiir_mix": {
        "default": Preset(_BATTLE, _TUNED, "tuned here for sample efficiency and wall-clock"),
        "paper": Preset({**_BATTLE, "eval_every": 5000, "eval_episodes": 20}, _LIIR, "LIIR's published settings"),
        "no_intrinsic": Preset(
            _BATTLE, {**_TUNED, "reward_net": "none"}, "default without intrinsic rewards: r_total = r_ex"
        ),
    },
    **{name: _IAC for name in ("iac", "sq", "attn_qmix", "siq", "siaq", "ddpg_mix")},
}


def get_preset(algo: str, name: str, env: str | None = None) -> Preset:
    """The preset `name` of `algo`, on `env` where one is named; ConfigError lists the known ones."""
    presets = PRESETS.get(algo, {"default": Preset({}, {})})
    if name not in presets:
        near = difflib.get_close_matches(name, presets, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"unknown preset {name!r} of {algo}: {hint}known are {', '.join(sorted(presets))}")
    preset = presets[name]
    return preset if env is None else preset._replace(run={**preset.run, "env": env})
