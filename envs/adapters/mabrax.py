"""JaxMARL's MABrax: `mabrax:halfcheetah_6x1`, ... A robot of brax whose joints are shared out among agents.

All agents get the robot's reward. An agent observes the numbers of brax's observation that `agent_obs_mapping` names,
and sets the joints that `agent_action_mapping` names; both are JaxMARL's unless given. The state is brax's whole
observation. A fall terminates (ant, hopper, humanoid, walker2d); `episode_length`, in steps of brax, truncates.
"""

import contextlib
import inspect
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from envs.adapters.common import Adapted, flat, package, taking
from envs.base import ActionSpec, ConfigError, Environment, EnvSpec, TimeStep, vectorize
from envs.errors import in_one_line

ROBOTS = {  # -> module and class in brax.envs
    "ant": ("ant", "Ant"),
    "halfcheetah": ("half_cheetah", "Halfcheetah"),
    "hopper": ("hopper", "Hopper"),
    "humanoid": ("humanoid", "Humanoid"),
    "walker2d": ("walker2d", "Walker2d"),
}
BACKENDS = ("spring", "positional", "generalized", "mjx")  # the first is the default; JaxMARL's is the second
MAPPINGS = ("agent_obs_mapping", "agent_action_mapping")
OPTIONS = {"episode_length": int, "action_repeat": int, "homogenisation_method": str | None, "backend": str}
OPTIONS |= dict.fromkeys(MAPPINGS, Any)
INSTALL = 'pip install "iacjax[mabrax]"'


@dataclass(frozen=True)
class Robot(Adapted):
    """The environment of one robot. `theirs` is JaxMARL's."""

    theirs: Any


def mabrax_env(member: str) -> Callable[..., Environment]:
    """A function that builds `mabrax:member` from options given by keyword: those of JaxMARL's class, except
    `auto_reset`, and those of brax's class.

    Raises:
      ConfigError: brax is not installed, or does not work with the installed jax.
    """
    _packages()
    module, robot = ROBOTS[member.partition("_")[0]]
    parameters = inspect.signature(getattr(package(f"brax.envs.{module}"), robot)).parameters.values()
    kinds = {bool: bool, int: float, float: float, tuple: list[float]}
    options = {p.name: kinds[type(p.default)] for p in parameters if type(p.default) in kinds}
    return taking(partial(_build, member), options | OPTIONS)


def _packages() -> ModuleType:
    """JaxMARL's module, which needs brax."""
    if find_spec("brax") is None:
        raise ConfigError(f"mabrax: its physics are those of brax, which is not installed: {INSTALL}")
    try:
        return package("jaxmarl.environments.mabrax.mabrax_env")
    except Exception as error:  # what a new jax no longer has may be missing in any way
        raise ConfigError(_disagreement(error)) from error


