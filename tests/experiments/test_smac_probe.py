"""The probe of the real game: its measurements by hand, and, where SMAC is installed, over our engine.

Over our engine it must read back our own numbers, and those of an engine with other ones.
"""

import importlib.util
import json
import warnings

import numpy as np
import pytest

from envs.errors import ConfigError
from envs.registry import make_env
from envs.smac_backend import measures, starcraft
from envs.smac_backend.battle_logs import BattleLog, ProbeLogs, shifts
from envs.smac_backend.measures import FirstShot
from envs.smax.battle import default_rules
from envs.smax.rules import smac_numbers, stack_numbers
from envs.smax.scenarios import get_scenario
from experiments import smac_probe
from experiments.smac import probe

nan = float("nan")


def log(names, num_allies, frames, **changes):
    """A log of healthy units that stand still at x = 0, 2, 4, ..."""
    shape = (frames, len(names))
    fields = {name: np.zeros(shape) for name in ("y", "shield", "cooldown", "energy")}
    fields |= {"x": np.broadcast_to(2.0 * np.arange(len(names)), shape), "health": np.full(shape, 100.0)}
    return BattleLog(
        tuple(names), num_allies, **(fields | {name: np.asarray(value) for name, value in changes.items()})
    )


def column(*columns):
    return np.stack([np.asarray(values, float) for values in columns], axis=1)


def test_mode_and_median():
    assert measures.mode([1.0, 2.0, 2.0, 3.0]) == 2.0
    assert measures.mode([1.0, 2.0]) == 2.0  # of two that are as common, the larger
    assert measures.mode([0.5, 0.50002]) == pytest.approx(0.50001)  # one value, within a thousandth
    assert np.isnan(measures.mode([])) and np.isnan(measures.median([]))


def test_damage_on_shields_and_on_life():
    """Zealot 1 loses 10 of its shield twice, then 4 of it and 5 of its life (no clean hit), then 9 of its life."""
    battle = log(
        ["stalker", "zealot"], 1, 6,
        shield=column([80] * 6, [24, 14, 4, 0, 0, 0]), health=column([80] * 6, [100, 100, 100, 95, 86, 0]),
    )  # fmt: skip
    assert measures.damages([battle]) == {("stalker", "zealot", True): 10.0, ("stalker", "zealot", False): 9.0}


def test_speed_is_that_of_who_walks_freely():
    """Enemy marine 2 walks 0.14 a loop, alone; 3 and 4 do 0.3, but they touch: 0.6 is less than twice 0.375."""
    t = np.arange(30.0)
    x = column(0 * t, 0 * t + 3, 20 - 0.14 * t, 25 - 0.3 * t, 25.6 - 0.3 * t)
    battle = log(["marine"] * 5, 2, 30, x=x, y=column(t * 0.2, 0 * t, 0 * t + 4, 0 * t, 0 * t))
    logs = ProbeLogs(battle, (), battle, None)
    found = measures.speeds(logs)
    assert found["marine", False] == pytest.approx(0.2) and found["marine", True] == pytest.approx(0.14)


def test_shields_rest_then_grow():
    """The last loss is between frames 1 and 2, the first growth between frames 5 and 6: four loops later."""
    battle = log(["zealot", "zealot"], 1, 8, shield=column([50, 40, 30, 30, 30, 30, 30.2, 30.4], [50] * 8))
    assert measures.shield_growth(battle) == (4.0, pytest.approx(0.2))


def test_the_first_shot_is_known_by_its_damage():
    """A stalker's shot takes 10 of a zealot's shield (8 would be a zealot's); it flew (6 + 0.625 + 0.5) / 1.17 = 6.08
    loops and was launched 7 cells away, before the shooter walked on."""
    launched, hit = 3, 9
    place = [20.0] * 2 + [17.0] * (launched + 1 - 2) + [16.0] * (12 - launched - 1)
    shield = column([50.0] * (hit + 1) + [40.0] * (11 - hit), [80] * 12, [50] * 12)
    x = column([10.0] * 12, place, [30.0] * 12)
    battle = log(["zealot", "stalker", "zealot"], 1, 12, x=x, shield=shield)
    assert measures.first_shots(battle, {}) == {"stalker": FirstShot(7.0, 1.125, 7.125)}


def test_rules_of_scan_by_where_enemies_fire():
    def rules(distance):
        return probe.scan_rules({"stalker": FirstShot(distance, 1.25, 7.25), "zealot": FirstShot(1.0, 1.0, 1.1)})

    assert rules(7.1) == {"scan_edge": 1.0, "scan_margin": 0.0}
    assert rules(6.6) == {"scan_edge": 0.5, "scan_margin": 0.0}  # 6 + 1.25 / 2
    assert rules(5.9) == {"scan_edge": 0.0, "scan_margin": 0.0}  # 6 from centre to centre
    assert rules(5.0) == {"scan_edge": 0.0, "scan_margin": pytest.approx(-1.0)}
    assert probe.scan_rules({"zealot": FirstShot(1.0, 1.0, 1.1)}) == {}  # its scan range is beyond its reach


def test_numbers_are_only_what_differs():
    """Multiplayer's stalker: 13, and 5 more against armored; on a zealot's life 13 - 1 = 12."""
    zealot = log(["stalker", "zealot"], 1, 3, health=column([80] * 3, [100, 88, 76]))
    stalker = log(["stalker", "stalker"], 1, 3, shield=column([80] * 3, [80, 62, 44]))
    logs = ProbeLogs(zealot, (zealot, stalker), zealot, None)
    found = [measures.Finding("zealot: speed, agents", "cells a loop", 0.2, 0.14, 0.004)]
    found += [measures.Finding("stalker: speed, agents", "cells a loop", nan, 0.18, 0.004)]
    found += [measures.Finding("stalker: cooldown after a strike", "loops", 22.0, 23.5, 1.0)]
    assert probe.measured_numbers(logs, found) == {
        "zealot": {"speed": 0.2}, "stalker": {"period": 21.5, "damage": 13.0, "bonus": 5.0}}  # fmt: skip


