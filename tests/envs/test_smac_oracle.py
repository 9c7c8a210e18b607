"""The unmodified SMAC code, with our engine for a game, against our own interface: step by step over random battles.

Needs `oxwhirl/smac`; says so where it is not installed. `-m slow` plays 24 battles on each of five maps, two on each
other.
"""

from collections import Counter
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.smax import interface, outcome
from envs.smax.env import Smax, SmaxState
from envs.smax.scenarios import SCENARIOS
from tests.helpers.battle_states import FIELDS
from tests.helpers.smac_code import fake_sc2_or_skip

fake_sc2 = fake_sc2_or_skip()

FIVE_MAPS = ("3m", "8m", "2s3z", "3s5z", "MMM")
# SMAC computes in double precision and rounds at the end, we compute in single precision.
TOLERANCE = 1e-6
EARLY = 2  # steps in which no battle ends: the armies have not met yet


class Oracle:
    """Plays battles through SMAC and counts what it has compared."""

    def __init__(self, name: str, seed: int, limit: int | None = None, **options):
        self.env = Smax(name)
        self.scenario = self.env.scenario
        self.game = fake_sc2.make_game(name, seed=seed, **options)
        self.limit = self.game.episode_limit = limit or self.scenario.limit
        self.rng = np.random.default_rng(seed)
        self.counts, self.worst = Counter(), Counter()
        self.observe = jax.jit(partial(interface.observe, self.scenario))
        self.judge = jax.jit(self._judge)

    def _judge(self, before, after):
        over, won = outcome.ending(self.scenario, after)
        reward, _ = outcome.reward(self.scenario, outcome.tally(self.scenario, before), after, won)
        return reward, over, won, outcome.count_dead(self.scenario, after)

    @property
    def battle(self):
        return self.game._controller.battle

    def equal(self, what: str, theirs, ours, tolerance: float = 0.0):
        theirs, ours = np.asarray(theirs), np.asarray(ours)
        assert theirs.shape == ours.shape, what
        self.counts["values"] += theirs.size
        difference = np.abs(theirs.astype(np.float64) - ours.astype(np.float64)).max()
        self.worst[what] = max(self.worst[what], float(difference))
        assert difference <= tolerance, f"{what}: {difference} at {np.argwhere(theirs != ours)[:5].tolist()}"

    def compare_sight(self, obs, state, last_action):
        """What SMAC shows of the battle as it stands, and what we show of it."""
        seen = jax.device_get(self.observe(self.battle, last_action))
        self.equal("masks", self.game.get_avail_actions(), seen.avail[0])
        self.equal("observations", np.stack(obs), seen.obs[0], TOLERANCE)
        self.equal("state", state, seen.state[0], TOLERANCE)

    def choose(self, daring: float) -> list[int]:
        """Random legal actions; who can, attacks with the probability `daring`, mostly the first in reach."""
        actions = []
        for legal in map(np.flatnonzero, self.game.get_avail_actions()):
            targets = legal[legal >= 6]
            attacks = len(targets) and self.rng.random() < daring
            actions.append(int(targets[0] if attacks and self.rng.random() < 0.8 else self.rng.choice(legal)))
        return actions

    def disturb(self, **changes):
        """Sets fields of the battle behind SMAC's back, and shows them to SMAC."""
        controller = self.game._controller
        controller.battle = controller.battle._replace(**changes)
        self.game._obs = controller.observe()
        self.game.update_units()
        return self.game.get_obs(), self.game.get_state()

    def scatter(self):
        """Everybody anywhere on the map, many at its edges."""
        units = (len(self.scenario.units), 1)
        x = np.clip(self.rng.uniform(-6.0, 38.0, units), 0.0, 32.0)
        rows = np.flatnonzero(self.scenario.ground.terrain.walkable.any(axis=0))[[0, -1]]
        y = np.clip(self.rng.uniform(rows[0] - 2.0, rows[1] + 3.0, units), rows[0], rows[1] + 1.0)
        return self.disturb(x=x.astype(np.float32), y=y.astype(np.float32))

    def battle_through(
        self, daring: float, after_step=None, scattered: bool = False, felled: tuple[int, slice] | None = None
    ) -> None:
        """One battle to its end. `felled`: (step, units): in that step those units die, whatever the dice say."""
        game = self.game
        obs, state = game.reset()
        if scattered:
            obs, state = self.scatter()
        last_action = np.full((self.scenario.num_allies, 1), -1, np.int32)
        self.compare_sight(obs, state, last_action)
        over, steps = False, 0
        while not over:
            before, action = self.battle, self.choose(daring)
            steps += 1
            if felled and felled[0] == steps:
                self.fell(felled[1])
            reward, over, info = game.step(action)
            last_action = np.asarray(action, np.int32)[:, None]
            self.compare_sight(game.get_obs(), game.get_state(), last_action)
            our_reward, ended, won, dead = jax.device_get(self.judge(before, self.battle))
            self.equal("reward", reward, our_reward[0], TOLERANCE * max(1.0, reward))
            self.equal("terminated", over, ended[0] or steps >= self.limit)
            self.equal("battle won", info["battle_won"], won[0])
            self.equal("dead", [info["dead_allies"], info["dead_enemies"]], np.concatenate(dead))
            self.counts["steps"] += 1
            self.counts["won"] += int(info["battle_won"])
            self.counts["timed out"] += int(over and not ended[0])
            if after_step:
                after_step(self, action, steps, reward, over)
        self.counts["battles"] += 1

    def fell(self, units: slice) -> None:
        """Those units die in the step that comes: SMAC must not have seen them dead before."""
        health = self.battle.health.copy()
        health[units] = 0.0
        self.game._controller.battle = self.battle._replace(health=health)

    def report(self) -> str:
        worst = ", ".join(f"{what} {value:.1e}" for what, value in self.worst.items())
        return f"{self.scenario.name}: {dict(self.counts)}; largest differences: {worst}"


