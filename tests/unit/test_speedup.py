"""Speed-ups over a baseline and proxies: closed forms, infinities, pairs, and what is refused."""

import json
import warnings
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.stats as st
import xarray as xr

import bayes_scaling as bs
from bayes_scaling.cli import main
from bayes_scaling.decision._groups import groups_of, prior_slopes
from bayes_scaling.errors import FitFileError, SpecError
from bayes_scaling.model import Pooling
from bayes_scaling.program import prepare
from bayes_scaling.results import tree

DRAWS = ("chain", "draw")
X0 = 1e20
PARTIAL = Pooling("arch", (("E", "shared"), ("alpha", "partial")))


def made(theta, law=None, pooling=None, **attrs):
    """Put draws into a fit: (chain, draw) arrays, (chain, draw, group) where groups differ."""
    law = law or bs.PowerLaw("flops", reference=(("flops", X0),))
    pooling = pooling or Pooling("arch", (("E", "shared"), ("a0", "free"), ("alpha", "free")))
    model = bs.ScalingModel(law, bs.Normal(), pooling=pooling)
    coords = {"arch": ["base", "new", "other"]}
    variables = {}
    for name, values in theta.items():
        values = np.asarray(values, float)
        dims = (*DRAWS, "arch") if values.ndim == 3 else DRAWS
        variables[f"{name}_group" if values.ndim == 3 else name] = (dims, values)
    posterior = xr.Dataset(variables, coords=coords)
    said = {"largest": {"flops": 1e21}, "best_loss": 2.0, "log_flops_mean": np.log(X0), **attrs}
    return tree({"posterior": posterior}, model, method="laplace", k_hat=0.1, effective=4e3, **said)


@pytest.fixture(scope="module")
def exact():
    """Three groups under a shared floor, 2 x 3 draws, with slopes that differ."""
    rng = np.random.default_rng(0)
    shape = (2, 3)
    a0 = 0.9 * np.exp(0.1 * rng.normal(size=(*shape, 3)))
    alpha = 0.15 * np.exp(0.1 * rng.normal(size=(*shape, 3)))
    alpha[..., 2] = alpha[..., 0]
    return made({"E": np.full(shape, 1.8), "a0": a0, "alpha": alpha,
                 "sigma": np.full(shape, 0.01)})  # fmt: skip


def runs_of(seed, names=("base", "new"), gain=1.5, slopes=(0.15, 0.15), sigma=0.005, budgets=16):
    """Simulate groups on the same budgets; the law is restated here on purpose."""
    rng = np.random.default_rng(seed)
    c = np.geomspace(1e17, 1e21, budgets)
    parts = []
    for name, slope, k in zip(names, slopes, range(len(names)), strict=True):
        loss = 1.8 + 0.6 * (gain**k * c / 1e19) ** -slope
        loss = loss * np.exp(sigma * rng.standard_t(6, budgets))
        parts.append(pd.DataFrame({"flops": c, "loss": loss, "arch": name}))
    return bs.read_runs(pd.concat(parts, ignore_index=True), require=("flops", "loss"))


@pytest.fixture(scope="module")
def fitted():
    model = bs.ScalingModel(bs.PowerLaw("flops"), pooling=PARTIAL)
    return bs.fit(model, runs_of(1), method="laplace", seed=0)


def test_with_one_slope_and_floor_the_multiplier_is_its_closed_form_everywhere(exact):
    found = bs.speedup(exact, "base", [1e18, 1e21, 1e26])
    theta = {k: exact["posterior"][f"{k}_group"].values for k in ("a0", "alpha")}
    ratio = np.log(theta["a0"][..., 0] / theta["a0"][..., 2]) / theta["alpha"][..., 0]
    other = found.speedup.sel(group="other").values
    np.testing.assert_allclose(other, np.exp(ratio)[..., None].repeat(3, -1), rtol=1e-9)
    assert np.isinf(found.crossover.sel(group="other")).all()
    np.testing.assert_allclose(found.slope.sel(group="other"), theta["alpha"][..., 2], rtol=1e-9)


