"""The registry: one row for each algorithm. A new one needs its config, its learner, a row here, presets and tests.

Neither the registry nor the configs import jax: `--help` and a wrong command line are answered at once.
"""

import dataclasses
import difflib
from typing import TYPE_CHECKING, Any

from envs.errors import ConfigError
from iacjax.algorithms.coma.config import ComaConfig
from iacjax.algorithms.common.config import AlgorithmConfig, check_config
from iacjax.algorithms.common.entry import Entry
from iacjax.algorithms.facmac.config import FacmacConfig
from iacjax.algorithms.iac.config import AttnQmixConfig, DdpgMixConfig, IacConfig, SiaqConfig, SiqConfig, SqConfig
from iacjax.algorithms.intrinsic.config import AiirConfig, AiirMixConfig, LiirConfig, RmixConfig
from iacjax.algorithms.maac.config import MaacConfig
from iacjax.algorithms.maddpg.config import MaddpgConfig
from iacjax.algorithms.masac.config import HasacConfig, MasacConfig
from iacjax.algorithms.ppo.config import HappoConfig, IppoConfig, MappoConfig, MatConfig
from iacjax.algorithms.q_learning.config import IqlConfig, QmixConfig, QmixsConfig, QplexConfig, QtranConfig, VdnConfig
from iacjax.algorithms.q_learning.pqn_config import PqnVdnConfig

if TYPE_CHECKING:
    from envs.base import Environment, EnvSpec
    from iacjax.types import Algorithm

RECURRENT = {"discrete": True, "recurrent": True}
EITHER_ACTIONS = {**RECURRENT, "continuous": True}
JOINT = {"discrete": True, "centralised": True}

# In the order of --list and of the figures' legends: a paper's methods stand together, its own first.
ALGORITHMS: dict[str, Entry] = {
    "aiir_mix": Entry(
        "AIIR-MIX",
        AiirMixConfig,
        "iacjax.algorithms.intrinsic.learner:make",
        "individual intrinsic rewards by attention, mixed non-linearly with the team's, by meta-gradient",
        colour="#2f6fde",
        **RECURRENT,
    ),
    "rmix": Entry(
        "RMIX",
        RmixConfig,
        "iacjax.algorithms.intrinsic.learner:make",
        "AIIR-MIX with LIIR's reward net instead of attention",
        colour="#0f9bb0",
        **RECURRENT,
    ),
    "aiir": Entry(
        "AIIR",
        AiirConfig,
        "iacjax.algorithms.intrinsic.learner:make",
        "AIIR-MIX with a linear combination of the rewards instead of its mixing",
        colour="#8e4ec6",
        **RECURRENT,
    ),
    "liir": Entry(
        "LIIR",
        LiirConfig,
        "iacjax.algorithms.intrinsic.learner:make",
        "learned individual rewards added to the team's, by meta-gradient",
        colour="#e4572e",
        **RECURRENT,
    ),
    "qmix": Entry(
        "QMIX",
        QmixConfig,
        "iacjax.algorithms.q_learning.learner:make",
        "Q-learning, the agents' values mixed monotonically into the team's",
        colour="#2a9d62",
        **RECURRENT,
    ),
    "qtran": Entry(
        "QTRAN",
        QtranConfig,
        "iacjax.algorithms.q_learning.qtran:make",
        "Q-learning, an unrestricted joint value, and agents' values with the same best action",
        colour="#d69e2e",
        **RECURRENT,
    ),
    "qplex": Entry(
        "QPLEX",
        QplexConfig,
        "iacjax.algorithms.q_learning.qplex:make",
        "Q-learning, a duplex duelling mixer: any value whose best action is the agents'",
        colour="#00796b",
        **RECURRENT,
    ),
    "coma": Entry(
        "COMA",
        ComaConfig,
        "iacjax.algorithms.coma.learner:make",
        "policy gradients with a counterfactual baseline, the value of an agent's other actions",
        colour="#c2417c",
        **RECURRENT,
    ),
    "ippo": Entry(
        "IPPO",
        IppoConfig,
        "iacjax.algorithms.ppo.learner:make",
        "clipped policy gradients, each agent's critic on its own observations",
        colour="#6b7280",
        **EITHER_ACTIONS,
    ),
    "mappo": Entry(
        "MAPPO",
        MappoConfig,
        "iacjax.algorithms.ppo.learner:make",
        "clipped policy gradients, a critic on the state",
        colour="#111827",
        **EITHER_ACTIONS,
    ),
    "happo": Entry(
        "HAPPO",
        HappoConfig,
        "iacjax.algorithms.ppo.happo:make",
        "MAPPO whose agents, with parameters of their own, learn one after the other",
        colour="#b45309",
        **EITHER_ACTIONS,
    ),
    "mat": Entry(
        "MAT",
        MatConfig,
        "iacjax.algorithms.ppo.mat:make",
        "PPO of a transformer: agents act one after the other, knowing the actions of those before",
        colour="#0369a1",
        **JOINT,
        continuous=True,
    ),
    "vdn": Entry(
        "VDN",
        VdnConfig,
        "iacjax.algorithms.q_learning.learner:make",
        "Q-learning, the team's value the sum of the agents'",
        colour="#9cb53a",
        **RECURRENT,
    ),
    "iql": Entry(
        "IQL",
        IqlConfig,
        "iacjax.algorithms.q_learning.learner:make",
        "Q-learning, each agent independently",
        colour="#8a5a2b",
        **RECURRENT,
    ),
    "pqn_vdn": Entry(
        "PQN-VDN",
        PqnVdnConfig,
        "iacjax.algorithms.q_learning.pqn:make",
        "Q(lambda) on the newest rollout, normalised layers instead of a replay and target networks",
        colour="#b5651d",
        **RECURRENT,
    ),
    "qmixs": Entry(
        "QMIXs",
        QmixsConfig,
        "iacjax.algorithms.q_learning.learner:make",
        "QMIX whose agents know each other's actions, small games only",
        **JOINT,
    ),
    "iac": Entry(
        "IAC",
        IacConfig,
        "iacjax.algorithms.iac.learner:make",
        "joint low-rank Gaussian policy, attention-QMIX critic",
        colour="#2f6fde",
        continuous=True,
    ),
    "siaq": Entry(
        "SIAQ",
        SiaqConfig,
        "iacjax.algorithms.iac.learner:make",
        "individual soft policies, entropies inside the mixer, IAC's critic",
        colour="#e4572e",
        continuous=True,
    ),
    "sq": Entry(
        "SQ",
        SqConfig,
        "iacjax.algorithms.iac.learner:make",
        "IAC's policy, plain QMIX critic",
        colour="#2a9d62",
        continuous=True,
    ),
    "siq": Entry(
        "SIQ",
        SiqConfig,
        "iacjax.algorithms.iac.learner:make",
        "individual soft policies, entropies inside the mixer, plain QMIX critic",
        colour="#8e4ec6",
        continuous=True,
    ),
    "attn_qmix": Entry(
        "Attn-QMIX",
        AttnQmixConfig,
        "iacjax.algorithms.iac.learner:make",
        "IAC's critic, deterministic policy",
        colour="#d69e2e",
        continuous=True,
    ),
    "ddpg_mix": Entry(
        "DDPG-MIX",
        DdpgMixConfig,
        "iacjax.algorithms.iac.learner:make",
        "deterministic policy, plain QMIX critic",
        colour="#0f9bb0",
        continuous=True,
    ),
    "maddpg": Entry(
        "MADDPG",
        MaddpgConfig,
        "iacjax.algorithms.maddpg.learner:make",
        "each agent's policy is learned through its own critic, which knows all actions",
        colour="#c2417c",
        continuous=True,
    ),
    "maac": Entry(
        "MAAC",
        MaacConfig,
        "iacjax.algorithms.maac.learner:make",
        "soft policies, one critic whose values attend to the other agents",
        colour="#6b7280",
        continuous=True,
    ),
    "facmac": Entry(
        "FACMAC",
        FacmacConfig,
        "iacjax.algorithms.facmac.learner:make",
        "deterministic policies, learned through a mix of individual critics at all agents' new actions",
        colour="#9cb53a",
        continuous=True,
    ),
    "masac": Entry(
        "MASAC",
        MasacConfig,
        "iacjax.algorithms.masac.learner:make",
        "soft policies, twin critics of the state and all actions",
        colour="#8a5a2b",
        continuous=True,
    ),
    "hasac": Entry(
        "HASAC",
        HasacConfig,
        "iacjax.algorithms.masac.learner:make",
        "MASAC, the policies updated one after the other at the others' newest actions",
        colour="#111827",
        continuous=True,
    ),
}


