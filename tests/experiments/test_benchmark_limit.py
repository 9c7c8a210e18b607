"""Multiply-adds counted in small programs by literal numbers, and what the command prints of them."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest

from benchmarks import limit
from benchmarks.products import Shape, products
from experiments import benchmark
from experiments.common.cli import run_command

A, B = jnp.ones((3, 4)), jnp.ones((4, 5))
SQUARE = jnp.ones((4, 4))


def shapes(function, *args, turns=1):
    found = products(function, *args, turns=turns)
    assert {part for part, _ in found} <= {"other"}
    return {tuple(shape): count for (_, shape), count in found.items()}


def test_a_product_and_its_gradients():
    assert shapes(jnp.matmul, A, B) == {(1, 3, 4, 5): 1}
    assert Shape(1, 3, 4, 5).multiply_adds == 60
    # dA = dC B', dB = A' dC; the product itself is not needed for the gradient of its sum
    gradient = jax.grad(lambda a, b: (a @ b).sum(), argnums=(0, 1))
    assert shapes(gradient, A, B) == {(1, 3, 5, 4): 1, (1, 5, 3, 4): 1}


def test_batched_axes_and_several_contracted_ones():
    x, y = jnp.ones((2, 7, 3, 4)), jnp.ones((2, 7, 4, 5))
    assert shapes(jnp.matmul, x, y) == {(14, 3, 4, 5): 1}
    assert shapes(partial(jnp.einsum, "abik,abkj->ij"), x, y) == {(1, 3, 2 * 7 * 4, 5): 1}
    assert shapes(jax.vmap(jnp.matmul, (0, None)), x[0], B) == {(1, 21, 4, 5): 1}


def test_loops_count_their_turns_and_branches_the_most():
    def scanned(x):
        return jax.lax.scan(lambda x, _: (x @ SQUARE, None), x, length=6)[0]

    assert shapes(scanned, A) == {(1, 3, 4, 4): 6}
    nested = lambda x: jax.lax.scan(lambda x, _: (scanned(x), None), x, length=2)[0]  # noqa: E731
    assert shapes(nested, A) == {(1, 3, 4, 4): 12}
    unknown = lambda n, x: jax.lax.fori_loop(0, n, lambda _, x: x @ SQUARE, x)  # noqa: E731
    assert shapes(unknown, 1, A, turns=5) == {(1, 3, 4, 4): 5}
    either = lambda yes, x: jax.lax.cond(yes, lambda x: x @ SQUARE @ SQUARE, lambda x: x @ SQUARE, x)  # noqa: E731
    assert shapes(either, True, A) == {(1, 3, 4, 4): 2}


def test_a_checkpoint_counts_again_and_functions_of_their_own_gradient_once():
    step = jax.checkpoint(lambda x: jnp.tanh(jnp.tanh(x @ SQUARE) @ SQUARE))
    # forward 2, again in the backward pass 2, and 2 of the gradient
    assert shapes(jax.value_and_grad(lambda x: step(x).sum()), A)[1, 3, 4, 4] == 6
    assert shapes(lambda x: jax.nn.relu(jax.jit(jnp.matmul)(x, B)), A) == {(1, 3, 4, 5): 1}


def test_a_convolution_is_a_product_for_each_place():
    image, kernel = jnp.ones((2, 3, 8, 8)), jnp.ones((5, 3, 3, 3))  # 2 x 6 x 6 places, 27 inputs, 5 channels
    found = shapes(lambda x, k: jax.lax.conv(x, k, (1, 1), "VALID"), image, kernel)
    assert found == {(1, 72, 27, 5): 1}


def test_what_no_result_needs_does_not_count_and_scopes_are_parts():
    def program(x):
        with jax.named_scope("rollout"):
            scanned = jax.lax.scan(lambda x, _: (x @ SQUARE, None), x, length=3)[0]
        unused = x @ B  # noqa: F841
        with jax.named_scope("learning"):
            return scanned @ B

    assert products(program, A) == {("rollout", Shape(1, 3, 4, 4)): 3, ("learning", Shape(1, 3, 4, 5)): 1}


def test_a_product_takes_time():
    assert 0.0 < limit.time_product(1, 8, 8, 8) < limit.time_product(1, 512, 512, 512)


def test_the_table_by_hand():
    row = {
        "algo": "qmix", "preset": "default", "env": "toy:action", "steps_per_iteration": 10,
        "steps_per_s": 500.0, "steps_per_s_at_most": 1000.0, "share_of_limit": 0.5,
        "parts": {
            "learning": {"multiply_adds": 90_000_000, "seconds": 0.0075},
            "rollout": {"multiply_adds": 10_000_000, "seconds": 0.0025},
        },
        "products": [
            {"part": "learning", "shape": [3, 10, 20, 30], "count": 5000, "multiply_adds": 90_000_000,
             "seconds": 0.0075}
        ],
    }  # fmt: skip
    lines = limit.text(row).splitlines()
    assert [line.split() for line in lines[3:6]] == [
        ["learning", "9.000", "750.0", "75%", "12.0"],
        ["rollout", "1.000", "250.0", "25%", "4.0"],
        ["all", "10.000", "1000.0", "100%", "10.0"],
    ]
    assert lines[6] == "trained at 500 env steps/s, 50% of the 1,000 of its products alone"
    assert "5,000 x 3 x [10, 20] @ [20, 30]" in lines[7] and "12.0 G mul-adds/s" in lines[7]


@pytest.mark.slow
def test_the_command_measures_an_algorithm(tmp_path, capsys):
    out = tmp_path / "limit.json"
    options = ["limit", "--algo", "vdn", "--env", "toy:action", "--seconds", "0.01", "--json", str(out)]
    assert run_command(benchmark.command, options) == 0
    assert "vdn (default) on toy:action, one seed on one core" in capsys.readouterr().out


def test_an_unknown_algorithm_is_refused_in_one_line(capsys):
    assert run_command(benchmark.command, ["limit", "--algo", "nonsense"]) == 2
    error = capsys.readouterr().err
    assert "nonsense" in error and error.count("\n") == 1
