"""Recipes side by side: the table of effects, the forest plot, the sizes of every school."""

import json

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr

mpl.use("Agg")
import matplotlib.pyplot as plt

import bayes_scaling as bs
from bayes_scaling.errors import SpecError
from bayes_scaling.param import Prior
from bayes_scaling.trust import UntrustedFitWarning
from tests.helpers import needs_real_tables

DRAWS = ("chain", "draw")


def line(a, size, at=1e18, spread=0.0, seed=0):
    """Draws of a frontier through `size` at compute `at`."""
    a = a + spread * np.random.default_rng(seed).normal(size=(2, 500))
    return xr.Dataset({"a": (DRAWS, a), "log_g": (DRAWS, np.log(size) - a * np.log(at))})


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def fit():
    """A "fit" of two sizes of exponents and no data."""
    law = bs.Chinchilla(reference=(("params", 1e9), ("tokens", 2e10)))
    priors = {"alpha": Prior.of("LogNormal", median=0.35, sigma=0.05)}
    fixed = {"E": 1.8, "a0": 0.3, "b0": 0.3, "beta": 0.35, "sigma": 0.01, "nu": 4.0}
    priors |= {k: Prior.of("Fixed", value=v) for k, v in fixed.items()}
    return bs.sample_prior(bs.ScalingModel(law, priors=priors), draws=400)


# --- effects ------------------------------------------------------------------------------------


def test_effects_are_differences_in_order_and_add_up():
    table = bs.effects({"old": line(0.8, 1e7), "mid": line(0.79, 1e7), "new": line(0.5, 2e7)}, 1e20)
    assert table.index.tolist() == ["old", "mid", "new"]
    for p in (0.05, 0.5, 0.95):
        assert table.loc["mid", ("change", p)] == pytest.approx(-0.01)
        assert table.loc["new", ("change", p)] == pytest.approx(-0.29)
        assert table["share"][p].sum() == pytest.approx(1)
        assert table.loc["new", ("params", p)] == pytest.approx(2e7 * 100**0.5)
    assert table["matters"].tolist()[1:] == [0, 1]  # |-0.01| is below 0.02
    assert np.isnan(table.loc["old", ("matters", "")])


def test_effects_of_fits_are_those_of_their_own_lines(fit):
    a = fit["posterior"]["a"]
    plan = bs.allocate(fit, [1e19, 1e23]).params_opt
    table = bs.effects({"fit": fit, "line": line(0.6, 1e8)}, 1e23)  # 400 draws and 1,000
    assert table.loc["fit", ("a", 0.5)] == pytest.approx(float(a.median()))
    assert table.loc["line", ("change", 0.5)] == pytest.approx(0.6 - float(a.median()))
    assert table.loc["fit", ("params", 0.5)] == pytest.approx(float(plan[..., 1].median()))
    runs = bs.load_dataset("simulated-chinchilla")
    other = bs.sample_prior(bs.ScalingModel(bs.PowerLaw("flops")), runs, draws=50)
    with pytest.raises(SpecError, match="'x': the law of this fit has no exponent"):
        bs.effects({"x": other, "fit": fit})


def test_the_probability_that_a_change_matters_is_that_of_the_draws():
    """Change ~ Normal(-0.02, 0.01 sqrt 2): half of it beyond -0.02; 1,000 draws, 4.4 sd, 1e-5."""
    lines = {"old": line(0.6, 1e7, spread=0.01, seed=1), "new": line(0.58, 1e7, spread=0.01)}
    assert bs.effects(lines).loc["new", ("matters", "")] == pytest.approx(0.5, abs=4.4 / 63)
    assert bs.effects(lines, negligible=1.0).loc["new", ("matters", "")] == 0


