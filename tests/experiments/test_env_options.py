"""Options of environments as words: how they are read, used by the run command, and refused."""

import pytest

from envs.base import ActionSpec, EnvSpec
from envs.errors import ConfigError
from experiments.analysis import evaluation
from experiments.config.env_options import make_run_env, read_env_options
from iacjax.policy import Policy

SHORT = ["--total-steps", "32", "--seeds", "1", "--eval-episodes", "2", "--eval-every", "32", "--env", "matrix_game"]


def test_values_are_literals_or_bare_words():
    words = ["a=2", "b=0.5", "c=[[8,-12],[-12,0]]", "d=flat", "e=None", "f=True", "g='x y'", "h=per_pair", "i=(1, 2)",
             "j=out/my-rules.json", "k=../x", "l=/a/b.json"]  # fmt: skip
    assert read_env_options(words) == {
        "a": 2, "b": 0.5, "c": [[8, -12], [-12, 0]], "d": "flat", "e": None, "f": True, "g": "x y", "h": "per_pair",
        "i": (1, 2), "j": "out/my-rules.json", "k": "../x", "l": "/a/b.json"}  # fmt: skip
    assert read_env_options(()) == {}


@pytest.mark.parametrize(
    "words, text",
    [
        (["num_prey"], "--env-options num_prey: write KEY=VALUE"),
        (["=3"], "write KEY=VALUE"),
        (["a b=3"], "write KEY=VALUE"),
        (["a=1", "a=2"], "a is given twice"),
        (["a="], "--env-options a=: the value cannot be read"),
        (["a=[1,2"], "the value cannot be read"),
        (["a=x y"], "the value cannot be read"),
        (["a=__import__('os')"], "the value cannot be read"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(words, text):
    with pytest.raises(ConfigError) as error:
        read_env_options(words)
    assert text in str(error.value) and "\n" not in str(error.value)


def test_they_reach_the_environment():
    assert make_run_env("multi_pendulum:2", ("horizon=7",)).spec.horizon == 7


@pytest.mark.parametrize(
    "words, text",
    [
        (["payof=[[1,2],[3,4]]"], "'matrix_game' does not take these options: payof (it takes payoff)"),
        (["payoff=[[1,2],[3]]"], "payoff must be square"),
        (["payoff=[[1,"], "the value cannot be read"),
    ],
)
def test_the_run_command_refuses_them_before_it_writes(run, words, text):
    code, directory, _, err = run(*SHORT, "--env-options", *words)
    assert (code, directory) == (2, None)
    assert text in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "saved, played", [((), ["rules=smac_v0"]), (("rules=smac",), []), (("randomise=0.2",), ["randomise=0.2"])]
)
def test_a_policy_is_evaluated_by_the_rules_it_was_trained_with(saved, played, monkeypatch):
    """Saved without rules: before the default was calibrated."""
    words = []

    def stop(name, options):
        words.extend(options)
        raise ConfigError("that will do")

    monkeypatch.setattr(evaluation, "make_run_env", stop)
    spec = EnvSpec("smax:3m", 3, 30, 48, ActionSpec(num_actions=9), 60)
    policy = Policy("ippo", None, spec, (0,), None, (), saved)
    with pytest.raises(ConfigError, match="that will do"):
        evaluation.evaluate_policy(policy, "smax:3m", 1)
    assert words == played
