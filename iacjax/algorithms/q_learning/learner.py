"""IQL, VDN, QMIX and QMIXs: one Q-learner with discrete actions; how the agents' values are mixed is the choice.

With `recurrent` the agents have a memory and learn from sequences (`recurrent.py`); without it their networks are
feed-forward and learn from single transitions (`feed_forward.py`).
"""

from envs.base import EnvSpec
from iacjax.algorithms.q_learning import feed_forward, recurrent
from iacjax.algorithms.q_learning.config import QmixConfig
from iacjax.types import Algorithm


def make(spec: EnvSpec, config: QmixConfig) -> Algorithm:
    """Builds IQL, VDN, QMIX or QMIXs, as `config` chooses.

    Raises:
      ConfigError: choices that do not go together, a replay too small for its sequences, or more joint actions than
        QMIXs can try.
    """
    return (recurrent if config.recurrent else feed_forward).make(spec, config)