@pytest.mark.parametrize(
    ("lines", "options", "said"),
    [
        ({"one": line(0.5, 1e7)}, {}, "at least two recipes are needed; found 1"),
        ({"a": line(0.5, 1e7), "b": line(0.5, 1e7).drop_vars("log_g")}, {}, "'b' has no log_g"),
        ({"a": line(0.5, 1e7), "b": 0.4}, {}, "'b': a fit, or draws of a and log_g; found float"),
        ({"a": line(0.5, 1e7), "b": line(0.5, 1e7).mean("draw")}, {}, "not over draws"),
        ({"a": line(0.5, 1e7), "b": line(0.4, 1e7)}, {"target": -1.0}, "target: positive FLOP"),
        ({"a": line(0.5, 1e7), "b": line(0.4, 1e7)}, {"negligible": 0}, "negligible: a positive"),
    ],
)
def test_what_effects_cannot_be_made_of_is_said(lines, options, said):
    with pytest.raises(SpecError, match=said):
        bs.effects(lines, **options)


def test_every_problem_is_said_at_once():
    with pytest.raises(SpecError, match=r"at least two.*target: .*negligible: "):
        bs.effects({"one": line(0.5, 1e7)}, -1.0, negligible=-1)


@needs_real_tables
def test_porian_et_als_sizes_at_chinchillas_budget():
    """Their N* at 5.88e23 FLOP: 3T, 787B, 292B, 183B and 77B, each to the digits printed."""
    optima = bs.load_dataset("porian_optima")
    optima = optima[optima["params_opt"].notna() & (optima["dataset"] == "RefinedWeb")]
    recipes = bs.describe_dataset("porian-refinedweb").published["a"]
    columns = ["flops", "params_opt", "log_params_opt_std"]
    lines = {r: bs.frontier(*optima.loc[optima["experiment"] == r, columns].to_numpy(float).T)
             for r in recipes}  # fmt: skip
    table = bs.effects(lines, 5.88e23)
    np.testing.assert_allclose(table["params"][0.5], [3e12, 787e9, 292e9, 183e9, 77e9], rtol=0.015)
    assert table["share"][0.5].sum() == pytest.approx(1, abs=0.01)
    assert table["matters"].idxmin() == "cosine_decay_matched"  # the paper: decay matters little


# --- the forest plot ----------------------------------------------------------------------------


def labels(ax):
    return [t.get_text() for t in ax.get_yticklabels()]


def bars(ax):
    """Every horizontal bar as (y, low, high)."""
    segments = [s for c in ax.collections for s in c.get_segments()]
    return [(s[0, 1], s[0, 0], s[1, 0]) for s in segments]


def test_a_row_per_result_with_its_quantiles(fit):
    own = line(0.7, 1e7, spread=0.02)
    ax = bs.plots.plot_exponents({"fit": fit, "line": own, "array": np.linspace(0, 1, 101)})
    assert labels(ax) == ["fit", "line", "array"]
    low, mid, high = (np.quantile(own.a, p) for p in (0.05, 0.5, 0.95))
    assert any(np.allclose(b, (1, low, high)) for b in bars(ax))
    assert any(np.allclose(b, (2, 0.05, 0.95)) for b in bars(ax))
    assert f"{mid:.3f} [{low:.3f}, {high:.3f}]" in [t.get_text() for t in ax.texts]
    assert ax.get_xlabel() == "exponent a of the optimal size, N* ~ C^a"


def test_published_values_go_beside_their_row_or_into_one_of_their_own():
    ax = bs.plots.plot_exponents(
        {"ours": line(0.5, 1e7)}, published={"ours": (0.4, 0.5, 0.6), "theirs": 0.73}
    )
    assert labels(ax) == ["ours", "theirs"]
    assert any(np.allclose(b[1:], (0.4, 0.6)) and 0 < b[0] < 0.5 for b in bars(ax))
    assert "0.73" in [t.get_text() for t in ax.texts]


def test_a_value_per_group_gets_a_row_per_group():
    grouped = xr.Dataset({"a_group": ((*DRAWS, "arch"), np.ones((1, 5, 2)) * [0.4, 0.6])},
                         coords={"arch": ["dense", "moe"]})  # fmt: skip
    assert labels(bs.plots.plot_exponents({"ours": grouped})) == ["ours dense", "ours moe"]


def test_any_variable_can_be_drawn_and_guided(fit):
    ax = bs.plots.plot_exponents({"fit": fit}, name="alpha", guides={"third": 1 / 3})
    assert ax.get_xlabel() == "alpha"
    assert "third" in [t.get_text() for t in ax.texts]
    assert any(np.allclose(ln.get_xdata(), 1 / 3) for ln in ax.lines)


