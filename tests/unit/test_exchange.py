"""Size against samples at inference: the law, bins of difficulty, exchange rates, equal compute.

Statistical tests say their false-alarm rate; seeds are fixed, so a pass stays one.
"""

import json

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.stats as st
import xarray as xr

import bayes_scaling as bs
from bayes_scaling.data.accounting import flops_6nd
from bayes_scaling.errors import SpecError, TableError
from bayes_scaling.model import model_for, model_from_dict, model_to_dict
from bayes_scaling.results import tree
from tests.unit.test_laws import theta_of

REFERENCE = (("params", 4e9), ("samples", 1.0))
LAW = bs.TestTime(reference=REFERENCE)
SIZES, SAMPLES = (1e9, 4e9, 16e9), (1, 4, 16, 64)
TRUTH = {  # of three bins: accuracy at 4e9 with one sample, gains in size and samples
    "easy": (0.7, 0.4, 0.6),
    "medium": (0.3, 0.45, 0.4),
    "hard": (0.05, 0.6, 0.15),
}
HELD = {"acc": 0.3, "lam": 0.6, "mu": 0.3, "spread": 0.05}
PER_SAMPLE = 2 * 8e9 * 512  # FLOP


def known(**theta):
    """A "fit" that is the law at known parameters, at two draws."""
    priors = {k: bs.Prior.of("Fixed", value=v) for k, v in (HELD | theta).items()}
    return bs.sample_prior(bs.ScalingModel(LAW, bs.BetaBinomial(), priors), draws=2)


def counted(seed, truth=TRUTH, questions=200, spread=0.05):
    """A simulated study: no public table crosses sizes with samples."""
    rng, rows = np.random.default_rng(seed), []
    for bin_, (acc, lam, mu) in truth.items():
        for n in SIZES:
            for k in SAMPLES:
                z = np.log(acc / (1 - acc)) + lam * np.log(n / 4e9) + mu * np.log(k)
                p = 1 / (1 + np.exp(-z))
                p = rng.beta(p / spread**2, (1 - p) / spread**2)
                rows.append((bin_, n, k, questions, rng.binomial(questions, p)))
    return pd.DataFrame(rows, columns=["difficulty", "params", "samples", "questions", "solved"])


@pytest.fixture(scope="module")
def fit():
    """A "fit" of three bins, draws about the truth, with the table that `counted` makes."""
    rng, draws, runs = np.random.default_rng(0), {}, counted(0)
    each = np.array([TRUTH[b] for b in sorted(TRUTH)])
    for i, name in enumerate(("acc", "lam", "mu")):
        noise = np.exp(0.05 * rng.normal(size=(2, 200, 3)))
        draws[f"{name}_group"] = (("chain", "draw", "difficulty"), each[:, i] * noise)
        draws[name] = (("chain", "draw"), (each[:, i] * noise).mean(axis=-1))
    draws["spread"] = (("chain", "draw"), np.full((2, 200), 0.05))
    model = bs.ScalingModel(LAW, bs.BetaBinomial(), pooling=bs.Pooling("difficulty"))
    data = {k: ("run", runs[k].to_numpy()) for k in ("difficulty", *LAW.inputs, "questions")}
    share = {"accuracy": ("run", (runs["solved"] / runs["questions"]).to_numpy())}
    coords = {"run": runs.index.to_numpy().astype(str)}
    groups = {
        "posterior": xr.Dataset(draws, {"difficulty": sorted(TRUTH)}),
        "observed_data": xr.Dataset(share, coords),
        "constant_data": xr.Dataset(data, coords),
    }
    return tree(groups, model, method="laplace", k_hat=0.1, seed=0, rows=len(runs))


@pytest.fixture(autouse=True)
def _close():
    mpl.use("Agg")
    yield
    plt.close("all")


# --- the law -------------------------------------------------------------------------------------


def test_one_sample_has_no_term():
    theta = theta_of(LAW, 50)
    one = LAW(theta, {"params": 4e9, "samples": 1.0})
    np.testing.assert_allclose(one, theta["acc"], rtol=1e-12)
    np.testing.assert_array_equal(LAW({**theta, "mu": 0.0}, {"params": 4e9, "samples": 1.0}), one)
    more = LAW(theta, {"params": 4e9, "samples": 8.0})
    assert np.all(more > one)
    size = 4e9 * 8 ** (theta["mu"] / theta["lam"])  # an e-fold of samples is mu / lam of size
    np.testing.assert_allclose(LAW(theta, {"params": size, "samples": 1.0}), more, rtol=1e-9)


