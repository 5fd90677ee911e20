"""Many fits are the fits one by one, whoever runs them and whatever stands beside them."""

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import xarray as xr

import bayes_scaling as bs
from bayes_scaling.errors import SpecError
from bayes_scaling.trust import UntrustedFitWarning

PARAMS = ("E", "a0", "b0", "alpha", "beta", "sigma", "nu")


@pytest.fixture(scope="module")
def tables(ladder):
    return [ladder(seed) for seed in range(3)]


@pytest.fixture(scope="module")
def fits(tables):
    return bs.fit_many(bs.ScalingModel(), tables, draws=4000, seed=0)


def test_each_is_the_posterior_that_fit_finds(fits, tables):
    """Ends and medians of the same posterior from other draws.

    Both have over 1,500 effective draws: a difference of ends errs by 0.077 sd; 0.4 is 5 of that,
    once in 10^6 per number, for 63 of them.
    """
    assert fits.trust.values.tolist() == ["trusted"] * 3
    assert fits.rows.values.tolist() == [96] * 3
    for i, table in enumerate(tables):
        alone = bs.fit(bs.ScalingModel(), table, method="laplace", seed=9).posterior
        for name in PARAMS:
            ends = [np.quantile(p[name], [0.05, 0.5, 0.95]) for p in (fits.isel(fit=i), alone)]
            gap = np.abs(ends[0] - ends[1]) / float(alone[name].std())
            assert np.all(gap < 0.4), f"table {i}, {name}: {gap}"


def test_a_fit_does_not_depend_on_its_neighbours(fits, tables):
    fewer = bs.fit_many(bs.ScalingModel(), tables[:2], draws=4000, seed=0)
    xr.testing.assert_equal(fewer, fits.isel(fit=slice(0, 2)))
    other = bs.fit_many(bs.ScalingModel(), tables[:1], draws=4000, seed=1)
    assert not np.any(np.isin(other.alpha, fits.alpha))


def test_side_by_side_as_an_accelerator_has_them_they_are_the_same(tables, monkeypatch):
    """Equal proposals about peaks that differ by what searches stop short of: 0.001 sd."""
    here = bs.fit_many(bs.ScalingModel(), tables, draws=400)
    monkeypatch.setattr("bayes_scaling.inference._batch.LOT", 2)
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")
    there = bs.fit_many(bs.ScalingModel(), tables, draws=400)
    np.testing.assert_allclose(there.k_hat, here.k_hat, atol=0.02)
    for name in PARAMS:
        sd = here[name].std(("chain", "draw"))
        gap = (there[name] - here[name]).mean(("chain", "draw")) / sd
        assert np.all(np.abs(gap) < 0.05), name


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_any_executor_gives_the_same(kind, tables, monkeypatch):
    monkeypatch.setattr("bayes_scaling.inference.many.CHUNK", 2)
    here = bs.fit_many(bs.ScalingModel(), tables, draws=400)
    pools = {
        "threads": lambda: ThreadPoolExecutor(2),
        "processes": lambda: ProcessPoolExecutor(1, mp_context=get_context("spawn")),
    }
    with pools[kind]() as executor:
        there = bs.fit_many(bs.ScalingModel(), tables, draws=400, executor=executor)
    xr.testing.assert_identical(here, there)


@pytest.mark.slow
def test_what_cannot_be_fitted_is_flagged_and_the_rest_is_not_lost(ladder):
    one_line = ladder(0)
    one_line["tokens"] = 20 * one_line["params"]
    tables = {"good": ladder(1), "a line": one_line, "no loss": ladder(0).drop(columns="loss"),
              "short": ladder(2).head(40)}  # fmt: skip
    fits = bs.fit_many(bs.ScalingModel(), tables, draws=400)
    said = dict(zip(fits.fit.values, fits.trust.values, strict=True))
    assert said["good"] == said["short"] == "trusted"
    assert "on one line" in said["a line"]
    assert "loss" in said["no loss"]
    assert fits.rows.values.tolist() == [96, 0, 0, 40]
    assert np.isfinite(fits.alpha.sel(fit=["good", "short"])).all()
    assert np.isnan(fits.alpha.sel(fit=["a line", "no loss"])).all()
    with pytest.raises(SpecError, match="was not fitted"):
        bs.one_of(fits, "a line")
    with pytest.raises(SpecError, match="no fit 'bad'"):
        bs.one_of(fits, "bad")


def test_one_of_many_answers_as_its_own_fit_does(fits, tables):
    one = bs.one_of(fits, 1)
    alone = bs.fit(bs.ScalingModel(), tables[1], method="laplace", seed=9)
    plans = [bs.allocate(f, 1e23) for f in (one, alone)]
    a, b = (np.log(p["params_opt"].values) for p in plans)
    assert abs(np.median(a) - np.median(b)) < 0.4 * b.std()  # as above
    assert plans[0].attrs["trust"] == "trusted"
    assert one.attrs["largest"] == alone.attrs["largest"]


def test_doubtful_fits_are_flagged_or_handed_to_nuts(ladder, monkeypatch):
    monkeypatch.setattr("bayes_scaling.inference.sampling.GOOD_K", -9.0)
    flagged = bs.fit_many(bs.ScalingModel(), [ladder(0)], draws=400)
    assert flagged.method.item() == "laplace"
    assert "is not below -9.0" in flagged.trust.item()
    with pytest.warns(UntrustedFitWarning, match="is not below"):
        bs.allocate(bs.one_of(flagged, 0), 1e22)
    handed = bs.fit_many(bs.ScalingModel(), [ladder(0)], draws=400, method="auto")
    assert handed.method.item() == "nuts"
    assert dict(handed.sizes) == {"fit": 1, "chain": 4, "draw": 100}


@pytest.mark.slow
def test_few_runs_are_flagged():
    fits = bs.fit_many(bs.ScalingModel(), [bs.load_dataset("nine-runs")], draws=400)
    assert fits.trust.item() != "trusted"


def test_what_fit_many_refuses(ladder):
    with pytest.raises(SpecError, match="put a single one into a list"):
        bs.fit_many(bs.ScalingModel(), ladder(0))
    with pytest.raises(SpecError, match="draws 0: give whole numbers"):
        bs.fit_many(bs.ScalingModel(), [ladder(0)], draws=0)
    with pytest.raises(SpecError, match="no table"):
        bs.fit_many(bs.ScalingModel(), [])
    with pytest.raises(SpecError, match="'nuts' is unknown to fit_many"):
        bs.fit_many(bs.ScalingModel(), [ladder(0)], method="nuts")
    with pytest.raises(SpecError, match="without pooling"):
        bs.fit_many(bs.ScalingModel(pooling=bs.Pooling("arch")), [ladder(0)])