def shot_one_loop_later(ours, theirs) -> bool:
    """Whether one unit alone has shot a game loop later. A unit walks until its target is exactly as far as its weapon
    reaches, and the two programs, compiled apart, may round that distance to either side."""
    apart = np.abs(np.asarray(ours, np.float64) - np.asarray(theirs))
    return (apart > 1e-4).sum() == 1 and abs(apart.max() - 1.0) < 1e-4


def compare_environment(oracle: Oracle, action, steps: int, reward: float, over: bool) -> None:
    """The same step by `Smax.step`: our action ids must mean the orders that SMAC sent."""
    env, given = oracle.env, oracle.game._controller.stories[-1][-1]
    nothing = jnp.full((env.spec.num_agents, 1), -1, jnp.int32)
    state = SmaxState(given.battle, env.rules, nothing, jnp.asarray([steps - 1]))
    state, timestep = env.step(given.key, state, jnp.asarray([action]))
    if shot_one_loop_later(oracle.battle.cooldown, state.battle.cooldown):
        oracle.counts["one loop later"] += 1
        return
    for name in FIELDS:
        oracle.equal(f"engine's {name}", getattr(oracle.battle, name), getattr(state.battle, name), 1e-4)
    oracle.equal("env's reward", reward, timestep.reward[0], 1e-4)
    oracle.equal("env's end", over, (timestep.terminated | timestep.truncated)[0])
    oracle.equal("env's masks", oracle.game.get_avail_actions(), timestep.avail[0])
    oracle.equal("env's observations", np.stack(oracle.game.get_obs()), timestep.obs[0], 1e-4)
    oracle.equal("env's state", oracle.game.get_state(), timestep.state[0], 1e-4)


@pytest.mark.parametrize("name", ("3m", "2s3z"))
def test_what_smac_computes_of_a_battle_is_what_we_compute(name):
    oracle = Oracle(name, seed=1)
    for daring, scattered in ((0.9, False), (0.5, True)):
        oracle.battle_through(daring, scattered=scattered)
    assert oracle.counts["battles"] == 2 and oracle.counts["steps"] > 20


