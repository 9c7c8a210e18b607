# What type checkers and editors read: `__init__.py` imports each of these on first use.
from envs.errors import ConfigError as ConfigError
from experiments.api import TrainResult as TrainResult
from experiments.api import evaluate as evaluate
from experiments.api import make as make
from experiments.api import train as train
from iacjax.algorithms.registry import make_algorithm as make_algorithm
from iacjax.policy import Policy as Policy
from iacjax.policy import load_policy as load_policy
from iacjax.trainer import make_trainer as make_trainer
