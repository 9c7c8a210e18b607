"""Configs, presets and the command line: what is read, what is refused, and that none of it needs jax."""

import dataclasses
import hashlib
import json
import pathlib
import re
import subprocess
import sys

import pytest

from envs.errors import ConfigError
from experiments.config.command_line import Command, parse_fields
from experiments.config.preset_io import default_settings
from experiments.config.presets import PRESETS
from experiments.config.schema import (
    CHANGEABLE,
    RunConfig,
    Settings,
    check_same,
    fingerprint,
    from_dict,
    read_config,
    to_dict,
)
from experiments.config.validation import check_settings
from iacjax.algorithms.intrinsic import config as configs
from iacjax.algorithms.registry import ALGORITHMS

KNOWN = [(algo, preset) for algo, presets in PRESETS.items() for preset in presets]


def parse(*argv):
    command = Command(argv)
    return parse_fields(command.fields, default_settings(command.algo, command.preset, command.env))


@pytest.mark.parametrize("algo, preset", KNOWN)
def test_every_preset_makes_a_config_within_range(algo, preset):
    settings = default_settings(algo, preset)
    check_settings(settings)
    assert parse("--algo", algo, "--preset", preset) == settings


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_fields_of_run_and_algorithm_share_no_name(algo):
    run = {field.name for field in dataclasses.fields(RunConfig)}
    algorithm = {field.name for field in dataclasses.fields(ALGORITHMS[algo].config)}
    assert not run & algorithm
    assert not {"resume", "list", "help"} & (run | algorithm)


def test_the_paper_preset_evaluates_as_the_paper_does():
    settings = default_settings("aiir_mix", "paper")
    assert (settings.run.eval_every, settings.run.eval_episodes) == (5000, 20)
    algorithm = settings.algorithm
    assert (algorithm.epochs, algorithm.td_lambda, algorithm.optimizer) == (1, 0.8, "rmsprop")


@pytest.mark.parametrize("algo", ["aiir_mix", "liir", "rmix", "aiir"])
def test_the_paper_preset_holds_every_setting_that_the_docstrings_call_liirs(algo):
    """A docstring that says (LIIR: 0.8) is about the field above it, whatever the default becomes."""
    algorithm = default_settings(algo, "paper").algorithm
    source = (pathlib.Path(configs.__file__)).read_text()
    claims = re.findall(r"^    (\w+): [^\n]*\n    \"\"\"[^\n]*\(LIIR: ([\w.-]+)", source, re.MULTILINE)
    assert len(claims) > 12
    for name, value in claims:
        assert str(getattr(algorithm, name)) == value or float(getattr(algorithm, name)) == float(value), name


def test_the_four_members_are_two_choices():
    chosen = {}
    for algo in ("aiir_mix", "rmix", "aiir", "liir"):
        algorithm = default_settings(algo, "default").algorithm
        chosen[algo] = algorithm.reward_net, algorithm.combine
    assert chosen == {"aiir_mix": ("attention", "mixing"), "rmix": ("mlp", "mixing"), "aiir": ("attention", "linear"),
                      "liir": ("mlp", "sum")}  # fmt: skip
    theirs = default_settings("liir", "paper").algorithm  # fc1 and fc2 of 128 units, 10 tanh(x / 10), theta = 0.01
    assert (theirs.embed_dim, theirs.reward_bound, theirs.intrinsic_weight) == (128, 10.0, 0.01)


def test_fields_are_read_by_their_bare_names():
    settings = parse("--lr", "2.5e-4", "--seeds=3", "--no-value-norm", "--env", "smax:3m", "--total-steps", "77")
    assert settings.algorithm.lr == 2.5e-4
    assert settings.algorithm.value_norm is False
    assert (settings.run.seeds, settings.run.env, settings.run.total_steps) == (3, "smax:3m", 77)


