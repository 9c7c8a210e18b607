"""Policies on disk: what is saved plays the same after loading, and what cannot be read ends in one line."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.base import ActionSpec, ConfigError
from iacjax.algorithms.registry import get_entry
from iacjax.digests import sign
from iacjax.policy import load_policy, save_policy
from tests.helpers.tiny_intrinsic import SMALL, SPEC, make_batch, make_networks, quick

ENTRY = get_entry("aiir_mix")
CONFIG = ENTRY.config(**SMALL)


def two_seeds():
    """Policy parameters of seeds 3 and 8, [2, ...]."""
    algorithm = ENTRY.make(SPEC, CONFIG)
    shapes = jax.eval_shape(lambda key: algorithm.policy(algorithm.init(key)), jax.random.key(0))
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: rng.normal(size=(2, *x.shape)).astype(np.float32), shapes)


@pytest.fixture
def saved(tmp_path):
    save_policy(tmp_path / "policy", "aiir_mix", CONFIG, SPEC, (3, 8), two_seeds())
    return tmp_path


def test_round_trip(saved):
    policy, params = load_policy(saved), two_seeds()
    assert (policy.algo, policy.config, policy.spec, policy.seeds) == ("aiir_mix", CONFIG, SPEC, (3, 8))
    for k in range(2):
        jax.tree.map(np.testing.assert_array_equal, policy.params[k], jax.tree.map(lambda x, k=k: x[k], params))
    assert load_policy(str(saved / "policy")).seeds == (3, 8)


def test_a_policy_saved_before_there_were_state_is_obs_and_options(saved):
    file = saved / "policy" / "policy.json"
    card = json.loads(file.read_text())
    assert card["spec"].pop("state_is_obs") is False
    assert card.pop("env_options") == []
    assert len(card.pop("sha256")) == len(card.pop("files")["3"][0]) == 64
    file.write_text(json.dumps(card))
    policy = load_policy(saved)
    assert (policy.spec, policy.env_options) == (SPEC, ())


def test_a_policy_older_than_a_field_is_what_it_was_trained_as(tmp_path):
    """MAAC from before its rewards were normalised; another group of its seeds still joins it."""
    spec = SPEC._replace(action=ActionSpec(dim=2, low=-1.0, high=1.0))
    kind = get_entry("maac").config
    old = kind(hidden_dim=8, buffer_size=512, normalise_rewards=False)
    save_policy(tmp_path, "maac", old, spec, (), {})
    card = json.loads((tmp_path / "policy.json").read_text())
    del card["config"]["normalise_rewards"], card["files"], card["sha256"]
    (tmp_path / "policy.json").write_text(json.dumps({**card, "seeds": []}))
    assert load_policy(tmp_path).config == old
    (tmp_path / "policy.json").write_text(json.dumps({**card, "seeds": [4]}))
    save_policy(tmp_path, "maac", old, spec, (), {})
    assert json.loads((tmp_path / "policy.json").read_text())["seeds"] == [4]


def test_the_options_of_the_environment_are_kept(tmp_path):
    save_policy(tmp_path, "aiir_mix", CONFIG, SPEC, (), {}, ("num_prey=2", "reward=flat"))
    assert load_policy(tmp_path).env_options == ("num_prey=2", "reward=flat")


def test_the_policy_alone_is_saved(saved):
    """Nothing of critics, rewards or optimisers: the actor's parameters by path."""
    with np.load(saved / "policy" / "seed_3.npz") as arrays:
        leaves, _ = jax.tree_util.tree_flatten_with_path(two_seeds())
        assert sorted(arrays) == sorted(jax.tree_util.keystr(path) for path, _ in leaves)
        assert not any(word in name for name in arrays for word in ("total", "reward", "opt"))
    assert sorted(x.name for x in (saved / "policy").iterdir()) == ["policy.json", "seed_3.npz", "seed_8.npz"]