@pytest.mark.parametrize(
    ("results", "options", "said"),
    [
        ({}, {}, "nothing to draw"),
        ({"x": xr.Dataset({"b": 1.0})}, {}, "'x' has no 'a'; it has b"),
        ({"x": [np.nan, 1.0]}, {}, "'x' needs finite draws"),
        ({}, {"published": {"p": (0.6, 0.5, 0.4)}}, "'p': a number or"),
        ({}, {"published": {"p": (0.6, 0.7)}}, "'p': a number or"),
    ],
)
def test_what_cannot_be_drawn_is_said(results, options, said):
    with pytest.raises(SpecError, match=said):
        bs.plots.plot_exponents(results, **options)


# --- the sizes of every school ------------------------------------------------------------------


def test_schools_are_bands_of_allocate_and_of_lines(fit):
    own = line(0.7, 1e8, at=1e20, spread=0.01)
    ax = bs.plots.plot_sizes({"fit": fit, "line": own}, budgets=(1e18, 1e22))
    medians = {ln.get_label(): ln for ln in ax.lines if not ln.get_label().startswith("_")}
    budgets = medians["fit"].get_xdata()
    assert (budgets[0], budgets[-1]) == pytest.approx((1e18, 1e22))
    plan = bs.allocate(fit, budgets).params_opt.median(DRAWS)
    np.testing.assert_allclose(medians["fit"].get_ydata(), plan, rtol=1e-9)
    at = np.exp(own.log_g + own.a * np.log(1e22)).median()
    assert medians["line"].get_ydata()[-1] == pytest.approx(float(at))


def test_models_are_where_their_compute_and_size_are(fit):
    ax = bs.plots.plot_sizes({"fit": fit})
    known = bs.load_dataset("flagships")
    (marks,) = [ln for ln in ax.lines if ln.get_marker() == "D"]
    np.testing.assert_allclose(marks.get_xdata(), 6 * known.params * known.tokens)
    np.testing.assert_allclose(marks.get_ydata(), known.params)
    texts = {t.get_text(): t for t in ax.texts}
    assert {"GPT-3", "Gopher", "Chinchilla", "Llama 3.1 405B"} <= set(texts)
    boxes = [texts[n].get_window_extent() for n in known.name]
    overlaps = sum(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert overlaps == 0


def test_no_models_no_marks(fit):
    none = pd.DataFrame(columns=["name", "params", "tokens"], dtype=float)
    ax = bs.plots.plot_sizes({"fit": fit}, trained=none)
    assert not ax.texts
    assert "diamonds" not in ax.get_title("left")


def test_a_school_that_is_not_to_be_trusted_is_stamped(fit):
    broken = fit.copy()
    broken.attrs |= {"sampling": json.dumps([["k-hat", "FAIL", "k-hat 0.93", "fit with NUTS"]])}
    with pytest.warns(UntrustedFitWarning):
        ax = bs.plots.plot_sizes({"mine": broken}, trained=None)
    assert any("NOT TO BE TRUSTED: mine: k-hat" in t.get_text() for t in ax.texts)
    with pytest.warns(UntrustedFitWarning):
        ax = bs.plots.plot_exponents({"mine": broken})
    assert any("NOT TO BE TRUSTED: mine: k-hat" in t.get_text() for t in ax.texts)


@pytest.mark.parametrize(
    ("schools", "options", "said"),
    [
        ({}, {}, "needs a school"),
        ({"x": 3.0}, {}, "'x': a fit, or draws of a and log_g; found float"),
        ({"x": line(0.5, 1e7)}, {"budgets": (1e22, 1e20)}, "from low to high"),
        ({"x": line(0.5, 1e7)}, {"trained": pd.DataFrame({"name": []})}, "params and tokens"),
    ],
)
def test_what_no_school_is_is_said(schools, options, said):
    with pytest.raises(SpecError, match=said):
        bs.plots.plot_sizes(schools, **options)
