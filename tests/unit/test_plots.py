"""Figures are tested by structure: what is drawn, where, and what it says; never by pixels."""

import json
import subprocess
import sys
import warnings
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.colors import to_rgba

mpl.use("Agg")
import matplotlib.pyplot as plt

from bayes_scaling import plots
from bayes_scaling.decision import allocate
from bayes_scaling.errors import FitError, FitFileError, SpecError
from bayes_scaling.inference import fit as fit_law
from bayes_scaling.inference import sample_prior
from bayes_scaling.laws import Chinchilla, PowerLaw
from bayes_scaling.model import Pooling, ScalingModel
from bayes_scaling.param import Prior
from bayes_scaling.plots import _runs, _style, _ticks, isoflop, residuals
from bayes_scaling.predict import predict
from bayes_scaling.results import SAMPLES, dataset, tree, with_derived
from bayes_scaling.trust import UntrustedFitWarning

REFERENCE = (("params", 1e9), ("tokens", 2e10))
CENTRE = {"E": 1.82, "a0": 0.36, "b0": 0.36, "alpha": 0.348, "beta": 0.366}
SPREAD = {"E": 0.02, "a0": 0.03, "b0": 0.03, "alpha": 0.03, "beta": 0.03}
BUDGETS = (1e19, 1e20, 1e21)
DATA = ("observed_data", "constant_data")
FAILED = [["k-hat", "FAIL", "k-hat 0.93, 12 effective proposals", "fit with NUTS"]]


def draws_of(rng: np.random.Generator, size: tuple[int, ...], widen: float = 1.0) -> dict:
    out = {k: np.exp(rng.normal(np.log(v), widen * SPREAD[k], size)) for k, v in CENTRE.items()}
    return out | {"sigma": rng.uniform(0.004, 0.006, size), "nu": 2.0 + rng.gamma(2.0, 2.0, size)}


def table(seed: int = 0, sizes: int = 9) -> pd.DataFrame:
    """Isoflops of Chinchilla's law with little scatter and one run 10 % off."""
    rng = np.random.default_rng(seed)
    budget = np.repeat(BUDGETS, sizes)
    params = np.sqrt(budget / 120) * np.tile(np.geomspace(0.2, 5, sizes), len(BUDGETS))
    runs = pd.DataFrame({"params": params, "tokens": budget / 6 / params, "flops": budget})
    loss = Chinchilla(reference=REFERENCE)(CENTRE, {c: runs[c].to_numpy() for c in runs})
    runs["loss"] = loss * np.exp(rng.normal(0, 0.003, len(runs)))
    runs.index = pd.Index([f"run-{i}" for i in range(len(runs))])
    runs.loc["run-4", "loss"] *= 1.1
    return runs


def build(model: ScalingModel, posterior: xr.Dataset, prior: xr.Dataset, runs: pd.DataFrame):
    run = {"run": runs.index.to_numpy().astype(str)}
    inputs = {c: runs[c].to_numpy() for c in runs if c != "loss"}
    inputs = {c: v.astype(str) if v.dtype == object else v for c, v in inputs.items()}
    groups = {
        "posterior": with_derived(model, posterior),
        "prior": prior if model.pooling else with_derived(model, prior),
        "observed_data": dataset({"loss": runs["loss"].to_numpy()}, {"loss": ("run",)}, run, ()),
        "constant_data": dataset(inputs, dict.fromkeys(inputs, ("run",)), run, ()),
    }
    biggest = {c: float(runs[c].max()) for c in ("params", "tokens", "flops")}
    return tree(groups, model, rows=len(runs), largest=biggest, sampling=[], refusals=[])


@pytest.fixture(scope="module")
def fit() -> xr.DataTree:
    rng = np.random.default_rng(1)
    model = ScalingModel(law=Chinchilla(reference=REFERENCE))
    posterior, prior = dataset(draws_of(rng, (2, 200))), dataset(draws_of(rng, (1, 300), 8.0))
    return build(model, posterior, prior, table())


