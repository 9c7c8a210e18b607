"""The registry: one row an algorithm. To add one, write its factory and its config, then a row here.

Reading the registry and the configs needs no jax: `--help` and a wrong command line are answered at once.
"""

import dataclasses
import difflib
import importlib
from typing import TYPE_CHECKING, Any, NamedTuple

from envs.errors import ConfigError
from iacjax.algorithms.coma import config as configs_coma
from iacjax.algorithms.iac import config as configs_continuous
from iacjax.algorithms.intrinsic import config as configs
from iacjax.algorithms.maddpg import config as configs_baselines
from iacjax.algorithms.ppo import config as configs_ppo
from iacjax.algorithms.q_learning import config as configs_q_mixing

if TYPE_CHECKING:
    from envs.base import EnvSpec
    from iacjax.types import Algorithm


class Entry(NamedTuple):
    """`make(spec, config)` builds the algorithm; `config` is its frozen dataclass, whose defaults are the row's."""

    config: type
    factory: str  # "module:function", imported when it is first needed
    discrete: bool  # handles discrete actions
    continuous: bool  # handles continuous actions
    summary: str  # one line for --list
    recurrent: bool = False  # acts by what it remembers of an episode too

    def make(self, spec: "EnvSpec", config: Any) -> "Algorithm":
        module, function = self.factory.split(":")
        return getattr(importlib.import_module(module), function)(spec, config)


ALGORITHMS: dict[str, Entry] = {
    "aiir_mix": Entry(
        configs.AiirMixConfig,
        "iacjax.algorithms.intrinsic.learner:make",
        discrete=True,
        continuous=False,
        summary="attention-made individual intrinsic rewards, mixed non-linearly with the team's, by meta-gradient",
        recurrent=True,
    ),
    "qmix": Entry(
        configs_q_mixing.QmixConfig,
        "iacjax.algorithms.q_learning.learner:make",
        discrete=True,
        continuous=False,
        summary="Q-learning, the agents' values mixed monotonically into the team's",
        recurrent=True,
    ),
    "vdn": Entry(
        configs_q_mixing.VdnConfig,
        "iacjax.algorithms.q_learning.learner:make",
        discrete=True,
        continuous=False,
        summary="Q-learning, the team's value the sum of the agents'",
        recurrent=True,
    ),
    "iql": Entry(
        configs_q_mixing.IqlConfig,
        "iacjax.algorithms.q_learning.learner:make",
        discrete=True,
        continuous=False,
        summary="Q-learning, each agent by itself",
        recurrent=True,
    ),
    "qtran": Entry(
        configs_q_mixing.QtranConfig,
        "iacjax.algorithms.q_learning.qtran:make",
        discrete=True,
        continuous=False,
        summary="Q-learning, any joint value, and agents' values that have its best action",
        recurrent=True,
    ),
    "qmixs": Entry(
        configs_q_mixing.QmixsConfig,
        "iacjax.algorithms.q_learning.learner:make",
        discrete=True,
        continuous=False,
        summary="QMIX whose agents know each other's actions: centralised, small games only",
    ),
}
for _name, _config, _summary in (
    ("rmix", configs.RmixConfig, "AIIR-MIX with LIIR's reward net instead of attention"),
    ("aiir", configs.AiirConfig, "AIIR-MIX with a linear combination of the rewards instead of its mixing"),
    ("liir", configs.LiirConfig, "learned individual rewards added to the team's, by meta-gradient"),
):
    ALGORITHMS[_name] = Entry(
        _config,
        "iacjax.algorithms.intrinsic.learner:make",
        discrete=True,
        continuous=False,
        summary=_summary,
        recurrent=True,
    )
for _name, _config, _summary in (
    ("ippo", configs_ppo.IppoConfig, "clipped policy gradients, each agent's critic on its own observations"),
    ("mappo", configs_ppo.MappoConfig, "clipped policy gradients, a critic on the state"),
):
    ALGORITHMS[_name] = Entry(
        _config, "iacjax.algorithms.ppo.learner:make", discrete=True, continuous=False, summary=_summary, recurrent=True
    )
ALGORITHMS["coma"] = Entry(
    configs_coma.ComaConfig,
    "iacjax.algorithms.coma.learner:make",
    discrete=True,
    continuous=False,
    summary="policy gradients against what an agent's other actions would have been worth",
    recurrent=True,
)
for _name, _config, _summary in (
    ("iac", configs_continuous.IacConfig, "joint low-rank Gaussian policy, attention-QMIX critic"),
    ("sq", configs_continuous.SqConfig, "IAC's policy, plain QMIX critic"),
    ("attn_qmix", configs_continuous.AttnQmixConfig, "IAC's critic, deterministic policy"),
    ("siq", configs_continuous.SiqConfig, "individual soft policies, entropies inside the mixer, plain QMIX critic"),
    ("siaq", configs_continuous.SiaqConfig, "individual soft policies, entropies inside the mixer, IAC's critic"),
    ("ddpg_mix", configs_continuous.DdpgMixConfig, "deterministic policy, plain QMIX critic"),
):
    ALGORITHMS[_name] = Entry(
        _config, "iacjax.algorithms.iac.learner:make", discrete=False, continuous=True, summary=_summary
    )
for _name, _config, _summary in (
    ("maddpg", configs_baselines.MaddpgConfig, "policies learned through a critic an agent that knows all actions"),
    ("maac", configs_baselines.MaacConfig, "soft policies, one critic whose values attend to the other agents"),
):
    ALGORITHMS[_name] = Entry(
        _config, f"iacjax.algorithms.{_name}.learner:make", discrete=False, continuous=True, summary=_summary
    )


def get_entry(name: str) -> Entry:
    """The registry's row of `name`; ConfigError names the known ones and the nearest."""
    if name in ALGORITHMS:
        return ALGORITHMS[name]
    near = difflib.get_close_matches(name, ALGORITHMS, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ConfigError(f"unknown algorithm {name!r}: {hint}known are {', '.join(sorted(ALGORITHMS))}")


def config_of_saved(name: str, fields: dict[str, Any]) -> Any:
    """The config of a saved run of the algorithm `name`, given the fields that were saved.

    A config class names in `added` the fields that saved runs may be older than, each with the value that such a run
    was trained by, which need not be today's default.

    Raises:
      TypeError: fields that the config does not have.
    """
    kind = get_entry(name).config
    return kind(**{**getattr(kind, "added", {}), **fields})


def option_names(config: Any) -> list[str]:
    """The fields of a config that are options of its algorithm: all but those that its class names in `without`.

    They are there since the algorithm shares its config with others, and saved runs have them; what makes it this
    algorithm is fixed, and the rest has no effect beside that.
    """
    without = getattr(config, "without", ())
    return [field.name for field in dataclasses.fields(config) if field.name not in without]


def check_fits(name: str, spec: "EnvSpec") -> None:
    """Raises ConfigError where the algorithm cannot handle the environment's action space."""
    entry = get_entry(name)
    if not (entry.discrete if spec.action.discrete else entry.continuous):
        kind = "discrete" if spec.action.discrete else "continuous"
        raise ConfigError(f"{name} cannot handle the {kind} actions of {spec.name}: choose another --env or --algo")
