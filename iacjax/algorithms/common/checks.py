"""What the fields of the algorithms' configs may be, alone and together. No jax here: `--help` is quick.

A new number of a config gets its bounds here; tests/iacjax/test_schema.py asks for them.
"""

from typing import Any

from envs.errors import ConfigError
from iacjax.algorithms.coma import config as configs_coma
from iacjax.algorithms.iac import config as configs_continuous
from iacjax.algorithms.intrinsic import config as configs
from iacjax.algorithms.maddpg import config as configs_baselines
from iacjax.algorithms.ppo import config as configs_ppo
from iacjax.algorithms.q_learning import config as configs_q_mixing
from iacjax.schema import (
    COUNT,
    COUNT_OR_ZERO,
    FRACTION,
    MAX_STEPS,
    NOT_NEGATIVE,
    POSITIVE,
    Bounds,
    check_fields,
    up_to,
)

UNITS = up_to(65_536)
LAYERS = up_to(32)  # deeper ones take minutes to compile, and learn nothing without residual connections

_OF = {
    FRACTION: "gamma td_lambda anneal_to epsilon_start epsilon_end entropy tau",
    Bounds(0, 1, open_high=True): "noise_correlation value_norm_decay",  # at 1 the noise, the moments never change
    POSITIVE: "lr critic_lr reward_lr lookahead_lr reward_bound clip max_grad_norm critic_max_grad_norm reward_scale "
    "mixer_scale attention_temperature factor_limit factor_scale diagonal_min sigma_init sigma_min sigma_max",
    NOT_NEGATIVE: "intrinsic_weight temperature noise_scale regularisation attention_regularisation weight_decay "
    "value_clip huber_delta opt_weight nopt_weight",
    Bounds(0, 1000, open_low=True): "updates_per_step",
    UNITS: "embed_dim mix_dim hidden_dim critic_dim mixer_dim hyper_dim heads rank baseline_samples",
    LAYERS: "exploration_layers critic_layers attention_layers output_layers mixer_layers agent_layers",
    up_to(32, least=0): "policy_layers",
    up_to(10_000): "epochs",
    COUNT: "num_envs rollout_length minibatches batch_size buffer_size target_every epsilon_steps",
    COUNT_OR_ZERO: "critic_target_every anneal_steps warmup window",
}
BOUNDS: dict[str, Bounds] = {name: bounds for bounds, names in _OF.items() for name in names.split()}


def check_config(config: Any) -> None:
    """Checks a config of concrete numbers: every field, and what must go together.

    Raises:
      ConfigError: one line that names the options.
    """
    check_fields(config, BOUNDS)
    check_together(config)


def check_together(config: Any) -> None:
    """Raises ConfigError where fields, each within its bounds, make no algorithm together."""
    values = vars(config)
    if {"num_envs", "rollout_length"} <= values.keys():
        _check_rows(values)
    if {"sigma_min", "sigma_max"} <= values.keys() and not values["sigma_min"] <= values["sigma_max"]:
        raise ConfigError(f"--sigma-min {config.sigma_min} is above --sigma-max {config.sigma_max}: give a lower one")
    check_choices(config)


def _check_rows(values: dict[str, Any]) -> None:
    envs, length = values["num_envs"], values["rollout_length"]
    if envs * length > MAX_STEPS:
        raise ConfigError(
            f"--num-envs {envs} times --rollout-length {length} must be at most {MAX_STEPS} (the clock has 32 bits): "
            "lower one of them"
        )
    if "updates_per_step" in values:
        updates_per_iteration(values["updates_per_step"], envs, length)
    least = max(values.get("batch_size", 0), envs * length)
    if values.get("buffer_size", least) < least:
        raise ConfigError(
            f"--buffer-size {values['buffer_size']} is too small: give at least {least}, a batch "
            f"({values.get('batch_size', 0)}) and a rollout ({envs} environments x {length} rows)"
        )


def updates_per_iteration(updates_per_step: float, num_envs: int, rollout_length: int) -> int:
    """Whole updates after a rollout of E x T env steps.

    Raises:
      ConfigError: less than one.
    """
    updates = round(updates_per_step * num_envs * rollout_length)
    if updates < 1:
        raise ConfigError(
            f"--updates-per-step {updates_per_step} with {num_envs} environments x {rollout_length} rows makes less "
            "than one update an iteration: raise --rollout-length"
        )
    return updates


def check_choices(config: Any) -> None:
    """Raises ConfigError where words and whole numbers of a config do not go together.

    The factories call it too. It branches on no float that a sweep may trace, but for `td_lambda` of Q-learners
    without memory, which takes 0 alone.
    """
    if isinstance(config, configs.IntrinsicConfig | configs_ppo.PpoConfig):
        _check_minibatches(config)
    elif isinstance(config, configs_coma.ComaConfig):
        if config.critic_update == "epochs":
            _check_minibatches(config)
    elif isinstance(config, configs_continuous.IacConfig):
        _check_iac(config)
    elif isinstance(config, configs_baselines.MaacConfig):
        _check_heads(config)
    elif isinstance(config, configs_q_mixing.QmixConfig):
        _check_q_mixing(config)


def _check_minibatches(config: Any) -> None:
    if config.num_envs % config.minibatches:
        raise ConfigError(
            f"--minibatches must divide --num-envs {config.num_envs}, which {config.minibatches} does not"
        )


def _check_heads(config: Any) -> None:
    if config.hidden_dim % config.heads:
        raise ConfigError(f"--hidden-dim {config.hidden_dim} does not divide into {config.heads} attention --heads")


def _check_iac(config: configs_continuous.IacConfig) -> None:
    if config.entropy == "individual" and config.exploration != "individual":
        raise ConfigError("--entropy individual needs --exploration individual: the others have no density an agent")
    if config.entropy == "joint" and config.exploration == "deterministic":
        raise ConfigError("--exploration deterministic has no entropy: use --entropy none")
    if config.critic == "attention":
        _check_heads(config)


def _check_q_mixing(config: configs_q_mixing.QmixConfig) -> None:
    if isinstance(config, configs_q_mixing.QtranConfig):
        if not config.recurrent or config.others_actions:
            text = "qtran's joint value reads recurrent agents' memories: use --recurrent --no-others-actions"
            raise ConfigError(text)
    elif config.recurrent and config.others_actions:
        raise ConfigError("--others-actions has no recurrent agents: use --no-recurrent with it")
    elif config.others_actions and config.mixer == "iql":
        raise ConfigError("--mixer iql has no team value that joint actions could be chosen by: use vdn or qmix")
    if not config.recurrent and config.td_lambda:
        raise ConfigError("--td-lambda needs sequences: use --recurrent, or --td-lambda 0")