def _disagreement(error: Exception) -> str:
    installed = f"brax {version('brax')} does not work with jax {jax.__version__}"
    return f"mabrax: {installed} ({in_one_line(error)}): {INSTALL} installs versions that do"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without MuJoCo's warnings about brax's model files, which it also appends to a file in the working directory."""
    mujoco = package("mujoco")
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda text: None)
    try:
        with warnings.catch_warnings():  # brax's about its own future
            warnings.simplefilter("ignore")
            yield
    finally:
        mujoco.set_mju_user_warning(before)


def _build(member: str, **options) -> Environment:
    name = f"mabrax:{member}"
    _check_options(name, options)
    options |= {key: _indices(name, key, options[key]) for key in MAPPINGS if options.get(key) is not None}
    try:
        with _quiet():
            theirs = _packages().MABraxEnv(member, auto_reset=False, **{"backend": BACKENDS[0]} | options)
            view = _View(theirs)
    except ConfigError:
        raise
    except Exception as error:
        if options:
            raise
        raise ConfigError(_disagreement(error)) from error
    _check_mappings(name, theirs, view.state_dim, [key for key in MAPPINGS if options.get(key) is not None])
    horizon = -(-theirs.episode_length // theirs.action_repeat)
    spec = EnvSpec(name, len(theirs.agents), view.obs_dim, view.state_dim, _action_spec(theirs), horizon)
    return vectorize(Robot(spec, view.open, view.move, theirs))


def _check_options(name: str, options: dict[str, Any]) -> None:
    for key in ("episode_length", "action_repeat"):
        if options.get(key, 1) < 1:
            raise ConfigError(f"{name}: {key} is {options[key]}, give at least 1")
    for key, known in (("homogenisation_method", (None, "max", "concat")), ("backend", BACKENDS)):
        if options.get(key, known[0]) not in known:
            raise ConfigError(f"{name}: {key} is {options[key]!r}: give one of {', '.join(map(str, known))}")


def _indices(name: str, key: str, mapping: Any) -> dict[str, jax.Array]:
    """{"agent_0": [0, 1], ...} -> the same with int32 arrays."""
    if not isinstance(mapping, dict) or len(mapping) < 1:
        raise ConfigError(f"{name}: {key}: give the numbers of each agent, e.g. {{'agent_0': [0, 1], 'agent_1': [2]}}")
    for agent, numbers in mapping.items():
        whole = isinstance(numbers, list | tuple) and numbers and all(type(n) is int and n >= 0 for n in numbers)
        if not isinstance(agent, str) or not whole:
            raise ConfigError(f"{name}: {key}: {agent!r} has {numbers!r}, give it a list of whole numbers from 0")
    return {agent: jnp.array(numbers, jnp.int32) for agent, numbers in mapping.items()}


def _check_mappings(name: str, theirs: Any, obs_size: int, given: list[str]) -> None:
    """JaxMARL's own mappings are taken as they are."""
    agents = [set(getattr(theirs, key)) for key in MAPPINGS]
    if agents[0] != agents[1]:
        raise ConfigError(f"{name}: {' and '.join(MAPPINGS)} name different agents: {sorted(agents[0] ^ agents[1])}")
    for key, size in zip(MAPPINGS, (obs_size, theirs.env.action_size), strict=True):
        largest = max(int(numbers.max()) for numbers in getattr(theirs, key).values())
        if key in given and largest >= size:
            raise ConfigError(f"{name}: {key} names number {largest}, there are {size}, counted from 0")


class _View:
    """JaxMARL's environment in terms of our contract: its dicts become arrays with an agent axis."""

    def __init__(self, theirs: Any):
        self.theirs = theirs
        self.sizes = [int(theirs.action_spaces[agent].shape[0]) for agent in theirs.agents]
        obs, inner = jax.eval_shape(theirs.reset, jax.random.key(0))
        self.obs_dim, self.state_dim = max(row.shape[0] for row in obs.values()), inner.obs.shape[0]

    def open(self, key: jax.Array) -> tuple[Any, TimeStep]:
        obs, inner = self.theirs.reset(key)
        return inner, self._show(obs, inner, jnp.bool_(False), jnp.bool_(False))

    def move(self, key: jax.Array, before: Any, action: jax.Array) -> tuple[Any, TimeStep]:
        """Brax's `truncation` is set if the time is up and the robot has not fallen in the same step."""
        agents = zip(self.theirs.agents, self.sizes, strict=True)
        given = {agent: action[i, :size] for i, (agent, size) in enumerate(agents)}
        obs, inner, _, ends, _ = self.theirs.step_env(key, before, given)
        truncated = inner.info["truncation"] > 0
        return inner, self._show(obs, inner, ends["__all__"] & ~truncated, truncated)

    def _show(self, obs: dict, inner: Any, terminated: jax.Array, truncated: jax.Array) -> TimeStep:
        agents = self.theirs.agents
        return TimeStep(
            obs=jnp.stack([flat(obs[agent], self.obs_dim) for agent in agents]),
            state=flat(inner.obs),
            avail=jnp.ones((len(agents), 0), bool),
            alive=jnp.ones(len(agents), bool),
            reward=jnp.asarray(inner.reward, jnp.float32),
            terminated=terminated,
            truncated=truncated,
            info={},
        )


def _action_spec(theirs: Any) -> ActionSpec:
    """[-1, 1] for each joint. Masked: padding, and with `concat` the joints of the other agents."""
    dim = max(int(space.shape[0]) for space in theirs.action_spaces.values())
    mask = np.zeros((len(theirs.agents), dim), bool)
    for row, agent in zip(mask, theirs.agents, strict=True):
        joints = np.asarray(theirs.agent_action_mapping[agent])
        row[joints if theirs.homogenisation_method == "concat" else slice(len(joints))] = True
    return ActionSpec(dim=dim, mask=None if mask.all() else tuple(tuple(map(bool, row)) for row in mask))
