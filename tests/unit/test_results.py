"""Fits on disk, and every ArviZ tool on a fit."""

import warnings

import arviz_plots
import arviz_stats
import numpy as np
import pytest
import xarray as xr

import bayes_scaling as bs
from bayes_scaling.errors import FitFileError
from bayes_scaling.results import DATA_GROUPS, SCHEMA, intervals, model_of, save_fit

GROUPS = {
    "posterior",
    "sample_stats",
    "log_likelihood",
    "log_prior",
    "prior",
    "posterior_predictive",
    "observed_data",
    "constant_data",
}
PARAMETERS = ["E", "a0", "b0", "alpha", "beta", "sigma", "nu"]


@pytest.fixture
def saved(fitted, tmp_path):
    return save_fit(fitted, tmp_path / "runs" / "fit.nc")


def test_a_fit_has_its_groups_sizes_and_units(fitted):
    assert set(fitted.children) == GROUPS
    assert dict(fitted.posterior.sizes) == {"chain": 4, "draw": 1000}
    assert set(fitted.posterior.data_vars) == {*PARAMETERS, "A", "B", "a"}
    assert dict(fitted.log_likelihood.sizes) == {"chain": 4, "draw": 1000, "run": 96}
    assert fitted.posterior_predictive.loss.dims == ("chain", "draw", "run")
    assert fitted.observed_data.loss.dims == ("run",)
    assert {"params", "tokens", "flops"} <= set(fitted.constant_data.data_vars)
    for name, draws in fitted.posterior.data_vars.items():
        assert draws.attrs["units"], name
        assert draws.attrs["long_name"], name
        assert draws.dtype == np.float64
        assert np.all(np.isfinite(draws))
    assert fitted.posterior.E.attrs["units"] == "nat/token"
    assert fitted.posterior.alpha.attrs["units"] == "1"


def test_the_log_likelihood_is_that_of_the_model(fitted):
    """Restated with SciPy: ln L is Student-t about the law's, and L = exp of it."""
    from scipy.stats import t

    post, x = fitted.posterior.isel(chain=1, draw=7), fitted.constant_data
    mu = post.E + post.A * x.params**-post.alpha + post.B * x.tokens**-post.beta
    loss = fitted.observed_data.loss
    scatter = t(float(post.nu), np.log(mu.values), float(post.sigma))
    expected = scatter.logpdf(np.log(loss)) - np.log(loss)
    np.testing.assert_allclose(
        fitted.log_likelihood.loss.isel(chain=1, draw=7), expected, rtol=1e-9, atol=1e-9
    )


def test_a_fit_says_how_it_was_made(fitted):
    attrs = fitted.attrs
    assert attrs["bayes_scaling_schema"] == SCHEMA
    assert attrs["method"] == "laplace"
    assert attrs["k_hat"] < 0.7
    assert attrs["rows"] == 96
    assert attrs["seed"] == 0
    assert model_of(fitted).structure == bs.ScalingModel().structure
    assert model_of(fitted).law.reference is not None
    assert '"jax"' in attrs["versions"]


def test_save_and_open(fitted, saved):
    back = bs.open_fit(saved)
    assert back.identical(fitted)
    at = {"params": 70e9, "tokens": 1.4e12}
    xr.testing.assert_identical(bs.predict(back, at), bs.predict(fitted, at))


def test_a_published_posterior_leaves_the_data_out(fitted, tmp_path):
    path = bs.save_fit(fitted, tmp_path / "public.nc", data=False)
    back = bs.open_fit(path)
    assert set(back.children) == GROUPS - set(DATA_GROUPS)
    xr.testing.assert_identical(back.posterior.to_dataset(), fitted.posterior.to_dataset())
    assert set(fitted.children) == GROUPS  # the fit in memory keeps them
    assert not any("run" in node.sizes for node in back.subtree)  # nothing that is one per run
    plan = bs.allocate(back, 1e22)
    np.testing.assert_array_equal(plan.params_opt, bs.allocate(fitted, 1e22).params_opt)


def test_no_file(tmp_path):
    with pytest.raises(FitFileError, match=r"absent.nc: no such file. A fit is what `save_fit`"):
        bs.open_fit(tmp_path / "absent.nc")
    with pytest.raises(FitFileError, match="no such file"):
        bs.open_fit(tmp_path)


def test_not_netcdf(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("params,tokens,loss\n1e9,2e10,2.7\n")
    with pytest.raises(FitFileError, match=r"cannot be read as NetCDF \(32 bytes"):
        bs.open_fit(path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.98])
def test_a_file_cut_off(saved, share):
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(FitFileError, match="cut off while it was written or copied"):
        bs.open_fit(saved)


