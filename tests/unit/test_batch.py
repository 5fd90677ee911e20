"""Critical batch sizes: the trade-off, its hierarchy, censored runs, and what a batch costs."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.stats as st
import xarray as xr

import bayes_scaling as bs
from bayes_scaling.errors import FitError, FitFileError, SpecError, TableError
from bayes_scaling.model import model_to_json
from bayes_scaling.param import Prior
from tests.helpers import needs_real_tables

DRAWS = ("chain", "draw")
BATCHES = np.geomspace(3e4, 3e7, 14)
LIMIT = 30_000  # steps at which a run is stopped


def swept(seed, b_crit=1e6, s_min=5000.0, sigma=0.1):
    """A sweep whose runs are stopped at `LIMIT` steps."""
    rng = np.random.default_rng(seed)
    steps = s_min * (1 + b_crit / BATCHES) * np.exp(sigma * rng.normal(size=len(BATCHES)))
    stopped = steps > LIMIT
    table = {"batch_size_tokens": BATCHES, "steps": np.round(np.minimum(steps, LIMIT)),
             "censored": stopped}  # fmt: skip
    return bs.read_runs(pd.DataFrame(table), require=("batch_size_tokens", "steps"))


@pytest.fixture(scope="module")
def one():
    model = bs.ScalingModel(bs.CriticalBatch(), bs.Censored())
    return bs.fit(model, swept(0), seed=0)


@pytest.fixture(scope="module")
def along_loss():
    """A "fit" that is Kaplan et al.'s law, B_crit = 2e8 / L^(1 / 0.21), at two draws."""
    reference = (("batch_size_tokens", 1e6), ("target_loss", 2.5))
    fixed = {"s0": 1e4, "b_crit": 200 / 2.5 ** (1 / 0.21), "alpha_B": 0.21, "sigma": 0.05}
    priors = {k: Prior.of("Fixed", value=v) for k, v in fixed.items()}
    law = bs.CriticalBatch("target_loss", reference=reference)
    return bs.sample_prior(bs.ScalingModel(law, bs.Normal(), priors=priors), draws=2)


def test_kaplans_critical_batch_sizes(along_loss):
    found = bs.critical_batch(along_loss, {"target_loss": [3.0, 2.0]})
    np.testing.assert_allclose(found.b_crit[0, 0], [1.069e6, 7.371e6], rtol=1e-3)
    np.testing.assert_allclose(found.batch, 0.2 * found.b_crit)
    doubled = (
        bs.critical_batch(along_loss, {"target_loss": 2.0 * 0.87}).b_crit / found.b_crit[..., 1]
    )
    np.testing.assert_allclose(doubled, 1.94, atol=5e-3)  # for every 13 % off the loss


def test_at_the_critical_batch_size_both_are_twice_their_least(along_loss):
    b_crit = float(bs.critical_batch(along_loss, {"target_loss": 2.5}).b_crit[0, 0, 0])
    cost = bs.batch_tradeoff(along_loss, [b_crit / 9, b_crit, 9 * b_crit], {"target_loss": 2.5})
    cost = cost.isel(chain=0, draw=0, point=0)
    np.testing.assert_allclose(cost.steps_ratio, [10, 2, 10 / 9])
    np.testing.assert_allclose((cost.steps_ratio - 1) * (cost.tokens_ratio - 1), 1)
    least = 1e4 / (1 + b_crit / 1e6)
    np.testing.assert_allclose(cost.steps / cost.steps_ratio, least)
    np.testing.assert_allclose(cost.tokens / cost.tokens_ratio, least * b_crit)
    there = bs.predict(along_loss, {"batch_size_tokens": 9 * b_crit, "target_loss": 2.5})
    np.testing.assert_allclose(there.steps_mean.values.ravel(), float(cost.steps[2]))
    assert there.steps_mean.attrs["units"] == "optimizer steps"


