"""Custom environments (`--env MODULE:NAME`): played before a training, and recognised by what they compute.

The digest of what an environment computes is saved with its run, so that no run continues in an edited environment.
"""

import hashlib
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from envs.errors import ConfigError
from experiments.common.files import write_text

if TYPE_CHECKING:
    from envs.base import Environment

DIGEST_FILE = "world.txt"  # in a run's directory
_played: set[str] = set()  # digests of the environments that this process has played


def environment_digest(env: "Environment") -> str:
    """A digest of what `env` computes, and so of every function that it calls, as "HASH VERSION".

    It is of the traced program, as the source of a class in a notebook, and of all it calls, is not available. VERSION
    is that of jax and its platform: another jax traces another program, and constants may differ in a bit.
    """
    import jax

    from envs.check import random_actions

    def play(key):
        state, first = env.reset(key, 2)
        state, second = env.step(key, state, random_actions(key, env.spec, first.avail))
        return first, second, env.restart(key, state, second, second.terminated)

    traced = jax.make_jaxpr(play)(jax.random.key(0))
    digest = hashlib.sha256(f"{env.spec} {re.sub('0x[0-9a-f]+', '', str(traced.jaxpr))}".encode())
    for constant in _constants(traced):
        is_key = jax.dtypes.issubdtype(constant.dtype, jax.dtypes.prng_key)
        digest.update(np.asarray(jax.random.key_data(constant) if is_key else constant).tobytes())
    return f"{digest.hexdigest()} jax-{jax.__version__}-{jax.default_backend()}"


def _constants(traced: Any) -> Iterator[Any]:
    """The arrays that a traced program holds, and those of the functions in it that were jitted by themselves, which
    its text does not show."""
    yield from getattr(traced, "consts", ())
    for equation in traced.eqns:
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                if hasattr(inner, "eqns"):
                    yield from _constants(inner)


def is_same(saved: str, now: str) -> bool | None:
    """Whether two digests are of the same environment; None if unknown: none was saved, or it was made by another
    jax. Digests of older runs are hashes alone."""
    if not saved:
        return None
    (old_hash, *old_version), (new_hash, *new_version) = saved.split(), now.split()
    if old_hash == new_hash:
        return True
    return None if old_version and old_version != new_version else False


def read_digest(directory: pathlib.Path) -> str:
    """The digest of the environment of a run's directory; "" if none was saved."""
    file = directory / DIGEST_FILE
    return file.read_text(errors="replace").strip() if file.exists() else ""


def keep_digest(directory: pathlib.Path, name: str, digest: str, say: Callable[[str], None]) -> None:
    """Writes the digest of the environment called `name` into a run's or program's directory.

    Raises:
      ConfigError: another environment was trained in there.
    """
    saved = read_digest(directory)
    same = is_same(saved, digest)
    if same is False:
        ways = f"restore it, or start a new run; to continue with it as it is now, remove {directory / DIGEST_FILE}"
        raise ConfigError(f"'{name}' computes something else than when {directory} was started: {ways}")
    if saved and same is None:
        say(f"check    another jax version than before: cannot check whether '{name}' has changed")
    write_text(directory / DIGEST_FILE, digest + "\n")


def check_played(env: "Environment", digest: str, say: Callable[[str], None]) -> None:
    """Plays random actions, once a process, and checks what only that shows: that it ends, never restarts by itself,
    and is finite.

    Raises:
      ConfigError: one line, of what does not hold.
    """
    from envs.check import check_env, steps_to_play

    if digest in _played:
        return
    steps = steps_to_play(env)
    check_env(env, steps=steps)
    if steps < env.spec.horizon:
        say(f"check    {env.spec.name} was played for {steps:,} of its {env.spec.horizon:,} steps: not to an end")
    _played.add(digest)
