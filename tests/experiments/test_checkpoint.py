"""Checkpoints: what is saved comes back bitwise; what is torn or foreign is refused and the one before it used."""

import dataclasses
import errno
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.errors import ConfigError
from experiments.runs import checkpoint, state_files
from experiments.runs.checkpoint import Checkpoints, Progress
from iacjax.types import TrainState, without_env_steps
from iacjax.vmapped_trials import TrialState


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
        return Checkpoints(tmp_path / "checkpoints" / "seeds_0-1", [fingerprint], every, keep, said.append)

    return make, said, tmp_path


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
        (newest / "progress.json").write_text('{"iteration": ')
    else:
        file = newest / "state.npz"
        file.write_bytes(file.read_bytes()[:20]) if damage == "cut" else file.unlink()
    checkpoints = make()
    states, progress = checkpoints.restore(ABSTRACT)
    assert equal(states, make_state(3))
    assert progress.iteration == 3
    assert said[0].startswith("checkpoint 5 is refused (damaged")
    assert (path / "refused" / "seeds_0-1-5").is_dir()
    save(checkpoints, 5)  # the iteration can be saved again
    assert equal(make().restore(ABSTRACT)[0], make_state(5))


def test_a_changed_number_is_refused(opened):
    """One bit of each file of the newest checkpoint in turn: none is read as other numbers."""
    make, said, path = opened
    save(make(), 3, 5)
    newest = path / "checkpoints" / "seeds_0-1" / "5"
    files = [file for file in sorted(newest.rglob("*")) if file.is_file()]
    assert {"SHA256SUMS", "progress.json", "state.npz"} <= {file.name for file in files}
    for file in files:
        whole = file.read_bytes()
        middle = len(whole) // 2
        file.write_bytes(whole[:middle] + bytes([whole[middle] ^ 4]) + whole[middle + 1 :])
        assert make().restore(ABSTRACT)[1].iteration == 3
        assert said[-1].startswith("checkpoint 5 is refused (damaged: ")
        (path / "refused" / "seeds_0-1-5").rename(newest)
        file.write_bytes(whole)
    assert equal(make().restore(ABSTRACT)[0], make_state(5))


def test_what_was_refused_before_is_kept(opened):
    make, _, path = opened
    for _ in range(2):
        save(make("abc"), 3)
        save(make("other"), 5)
        assert make("abc").restore(ABSTRACT)[1].iteration == 3
        checkpoint.shutil.rmtree(path / "checkpoints")
    assert sorted(p.name for p in (path / "refused").iterdir()) == ["seeds_0-1-5", "seeds_0-1-5-2"]


def test_a_checkpoint_from_before_there_were_digests_is_read(opened):
    make, said, path = opened
    save(make(), 3)
    (path / "checkpoints" / "seeds_0-1" / "3" / "SHA256SUMS").unlink()
    assert equal(make().restore(ABSTRACT)[0], make_state(3))
    assert said == []


def test_what_is_no_checkpoint_is_left_alone(opened):
    make, _, path = opened
    save(make(), 3, 5)
    for name in ("0099999", "²", "-7", "1e3", "9" * 200, "saving", "7.orbax-checkpoint-tmp-1"):
        (path / "checkpoints" / "seeds_0-1" / name).mkdir()
    checkpoints = make()
    assert checkpoints.latest() == 5
    assert equal(checkpoints.restore(ABSTRACT)[0], make_state(5))
    save(checkpoints, 8)
    names = {p.name for p in (path / "checkpoints" / "seeds_0-1").iterdir()}
    assert names == {"0099999", "²", "-7", "1e3", "9" * 200, "5", "8"}


def test_a_file_in_the_place_of_the_checkpoints_is_no_fresh_start(tmp_path):
    (tmp_path / "checkpoints").write_text("")
    with pytest.raises(NotADirectoryError):  # which a command answers in one line
        Checkpoints(tmp_path / "checkpoints" / "seeds_0-1", ["abc"], 0.0, 2).restore(ABSTRACT)


