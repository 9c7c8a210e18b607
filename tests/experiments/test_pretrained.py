"""Pretrained policies: how one is made of a run, how commands and Python find it, and that those of the package play as
their cards and the docs say."""

import dataclasses
import json
import math
import pathlib
import re
import shlex

import jax
import numpy as np
import pytest

import iacjax
from experiments.analysis.playback import play_run
from experiments.config.command_line import Command, command_of, new_settings
from experiments.config.preset_io import default_settings
from experiments.config.schema import Settings, fingerprint, read_config
from experiments.evaluate import main as evaluate
from experiments.loggers.csv import read_table
from experiments.package_policy import main as package_policy
from experiments.record import main as record
from experiments.runs.pretrained import BEGIN, END, PAGE, page_table, read_card, read_cards, write_page
from iacjax import pretrained
from tests.helpers.readme import POLICY

ROOT = pathlib.Path(__file__).parents[2]
SHORT = ["--total-steps", "1600", "--seeds", "2", "--eval-episodes", "2", "--eval-every", "1600", "--lr", "0.5"]
NAMES = pretrained.names()


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder of policies in place of the package's, and an empty working directory."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.setattr(pretrained, "DIRECTORY", tmp_path / "policies")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "policies"


def files_below(directory):
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())


def refused(capsys, main, *argv):
    """The line in which a command refuses its words."""
    capsys.readouterr()
    assert main([str(each) for each in argv]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ") and said.err.count("\n") == 1 and said.out == ""
    return said.err


def test_a_run_becomes_a_policy_that_the_commands_find(run, own, capsys):
    _, directory, _, _ = run(*SHORT)
    argv = [str(directory), "--name", "tiny", "--into", str(own), "--seed-index", "1", "--episodes", "7"]
    assert package_policy(argv) == 0
    said = capsys.readouterr().out
    card = read_card(own / "tiny")
    assert card.score in said and card.command in said
    assert files_below(own) == [f"tiny/{name}" for name in ("card.json", "config.json", "policy.json", "seed_1.npz")]
    assert (card.env, card.algo, card.seed, card.episodes, card.win_rate) == ("toy:coordination", "fake", 1, 7, None)
    assert card.env_steps == read_table(directory / "eval.csv")[-1]["env_steps"]
    assert card.versions == json.loads((directory / "versions.json").read_text())
    assert not any(str(directory.parents[2]) in path.read_text() for path in own.rglob("*.json"))  # no one's paths
    policy, trained = iacjax.load_policy("pretrained:tiny"), iacjax.load_policy(directory)
    assert policy.seeds == (1,) and (policy.config, policy.spec) == (trained.config, trained.spec)
    jax.tree.map(np.testing.assert_array_equal, policy.params[0], trained.params[1])

    assert evaluate(["--pretrained", "tiny", "--episodes", "7"]) == 0
    assert [path for path in files_below(pathlib.Path()) if "tiny" in path] == [
        f"runs/pretrained/tiny/evaluation.{kind}" for kind in ("csv", "json")
    ]
    (row,) = read_table(pathlib.Path("runs/pretrained/tiny/evaluation.csv"), needs=("seed", "episodes"))
    assert row["return_mean"] == pytest.approx(card.return_mean) and len(files_below(own)) == 4
    capsys.readouterr()
    for command in (evaluate, record):
        with pytest.raises(SystemExit) as stop:
            command(["--pretrained", "list"])
        assert stop.value.code == 0 and capsys.readouterr().out.splitlines()[1].startswith("tiny  toy:coordination")
    assert "renderer" in refused(capsys, record, "--pretrained", "tiny")
    assert "checkpoint" in refused(capsys, record, "--pretrained", "tiny", "--show", "intrinsic_reward")

    again = [directory, "--name", "tiny", "--into", own]
    assert "--replace" in refused(capsys, package_policy, *again)
    assert package_policy([*argv[:5], "--episodes", "7", "--replace"]) == 0
    assert read_card(own / "tiny").seed == 0 and "tiny/seed_1.npz" not in files_below(own)  # both seeds are perfect
    (own / "other").mkdir()  # of someone who keeps something else there
    into = ("--name", "other", "--into", own, "--replace")
    assert "it is no policy" in refused(capsys, package_policy, directory, *into)


def test_what_cannot_become_one_is_refused(run, own, capsys):
    _, directory, _, _ = run(*SHORT)
    for name in ("", "../x", "a/b", ".", "list", "x y"):
        refused(capsys, package_policy, directory, "--name", name, "--into", own)
    assert "no seed index 2" in refused(capsys, package_policy, directory, "--name", "x", "--seed-index", "2")
    assert "no run directory" in refused(capsys, package_policy, "nowhere", "--name", "x")
    (directory / "summary.json").unlink()
    assert "has not ended" in refused(capsys, package_policy, directory, "--name", "x")
    assert files_below(own) == []


def test_wrong_names_are_one_line(own, capsys):
    for command in (record, evaluate):
        assert "give a run directory, or --pretrained NAME" in refused(capsys, command)
        assert "one of both" in refused(capsys, command, "runs/x", "--pretrained", "tiny")
        assert "there are none" in refused(capsys, command, "--pretrained", "..")
        refused(capsys, command, "--pretrained", "")
    for name in ("smax_3m_mappo", "iac"):
        (own / name).mkdir()
        (own / name / "card.json").write_text("{}")
    said = refused(capsys, record, "--pretrained", "smax_3m_mapo")
    assert "did you mean smax_3m_mappo? there are iac, smax_3m_mappo" in said
    with pytest.raises(iacjax.ConfigError, match="no pretrained policy 'x': there are iac"):
        iacjax.load_policy("pretrained:x")
    assert "is not of this version" in refused(capsys, evaluate, "--pretrained", "list")


@pytest.mark.parametrize(
    "words",
    [
        ["--algo", "mappo", "--preset", "tuned", "--env", "smax:8m", "--seeds", "2", "--total-steps", "1000"],
        ["--algo", "aiir_mix", "--env", "smax:3m", "--env-options", "rules=smac_v0", "reward=sparse", "--lr", "0.1"],
        ["--algo", "qmixs", "--env", "matrix_game", "--env-options", "payoff=[[8, -12], [-12, 0]]", "--stop-at", "0.5"],
        ["--algo", "iac", "--preset", "hunt", "--no-pictures", "--run-dir", "x", "--devices", "2", "--seed", "4"],
    ],
)
def test_the_command_of_a_run_asks_for_its_settings(words):
    settings = new_settings(Command(words))
    written = shlex.split(command_of(settings))
    assert written[:3] == ["python", "-m", "experiments.run"]
    assert not {"--run-dir", "--devices", "--no-pictures"} & set(written)
    assert fingerprint(new_settings(Command(written[3:]))) == fingerprint(settings)


def test_the_preset_of_a_file_is_written_out(tmp_path):
    settings = default_settings("iac", "hunt")
    of_file = Settings(dataclasses.replace(settings.run, preset=str(tmp_path / "gone.json")), settings.algorithm)
    asked = new_settings(Command(shlex.split(command_of(of_file))[3:]))
    assert asked.algorithm == settings.algorithm and asked.run.total_steps == settings.run.total_steps


def test_the_table_is_put_between_its_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    cards = [read_card(pretrained.directory_of(name)) for name in NAMES[:1]]
    write_page(page, cards)
    assert page.read_text() == f"before\n{BEGIN}\n\n{page_table(cards)}\n\n{END}\nafter\n"
    page.write_text("without marks")
    with pytest.raises(iacjax.ConfigError, match="has no place for the table"):
        write_page(page, cards)


# -- those of the package


def test_the_page_has_the_cards():
    """`python -m experiments.package_policy` writes the table."""
    assert f"{BEGIN}\n\n{page_table(read_cards())}\n\n{END}" in (ROOT / PAGE).read_text()


def test_the_docs_name_policies_that_there_are():
    named = set()
    for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]:
        named |= set(re.findall(r"--pretrained (\w+)|pretrained:(\w+)", page.read_text()))
    assert POLICY in {a or b for a, b in named} - {"list", "NAME"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_its_files_fit_together_and_are_small(name):
    directory = pretrained.directory_of(name)
    policy, card, settings = iacjax.load_policy(directory), read_card(directory), read_config(directory)
    assert files_below(directory) == ["card.json", "config.json", "policy.json", f"seed_{card.seed}.npz"]
    assert sum(path.stat().st_size for path in directory.iterdir()) < 400_000
    assert (card.name, card.algo, card.env, (card.seed,)) == (name, policy.algo, policy.spec.name, policy.seeds)
    assert (settings.run.algo, settings.run.env, settings.algorithm) == (policy.algo, policy.spec.name, policy.config)
    assert tuple(card.env_options) == policy.env_options and card.episodes == 1000
    assert card.env_steps >= 0.9 * settings.run.total_steps or settings.run.stop_at


@pytest.mark.parametrize("name", ["predator_prey_iac"])  # the others are slow tests; see test_record.py too
def test_it_plays_nearly_as_well_as_its_card_says(name):
    (row,) = iacjax.evaluate(iacjax.load_policy(f"pretrained:{name}"), episodes=8)
    card = read_card(pretrained.directory_of(name))
    assert abs(row.return_mean - card.return_mean) < 4 * card.return_std / math.sqrt(8)


@pytest.mark.skipif("smax_3m_mappo" not in NAMES, reason="it needs that policy")
def test_a_policy_plays_on_another_backend(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAKE_GAME_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("FAKE_GAME_PLAN", "win:4")
    backend = ["--backend", "tests.helpers.fake_game:make_game", "--episodes", "1", "--games", "0"]
    assert evaluate(["--pretrained", "smax_3m_mappo", *backend]) == 0
    assert files_below(tmp_path / "runs" / "pretrained" / "smax_3m_mappo") == [
        f"evaluation_make_game_3m{end}" for end in (".csv", ".json", "_episodes.csv")
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_its_score_is_reproduced(name):
    """By other episodes than the card's: within four standard errors of the difference of both means. The spread is
    that of both together, since where all of the card's battles were won it alone has none."""
    card = read_card(pretrained.directory_of(name))
    (row,) = iacjax.evaluate(iacjax.load_policy(f"pretrained:{name}"), episodes=1000, seed=2)
    error = math.hypot(row.return_std, card.return_std) / math.sqrt(1000)
    assert abs(row.return_mean - card.return_mean) <= 4 * error + 1e-6
    if card.win_rate is not None:
        rate = (card.win_rate + row.win_rate) / 2
        assert abs(row.win_rate - card.win_rate) <= 4 * math.sqrt(rate * (1 - rate) * 2 / 1000) + 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("smax_")])
def test_the_recorded_battle_is_won(name):
    _, episode, _ = play_run(pretrained.directory_of(name))
    assert bool(episode.timesteps[-1].info["won"][0])