def test_multiplier_and_crossover_are_their_closed_forms_where_slopes_differ(exact):
    at = np.array([1e18, 1e23])
    found = bs.speedup(exact, "base", at).sel(group="new")
    a, s = (exact["posterior"][f"{k}_group"].values for k in ("a0", "alpha"))
    reducible = a[..., :1] * (at / X0) ** -s[..., :1]
    needed = X0 * (reducible / a[..., 1:2]) ** (-1 / s[..., 1:2])
    np.testing.assert_allclose(found.needed, needed, rtol=1e-9)
    np.testing.assert_allclose(found.speedup, at / needed, rtol=1e-9)
    log = np.log(X0) + np.log(a[..., 0] / a[..., 1]) / (s[..., 0] - s[..., 1])
    near = abs(log - np.log(X0)) < 12 * np.log(10)
    assert near.any()
    np.testing.assert_allclose(np.log(found.crossover.values)[near], log[near], rtol=1e-8)
    assert np.isinf(found.crossover.values[~near]).all()
    np.testing.assert_allclose(found.difference, s[..., 1] - s[..., 0], rtol=1e-6, atol=1e-12)


def test_the_larger_slope_wins_with_compute_without_end(exact):
    found = bs.speedup(exact, "base", [1.0e6, 1e60]).sel(group="new")
    ahead = found.speedup.values > 1
    steeper = found.difference.values > 0
    np.testing.assert_array_equal(ahead[..., 1], steeper)


def test_draws_that_never_get_there_count_as_no_speedup():
    shape = (1, 4)
    floor = np.full((*shape, 3), 1.8)
    floor[0, :2, 1] = 2.5  # in half of the draws the floor is above the loss
    fit = made(
        {"E": floor, "a0": np.full((*shape, 3), 0.6), "alpha": np.full((*shape, 3), 0.15),
         "sigma": np.full(shape, 0.01)},
        pooling=Pooling("arch", (("E", "free"), ("a0", "free"), ("alpha", "free"))),
    )  # fmt: skip
    found = bs.speedup(fit, "base", 1e21)
    assert found.never.sel(group="new").item() == 0.5
    np.testing.assert_array_equal(found.speedup.sel(group="new")[0, :, 0] > 0, [0, 0, 1, 1])
    assert np.isinf(found.needed.sel(group="new")[0, :2]).all()
    assert "never gets there with probability 0.50" in found.attrs["verdict"][0]
    assert found.never.sel(group="other").item() == 0


def test_joint_laws_are_compared_along_each_groups_own_frontier():
    """Where both terms of a group are a share c of the baseline's, it needs c^(1/gamma) of it."""
    reference = (("params", 1e9), ("tokens", 2e10))
    shape, share = (1, 2), 0.9
    less = np.array([1.0, share, 1.0])
    alpha, beta = np.full(shape, 0.35), np.full(shape, 0.28)
    fit = made(
        {"E": np.full(shape, 1.7), "a0": 0.3 * np.ones((*shape, 3)) * less,
         "b0": 0.2 * np.ones((*shape, 3)) * less, "alpha": alpha, "beta": beta,
         "sigma": np.full(shape, 0.01)},
        law=bs.Chinchilla(reference=reference),
        pooling=Pooling("arch", (("E", "shared"), ("a0", "free"), ("b0", "free"))),
    )  # fmt: skip
    found = bs.speedup(fit, "base", [1e20, 1e24])
    gamma = 0.35 * 0.28 / 0.63
    np.testing.assert_allclose(found.speedup.sel(group="new"), share ** (-1 / gamma), rtol=1e-9)
    np.testing.assert_allclose(found.slope, gamma, rtol=1e-9)
    assert np.isnan(found.savage_dickey).all()
    dear = bs.speedup(fit, "base", [1e20, 1e24], cost={"new": 2.0, "base": 0.5})
    np.testing.assert_allclose(dear.speedup.sel(group="new"), share ** (-1 / gamma) / 4, rtol=1e-9)
    np.testing.assert_allclose(dear.speedup.sel(group="other"), 1 / 2, rtol=1e-9)
    run = {"params": 1e8, "tokens": 2e9}
    there = bs.proxy(fit, run, {"params": 1e10, "tokens": 2e11})
    law = bs.predict(fit, run, group="new").loss_mean[..., 0]
    np.testing.assert_allclose(there.loss_base.sel(group="new"), law)


