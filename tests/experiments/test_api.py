"""The Python API: `iacjax.make`, `train`, `evaluate`, and the page that teaches it."""

import ast
import importlib
import pathlib
import re

import jax
import numpy as np
import pytest

import iacjax
from experiments.config.env_options import read_env_options, write_env_options
from experiments.runs import find

ROOT = pathlib.Path(__file__).parents[2]
PAYOFF = [[8, -12], [-12, 0]]
SMALL = {"num_envs": 2, "rollout_length": 4, "total_steps": 32, "eval_every": 16, "eval_episodes": 2, "verbose": False}


@pytest.fixture(scope="module")
def temporary(tmp_path_factory):
    """Where the process's temporary files are."""
    with pytest.MonkeyPatch.context() as patch:
        directory = tmp_path_factory.mktemp("temporary")
        patch.setattr("tempfile.tempdir", str(directory))
        yield directory


@pytest.fixture(scope="module")
def result(temporary):
    return iacjax.train("fake", iacjax.make("matrix_game", payoff=PAYOFF), seeds=2, **SMALL)


def test_it_trains_and_leaves_no_files(result, temporary):
    steps = result.evaluations["env_steps"]
    assert steps.tolist() == [[16, 32]] * 2
    assert result.evaluations["return_mean"].shape == steps.shape
    assert result.policy.seeds == (0, 1) and result.policy.spec.action.num_actions == 2
    assert result.metrics["env_steps"][:, -1].tolist() == [32, 32] and result.directory is None
    assert list(temporary.glob("iacjax-*")) == []


def test_the_policies_are_evaluated_in_the_environment_that_is_given(result):
    env = iacjax.make("matrix_game", payoff=PAYOFF)
    rows = iacjax.evaluate(result.policy, env, episodes=4)
    assert [(row.seed, row.episodes) for row in rows] == [(0, 4), (1, 4)]
    assert iacjax.evaluate(result.policy, episodes=4) == rows  # its own environment, with its own options
    with pytest.raises(iacjax.ConfigError, match="does not fit matrix_game: it has other sizes"):
        iacjax.evaluate(result.policy, iacjax.make("matrix_game"))


def test_with_a_run_directory_it_is_the_commands_run(result, tmp_path, capsys):
    kept = iacjax.train("fake", "matrix_game", run_dir=tmp_path, env_options=[f"payoff={PAYOFF}"], seeds=2, **SMALL)
    assert find.status(kept.directory) == "finished" and tmp_path in kept.directory.parents
    assert capsys.readouterr().out == ""
    for name, values in result.evaluations.items():
        np.testing.assert_array_equal(kept.evaluations[name], values)
    assert iacjax.load_policy(kept.directory).seeds == (0, 1)


def test_a_cell_that_is_run_again_reuses_its_run(result, tmp_path, monkeypatch):
    env = iacjax.make("matrix_game", payoff=PAYOFF)
    asked = {"run_dir": tmp_path, "reuse": True, "seeds": 2, **SMALL}
    first = iacjax.train("fake", env, **asked)
    monkeypatch.setattr("experiments.training.train.train", None)  # it is not called
    again = iacjax.train("fake", env, **asked)
    assert again.directory == first.directory and again.policy.seeds == (0, 1)
    for name, values in result.evaluations.items():
        np.testing.assert_array_equal(again.evaluations[name], values)
    with pytest.raises(iacjax.ConfigError, match="reuse needs run_dir"):
        iacjax.train("fake", env, reuse=True)


@pytest.mark.parametrize(
    "algo, env, fields, message",
    [
        ("ipo", "toy:coordination", {}, "unknown algorithm 'ipo': did you mean ippo?"),
        ("ippo", "toy:coordinatio", {}, "toy:coordinatio"),
        ("ippo", "toy:coordination", {"lrr": 1}, "unknown option --lrr: did you mean --lr?"),
        ("ippo", "toy:coordination", {"seeds": 0}, "--seeds must be more than 0, not 0"),
        ("iac", "toy:coordination", {"total_steps": 8}, "iac cannot handle the discrete actions of toy:coordination"),
        ("ippo", object(), {}, "an object of type object has no name: give make"),
    ],
)
def test_wrong_input_is_one_line(algo, env, fields, message, tmp_path):
    with pytest.raises(iacjax.ConfigError) as caught:
        iacjax.train(algo, env, run_dir=tmp_path / "runs", **fields)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_an_interrupt_and_a_number_that_is_not_finite_are_raised(monkeypatch, tmp_path):
    from experiments.training import train

    def ends_with(code):
        def run(settings):
            train.create_directory(settings)
            return code

        monkeypatch.setattr(train, "train", run)

    ends_with(130)
    with pytest.raises(KeyboardInterrupt, match="without run_dir nothing is kept"):
        iacjax.train("fake", "toy:coordination")
    with pytest.raises(KeyboardInterrupt, match="saved in"):
        iacjax.train("fake", "toy:coordination", run_dir=tmp_path)
    ends_with(1)
    with pytest.raises(RuntimeError, match="not finite"):
        iacjax.train("fake", "toy:coordination")


@pytest.mark.parametrize(
    "options",
    [{}, {"num_prey": 2, "reward": "flat"}, {"a": "None", "b": None, "c": [[8, -12]], "d": "two words", "e": 0.5}],
)
def test_options_survive_as_words(options):
    assert read_env_options(write_env_options(options)) == options


def test_the_package_offers_its_names():
    assert set(iacjax.__all__) <= set(dir(iacjax))
    for name in iacjax.__all__:
        assert getattr(iacjax, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        iacjax.nothing  # noqa: B018


@pytest.fixture
def unoptimised():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def test_type_checkers_read_the_names_that_are_imported_on_first_use():
    stub = ast.parse((ROOT / "iacjax" / "__init__.pyi").read_text())
    found = {name.name: node.module for node in stub.body for name in node.names}
    assert sorted(found) == sorted(iacjax.__all__)
    for name, module in found.items():
        assert getattr(importlib.import_module(module), name) is getattr(iacjax, name)


@pytest.mark.slow
def test_the_page_is_typed_and_wrong_types_are_found(tmp_path):
    api = pytest.importorskip("mypy.api")
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "library.md").read_text(), flags=re.DOTALL)
    (tmp_path / "page.py").write_text("\n".join(blocks))
    (tmp_path / "wrong.py").write_text('import iacjax\niacjax.train(3, "toy:coordination")\n')
    options = ["--ignore-missing-imports", "--follow-imports=silent", "--check-untyped-defs"]
    out, _, _ = api.run([*options, str(tmp_path / "page.py"), str(tmp_path / "wrong.py")])
    wrong = [line for line in out.splitlines() if ": error: " in line]
    assert len(wrong) == 1 and "wrong.py:2: error: Argument 1" in wrong[0], out


def test_the_page_runs_as_it_is_written(unoptimised):
    """Its blocks one after the other, as a reader would paste them."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "library.md").read_text(), flags=re.DOTALL)
    assert len(blocks) == 4
    names = {}
    for block in blocks:  # with smaller networks, which compile sooner
        block = block.replace(
            "rollout_length=8", "rollout_length=8, hidden_dim=8, critic_dim=8, minibatches=1, epochs=1"
        )
        exec(compile(block, "docs/library.md", "exec"), names)
    assert names["entropies"].shape == (3, 5) and names["episodes"].returns.shape == (3, 16)
    assert names["result"].evaluations["return_mean"].shape[0] == 2