def test_the_catalogues_equation():
    theta = theta_of(LAW, 50)
    p = LAW(theta, {"params": 16e9, "samples": 64.0})
    z = np.log(theta["acc"] / (1 - theta["acc"])) + theta["lam"] * np.log(4)
    np.testing.assert_allclose(np.log(p / (1 - p)), z + theta["mu"] * np.log(64), rtol=1e-7)
    paper = LAW.to_paper(theta)
    half = LAW(theta, {"params": np.exp(paper["log_N"]), "samples": 1.0})
    np.testing.assert_allclose(half, 0.5, rtol=1e-9)


def test_samples_to_an_accuracy_is_the_law_backwards():
    theta = {k: np.asarray(v) for k, v in HELD.items()}
    for k in (0.3, 1.0, 50.0):
        p = LAW(theta, {"params": 2e9, "samples": k})
        assert np.exp(LAW.log_samples(theta, p, 2e9)) == pytest.approx(k, rel=1e-9)


def test_what_the_prior_says_of_sixteen_samples():
    """The catalogue: 0.3 becomes 0.3 to 0.9. Ends of 40,000 draws err by 0.002: five times that."""
    theta = {"acc": 0.3, "lam": 0.3, "mu": theta_of(LAW, 40_000)["mu"]}
    got = np.quantile(LAW(theta, {"params": 4e9, "samples": 16.0}), [0.025, 0.975])
    ends = np.log(0.3 / 0.7) + 0.3 * np.exp(np.array([-1, 1]) * 1.96 * 0.7) * np.log(16)
    np.testing.assert_allclose(got, 1 / (1 + np.exp(-ends)), atol=0.01)
    np.testing.assert_allclose(got, [0.3, 0.9], atol=0.05)


def test_counts_of_a_bin_are_beta_binomial():
    import jax

    model = model_for(LAW)
    assert model.observation == bs.BetaBinomial()
    assert model_from_dict(model_to_dict(model)).law == LAW
    x = {"params": np.array([4e9, 1e9]), "samples": np.array([16.0, 1.0]),
         "questions": np.array([100.0, 50.0])}  # fmt: skip
    s, firm = LAW(HELD, x), 0.05**-2
    with jax.enable_x64(True):
        got = np.asarray(model.distribution(HELD, x).log_prob(np.array([0.4, 0.6])))
    expected = st.betabinom([100, 50], firm * s, firm * (1 - s)).logpmf([40, 30])
    np.testing.assert_allclose(got, expected, rtol=1e-8)


# --- tables --------------------------------------------------------------------------------------


def test_counts_of_questions_are_read():
    table = {"N": [1e9, 1e9], "n_candidates": [1, 16], "questions": [50, 50], "n_solved": [0, 30]}
    runs = bs.read_runs(table, require=("params", "samples", "accuracy"))
    assert runs["accuracy"].tolist() == [0.0, 0.6]
    assert "accuracy is solved / questions" in runs.attrs["bayes_scaling"]["steps"]
    with pytest.raises(TableError, match="no part of `questions`, in 1 rows"):
        bs.read_runs({**table, "n_solved": [51, 30]}, require=("params", "samples", "accuracy"))
    with pytest.raises(TableError, match="'n_candidates': 1 value is no whole"):
        bs.fit(model_for(bs.TestTime()), {**table, "n_candidates": [0.5, 16]})


def test_bins_of_equal_counts_are_no_copies():
    table = {"params": [1e9] * 2, "samples": [4] * 2, "questions": [50] * 2, "solved": [0] * 2}
    runs = bs.read_runs({**table, "difficulty": [4, 5]}, require=("params", "samples", "accuracy"))
    assert runs["use"].all()


# --- bins ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_bins_are_recovered():
    """99.9 % intervals of nine parameters and three rates: a right law fails in one of 80 seeds."""
    pooling = bs.Pooling("difficulty")
    fit = bs.fit(bs.ScalingModel(bs.TestTime(), bs.BetaBinomial(), pooling=pooling), counted(0))
    assert bs.check(fit).status != "FAIL"  # one bin says little of how gains differ
    found = bs.exchange_rate(fit)
    for bin_, truth in TRUTH.items():
        low, high = found.rate.sel(group=bin_).quantile([0.0005, 0.9995])
        assert low < truth[2] / truth[1] < high, bin_
        for name, value in zip(("acc", "lam", "mu"), truth, strict=True):
            each = fit["posterior"][f"{name}_group"].sel(difficulty=bin_)
            assert each.quantile(0.0005) < value < each.quantile(0.9995), (bin_, name)
    assert float(found.cheaper.sel(group="hard")) < 0.1 < float(found.cheaper.sel(group="easy"))
    there = bs.predict(fit, {"params": 4e9, "samples": 16, "questions": 500}, group="medium")
    low, high = there.accuracy_mean.quantile([0.0005, 0.9995]).values
    theta = {"acc": 0.3, "lam": 0.45, "mu": 0.4}
    assert low < LAW(theta, {"params": 4e9, "samples": 16.0}) < high