@pytest.mark.slow
def test_a_real_fit_finds_what_was_simulated(fitted):
    found = bs.speedup(fitted, "base")
    q = found.speedup.quantile([0.005, 0.995], DRAWS, method="inverted_cdf").sel(group="new")
    middle = (found["at"] > 1e18) & (found["at"] < 1e20)
    assert bool(((q[0] < 1.5) & (q[1] > 1.5))[middle].all())  # false alarms: about 1 % of seeds
    assert found.faster.sel(group="new")[12].item() > 0.99
    assert found.overlap.item() == pytest.approx(4)
    assert found.cross.sum("place").item() == pytest.approx(1)
    inside = found.inside.sel(group="new").values
    assert inside[12] == 1
    assert inside[-1] == 0
    assert "left behind: extrapolation" in found.attrs["verdict"][0]
    assert found.attrs["trust"] == "trusted"
    assert found.savage_dickey.item() > 1  # slopes were equal; below 1 for one seed in twenty


@pytest.mark.slow
def test_reach_of_the_runs_says_what_is_extrapolation():
    runs = runs_of(2)
    apart = np.where(runs["arch"] == "base", runs["flops"] < 1e19, runs["flops"] > 3e19)
    model = bs.ScalingModel(bs.PowerLaw("flops"), pooling=PARTIAL)
    fit = bs.fit(model, runs[apart], method="laplace", force=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bs.UntrustedFitWarning)  # of so few runs, as it happens
        found = bs.speedup(fit, "base", 1e19)
    assert found.overlap.item() < 0
    assert found.inside.item() == 0
    assert "do not overlap: all of it is extrapolation" in found.attrs["verdict"][0]
    assert found.cross.sel(place="inside").item() == 0


@pytest.mark.slow
def test_prior_of_slopes_is_what_is_stated(fitted):
    """P(|ds| > 10 % of s): 0.21 for ds ~ N(0, HalfNormal(0.03)) at s = 0.3; ours at any s."""
    rng = np.random.default_rng(0)
    z, tau = rng.normal(size=(2, 400_000))
    for s, stated in ((0.3, 0.21), (0.1, 0.53), (0.05, 0.69)):
        assert np.mean(abs(z * 0.03 * tau) > 0.1 * s) == pytest.approx(stated, abs=0.006)
    one, two = np.log(prior_slopes(fitted, groups_of(fitted), 0))
    sd = rng.lognormal(np.log(0.05), 0.8, 400_000)
    ours = np.mean(2 * st.norm.sf(np.log(1.1) / (np.sqrt(2) * sd)))
    assert np.mean(abs(one - two) > np.log(1.1)) == pytest.approx(ours, abs=0.01)
    assert ours == pytest.approx(0.25, abs=0.005)  # between two groups, whatever s is
    center = np.mean(2 * st.norm.sf(np.log(1.1) / sd))
    assert center == pytest.approx(0.16, abs=0.005)  # of one from the population's


