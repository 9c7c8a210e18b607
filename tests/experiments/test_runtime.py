"""Before the first update: where compiled programs are kept."""

import pytest

from experiments.config.schema import RunConfig
from experiments.training.runtime import prepare_jax


@pytest.fixture
def caches(monkeypatch, tmp_path):
    """(XDG_CACHE_HOME) -> (jax's cache directory after `prepare_jax`, what it said), for a caller who names none."""
    import jax

    before = jax.config.jax_compilation_cache_dir

    def call(home):
        monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(home))
        jax.config.update("jax_compilation_cache_dir", before)
        said = []
        prepare_jax(RunConfig(), said.append)
        return jax.config.jax_compilation_cache_dir, said

    yield call
    jax.config.update("jax_compilation_cache_dir", before)


def test_programs_are_kept_in_the_users_cache(caches, tmp_path):
    assert caches(tmp_path / "new") == (str(tmp_path / "new" / "iacjax"), [])
    assert (tmp_path / "new" / "iacjax").is_dir()


def test_a_directory_named_for_jax_is_left_to_it(caches, monkeypatch, tmp_path):
    import jax

    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "named"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    before = jax.config.jax_compilation_cache_dir
    prepare_jax(RunConfig(), print)
    assert jax.config.jax_compilation_cache_dir == before  # jax itself read the variable, when it was imported
    assert list(tmp_path.iterdir()) == []


def test_a_run_goes_on_where_no_cache_can_be_made(caches, tmp_path):
    (tmp_path / "file").write_text("")
    kept, said = caches(tmp_path / "file")
    assert kept != str(tmp_path / "file" / "iacjax")
    assert said == [f"no compile cache: {tmp_path}/file/iacjax cannot be made (Not a directory)"]