@pytest.mark.slow
def test_intervals_cover():
    """Of 100 tables 90 % intervals of the rate cover Binomial(100, 0.9).

    A right one leaves the band once in 100.
    """
    one, truth = {"medium": TRUTH["medium"]}, 0.4 / 0.45
    found = bs.fit_many(model_for(bs.TestTime()), [counted(s, one) for s in range(100)], draws=500)
    low, high = (found["mu"] / found["lam"]).quantile([0.05, 0.95], ("chain", "draw"))
    inside = int(((low < truth) & (truth < high)).sum())
    lowest, highest = st.binom(100, 0.9).interval(0.99)
    assert lowest <= inside <= highest


def test_answers_have_a_row_for_every_bin(fit):
    found = bs.exchange_rate(fit, small=1e9, large=4e9)
    assert found["group"].values.tolist() == ["easy", "hard", "medium"]
    for name in ("rate", "worth", "needed"):
        assert found[name].dims == ("chain", "draw", "group")
    for bin_, (_, lam, mu) in TRUTH.items():  # of the bin's own draws
        assert float(found.rate.sel(group=bin_).median()) == pytest.approx(mu / lam, rel=0.03)
        needed = 4 ** (lam / mu)
        assert float(found.needed.sel(group=bin_).median()) == pytest.approx(needed, rel=0.1)
    assert found.attrs["verdict"].count("times the parameters") == 3
    task = bs.task_forecast(fit, {"params": 4e9, "samples": 16, "questions": 500},
                            threshold=0.2, group="medium")  # fmt: skip
    assert float(task.probability[0]) > 0.99


# --- answers -------------------------------------------------------------------------------------