@pytest.fixture(scope="module")
def bare(fit: xr.DataTree) -> xr.DataTree:
    return fit.drop_nodes([*DATA, "prior"])


@pytest.fixture(scope="module")
def pooled() -> xr.DataTree:
    rng = np.random.default_rng(2)
    model = ScalingModel(law=Chinchilla(reference=REFERENCE), pooling=Pooling("arch"))
    values = draws_of(rng, (2, 200))
    each = {f"{k}_group": values[k][..., None] * [1.0, 1.1] for k in ("E", "a0", "b0")}
    dims = dict.fromkeys(each, ("arch",))
    posterior = dataset({**values, **each}, dims, {"arch": ["dense", "moe"]})
    runs = pd.concat([table(0).assign(arch="dense"), table(1, 7).assign(arch="moe")])
    return build(model, posterior, dataset(draws_of(rng, (1, 300), 8.0)), runs)


@pytest.fixture
def broken(fit: xr.DataTree) -> xr.DataTree:
    out = fit.copy()
    out.attrs = {**fit.attrs, "sampling": json.dumps(FAILED)}
    return out


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


ALL = [plots.plot_frontier, plots.plot_isoflop, plots.plot_loss, plots.plot_posterior,
       plots.plot_residuals]  # fmt: skip
PLANE = ALL[:3]
SINGLE = {plots.plot_isoflop, plots.plot_loss}


def axes_of(drawn) -> list:
    return list(drawn.figure.axes if hasattr(drawn, "figure") else drawn.axes)


def bands(ax, color: str) -> list:
    """Return the filled bands of a colour, outer first."""
    found = [c for c in ax.collections if str(c.get_label()) in ("_90 %", "_50 %")]
    found = [c for c in found if hasattr(c, "get_facecolor") and len(c.get_facecolor())]
    return [c for c in found if tuple(c.get_facecolor()[0][:3]) == to_rgba(color)[:3]]


def edges(band, x: float) -> tuple[float, float]:
    """Return the lower and upper edge of a band at one of its points."""
    points = band.get_paths()[0].vertices
    at = points[np.isclose(points[:, 0], x, rtol=1e-9), 1]
    return at.min(), at.max()


def texts(ax) -> str:
    return " ".join(t.get_text() for t in ax.texts)


def line(ax, label: str):
    (found,) = [entry for entry in ax.lines if str(entry.get_label()).startswith(label)]
    return found


# --- what holds for every figure ------------------------------------------------------------------


def test_importing_the_figures_does_not_import_jax():
    code = "import sys, bayes_scaling.plots; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("plot", ALL)
def test_every_panel_is_labelled_and_the_title_says_what_is_shown(plot, fit):
    drawn = plot(fit)
    panels = [a for a in axes_of(drawn) if a.get_visible() and a.get_label() != "<colorbar>"]
    assert all(a.get_xlabel() for a in panels)
    title = panels[0].get_title(loc="left")
    assert "chinchilla law" in title
    assert "27 runs" in title
    assert r"$10^{21}$ FLOP" in title
    drawn.figure.canvas.draw()


@pytest.mark.parametrize("plot", ALL)
def test_an_untrusted_fit_is_stamped_and_warned_of_once(plot, broken):
    with pytest.warns(UntrustedFitWarning) as said:
        drawn = plot(broken)
    assert len(said) == 1
    assert said[0].filename == __file__
    (stamp,) = [t for t in axes_of(drawn)[0].texts if "NOT TO BE TRUSTED" in t.get_text()]
    assert "k-hat 0.93" in " ".join(stamp.get_text().split())
    top = axes_of(drawn)[0]
    drawn.figure.canvas.draw()
    title = top._left_title.get_window_extent()
    assert stamp.get_window_extent().y0 >= top.get_window_extent().y1
    assert stamp.get_window_extent().y1 <= title.y0 + 1


