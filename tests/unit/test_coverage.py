"""Coverage by repeated sampling: the law, its counts, the tail, and how many samples it takes."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.special as sp
import scipy.stats as st
from arviz_stats import loo

import bayes_scaling as bs
from bayes_scaling.errors import SpecError, TableError
from bayes_scaling.model import model_for, model_from_dict, model_to_dict
from tests.unit.test_laws import theta_of

DRAWS = ("chain", "draw")
TRUTH = {"u": 0.3, "v": 2.0}
K = np.array([1.0, 3, 10, 100, 1e4, 1e8])


def counted(seed, problems=150, attempts=100, never=0.0, u=0.3, v=2.0):
    rng = np.random.default_rng(seed)
    p = rng.beta(u, v, problems) * (rng.random(problems) >= never)
    table = {"attempts": np.full(problems, attempts), "solved": rng.binomial(attempts, p)}
    return bs.read_runs(pd.DataFrame(table), require=("samples", "attempts", "coverage"))


@pytest.fixture(scope="module")
def plain():
    return bs.fit(model_for(bs.Coverage()), counted(0), seed=0)


@pytest.fixture(scope="module")
def with_zeros():
    return bs.fit(model_for(bs.Coverage(zeros=True)), counted(0), seed=0)


def known(u=0.3, v=2.0, unsolvable=None):
    """A "fit" that is the law at known parameters, at two draws."""
    law = bs.Coverage(unsolvable is not None, reference=(("samples", 1.0),))
    paper = {"u": u, "v": v} | ({} if unsolvable is None else {"unsolvable": unsolvable})
    priors = {k: bs.Prior.of("Fixed", value=x) for k, x in law.from_paper(paper).items()}
    return bs.sample_prior(bs.ScalingModel(law, bs.Attempts(), priors), draws=2)


# --- the law -------------------------------------------------------------------------------------


def test_the_catalogues_numbers():
    law = bs.Coverage()
    got = law(law.from_paper(TRUTH), {"samples": np.array([1, 10, 100, 1000])})
    np.testing.assert_allclose(got, [0.1304, 0.4415, 0.7084, 0.8532], atol=6e-5)


@pytest.mark.parametrize("u", [1e-4, 0.3, 5.0, 300.0])
@pytest.mark.parametrize("v", [1e-3, 2.0, 400.0])
def test_the_law_is_a_ratio_of_beta_functions(u, v):
    law = bs.Coverage()
    theta = law.from_paper({"u": u, "v": v})
    got = law.log_failure(theta, {"samples": K})
    expected = sp.betaln(u, v + K) - sp.betaln(u, v)
    np.testing.assert_allclose(got, expected, rtol=2e-9, atol=2e-9)  # betaln itself is no better
    product = np.cumsum(np.log1p(-u / (u + v + np.arange(100))))
    np.testing.assert_allclose(got[[0, 2, 3]], product[[0, 9, 99]], rtol=1e-11, atol=1e-14)


def test_what_it_tends_to():
    law = bs.Coverage(zeros=True)
    theta = law.from_paper({**TRUTH, "unsolvable": 0.2})
    assert law(theta, {"samples": 1.0}) == pytest.approx(0.8 * 0.3 / 2.3, rel=1e-12)
    assert law(theta, {"samples": 1e60}) == pytest.approx(0.8, rel=1e-12)
    assert law.limit(theta) == 0.8
    slope = np.diff(law.log_failure(theta, {"samples": np.array([1e8, 1e9])})) / np.log(10)
    assert slope[0] == pytest.approx(-0.3, rel=1e-6)  # the exponent of what is left is u
    level = law.log_failure(theta, {"samples": 1e9}) + 0.3 * np.log(1e9)
    assert level == pytest.approx(sp.gammaln(2.3) - sp.gammaln(2.0), rel=1e-6)


def test_more_samples_solve_more():
    law = bs.Coverage()
    theta = {k: v[:, None] for k, v in theta_of(law, 200).items()}
    assert np.all(np.diff(law(theta, {"samples": K})) > -1e-15)


def test_what_the_prior_says():
    """The catalogue: coverage of 100 samples 0.06, 0.79, 1.00, and u 0.01, 0.26, 2.95, at 2.5, 50
    and 97.5 %. Of 40,000 draws the outer quantiles have errors of 4 %; a false alarm needs five sd.
    """
    law = bs.Coverage()
    theta = theta_of(law, 40_000)
    ends = [0.025, 0.5, 0.975]
    got = np.quantile(law(theta, {"samples": 100.0}), ends)
    np.testing.assert_allclose(got, [0.06, 0.79, 1.00], atol=0.015)
    np.testing.assert_allclose(
        np.quantile(law.to_paper(theta)["u"], ends), [0.01, 0.26, 2.95], rtol=0.1, atol=0.005
    )


# --- counts --------------------------------------------------------------------------------------


def test_the_likelihood_is_the_beta_binomial(plain):
    runs = counted(0)
    q = plain["posterior"].isel(chain=0, draw=slice(0, 5))
    u, v = (q[k].values[:, None] for k in ("u", "v"))
    seen = plain["log_likelihood"]["coverage"].isel(chain=0, draw=slice(0, 5)).values
    np.testing.assert_allclose(seen, st.betabinom(100, u, v).logpmf(runs["solved"]), atol=1e-9)
    assert (runs["solved"] == 0).mean() > 0.1  # which the shares' logarithms would not survive


def test_the_likelihood_with_a_share_that_nothing_solves(with_zeros):
    runs = counted(0)
    q = with_zeros["posterior"].isel(chain=0, draw=slice(0, 5))
    u, v, z = (q[k].values[:, None] for k in ("u", "v", "unsolvable"))
    expected = (1 - z) * st.betabinom(100, u, v).pmf(runs["solved"])
    expected = np.log(expected + z * (runs["solved"].to_numpy() == 0))
    seen = with_zeros["log_likelihood"]["coverage"].isel(chain=0, draw=slice(0, 5)).values
    np.testing.assert_allclose(seen, expected, atol=1e-9)


def test_an_attempt_of_several_samples_is_solved_or_not():
    theta = {"pass1": 0.2, "spread": 1.5, "unsolvable": 0.1}
    model = model_for(bs.Coverage(zeros=True))
    x = {"samples": np.array([50.0, 50.0]), "attempts": np.ones(2)}
    got = np.asarray(model.distribution(theta, x).log_prob(np.array([1.0, 0.0])))
    chance = model.law(theta, x)[0]
    np.testing.assert_allclose(np.exp(got), [chance, 1 - chance], rtol=1e-5)  # float32 outside


def test_draws_are_of_the_likelihood():
    """Of 20,000 draws the chi-square of eleven counts; a right one fails once in 10,000."""
    model = model_for(bs.Coverage(zeros=True))
    theta = model.law.from_paper({**TRUTH, "unsolvable": 0.1})
    x = {"samples": np.ones(20_000), "attempts": np.full(20_000, 10.0)}
    drawn = np.round(model.draw(np.random.default_rng(0), theta, x) * 10).astype(int)
    share = 0.9 * st.betabinom(10, 0.3, 2.0).pmf(np.arange(11)) + 0.1 * (np.arange(11) == 0)
    seen = np.bincount(drawn, minlength=11)
    assert st.chisquare(seen, 20_000 * share).pvalue > 1e-4
    once = {"samples": np.full(20_000, 50.0), "attempts": np.ones(20_000)}
    solved = model.draw(np.random.default_rng(1), theta, once).mean()
    expected = model.law(theta, {"samples": 50.0})
    assert solved == pytest.approx(expected, abs=4 * np.sqrt(0.25 / 20_000))


def test_numpyros_draws_agree():
    import jax

    model = model_for(bs.Coverage())
    theta = model.law.from_paper(TRUTH)
    x = {"samples": np.ones(4000), "attempts": np.full(4000, 10.0)}
    drawn = np.asarray(model.distribution(theta, x).sample(jax.random.key(0)))
    assert drawn.mean() == pytest.approx(0.3 / 2.3, abs=5 * 0.2 / np.sqrt(4000))
    assert np.all(np.abs(drawn * 10 - np.round(drawn * 10)) < 1e-5)


def test_the_whole_way(plain):
    assert plain.attrs["k_hat"] < 0.7
    assert bs.check(plain).status == "PASS"
    low, high = plain["posterior"]["u"].quantile([0.0005, 0.9995])
    assert low < 0.3 < high
    there = bs.predict(plain, {"samples": [1, 10, 100], "attempts": 1})
    truth = [0.1304, 0.4415, 0.7084]
    low, high = there.coverage_mean.quantile([0.0005, 0.9995], DRAWS).values
    assert np.all((low < truth) & (truth < high))
    assert set(np.unique(there.coverage_run)) == {0.0, 1.0}
    left_out = loo(plain)
    assert left_out.good_k >= left_out.pareto_k.max()


def test_zeros_are_told_from_a_thin_tail_only_by_their_sum(plain, with_zeros):
    """Of problems without a point mass at zero the law with one gives it little, not nothing."""
    share = with_zeros["posterior"]["unsolvable"]
    assert float(share.quantile(0.05)) < 0.05
    far = {"samples": 1e6, "attempts": 1}
    wide = [
        float(np.ptp(bs.predict(f, far).coverage_mean.quantile([0.05, 0.95]).values))
        for f in (plain, with_zeros)
    ]
    assert wide[1] > wide[0]


def test_a_share_that_nothing_solves_is_found():
    """A third of 150 problems, thick otherwise: 99.9 % intervals hold the truth."""
    fit = bs.fit(model_for(bs.Coverage(zeros=True)), counted(1, never=0.33, u=2.0), seed=0)
    low, high = fit["posterior"]["unsolvable"].quantile([0.0005, 0.9995])
    assert 0.1 < low < 0.33 < high


@pytest.mark.slow
def test_intervals_cover():
    """Of 100 tables 90 % intervals cover Binomial(100, 0.9); right ones leave a band once in 100.

    Of coverage at a hundred samples, and at a hundred times the attempts: 20 of 80 problems.
    """
    model = model_for(bs.Coverage())
    found = bs.fit_many(model, [counted(s, 80, 20) for s in range(100)], draws=500)
    band = st.binom(100, 0.9).interval(1 - 0.005)
    law, theta = model.law, {k: found[k] for k in ("pass1", "spread")}
    for k in (100.0, 2000.0):
        truth = law(law.from_paper(TRUTH), {"samples": k})
        low, high = law(theta, {"samples": k}).quantile([0.05, 0.95], DRAWS)
        assert band[0] <= int(((low < truth) & (truth < high)).sum()) <= band[1], k


# --- tables --------------------------------------------------------------------------------------


def test_tables_of_counts():
    runs = bs.read_runs({"n_attempts": [10, 10, 4], "n_solved": [0, 0, 4]},
                        require=("samples", "coverage"))  # fmt: skip
    assert runs["coverage"].tolist() == [0.0, 0.0, 1.0]
    assert runs["samples"].tolist() == [1.0, 1.0, 1.0]
    assert runs["use"].all()
    assert (runs["flag"] == "").all()  # equal counts are no copies
    steps = runs.attrs["bayes_scaling"]["steps"]
    assert steps == ["coverage is solved / attempts", "attempts are of one sample each"]
    again = bs.read_runs(runs, require=("samples", "coverage"))
    pd.testing.assert_frame_equal(again, runs)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"attempts": [5, 5], "solved": [6, 1]}, r"'solved'.*no part of `attempts`.*\(row 0\)"),
        ({"attempts": [5, 5], "solved": [0.5, 1]}, r"'solved'.*no part of `attempts`.*\(row 0\)"),
        ({"attempts": [5, 5], "coverage": [0.5, 1.0]}, "no whole number of them"),
        ({"attempts": [5, 5], "solved": [1, 1], "samples": [2, 1]}, "several attempts of several"),
        ({"attempts": [5, 5], "solved": [1, 1], "samples": [0.5, 1]}, "samples"),
        ({"attempts": [5, 5]}, "no column is recognised as (samples|coverage)"),
    ],
)
def test_what_is_no_count_is_refused(table, said):
    with pytest.raises(TableError, match=said):
        bs.fit(model_for(bs.Coverage()), pd.DataFrame(table))


def test_the_model_is_plain_data():
    model = model_for(bs.Coverage(zeros=True))
    assert isinstance(model.observation, bs.Attempts)
    assert model_from_dict(model_to_dict(model)) == model_from_dict(model_to_dict(model))
    with pytest.raises(SpecError, match="reads u, v, never of a run, which law 'chinchilla'"):
        bs.ScalingModel(bs.Chinchilla(), bs.Attempts())


def test_pass_at_k():
    """Against all k-subsets: of c successes among n attempts."""
    from itertools import combinations

    got = bs.pass_at_k({"attempts": [6, 6], "solved": [2, 0]}, [1, 3, 6, 7])
    for k in (1, 3, 6):
        hit = np.mean([any(i < 2 for i in s) for s in combinations(range(6), k)])
        assert got.coverage[k] == pytest.approx(hit / 2)
    assert np.isnan(got.coverage[7])
    share = bs.pass_at_k({"attempts": [6, 6], "coverage": [2 / 6, 0]}, [1, 3, 6])
    np.testing.assert_allclose(share.coverage, got.coverage[:3])
    with pytest.raises(SpecError, match="reads attempts and solved"):
        bs.pass_at_k({"attempts": [6]}, 1)
    with pytest.raises(SpecError, match="whole numbers from 1"):
        bs.pass_at_k({"attempts": [6], "solved": [1]}, 1.5)


def test_pass_at_k_has_no_bias():
    """Over 400 tables of 60 problems: within 4.5 standard errors, once in 100,000."""
    law = bs.Coverage()
    truth = law(law.from_paper(TRUTH), {"samples": np.array([1, 5, 10])})
    rng, rows = np.random.default_rng(0), []
    for _ in range(400):
        p = rng.beta(0.3, 2.0, 60)
        table = {"attempts": np.full(60, 10), "solved": rng.binomial(10, p)}
        rows.append(bs.pass_at_k(table, [1, 5, 10]).coverage)
    rows = np.array(rows)
    error = rows.std(axis=0) / np.sqrt(400)
    assert np.all(np.abs(rows.mean(axis=0) - truth) < 4.5 * error)


# --- answers -------------------------------------------------------------------------------------


def test_what_samples_cost():
    assert bs.sample_flops(8e9, 512, 16) == pytest.approx(1.31e14, rel=2e-3)
    with pytest.raises(SpecError, match="tokens: of one sample"):
        bs.sample_flops(8e9, None)


def test_samples_for_a_target():
    need = bs.samples_for(known(), [0.1304, 0.4415, 0.999999], params=8e9, tokens=512)
    one = need.isel(chain=0, draw=0)
    law = bs.Coverage()
    theta = law.from_paper(TRUTH)
    for target, k in zip(one.target.values, one.samples.values, strict=True):
        assert law(theta, {"samples": k}) >= target - 1e-12
        assert k == 1 or law(theta, {"samples": k - 1}) < target
    np.testing.assert_allclose(one.flops, 2 * 8e9 * 512 * one.samples)
    assert need.samples.attrs["units"] == "samples"
    assert np.all(np.isnan(need.within))  # no runs, so nobody knows how many were attempted
    never = bs.samples_for(known(unsolvable=0.25), [0.7, 0.8])
    assert np.isfinite(never.samples.sel(target=0.7)).all()
    assert np.isinf(never.samples.sel(target=0.8)).all()
    assert never.reachable.values.tolist() == [1.0, 0.0]
    assert "no number" in never.attrs["verdict"]


def test_what_lies_beyond_the_attempts_is_said(plain):
    need = bs.samples_for(plain, [0.3, 0.9])
    assert need.within.values[0] > 0.99
    assert need.within.values[1] < 0.01
    first, second = need.attrs["verdict"].split("; ")
    assert "past" not in first
    assert "past the 100 attempted" in second
    assert "with and without" in second


def test_the_best_of_several_models():
    fits, params = (
        {"small": known(0.2, 2.0), "large": known(1.0, 1.5)},
        {"small": 1e9, "large": 8e9},
    )
    got = bs.best_sampler(fits, params, [1e11, 1e12, 1e13, 1e16])
    assert got.samples.values.tolist() == [[0, 0], [0, 0], [9, 1], [9765, 1220]]
    assert float(got.coverage.sel(model="large").isel(budget=2).mean()) == pytest.approx(0.4)
    law = bs.Coverage()
    small = law(law.from_paper({"u": 0.2, "v": 2.0}), {"samples": np.array([9.0, 9765.0])})
    large = law(law.from_paper({"u": 1.0, "v": 1.5}), {"samples": np.array([1.0, 1220.0])})
    assert got.best.sel(model="large").values[2:].tolist() == (large > small).tolist() == [1, 1]
    assert "no model gives one sample" in got.attrs["verdict"]
    per_model = bs.best_sampler(fits, params, 1e13, tokens={"small": 512, "large": 5120})
    assert per_model.samples.values.tolist() == [[9, 0]]
    with pytest.raises(SpecError, match="two models or more"):
        bs.best_sampler({"small": known()}, {"small": 1e9}, 1e12)
    with pytest.raises(SpecError, match="tokens: one number"):
        bs.best_sampler(fits, params, 1e12, tokens={"small": 1})


def test_answers_refuse_other_laws():
    fit = bs.load_posterior("chinchilla")
    with pytest.raises(SpecError, match="says nothing of repeated samples"):
        bs.samples_for(fit, 0.5)
    for wrong in (0.0, 1.0, "half"):
        with pytest.raises(SpecError, match="between 0 and 1"):
            bs.samples_for(known(), wrong)


def test_the_figure(plain, with_zeros):
    with mpl.rc_context({"figure.max_open_warning": 0}):
        ax = bs.plots.plot_coverage(plain, with_zeros)
        labels = ax.get_figure().legends[0].get_texts()
        assert any("100 attempts" in t.get_text() for t in labels)
        assert ax.get_xlim()[1] > 1e4
        with pytest.raises(SpecError, match="to: a number of samples"):
            bs.plots.plot_coverage(plain, to=0.5)
        plt.close("all")
