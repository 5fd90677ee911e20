"""The figures of docs/errors.md, computed with the laws."""

import numpy as np
import pytest

from bayes_scaling.data.accounting import flops_6nd
from bayes_scaling.laws import Chinchilla

LAW = Chinchilla(reference=(("params", 1e9), ("tokens", 2e10)))
BESIROGLU = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
HOFFMANN = {"E": np.exp(0.5267228), "A": np.exp(6.0073404), "B": np.exp(6.0179186),
            "alpha": 0.33917084, "beta": 0.2849083}  # fmt: skip
ROUNDED = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}
PER_PARAM = 20.0


def loss(paper, params, tokens):
    return float(LAW(LAW.from_paper(paper), {"params": params, "tokens": tokens}))


def test_what_halving_the_loss_takes():
    slopes = np.array([0.05, 0.10, 0.15, 0.30])
    factor = 2 ** (1 / slopes)
    np.testing.assert_allclose(np.log10(factor), [6.02, 3.01, 2.01, 1.00], atol=0.01)


def test_what_a_budget_buys_at_twenty_tokens_per_parameter():
    assert flops_6nd(1e9, 2e10) == pytest.approx(1.2e20)
    params = np.sqrt(1e22 / flops_6nd(1.0, PER_PARAM))
    assert params == pytest.approx(9.1e9, rel=0.01)
    assert PER_PARAM * params == pytest.approx(183e9, rel=0.01)


@pytest.mark.parametrize("paper", [BESIROGLU, HOFFMANN])
def test_the_factor_of_the_optimal_size(paper):
    params, _ = LAW.optimum(LAW.from_paper(paper), 1.0)
    a, b, alpha, beta = (paper[k] for k in ("A", "B", "alpha", "beta"))
    assert params == pytest.approx((alpha * a / (beta * b)) ** (1 / (alpha + beta)), rel=1e-9)
    assert abs(np.log(params / np.sqrt(a / b))) > 0.1


@pytest.mark.parametrize(("paper", "ratio"), [(HOFFMANN, 58.9), (ROUNDED, 92.7), (BESIROGLU, 18.4)])
def test_tokens_per_parameter_of_the_third_method(paper, ratio):
    params, tokens = LAW.optimum(LAW.from_paper(paper), 5.76e23 / flops_6nd(1.0, 1.0))
    assert tokens / params == pytest.approx(ratio, abs=0.06)


def test_how_far_past_the_optimum_llama_3_went():
    sizes = np.array([8e9, 70e9])
    np.testing.assert_allclose(15e12 / (PER_PARAM * sizes), [93.75, 10.71], atol=0.01)
    np.testing.assert_allclose(15e12 / sizes, [1875, 214.3], atol=0.1)
    assert pytest.approx(1.71, abs=0.005) == 300e9 / 175e9


@pytest.mark.parametrize(
    ("paper", "params", "tokens", "said"),
    [
        (BESIROGLU, 175e9, 300e9, 2.0085),
        (BESIROGLU, 35e9, 700e9, 2.0178),
        (HOFFMANN, 175e9, 300e9, 1.9765),
        (HOFFMANN, 35e9, 700e9, 1.9745),
        (BESIROGLU, 7e9, 1e12, 2.084),
        (BESIROGLU, 13e9, 200e9, 2.117),
    ],
)
def test_losses_of_models_that_are_called_equal(paper, params, tokens, said):
    assert loss(paper, params, tokens) == pytest.approx(said, abs=6e-4)


def test_where_serving_breaks_even_if_both_are_equally_good():
    larger, smaller = (70e9, 1.4e12), (30e9, 4e12)
    served = 3 * (np.prod(smaller) - np.prod(larger)) / (larger[0] - smaller[0])
    assert served == pytest.approx(1.65e12, rel=1e-3)