@pytest.mark.parametrize("plot", ALL)
def test_a_trusted_fit_is_not_stamped(plot, fit):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "TRUSTED" not in texts(axes_of(plot(fit))[0])


@pytest.mark.parametrize("plot", [p for p in ALL if p is not plots.plot_residuals])
def test_a_published_posterior_is_drawn_without_data_and_says_so(plot, bare):
    drawn = plot(bare)
    assert "data not in this fit" in axes_of(drawn)[0].get_title(loc="left").replace("\n", " ")
    drawn.figure.canvas.draw()


@pytest.mark.parametrize("plot", ALL)
def test_given_axes_are_drawn_on(plot, fit):
    count = {plots.plot_frontier: 2, plots.plot_posterior: 8, plots.plot_residuals: 3}.get(plot, 1)
    figure, axes = plt.subplots(1, count, layout="constrained", squeeze=False, figsize=(20, 5))
    drawn = plot(fit, ax=axes[0] if count > 1 else axes[0, 0])
    assert drawn is (axes[0, 0] if plot in SINGLE else figure)
    assert plt.get_fignums() == [figure.number]
    assert all(len(a.lines) for a in axes[0])
    figure.canvas.draw()


def test_a_wrong_number_of_axes_is_refused(fit):
    _, ax = plt.subplots()
    with pytest.raises(SpecError, match="2 Axes needed, 1 given"):
        plots.plot_frontier(fit, ax=ax)


@pytest.mark.parametrize("budgets", [1e22, [-1e22, 1e23]])
def test_budgets_that_are_no_curve_are_refused(fit, budgets):
    with pytest.raises(SpecError, match="two or more positive FLOP"):
        plots.plot_frontier(fit, budgets=budgets)


def test_an_end_that_is_no_compute_is_refused(fit):
    with pytest.raises(SpecError, match="such as 1e24"):
        plots.plot_loss(fit, to=-1.0)


@pytest.mark.parametrize("plot", PLANE)
def test_laws_of_other_inputs_are_refused(plot, fit, monkeypatch):
    law = SimpleNamespace(name="batch", inputs=("params", "batch"))
    other = SimpleNamespace(law=law, params=(), pooling=None)
    monkeypatch.setattr(_runs, "model_of", lambda _: other)
    with pytest.raises(SpecError, match="in params, batch"):
        plot(fit)


def test_more_draws_than_a_band_needs_are_thinned(fit):
    many = fit.isel(draw=np.arange(2000) % 200)
    assert _runs.light(many)["posterior"].sizes["draw"] * 2 <= _runs.MOST
    assert _runs.light(fit)["posterior"].sizes["draw"] == 200


# --- the frontier ---------------------------------------------------------------------------------


def test_frontier_bands_are_the_quantiles_of_allocate(fit):
    budgets = [1e20, 1e22, 1e24]
    left, right = plots.plot_frontier(fit, budgets=budgets).axes
    plan = allocate(fit, 1e22)
    for ax, name, color in (
        (left, "params_opt", _style.BLUE),
        (left, "tokens_opt", _style.VERMILLION),
        (right, "tokens_per_param", _style.GREEN),
    ):
        outer, inner = bands(ax, color)
        q = plan[name].quantile(_style.PROBS, dim=SAMPLES).values[:, 0]
        np.testing.assert_allclose(edges(outer, 1e22), q[[0, 4]])
        np.testing.assert_allclose(edges(inner, 1e22), q[[1, 3]])
    assert len(left.lines) == 2
    assert [a.get_xscale() for a in (left, right)] == ["log", "log"]
    assert [a.get_yscale() for a in (left, right)] == ["log", "log"]
    assert left.get_xlabel() == "training compute C = 6ND (FLOP)"
    np.testing.assert_allclose(line(right, "20 per parameter").get_ydata(), 20)