@pytest.mark.parametrize("group", ["/", "/posterior"])
def test_netcdf_that_is_no_fit(tmp_path, group):
    path = tmp_path / "other.nc"
    other = xr.Dataset({"x": ("i", [1.0, 2.0])})
    xr.DataTree.from_dict({group: other}).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(FitFileError, match=r"not a fit of bayes_scaling \(groups: "):
        bs.open_fit(path)


def rewritten(path, change):
    fit = xr.load_datatree(path, engine="h5netcdf")
    fit = change(fit) or fit
    fit.to_netcdf(path, engine="h5netcdf")


def test_a_fit_of_a_later_version(saved):
    later = {"bayes_scaling_schema": SCHEMA + 1, "bayes_scaling_version": "9.1"}
    rewritten(saved, lambda fit: fit.attrs.update(later))
    with pytest.raises(FitFileError, match=r"written by bayes_scaling 9.1 \(schema 2\).*Upgrade"):
        bs.open_fit(saved)


def shift_one_draw(fit):
    fit["posterior"]["alpha"][2, 5] += 1e-9


def another_prior(fit):
    fit.attrs["model"] = fit.attrs["model"].replace('"sigma": 0.5', '"sigma": 0.6')


def without_a_parameter(fit):
    fit["posterior"] = xr.DataTree(fit["posterior"].to_dataset().drop_vars("nu"))


@pytest.mark.parametrize("change", [shift_one_draw, another_prior, without_a_parameter])
def test_an_edited_posterior(saved, change):
    rewritten(saved, change)
    with pytest.raises(FitFileError, match=r"edited after the fit.*verify=False"):
        bs.open_fit(saved)
    assert "posterior" in bs.open_fit(saved, verify=False).children


def test_notes_may_be_added(saved):
    rewritten(saved, lambda fit: fit.attrs.update(author="me"))
    assert bs.open_fit(saved).attrs["author"] == "me"


def test_another_tools_tree_is_no_fit():
    tree = xr.DataTree.from_dict({"/posterior": xr.Dataset({"mu": (("chain", "draw"), [[1.0]])})})
    with pytest.raises(FitFileError, match="no `model` in its root attributes"):
        bs.predict(tree, {"params": 1e9, "tokens": 1e10})


def test_intervals_are_draws(fitted):
    table = intervals(fitted.posterior.to_dataset(), (0.05, 0.5, 0.95))
    assert list(table.columns) == [0.05, 0.5, 0.95]
    assert set(PARAMETERS) <= set(table.index)
    draws = fitted.posterior.alpha.values
    assert np.all(np.isin(table.loc["alpha"], draws))
    assert np.mean(draws <= table.loc["alpha", 0.05]) == pytest.approx(0.05, abs=1e-3)


# ArviZ, as its users call it.


def test_summary(fitted):
    table = arviz_stats.summary(fitted, var_names=PARAMETERS, ci_prob=0.9, round_to="none")
    assert list(table.index) == PARAMETERS
    assert table["r_hat"].max() < 1.02
    assert table["ess_bulk"].min() > 400
    assert table.loc["alpha", "mean"] == pytest.approx(float(fitted.posterior.alpha.mean()))


def test_loo_and_compare(fitted, ladder):
    tied = bs.ScalingModel(bs.Chinchilla(tied=True))
    other = bs.fit(tied, ladder(0), method="laplace", seed=0)
    loo = arviz_stats.loo(fitted, pointwise=True)
    assert loo.elpd == pytest.approx(float(loo.elpd_i.sum()), rel=1e-6)
    assert float(loo.pareto_k.max()) < 0.7
    with warnings.catch_warnings():  # ArviZ 0.8 calls pandas in a way that pandas 3 deprecates
        warnings.filterwarnings("ignore", message="The inplace keyword")
        table = arviz_stats.compare({"free": fitted, "tied": other})
    assert set(table.index) == {"free", "tied"}
    assert np.isfinite(table["elpd"]).all()


@pytest.fixture
def figures():
    """Close what ArviZ draws."""
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    yield
    plt.close("all")


@pytest.mark.parametrize(
    "name",
    ["plot_dist", "plot_trace", "plot_trace_dist", "plot_forest", "plot_pair",
     "plot_prior_posterior"],
)  # fmt: skip
def test_plots_of_parameters(fitted, figures, name):
    shown = getattr(arviz_plots, name)(fitted, var_names=["E", "alpha"])
    assert {"E", "alpha"} <= set(str(shown.viz.to_dict()).replace("'", " ").split())


@pytest.mark.parametrize("name", ["plot_ppc_dist", "plot_ppc_pit", "plot_loo_pit", "plot_khat"])
def test_plots_of_runs(fitted, figures, name):
    shown_of = fitted
    if name == "plot_khat":
        shown_of = arviz_stats.loo(fitted, pointwise=True)
    assert getattr(arviz_plots, name)(shown_of) is not None
