"""The one check of configurations: what is within bounds passes, what is not is refused, and no number is without."""

import dataclasses
import math
import typing

import pytest

from envs.errors import ConfigError
from envs.registry import make_env
from envs.values import expected, show
from experiments.config.schema import RunConfig
from iacjax.algorithms.common.config import check_config
from iacjax.algorithms.registry import ALGORITHMS, get_entry
from iacjax.schema import (
    BELOW_ONE,
    COUNT,
    COUNT_OR_ZERO,
    FRACTION,
    MAX_STEPS,
    NOT_NEGATIVE,
    POSITIVE,
    UNITS,
    UPDATES,
    bounds_of,
    check_fields,
    check_values,
    read_text,
    types_of,
    up_to,
)

CONFIGS = [*(entry.config for entry in ALGORITHMS.values()), RunConfig]


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_number_has_bounds_and_nothing_else_has(kind):
    assert bounds_of(kind).keys() == {name for name, hint in types_of(kind).items() if hint in (int, float)}


@pytest.mark.parametrize("kind", CONFIGS)
def test_defaults_pass_and_what_is_beyond_the_bounds_does_not(kind):
    bounds = bounds_of(kind)
    check_fields(kind())
    for name, hint in types_of(kind).items():
        if hint not in (int, float):
            continue
        beyond = [hint(bounds[name].low) - 1] + [bounds[name].high + 1] * math.isfinite(bounds[name].high)
        for value in beyond:
            with pytest.raises(ConfigError, match=f"^--{name.replace('_', '-')} must be "):
                check_values(kind, {name: hint(value)})


@pytest.mark.parametrize("value", [None, "yes", [], {}, ("a",), 1.5, True])
@pytest.mark.parametrize("kind", [CONFIGS[0], CONFIGS[-1]])
def test_values_of_other_types_are_refused(kind, value):
    """Everything that fits the annotation by isinstance alone is left out; a truth value is no number."""
    refused = 0
    for name, hint in types_of(kind).items():
        fits = {int: False, float: isinstance(value, float), str: value == "yes", bool: value is True}.get(hint)
        if fits is None:  # a choice, or a list of text
            fits = value in (typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ([], ("a",)))
        if not fits:
            with pytest.raises(ConfigError):
                check_values(kind, {name: value})
            refused += 1
    assert refused > 10


@pytest.mark.parametrize(
    "algo, fields, message",
    [
        ("maddpg", {"tau": 1.5}, "--tau must be between 0 and 1, not 1.5"),
        ("iac", {"noise_correlation": 1.0}, "--noise-correlation must be less than 1, not 1.0"),
        ("iac", {"policy_layers": 1000}, "--policy-layers must be at most 32, not 1000"),
        ("iac", {"lr": 1e-300}, "--lr must be a number that 32 bits hold"),
        ("iac", {"lr": 1e300}, "--lr must be a number that 32 bits hold"),
        ("iac", {"lr": 10**400}, "--lr must be a number that 32 bits hold"),
        ("iac", {"sigma_min": 8.0}, "--sigma-min 8.0 is above --sigma-max 7.0"),
        ("iac", {"hidden_dim": 30}, "--hidden-dim 30 does not divide into 4 attention --heads"),
        ("iac", {"batch_size": 100_000_000}, "--buffer-size 500000 is too small: give at least 100000000, a batch"),
        ("qmix", {"buffer_size": 1}, "--buffer-size 1 is too small: give at least 64, a batch (32) and a rollout (8"),
        ("iac", {"updates_per_step": 0.1}, "less than one update an iteration"),
        ("ippo", {"rollout_length": MAX_STEPS}, "--num-envs 128 times --rollout-length 2147483647 must be at most"),
        ("coma", {"critic_update": "epochs", "minibatches": 3}, "--minibatches must divide --num-envs 8, which 3"),
        ("qmixs", {"td_lambda": 0.5}, "--td-lambda needs sequences"),
    ],
)
def test_what_makes_no_algorithm_is_refused_without_one(algo, fields, message):
    config = dataclasses.replace(get_entry(algo).config(), **fields)
    with pytest.raises(ConfigError) as caught:
        check_config(config)
    assert str(caught.value).startswith(message) or message in str(caught.value)


def test_a_rank_beyond_the_joint_action_is_refused():
    entry, spec = get_entry("iac"), make_env("simple_world").spec
    dims = spec.num_agents * spec.action.dim
    entry.make(spec, entry.config(rank=dims))
    with pytest.raises(ConfigError, match=f"--rank {dims + 1} is more than the {dims} dimensions"):
        entry.make(spec, entry.config(rank=dims + 1))
    other = get_entry("siaq")  # whose policy has no factor
    other.make(spec, other.config(rank=99))


def test_bounds_in_short():
    """As --help shows them beside an option."""
    whole = [COUNT, COUNT_OR_ZERO, UNITS, up_to(32, least=0)]
    assert [bounds.in_short(whole=True) for bounds in whole] == [">= 1", ">= 0", "1..65536", "0..32"]
    floats = [POSITIVE, NOT_NEGATIVE, FRACTION, BELOW_ONE, UPDATES]
    assert [bounds.in_short(whole=False) for bounds in floats] == ["> 0", ">= 0", "[0, 1]", "[0, 1)", "(0, 1000]"]


def test_annotations_in_words():
    assert [expected(value, int | None) for value in (1, None)] == ["", ""]
    assert expected("x", int | None) == "a whole number or None"
    assert expected(1, float) == "" and expected(True, float) == "a number" and expected(1, bool) == "True or False"
    assert expected(1.0, int) == "a whole number"
    assert expected(("a", "b"), tuple[str, ...]) == "" and expected("ab", tuple[str, ...]) == "a list"
    assert expected([1], tuple[str, ...]) == "a list, each text"
    assert expected("a\0", str) == "text" and expected("\ud800", str) == "text" and expected("Ä\u3000", str) == ""
    assert expected(object(), make_env) == ""  # an annotation that says nothing of values
    assert "\n" not in show("a\nb") and len(show("a" * 5000)) < 100 and len(show([1] * 5000)) < 100


def test_words_become_values():
    assert [read_text(bool, "True"), read_text(int, "3"), read_text(float, "3"), read_text(str, "3")] == [
        True, 3, 3.0, "3",
    ]  # fmt: skip
    for kind, text in ((bool, "1"), (int, "3.0"), (float, "x"), (typing.Literal["a", "b"], "c")):
        with pytest.raises(ValueError):
            read_text(kind, text)
