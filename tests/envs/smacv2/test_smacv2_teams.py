"""Teams and start positions: moments and supports against samples of SMACv2's own (draws.npz)."""

from functools import cache
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy.stats import ks_2samp

from envs.smacv2.scenarios import RACES, DrawnScenario
from envs.smacv2.teams import Draws, draw_reflected, draw_starts, draw_surrounded, draw_team, draw_teams

DRAWS = Path(__file__).parents[2] / "data" / "smacv2_vectors" / "draws.npz"
SIZES = pytest.mark.parametrize("size", [(5, 5), (10, 11)], ids=["5_vs_5", "10_vs_11"])
MANY = 4000


@cache
def theirs():
    return dict(np.load(DRAWS))


def block(key, num_envs):
    return Draws(jax.random.uniform(key, (100, num_envs)))


def ours(draw, scenario, seed=0):
    """NumPy arrays [E, n, ...] of both teams."""
    both = jax.jit(lambda key: draw(scenario, block(key, MANY)))(jax.random.key(seed))
    return [np.moveaxis(np.asarray(leaf), -1, 0) for leaf in both]


def same_distribution(a, b):
    """Kolmogorov and Smirnov's test does not tell the samples apart (1 of 1000 times it would, wrongly)."""
    return ks_2samp(np.ravel(a), np.ravel(b)).pvalue > 1e-3


@SIZES
@pytest.mark.parametrize("race", RACES)
def test_teams(race, size):
    label = f"teams_{race}_{size[0]}_vs_{size[1]}"
    names = theirs()[f"types_{race}"].tolist()
    allies, enemies = (
        np.array([[names.index(RACES[race].types[kind]) for kind in team] for team in side])
        for side in ours(draw_teams, DrawnScenario(RACES[race], *size))
    )
    assert (allies == enemies[:, : size[0]]).all()  # the copy is in the same order
    exception = RACES[race].exception
    if exception is not None:
        assert (allies != names.index(exception)).any(axis=1).all()
        assert (enemies[:, size[0] :] != names.index(exception)).all()  # one more enemy is a team of its own
    for drawn, sample in ((allies, theirs()[f"{label}_allies"]), (enemies, theirs()[f"{label}_enemies"])):
        for kind in range(3):
            counts = (drawn == kind).sum(1), (sample == kind).sum(1)
            spread = counts[0].std() * np.sqrt(1 / MANY + 1 / len(sample)) + 1e-9
            assert abs(counts[0].mean() - counts[1].mean()) < 4 * spread, (kind, counts[0].mean(), counts[1].mean())


def test_a_small_team_is_never_made_of_exceptions_alone():
    """Of two terran members, both are medivacs with 0.01; without those teams: P(first is a medivac) = 0.09 / 0.99."""
    draw = jax.jit(lambda key: draw_team(RACES["terran"], block(key, 100_000), 2))
    team = np.asarray(draw(jax.random.key(0)))
    medivac = team == RACES["terran"].types.index("medivac")
    assert not medivac.all(axis=0).any()
    np.testing.assert_allclose(medivac.mean(axis=1), 0.09 / 0.99, atol=0.004)
    marine = team == RACES["terran"].types.index("marine")
    np.testing.assert_allclose(marine.mean(axis=1), 0.5 * (1 - 0.09 / 0.99), atol=0.006)


@SIZES
def test_reflected_starts(size):
    allies, enemies = ours(draw_reflected, DrawnScenario(RACES["protoss"], *size))
    np.testing.assert_allclose(enemies[:, : size[0], 0], 32 - allies[..., 0], atol=1e-5)
    np.testing.assert_array_equal(enemies[:, : size[0], 1], allies[..., 1])
    label = f"reflect_position_{size[0]}_vs_{size[1]}"
    for drawn, sample in ((allies, theirs()[f"{label}_allies"]), (enemies, theirs()[f"{label}_enemies"])):
        for unit in (0, -1):
            for axis in (0, 1):
                a, b = drawn[:, unit, axis], sample[:, unit, axis]
                assert same_distribution(a, b)
                np.testing.assert_allclose([a.min(), a.max()], [b.min(), b.max()], atol=0.8)  # the same support


@SIZES
def test_surrounded_starts(size):
    allies, enemies = ours(draw_surrounded, DrawnScenario(RACES["protoss"], *size))
    sample = theirs()[f"surrounded_{size[0]}_vs_{size[1]}_enemies"]
    assert (allies == 16).all() and (theirs()[f"surrounded_{size[0]}_vs_{size[1]}_allies"] == 16).all()
    for points in (enemies, sample):  # on the diagonals, between a corner and 2 cells from the middle
        offset = np.abs(points - 16)
        np.testing.assert_allclose(offset[..., 0], offset[..., 1], atol=1e-4)
        assert 2 - 1e-4 <= offset.min() < 2.2 and 15.8 < offset.max() <= 16
    assert same_distribution(np.abs(enemies[:, 0, 0] - 16), np.abs(sample[:, 0, 0] - 16))
    assert same_distribution(sides(enemies[:, 0]), sides(sample[:, 0]))
    assert same_distribution(groups(enemies), groups(sample))
    assert same_distribution(first_group(enemies), first_group(sample))


def sides(points):
    """Which diagonal, 0..3."""
    return 2 * (points[..., 0] > 16) + (points[..., 1] > 16)


def groups(points):
    """[E] groups that are not empty."""
    return np.array([len(np.unique(each, axis=0)) for each in points])


def first_group(points):
    """[E] the size of the group that enemy 0 is in; its members are the first ones."""
    same = (points == points[:, :1]).all(axis=-1)
    assert (np.diff(same.astype(int), axis=1) <= 0).all()
    return same.sum(axis=1)


def test_half_of_the_starts_are_surrounded():
    allies, _ = ours(draw_starts, DrawnScenario(RACES["terran"], 5, 5))
    share = (allies == 16).all(axis=(1, 2)).mean()
    assert abs(share - 0.5) < 0.03
