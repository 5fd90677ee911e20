"""Inputs that are held: the same draws under a law of the others, and what is refused."""

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling.errors import SpecError, TableError
from bayes_scaling.laws import Chinchilla, Held, has_isoquants, tokens_to
from bayes_scaling.results import model_of

REFERENCE = (("params", 1e9), ("tokens", 2e10))


@pytest.fixture(scope="module")
def fit():
    return bs.load_posterior("chinchilla")


def test_a_held_fit_predicts_what_the_fit_predicts_there(fit):
    held = bs.hold(fit, tokens=2e11)
    here = bs.predict(held, {"params": [1e9, 1e10]}).loss_mean
    there = bs.predict(fit, {"params": [1e9, 1e10], "tokens": 2e11}).loss_mean
    np.testing.assert_allclose(here, there, rtol=1e-14)
    assert model_of(held).law.inputs == ("params",)


def test_a_held_fit_is_saved_and_opened(fit, tmp_path):
    held = bs.hold(fit, tokens=2e11)
    opened = bs.open_fit(bs.save_fit(held, tmp_path / "held.nc"))
    assert model_of(opened) == model_of(held)


def test_the_runs_do_not_go_along(fit):
    assert "observed_data" not in bs.hold(fit, tokens=2e11).children


@pytest.mark.parametrize(
    ("at", "says"),
    [
        ({"experts": 8}, "'experts' is no input of it"),
        ({"token": 2e11}, "Did you mean 'tokens'"),
        ({"tokens": -1.0}, "a positive raw count is wanted; found -1.0"),
        ({"tokens": "2T"}, "one finite number is wanted; found '2T'"),
        ({}, "hold some of its inputs and not all"),
        ({"params": 1e9, "tokens": 1e10}, "hold some of its inputs and not all"),
    ],
)
def test_what_cannot_be_held_is_refused(fit, at, says):
    with pytest.raises(SpecError, match=says):
        bs.hold(fit, **at)


def test_a_held_law_is_not_fitted():
    model = bs.ScalingModel(Held(Chinchilla(reference=REFERENCE), (("tokens", 2e10),)))
    with pytest.raises(SpecError, match="fit 'chinchilla', and give the fit to `hold`"):
        bs.fit(model, bs.load_dataset("nine-runs"))


def test_tokens_to_a_loss_by_bisection_is_the_closed_form():
    law = Chinchilla(reference=REFERENCE)
    theta = {"E": np.array([[1.7], [1.9]]), "a0": 0.4, "b0": 0.4, "alpha": 0.3, "beta": 0.35}

    class Bare:  # the same law, without its closed forms
        name, outcome = "bare", "loss"
        inputs, reference, decreasing = law.inputs, law.reference, law.decreasing
        __call__ = staticmethod(law)

    bare, loss = Bare(), np.array([2.6, 2.2, 1.75])
    assert has_isoquants(bare)
    np.testing.assert_allclose(
        tokens_to(bare, theta, loss, 3e9), law.tokens_to(theta, loss, 3e9), rtol=1e-9
    )


def test_words_in_an_input_without_a_role_are_refused():
    runs = {"web": ["half", 0.5, 0.2], "code": [0.5, 0.5, 0.8], "loss": [3.0, 2.9, 2.8]}
    model = bs.ScalingModel(bs.MixingExp(domains=("web", "code")))
    with pytest.raises(TableError, match=r"'web': 1 values are no numbers: 'half' \(row 0\)"):
        bs.fit(model, pd.DataFrame(runs))