def test_rows_that_do_not_go_with_it_refuse_a_checkpoint(opened):
    make, said, _ = opened
    save(make(), 3, 5)

    def check(progress):
        if progress.iteration == 5:
            raise ConfigError("metrics.csv has lost rows")

    assert make().restore(ABSTRACT, check=check)[1].iteration == 3
    assert said == ["checkpoint 5 is refused (metrics.csv has lost rows); trying the one before it"]


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

    def slow(place, states):
        clock[0] += 3.0

    monkeypatch.setattr(state_files, "write_state", slow)
    progress = Progress(iteration=1)
    checkpoints.save(make_state(1), progress)  # ends at 103
    assert progress.save_seconds == 3.0
    clock[0] = 162.9
    assert not checkpoints.due()
    clock[0] = 163.0
    assert checkpoints.due()


def test_a_full_disk_is_an_os_error_and_what_was_saved_stays(opened, monkeypatch):
    make, _, path = opened
    save(make(), 1)
    with monkeypatch.context() as patch:
        patch.setattr(state_files, "STATE", "/dev/full")  # which every write finds full
        with pytest.raises(OSError) as error:
            save(make(), 2)
    assert error.value.errno == errno.ENOSPC
    assert [p.name for p in (path / "checkpoints" / "seeds_0-1").iterdir()] == ["1"]
    assert equal(make().restore(ABSTRACT)[0], make_state(1))


def test_a_directory_that_was_moved_is_not_made_again(tmp_path):
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints" / "seeds_0-1", ["abc"], 0.0, 2)
    with pytest.raises(FileNotFoundError):
        save(checkpoints, 1)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_read_at_this_time_is_not_set_aside(opened, monkeypatch):
    make, _, path = opened
    save(make(), 3, 5)

    def busy(place, abstract):
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(state_files, "read_state", busy)
        with pytest.raises(OSError, match="Too many"):
            make().restore(ABSTRACT)
    assert make().restore(ABSTRACT)[1].iteration == 5


def test_what_an_older_version_saved_is_read(opened):
    """By orbax, with keys and an empty array, which it refuses: one element stood for it."""
    import orbax.checkpoint as ocp

    make, said, path = opened
    state = {**make_state(3)._asdict(), "avail": jnp.zeros((2, 0), bool)}
    record = {"fingerprint": "abc", "iteration": 3, "seeds": 2, "env_steps": [24, 24]}
    items = {
        "state": ocp.args.StandardSave({**state, "avail": jnp.zeros((1,), bool)}),
        "progress": ocp.args.JsonSave(record),
    }
    with ocp.CheckpointManager(path / "checkpoints" / "seeds_0-1", options=ocp.CheckpointManagerOptions()) as manager:
        manager.save(3, args=ocp.args.Composite(**items))
    restored, progress = make().restore(jax.eval_shape(lambda: state))
    assert equal(restored, state) and restored["avail"].shape == (2, 0)
    assert (progress.iteration, progress.env_steps) == (3, [24, 24])
    save(make(), 5)  # beside it
    assert sorted(p.name for p in (path / "checkpoints" / "seeds_0-1").iterdir()) == ["3", "5"]
    assert said == []


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: TrialState(state, {"lr": jnp.ones(2)})])
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
    """A continuous world's masks are bool[E, A, 0]."""
    import jax
    import jax.numpy as jnp

    state = {"avail": jnp.zeros((3, 2, 0), bool), "x": jnp.arange(3.0)}
    checkpoints = Checkpoints(tmp_path / "c", ["print"], 0.0, keep=2)
    checkpoints.save(state, Progress(iteration=4))
    abstract = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), state)
    restored, progress = checkpoints.restore(abstract)
    assert (progress.iteration, restored["avail"].shape, restored["avail"].dtype) == (4, (3, 2, 0), bool)
    assert restored["x"].tolist() == [0.0, 1.0, 2.0]
