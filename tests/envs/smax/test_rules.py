"""Rule sets: SMAClite's numbers in battle, SMAC's as numbers, and domain randomisation."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.base import ConfigError
from envs.check import check_env
from envs.registry import make_env
from envs.smax.battle import MOVE, STOP, Numbers, Orders, Roster, Team, default_rules
from envs.smax.dynamics import run_loops
from envs.smax.env import Smax
from envs.smax.rules import OTHER_RULES, draw_all, preset, smac_numbers, smaclite_numbers, stack_numbers
from envs.smax.scenarios import get_scenario
from envs.smax.spawn import spawn

# Each enemy stands in reach of one ally only.
VICTIMS = ("marine", "stalker", "marauder", "stalker")
KILLERS = ("marine", "stalker", "marauder", "zealot")
PLACES = [(4, 9), (10, 22), (22, 9), (28, 22)] + [(8, 9), (15, 22), (27, 9), (29, 22)]


@partial(jax.jit, static_argnums=(0, 1, 4))
def play_loops(names, num_allies, rules, state, loops):
    """`state` = (battle, orders); healths and places after each of `loops` loops, without random delays."""
    roster, (battle, orders) = Roster(names, num_allies), state

    def step(battle, _):
        battle = run_loops(roster, rules, battle, orders, jnp.ones(battle.x.shape), 1)
        return battle, (battle.health + battle.shield, battle.x)

    return jax.lax.scan(step, battle, length=loops)[1]


def stage(names, num_allies, places, rules, kind, goal=(0.0, 0.0)):
    """One environment of full units at `places`; every ally has the order `kind`."""
    battle = spawn(names, num_allies, rules, jax.random.key(0), 1)
    x, y = np.array(places, np.float32).T[:, :, None]
    orders = Orders(*(np.full((num_allies, 1), value) for value in (kind, *map(np.float32, goal), 0)))
    return battle._replace(x=jnp.asarray(x), y=jnp.asarray(y)), orders


@pytest.fixture(scope="module")
def duels():
    """Bodies [loops, victims] under the fire of SMAClite's weapons."""
    names = VICTIMS + KILLERS
    rules = preset("smaclite", Team(names).kinds)
    bodies, _ = play_loops(names, 4, rules, stage(names, 4, PLACES, rules, STOP), 240)
    return np.asarray(bodies)[:, :4, 0]


def hits(duels, victim):
    """Numbers of the loops, from 1, in which it was hit."""
    full = [45, 160, 125, 160][victim]
    return np.flatnonzero(np.diff(duels[:, victim], prepend=np.float32(full)) < 0) + 1


def test_smaclite_marine_kills_a_marine_on_tick_71(duels):
    """8 shots of 6, one every ceil(0.61 s x 16) = 10 ticks: 1, 11, ..., 71. Vector 18, measured in SMAClite itself."""
    np.testing.assert_array_equal(hits(duels, 0), 1 + 10 * np.arange(8))
    assert duels[-1, 0] == 0


def test_smaclite_stalkers_and_marauders(duels):
    """13 + 5 against 80 / 80, armor 1: 4 hits take 72, the fifth 8 and 10 - 1 = 9, 71 / 17 -> 5: ten hits, every 22
    ticks (1.34 s x 16 = 21.4). A marauder's 10 + 10 - 1 against 125: 7 hits, every 18 ticks (17.1)."""
    stalker, marauder = hits(duels, 1), hits(duels, 2)
    assert len(stalker) == 10 and set(np.diff(stalker)) == {22}
    assert len(marauder) == 7 and set(np.diff(marauder)) == {18}
    assert stalker[0] == marauder[0] == 2  # at once, where SMAClite has 1: what flies lands one loop late


def test_smaclite_zealot(duels):
    """2 x 8, the second blow one loop after the first, every 14 ticks (0.86 s x 16 = 13.8): 22 blows (vector 16)."""
    blows = hits(duels, 3)
    assert len(blows) == 22
    assert set(np.diff(blows)[::2]) == {1} and set(np.diff(blows)[1::2]) == {13}


