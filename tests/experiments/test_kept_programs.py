"""Compiled programs that are kept: found by what they are made from, used by the next start, replaced if damaged."""

import dataclasses
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache.compilation_cache import reset_cache

from benchmarks.startup import timed_start
from experiments.config.preset_io import default_settings
from experiments.distributed.layout import Layout
from experiments.runs.build import build
from experiments.training import kept_programs
from experiments.training.kept_programs import KeptPrograms

RUN = "--algo ippo --env toy:coordination --num-envs 4 --rollout-length 4 --hidden-dim 4 --critic-dim 4 --no-pictures"


@pytest.fixture
def fresh():
    """jax's own cache is off."""
    jax.config.update("jax_enable_compilation_cache", False)
    reset_cache()
    yield
    jax.config.update("jax_enable_compilation_cache", True)
    reset_cache()


def lowered(number):
    return jax.jit(lambda x: jnp.sort(x) * number).lower(jax.ShapeDtypeStruct((3,), np.float32))


def play(program):
    return np.asarray(program(jnp.array([3.0, 1.0, 2.0]))).tolist()


def test_what_is_compiled_is_loaded(tmp_path, fresh):
    kept = KeptPrograms(tmp_path, "key").of(Layout(2))
    assert kept.load("chunk", 1) is None
    program = kept.compile("chunk", lowered(2), {"states": (1, 2)}, None)
    loaded, facts = kept.load("chunk", 1)
    assert play(loaded) == play(program) == [2.0, 4.0, 6.0] and facts == {"states": (1, 2)}
    assert kept.load("init", 1) is None and kept.of(Layout(3)).load("chunk", 1) is None
    assert loaded.memory_analysis().temp_size_in_bytes == program.memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: b"", lambda data: data[:50] + b"x" + data[51:]]
)
def test_a_damaged_file_is_compiled_anew(tmp_path, fresh, damage):
    kept = KeptPrograms(tmp_path, "key")
    kept.compile("chunk", lowered(2), None, None)
    [path] = tmp_path.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert kept.load("chunk", 1) is None
    kept.compile("chunk", lowered(3), None, None)
    assert play(kept.load("chunk", 1)[0]) == [3.0, 6.0, 9.0]


@pytest.mark.parametrize("place", ["file", "directory"])
def test_what_others_may_have_written_is_not_read(tmp_path, fresh, place):
    kept = KeptPrograms(tmp_path / "programs", "key")
    kept.compile("chunk", lowered(2), None, None)
    [path] = kept.directory.iterdir()
    (path if place == "file" else kept.directory).chmod(0o777)
    assert kept.load("chunk", 1) is None


def test_a_place_that_cannot_be_written_to_keeps_nothing(tmp_path, fresh):
    (tmp_path / "file").write_text("")
    assert play(KeptPrograms(tmp_path / "file", "key").compile("chunk", lowered(2), None, None)) == [2.0, 4.0, 6.0]


def test_what_jaxs_cache_has_read_is_not_kept(tmp_path):
    """It would be written without its functions, and end a run as it is called."""
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    reset_cache()
    first, second = KeptPrograms(tmp_path / "a", "key"), KeptPrograms(tmp_path / "b", "key")
    first.compile("chunk", lowered(5), None, None)
    assert play(second.compile("chunk", lowered(5), None, None)) == [5.0, 10.0, 15.0]
    assert first.load("chunk", 1) is not None and second.load("chunk", 1) is None
    reset_cache()


def test_the_oldest_are_removed(tmp_path, fresh, monkeypatch):
    monkeypatch.setattr(kept_programs, "MOST_FILES", 2)
    for k, name in enumerate(("a", "b", "c")):
        KeptPrograms(tmp_path, name).compile("chunk", lowered(2), None, None)
        if name != "c":
            os.utime(tmp_path / f"{name}-chunk", (k, k))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b-chunk", "c-chunk"]


@pytest.fixture
def found(tmp_path, monkeypatch):
    """The key of settings and environment options; None: nothing is kept."""
    monkeypatch.setattr(kept_programs, "directory_of_programs", lambda: tmp_path)

    def key(algo="iql", env="smax:3m", options=(), **fields):
        settings = default_settings(algo, "default", env)
        run = dataclasses.replace(settings.run, env_options=tuple(options))
        settings = dataclasses.replace(settings, run=run, algorithm=dataclasses.replace(settings.algorithm, **fields))
        kept = kept_programs.kept_programs(settings, build(settings)[0])
        return kept and kept.key

    return key


def test_the_key_is_of_all_that_a_program_is_made_from(found, tmp_path, monkeypatch):
    keys = [found(), found(lr=0.5), found(algo="vdn"), found(env="smax:8m"), found(options=["rules=smaclite"])]
    rules = tmp_path / "rules.json"
    rules.write_text("{}")
    keys.append(found(options=[f"rules={rules}"]))
    rules.write_text("{ }")
    keys.append(found(options=[f"rules={rules}"]))
    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", "") + " ")
    keys.append(found())
    jax.config.update("jax_default_matmul_precision", "float32")
    keys.append(found())
    assert len(set(keys)) == len(keys) and None not in keys


def test_what_is_made_elsewhere_is_not_kept(found, monkeypatch):
    monkeypatch.setattr(kept_programs, "OWN_ENVIRONMENTS", ("envs.mpe.",))
    assert found() is None


def test_the_second_start_of_a_run_compiles_nothing(tmp_path):
    """In processes of their own: LAPACK, which draws the initial weights, is not initialised by loading a program."""
    rows, tables = [], []
    for name in ("first", "second"):
        words = [*RUN.split(), "--total-steps", "40", "--run-dir", str(tmp_path / name)]
        rows.append(timed_start(words, {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache")}))
        [table] = (tmp_path / name).rglob("eval.csv")
        tables.append(table.read_text())
        assert 0 < rows[-1]["jax"] < rows[-1]["compiled"] < rows[-1]["first_chunk"] < rows[-1]["first_evaluation"]
    programs = {"init", "chunk", "evaluate"}
    assert [programs & row.keys() for row in rows] == [programs, set()]
    assert rows[0]["chunk"].keys() == {"trace", "lower", "compile"}
    assert tables[0] == tables[1]
