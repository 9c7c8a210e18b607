"""Checkpoints: what is saved comes back bitwise; what is torn or foreign is refused and the one before it used."""

import dataclasses
import gc
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.errors import ConfigError
from experiments import checkpoint
from experiments.checkpoint import Checkpoints, Progress
from iacjax.lanes import LaneState
from iacjax.types import TrainState, without_env_steps

# tensorstore reports reads that it had begun of files that then turned out to be damaged
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class State(NamedTuple):
    params: dict
    carry: tuple
    key: jax.Array


def make_state(number):
    params = {"w": jnp.arange(6, dtype=jnp.float32).reshape(2, 3) / 7 + number, "n": jnp.full(2, number, jnp.int32)}
    return State(params, (), jax.random.split(jax.random.key(number), 2))


def raw(tree):
    """The leaves as NumPy arrays, keys by their data."""
    leaves = jax.tree.leaves(tree)
    keys = [jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in leaves]
    return [np.asarray(jax.random.key_data(x) if key else x) for x, key in zip(leaves, keys, strict=True)]


def equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(raw(a), raw(b), strict=True))


@pytest.fixture
def opened(tmp_path):
    """(fingerprint) -> Checkpoints of one directory, with what it said."""
    said = []

    def make(fingerprint="abc", every=0.0, keep=2):
        return Checkpoints(tmp_path / "checkpoints" / "seeds_0-1", fingerprint, every, keep, said.append)

    yield make, said, tmp_path
    gc.collect()  # so that those reports come here, and not in a later test


def save(checkpoints, *iterations):
    for iteration in iterations:
        checkpoints.save(make_state(iteration), Progress(iteration=iteration, window={"loss": [0.1, 1 / 3]}))


ABSTRACT = jax.eval_shape(lambda: make_state(0))


def test_state_and_progress_come_back_bitwise_and_k_are_kept(opened):
    make, _, path = opened
    save(make(), 3, 5, 8)
    assert sorted(p.name for p in (path / "checkpoints" / "seeds_0-1").iterdir()) == ["5", "8"]
    states, progress = make().restore(ABSTRACT)
    assert equal(states, make_state(8))
    assert states.key.dtype == make_state(0).key.dtype
    assert progress.window == {"loss": [0.1, 1 / 3]}
    assert make().latest() == 8


def test_nothing_saved_is_none(opened):
    assert opened[0]().restore(ABSTRACT) is None


@pytest.mark.parametrize("damage", ["cut", "gone", "progress"])
def test_a_torn_checkpoint_is_refused_and_the_one_before_it_used(opened, damage):
    make, said, path = opened
    save(make(), 3, 5)
    newest = path / "checkpoints" / "seeds_0-1" / "5"
    if damage == "progress":
        (newest / "progress" / "metadata").write_text('{"iteration": ')
    else:
        for file in newest.glob("state/**/d/*"):
            file.write_bytes(file.read_bytes()[:20]) if damage == "cut" else file.unlink()
    checkpoints = make()
    states, progress = checkpoints.restore(ABSTRACT)
    assert equal(states, make_state(3))
    assert progress.iteration == 3
    assert said[0].startswith("checkpoint 5 is refused (damaged")
    assert (path / "refused" / "seeds_0-1-5").is_dir()
    save(checkpoints, 5)  # the iteration can be saved again
    assert equal(make().restore(ABSTRACT)[0], make_state(5))


def test_a_foreign_checkpoint_is_refused(opened):
    make, said, _ = opened
    save(make("abc"), 3)
    save(make("other"), 5)
    states, progress = make("abc").restore(ABSTRACT)
    assert progress.iteration == 3
    assert "does not match" in said[0]


def test_none_usable_is_an_error_not_a_fresh_start(opened):
    make, _, _ = opened
    save(make("other"), 3, 5)
    with pytest.raises(ConfigError, match="no usable checkpoint .* does not match"):
        make("abc").restore(ABSTRACT)


def test_a_state_of_other_shapes_is_refused(opened):
    make, _, _ = opened
    save(make(), 3)
    wider = jax.eval_shape(
        lambda: make_state(0)._replace(params={"w": jnp.zeros((2, 4)), "n": jnp.zeros(2, jnp.int32)})
    )
    with pytest.raises(ConfigError, match="no usable checkpoint"):
        make().restore(wider)


def test_saving_stays_below_a_twentieth_of_the_time(opened, monkeypatch):
    """Saving took 3 s, so the next is due 3 / 0.05 = 60 s later, not after the 10 s asked for."""
    make, _, _ = opened
    clock = [100.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: clock[0])
    checkpoints = make(every=10.0)
    assert not checkpoints.due()

    class Slow:
        def save(self, *args, **kwargs):
            clock[0] += 3.0

    checkpoints._opened = Slow()
    progress = Progress(iteration=1)
    checkpoints.save(make_state(1), progress)  # ends at 103
    assert progress.save_seconds == 3.0
    clock[0] = 162.9
    assert not checkpoints.due()
    clock[0] = 163.0
    assert checkpoints.due()


def test_a_full_disk_is_an_os_error_that_says_so(opened):
    make, _, _ = opened
    checkpoints = make()

    class Full:
        def save(self, *args, **kwargs):
            raise ValueError("RESOURCE_EXHAUSTED: write failed: No space left on device")

    checkpoints._opened = Full()
    with pytest.raises(OSError) as error:
        save(checkpoints, 1)
    assert error.value.errno == 28


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: LaneState(state, {"lr": jnp.ones(2)})])
def test_a_checkpoint_that_counted_rows_goes_on_from_them(opened, monkeypatch, wrap):
    """Before env steps were counted, the state had no count and its run took each of an iteration's rows for one."""
    make, said, _ = opened
    state = TrainState(make_state(4).params, (), (), make_state(4).key, jnp.full(2, 7, jnp.int32))
    state = wrap(state)  # a run's, or a sweep's
    checkpoints, asdict = make(), dataclasses.asdict
    with monkeypatch.context() as patch:
        patch.setattr(dataclasses, "asdict", lambda x: {k: v for k, v in asdict(x).items() if k != "env_steps"})
        checkpoints.save(without_env_steps(state), Progress(iteration=4, seeds=2))
    restored, progress = make().restore(jax.eval_shape(lambda: state), rows=10)
    assert progress.env_steps == [40, 40] and restored.env_steps.tolist() == [40, 40]
    assert restored.env_steps.dtype == jnp.int32
    assert equal(without_env_steps(restored), without_env_steps(state))
    assert said == ["checkpoint 4 counts a row at each episode's end as a step: on from 40"]


def test_empty_arrays_come_back_empty(tmp_path):
    """A continuous world's masks are bool[E, A, 0]; orbax itself refuses them."""
    import jax
    import jax.numpy as jnp

    state = {"avail": jnp.zeros((3, 2, 0), bool), "x": jnp.arange(3.0)}
    checkpoints = Checkpoints(tmp_path / "c", "print", 0.0, keep=2)
    checkpoints.save(state, Progress(iteration=4))
    abstract = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), state)
    restored, progress = checkpoints.restore(abstract)
    checkpoints.close()
    assert (progress.iteration, restored["avail"].shape, restored["avail"].dtype) == (4, (3, 2, 0), bool)
    assert restored["x"].tolist() == [0.0, 1.0, 2.0]
