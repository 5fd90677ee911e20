"""Critical batch sizes: the trade-off, its hierarchy, censored runs, and what a batch costs."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.stats as st

import bayes_scaling as bs
from bayes_scaling.errors import FitFileError, SpecError, TableError
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


def test_a_stopped_run_counts_as_at_least(one):
    assert bs.check(one).status != "FAIL"
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


@needs_real_tables
def test_the_published_law_of_critical_batch_sizes_is_inside_the_posterior(zhang):
    model, runs = zhang
    fit = bs.fit(model, runs, seed=0)
    assert bs.check(fit).status != "FAIL"
    sizes = np.array([85e6, 151e6, 302e6, 604e6, 1.2e9])
    low, high = published(fit, sizes)["b_crit"].quantile([0.025, 0.975], DRAWS)
    law = 93.20 * (sizes / 1e6) ** 0.468
    assert np.all((low < law) & (law < high)), (low.values, law, high.values)


@needs_real_tables
def test_the_largest_model_is_predicted_from_the_others(zhang):
    model, runs = zhang
    fit = bs.fit(model, runs[runs["params"] < 1e9].reset_index(drop=True), seed=0)
    low, high = published(fit, 1.2e9)["b_crit_new"].quantile([0.025, 0.975], DRAWS).values.ravel()
    assert low < 2533.41 < high  # the authors' own value for their largest model
    assert high / low < 3


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
        (lambda f: bs.batch_tradeoff(f, 0.0, {"target_loss": 2.0}), "batch: positive tokens"),
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


def test_a_figure_needs_runs_and_this_law(along_loss):
    with pytest.raises(FitFileError, match="does not carry them"):
        bs.plots.plot_batch(along_loss)
    with pytest.raises(SpecError, match="knows no batch size"):
        bs.plots.plot_batch(bs.load_posterior("chinchilla"))
