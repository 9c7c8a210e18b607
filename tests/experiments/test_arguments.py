"""What the commands share: one line for every error, numbers with bounds, and output that is checked beforehand."""

import argparse
import os
import pathlib
import subprocess
import sys

import pytest

from envs.errors import ConfigError
from experiments.common.arguments import Parser, number, out_file, out_folder, whole, why_not_file, word
from experiments.common.cli import MAX_LINE, run_command
from iacjax.schema import FRACTION


def parser():
    parser = Parser(prog="x")
    parser.add_argument("--count", type=whole(1, 10))
    parser.add_argument("--share", type=number(FRACTION))
    parser.add_argument("--name", type=word)
    below = parser.add_subparsers().add_parser("sub")
    below.add_argument("--inner", type=whole(0))
    return parser


@pytest.mark.parametrize(
    "argv, message",
    [
        (["--count", "0"], "--count must be at least 1, not 0: see --help"),
        (["--count", "11"], "--count must be at most 10, not 11: see --help"),
        (["--count", "²"], r"--count must be a whole number, not '\xb2': see --help"),
        (["--count", "9" * 5000], "--count must be a whole number, not "),
        (["--share", "nan"], "--share must be a finite number, not nan: see --help"),
        (["--share", "1.5"], "--share must be between 0 and 1, not 1.5: see --help"),
        (["--name", ""], "--name must be a word, not '': see --help"),
        (["--nonsense"], "unrecognized arguments: --nonsense: see --help"),
        (["--count"], "argument --count: expected one argument: see --help"),
        (["sub", "--inner", "x"], "--inner must be a whole number, not 'x': see --help"),
    ],
)
def test_errors_are_one_line(argv, message, capsys):
    assert run_command(lambda words: parser().parse_args(words) and 0, argv) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: {message}") and captured.err.count("\n") == 1 and not captured.out


def test_long_and_broken_messages_become_one_line(capsys):
    def command(argv):
        raise ConfigError("a\nb" * 5000)

    assert run_command(command, []) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: a ba b") and err.count("\n") == 1 and len(err) < MAX_LINE + 20


def test_what_cannot_be_written_is_told_beforehand_and_nothing_is_left(tmp_path):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "there.png").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.rglob("*"))
    refused = [
        ("", False), (str(tmp_path), False), (str(tmp_path / "no" / "a.png"), False), (str(tmp_path / "a.gif"), True),
        (str(tmp_path / "file" / "a.png"), True), (str(tmp_path / ("x" * 300 + ".png")), True), ("/proc/a.png", True),
        (str(tmp_path / "link" / "a.png"), True), (str(tmp_path / "a"), True),
    ]  # fmt: skip
    for text, parents in refused:
        assert why_not_file(text, (".png", ".pdf"), parents), text
        with pytest.raises(argparse.ArgumentTypeError):
            out_file(".png", ".pdf", parents=parents)(text)
    for text, parents in ((tmp_path / "a.PNG", False), (tmp_path / "there.png", False), (tmp_path / "no/a.png", True)):
        assert out_file(".png", parents=parents)(str(text)) == text
    for text in ("", str(tmp_path / "file"), str(tmp_path / "file" / "below")):
        with pytest.raises(argparse.ArgumentTypeError):
            out_folder(text)
    assert out_folder(str(tmp_path / "new" / "one")) == tmp_path / "new" / "one"
    assert sorted(tmp_path.rglob("*")) == before and (tmp_path / "there.png").read_text() == "kept"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    assert why_not_file(str(tmp_path / "a.png")) == "Permission denied"


def test_a_reader_that_has_had_enough_is_no_error():
    """As `python -m experiments.run --list | head` is: nothing on stderr, no traceback."""
    script = f"{sys.executable} -m experiments.run --list | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=pathlib.Path(__file__).parents[2])
    assert done.stderr == "" and done.returncode in (0, 1)  # 0: all was written before the reader left
