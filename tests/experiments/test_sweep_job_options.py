"""`--job KEY=VALUE`: what is a number, what a name, and what no job can have."""

import pytest

from experiments.sweep import main
from experiments.sweeps import jobs


@pytest.mark.parametrize(
    "word, value",
    [
        ("timeout_min=240", 240),
        ("mem_gb=0.5", 0.5),
        ("slurm_partition=gpu", "gpu"),
        ("slurm_time=1-00:00:00", "1-00:00:00"),
        ("slurm_exclusive=true", True),
        ("slurm_comment=a=b", "a=b"),
        ("slurm_account=2024_15", "2024_15"),
        ("slurm_account=007", "007"),
        ("slurm_setup=module load cuda", ["module load cuda"]),
        ("nodes=1", 1),
    ],
)
def test_options_of_a_job(word, value):
    assert jobs.read_options([word]) == {word.split("=")[0]: value}


@pytest.mark.parametrize(
    "word, message",
    [
        ("gpu", "write KEY=VALUE"),
        ("=3", "write KEY=VALUE"),
        ("nodes=2", "one process"),
        ("tasks_per_node=8", "one proc"),
    ],
)
def test_a_word_that_is_no_option_is_refused_before_anything_is_written(word, message, tmp_path, capsys):
    words = ["--algo", "iql", "--env", "matrix_game", "--out", str(tmp_path / "out")]
    for more in ([], ["--dry-run"]):
        assert main([*words, "--launcher", "slurm", "--job", word, *more]) == 2
        error = capsys.readouterr().err
        assert f"error: --job {word}: " in error and message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