def test_smac_sorts_its_agents_into_our_order_and_counts_our_rewards():
    oracle = Oracle("2s3z", seed=4)
    listed = []
    for _ in range(2):
        oracle.battle_through(0.9)
        oracle.game.reset()
        tags = [oracle.game.get_unit_by_id(agent).tag for agent in range(5)]
        assert tags == [oracle.game._controller.tag_of(agent) for agent in range(5)]
        listed.append([unit.tag for unit in oracle.game._controller.observe().observation.raw_data.units][:5])
        assert listed[-1] != tags  # the game lists them in another order, so it was SMAC that sorted
    assert oracle.game.max_reward == 1020.0  # 5 * 10 + 200 + 2 * (80 + 80) + 3 * (100 + 50)


def test_a_battle_that_the_limit_ends():
    oracle = Oracle("3m", seed=2, limit=5)
    oracle.battle_through(0.5)
    assert dict(oracle.counts) | {"values": 0} == {"values": 0, "steps": 5, "won": 0, "timed out": 1, "battles": 1}


@pytest.mark.slow
@pytest.mark.parametrize("name", FIVE_MAPS)
def test_two_dozen_battles_a_map(name, capsys):
    total = Counter()
    for seed, life, least, scattered in ((10, 1.0, 0.4, False), (11, 0.08, 0.8, False), (12, 0.4, 0.3, True)):
        oracle = Oracle(name, seed, enemy_life=life)
        for daring in np.linspace(least, 1.0, 8):
            oracle.battle_through(daring, compare_environment, scattered)
        total += oracle.counts
        with capsys.disabled():
            print("\n" + oracle.report())
    assert total["battles"] == 24 and total["steps"] > 24 * EARLY
    assert total["one loop later"] <= 2


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "3m" else pytest.mark.slow) for name in sorted(SCENARIOS)]
)
def test_won_and_lost_battles_are_judged_alike(name):
    """Who wins a battle of random actions is a matter of luck, so here one side falls in the second step."""
    oracle = Oracle(name, seed=13)
    agents = oracle.scenario.num_allies
    for units, won in ((slice(agents, None), 1), (slice(agents), 1)):
        oracle.battle_through(0.9, felled=(EARLY, units))
        assert (oracle.counts["won"], oracle.counts["timed out"]) == (won, 0)
    assert oracle.counts["battles"] == 2 and oracle.counts["steps"] == 2 * EARLY


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(SCENARIOS) - set(FIVE_MAPS)))
def test_a_battle_and_a_scattered_one_on_every_other_map(name):
    oracle = Oracle(name, seed=7)
    for daring, scattered in ((0.9, False), (0.6, True)):
        oracle.battle_through(daring, scattered=scattered)
    assert oracle.counts["battles"] == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "allies, enemies, won, terminated",
    [
        (10, (9,), True, True),  # only their medivac is left
        ((9,), 10, False, True),  # only ours is
        ((9,), (9,), False, True),  # both
        ((), (), False, True),
        ((0, 9), (0, 9), False, False),
        (10, (0,), False, False),
        (10, (), True, True),
    ],
)
def test_who_is_left_decides_on_mmm(allies, enemies, won, terminated):
    """`allies` and `enemies`: who lives on, by number; 10: all."""
    oracle = Oracle("MMM", seed=5)
    oracle.game.reset()
    before = oracle.battle
    left = [*(range(10) if allies == 10 else allies), *(10 + e for e in (range(10) if enemies == 10 else enemies))]
    health = np.where(np.isin(np.arange(20), left), before.health[:, 0], 0.0).astype(np.float32)[:, None]
    # They die in the step itself: SMAC must not have seen them dead before.
    oracle.game._controller.battle = before._replace(health=health)
    action = [int(legal[1]) for legal in oracle.game.get_avail_actions()]
    reward, over, info = oracle.game.step(action)
    after = oracle.battle if left else before._replace(health=health)  # where nobody is, the map makes new teams
    our_reward, ended, we_won, dead = jax.device_get(oracle.judge(before, after))
    oracle.equal("reward", reward, our_reward[0], 1e-5)
    assert (over, info["battle_won"]) == (terminated, won) == (bool(ended[0]), bool(we_won[0]))
    oracle.equal("dead", [info["dead_allies"], info["dead_enemies"]], np.concatenate(dead))
