"""Trained policies on disk: the actor parameters alone, one file for each seed, loadable without the run's code.

A policy directory holds `policy.json` (algorithm, config, environment spec, seeds, digests of all files) and
`seed_<seed>.npz` (the leaves of the policy's parameters by path).
"""

import dataclasses
import io
import json
import pathlib
import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs.base import ActionSpec, ConfigError, EnvSpec, TimeStep
from iacjax.digests import KEY, digest, is_as_signed, sign
from iacjax.pretrained import resolve
from iacjax.types import Algorithm, Carry, Clock, PolicyParams

RESTORE = "restore it from a copy, or continue the run with --resume, which saves it again"


class Policy(NamedTuple):
    """A loaded policy; `params[k]` are those of `seeds[k]`.

    `act` plays greedily: `carry = policy.carry(num_envs)`, then
    `carry, action = policy.act(carry, timestep, first, seed_index)` once a step; leading axis E everywhere. An agent's
    action depends on its own observations, or, where the policy is `centralised`, on those of all agents: then one
    process must act for the whole team.
    """

    algo: str
    config: Any
    spec: EnvSpec
    seeds: tuple[int, ...]
    algorithm: Algorithm
    params: tuple[PolicyParams, ...]
    env_options: tuple[str, ...] = ()  # the environment's options, as KEY=VALUE

    @property
    def centralised(self) -> bool:
        """Whether an agent's action depends on other agents' observations."""
        from iacjax.algorithms.registry import get_entry

        return get_entry(self.algo).centralised

    def carry(self, num_envs: int) -> Carry:
        return self.algorithm.carry(num_envs)

    def act(self, carry: Carry, timestep: TimeStep, first: jax.Array, seed_index: int = 0):
        """Greedy actions int32[E, A] (or f32[E, A, D]) for `timestep`; `first` is bool[E]."""
        clock = Clock(jnp.int32(0), jnp.int32(0))
        params = self.params[seed_index]
        carry, action, _ = self.algorithm.act(params, carry, timestep, first, jax.random.key(0), clock, explore=False)
        return carry, action

    def to_numpy(self, path: str | pathlib.Path | None = None, seed_index: int = 0) -> Any:
        """The greedy policy of one seed with NumPy alone: an object with `carry` and `act`, for arrays of NumPy.

        Args:
          path: of one Python file (policy_np.py) to write, which needs Python 3.8 and NumPy 1.17; None: no file.

        Raises:
          ConfigError: the policy cannot be exported, for instance for a primitive without a rule, which it names.
        """
        from iacjax.export import numpy_file

        source = numpy_file.source_of(self, seed_index)
        if path is not None:
            _write(pathlib.Path(path), source.encode())
        return numpy_file.load(source)

    def export(self, path: str | pathlib.Path, seed_index: int = 0) -> None:
        """Writes the greedy policy of one seed as an ONNX model. Needs the extra `export`.

        Inputs: obs f32[E, A, O], avail bool[E, A, U] (discrete actions), first bool[E], and the parts of the carry by
        name; outputs: action, and each part of the next carry as `next_NAME`. Where `first` is True the carry is reset.

        Raises:
          ConfigError: the extra is not installed, or the policy cannot be exported.
        """
        from iacjax.export.onnx_model import model_of

        _write(pathlib.Path(path), model_of(self, seed_index))