def test_shifts_bring_every_type_to_every_type():
    scenario = get_scenario("2s3z")  # agents s s z z z, enemies s s z z z
    assert shifts(scenario) == [0, 1]
    assert shifts(get_scenario("3m")) == [0]


def test_what_cannot_work_is_one_line_and_exit_code_2(capsys, monkeypatch, tmp_path):
    for argv, text in [
        (["--map", "9z"], "unknown StarCraft map '9z'"),
        (
            ["--out", "rules.txt"],
            "--out must be a file that can be written, not 'rules.txt' (give a name that ends in .json)",
        ),
        (["--out", str(tmp_path / "none" / "a.json")], "there is no directory"),
    ]:
        assert smac_probe.main(argv) == 2
        error = capsys.readouterr().err
        assert text in error and error.count("\n") == 1

    def none(map_name):
        raise ConfigError("SMAC is not installed: ...")

    monkeypatch.setattr(starcraft, "make_game", none)
    assert smac_probe.main([]) == 2
    assert capsys.readouterr().err == "error: SMAC is not installed: ...\n"


def test_without_the_game_it_is_one_line_and_the_game_is_closed(capsys, monkeypatch):
    class Game:
        closed = False

        def reset(self):
            raise FileNotFoundError(2, "none", str(starcraft.game_folder() / "Versions"))

        def close(self):
            self.closed = True

    game = Game()
    monkeypatch.setattr(starcraft, "make_game", lambda map_name: game)
    assert smac_probe.main([]) == 2 and game.closed
    assert "no StarCraft II" in capsys.readouterr().err


@pytest.fixture(scope="module")
def fake():
    if importlib.util.find_spec("smac") is None:
        pytest.skip("needs oxwhirl/smac, which is not installed here")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from tests.helpers import fake_sc2
    return fake_sc2


def probed(fake, monkeypatch, capsys, tmp_path, name, **options):
    """The file that the command writes, and its path; `options` are of the engine that plays the game."""
    monkeypatch.setattr(starcraft, "make_game", lambda map_name: fake.make_game(map_name, seed=1, **options))
    out = tmp_path / "rules.json"
    assert smac_probe.main(["--map", name, "--out", str(out)]) == 0
    assert f"wrote {out}: --env smax:{name} --env-options rules={out}" in capsys.readouterr().out
    return json.loads(out.read_text()), str(out)


def test_over_our_engine_it_reads_back_our_numbers(fake, monkeypatch, capsys, tmp_path):
    data, file = probed(fake, monkeypatch, capsys, tmp_path, "2s3z")
    assert data["rules"] == {"scan_edge": 0.5, "scan_margin": 0.0, "restart_windup": 0.0}
    # In this battle the enemies, which pursue whom they have seen, leave no stalker a free walk.
    assert {row["what"] for row in data["findings"] if row["agrees"] is None} <= {"stalker: speed, agents"}
    assert data["numbers"] == {} and all(row["agrees"] is not False for row in data["findings"])
    assert len(data["findings"]) >= 16
    assert make_env("smax:2s3z", rules=file).rules == default_rules()


def test_a_game_that_breaks_off_is_one_line(fake, monkeypatch, capsys):
    monkeypatch.setattr(starcraft, "make_game", lambda map_name: fake.make_game(map_name, breaks_after=30))
    assert smac_probe.main(["--map", "2s3z"]) == 2
    error = capsys.readouterr().err
    assert error == "error: StarCraft II broke off (ConnectionError: the game is gone): try again\n"


@pytest.mark.slow
def test_it_sees_a_medivac_heal_and_follow(fake, monkeypatch, capsys, tmp_path):
    data, _ = probed(fake, monkeypatch, capsys, tmp_path, "MMM")
    assert data["rules"] == {"scan_edge": 0.5, "scan_margin": 0.0, "restart_windup": 0.0, "enemy_medivac": 1.0}
    assert data["numbers"] == {} and all(row["agrees"] for row in data["findings"])
    assert {"medivac: heals", "medivac: spends while it heals"} <= {row["what"] for row in data["findings"]}


@pytest.mark.slow
def test_other_numbers_are_found_and_loaded(fake, monkeypatch, capsys, tmp_path):
    """An engine with multiplayer's stalker, faster zealots, scan ranges by centres and strikes that restart."""
    rows = {kind: smac_numbers(kind) for kind in ("stalker", "zealot")}
    rows["stalker"] |= {"damage": 13.0, "bonus": 5.0, "period": 30.0}
    rows["zealot"] |= {"speed": 0.2}
    rules = default_rules()._replace(scan_edge=0.0, restart_windup=1.0, numbers=stack_numbers(rows))
    data, file = probed(fake, monkeypatch, capsys, tmp_path, "2s3z", rules=rules)
    assert data["rules"] == {"scan_edge": 0.0, "scan_margin": 0.0, "restart_windup": 1.0}
    assert data["numbers"].keys() == {"stalker", "zealot"}
    assert data["numbers"]["zealot"] == {"speed": pytest.approx(0.2, abs=1e-3)}
    found = data["numbers"]["stalker"]
    assert found == {"damage": 13.0, "bonus": 5.0, "period": pytest.approx(30.0, abs=1.0)}
    loaded = make_env("smax:2s3z", rules=file).rules
    assert float(loaded.numbers.damage[0, 0]) == 13.0 and float(loaded.restart_windup) == 1.0
