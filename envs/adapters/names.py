"""The names of what the adapters can build. No jax here, nor the packages, so that a wrong name is reported at once."""

SMAX_SCENARIOS = (
    *("3m", "8m", "25m", "2s3z", "3s5z", "5m_vs_6m", "10m_vs_11m", "27m_vs_30m"),
    *("3s5z_vs_3s6z", "3s_vs_5z", "6h_vs_8z", "smacv2_5_units", "smacv2_10_units", "smacv2_20_units"),
)

JAXMARL = (
    *(f"smax:{scenario}" for scenario in SMAX_SCENARIOS),
    *("MPE_simple_v3", "MPE_simple_spread_v3", "MPE_simple_reference_v3", "MPE_simple_speaker_listener_v4"),
    *("MPE_simple_facmac_v1", "MPE_simple_facmac_3a_v1", "MPE_simple_facmac_6a_v1", "MPE_simple_facmac_9a_v1"),
    *("overcooked", "overcooked_v2", "hanabi", "switch_riddle"),
)

MABRAX = ("ant_4x2", "halfcheetah_6x1", "hopper_3x1", "humanoid_9|8", "walker2d_2x3")

_TEAMS = "its teams play against each other, so there is no common reward"
_SELFISH = "its agents have individual goals, not a common reward"
JAXMARL_REFUSED = {
    **dict.fromkeys(("MPE_simple_tag_v3", "MPE_simple_world_comm_v3", "MPE_simple_crypto_v3"), _TEAMS),
    **dict.fromkeys(("MPE_simple_push_v3", "MPE_simple_adversary_v3"), _TEAMS),
    **dict.fromkeys(("SMAX", "HeuristicEnemySMAX"), "name the scenario: e.g. 'jaxmarl:smax:2s3z'"),
    "LearnedPolicyEnemySMAX": "its enemy is a network that you pass to JaxMARL in Python",
    **dict.fromkeys(("storm", "storm_2p", "storm_np", "coin_game", "jaxnav"), _SELFISH),
    **{robot: f"its name is 'mabrax:{robot}'" for robot in MABRAX},
}

# The literature's sizes: grid, players, foods (2s: they see 2 cells far; coop: all must lift each food together), and
# warehouse, agents (easy: twice as many requested shelves).
FORAGING = ("8x8-2p-2f-coop", "2s-8x8-2p-2f-coop", "10x10-3p-3f", "15x15-3p-5f", "15x15-4p-3f", "15x15-4p-5f")
WAREHOUSES = ("tiny-2ag", "tiny-2ag-easy", "tiny-4ag", "tiny-4ag-easy", "small-4ag", "small-4ag-easy")
JUMANJI = (
    *("LevelBasedForaging-v0", "RobotWarehouse-v0", "Connector-v3", "Cleaner-v0", "SearchAndRescue-v0"),
    *(f"LevelBasedForaging-{size}" for size in FORAGING),
    *(f"RobotWarehouse-{size}" for size in WAREHOUSES),
)

GYMNAX = (
    *("CartPole-v1", "Pendulum-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0"),
    *("Asterix-MinAtar", "Breakout-MinAtar", "Freeway-MinAtar", "Seaquest-MinAtar", "SpaceInvaders-MinAtar"),
    *("Catch-bsuite", "DeepSea-bsuite", "MemoryChain-bsuite", "UmbrellaChain-bsuite", "DiscountingChain-bsuite"),
    *("SimpleBandit-bsuite", "FourRooms-misc", "MetaMaze-misc", "PointRobot-misc", "BernoulliBandit-misc"),
    *("GaussianBandit-misc", "Reacher-misc", "Swimmer-misc", "Pong-misc", "FrozenLake-misc"),
)