@pytest.mark.slow
def test_savage_and_dickey_is_the_ratio_of_known_densities(fitted):
    """Prior density of ln(s / s') at 0 is E[1 / sd] / sqrt(4 pi); the posterior's is normal."""
    posterior = fitted["posterior"].to_dataset()
    rng = np.random.default_rng(3)
    shape = posterior.alpha.shape
    log = np.log(0.15) + np.stack([np.zeros(shape), 0.02 + 0.03 * rng.normal(size=shape)], -1)
    told = posterior.assign(alpha_group=(posterior.alpha_group.dims, np.exp(log)))
    fit = fitted.copy()
    fit["posterior"] = xr.DataTree(told)
    found = bs.speedup(fit, "base", 1e19)
    before = np.exp(0.8**2 / 2) / 0.05 / np.sqrt(4 * np.pi)
    after = st.norm.pdf(0, 0.02, 0.03)
    assert found.savage_dickey.item() == pytest.approx(after / before, rel=0.1)
    assert found.equivalent.item() == pytest.approx(
        st.norm.cdf(np.log(1.03), 0.02, 0.03) - st.norm.cdf(np.log(0.97), 0.02, 0.03), abs=0.03
    )


def paired(seed):
    """Return runs whose pairs miss the law together, and the pooling that compares them."""
    rng = np.random.default_rng(seed)
    runs = runs_of(seed, sigma=0.002)
    budgets = len(runs) // 2
    runs["loss"] *= np.exp(np.tile(0.02 * rng.normal(size=budgets), 2))
    runs["pair"] = np.tile([f"pair {i}" for i in range(budgets)], 2)
    return runs, Pooling("arch", (("E", "shared"), ("a0", "free"), ("alpha", "free")))