def test_smaclite_walks():
    """Eight ticks at 3.15, 4.13 and 3.5 / 16 a tick: vector 21. The medivac reaches its speed within the first."""
    names = ("marine", "stalker", "medivac", "marine")
    rules = preset("smaclite", Team(names).kinds)
    start = [(4, 9), (4, 13), (4, 19), (30, 23)]
    _, x = play_loops(names, 3, rules, stage(names, 3, start, rules, MOVE, (20.0, 16.0)), 8)
    far = np.hypot(16, [7, 3, 3])  # to the goal; 16 of it along x
    walked = (np.asarray(x)[-1, :3, 0] - 4) * far / 16
    np.testing.assert_allclose(walked, [1.575, 2.065, 1.75 - 0.5 * 3.5 / 16], atol=1e-4)


def test_medivacs_draw_fire_in_smaclite():
    """A medivac at 4 cells, a marine at 3: SMAC's enemy shoots at the nearer, SMAClite's at the medivac."""
    names = ("marine", "medivac", "marine")
    kinds = Team(names).kinds
    both = {"smaclite": preset("smaclite", kinds)}
    both["smac"] = default_rules()._replace(numbers=stack_numbers({kind: smac_numbers(kind) for kind in kinds}))
    hurt = {}
    for name, rules in both.items():
        places = [(10, 16), (9, 16), (13, 16)]
        bodies, _ = play_loops(names, 2, rules, stage(names, 2, places, rules, STOP), 8)
        hurt[name] = (np.asarray(bodies)[-1, :2, 0] < [45, 150]).tolist()
    assert hurt == {"smac": [True, False], "smaclite": [False, True]}


@pytest.mark.parametrize("name", ["2s3z", pytest.param("MMM", marks=pytest.mark.slow)])
def test_numbers_of_our_own_change_nothing(name):
    """The engine with its constants given as numbers plays the same battle."""
    env, kinds = Smax(name), Team(get_scenario(name).units).kinds
    given = Smax(name, rules=default_rules()._replace(numbers=stack_numbers({k: smac_numbers(k) for k in kinds})))

    def play(env):
        def step(carry, key):
            _, timestep = carry
            action = jnp.argmax(timestep.avail * jax.random.uniform(key, timestep.avail.shape), axis=-1)
            state, timestep = env.step(key, carry[0], action)
            return (state, timestep), state.battle.health

        keys = jax.random.split(jax.random.key(1), 24)
        return jax.jit(lambda: jax.lax.scan(step, env.reset(jax.random.key(0), 3), keys)[1])()

    ours, same = np.asarray(play(env)), np.asarray(play(given))
    assert (ours[-1] < ours[0]).any()
    np.testing.assert_allclose(same, ours, atol=1e-3)


def test_draws_lie_between_the_two_simulators():
    """Stalkers: SMAC 10 + 4 every 23.04 loops, SMAClite 13 + 5 every 21.44; then 20 % about it."""
    rules = draw_all(jax.random.key(0), 4096, ("stalker", "zealot"), 0.2)
    for field in Numbers._fields:
        drawn = np.asarray(getattr(rules.numbers, field))
        for row, kind in zip(drawn, ("stalker", "zealot"), strict=True):
            ends = sorted((smac_numbers(kind)[field], smaclite_numbers(kind)[field]))
            width = 0.0 if field in ("jitter", "flight") else 0.2
            low, high = ends[0] * (1 - width), ends[1] * (1 + width)
            assert low - 1e-5 <= row.min() and row.max() <= high * (1 + 1e-6), field
            assert row.max() - row.min() >= 0.85 * (high - low), field
    damage = np.asarray(rules.numbers.damage)[0]
    assert abs(damage.mean() - 11.5) < 0.1  # (10 + 13) / 2; standard error sqrt(0.75 + 1.8) / 64 = 0.025
    taken = np.mean(np.asarray(rules.medivac_rank) == -1.0)
    assert abs(taken - OTHER_RULES) < 0.03  # standard error sqrt(0.25 * 0.75) / 64 = 0.007