def test_the_elbow_bends_but_its_limits_stay():
    """The trade-off with k, written out here: ``((S / S_min)^k - 1)((E / E_min)^k - 1) = 1``."""
    law = bs.CriticalBatch(elbow=True, reference=(("batch_size_tokens", 4e5),))
    theta = law.from_paper({"S_min": 5000.0, "B_crit": 1e6, "k": 2.5})
    batch = np.geomspace(1e2, 1e10, 33)
    steps = law(theta, {"batch_size_tokens": batch})
    over = (steps / 5000.0) ** 2.5 - 1
    inner = (batch > 1e4) & (batch < 1e8)  # elsewhere one of the two is lost to rounding
    np.testing.assert_allclose((over * ((steps * batch / 5e9) ** 2.5 - 1))[inner], 1, rtol=1e-6)
    assert steps[-1] == pytest.approx(5000.0, rel=1e-9)
    assert (steps * batch)[0] == pytest.approx(5e9, rel=1e-9)
    assert law.least_tokens(theta, {}) == pytest.approx(5e9)
    for overhead in (0.05, 0.2, 1.0):
        b = law.batch_for(theta, {}, overhead)
        spent = b * law(theta, {"batch_size_tokens": b})
        assert spent / 5e9 == pytest.approx(1 + overhead)
    back = law.batch_at(theta, {}, steps[inner])
    np.testing.assert_allclose(back, batch[inner], rtol=1e-6)
    assert np.all(np.isinf(law.batch_at(theta, {}, np.array([4000.0, 5000.0 * (1 - 1e-9)]))))


def test_an_elbow_of_one_is_the_plain_law():
    reference = (("batch_size_tokens", 4e5), ("params", 1e9))
    plain = bs.CriticalBatch("params", reference=reference)
    bent = bs.CriticalBatch("params", elbow=True, reference=reference)
    theta = {"s0": 9e3, "b_crit": 3.0, "rise": 0.4}
    x = {"batch_size_tokens": np.geomspace(1e3, 1e9, 9), "params": 7e9}
    unbent = {**theta, "k": np.array(1.0)}
    np.testing.assert_allclose(bent(unbent, x), plain(theta, x), rtol=1e-13)
    np.testing.assert_allclose(
        bent.batch_for(unbent, x, 0.2), plain.batch_for(theta, x, 0.2), rtol=1e-12
    )


def test_elbows_are_covered():
    """Of 100 sweeps with k = 1.5, half a prior sd from 1, 90 % intervals cover Binomial(100, 0.9)
    of k and of B_crit; right ones leave a band once in 100 seeds.
    """
    law = bs.CriticalBatch(elbow=True, reference=(("batch_size_tokens", 1e6),))
    theta = law.from_paper({"S_min": 5000.0, "B_crit": 1e6, "k": 1.5})
    steps = law(theta, {"batch_size_tokens": BATCHES})
    tables = []
    for seed in range(100):
        noise = np.exp(0.05 * np.random.default_rng(seed).normal(size=len(BATCHES)))
        runs = pd.DataFrame({"batch_size_tokens": BATCHES, "steps": np.round(steps * noise)})
        tables.append(bs.read_runs(runs, require=("batch_size_tokens", "steps")))
    model = bs.ScalingModel(bs.CriticalBatch(elbow=True), bs.Normal())
    found = bs.fit_many(model, tables, draws=500)
    band = st.binom(100, 0.9).interval(1 - 0.005)
    for name, truth in (("k", 1.5), ("B_crit", 1e6)):
        low, high = found[name].quantile([0.05, 0.95], DRAWS)
        assert band[0] <= int(((low < truth) & (truth < high)).sum()) <= band[1], name
    assert float(found["k"].median(DRAWS).mean()) > 1.3


def test_a_stopped_run_counts_as_at_least(one):
    assert bs.check(one).status != "FAIL"
    assert one["posterior"]["S_min"].attrs["units"] == "optimizer steps"
    low, high = one["posterior"]["B_crit"].quantile([0.005, 0.995])
    assert low < 1e6 < high
    with pytest.raises(TableError, match=r"outcomes are lower bounds.*observation=Censored\(\)"):
        bs.fit(bs.ScalingModel(bs.CriticalBatch(), bs.Normal()), swept(0))