@pytest.mark.parametrize(
    "argv, message",
    [
        (["--algo", "aiir_mx"], "unknown algorithm 'aiir_mx': did you mean aiir_mix?"),
        (["--preset", "papr"], "unknown preset 'papr' of aiir_mix: did you mean paper?"),
        (["--seeds", "0"], "--seeds must be more than 0, not 0"),
        (["--seeds", "-2"], "--seeds must be more than 0, not -2"),
        (["--seed", "-1"], "--seed must be at least 0, not -1"),
        (["--total-steps", "3000000000"], "--total-steps must be at most 2147483647"),
        (["--gamma", "1.01"], "--gamma must be between 0 and 1"),
        (["--lr", "nan"], "--lr must be a finite number"),
        (["--lr", "0"], "--lr must be more than 0"),
        (["--checkpoint-every", "-1"], "--checkpoint-every must be at least 0"),
        (["--lrr", "1"], "unknown option --lrr: did you mean --lr?"),
        (["--lr", "abc"], "Error parsing --lr"),
        (["--seeds"], "Missing value for argument '--seeds'"),
        (["--optimizer", "sgd"], "invalid choice 'sgd'"),
        (["--resume"], "--resume needs a value"),
        (["--resume", ""], "--resume needs a value"),
        (["--preset", ""], "--preset needs a value"),
        (["--algo="], "--algo needs a value"),
        (["--env", ""], "--env needs a value"),
        (["--run-dir", ""], "--run-dir must be a word, not ''"),
        (["--seeds", "9" * 5000], "--seeds"),
        (["--total-steps", "2147483647"], "--total-steps 2147483647 in whole iterations of 2048 are more than"),
        (["--rollout-length", "2147483647"], "times --rollout-length 2147483647 must be at most"),
        (["--algo", "iac", "--noise-correlation", "1"], "--noise-correlation must be less than 1"),
        (["--algo", "maddpg", "--tau", "1.5"], "--tau must be between 0 and 1"),
        (["--algo", "qmix", "--buffer-size", "1"], "--buffer-size 1 is too small"),
        (["--algo", "iac", "--policy-layers", "1000"], "--policy-layers must be at most 32"),
    ],
)
def test_wrong_input_is_refused_in_one_line(argv, message):
    with pytest.raises(ConfigError) as error:
        parse(*argv)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "algo, option",
    [
        ("iql", "--hyper-dim=8"),
        ("vdn", "--mixer-scale=0.5"),
        ("qtran", "--mixer=qmix"),
        ("qtran", "--no-recurrent"),
        ("liir", "--mix-dim=4"),
        ("sq", "--heads=2"),
        ("ddpg_mix", "--temperature=0.1"),
    ],
)
def test_what_has_no_effect_is_no_option(algo, option, capsys):
    name = option.partition("=")[0]
    with pytest.raises(ConfigError, match=f"^unknown option {name}: {algo} does not use it, see --help$"):
        parse("--algo", algo, option)
    with pytest.raises(SystemExit):
        parse("--algo", algo, "--help")
    shown = re.findall(r"--[\w-]+", capsys.readouterr().out)
    assert "--lr" in shown and name not in shown


def test_saved_runs_keep_what_is_no_option_now():
    """An iql run from when --hyper-dim was offered: its checkpoints carry the hash of all that it was saved with."""
    saved = to_dict(parse("--algo", "iql", "--lr", "0.25"))
    assert saved["algorithm"]["hyper_dim"] == 64
    saved["algorithm"] |= {"hyper_dim": 32, "mixer": "vdn"}
    settings = from_dict(json.loads(json.dumps(saved)))
    assert (settings.algorithm.hyper_dim, settings.algorithm.mixer, settings.algorithm.lr) == (32, "vdn", 0.25)
    again = parse_fields(["--total-steps", "7"], settings)
    assert again.algorithm == settings.algorithm and fingerprint(again) == fingerprint(settings)


def test_config_survives_json():
    settings = parse("--preset", "paper", "--lr", "1e-4")
    assert from_dict(json.loads(json.dumps(to_dict(settings)))) == settings
    with pytest.raises(ConfigError, match="not one of this version"):
        from_dict({**to_dict(settings), "no_such_field": 1})


