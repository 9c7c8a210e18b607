"""Trained policies on disk: what `act` reads and nothing else, one file a seed, loadable without the run's code.

A policy directory holds `policy.json` (algorithm, config, environment spec, seeds) and `seed_<seed>.npz`
(the leaves of the policy's parameters by path).
"""

import dataclasses
import json
import pathlib
import zipfile
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs.base import ActionSpec, ConfigError, EnvSpec, TimeStep
from iacjax.types import Algorithm, Carry, Clock, PolicyParams


class Policy(NamedTuple):
    """A loaded policy; `params[k]` are those of `seeds[k]`.

    `act` plays greedily: `carry = policy.carry(num_envs)`, then
    `carry, action = policy.act(carry, timestep, first, seed_index)` once a step; leading axis E everywhere.
    """

    algo: str
    config: Any
    spec: EnvSpec
    seeds: tuple[int, ...]
    algorithm: Algorithm
    params: tuple[PolicyParams, ...]
    env_options: tuple[str, ...] = ()  # what the environment was made with beside its name, as KEY=VALUE

    def carry(self, num_envs: int) -> Carry:
        return self.algorithm.carry(num_envs)

    def act(self, carry: Carry, timestep: TimeStep, first: jax.Array, seed_index: int = 0):
        """Greedy actions int32[E, A] (or f32[E, A, D]) for `timestep`; `first` is bool[E]."""
        clock = Clock(jnp.int32(0), jnp.int32(0))
        params = self.params[seed_index]
        carry, action, _ = self.algorithm.act(params, carry, timestep, first, jax.random.key(0), clock, explore=False)
        return carry, action


def _paths(tree: Any) -> list[str]:
    return [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_flatten_with_path(tree)[0]]


def save_policy(
    directory: pathlib.Path,
    algo: str,
    config: Any,
    spec: EnvSpec,
    seeds: tuple[int, ...],
    params: PolicyParams,
    env_options: tuple[str, ...] = (),
) -> None:
    """Writes a policy directory; the leaves of `params` have the seeds in front.

    Seeds that stand there already, of the same algorithm, config and environment, stay: groups of seeds of one run
    are saved one after the other.
    """
    directory.mkdir(parents=True, exist_ok=True)
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(params)]
    for k, seed in enumerate(seeds):
        arrays = {path: leaf[k] for path, leaf in zip(_paths(params), leaves, strict=True)}
        partial = directory / f"seed_{seed}.npz.part"
        with partial.open("wb") as file:
            np.savez(file, **arrays)
        partial.replace(directory / f"seed_{seed}.npz")
    spec_dict = {**spec._asdict(), "action": spec.action._asdict()}
    card = {"algo": algo, "config": dataclasses.asdict(config), "spec": spec_dict, "env_options": env_options}
    card["seeds"] = sorted({*seeds, *_saved_seeds(directory / "policy.json", card, config)})
    partial = directory / "policy.json.part"
    partial.write_text(json.dumps(card, indent=1))
    partial.replace(directory / "policy.json")


def _saved_seeds(file: pathlib.Path, card: dict, config: Any) -> list[int]:
    """The seeds that `file` names, if it is of the same policy as `card` otherwise."""
    if not file.exists():
        return []
    saved = json.loads(file.read_text())
    seeds = saved.pop("seeds")
    saved.setdefault("env_options", [])  # younger than some policies
    saved["config"] = {**getattr(config, "added", {}), **saved.get("config", {})}  # as are these
    return seeds if saved == json.loads(json.dumps(card)) else []


def load_policy(run_dir: str | pathlib.Path) -> Policy:
    """Loads the policies of a run (its directory, or the `policy` directory inside it).

    Raises:
      ConfigError: there is no policy, or its files do not fit the algorithm that they name.
    """
    from iacjax.algorithms import config_of_saved, get_entry

    directory = pathlib.Path(run_dir)
    if (directory / "policy").is_dir():
        directory = directory / "policy"
    try:
        card = json.loads((directory / "policy.json").read_text())
        entry = get_entry(card["algo"])
        config = config_of_saved(card["algo"], card["config"])
        action = card["spec"].pop("action")
        mask = action.pop("mask")
        action["mask"] = None if mask is None else tuple(tuple(row) for row in mask)
        spec = EnvSpec(**card["spec"], action=ActionSpec(**action))
        seeds, env_options = tuple(card["seeds"]), tuple(card.get("env_options", ()))
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(f"no policy in {run_dir}: give the directory of a run that has trained") from None
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{directory / 'policy.json'} cannot be read ({error})") from None
    algorithm = entry.make(spec, config)
    shapes = jax.eval_shape(lambda key: algorithm.policy(algorithm.init(key)), jax.random.key(0))
    params = tuple(_load_params(directory / f"seed_{seed}.npz", shapes) for seed in seeds)
    return Policy(card["algo"], config, spec, seeds, algorithm, params, env_options)


def _load_params(file: pathlib.Path, shapes: Any) -> PolicyParams:
    try:
        with np.load(file) as arrays:
            leaves = [jnp.asarray(arrays[path]) for path in _paths(shapes)]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{file} is not a policy of this algorithm ({error})") from None
    if [x.shape for x in leaves] != [x.shape for x in jax.tree.leaves(shapes)]:
        raise ConfigError(f"{file} has parameters of other sizes than its config says")
    return jax.tree.unflatten(jax.tree.structure(shapes), leaves)
