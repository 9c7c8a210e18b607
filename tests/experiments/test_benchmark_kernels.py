"""Kernels counted in the text of a compiled program, and the command that compiles for a GPU without one."""

import importlib.util
import json
import os

import pytest

from benchmarks import kernels as kernels_command
from benchmarks.hlo import by_loop, by_part, kernels, total
from benchmarks.kernels import LAUNCH, line
from envs.errors import ConfigError
from experiments.common.cli import run_command

MODULE = """
HloModule jit_chunk, is_scheduled=true

%fused (p: f32[4]) -> f32[4] {
  %p = f32[4]{0} parameter(0)
  ROOT %add.9 = f32[4]{0} add(%p, %p)
}

%row (c: (s32[], f32[4])) -> (s32[], f32[4]) {
  %c = (s32[], f32[4]{0}) parameter(0)
  %x = f32[4]{0} get-tuple-element(%c), index=1
  %f1 = f32[4]{0} fusion(%x), kind=kLoop, calls=%fused, metadata={op_name="jit(chunk)/while/body/rollout/step/add"}
  %copy.1 = f32[4]{0} copy(%f1)
  ROOT %t = (s32[], f32[4]{0}) tuple(%x, %copy.1)
}

%row_cond (c: (s32[], f32[4])) -> pred[] {
  %c2 = (s32[], f32[4]{0}) parameter(0)
  ROOT %lt = pred[] fusion(%c2), kind=kLoop, calls=%fused
}

%small (a: f32[4]) -> f32[4] {
  %a = f32[4]{0} parameter(0)
  ROOT %copy.2 = f32[4]{0} copy(%a)
}

%large (a: f32[4]) -> f32[4] {
  %a2 = f32[4]{0} parameter(0)
  %copy.3 = f32[4]{0} copy(%a2)
  ROOT %sort.1 = f32[4]{0} sort(%copy.3), dimensions={0}, to_apply=%fused
}

%update (u: (s32[], f32[4])) -> (s32[], f32[4]) {
  %u = (s32[], f32[4]{0}) parameter(0)
  %gemm = (f32[4]{0}, s8[64]{0}) custom-call(%u), custom_call_target="x", metadata={op_name="jit(chunk)/while/body/learning/dot"}
  %c0 = f32[4]{0} conditional(%u, %gemm, %gemm), branch_computations={%small, %large}
  ROOT %t2 = (s32[], f32[4]{0}) tuple(%u, %c0)
}

%update_cond (u: (s32[], f32[4])) -> pred[] {
  %u3 = (s32[], f32[4]{0}) parameter(0)
  ROOT %lt.2 = pred[] fusion(%u3), kind=kLoop, calls=%fused
}

%iteration (i: (s32[], f32[4])) -> (s32[], f32[4]) {
  %i = (s32[], f32[4]{0}) parameter(0)
  %w1 = (s32[], f32[4]{0}) while(%i), condition=%row_cond, body=%row, metadata={op_name="jit(chunk)/while/body/rollout/while"}, backend_config={"known_trip_count":{"n":"5"}}
  ROOT %w2 = (s32[], f32[4]{0}) while(%w1), condition=%update_cond, body=%update, metadata={op_name="jit(chunk)/while/body/learning/while"}
}

%iteration_cond (i: (s32[], f32[4])) -> pred[] {
  %i2 = (s32[], f32[4]{0}) parameter(0)
  ROOT %lt.3 = pred[] fusion(%i2), kind=kLoop, calls=%fused
}

ENTRY %main (arg: f32[4]) -> f32[4] {
  %arg = f32[4]{0} parameter(0)
  %copy.5 = f32[4]{0} copy(%arg)
  %w0 = (s32[], f32[4]{0}) while(%copy.5), condition=%iteration_cond, body=%iteration, metadata={op_name="jit(chunk)/while"}
  ROOT %r = f32[4]{0} get-tuple-element(%w0), index=1
}
"""  # noqa: E501


def test_kernels_are_counted_by_the_turns_of_their_loops():
    """3 updates: 3 (gemm + the larger branch's 2 + condition) = 12; 5 rows of 2 = 10; the entry 1 + condition 1.

    A loop of known length needs no kernel for its condition.
    """
    found = kernels(MODULE, turns=3)
    assert total(found) == 12 + 10 + 2
    # The copies of a loop count to its part; the entry's copy and the outermost condition to no part.
    assert by_part(found) == {"learning": 12, "rollout": 10, "other": 2}
    updates, rows = ("learning > jit(chunk)/learning[3]", 12), ("rollout > jit(chunk)/rollout[5]", 10)
    assert by_loop(found) == [updates, rows, ("other", 2)]
    assert total(kernels(MODULE)) == 4 + 10 + 2


def test_the_row_that_is_printed():
    row = {
        "lanes": 4, "kernels": 10_000, "kernels_per_step": 4.88, "parts": {"rollout": 4_000, "learning": 6_000},
        "steps_per_s_at_most": 4 * 2048 / (10_000 * LAUNCH), "state_bytes": 2**20, "bytes_needed": 3 * 2**20,
        "compile_s": 61.4,
    }  # fmt: skip
    words = line(row).split()
    assert words == ["4", "10,000", "4.88", "4,000", "0", "6,000", "327,680", "1.0", "MiB", "3.0", "MiB", "61"]


@pytest.mark.skipif(importlib.util.find_spec("jax_plugins") is not None, reason="jax's CUDA plugin is installed here")
def test_without_the_compiler_it_says_what_to_install(capsys):
    from experiments.benchmark import command

    assert run_command(command, ["kernels", "--env", "toy:constant", "--algo", "ippo", "--lanes", "1"]) == 2
    assert 'pip install "iacjax[cuda]"' in capsys.readouterr().err


def test_a_compiler_that_is_killed_is_one_line(monkeypatch):
    monkeypatch.setattr(kernels_command, "measure_in_child", os._exit)  # with the "job" as its code
    with pytest.raises(ConfigError, match="the process that compiles has died, most likely for memory: .* fewer"):
        kernels_command.in_a_process(9)


@pytest.mark.skipif(importlib.util.find_spec("jax_plugins") is None, reason="jax's CUDA plugin is not installed")
@pytest.mark.slow
def test_a_real_program(tmp_path, capsys):
    from experiments.benchmark import command

    path = tmp_path / "kernels.json"
    options = ["kernels", "--env", "toy:constant", "--algo", "ippo", "--lanes", "1", "2", "--json", str(path)]
    assert run_command(command, options) == 0
    one, two = json.loads(path.read_text())["rows"]
    assert 1_000 < one["kernels"] < 100_000 and 0.5 < two["kernels"] / one["kernels"] < 2  # seeds share kernels
    assert 1.9 < two["state_bytes"] / one["state_bytes"] < 2.1
