"""A run directory of somebody else's runs no code: not by the environment that it names, and nothing is unpickled."""

import ast
import json
import os
import pathlib
import pickle
import sys
from types import SimpleNamespace

import pytest

from envs.errors import ConfigError
from experiments import evaluate, notebook, record, run
from experiments.analysis.frame_grid import frame_grid
from experiments.analysis.inspection import inspect_run
from experiments.common.files import write_with_digest
from experiments.sweeps.jobs import why
from iacjax import load_policy
from iacjax.digests import sign

ROOT = pathlib.Path(__file__).parents[2]
SHORT = ("--total-steps", "16", "--eval-episodes", "2", "--checkpoint-every", "0")
OWN = """
import os, pathlib
pathlib.Path(os.environ["TRUST_LOG"]).open("a").write("imported\\n")
from PIL import Image
from envs.toy.probes import coordination

def Team():
    return coordination()

def episode_frames(env, episode, lane, width):
    return [Image.new("RGB", (width, 10)) for _ in episode.states]
"""


@pytest.fixture
def imported(tmp_path, monkeypatch):
    """() -> how often the module `somebodys`, or the package around it, was run since it was last asked."""
    (tmp_path / "somebodys.py").write_text(OWN)
    (tmp_path / "somebodys_package").mkdir()
    (tmp_path / "somebodys_package" / "__init__.py").write_text(OWN)
    (tmp_path / "somebodys_package" / "inner.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    log = tmp_path / "trust.log"
    monkeypatch.setenv("TRUST_LOG", str(log))

    def count():
        for name in ("somebodys", "somebodys_package", "somebodys_package.inner"):
            sys.modules.pop(name, None)
        lines = log.read_text().count("\n") if log.exists() else 0
        log.unlink(missing_ok=True)
        return lines

    yield count
    count()


def name_env(directory, name, options=()):
    """Writes an environment's name into all files of a run that name one, with their digests: as a run's own would."""
    config = directory / "config.json"
    data = json.loads(config.read_text()) | {"env": name, "env_options": list(options)}
    write_with_digest(config, json.dumps(data))
    card = directory / "policy" / "policy.json"
    data = json.loads(card.read_text()) | {"env_options": list(options)}
    data["spec"]["name"] = name
    card.write_text(json.dumps(sign(data)))


def doors(directory, preset):
    """Everything that reads a run directory or a preset, and would make its environment."""
    return {
        "run --resume": lambda *more: run.main(["--resume", str(directory), "--total-steps", "32", *more]),
        "run --preset": lambda *more: run.main(["--preset", str(preset), *more]),
        "notebook.trained": lambda *more: notebook.trained(f"--preset {preset}"),
        "evaluate": lambda *more: evaluate.main([str(directory), "--episodes", "2", *more]),
        "record": lambda *more: record.main([str(directory), "--out", str(directory / "x.gif"), *more]),
        "record --show": lambda *more: record.main([str(directory), "--show", "intrinsic_reward", *more]),
        "inspect_run": lambda *more: inspect_run(directory),
        "frame_grid": lambda *more: frame_grid(directory),
    }


def refused(call, capsys):
    """The one line with which it ends, of a command and of a function."""
    capsys.readouterr()
    try:
        code = call()
    except ConfigError as error:
        return f"error: {error}\n"
    out, err = capsys.readouterr()
    assert code == 2 and out == ""
    return err


@pytest.mark.parametrize("name", ["somebodys:Team", "somebodys_package.inner:Team", "os:system"])
def test_what_a_file_names_is_not_run_without_the_users_word(run, imported, tmp_path, capsys, name):
    """`os:system` is there already, and would be called with the file's options."""
    touched = tmp_path / "touched"
    _, directory, _, _ = run(*SHORT)
    name_env(directory, name, [f"command='touch {touched}'"] if name == "os:system" else [])
    preset = tmp_path / "preset.json"
    preset.write_text(json.dumps({"algo": "fake", "run": {"env": name}, "algorithm": {}}))
    for door, call in doors(directory, preset).items():
        line = refused(call, capsys)
        assert line.count("\n") == 1 and line.startswith("error: "), (door, line)
        assert f"names the environment '{name}', code that is not part of this package" in line, (door, line)
        assert "add --trust (in Python: trust=True)" in line
    assert load_policy(directory).spec.name == name  # of a policy nothing is run
    assert imported() == 0 and not touched.exists()


def test_what_is_not_there_is_said_first(run, tmp_path, capsys):
    """As where a run of one's own environment is evaluated in another directory than its module's."""
    _, directory, _, _ = run(*SHORT)
    name_env(directory, "my_absent_world:Relay")
    for more in ((), ("--trust",), ("--env", "my_absent_world:Relay")):
        for door in ("evaluate", "run --resume"):
            line = refused(lambda: doors(directory, "")[door](*more), capsys)  # noqa: B023
            assert line.count("\n") == 1 and "Python finds no module my_absent_world: run the command" in line


def test_with_the_users_word_everything_works(run, imported, tmp_path, monkeypatch, capsys):
    """`--trust`, or the same name typed; another one is no word for it. A run records itself at its end."""
    name = "somebodys:Team"
    code, directory, out, _ = run(*SHORT, "--env", name, "--pictures")
    assert code == 0 and "episode.gif" in out and "no episode.gif" not in out and imported() > 0
    call = doors(directory, "")
    for door, words in (
        ("evaluate", ["--trust"]), ("evaluate", ["--env", name]), ("record", ["--trust"]),
        ("run --resume", [f"--env={name}"]),
    ):  # fmt: skip
        assert call[door](*words) == 0, (door, words, capsys.readouterr())
        assert imported() > 0
    assert frame_grid(directory, trust=name).size and imported() == 1
    assert "add --trust" in refused(lambda: call["run --resume"]("--env", "toy:coordination"), capsys)
    assert "add --trust" in refused(lambda: frame_grid(directory, trust="other:Team"), capsys)
    assert imported() == 0


def test_a_stopped_run_is_continued_by_the_command_that_it_names(run, imported, monkeypatch, capsys):
    stops = iter([False, True])
    monkeypatch.setattr("experiments.training.signals.Signals.__call__", lambda self: next(stops, False))
    monkeypatch.setattr("experiments.training.signals.Signals.received", 2, raising=False)
    code, directory, out, _ = run(*SHORT, "--env", "somebodys:Team", "--chunk-iterations", "1")
    line = next(line for line in out.splitlines() if "continue with" in line)
    assert line.endswith(f"--resume {directory} --env somebodys:Team")


PICKLES = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
# Who may import such a module, and why: none reads a file that another user may have written with it.
ALLOWED = {
    "envs/smac_backend/host.py": "between the command and the processes that it has started",
    "experiments/training/kept_programs.py": "compiled programs, of files that only the user can write",
    "experiments/sweeps/jobs.py": "texts of submitit's, by an unpickler that knows no classes",
}
# Who may call one of these, and why.
ALLOWED_CALLS = {"iacjax/export/numpy_file.py": "the text that it has just written, in which names are data"}
CALLS = {"eval", "exec", "read_pickle", "torch.load", "yaml.load", "yaml.unsafe_load"}


def test_no_source_unpickles_or_evaluates_what_a_file_holds():
    wrong = []
    for file in (file for part in ("envs", "iacjax", "experiments") for file in (ROOT / part).rglob("*.py")):
        name = str(file.relative_to(ROOT))
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if PICKLES & {each.split(".")[0] for each in names} and name not in ALLOWED:
                wrong.append(f"{name} imports {names}")
            if isinstance(node, ast.Call) and ast.unparse(node.func) in CALLS and name not in ALLOWED_CALLS:
                wrong.append(f"{name}:{node.lineno} calls {ast.unparse(node.func)}")
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
                wrong.append(f"{name}:{node.value.lineno} allows pickles")
    assert wrong == []


def test_a_run_holds_no_pickle(run):
    """By their first bytes, which a protocol of today has; and a policy whose arrays are objects is refused."""
    _, directory, _, _ = run(*SHORT)
    files = [file for file in directory.rglob("*") if file.is_file()]
    assert len(files) > 10
    assert [str(file) for file in files if file.read_bytes()[:1] == b"\x80" or file.suffix in (".pkl", ".pickle")] == []


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_pickles_in_the_place_of_our_files_are_not_run(run, tmp_path):
    import numpy as np

    touched = tmp_path / "touched"
    _, directory, _, _ = run(*SHORT)
    file = directory / "policy" / "seed_0.npz"
    with np.load(file) as arrays:
        names = list(arrays)
    np.savez(file, **{name: np.array([Touch(touched)], object) for name in names})
    with pytest.raises(ConfigError, match="seed_0.npz"):
        load_policy(directory)
    result = tmp_path / "result.pkl"
    result.write_bytes(pickle.dumps(("error", Touch(touched))))
    (tmp_path / "stderr").write_text("it was killed\n")
    job = SimpleNamespace(paths=SimpleNamespace(result_pickle=result, stderr=tmp_path / "stderr"))
    assert why(job) == "it was killed" and not touched.exists()
    result.write_bytes(pickle.dumps(("error", "Traceback\nenvs.errors.ConfigError: no such map\n")))
    assert why(job) == "no such map"