def test_the_density_of_a_lower_bound_is_the_probability_above_it():
    runs = pd.DataFrame({"batch_size_tokens": [1e5, 1e6, 1e7], "steps": [9000.0, 7000.0, 4000.0]})
    theta = {"s0": 6000.0, "b_crit": 1.0, "sigma": 0.3}
    law = bs.CriticalBatch(reference=(("batch_size_tokens", 1e6),))
    mu = law(theta, {"batch_size_tokens": runs["batch_size_tokens"].to_numpy()})
    censored = np.array([1.0, 0.0, 1.0])
    got = bs.Censored().distribution(mu, theta, {"censored": censored}).log_prob(runs.steps.values)
    scatter = st.lognorm(0.3, scale=mu)
    seen, above = scatter.logpdf(runs.steps), scatter.logsf(runs.steps)
    expected = np.where(censored > 0, above - np.log(runs.steps), seen)  # a constant per row
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_residuals_are_of_runs_that_arrived():
    """Steps have residuals as a loss has; a table of nothing but lower bounds has none at all."""
    runs = swept(0)
    fit = bs.fit(bs.ScalingModel(bs.CriticalBatch(), bs.Censored()), runs)
    (dots,) = (c for c in bs.plots.plot_residuals(fit).axes[0].collections
               if c.get_label() == "runs")  # fmt: skip
    assert runs["censored"].any()
    assert len(dots.get_offsets()) == int((~runs["censored"]).sum())
    with pytest.raises(FitError, match="every outcome is a lower bound"):
        bs.fit(bs.ScalingModel(bs.CriticalBatch(), bs.Censored()), runs.assign(censored=True))


def test_a_new_sweep_scatters_in_all_that_sweeps_scatter_in():
    """In the exponent too: far from the reference that is most of it."""
    law = bs.CriticalBatch("params", reference=(("batch_size_tokens", 1e6), ("params", 1e9)))
    modes = (("s0", "free"), ("b_crit", "partial"), ("rise", "partial"))
    model = bs.ScalingModel(law, bs.Normal(), pooling=bs.Pooling("model", modes))
    draws = {"b_crit": 1.0, "b_crit_sd": 0.1, "rise": 0.4, "rise_sd": 0.2, "sigma": 0.05}
    shape = ("chain", "draw")
    posterior = xr.Dataset({k: (shape, np.full((1, 4000), v)) for k, v in draws.items()})
    fit = xr.DataTree.from_dict({"posterior": posterior})
    fit.attrs["model"] = model_to_json(model)
    found = bs.critical_batch(fit, {"params": 1e12})
    assert float(np.log(found.b_crit).std()) == pytest.approx(0.0, abs=1e-9)
    expected = np.hypot(0.1, 0.2 * np.log(1000))
    assert float(np.log(found.b_crit_new).std()) == pytest.approx(expected, rel=0.05)


@pytest.mark.slow
def test_censored_sweeps_are_covered_and_dropping_them_is_biased():
    """A 90 % interval covers Binomial(100, 0.9) of 100 sweeps; a right one leaves the band once
    in 200 seeds. Dropped, the runs that were lucky to arrive make the target look easy.
    """
    tables = [swept(seed) for seed in range(100)]
    whole = bs.fit_many(bs.ScalingModel(bs.CriticalBatch(), bs.Censored()), tables, draws=500)
    low, high = whole.B_crit.quantile([0.05, 0.95], DRAWS)
    covered = int(((low < 1e6) & (high > 1e6)).sum())
    band = st.binom(100, 0.9).interval(1 - 0.005)
    assert band[0] <= covered <= band[1]
    seen = [t.loc[~t["censored"]].reset_index(drop=True) for t in tables]
    less = bs.fit_many(bs.ScalingModel(bs.CriticalBatch(), bs.Normal()), seen, draws=500)
    off = {k: np.log(f.B_crit.median(DRAWS) / 1e6) for k, f in (("all", whole), ("seen", less))}
    error = {k: float(np.sqrt((v**2).mean())) for k, v in off.items()}
    assert error["all"] < error["seen"]
    assert float(off["seen"].mean()) < float(off["all"].mean())


