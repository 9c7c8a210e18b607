"""Named defaults per algorithm: data only. A preset overrides fields of `RunConfig` and of the algorithm's config."""

from typing import Any, NamedTuple

from experiments.config import published


class Preset(NamedTuple):
    """Overrides by field name; the other fields have their dataclass defaults."""

    run: dict[str, Any]
    algorithm: dict[str, Any]
    summary: str = ""  # one line for --list


# LIIR's published settings (Du et al. 2019, and the code they published): what AIIR-MIX's authors most likely ran.
_LIIR = {
    "attention_temperature": 1.0,  # AIIR-MIX's eq. 10 as printed
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
# SMAC counts its time limit as an end. Bootstrapping past it learns 2s3z more slowly: an agent that survives by hiding
# would be worth as much as one that is winning (greedy win rate after 0.3 M steps: 0.53 truncated, 0.59 to 0.95
# terminated).
_TUNED = {"time_limit": "terminate"}

# Continuous actions, without memory. The discount is IAC's: with 0.99 the sparse pendulums are learned later.
_CONTROL_STEPS = {"gamma": 0.95, "num_envs": 16, "rollout_length": 128, "epochs": 10, "minibatches": 4}
_CONTROL_STEPS |= {"clip": 0.2, "value_clip": 0.0, "entropy": 0.01, "max_grad_norm": 0.5}
_PPO_CONTROL = {"actor_memory": False, "critic_memory": False, "hidden_dim": 64, "critic_dim": 64, **_CONTROL_STEPS}
_PPO_CONTROL |= {"lr": 3e-3, "critic_lr": 3e-3}
_PENDULUM = {"env": "multi_pendulum:2", "total_steps": 200_000, "eval_episodes": 10}
_MAT_CONTROL = Preset(
    _PENDULUM, {**_CONTROL_STEPS, "lr": 1e-3, "last_action": False}, "continuous actions: two pendulums"
)
_PPO_CONTROL = Preset(_PENDULUM, _PPO_CONTROL, "continuous actions: two pendulums, no memory")
# The settings that aiir_mix was tuned to, whose plain actor-critic IPPO and MAPPO resemble.
_PPO_TUNED = {
    **_TUNED,
    "hidden_dim": 64,
    "critic_dim": 64,
    "num_envs": 64,
    "rollout_length": 32,
    "clip": 0.2,
    "value_clip": 0.0,
    "entropy": 0.01,
    "lr": 2e-3,
    "critic_lr": 1e-3,
    "max_grad_norm": 10.0,
    "anneal_steps": 1_000_000,
    "anneal_to": 0.25,
}
_JAXMARL_PPO = Preset(_BATTLE, {**_TUNED, "anneal_steps": _BATTLE["total_steps"]}, "JaxMARL's settings for its SMAX")

# Adam, longer TD(lambda), four passes of the critic over each batch; actor steps, one a batch, every 512 env steps.
_COMA_TUNED = {
    **_TUNED,
    "critic_update": "epochs",
    "epochs": 4,
    "minibatches": 1,
    "target_every": 100,
    "td_lambda": 0.95,
    "num_envs": 16,
    "rollout_length": 32,
    "optimizer": "adam",
    "lr": 1e-3,
    "critic_lr": 1e-3,
    "entropy": 0.001,
    "epsilon_steps": 50_000,
}

# IAC's paper evaluates over 10 episodes; its Simple World has policies of one parameter and hidden layers of 10 units.
_CONTROL = {"env": "multi_pendulum:2", "total_steps": 50_000, "eval_episodes": 10}
_SIMPLE_WORLD = Preset(
    {"env": "simple_world", "total_steps": 10_000, "eval_episodes": 10},
    # With an initial sigma of 1, half the range of actions, unsquashed greedy actions stay between the peaks; with 0.3
    # they reach the higher one.
    {"temperature": 0.02, "sigma_init": 0.3, "policy_layers": 0, "hidden_dim": 10, "heads": 2},
    "the paper's settings for Simple World; initial sigma 0.3, which it does not state",
)
# Three sparse pendulums: 16 environments with an update every 16 steps, and 100 k uniform steps before the first.
SWING = {"warmup": 100_000, "num_envs": 16, "rollout_length": 4, "updates_per_step": 1 / 16}
# White noise meets a reward in 0.15 % of episodes, noise correlated in time (0.9) in 0.4 to 0.8 %; with 16 environments
# both learn in 600 k steps. MADDPG and MAAC have white noise alone, so where methods are compared all do.
_EXPLORE = {"noise_correlation": 0.9, **SWING}
# Predator-prey. At table 5's discount of 0.95 the critic's values run ahead of the returns (Q_tot 20 to 120 where 3 is
# true) and the predators drift out of the arena; at 0.9 they do not. Learning depends on the number of env steps, not
# on that of updates: with 32 environments an update every 32 steps gets as far per env step as one every 8.
HUNT = {"gamma": 0.9, "lr": 1e-3, "warmup": 10_000}
HUNT |= {"num_envs": 32, "rollout_length": 4, "updates_per_step": 1 / 32}
_PENDULUMS = {**_CONTROL, "env": "multi_pendulum:3", "total_steps": 600_000}
_HUNT = Preset(
    {**_CONTROL, "env": "predator_prey", "total_steps": 1_500_000, "eval_every": 20_000},
    HUNT,
    "predator-prey: discount 0.9, 32 environments",
)
# Algorithm 1 acts by the policy from the first step on.
_AS_PUBLISHED = {"warmup_actions": "policy"}
_IAC = {
    "default": Preset(_CONTROL, {}, "the paper's tables 5 to 7; the first 256 actions are uniform"),
    "paper": Preset(_CONTROL, _AS_PUBLISHED, "the paper's tables 5 to 7 and its algorithm 1"),
    "explore": Preset(_PENDULUMS, _EXPLORE, "exploration noise correlated in time, 16 environments"),
    "hunt": _HUNT,
    "simple_world": _SIMPLE_WORLD,
}

# The defaults of the other methods with continuous actions are their codes with the numbers of IAC's tables.
_BESIDE_IAC = {
    "default": Preset(
        _CONTROL, {}, "the official code with the numbers of IAC's tables 5 to 7; the first 256 actions are uniform"
    ),
    "paper": Preset(
        _CONTROL,
        _AS_PUBLISHED,
        "the official code with the numbers of IAC's tables 5 to 7, as IAC's authors compare it",
    ),
    "explore": Preset(_PENDULUMS, SWING, "longer uniform exploration, 16 environments"),
    "hunt": _HUNT,
}

# IAC's paper does not compare with these.
_WITHOUT_PAPER = {name: preset for name, preset in _BESIDE_IAC.items() if name != "paper"}

_MATRIX_GAME = {"env": "matrix_game", "total_steps": 20_000, "eval_episodes": 10}
# IAC's tables 5 and 7: feed-forward agents that learn from single transitions.
_TRANSITIONS = {"recurrent": False, "mixer_dim": 64, "gamma": 0.95, "lr": 1e-3, "optimizer": "adam"}
_TRANSITIONS |= {"batch_size": 256, "buffer_size": 20_000, "updates_per_step": 1 / 8, "warmup": 1000}
# Uniform visitation from the first update on: were the replay small at the start, chance would favour some actions.
_UNIFORM = {**_TRANSITIONS, "epsilon_start": 1.0, "epsilon_end": 1.0, "warmup": 4096}
_TABLES = Preset(_MATRIX_GAME, {**_TRANSITIONS, "epsilon_steps": 10_000}, "matrix game, the sizes of IAC's table 5")
_Q_MATRIX = {"uniform": Preset(_MATRIX_GAME, _UNIFORM, "all joint actions equally often, as for IAC's tables 2 to 4")}
_SKIRMISH = {"env": "smax:3m", "total_steps": 500_000}
# What Hu et al. 2021 (PyMARL2) found to help, and sequences that waste no row on padding. Their target is copied every
# 200 episodes, 25 updates of 8: on 2s3z after 0.3 M steps (one seed) 0.80 with 20 of these updates, 0.31 with 200.
# Many small updates: 4 sequences every 32 env steps in place of 16 every 128, as many rows (one seed). QMIX: 3m 1.00
# for 0.31 after 0.1 M steps, 8m 0.88 for 0.30 after 0.12 M, 2s3z 0.34 for 0.35 after 0.16 M. QTRAN: 3m 0.84 for 0.00
# after 0.2 M.
_Q_TUNED = {"optimizer": "adam", "lr": 1e-3, "td_lambda": 0.6, "whole_episodes": False, "batch_size": 4}
_Q_TUNED |= {"num_envs": 16, "updates_per_step": 1 / 32, "target_every": 25, "mixer_scale": 0.01}
# The return of JaxMARL's battles is at most 2, and their states are large: with scales of 1 Q_tot starts at 20, and is
# above any return when the exploration ends (3m: win rate 0.00 after 0.2 M steps; with these scales 0.56 after 0.06 M).
_Q_JAXMARL = {**_Q_TUNED, "reward_scale": 10.0}
_Q_MIXING = {
    "default": Preset(_SKIRMISH, _TUNED, "PyMARL's settings, 8 parallel environments"),
    "pymarl": Preset(_SKIRMISH, {**_TUNED, "num_envs": 1, "rollout_length": 64}, "PyMARL's settings, one environment"),
    "tuned": Preset(_SKIRMISH, {**_TUNED, **_Q_TUNED}, "Adam, TD(lambda) and batches without padding, as in PyMARL2"),
    "jaxmarl": Preset({**_SKIRMISH, "env": "jaxmarl:smax:3m"}, {**_TUNED, **_Q_JAXMARL}, "tuned for JaxMARL's SMAX"),
}

# QPLEX's published settings for StarCraft are PyMARL's; learning begins with 100 episodes, of 57 random steps on 2s3z.
_QPLEX_OFFICIAL = {**_TUNED, "num_envs": 1, "rollout_length": 64, "warmup": 6000}
_QPLEX = {
    **_Q_MIXING,
    "official": Preset(_BATTLE, _QPLEX_OFFICIAL, "settings of the official code for StarCraft"),
}

# JaxMARL's settings of pqn_vdn_rnn for its SMAX, purejaxql's too, and its options of the environment.
_PQN_OFFICIAL = {**_TUNED, "hidden_dim": 512, "norm": "batch", "norm_input": True, "reward_scale": 10.0}
_PQN_OFFICIAL |= {"num_envs": 128, "rollout_length": 128, "minibatches": 16, "lr": 2.5e-4, "anneal_steps": 10_000_000}
_PQN_OFFICIAL |= {"epsilon_end": 0.01, "epsilon_steps": 1_000_000}
# At a discount of 0.99 waiting costs so little that all agents soon hide, and no replay remembers the fights (3m, one
# seed, 64 environments x 32 rows: win rate 0.03 after 0.2 M steps). Short rollouts: more updates per env step.
_PQN = {
    "default": Preset(
        _SKIRMISH, {**_TUNED, "gamma": 0.95, "anneal_steps": 500_000}, "tuned for 3m and short trainings"
    ),
    "official": Preset(
        {"env": "jaxmarl:smax:2s3z", "total_steps": 10_000_000}, _PQN_OFFICIAL, "JaxMARL's settings for its SMAX"
    ),
}

_REWARDS = {
    "default": Preset(_BATTLE, _TUNED, "as AIIR-MIX's: tuned for sample efficiency and wall-clock time"),
    "paper": Preset({**_BATTLE, "eval_every": 5000, "eval_episodes": 20}, _LIIR, "LIIR's published settings"),
}

PRESETS: dict[str, dict[str, Preset]] = {
    "aiir_mix": {
        **_REWARDS,
        "default": Preset(_BATTLE, _TUNED, "tuned for sample efficiency and wall-clock time"),
        "no_intrinsic": Preset(
            _BATTLE, {**_TUNED, "reward_net": "none"}, "default, without intrinsic rewards: r_total = r_ex"
        ),
    },
    **{name: _REWARDS for name in ("rmix", "aiir", "liir")},
    **{name: _Q_MIXING for name in ("iql", "vdn", "qtran")},
    "qmix": {**_Q_MIXING, "matrix": _TABLES, **_Q_MATRIX},
    "qplex": _QPLEX,
    "pqn_vdn": _PQN,
    "qmixs": {"default": _TABLES, **_Q_MATRIX},
    **{
        name: {
            "default": _JAXMARL_PPO,
            "control": _PPO_CONTROL,
            "tuned": Preset(_BATTLE, _PPO_TUNED, "batches and learning rates of aiir_mix: more updates per env step"),
            "paper": Preset(
                {**_BATTLE, "total_steps": 10_000_000},
                {**published.MAPPO, **critic},
                "published settings for StarCraft (Yu et al. 2022)",
            ),
        }
        for name, critic in (("ippo", {}), ("mappo", {"critic_input": "state_and_obs"}))
    },
    "happo": {
        "default": Preset(_BATTLE, _PPO_TUNED, "the settings of mappo's preset tuned"),
        "control": _PPO_CONTROL,
        "official": Preset(
            {**_BATTLE, "total_steps": 20_000_000}, published.HARL, "settings of the official code (HARL) for SMAC"
        ),
    },
    "mat": {
        "default": Preset(_BATTLE, _TUNED, "for short trainings, not tuned"),
        "control": _MAT_CONTROL,
        "official": Preset(
            {**_BATTLE, "total_steps": 10_000_000}, published.MAT, "settings of the official code for StarCraft"
        ),
    },
    "coma": {
        "default": Preset(_BATTLE, _TUNED, "PyMARL's settings"),
        "tuned": Preset(_BATTLE, _COMA_TUNED, "Adam, critic trained on whole batches, more actor updates"),
    },
    "maddpg": {
        **_BESIDE_IAC,
        "official": Preset({**_CONTROL, "total_steps": 1_500_000}, published.MADDPG, "settings of the official code"),
    },
    "maac": {
        **_BESIDE_IAC,
        "official": Preset({**_CONTROL, "total_steps": 1_250_000}, published.MAAC, "settings of the official code"),
    },
    "facmac": {
        **_WITHOUT_PAPER,
        "official": Preset(
            {**_CONTROL, "total_steps": 2_000_000},
            published.FACMAC,
            "settings of the official code for Multi-Agent MuJoCo",
        ),
    },
    "masac": {
        **_WITHOUT_PAPER,
        "default": Preset(_CONTROL, {}, "the numbers of IAC's tables 5 to 7; the first 256 actions are uniform"),
    },
    "hasac": {
        **_WITHOUT_PAPER,
        "official": Preset(
            {**_CONTROL, "total_steps": 10_000_000},
            published.HASAC,
            "settings of the official code for HalfCheetah-v2 2x3",
        ),
    },
    **{name: _IAC for name in ("iac", "sq", "attn_qmix", "siq", "siaq", "ddpg_mix")},
}