@pytest.mark.parametrize(
    "edit, message",
    [
        (lambda c: c.update(seeds="3"), "--seeds must be a whole number, not '3'"),
        (lambda c: c.update(total_steps=1e6), "--total-steps must be a whole number, not 1000000.0"),
        (lambda c: c.update(env=["smax:3m"]), "--env must be text"),
        (lambda c: c.update(env_options="rules=smac"), "--env-options must be a list"),
        (lambda c: c.update(run_dir=""), "--run-dir must be a word"),
        (lambda c: c.update(run_dir="a\0b"), "--run-dir must be text"),
        (lambda c: c.update(algo=["ippo"]), "not one of this version"),
        (lambda c: c.update(algorithm=None), "not one of this version"),
        (lambda c: c["algorithm"].update(lr=None), "--lr must be a number, not None"),
        (lambda c: c["algorithm"].update(value_norm="yes"), "--value-norm must be True or False, not 'yes'"),
        (lambda c: c["algorithm"].update(optimizer="sgd"), "--optimizer must be one of adam, rmsprop, not 'sgd'"),
        (lambda c: c["algorithm"].update(num_envs=True), "--num-envs must be a whole number, not True"),
        (lambda c: c["algorithm"].update(gamma=float("nan")), "--gamma must be a finite number, not nan"),
        (lambda c: c["algorithm"].update(minibatches=3), "--minibatches must divide --num-envs"),
    ],
)
def test_a_config_of_wrong_values_is_refused_as_the_command_line_is(edit, message, tmp_path):
    config = to_dict(parse())
    edit(config)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError) as caught:
        read_config(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'config.json'} cannot be read: ") and message in str(caught.value)


@pytest.mark.parametrize(
    "text, message",
    [
        ("[]", "it must hold an object"),
        ('{"algo": "ippo", "run": {}, "algorithm": {"lr": ' + "9" * 5000 + "}}", "cannot be read: Exceeds the limit"),
        ("[" * 100_000, "it is nested too deeply"),
        ('{"algo": "ippo", "run": {"preset": "x.json"}, "algorithm": {}}', "there is no field 'preset'"),
        ('{"algo": "ippo", "run": {"algo": "iac"}, "algorithm": {}}', "there is no field 'algo'"),
        ('{"algo": "ippo", "run": {"env": 3}, "algorithm": {}}', "--env must be text, not 3"),
        ('{"algo": "ippo", "run": {"env_options": "a=1"}, "algorithm": {}}', "--env-options must be a list"),
        ('{"algo": "ippo", "run": {"total_steps": 1e6}, "algorithm": {}}', "--total-steps must be a whole number"),
        ('{"algo": "ippo", "run": {}, "algorithm": {"lr": null}}', "--lr must be a number, not None"),
        ('{"algo": "ippo", "run": {}, "algorithm": {"lr": [1e-3]}}', "--lr must be a number"),
        ('{"algo": "ippo", "run": {}, "algorithm": {"value_norm": "yes"}}', "--value-norm must be True or False"),
        ('{"algo": "ippo", "run": {}, "algorithm": {"num_envs": "4"}}', "--num-envs must be a whole number, not '4'"),
        ('{"algo": "ippo", "run": {}, "algorithm": {"gamma": 2}}', "--gamma must be between 0 and 1, not 2"),
    ],
)
def test_a_preset_file_of_wrong_values_is_refused_as_the_command_line_is(text, message, tmp_path):
    file = tmp_path / "preset.json"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        parse("--preset", str(file))
    assert str(caught.value).startswith(f"--preset {file}") and message in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_a_preset_file_may_write_a_number_without_its_point(tmp_path):
    file = tmp_path / "preset.json"
    file.write_text('{"algo": "ippo", "run": {}, "algorithm": {"gamma": 1}}')
    gamma = parse("--preset", str(file)).algorithm.gamma
    assert gamma == 1.0 and isinstance(gamma, float)


def test_fingerprint_follows_what_training_depends_on():
    base = parse()
    longer, other = parse("--total-steps", "5", "--run-dir", "elsewhere"), parse("--clip", "0.3")
    assert fingerprint(base) == fingerprint(longer)
    assert fingerprint(base) != fingerprint(other)
    check_same(base, longer)
    with pytest.raises(ConfigError, match=r"--clip 0.3 does not match the checkpoint \(made with 0.2\)"):
        check_same(base, other)