@pytest.fixture(scope="module")
def zhang():
    runs = bs.load_dataset("cbs")
    pooling = bs.Pooling("model", (("s0", "free"),))
    return bs.ScalingModel(bs.CriticalBatch("params"), pooling=pooling), runs


def published(fit, params):
    """Zhang et al.'s critical batch, 20 % above linear scaling from 256 sequences of 512 tokens."""
    found = bs.critical_batch(fit, {"params": params})
    return {k: 1.2 * 256 + 0.2 * found[k] / 512 for k in ("b_crit", "b_crit_new")}


@pytest.mark.slow
@needs_real_tables
def test_the_published_law_of_critical_batch_sizes_is_inside_the_posterior(zhang):
    model, runs = zhang
    fit = bs.fit(model, runs, seed=0)
    assert bs.check(fit).status != "FAIL"
    sizes = np.array([85e6, 151e6, 302e6, 604e6, 1.2e9])
    low, high = published(fit, sizes)["b_crit"].quantile([0.025, 0.975], DRAWS)
    law = 93.20 * (sizes / 1e6) ** 0.468
    assert np.all((low < law) & (law < high)), (low.values, law, high.values)


@pytest.mark.slow
@needs_real_tables
def test_the_largest_model_is_predicted_from_the_others(zhang):
    model, runs = zhang
    fit = bs.fit(model, runs[runs["params"] < 1e9].reset_index(drop=True), seed=0)
    low, high = published(fit, 1.2e9)["b_crit_new"].quantile([0.025, 0.975], DRAWS).values.ravel()
    assert low < 2533.41 < high  # the authors' own value for their largest model
    found = bs.critical_batch(fit, {"params": 1.2e9}, overhead=0.1)
    np.testing.assert_allclose(found["batch_new"], 0.1 * found["b_crit_new"])
    assert float(np.log(found["batch_new"]).std()) > float(np.log(found["batch"]).std())
    assert high / low < 3


# What drives it.

TARGET = bs.Pooling("model", (("s0", "free"),))


def sweeps(params, tokens, p, q, seed=0):
    """Sweeps whose critical batch size is 1e6 (N / 1e9)^p (D / 2e10)^q and scatters by 5 %."""
    rng = np.random.default_rng(seed)
    rows = []
    for i, (n, d) in enumerate(zip(params, tokens, strict=True)):
        b_crit = 1e6 * (n / 1e9) ** p * (d / 2e10) ** q * np.exp(0.05 * rng.normal())
        for batch in np.geomspace(5e4, 2e7, 6):
            steps = d / b_crit * (1 + b_crit / batch) * np.exp(0.05 * rng.normal())
            rows.append((f"{i}", n, d, batch, np.round(steps)))
    columns = ["model", "params", "tokens", "batch_size_tokens", "steps"]
    return bs.read_runs(pd.DataFrame(rows, columns=columns), require=("steps",))


APART = (np.repeat([1e8, 1e9, 1e10], 3), np.tile([4e9, 2e10, 1e11], 3))
TIED = (np.geomspace(1e8, 1e10, 9), 20 * np.geomspace(1e8, 1e10, 9) * np.tile([0.9, 1.15, 1], 3))


@pytest.fixture(scope="module")
def driven():
    model = bs.ScalingModel(bs.CriticalBatch("params_tokens"), bs.Normal(), pooling=TARGET)
    cases = {"data": (APART, 0.0, 0.45), "size": (APART, 0.45, 0.0), "tied": (TIED, 0.0, 0.45)}
    fits = {k: bs.fit(model, sweeps(*where, p, q), seed=0) for k, (where, p, q) in cases.items()}
    return fits, {k: bs.driven_by_data(f) for k, f in fits.items()}