def get_entry(name: str) -> Entry:
    """The registry's row of `name`; ConfigError names the known ones and the nearest."""
    if name in ALGORITHMS:
        return ALGORITHMS[name]
    near = difflib.get_close_matches(name, ALGORITHMS, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ConfigError(f"unknown algorithm {name!r}: {hint}known are {', '.join(sorted(ALGORITHMS))}")


def make_algorithm(name: str, env: "Environment | EnvSpec", **fields: Any) -> "Algorithm":
    """The algorithm `name` for an environment or its spec, with these fields of its config, checked as on a command
    line. The others have the defaults of `experiments.run`.

    Raises:
      ConfigError: an unknown algorithm or field, a value that a field cannot have, fields or an action space that do
        not go together with the algorithm.
    """
    spec = getattr(env, "spec", env)
    check_fits(name, spec)
    entry = get_entry(name)
    unknown = fields.keys() - set(option_names(entry.config))
    if unknown:
        raise ConfigError(f"{name} has no field {min(unknown)}: see python -m experiments.run --algo {name} --help")
    config = entry.config(**fields)
    check_config(config)
    return entry.make(spec, config)


def config_of_saved(name: str, fields: dict[str, Any]) -> AlgorithmConfig:
    """The config of a saved run of the algorithm `name`, from the fields that were saved; see `AlgorithmConfig.added`.

    Raises:
      TypeError: fields that the config does not have.
    """
    kind = get_entry(name).config
    return kind(**{**kind.added, **fields})


def option_names(config: AlgorithmConfig | type[AlgorithmConfig]) -> list[str]:
    """The fields of a config that are options of its algorithm: all but those in `AlgorithmConfig.without`."""
    return [field.name for field in dataclasses.fields(config) if field.name not in config.without]


def check_fits(name: str, spec: "EnvSpec") -> None:
    """Raises ConfigError where the algorithm cannot handle the environment's action space."""
    kind = "discrete" if spec.action.discrete else "continuous"
    if not getattr(get_entry(name), kind):
        raise ConfigError(f"{name} cannot handle the {kind} actions of {spec.name}: choose another --env or --algo")
