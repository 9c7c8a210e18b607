"""`experiments.evaluate --backend`, the whole way: policy, backend, the real SMAC code, and our engine for a game.

Needs `oxwhirl/smac`; says so where it is not installed.
"""

import csv
import importlib.util
import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.smac_backend.backend import Backend
from envs.smax.env import SmaxState
from experiments.config.env_options import make_run_env
from experiments.evaluate import main
from experiments.smac.games import play_on_backend
from iacjax import load_policy
from tests.helpers.battle_states import FIELDS
from tests.helpers.untrained import save_untrained

if importlib.util.find_spec("smac") is None:
    pytest.skip("needs oxwhirl/smac, which is not installed here", allow_module_level=True)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # hundreds of them, of PySC2's protobuf files
    from tests.helpers.fake_sc2 import FakeSC2, make_game

EPISODES = 3


def untrained(directory, *env_options):
    """An untrained policy of 3m that heeds what it sees, with weights of a usual size: rounding must not grow in it."""
    rng = np.random.default_rng(2)
    return save_untrained(directory, (0,), lambda shape: rng.normal(size=shape) / np.sqrt(shape[1]), env_options)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("run"))


class Games:
    """A factory that remembers what it has made."""

    def __init__(self, **options):
        self.made: list[FakeSC2] = []
        self.options = options

    def __call__(self, map_name, **options):
        self.made.append(make_game(map_name, **self.options, **options))
        self.options.pop("breaks_after", None)  # of the first game alone
        return self.made[-1]


def play(run_dir, tmp_path, games, **options):
    """(Played, rows of the journal as numbers, the policy)"""
    policy, file = load_policy(run_dir), tmp_path / "episodes.csv"
    backend = Backend("fake", games)
    played = play_on_backend(policy, backend, "3m", EPISODES, file, games=0, say=lambda line: None, **options)
    with file.open() as lines:
        return played, [{k: float(v) for k, v in row.items()} for row in csv.DictReader(lines)], policy


def replay_at_home(policy, story, length):
    """(return, won) of the same battle in our own environment: same opening, same random numbers, same policy.

    Two programs may round a place differently, so each step starts where the battle's own step did.
    """
    env = make_run_env("smax:3m", policy.env_options)
    opening = jax.tree.map(jnp.asarray, story[0].battle)
    state = SmaxState(opening, env.rules, jnp.full((3, 1), -1, jnp.int32), jnp.zeros(1, jnp.int32))
    _, blank = env.reset(jax.random.key(0), 1)
    state, timestep = env.restart(jax.random.key(0), state, blank, jnp.zeros(1, bool))  # which restarts nothing
    act = jax.jit(partial(policy._replace(params=(policy.params[0],)).act))
    carry, total, first = policy.carry(1), 0.0, jnp.ones(1, bool)
    for told in story[:length]:
        for name in FIELDS:
            ours, theirs = getattr(state.battle, name), getattr(told.battle, name)
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4, err_msg=name)
        state = state._replace(battle=jax.tree.map(jnp.asarray, told.battle))
        carry, action = act(carry, timestep, first)
        state, timestep = env.step(told.key, state, action)
        total, first = total + float(timestep.reward[0]), jnp.zeros(1, bool)
    assert bool(timestep.boundary[0])
    return total, bool(timestep.info["won"][0])


def test_a_policy_plays_through_smac_as_it_does_at_home(run_dir, tmp_path):
    """Each episode: the same battle, step by step, the same length, end and return."""
    games = Games(enemy_life=0.3)
    played, rows, policy = play(run_dir, tmp_path, games, save_replay=True)
    assert (played.discarded, played.replaced, played.complete, played.replays) == (0, 0, True, 1)
    (game,) = games.made
    stories = [story for story in game._controller.stories if story]
    assert len(stories) == len(rows) == EPISODES
    for row, story in zip(rows, stories, strict=True):
        total, won = replay_at_home(policy, story, int(row["length"]))
        assert row["return"] == pytest.approx(total, abs=1e-4) and row["won"] == won
    assert game._run_config.replays == [("3m_game0", b"3 battles")]
    assert game._sc2_proc.closed == 1
    assert game.get_stats()["battles_game"] == EPISODES and game.max_reward == 365.0


def test_a_policy_plays_on_smac_with_the_options_it_was_trained_with(tmp_path):
    options = ("obs_last_action=True", "obs_timestep_number=True", "obs_instead_of_state=True", "reward=semisparse")
    games = Games(enemy_life=0.3)
    played, rows, policy = play(untrained(tmp_path / "run", *options), tmp_path, games)
    assert (played.discarded, played.replaced, played.complete) == (0, 0, True)
    (game,) = games.made
    assert (game.obs_last_action, game.reward_only_positive, game.reward_scale_rate) == (True, False, 10.0)
    # SMAC declares one number less than it gives: 30 + 2 * 9 + 1
    assert (game.get_obs_size(), policy.spec.obs_dim, policy.spec.state_dim) == (49, 50, 150)
    for row, story in zip(rows, filter(None, game._controller.stories), strict=True):
        total, won = replay_at_home(policy, story, int(row["length"]))
        assert row["return"] == pytest.approx(total, abs=1e-4) and row["won"] == won


def test_a_game_that_breaks_off_is_replaced_and_its_episode_replayed(run_dir, tmp_path):
    games = Games(breaks_after=5)
    played, rows, _ = play(run_dir, tmp_path, games)
    assert played.discarded == 1 and len(rows) == EPISODES and len(games.made) == 2
    broken, sound = games.made
    assert broken.force_restarts == 1 and broken.battles_game == 0
    assert sound.force_restarts == 0 and sound.battles_game == EPISODES
    assert sound._seed != broken._seed


@pytest.mark.slow
def test_the_whole_command_in_processes(run_dir, capsys):
    argv = [str(run_dir), "--backend", "tests.helpers.fake_sc2:make_game", "--episodes", "4", "--games", "2"]
    assert main(argv) == 0
    assert "episodes discarded and replayed: 0; illegal actions replaced: 0" in capsys.readouterr().out
    assert (run_dir / "evaluation_make_game_3m.json").exists()