def test_options_of_the_environment():
    given = parse("--env-options", "num_prey=2", "payoff=[[8,-12],[-12,0]]", "--seeds", "2")
    assert given.run.env_options == ("num_prey=2", "payoff=[[8,-12],[-12,0]]") and given.run.seeds == 2
    assert from_dict(json.loads(json.dumps(to_dict(given)))) == given
    assert fingerprint(given) != fingerprint(parse("--seeds", "2"))
    with pytest.raises(ConfigError, match="--env-options .* does not match the checkpoint"):
        check_same(parse("--seeds", "2"), given)


def test_the_default_rules_are_saved_by_name_and_those_of_old_runs_by_none():
    """What files hold, and what is in memory: a run that was saved without rules was trained with rules=smac_v0."""
    rows = [((), ("rules=smac",)), (("rules=smac_v0",), ()), (("reward=sparse",), ("reward=sparse", "rules=smac"))]
    rows += [((word,), (word,)) for word in ("rules=smaclite", "rules=my.json", "randomise=0.2")]
    for words, saved in rows:
        settings = parse("--env", "smax:3m", *(("--env-options", *words) if words else ()))
        data = json.loads(json.dumps(to_dict(settings)))
        assert tuple(data["env_options"]) == saved
        assert from_dict(data) == settings and fingerprint(from_dict(data)) == fingerprint(settings)
    assert to_dict(parse("--env", "toy:memory"))["env_options"] == ()
    hashes = {fingerprint(parse("--env", "smax:3m", "--env-options", f"rules={name}")) for name in ("smac", "smac_v0")}
    assert len(hashes) == 2 and fingerprint(parse("--env", "smax:3m")) in hashes
    check_same(parse("--env", "smax:3m"), parse("--env", "smax:3m", "--env-options", "rules=smac"))
    with pytest.raises(ConfigError, match="--env-options"):
        check_same(parse("--env", "smax:3m", "--env-options", "rules=smac_v0"), parse("--env", "smax:3m"))


def test_checkpoints_without_options_keep_their_fingerprint():
    """The hash of the data as it was before the fields existed. StarCraft runs of that time had other default rules."""
    settings = parse("--env-options", "rules=smac_v0")
    young = ("env_options", "matmul_precision")
    data = {name: value for name, value in to_dict(settings).items() if name not in (*CHANGEABLE, *young)}
    assert fingerprint(settings) == hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:12]
    assert fingerprint(parse("--matmul-precision", "bfloat16")) != fingerprint(settings)


@pytest.mark.parametrize(
    "algo, field, old", [("maac", "normalise_rewards", False), ("iac", "warmup_actions", "uniform")]
)
def test_runs_older_than_a_field_are_what_they_were_trained_as(algo, field, old):
    """Without the field in its config.json a run has the old behaviour, and its checkpoints carry the old hash."""
    saved = to_dict(parse("--algo", algo))
    del saved["algorithm"][field]
    settings = from_dict(json.loads(json.dumps(saved)))
    assert getattr(settings.algorithm, field) == old
    data = {name: v for name, v in saved.items() if name not in (*CHANGEABLE, "env_options", "matmul_precision")}
    assert fingerprint(settings) == hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:12]
    other = {bool: True, str: "policy"}[type(old)]
    changed = dataclasses.replace(settings.algorithm, **{field: other})
    assert fingerprint(Settings(settings.run, changed)) != fingerprint(settings)


def test_configs_are_not_changed_by_checks():
    settings = Settings(RunConfig(), ALGORITHMS["aiir_mix"].config())
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.run.seeds = 2


def test_help_lists_the_algorithms_own_fields_without_jax():
    code = (
        "import sys\nfrom experiments.run import main\n"
        "try:\n    main(['--algo', 'aiir_mix', '--help'])\n"
        "finally:\n    print('jax imported:', 'jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "jax imported: False" in done.stdout
    for text in ("--lookahead-lr", "--total-steps", "--resume DIR", "similarity (eq. 9)"):
        assert text in done.stdout