def test_frontier_marks_the_plan_and_writes_its_medians(fit):
    plan = allocate(fit, [1e22, 1e24])
    left, right = plots.plot_frontier(fit, plan).axes
    q = plan["tokens_per_param"].quantile(_style.PROBS, dim=SAMPLES).values
    outer, inner = [c for c in right.collections if hasattr(c, "get_segments")]
    np.testing.assert_allclose([s[:, 1] for s in outer.get_segments()], q[[0, 4]].T)
    np.testing.assert_allclose([s[:, 1] for s in inner.get_segments()], q[[1, 3]].T)
    assert [t.get_text() for t in right.texts] == [_ticks.count(v) for v in q[2]]
    assert len(left.texts) == 4
    assert right.get_xlim()[1] >= 3e24


def test_frontier_shades_the_compute_that_was_seen(fit, bare):
    def shaded(figure) -> tuple[float, float]:
        (patch,) = figure.axes[0].patches
        return patch.get_x(), patch.get_x() + patch.get_width()

    np.testing.assert_allclose(shaded(plots.plot_frontier(fit)), (1e19, 1e21))
    np.testing.assert_allclose(shaded(plots.plot_frontier(bare)), (1e17, 1e21))


def test_a_narrow_ratio_still_looks_narrow(fit):
    low, high = plots.plot_frontier(fit, budgets=[1e20, 2e20]).axes[1].get_ylim()
    assert high / low >= 10 * (1 - 1e-9)


# --- isoFLOP slices -------------------------------------------------------------------------------


def test_isoflop_draws_each_budget_with_its_runs(fit):
    ax = plots.plot_isoflop(fit)
    runs = table()
    drawn = [c.get_offsets() for c in ax.collections if len(c.get_offsets()) == 9]
    assert len(drawn) == 3
    points = np.concatenate([np.asarray(d) for d in drawn])
    np.testing.assert_allclose(points, runs[["params", "loss"]].to_numpy())
    assert "27 within 10 %" in ax.get_title(loc="left")
    assert [t.get_text() for t in ax.texts] == ["$10^{19}$", "$10^{20}$", "$10^{21}$"]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")
    assert ax.get_ylabel() == "loss (nat/token)"


def test_isoflop_bands_and_minima_are_those_of_predict_and_allocate(fit):
    ax = plots.plot_isoflop(fit, budgets=1e21)
    outer = next(c for c in ax.collections if c.get_label() == "_90 %")
    params = outer.get_paths()[0].vertices[20, 0]
    mean = predict(fit, {"params": params, "tokens": 1e21 / 6 / params})["loss_mean"]
    np.testing.assert_allclose(edges(outer, params), mean.quantile([0.05, 0.95]).values)
    best = allocate(fit, 1e21)
    bar = next(entry for entry in ax.lines if len(entry.get_xdata()) == 2)
    np.testing.assert_allclose(bar.get_xdata(), best["params_opt"].quantile([0.05, 0.95]))
    np.testing.assert_allclose(bar.get_ydata(), float(best["loss_opt"].median()))


def test_isoflop_of_a_published_posterior_is_curves_alone(bare):
    ax = plots.plot_isoflop(bare)
    assert "curves alone" in ax.get_title(loc="left")
    assert sum(len(c.get_offsets()) for c in ax.collections if len(c.get_offsets()) > 1) == 0
    assert len(ax.texts) == 4


def test_crowded_budgets_are_found_first_and_kept_apart():
    compute = np.sort([1e18, 1.02e18, 0.98e18, 1.5e18, 1e20, 1.01e20, 3e21])
    chosen = isoflop._crowded(compute)
    np.testing.assert_allclose(chosen, [1e18, 1.005e20, 3e21], rtol=1e-2)
    spread = isoflop._crowded(np.geomspace(1e18, 1e24, 200))
    assert len(spread) == isoflop.SLICES
    assert np.all(spread[1:] / spread[:-1] > isoflop.APART)


# --- the loss -------------------------------------------------------------------------------------