def _write(path: pathlib.Path, data: bytes) -> None:
    """Writes `data` whole or not at all."""
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(data)
    partial.replace(path)


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

    Seeds that are there already, of the same algorithm, config and environment, stay: batches of seeds of one run are
    saved one after the other. policy.json holds the digests of each file's old and new content before the new one is
    moved into place, so that a process that is killed in between leaves a policy that can be loaded.
    """
    directory.mkdir(exist_ok=True)  # without parents: a run's directory that was moved away is not made again
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(params)]
    spec_dict = {**spec._asdict(), "action": spec.action._asdict()}
    card = {"algo": algo, "config": dataclasses.asdict(config), "spec": spec_dict, "env_options": env_options}
    files = _saved_files(directory, card, config)
    for k, seed in enumerate(seeds):
        content = io.BytesIO()
        np.savez(content, **{path: leaf[k] for path, leaf in zip(_paths(params), leaves, strict=True)})
        (directory / f"seed_{seed}.npz.part").write_bytes(content.getvalue())
        files[str(seed)] = [digest(content.getvalue()), *files.get(str(seed), [])[:1]]
    partial = directory / "policy.json.part"
    card |= {"seeds": sorted(int(seed) for seed in files), "files": files}
    partial.write_text(json.dumps(sign(json.loads(json.dumps(card))), indent=1))
    partial.replace(directory / "policy.json")
    for seed in seeds:
        (directory / f"seed_{seed}.npz.part").replace(directory / f"seed_{seed}.npz")


def _saved_files(directory: pathlib.Path, card: dict, config: Any) -> dict[str, list[str]]:
    """{seed: digests of its file} of what was saved before, if it is of the same policy as `card` otherwise.

    Where the old policy.json is lost, damaged or older than digests, they are those of the files that are there.
    """
    found = {m[1]: file for file in directory.iterdir() if (m := re.fullmatch(r"seed_([0-9]{1,18})\.npz", file.name))}
    try:
        saved = json.loads((directory / "policy.json").read_text())
        whole, names, known = is_as_signed(saved), [str(seed) for seed in saved.pop("seeds")], saved.pop("files", None)
        saved.pop(KEY, None)
        saved.setdefault("env_options", [])  # some policies are older
        saved["config"] = {**config.added, **saved["config"]}  # and than these
        if whole and saved != json.loads(json.dumps(card)):
            return {}
        if whole and known is not None:
            return known
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    there = {name: [digest(file.read_bytes())] for name, file in found.items() if file.is_file()}
    return {name: there.get(name, []) for name in names} if whole else there


def load_policy(run_dir: str | pathlib.Path) -> Policy:
    """Loads the policies of a run (its directory, or the `policy` directory inside it), or "pretrained:NAME", one of
    those that `iacjax.pretrained` has.

    Raises:
      ConfigError: there is no policy, or its files do not fit the algorithm that they name.
    """
    from iacjax.algorithms.registry import config_of_saved, get_entry

    directory = resolve(run_dir)
    if (directory / "policy").is_dir():
        directory = directory / "policy"
    file = directory / "policy.json"
    try:
        card = json.loads(file.read_text())
        signed = is_as_signed(card)
        entry = get_entry(card["algo"])
        config = config_of_saved(card["algo"], card["config"])
        action = card["spec"].pop("action")
        mask = action.pop("mask")
        action["mask"] = None if mask is None else tuple(tuple(row) for row in mask)
        spec = EnvSpec(**card["spec"], action=ActionSpec(**action))
        seeds, env_options = tuple(card["seeds"]), tuple(card.get("env_options", ()))
        files = [(directory / f"seed_{seed}.npz", card["files"][str(seed)] if KEY in card else None) for seed in seeds]
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(f"no policy in {run_dir}: give the directory of a run that has trained") from None
    except ConfigError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, OSError, RecursionError) as error:
        raise ConfigError(f"{file} cannot be read ({_line(error)})") from None
    if not signed:
        raise ConfigError(f"{file} was changed since it was saved: {RESTORE}")
    try:
        algorithm = entry.make(spec, config)
        shapes = jax.eval_shape(lambda key: algorithm.policy(algorithm.init(key)), jax.random.key(0))
    except ConfigError:
        raise
    except Exception as error:  # policy.json without a digest may hold anything
        raise ConfigError(f"{file} cannot be read ({_line(error)})") from None
    params = tuple(_load_params(file, digests, shapes) for file, digests in files)
    return Policy(card["algo"], config, spec, seeds, algorithm, params, env_options)


def _load_params(file: pathlib.Path, digests: list[str] | None, shapes: Any) -> PolicyParams:
    """The parameters in `file`, which has one of `digests`; None: it is older than digests."""
    try:
        data = file.read_bytes()
        if digests is not None and digest(data) not in digests:
            raise ConfigError(f"it was changed since it was saved: {RESTORE}")
        with np.load(io.BytesIO(data)) as arrays:
            leaves = [jnp.asarray(arrays[path]) for path in _paths(shapes)]
    except Exception as error:  # zip, zlib, NumPy and struct each have their own
        raise ConfigError(f"{file} is not a policy of this algorithm ({_line(error)})") from None
    if [x.shape for x in leaves] != [x.shape for x in jax.tree.leaves(shapes)]:
        raise ConfigError(f"{file} has parameters of other sizes than its config says")
    return jax.tree.unflatten(jax.tree.structure(shapes), leaves)


def _line(error: Exception) -> str:
    """The first line of what an error says."""
    return next(iter(str(error).splitlines()), type(error).__name__)
