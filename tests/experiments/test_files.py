"""Files that are written whole or not at all."""

import math
import pathlib

import pytest

from envs.errors import ConfigError
from experiments.common import files


def test_what_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    files.write_text(path, "old")
    with pytest.raises(ValueError), files.replacing(path) as part:
        part.write_text("new")
        raise ValueError
    assert path.read_text() == "old"


def test_a_table_has_all_columns_and_empty_cells_where_nothing_is_known(tmp_path):
    path = tmp_path / "folder" / "table.csv"
    files.write_csv(path, [{"a": 1, "b": math.nan, "c": "x"}, {"a": 1 / 3, "d": True}])
    assert path.read_text() == "a,b,c,d\n1,,x,\n0.33333333,,,True\n"
    assert files.read_csv(path)[1] == {"a": "0.33333333", "b": "", "c": "", "d": "True"}
    files.write_csv(path, [], ["a"])
    assert path.read_text() == "a\n" and files.read_csv(path) == [] == files.read_csv(tmp_path / "none.csv")


def test_what_has_no_place_to_take_is_written_directly():
    files.write_json(pathlib.Path("/dev/null"), {"a": 1})
    assert not pathlib.Path("/dev/null.part").exists()


def test_a_figure_is_of_the_format_that_its_name_ends_in(tmp_path):
    from matplotlib.figure import Figure

    files.save_figure(Figure(), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ConfigError, match="cannot write .*a.xyz"):
        files.save_figure(Figure(), tmp_path / "a.xyz")
