"""Options that SMAC lacks: a subclass pays for deaths only, on a double of SMAC's class; open_loop is refused."""

import pytest

from envs.errors import ConfigError
from envs.smac_backend import starcraft


class Double:
    """What `StarCraft2Env` has that rewards read: `reward_battle` records the deaths and pays 99."""

    reward_death_value, reward_negative_scale = 10.0, 0.5

    def __init__(self, map_name, reward_only_positive):
        self.reward_only_positive = reward_only_positive
        self.death_tracker_enemy, self.death_tracker_ally = [1, 0, 0], [0, 0]

    def reward_battle(self):
        self.death_tracker_enemy, self.death_tracker_ally = [1, 1, 1], [1, 0]
        return 99


@pytest.mark.parametrize("only_positive, paid", [(True, 20.0), (False, 15.0)])
def test_kills_pay_and_own_deaths_cost(monkeypatch, only_positive, paid):
    """Two kills of 10, and a loss of 5 where losses count; the next step, in which nobody dies, pays nothing."""
    monkeypatch.setattr(starcraft, "load_environment", lambda: Double)
    game = starcraft.make_game("3m", reward_damage=False, reward_only_positive=only_positive)
    assert [game.reward_battle(), game.reward_battle()] == [paid, 0.0]
    assert starcraft.make_game("3m", reward_only_positive=only_positive).reward_battle() == 99


def test_open_loop_is_refused():
    with pytest.raises(ConfigError, match="SMAC has no open_loop"):
        starcraft.make_game("3m", open_loop=True)