def test_loss_draws_the_runs_and_extends_the_fan(fit):
    ax = plots.plot_loss(fit, to=1e24)
    (points,) = [c for c in ax.collections if c.get_label() == "runs fitted"]
    np.testing.assert_allclose(points.get_offsets(), table()[["flops", "loss"]].to_numpy())
    np.testing.assert_allclose(points.get_array(), table()["tokens"] / table()["params"])
    outer, inner = bands(ax, _style.BLUE)[:2]
    loss = allocate(fit, 1e24)["loss_opt"]
    np.testing.assert_allclose(edges(outer, 1e24), loss.quantile([0.05, 0.95]))
    np.testing.assert_allclose(edges(inner, 1e24), loss.quantile([0.25, 0.75]))
    assert _ticks.rounded(loss.quantile([0.05, 0.5, 0.95]).values) in texts(ax)
    assert "largest run" in texts(ax)
    assert any(np.allclose(entry.get_xdata(), 1e21) for entry in ax.lines)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")


def test_loss_draws_the_floor_where_the_law_has_one(fit):
    floor = fit["posterior"]["E"].quantile([0.05, 0.5, 0.95]).values
    ax = plots.plot_loss(fit)
    np.testing.assert_allclose(line(ax, "floor E").get_ydata(), floor[1])
    (patch,) = ax.patches
    np.testing.assert_allclose((patch.get_y(), patch.get_y() + patch.get_height()), floor[[0, 2]])
    law = Chinchilla(reference=REFERENCE, floor=False)
    values = {k: v for k, v in draws_of(np.random.default_rng(0), (1, 50)).items() if k != "E"}
    flat = build(ScalingModel(law=law), dataset(values), dataset(values), table())
    assert not plots.plot_loss(flat).patches


# --- the posterior --------------------------------------------------------------------------------


def test_posterior_has_a_panel_per_parameter_with_its_numbers(fit):
    figure = plots.plot_posterior(fit)
    shown = [a for a in figure.axes if a.get_visible()]
    names = [a.texts[0].get_text() for a in shown]
    assert names == ["E", "a0", "b0", "alpha", "beta", "sigma", "nu", "a"]
    q = fit["posterior"]["E"].quantile([0.05, 0.5, 0.95]).values
    assert _ticks.rounded(q) in texts(shown[0])
    assert "times wider" in texts(shown[0])
    assert "irreducible loss" in shown[0].get_xlabel()
    assert "(nat/token)" in shown[0].get_xlabel().replace("\n", " ")
    labels = [entry.get_label() for entry in shown[0].lines]
    assert labels == ["_prior", "_posterior"]
    x, density = line(shown[0], "_posterior").get_data()
    assert np.trapezoid(density, x) == pytest.approx(1, abs=0.02)


def test_posterior_without_prior_says_so(bare):
    figure = plots.plot_posterior(bare, var_names=["E", "B"])
    assert len(figure.axes) == 2
    assert "prior not in this fit" in figure.axes[0].get_title(loc="left").replace("\n", " ")
    assert [len(a.lines) for a in figure.axes] == [1, 1]


def test_posterior_refuses_a_name_it_does_not_have(fit):
    with pytest.raises(SpecError, match=r"'alhpa'.*alpha"):
        plots.plot_posterior(fit, var_names=["alhpa"])


def test_a_fixed_parameter_is_a_line_and_called_fixed():
    model = ScalingModel(
        law=Chinchilla(reference=REFERENCE), priors={"nu": Prior.of("Fixed", value=4)}
    )
    values = draws_of(np.random.default_rng(0), (1, 50)) | {"nu": np.full((1, 50), 4.0)}
    panel = plots.plot_posterior(
        build(model, dataset(values), dataset(values), table()), var_names=["nu"]
    ).axes[0]
    assert "4, fixed" in texts(panel)
    np.testing.assert_allclose([entry.get_xdata() for entry in panel.lines], 4.0)


