"""Rules in a file: what is read, what keeps its default, what is refused."""

import json

import jax
import numpy as np
import pytest

from envs.errors import ConfigError
from envs.registry import make_env
from envs.smax.battle import Numbers, default_rules
from envs.smax.rules import preset, smac_numbers
from envs.smax.rules_file import find_rules, grid_rows
from envs.smax.scenarios import get_scenario

KINDS = ("stalker", "zealot")


def written(tmp_path, data):
    file = tmp_path / "rules.json"
    file.write_text(data if isinstance(data, str) else json.dumps(data))
    return str(file)


def test_what_is_not_named_keeps_its_default(tmp_path):
    rules = find_rules(written(tmp_path, {"rules": {"enemy_medivac": 0.0, "scan_margin": -1}, "map": "MMM"}), KINDS)
    assert rules == default_rules()._replace(enemy_medivac=0.0, scan_margin=-1.0)
    assert rules.numbers is None and all(value.dtype == np.float32 for value in rules[:-1])


def test_numbers_of_a_type_change_it_alone(tmp_path):
    file = written(tmp_path, {"numbers": {"stalker": {"damage": 13.0, "period": 21.5}, "marine": {"damage": 9.0}}})
    numbers = find_rules(file, KINDS).numbers
    for field in Numbers._fields:
        ours = [smac_numbers(kind)[field] for kind in KINDS]
        want = {"damage": [13.0, 8.0], "period": [21.5, ours[1]]}.get(field, ours)
        np.testing.assert_array_equal(getattr(numbers, field), np.float32(want)[:, None], err_msg=field)
    assert find_rules(file, ("medivac",)) == default_rules()


def test_presets_go_by_their_names():
    rules = find_rules("smaclite", KINDS), preset("smaclite", KINDS), default_rules()
    named, made, default = map(jax.tree.leaves, rules)
    assert all(np.array_equal(a, b) for a, b in zip(named, made, strict=True))
    assert len(named) > len(default)  # the units' numbers came with it


@pytest.mark.parametrize(
    "data, text",
    [
        ("not json", "cannot be read"),
        ([1], "must hold an object"),
        ({"rules": {"scan_rage": 1}}, "unknown scan_rage in rules: it takes scan_margin"),
        ({"rules": [1]}, "unknown rules: it takes"),
        ({"rules": {"numbers": 1}}, "unknown numbers in rules"),
        ({"rules": {"scan_edge": True}}, "scan_edge in rules must be a number, not True"),
        ({"rules": {"scan_edge": "x"}}, "must be a number, not 'x'"),
        ('{"rules": {"scan_edge": NaN}}', "must be a number, not nan"),
        ({"numbers": {"probe": {}}}, "numbers must be given by unit type: baneling,"),
        ({"numbers": {"zealot": {"hp": 1}}}, "unknown hp in numbers of zealot: it takes speed"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path, data, text):
    file = written(tmp_path, data)
    with pytest.raises(ConfigError) as error:
        find_rules(file, KINDS)
    assert text in str(error.value) and file in str(error.value) and "\n" not in str(error.value)


def test_there_must_be_such_a_file_or_preset(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        find_rules(str(tmp_path / "none.json"), KINDS)
    with pytest.raises(
        ConfigError, match="unknown rules 'mine': choose smac, smac_v0, smaclite, short_sighted, or give"
    ):
        make_env("smax:3m", rules="mine")


def test_the_environment_plays_by_them(tmp_path):
    """Places are made without noise: agents open alike in two battles."""
    file = written(tmp_path, {"rules": {"spawn_noise": 0.0}, "numbers": {"marine": {"damage": 7.0}}})
    env = make_env("smax:3m", rules=file)
    first, second = (env.reset(jax.random.key(seed), 1)[0] for seed in (0, 1))
    np.testing.assert_array_equal(first.battle.x[:3], second.battle.x[:3])
    assert first.rules.numbers.damage.shape == (1, 1) and float(first.rules.numbers.damage[0, 0]) == 7.0


def test_a_games_grid_takes_the_place_of_ours_on_the_maps_with_that_terrain(tmp_path):
    """A strip without row 7: from y = 8.5 no step south any more. Other terrains keep their cells."""
    grid = get_scenario("3m").ground.terrain.walkable.copy()
    grid[:, 7] = False
    rows = grid_rows(grid)
    assert rows[7] == "#" * 32 and rows[8] == "##" + "." * 28 + "##"
    file = written(tmp_path, {"pathing_grid": {"strip": rows}})
    env = make_env("smax:3m", rules=file)
    np.testing.assert_array_equal(env.scenario.ground.terrain.walkable, grid)
    assert env.scenario.ground.terrain.box == (2.0, 30.0, 8.0, 25.0)
    corridor = get_scenario("corridor").ground
    assert make_env("smax:corridor", rules=file).scenario.ground == corridor
    for wrong, text in (
        ([1], "by the names of terrains"),
        ({"strip": rows[:5]}, "32 x 32 cells"),
        ({"strip": [""]}, "32 rows"),
    ):
        with pytest.raises(ConfigError, match=text):
            make_env("smax:3m", rules=written(tmp_path, {"pathing_grid": wrong}))
