"""The networks of JaxMARL's scripts, acting greedily behind the interface that our evaluator calls."""

import types
from collections.abc import Callable
from typing import Any, NamedTuple


class ScriptNetwork(NamedTuple):
    """How a script's agents are made and applied.

    N agents of E environments are one batch axis: memory f[E x N, H], obs f[1, E x N, O], dead b[1, E x N], avail
    f[1, E x N, A].
    """

    make: Callable[[types.ModuleType, dict[str, Any], int], Any]  # (script, configuration, actions) -> network
    apply: Callable[
        ..., tuple[Any, Any]
    ]  # (network, params, memory, obs, dead, avail) -> (memory, values f[1, ExN, A])
    size: str  # the configuration's entry of H
    with_id: bool  # agents read their id too, and zeros once dead, as the rollout manager `CTRolloutManager` gives them


def _actor(network: Any, params: Any, memory: Any, obs: Any, dead: Any, avail: Any) -> tuple[Any, Any]:
    memory, policy, *_ = network.apply(params, memory, (obs, dead, avail))  # IPPO's value comes third
    return memory, policy.logits


def _values(network: Any, params: Any, memory: Any, obs: Any, dead: Any, avail: Any) -> tuple[Any, Any]:
    return network.apply(params, memory, obs, dead)


def _pqn(module: types.ModuleType, config: dict[str, Any], num_actions: int) -> Any:
    return module.QNetwork(
        num_actions,
        hidden_size=config["HIDDEN_SIZE"],
        num_layers=config["NUM_LAYERS"],
        norm_input=config.get("NORM_INPUT", False),
        norm_type=config["NORM_TYPE"],
        dueling=config.get("DUELING", False),
    )


def _replay(module: types.ModuleType, config: dict[str, Any], num_actions: int) -> Any:
    return module.RNNQNetwork(num_actions, config["HIDDEN_SIZE"])


NETWORKS = {
    "ippo": ScriptNetwork(lambda module, config, n: module.ActorCriticRNN(n, config=config), _actor, "GRU_HIDDEN_DIM",
                          False),
    "mappo": ScriptNetwork(lambda module, config, n: module.ActorRNN(n, config=config), _actor, "GRU_HIDDEN_DIM",
                           False),
    "qmix": ScriptNetwork(_replay, _values, "HIDDEN_SIZE", True),
    "vdn": ScriptNetwork(_replay, _values, "HIDDEN_SIZE", True),
    "pqn_vdn": ScriptNetwork(_pqn, _values, "HIDDEN_SIZE", True),
}  # fmt: skip


def script_policy(algo: str, module: types.ModuleType, config: dict[str, Any], spec: Any) -> types.SimpleNamespace:
    """The script's own network; dead agents have their memory reset, as in the scripts.

    Args:
      algo: a key of `NETWORKS`.
      module: the script.
      config: its configuration.
      spec: of the environment.
    """
    import jax.numpy as jnp

    form = NETWORKS[algo]
    network, hidden_dim = form.make(module, config, spec.action.num_actions), config[form.size]

    def act(params, memory, timestep, first, key, clock, explore):
        num_envs, agents = timestep.alive.shape
        obs, dead = timestep.obs, (~timestep.alive | first[:, None]).reshape(1, -1)
        if form.with_id:
            identity = jnp.broadcast_to(jnp.eye(agents), (num_envs, agents, agents))
            obs = jnp.where(timestep.alive[..., None], jnp.concatenate([obs, identity], -1), 0.0)
        obs, avail = obs.reshape(1, num_envs * agents, -1), timestep.avail.reshape(1, num_envs * agents, -1)
        memory, values = form.apply(network, params, memory, obs, dead, avail.astype(jnp.float32))
        action = jnp.where(avail, values, -jnp.inf).argmax(-1)
        return memory, action.reshape(num_envs, agents).astype(jnp.int32), ()

    return types.SimpleNamespace(carry=lambda num_envs: jnp.zeros((num_envs * spec.num_agents, hidden_dim)), act=act)