def test_posterior_draws_a_line_per_group_beside_the_population(pooled):
    panel = plots.plot_posterior(pooled, var_names=["a0"]).axes[0]
    labels = [entry.get_label() for entry in panel.lines]
    assert labels == ["_prior", "_posterior", "dense", "moe"]


# --- residuals ------------------------------------------------------------------------------------


def points_of(ax) -> np.ndarray:
    (points,) = [c for c in ax.collections if c.get_label() == "runs"]
    return np.asarray(points.get_offsets())


def test_residuals_are_measured_over_the_posterior_median(fit):
    runs = table()
    there = predict(fit, runs[["params", "tokens"]])["loss_mean"].median(SAMPLES)
    miss = np.log(runs["loss"].to_numpy() / there.values)
    axes = plots.plot_residuals(fit).axes[:3]
    for ax, x in zip(axes, (runs.flops, runs.params, runs.tokens / runs.params), strict=True):
        np.testing.assert_allclose(points_of(ax), np.stack([x, miss], axis=1))
        assert ax.get_xscale() == "log"
        assert "run-4" in [t.get_text() for t in ax.texts]
        assert {"90 % of new runs", "50 % of new runs"} <= {c.get_label() for c in ax.collections}
    assert axes[0].get_ylim() == axes[2].get_ylim()


def test_residuals_of_other_runs_need_no_data_in_the_fit(bare):
    with pytest.raises(FitError, match="carries no runs"):
        plots.plot_residuals(bare)
    other = table(seed=5, sizes=3).drop(columns="flops")
    other["use"] = [True] * 8 + [False]
    figure = plots.plot_residuals(bare, other)
    assert len(points_of(figure.axes[0])) == 8
    assert "8 other runs" in figure.axes[0].get_title(loc="left")
    with pytest.raises(FitError, match="tokens not in the table"):
        plots.plot_residuals(bare, other.drop(columns="tokens"))


def test_residual_bins_keep_one_budget_whole():
    x = np.repeat(BUDGETS, [5, 40, 5])
    bins = residuals._bins(x, 8)
    assert sum(len(b) for b in bins) == len(x)
    assert all(len(set(x[b])) == 1 for b in bins)
    assert len(residuals._bins(np.geomspace(1, 100, 80), 8)) == 8


# --- pooling --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("group", "count"), [("dense", 27), ("moe", 21)])
def test_a_group_is_drawn_with_its_own_law_and_runs(pooled, group, count):
    ax = plots.plot_loss(pooled, to=1e24, group=group)
    (points,) = [c for c in ax.collections if c.get_label() == "runs fitted"]
    assert len(points.get_offsets()) == count
    assert f"group {group}, {count} runs" in ax.get_title(loc="left")
    q = allocate(pooled, 1e24, group=group)["loss_opt"].quantile([0.05, 0.95])
    np.testing.assert_allclose(edges(bands(ax, _style.BLUE)[0], 1e24), q)


def test_residuals_use_each_runs_own_group(pooled):
    miss = points_of(plots.plot_residuals(pooled).axes[0])[:, 1]
    moe = _runs.runs_of(pooled, "moe")
    there = predict(pooled, moe[["params", "tokens"]], group="moe")["loss_mean"].median(SAMPLES)
    np.testing.assert_allclose(miss[27:], np.log(moe["loss"].to_numpy() / there.values))


@pytest.mark.parametrize("plot", PLANE)
def test_an_unknown_group_is_refused(plot, pooled):
    with pytest.raises(FitFileError, match="no arch 'mamba'"):
        plot(pooled, group="mamba")


# --- numbers on axes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "written"),
    [(1e20, r"$10^{20}$"), (3e20, r"$3{\times}10^{20}$"), (9.99e19, r"$10^{20}$")],
)
def test_powers_are_written_as_powers(value, written):
    assert _ticks.power(value) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [(20, "20"), (0.5, "0.5"), (1000, "1k"), (3e8, "300M"), (7e9, "7B"), (1.4e12, "1.4T"),
     (999.9e6, "1B"), (67.123e9, "67.1B"), (1e17, r"$10^{17}$")],
)  # fmt: skip
def test_counts_are_written_as_they_are_spoken_of(value, written):
    assert _ticks.count(value) == written