def test_sweeps_that_vary_both_tell_data_from_size(driven):
    _, found = driven
    assert found["data"].attrs["probability"] > 0.95
    assert found["size"].attrs["probability"] < 0.01
    for truth, case in (((0.0, 0.45), "data"), ((0.45, 0.0), "size")):
        for name, value in zip(("rise_params", "rise_tokens"), truth, strict=True):
            low, high = found[case][name].quantile([0.005, 0.995])
            assert low < value < high
        assert found[case].attrs["told_apart"] > 0.8
        assert "The runs tell p from q" in found[case].attrs["said"]


def test_sweeps_along_one_line_know_the_sum_alone_and_say_so(driven):
    _, found = driven
    tied = found["tied"]
    low, high = tied["rise_both"].quantile([0.005, 0.995])
    assert low < 0.45 < high
    assert high - low < 0.3
    assert tied.attrs["correlation"] > 0.99
    assert tied.attrs["told_apart"] < 0.3
    assert "do not tell p from q" in tied.attrs["said"]
    # P(|p| < 0.1) P(q > 0.3) of N(0, 0.2) and N(0.45, 0.2), to five errors of 20,000 draws.
    exact = (st.norm.cdf(0.5) - st.norm.cdf(-0.5)) * st.norm.cdf(0.75)
    assert tied.attrs["prior_probability"] == pytest.approx(exact, abs=0.017)


def test_a_batch_for_a_token_budget(driven):
    """At a trillion tokens, whatever the size: ``1e6 (1e12 / 2e10)^0.45``."""
    fits, _ = driven
    each = 4 * 4096
    at = {"params": [1e9, 7e10], "tokens": 1e12}
    found = bs.critical_batch(fits["data"], at, overhead=0.3, per_device=each)
    assert dict(found.sizes)["point"] == 2
    np.testing.assert_array_equal(found["tokens"], 1e12)
    truth = 1e6 * 50**0.45
    low, high = found["b_crit"].quantile([0.005, 0.995], DRAWS)
    assert np.all((low < truth) & (truth < high))
    np.testing.assert_array_equal(found["replicas"], np.floor(found["batch"] / each))
    assert found["replicas"].attrs["units"] == "replicas"
    none = bs.critical_batch(fits["data"], at, per_device=1e9)
    assert np.all(none["replicas"] == 0)  # one replica's step is more than any such batch
    cost = bs.batch_tradeoff(fits["data"], [1e6, 1e7], {"params": 7e9, "tokens": 1e12})
    assert set(cost) == {"steps_ratio", "tokens_ratio"}  # a planned run has no steps of its own
    b_crit = bs.critical_batch(fits["data"], {"params": 7e9, "tokens": 1e12})["b_crit"]
    np.testing.assert_allclose(*xr.broadcast(cost["tokens_ratio"], 1 + cost["batch"] / b_crit))


def test_the_tokens_of_each_run_are_refused_as_a_driver():
    runs = sweeps(*APART, 0.0, 0.45)
    runs = runs.assign(tokens=runs["steps"] * runs["batch_size_tokens"])
    model = bs.ScalingModel(bs.CriticalBatch("tokens"), bs.Normal())
    fit = bs.fit(model, runs, method="laplace")
    with pytest.raises(SpecError, match=r"along the outcome itself. Give one number per sweep"):
        bs.critical_batch(fit, {"tokens": 1e11})


# Several targets of the same runs.


def kaplans(seed, targets, alpha=0.3):
    """Sweeps to several losses, ``B_crit = 2e8 / L^(1 / alpha)``, scattered by 10 %."""
    rng = np.random.default_rng(seed)
    rows = []
    for loss in targets:
        b_crit = 2e8 / loss ** (1 / alpha) * np.exp(0.1 * rng.normal())
        for batch in np.geomspace(1e5, 3e7, 6):
            steps = 9000 * loss**-1.3 * (1 + b_crit / batch) * np.exp(0.1 * rng.normal())
            rows.append((f"{loss} nat", loss, batch, np.round(steps)))
    columns = ["target", "target_loss", "batch_size_tokens", "steps"]
    return bs.read_runs(pd.DataFrame(rows, columns=columns), require=("steps",))


