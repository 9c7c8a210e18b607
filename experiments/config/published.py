"""The settings of published codes, of PPO's relatives and for continuous actions, by algorithm: data only."""

# Yu et al. 2022's published StarCraft settings; their epochs are 15, 10 or 5 by map. An agent's value reads the state
# and its own observations there. Their memory is trained in chunks of 10 steps, ours over the whole rollout.
MAPPO = {
    "hidden_dim": 64,
    "critic_dim": 64,
    "num_envs": 8,
    "rollout_length": 400,
    "epochs": 15,
    "minibatches": 1,
    "clip": 0.2,
    "value_clip": 0.2,
    "huber_delta": 10.0,
    "entropy": 0.01,
    "lr": 5e-4,
    "critic_lr": 5e-4,
    "max_grad_norm": 10.0,
    "time_limit": "terminate",
    "layer_norm": True,
    "value_norm_decay": 0.99999**15,  # of 15 gradient steps, an iteration's
}
# HARL's settings for SMAC (its tuned_configs/smac/3s5z/happo), where they are not MAPPO's.
HARL = {
    **MAPPO,
    "num_envs": 20,
    "rollout_length": 160,
    "epochs": 5,
    "time_limit": "truncate",  # use_proper_time_limits
    "value_norm_decay": 0.99999**5,
    "sigma_init": 0.37,  # 0.5 sigmoid(1)
}
# The official script for StarCraft, its settings for 6h_vs_8z and their code's defaults.
MAT = {
    "time_limit": "terminate",
    "num_envs": 32,
    "rollout_length": 100,
    "epochs": 15,
    "minibatches": 1,
    "clip": 0.05,
    "value_clip": 0.05,
    "huber_delta": 10.0,
    "entropy": 0.01,
    "lr": 5e-4,
    "max_grad_norm": 10.0,
    "value_norm_decay": 0.99999**15,
}
# The published codes of IAC's outside baselines, github.com/openai/maddpg and github.com/shariqiqbal2810/MAAC, and as
# many steps as they train for. MAAC makes 4 updates every 100 env steps of 12 environments: here every 12 x 8.
MADDPG = {
    "policy_layers": 2,
    "critic_layers": 2,
    "lr": 1e-2,
    "critic_lr": 1e-2,
    "batch_size": 1024,
    "buffer_size": 1_000_000,
    "target_every": 1,
    "tau": 0.01,
    "rollout_length": 100,
    "updates_per_step": 0.01,
    "warmup": 25_600,
    "warmup_actions": "policy",
}
MAAC = {
    "entropy_in_target": "undiscounted",
    "policy_gradient": "score",
    "hidden_dim": 128,
    "policy_layers": 2,
    "gamma": 0.99,
    "lr": 1e-3,
    "batch_size": 1024,
    "buffer_size": 1_000_000,
    "target_every": 1,
    "tau": 0.001,
    "num_envs": 12,
    "rollout_length": 8,
    "updates_per_step": 0.04,
    "warmup": 1024,
    "warmup_actions": "policy",
}
# The settings of github.com/oxwhirl/facmac for Multi-Agent MuJoCo, and as many steps.
FACMAC = {
    "share_networks": True,
    "hidden_dim": 400,
    "policy_layers": 2,
    "critic_layers": 2,
    "gamma": 0.99,
    "lr": 1e-3,
    "adam_eps": 0.01,
    "batch_size": 100,
    "buffer_size": 1_000_000,
    "tau": 0.001,
    "warmup": 10_000,
}
# The settings of github.com/PKU-MARL/HARL for HalfCheetah-v2 2x3, and as many steps.
HASAC = {
    "temperature": 1.0,
    "sigma_min": 2.1e-9,
    "sigma_max": 7.389,
    "hidden_dim": 256,
    "policy_layers": 2,
    "critic_layers": 2,
    "gamma": 0.99,
    "lr": 1e-3,
    "batch_size": 1000,
    "buffer_size": 1_000_000,
    "num_envs": 20,
    "rollout_length": 50,
    "updates_per_step": 0.05,
    "warmup": 10_000,
}