def test_what_samples_are_worth():
    found = bs.exchange_rate(known(), times=100, small=1e9, large=4e9)
    np.testing.assert_allclose(found.rate, 0.5)
    np.testing.assert_allclose(found.worth, 10.0)
    np.testing.assert_allclose(found.needed, 16.0, rtol=1e-9)
    assert found.cheaper.values.tolist() == [0.0]
    assert found.attrs["verdict"] == (
        "all: 100 times the samples are worth 10 [10, 10] times the parameters, and level with "
        "the larger are 16 [16, 16]"
    )
    assert "needed" not in bs.exchange_rate(known())
    assert bs.exchange_rate(known(mu=0.9)).cheaper.values.tolist() == [1.0]


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: bs.exchange_rate(known(), small=1e9), "large: one of two sizes"),
        (lambda: bs.exchange_rate(known(), small=4e9, large=1e9), "small is to be smaller"),
        (lambda: bs.exchange_rate(known(), times=1), "times: a number above 1"),
        (lambda: bs.exchange_rate(bs.load_posterior("chinchilla")), "fit `TestTime`"),
        (lambda: best(tokens=None), "either tokens"),
        (lambda: best(served=1e12, trained=1e12), "either tokens"),
        (lambda: best(tokens=None, served=1e12), "either tokens"),
        (lambda: best(trained=1e12), "either tokens"),
        (lambda: best(flops=-1), "flops: positive FLOP"),
        (lambda: best(params=[1, 8]), "raw counts"),
        (lambda: best(params=[1e9, 1e9]), "every size once"),
        (lambda: best(prompt=-1), "prompt: tokens read"),
        (lambda: best(most=0), "most: samples, at least 1"),
        (lambda: best(tokens=None, served=bs.ServingDemand(1e9, candidates=2), trained=1e9),
         "leave candidates at 1"),
        (lambda: best(tokens=None, served=1e9, trained=1e9, prompt=5), "give its own prompt"),
        (lambda: best(tokens=None, served=1e9, trained=[1e9] * 3), "one, or one per size"),
        (lambda: bs.cheapest_test_time(known(), 1.2, [1e9], tokens=512), "between 0 and 1"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(ask, said):
    with pytest.raises(SpecError, match=said):
        ask()


def best(flops=1e14, params=(1e9, 8e9), tokens=512, **more):
    return bs.best_test_time(known(), flops, params, tokens=tokens, **more)


def test_equal_compute_per_query():
    """A query costs 2 N (prompt + k tokens): 16 samples of 512 tokens at 8e9 are 1.31e14 FLOP."""
    flops = bs.sample_flops(8e9, 512, 16)
    assert flops == pytest.approx(1.31e14, rel=2e-3)
    found = bs.best_test_time(known(), [1e12, flops], [8e9, 32e9], tokens=512)
    assert found.accuracy.dims == ("chain", "draw", "group", "budget", "size")
    assert found.samples.values.tolist() == [[0, 0], [16, 4]]
    expected = LAW(HELD, {"params": np.array([8e9, 32e9]), "samples": np.array([16.0, 4.0])})
    np.testing.assert_allclose(found.accuracy.values[0, 0, 0], [[0, 0], expected])
    assert found.best.values[0].tolist() == [[0, 0], [0, 1]]
    np.testing.assert_array_equal(found.holds.values[0], [[np.nan, np.nan], [0, 1]])
    read = bs.best_test_time(known(), flops, [8e9], tokens=512, prompt=512)
    assert read.samples.values.tolist() == [[15]]
    other = bs.best_test_time(known(mu=0.9), flops, [8e9, 32e9], tokens=512)
    assert other.best.values.tolist() == [[[1, 0]]]
    assert other.holds.values.tolist() == [[[1, 1]]]
    assert "all: 8e+09 parameters with 16 samples" in other.attrs["verdict"]
    few = bs.best_test_time(known(mu=0.9), flops, [8e9, 32e9], tokens=512, most=3)
    assert few.samples.values.tolist() == [[3, 3]]
    assert "no size can be paid for" in best(flops=1e9).attrs["verdict"]


def test_the_larger_that_cannot_be_paid_for_is_no_measure():
    found = best(flops=3e12, params=[1e9, 8e9])
    assert found.samples.values.tolist() == [[2, 0]]
    np.testing.assert_array_equal(found.holds.values, [[[1, np.nan]]])


def test_a_life_is_training_and_what_users_read():
    """The cost of the plan is what training and `ServingDemand` say of that many candidates."""
    demand = bs.ServingDemand(1e12, prompt=2.0, price=1.5)
    data = [1e12, 2e12]
    found = bs.best_test_time(known(), 2e24, [1e9, 8e9], served=demand, trained=data)
    for n, d, k in zip((1e9, 8e9), data, found.samples.values[0], strict=True):

        def cost(k, n=n, d=d):
            there = bs.ServingDemand(1e12, prompt=2.0, candidates=k, price=1.5)
            return flops_6nd(n, d) + 2 * n * 1e12 * there.multiple

        assert cost(k) <= 2e24 < cost(k + 1)
    assert "over the model's life" in found.attrs["verdict"]
    uncertain = bs.ServingDemand([5e11, 1e12, 4e12])  # costs its mean, which is above the median
    less, more = (
        bs.best_test_time(known(), 2e24, [1e9], served=t, trained=1e12).samples.item()
        for t in (uncertain, 1e12)
    )
    assert 0.6 * more < less < 0.9 * more


def test_the_cheapest_way_to_an_accuracy():
    need = bs.cheapest_test_time(known(), [0.3, 0.6, 0.999], [1e9, 8e9, 64e9], tokens=512, most=1e4)
    k = need.samples.values[0, 0, 0]
    for target, row in zip(need.target.values, k, strict=True):
        for n, at in zip((1e9, 8e9, 64e9), row, strict=True):
            if np.isinf(at):
                assert LAW(HELD, {"params": n, "samples": 1e4}) < target
                continue
            assert LAW(HELD, {"params": n, "samples": at}) >= target - 1e-9
            assert at == 1 or LAW(HELD, {"params": n, "samples": at - 1}) < target
    assert k[0].tolist()[1:] == [1.0, 1.0]
    np.testing.assert_allclose(need.flops.values[0, 0, 0], k * 1024 * need["size"].values)
    cheapest = np.where(np.isfinite(k), k * need["size"].values, np.inf).argmin(axis=1)
    assert need.best.values[0].argmax(axis=1).tolist() == cheapest.tolist()
    np.testing.assert_array_equal(need.reachable.values[0], np.isfinite(k).astype(float))
    assert np.isnan(need.within).all()  # no runs, so nobody knows what was tried
    never = bs.cheapest_test_time(known(), 0.999, [1e9], tokens=512, most=10)
    assert never.attrs["verdict"] == "for 0.999: all: no size gets there"


def test_more_demand_moves_to_larger_models_where_samples_are_dear():
    """At a rate of 1/2 samples cost more than size once training no longer counts."""
    sizes = [1e9, 4e9, 16e9, 64e9]
    first = [
        int(np.argmax(bs.cheapest_test_time(known(), 0.5, sizes, served=t, trained=1e12)
                      .best.values))
        for t in (1e6, 1e10, 1e14)
    ]  # fmt: skip
    assert first == sorted(first)
    assert first[0] == 0 < first[-1]


def test_what_lies_beyond_the_table_is_said(fit):
    found = bs.best_test_time(fit, [1e13, 1e15], [5e8, 1e9, 16e9], tokens=512)
    assert found.beyond.values.tolist() == [[True, False, False], [True, True, False]]
    np.testing.assert_allclose(found.best.sum("size"), 1.0)
    assert "an extrapolation" in found.attrs["verdict"]
    need = bs.cheapest_test_time(fit, 0.5, [5e8, 1e9, 16e9], tokens=512)
    assert np.all(need.within.sel(size=5e8) == 0)
    assert float(need.within.sel(size=1e9, group="easy").item()) > 0.99
    assert float(need.within.sel(size=1e9, group="hard").item()) < 0.01
    near = bs.cheapest_test_time(fit, 0.5, [16e9], tokens=512).attrs["verdict"].split("; ")
    assert ["an extrapolation" in one for one in near] == [False, True, False]
    far = bs.cheapest_test_time(fit, 0.5, [5e8], tokens=512)
    assert far.attrs["verdict"].count("an extrapolation") == 3


def test_answers_are_plain_data(fit, tmp_path):
    bs.exchange_rate(fit).to_netcdf(tmp_path / "rates.nc", engine="h5netcdf")
    assert json.loads(fit.attrs["model"])["law"]["name"] == "test_time"


# --- figures -------------------------------------------------------------------------------------


def test_a_panel_per_bin_and_a_curve_per_size(fit):
    figure = bs.plots.plot_test_time(fit)
    assert len(figure.axes) == 3
    for ax, bin_ in zip(figure.axes, sorted(TRUTH), strict=True):
        assert bin_ in ax.get_title(loc="left")
        assert ax.get_xscale() == "log"
        assert ax.get_xlim()[1] == 4 * max(SAMPLES)
        curves = [line for line in ax.lines if "parameters" in str(line.get_label())]
        assert [c.get_label() for c in curves] == [f"{n}B parameters" for n in (1, 4, 16)]
        acc, lam, _ = TRUTH[bin_]  # each curve starts at the accuracy of one sample
        odds = acc / (1 - acc) * (np.array(SIZES) / 4e9) ** lam
        starts = [c.get_ydata()[0] for c in curves]
        np.testing.assert_allclose(starts, odds / (1 + odds), atol=0.02)
    with pytest.raises(SpecError, match="to: a number of samples"):
        bs.plots.plot_test_time(fit, to=1)
    with pytest.raises(SpecError, match="3 Axes needed"):
        bs.plots.plot_test_time(fit, ax=plt.subplots()[1])


def test_a_figure_without_a_table_says_so():
    ax = bs.plots.plot_test_time(known()).axes[0]
    assert "data not in this fit" in ax.get_title(loc="left")
    assert [str(c.get_label()) for c in ax.lines] == ["2B parameters", "8B parameters"]


def test_equal_compute_is_drawn_from_where_a_sample_is_paid_for(fit):
    found = bs.best_test_time(fit, np.geomspace(1e12, 1e15, 13), [1e9, 16e9], tokens=512)
    figure = bs.plots.plot_equal_compute(found)
    for ax, name in zip(figure.axes, found["group"].values, strict=True):
        solid = [line for line in ax.lines if line.get_linestyle() == "-"]
        for line, size in zip(solid, (1e9, 16e9), strict=True):
            here = found.sel(group=name, size=size)
            paid = here["samples"].values >= 1
            np.testing.assert_array_equal(line.get_xdata(), found["budget"].values[paid])
            shown = np.isfinite(line.get_ydata())
            np.testing.assert_array_equal(shown, ~here["beyond"].values[paid])
            middle = here["accuracy"].median(("chain", "draw")).values[paid]
            np.testing.assert_allclose(line.get_ydata()[shown], middle[shown])
        assert ax.get_xlabel() == "compute per query (FLOP)"
    life = bs.best_test_time(fit, [1e22, 1e23], [1e9, 4e9], served=1e12, trained=2e10)
    assert bs.plots.plot_equal_compute(life).axes[0].get_xlabel() == "training and serving (FLOP)"
    with pytest.raises(SpecError, match="two budgets or more"):
        bs.plots.plot_equal_compute(found.isel(budget=[0]))