def test_restart_redraws_numbers_of_its_environments_only():
    env = Smax("3m", randomise=0.2)
    state, timestep = env.reset(jax.random.key(0), 4)
    where = jnp.asarray([True, False, False, True])
    again, _ = env.restart(jax.random.key(1), state, timestep, where)
    for old, new in zip(state.rules.numbers, again.rules.numbers, strict=True):
        if np.ptp(np.asarray(old)) > 0:  # SMAC and SMAClite agree that a marine has no bonus
            np.testing.assert_array_equal((old == new)[0], [False, True, True, False])


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"randomise": 0.2}, {"rules": "smaclite"}])
def test_keeps_the_contract(options):
    check_env(Smax("MMM", **options))


def test_mistakes_are_named():
    for options, says in (
        ({"rules": "smacv2"}, "choose smac"),
        ({"randomise": 1.5}, "0 <= x < 1"),
        ({"randomise": True}, "randomise must be a number, not True"),
        ({"randomise": 0.2, "rules": "smac"}, "leave out rules"),
    ):
        with pytest.raises(ConfigError, match=says):
            make_env("smax:3m", **options)


def first_target(names, num_allies, places, rules, target=None):
    """The target of the last unit, an enemy, after one loop; `target` is the one that it had before."""
    battle, orders = stage(names, num_allies, places, rules, STOP)
    if target is not None:
        battle = battle._replace(target=battle.target.at[-1].set(target))
    return int(run_loops(Roster(names, num_allies), rules, battle, orders, jnp.zeros(battle.x.shape), 1).target[-1, 0])


@pytest.mark.parametrize(
    "kind, name, notices",
    [
        ("zealot", "smac", 5.5),
        ("zealot", "smac_v0", 6.0),
        ("marine", "smac", 5.75),
        ("stalker", "smac", 7.25),
        ("marine", "short_sighted", 2.875),
    ],
)
def test_how_far_an_enemy_sees_its_like(kind, name, notices):
    """Zealots look 5 cells far, by default halfway between centre and edge, edge to edge in the old rules (radius 0.5).

    Everybody sees what its weapon reaches: a marine 5 + 2 x 0.375, a stalker 6 + 2 x 0.625; the short-sighted do not.
    """
    rules, names = preset(name, (kind,)), (kind,) * 2
    for gap, target in ((notices - 0.01, 0), (notices + 0.01, -1)):
        assert first_target(names, 1, [(9, 16), (9 + gap, 16)], rules) == target


@pytest.mark.parametrize("name, expected", [("smac", [0, 1]), ("smac_v0", [1, 1])])
def test_a_melee_enemy_pursues_its_target_within_scan_range(name, expected):
    """Its target is out of its weapon's reach (1.1), another ally is nearer; 6.1 is beyond scan range, edge to edge."""
    rules, names = preset(name, ("zealot",)), ("zealot",) * 3
    for gap, target in zip((5.9, 6.1), expected, strict=True):
        assert first_target(names, 2, [(16 - gap, 16), (17.5, 16), (16, 16)], rules, target=0) == target


def test_smac_is_the_default():
    assert preset("smac", ("marine",)) == default_rules()
    changed = {  # by the calibration, and before
        "scan_edge": (0.5, 1.0), "chase": (1.0, 0.0), "switch": (1.0, 0.0), "push_attacking": (0.4, 0.15),
        "slide": (0.9, 0.0), "beam_radius": (0.5, 1.0),
    }  # fmt: skip
    new, old = default_rules(), preset("smac_v0", ("marine",))
    differ = {name: (float(getattr(new, name)), float(getattr(old, name))) for name in changed}
    assert differ == {name: pytest.approx(values) for name, values in changed.items()}
    assert new._replace(**{name: getattr(old, name) for name in changed}) == old
    assert Smax("3m").rules.numbers is None