@pytest.mark.parametrize(
    ("low", "high", "some"),
    [(1e18, 1e24, [1e18, 1e21]), (2e8, 2e10, [1e9, 3e9]), (8, 60, [10, 20, 50]), (3, 3.2, [])],
)
def test_log_ticks_are_few_and_enough(low, high, some):
    ticks = np.array(_ticks.LogTicks().tick_values(low, high))
    assert all(np.isclose(ticks, s).any() for s in some)
    inside = (ticks >= low) & (ticks <= high)
    assert 3 <= inside.sum() <= 9


# Laws of one variable.


@pytest.fixture(scope="module")
def alone():
    law = PowerLaw("tokens", reference=(("tokens", 1e10),))
    numbers = {"E": 1.7, "a0": 0.8, "alpha": 0.3, "sigma": 0.01, "nu": 4.0}
    priors = {k: Prior.of("Fixed", value=v) for k, v in numbers.items()}
    priors["alpha"] = Prior.of("LogNormal", median=0.3, sigma=0.1)
    return sample_prior(ScalingModel(law, priors=priors), draws=400)


def test_a_curve_is_the_quantiles_of_the_law(alone):
    ax = plots.plot_curve(alone, to=1e13)
    assert ax.get_xlabel() == "training tokens D"
    assert ax.get_xscale() == "log"
    (line,) = [v for v in ax.get_lines() if v.get_label().startswith("law")]
    x, y = line.get_xdata(), line.get_ydata()
    assert x[-1] == pytest.approx(1e13)
    middle = np.median(predict(alone, {"tokens": x}).loss_mean, axis=(0, 1))
    np.testing.assert_allclose(y, middle, rtol=1e-6)
    assert "floor E" in " ".join(v.get_label() for v in ax.get_lines())
    plt.close("all")


def test_a_curve_shows_the_runs_and_where_they_end(ladder):
    runs = ladder(0)
    made = fit_law(ScalingModel(law=PowerLaw("flops")), runs, draws=400)
    ax = plots.plot_curve(made)
    (points,) = ax.collections[-1:]
    assert len(points.get_offsets()) == len(runs)
    largest = float((6 * runs["params"] * runs["tokens"]).max())
    ends = [v.get_xdata()[0] for v in ax.get_lines() if len(set(v.get_xdata())) == 1]
    assert largest == pytest.approx(min(ends, key=lambda v: abs(np.log(v / largest))), rel=1e-6)
    assert ax.get_xlim()[1] == pytest.approx(115 * largest, rel=0.01)
    plt.close("all")


def test_a_curve_of_two_inputs_or_to_nowhere_is_refused(fit, alone):
    with pytest.raises(SpecError, match="plot_loss and plot_isoflop draw it"):
        plots.plot_curve(fit)
    with pytest.raises(SpecError, match="a positive number of tokens"):
        plots.plot_curve(alone, to=0.0)
    plt.close("all")


def filters(tokens=(1e9, 1e10, 1e11)) -> xr.Dataset:
    """Return what `best_pool` does: the first filter is best at first, the second later."""
    rng, keep = np.random.default_rng(4), np.array([1, 2])
    level = np.array([[0.30, 0.29, 0.28], [0.32, 0.28, 0.25]])[:, : len(tokens)]
    loss = xr.DataArray(
        level + 0.003 * rng.normal(size=(2, 100, *level.shape)),
        dims=(*SAMPLES, "keep", "tokens"),
        coords={"keep": keep, "tokens": list(tokens), "pools": ("keep", ["a", "a + b"])},
        attrs={"units": "nat/token"},
    )
    best = loss.min("keep")
    out = xr.Dataset({"loss": loss, "excess": loss - best, "p_best": (loss == best).mean(SAMPLES)})
    out["choice"] = out.keep[out.excess.mean(SAMPLES).argmin("keep")]
    return out.assign_attrs(trust="trusted", unique=1e9)