def test_a_cluster_reaches_across_groups_where_it_is_said_to():
    runs, free = paired(5)
    for across, count in ((True, len(runs) // 2), (False, len(runs))):
        seen = bs.Clustered("pair", along="", across=across)
        ready = prepare(bs.ScalingModel(bs.PowerLaw("flops"), seen, pooling=free), runs)
        assert len(set(ready.data["x"]["cluster"][: len(runs)])) == count


def test_regret_and_ranks_of_a_proxy_are_those_of_the_draws(exact):
    found = bs.proxy(exact, 1e18, 1e24)
    base, to = found.loss_base.values, found.loss_to.values
    for c, d in np.ndindex(base.shape[:2]):
        lost = to[c, d, base[c, d].argmin()] - to[c, d].min()
        assert found.regret.values[c, d] == pytest.approx(lost)
        order = [tuple(np.argsort(v[c, d])) for v in (base, to)]
        assert (found.pairs.values[c, d] == 1) == (order[0] == order[1])
    np.testing.assert_allclose(found.rank_to.sum("rank"), 1)
    np.testing.assert_allclose(found.rank_to.sum("group"), 1)
    np.testing.assert_allclose(found.rank_to.sel(rank=1), found.best_to)
    slope = exact["posterior"].alpha_group.values
    np.testing.assert_allclose(found.spread, np.log(slope).std(-1, ddof=1), rtol=1e-6)
    assert found.attrs["choice"] == str(found["group"].values[to.mean((0, 1)).argmin()])
    same = bs.proxy(exact, 1e18, 1e18)
    assert float(same.kept.mean()) == 1
    assert same.attrs["verdict"] == "the proxy decides"
    assert float(same.regret_measured.mean()) >= 0


def test_with_shared_slopes_and_floor_ranks_never_change():
    shape = (1, 50)
    a0 = np.exp(np.random.default_rng(2).normal(size=(*shape, 3)) * 0.1)
    fit = made({"E": np.full(shape, 1.8), "a0": a0, "alpha": np.full(shape, 0.2),
                "sigma": np.full(shape, 0.02)},
               pooling=Pooling("arch", (("E", "shared"), ("a0", "free"))))  # fmt: skip
    found = bs.proxy(fit, 1e17, 1e25)
    assert bool((found.pairs == 1).all())
    assert found.attrs["only_intercepts"] == 1
    assert float(found.regret.max()) == 0
    assert float(found.kept_measured.mean()) < 1  # a single run each may mislead all the same


def test_figures_show_what_they_are_given(exact):
    found = bs.speedup(exact, "base", np.geomspace(1e18, 1e22, 5))
    ax = bs.plots.plot_speedup(found)
    assert {"new", "other", "base"} <= set(ax.get_legend_handles_labels()[1])
    line = next(k for k in ax.lines if k.get_label() == "new")
    middle = found.speedup.sel(group="new").quantile(0.5, DRAWS, method="inverted_cdf")
    np.testing.assert_allclose(line.get_ydata(), middle)
    figure = bs.plots.plot_ranks(bs.proxy(exact, 1e18, 1e24))
    assert next(t.get_text() for t in figure.axes[0].get_yticklabels()) in ("base", "new", "other")
    plt.close("all")
    for wrong in (exact, bs.speedup(exact, "base", 1e20)):
        with pytest.raises(SpecError, match=r"wanted|several places"):
            bs.plots.plot_speedup(wrong)
    with pytest.raises(SpecError, match="ranks are wanted"):
        bs.plots.plot_ranks(found)


def test_the_command_line_says_the_same(exact, tmp_path, capsys):
    path = bs.save_fit(exact, tmp_path / "fit.nc")
    argv = ["speedup", str(path), "--baseline", "base", "--at", "1e20", "--at", "1e21"]
    assert main([*argv, "--plot", str(tmp_path / "s.png")]) == 0
    assert "times as efficient as base" in capsys.readouterr().out
    assert (tmp_path / "s.png").stat().st_size > 10_000
    assert main([*argv, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [r["group"] for r in told["speedups"]] == ["new", "new", "other", "other"]
    assert told["groups"]["other"]["crossover"]["q50"] is None  # infinite
    assert main([*argv, "--cost", "table"]) == 1
    assert "cost" in capsys.readouterr().err


def test_what_cannot_be_compared_is_refused(exact):
    with pytest.raises(SpecError, match=r"did you mean 'base'|Groups: base, new, other"):
        bs.speedup(exact, "bas", 1e20)
    with pytest.raises(SpecError, match="give `at`"):
        bs.speedup(exact, "base")
    with pytest.raises(SpecError, match="positive FLOP"):
        bs.speedup(exact, "base", -1)
    with pytest.raises(SpecError, match="reads flops itself"):
        bs.speedup(exact, "base", 1e20, cost="table")
    alone = bs.load_posterior("chinchilla")
    for ask in (lambda: bs.speedup(alone, "base", 1e20), lambda: bs.proxy(alone, 1e20, 1e22)):
        with pytest.raises(SpecError, match="does not pool"):
            ask()
    for wrong in ({"params": 1e9}, {"flops": -1.0}, 0):
        with pytest.raises(SpecError, match="base:"):
            bs.proxy(exact, wrong, 1e22)
    with pytest.raises(SpecError, match="cbs"):
        bs.proxy(bs.load_posterior("cbs"), 1e20, 1e22)
    reference = (("params", 1e9), ("tokens", 2e10))
    theta = {k: np.full((1, 2), v) for k, v in
             {"E": 1.7, "b0": 0.2, "alpha": 0.3, "beta": 0.3, "sigma": 0.01}.items()}  # fmt: skip
    pooling = Pooling("arch", (("E", "shared"), ("a0", "free"), ("b0", "shared")))
    theta["a0"] = np.full((1, 2, 3), 0.3)
    plane = made(theta, law=bs.Chinchilla(reference=reference), pooling=pooling)
    with pytest.raises(FitFileError, match="does not carry its runs"):
        bs.speedup(plane, "base", 1e20, cost="table")
    for cost in ({"nobody": 1.0}, {"new": -1.0}, 3.0):
        with pytest.raises(SpecError, match="cost"):
            bs.speedup(plane, "base", 1e20, cost=cost)


def test_published_cards_compare(recwarn):
    fit = bs.load_posterior("xlstm")
    found = bs.speedup(fit, "llama", np.geomspace(1e19, 1e23, 5))
    middle = found.speedup.median(DRAWS).sel(group="xlstm").values
    assert all(a < b for a, b in pairwise(middle))  # it gains with compute, at 6ND
    assert found.attrs["trust"] == "trusted"
    assert not recwarn.list