@pytest.mark.slow
def test_pooling_by_target_recovers_kaplans_exponent_where_targets_are_apart():
    """Of 20 tables Binomial(20, 0.9) of 90 % intervals cover; fewer than 13 once in 2,000 seeds.

    Targets within 6 % of each other leave most of the prior's width; those from 2.0 to 3.6, little.
    """
    pooling = bs.Pooling("target", (("s0", "free"),))
    model = bs.ScalingModel(bs.CriticalBatch("target_loss"), bs.Normal(), pooling=pooling)
    spread, covered = {}, 0
    for name, targets in (("apart", (3.6, 3.0, 2.5, 2.0)), ("close", (2.55, 2.5, 2.45, 2.4))):
        logs = []
        for seed in range(20):
            fit = bs.fit(model, kaplans(seed, targets), method="laplace", seed=0)
            draws = fit["posterior"]["alpha_B"]
            low, high = draws.quantile([0.05, 0.95])
            covered += bool(low < 0.3 < high) * (name == "apart")
            logs.append(float(np.log(draws).std()))
        spread[name] = np.mean(logs) / 0.4  # of the prior's
    assert covered >= 13
    assert spread["apart"] < 0.5
    assert spread["close"] > 0.75


def test_steps_scatter_more_than_losses_do():
    model = bs.ScalingModel(bs.CriticalBatch())
    assert model.prior("sigma") == Prior.of("HalfNormal", scale=0.1)
    assert bs.ScalingModel().prior("sigma") == Prior.of("HalfNormal", scale=0.02)
    own = Prior.of("HalfNormal", scale=0.3)
    assert bs.ScalingModel(bs.CriticalBatch(), priors={"sigma": own}).prior("sigma") == own


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda f: bs.critical_batch(f), "along target_loss: give at="),
        (lambda f: bs.critical_batch(f, {"target_loss": -2.0}), "positive"),
        (lambda f: bs.critical_batch(f, {"target_loss": 2.0}, overhead=0), "overhead: a share"),
        (lambda f: bs.critical_batch(f, {"target_loss": 2.0}, per_device=0), "per_device: tokens"),
        (lambda f: bs.batch_tradeoff(f, 0.0, {"target_loss": 2.0}), "batch: positive tokens"),
        (lambda f: bs.driven_by_data(f), "along 'target_loss': fit CriticalBatch.'params_tokens'"),
        (lambda f: bs.plots.plot_pareto(f), "does not carry its runs: say which sweep"),
        (lambda f: bs.plots.plot_pareto(f, {"target_loss": [2.0, 3.0]}), "one place"),
        (lambda _: bs.critical_batch(bs.load_posterior("chinchilla")), "knows no batch size"),
    ],
)
def test_what_cannot_be_answered_is_said(along_loss, call, said):
    with pytest.raises(SpecError, match=said):
        call(along_loss)


def test_the_papers_parameters_along_a_loss_and_back():
    law = bs.CriticalBatch(
        "target_loss", reference=(("batch_size_tokens", 1e6), ("target_loss", 2.5))
    )
    theta = {"s0": 1e4, "b_crit": 2.0, "alpha_B": 0.21}
    paper = law.to_paper(theta)
    at_three = np.exp(paper["log_B"]) * 3.0 ** (-1 / 0.21)
    assert np.log(at_three) == pytest.approx(law.log_b_crit(theta, {"target_loss": 3.0}))
    back = law.from_paper(paper)
    assert {k: pytest.approx(v) for k, v in theta.items()} == back