def test_filters_are_drawn_with_their_bands_and_how_probably_each_is_best():
    found = filters()
    left, right = plots.plot_pools(found).axes
    assert left.get_xscale() == right.get_xscale() == "log"
    assert left.get_ylabel() == "loss (nats per token)"
    for keep, line in zip((1, 2), left.get_lines(), strict=True):
        middle = found.loss.sel(keep=keep).median(SAMPLES)
        np.testing.assert_allclose(line.get_ydata(), middle)
    lines, marks = right.get_lines()[::2], right.get_lines()[1::2]
    for keep, line, mark in zip((1, 2), lines, marks, strict=True):
        np.testing.assert_allclose(line.get_ydata(), found.p_best.sel(keep=keep))
        np.testing.assert_allclose(mark.get_xdata(), found.tokens[found.choice == keep])
    shuffled = plots.plot_pools(found.isel(tokens=[2, 0, 1])).axes[0]
    np.testing.assert_allclose(shuffled.get_lines()[0].get_xdata(), found.tokens)


def test_filters_at_one_number_of_samples_or_of_another_making_are_refused():
    with pytest.raises(SpecError, match="several numbers of samples"):
        plots.plot_pools(filters((1e9,)))
    with pytest.raises(SpecError, match="as `best_pool` returns them"):
        plots.plot_pools(xr.Dataset())


def fixed_data(points: int) -> xr.Dataset:
    """Return what `asymptotes` does; of the last number of tokens some draws have no worth."""
    rng, shape = np.random.default_rng(5), (2, 100, *([points] * bool(points)))
    dims = (*SAMPLES, "point")[: len(shape)]
    single = xr.DataArray(3.3 + 0.02 * rng.normal(size=shape), dims=dims)
    out = xr.Dataset({"single": single, "ensemble": 0.94 * single, "gain": 0.06 + 0 * single,
                      "members": 10 + 0 * single})  # fmt: skip
    if points:
        out = out.assign_coords(unique=("point", np.geomspace(1e8, 1e10, points)))
        worth = 3 + 0.3 * rng.normal(size=shape)
        worth[:, ::5, -1] = np.inf
        out["data_worth"] = (dims, worth)
    return out.assign_attrs(trust="trusted")


def test_asymptotes_are_drawn_against_unique_tokens_with_what_they_are_worth():
    found = fixed_data(3)
    left, right = plots.plot_asymptotes(found).axes
    assert left.get_xlabel() == right.get_xlabel() == "unique tokens"
    assert left.get_xscale() == right.get_yscale() == "log"
    one, many = left.get_lines()
    for line, name in ((one, "single"), (many, "ensemble")):
        middle = found[name].quantile(0.5, SAMPLES, method="inverted_cdf")
        np.testing.assert_allclose(line.get_ydata(), middle)
        np.testing.assert_allclose(line.get_xdata(), found.unique, rtol=0.1)
    worth = right.get_lines()[0].get_ydata()
    np.testing.assert_allclose(worth, 3, rtol=0.1)
    assert right.get_ylim()[1] < 10  # what is endless leaves the panel


def test_asymptotes_of_one_number_of_tokens_are_two_bars_and_without_ensembles_one():
    found = fixed_data(0)
    (ax,) = plots.plot_asymptotes(found).axes
    assert [t.get_text() for t in ax.get_xticklabels()] == ["one model", "an ensemble"]
    (alone,) = plots.plot_asymptotes(found.drop_vars("members")).axes
    assert [t.get_text() for t in alone.get_xticklabels()] == ["one model"]
    with pytest.raises(SpecError, match="as `asymptotes` returns them"):
        plots.plot_asymptotes(xr.Dataset())
