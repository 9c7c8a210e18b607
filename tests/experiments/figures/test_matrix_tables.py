"""IAC's tables 2 to 4: eq. 7, the layout beside the paper's numbers, and (slow) what QMIX and QMIXs learn."""

import numpy as np
import pytest

from experiments.figures.iac import matrix_tables


def made_up(q):
    """Tables of one seed whose values are `q` [M, U, U]."""
    q = np.asarray(q, np.float32)[:, None]
    individual = np.stack([np.arange(18).reshape(2, 1, 3, 3)] * 2, -1)
    payoff = np.array([[8, -12, -12], [-12, 0, 0], [-12, 0, 1]])
    return matrix_tables.Tables(payoff, q, individual, matrix_tables.boltzmann(q, 3.0), 3.0, 640)


def test_eq_7_by_hand():
    # table 2's values at alpha 3: e^(-8/3) = 0.0695, so P(A,A) = 0.0695 / (5 x 0.0695 + 4) = 0.0160, P(B,B) = 0.2300
    q = np.array([[-8, -8, -8], [-8, 0, 0], [-8, 0, 0]])
    np.testing.assert_allclose(matrix_tables.boltzmann(q, 3.0)[[0, 1], [0, 1]], [0.0160, 0.2300], atol=1e-4)
    # QMIXs learns the payoff: e^(8/3) / (e^(8/3) + 4 e^(-12/3) + 4) = 14.392 / (14.392 + 0.0733 + 4) = 0.779
    payoff = np.array([[8, -12, -12], [-12, 0, 0], [-12, 0, 0]])
    assert matrix_tables.boltzmann(payoff, 3.0)[0, 0] == pytest.approx(0.779, abs=1e-3)
    assert matrix_tables.boltzmann(1000.0 * payoff, 3.0)[0, 0] == 1.0


def test_text_and_rows_have_agent_2_in_rows_and_the_papers_numbers_beside():
    q = np.zeros((2, 3, 3))
    q[0, 1, 2], q[1, 0, 0] = 4.0, 8.0  # QMIX likes u_1 = B with u_2 = C
    tables = made_up(q)
    lines = matrix_tables.text(tables).splitlines()
    at = lines.index("Table 2: values of QMIX")
    assert lines[at + 4].split() == ["C", "0.00", "4.00", "0.00", "-8.05", "-0.02", "-0.01"]
    assert any("seed 0" in line and "its best is (B,C), worth 0" in line for line in lines)
    rows = matrix_tables.rows(tables)
    assert len(rows) == 18
    row = next(r for r in rows if (r["method"], r["u_1"], r["u_2"]) == ("qmix", "B", "C"))
    assert (row["q"], row["payoff"], row["paper_q"], row["paper_policy"]) == (4.0, 0.0, -0.02, 0.23)
    assert {r["paper_q"] for r in rows if r["method"] == "qmixs"} == {""}


@pytest.mark.slow
def test_qmix_misses_the_optimum_and_qmixs_finds_it():
    """Both visit all joint actions equally often. The least squares that QMIX comes to: the mean of 8 and four times
    -12, which is -8, wherever an agent does A, up to the noise of a constant learning rate: rewards there are 8 or
    -12."""
    tables = matrix_tables.make(seeds=2, steps=12_000)
    np.testing.assert_array_equal(tables.payoff, [[8, -12, -12], [-12, 0, 0], [-12, 0, 0]])
    for q, policy in zip(tables.q[0], tables.policy[0], strict=True):
        np.testing.assert_allclose(q[0], -8.0, atol=2.0)
        np.testing.assert_allclose(q[:, 0], -8.0, atol=2.0)
        np.testing.assert_allclose(q[1:, 1:], 0.0, atol=0.7)
        assert tables.payoff.flat[q.argmax()] == 0.0
        assert policy[0, 0] == pytest.approx(0.01, abs=0.05)
    for q, policy in zip(tables.q[1], tables.policy[1], strict=True):
        np.testing.assert_allclose(q, tables.payoff, atol=0.7)
        assert q.argmax() == 0
        assert policy[0, 0] == pytest.approx(0.76, abs=0.15)