def test_the_figure_has_runs_curve_and_critical_batch(one):
    mpl.use("Agg")
    ax = bs.plots.plot_batch(one)
    (curve,) = [ln for ln in ax.lines if ln.get_label() == "law"]
    grid = curve.get_xdata()
    cost = bs.batch_tradeoff(one, grid).steps
    np.testing.assert_allclose(curve.get_ydata(), cost.median(DRAWS).squeeze(), rtol=0.02)
    (mark,) = [ln for ln in ax.lines if ln.get_marker() == "D" and len(ln.get_xdata())]
    middle = float(bs.critical_batch(one).b_crit.median())
    assert float(mark.get_xdata()[0]) == pytest.approx(middle, rel=0.02)
    runs = swept(0)
    drawn = {len(c.get_offsets()) for c in ax.collections if hasattr(c, "get_offsets")}
    assert {int(runs.censored.sum()), int((~runs.censored).sum())} <= drawn
    assert "stopped before the target" in [t.get_text() for t in ax.figure.legends[0].texts]
    plt.close("all")


def test_the_front_has_the_tokens_of_every_number_of_steps(one):
    mpl.use("Agg")
    ax = bs.plots.plot_pareto(one, overhead=0.5)
    (curve,) = [ln for ln in ax.lines if ln.get_label() == "law"]
    steps, tokens = curve.get_data()
    theta = {k: one["posterior"][k].values.ravel()[:, None] for k in ("S_min", "B_crit")}
    over = steps / theta["S_min"] - 1
    need = theta["S_min"] * theta["B_crit"] * (1 + 1 / np.where(over > 0, over, np.nan))
    need = np.quantile(np.where(over > 0, need, np.inf), 0.5, axis=0, method="inverted_cdf")
    # A figure thins its draws; next to the fewest steps that is worth more than a line's width.
    seen = np.isfinite(need) & (steps > 1.2 * np.median(theta["S_min"]))
    assert seen.sum() > 50
    np.testing.assert_allclose(tokens[seen], need[seen], rtol=0.03)
    found = bs.critical_batch(one, overhead=0.5)
    for marker, name in (("D", "b_crit"), ("s", "batch")):
        (mark,) = [ln for ln in ax.lines if ln.get_marker() == marker and len(ln.get_xdata())]
        cost = bs.batch_tradeoff(one, float(found[name].median())).median(DRAWS)
        assert float(mark.get_xdata()[0]) == pytest.approx(float(cost.steps[0]), rel=0.03)
        assert float(mark.get_ydata()[0]) == pytest.approx(float(cost.tokens[0]), rel=0.03)
    runs = swept(0)
    drawn = [np.asarray(c.get_offsets()) for c in ax.collections if len(c.get_offsets()) > 1]
    drawn = np.sort(np.concatenate([d for d in drawn if d.shape[1] == 2])[:, 1])
    np.testing.assert_allclose(drawn, np.sort(runs["steps"] * runs["batch_size_tokens"]))
    texts = [t.get_text() for t in ax.figure.legends[0].texts]
    assert {"stopped before the target", "batch of 50% more tokens than the fewest"} <= set(texts)
    plt.close("all")


def test_every_sweep_has_a_front_of_its_own(driven):
    mpl.use("Agg")
    fits, _ = driven
    ax = bs.plots.plot_pareto(fits["data"])
    labels = {ln.get_label() for ln in ax.lines}
    assert {str(i) for i in range(9)} <= labels
    ax = bs.plots.plot_pareto(fits["data"], group="4")
    (curve,) = [ln for ln in ax.lines if ln.get_label() == "4"]
    assert np.nanmin(curve.get_ydata()) == pytest.approx(2e10, rel=0.1)  # E_min, its tokens
    plt.close("all")


def test_a_figure_needs_runs_and_this_law(along_loss):
    with pytest.raises(FitFileError, match="does not carry them"):
        bs.plots.plot_batch(along_loss)
    with pytest.raises(SpecError, match="knows no batch size"):
        bs.plots.plot_batch(bs.load_posterior("chinchilla"))