def test_a_loaded_policy_plays_as_the_algorithm(saved):
    policy = load_policy(saved)
    rows = make_batch(make_networks()).rows
    ts, first = jax.tree.map(lambda x: x[1], rows), jnp.ones(4, bool)
    carry, action = quick(lambda ts: policy.act(policy.carry(4), ts, first, seed_index=1), ts)
    start, none = jnp.zeros((4, 3, 8)), jnp.full((1, 4, 3), -1)
    hidden, logits = quick(make_networks().actor.apply, policy.params[1], start, ts.obs[None], none, first[None])
    legal = ts.avail | ~ts.avail.any(-1, keepdims=True)
    np.testing.assert_array_equal(action, jnp.where(legal, logits[0], -jnp.inf).argmax(-1))
    np.testing.assert_allclose(carry.hidden, hidden, rtol=1e-6)


def test_another_group_of_seeds_joins_and_another_config_replaces(saved):
    save_policy(saved / "policy", "aiir_mix", CONFIG, SPEC, (5, 6), two_seeds())
    assert load_policy(saved).seeds == (3, 5, 6, 8)
    other = ENTRY.config(**{**SMALL, "clip": 0.3})
    save_policy(saved / "policy", "aiir_mix", other, SPEC, (1, 2), two_seeds())
    assert load_policy(saved).seeds == (1, 2)


def test_continuous_action_masks_are_saved(tmp_path):
    action = ActionSpec(dim=2, low=-2.0, high=2.0, mask=((True, True), (True, False), (True, True)))
    spec = SPEC._replace(action=action)
    save_policy(tmp_path, "aiir_mix", CONFIG, spec, (), {})
    card = json.loads((tmp_path / "policy.json").read_text())
    assert card["spec"]["action"]["mask"] == [[True, True], [True, False], [True, True]]


def edit(saved, **changes):
    """A card that says something else, and was saved like that."""
    file = saved / "policy" / "policy.json"
    file.write_text(json.dumps(sign({**json.loads(file.read_text()), **changes})))


def tear(file, keep=0.5):
    file.write_bytes(file.read_bytes()[: int(keep * file.stat().st_size)])


DAMAGE = {
    "nothing there": (lambda d: (d / "policy" / "policy.json").unlink(), "no policy in"),
    "torn json": (lambda d: tear(d / "policy" / "policy.json"), "policy.json cannot be read"),
    "binary json": (lambda d: (d / "policy" / "policy.json").write_bytes(b"\xff\xfe\x80"), "cannot be read"),
    "a list": (lambda d: (d / "policy" / "policy.json").write_text("[]"), "policy.json cannot be read"),
    "no seeds": (lambda d: (d / "policy" / "policy.json").write_text('{"algo": "aiir_mix"}'), "cannot be read"),
    "spec is text": (lambda d: edit(d, spec="x"), "cannot be read"),
    "foreign field": (lambda d: edit(d, config={"no_such_field": 1}), "no_such_field"),
    "unknown algorithm": (lambda d: edit(d, algo="aiir_mux"), "did you mean aiir_mix"),
    "other sizes": (lambda d: edit(d, config={**SMALL, "hidden_dim": 16}), "other sizes"),
    "other networks": (lambda d: edit(d, config={**SMALL, "shared_actor": False}), "other sizes|is not a policy"),
    "a seed is missing": (lambda d: (d / "policy" / "seed_8.npz").unlink(), "seed_8.npz is not a policy"),
    "torn npz": (lambda d: tear(d / "policy" / "seed_8.npz"), "seed_8.npz is not a policy"),
    "empty npz": (lambda d: tear(d / "policy" / "seed_8.npz", 0.0), "seed_8.npz is not a policy"),
}


@pytest.mark.parametrize("case", sorted(DAMAGE))
def test_damage_ends_in_one_line(case, saved):
    damage, message = DAMAGE[case]
    damage(saved)
    with pytest.raises(ConfigError, match=message) as caught:
        load_policy(saved)
    assert "\n" not in str(caught.value)


def test_no_directory_and_a_file_in_its_place(tmp_path):
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(ConfigError, match="no policy in .* give the directory of a run"):
            load_policy(place)
