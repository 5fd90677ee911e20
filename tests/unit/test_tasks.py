"""From a loss to a task: laws, shares of questions, and what a planned model scores.

Statistical tests reject a right answer once in 1e5 runs; seeds are fixed, so a pass stays one.
"""

from dataclasses import replace

import arviz_stats
import jax
import numpy as np
import pandas as pd
import pytest
import scipy.stats as st
import xarray as xr
from scipy.special import gammaln

import bayes_scaling as bs
from bayes_scaling import priors
from bayes_scaling._distributions import FoldedShare, StudentT, log_gamma
from bayes_scaling.errors import FitError, SpecError, TableError
from bayes_scaling.laws import Emergence, GadreError, Ladder, SigmoidCompute, to_dict
from bayes_scaling.model import model_for, model_from_dict, model_to_dict
from bayes_scaling.observations import (
    AverageShare,
    BetaBinomial,
    Binomial,
    Chained,
    observation_from_dict,
)
from tests.helpers import needs_real_tables

FALSE_ALARM = 1e-5
DRAWS = 20_000
AT = {"loss": Ladder("loss", reference=(("loss", 1.0),))}
ERROR = GadreError(reference=(("loss", 3.0),))
TRUTH = {"E": 0.5, "a0": 0.3, "b0": 0.3, "alpha": 0.3, "beta": 0.3, "floor": 0.25, "ceil": 0.95,
         "k": 5.0, "l_mid": 1.0, "sigma": 0.01, "nu": 10.0, "spread": 0.05}  # fmt: skip
LADDER = Ladder(reference=(("params", 1e9), ("tokens", 2e10)))


def drawn(law, names, count=DRAWS):
    rng, stats = np.random.default_rng(3), dict.fromkeys(priors.STATISTICS, 1.0)
    by = {p.name: p.prior for p in law.params}
    return {n: priors.draw(by[n], priors.values(by[n], stats), rng, count)[0] for n in names}


def logp(observation, mu, theta, x, value):
    with jax.enable_x64(True):
        return np.asarray(observation.distribution(mu, theta, x).log_prob(value))


def tree(model, theta, count=400):
    """Return a fit of one repeated draw: what answers are made from, without a sampler."""
    law = model.law
    data = {k: (("chain", "draw"), np.full((1, count), v)) for k, v in theta.items()}
    posterior = xr.Dataset(data, {"chain": [0], "draw": np.arange(count)})
    from bayes_scaling.results import tree as made

    assert law.reference is not None
    return made({"posterior": posterior}, model, method="laplace", k_hat=0.1, seed=0)


# The catalogue's numbers: section 11 and oracles 27 and 40.


def test_normalised_accuracy_either_side_of_the_middle():
    """0.82 [0.59, 1.00] and 0.18 [0.00, 0.41] at 0.3 from l_mid, under the prior of k."""
    law, theta = AT["loss"], drawn(AT["loss"], ["k"])
    theta = {"floor": 0.0, "ceil": 1.0, "l_mid": 1.0, **theta}
    good, bad = (np.quantile(law(theta, {"loss": v}), [0.025, 0.5, 0.975]) for v in (0.7, 1.3))
    np.testing.assert_allclose(good, [0.59, 0.82, 1.00], atol=0.012)
    np.testing.assert_allclose(bad, [0.00, 0.18, 0.41], atol=0.012)


def test_the_link_goes_from_ceiling_to_floor():
    theta = {"floor": 0.25, "ceil": 0.9, "k": 5.0, "l_mid": 1.0}
    for shape in ("logistic", "gompertz"):
        law = replace(AT["loss"], shape=shape)
        assert law(theta, {"loss": 1.0}) == pytest.approx(0.575)
        assert law(theta, {"loss": 50.0}) == pytest.approx(0.25)
        assert law({**theta, "k": 500.0}, {"loss": 0.0}) == pytest.approx(0.9)


def test_what_half_a_nat_multiplies_the_error_removed_by():
    """1.2 to 2.4 (95 %) under the prior of gamma."""
    theta = {"eps": 0.85, "k0": 0.05, **drawn(ERROR, ["gamma"])}
    gone = [0.85 - ERROR(theta, {"loss": v}) for v in (2.7, 3.2)]
    got = np.quantile(gone[0] / gone[1], [0.025, 0.975])
    np.testing.assert_allclose(got, [1.2, 2.4], atol=0.03)


def test_gadres_line_and_where_it_is_bent():
    theta = ERROR.from_paper({"eps": 0.857, "k": 2.21, "gamma": 0.715})
    loss = np.array([2.0, 3.0, 5.0])
    expected = 0.857 - 2.21 * np.exp(-0.715 * loss)
    np.testing.assert_allclose(ERROR(theta, {"loss": loss}), expected, rtol=1e-12)
    below = np.log(2.21 / 0.857) / 0.715  # the line is negative there
    low = ERROR(theta, {"loss": below * np.array([0.2, 0.6, 0.9, 1.0])})
    assert np.all((low > 0) & (low < 0.02))
    assert np.all(np.diff(low) > 0)


def test_a_known_share_of_guesses_is_what_the_error_tends_to():
    a, b = dict(GadreError(chance=0.2).params[0].prior.args).values()
    assert (a - 1) / (a + b - 2) == pytest.approx(0.8)
    floor = next(p for p in Ladder(chance=0.25).params if p.name == "floor")
    assert floor.prior == bs.Prior.of("Fixed", value=0.25)


def test_the_error_of_over_trained_models_is_the_chain_of_both_laws():
    law = GadreError("params_tokens", reference=(("params", 1e9), ("tokens", 2e10)))
    theta = {"E": 1.8, "a0": 0.5, "b0": 0.5, "alpha": 0.27, "eps": 0.85, "k0": 0.3, "gamma": 0.7}
    x = {"params": 7e9, "tokens": 1e11}
    upstream = bs.Chinchilla(tied=True, reference=law.reference)
    loss = upstream(theta, x)
    paper = law.to_paper(theta)
    assert law(theta, x) == pytest.approx(0.85 - paper["k"] * np.exp(-0.7 * loss), rel=1e-12)
    assert law.latent(theta, x)["upstream"] == loss


def test_how_many_decades_ten_to_ninety_per_cent_take():
    """0.7 to 7 (95 %) under the prior of k, per decade."""
    k = drawn(SigmoidCompute(), ["k"])["k"]
    np.testing.assert_allclose(np.quantile(2 * np.log(9) / k, [0.025, 0.975]), [0.7, 7], rtol=0.05)
    law = SigmoidCompute(reference=(("flops", 1e22),))
    theta = {"floor": 0.0, "ceil": 1.0, "k": 2.0, "mid": 0.5}
    ends = [1e22 * 10 ** (0.5 + s * np.log(9) / 2) for s in (-1, 1)]
    np.testing.assert_allclose(law(theta, {"flops": np.array(ends)}), [0.1, 0.9], rtol=1e-10)


def test_exact_match_of_many_tokens():
    law = Emergence(reference=(("flops", 1e22),))
    assert pytest.approx(0.8706, abs=5e-5) == 0.5 ** (1 / 5)
    for k, p in ((5.0, 0.8706), (30.0, 0.9772)):
        half = law.link({"k": k}, -np.log(p))
        assert half == pytest.approx(0.5, abs=1e-3)
    assert law.link({"k": 30.0}, -np.log(0.9)) == pytest.approx(0.0424, abs=5e-5)


@pytest.mark.parametrize("k", [2.0, 30.0])
def test_a_jump_is_as_wide_whatever_the_answers_length(k):
    law, g = Emergence(reference=(("flops", 1e22),)), 0.2
    theta = {"a0": 0.5, "alpha": g, "k": k}
    flops = np.logspace(0, 60, 600_001)
    accuracy = law(theta, {"flops": flops})
    low, middle, high = (flops[np.searchsorted(accuracy, v)] for v in (0.05, 0.5, 0.95))
    assert np.log10(high / low) * g == pytest.approx(1.766, abs=1e-3)
    one = 1e22 * (0.5 / np.log(2)) ** (1 / g)  # of one token
    assert np.log10(middle / one) == pytest.approx(np.log10(k) / g, abs=1e-3)


def test_the_width_that_the_prior_of_emergence_expects():
    """5 to 26 decades (95 %)."""
    g = drawn(Emergence(), ["alpha"])["alpha"]
    np.testing.assert_allclose(np.quantile(1.766 / g, [0.025, 0.975]), [5.4, 25.8], rtol=0.05)


def test_without_a_change_of_slope_the_broken_loss_is_the_smooth_one():
    smooth, broken = (Emergence(breaks=b, reference=(("flops", 1e22),)) for b in (0, 1))
    theta = {"a0": 0.5, "alpha": 0.2, "k": 5.0}
    x = {"flops": np.geomspace(1e18, 1e26, 9)}
    more = {"bend1": 0.0, "shift1": 1.0, "width1": 0.5}
    np.testing.assert_allclose(broken({**theta, **more}, x), smooth(theta, x), rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Ladder(chance=1.2), "chance: the share of guesses"),
        (lambda: SigmoidCompute(chance=-0.1), "chance: the share of guesses"),
        (lambda: Emergence(length=0.0), "length: tokens of an answer"),
        (lambda: Ladder("tokens"), "upstream = 'tokens' is not one of"),
        (lambda: bs.ScalingModel(bs.Chinchilla(), Chained()), "such as `Ladder`"),
        (lambda: bs.ScalingModel(Ladder("loss"), Chained()), "does not say"),
    ],
)
def test_wrong_choices_are_refused(make, said):
    with pytest.raises(SpecError, match=said):
        make()


# Shares of questions.


def test_log_gamma():
    x = np.concatenate([np.geomspace(1e-9, 1e9, 400), np.arange(1.0, 30.0)])
    with jax.enable_x64(True):
        got = np.asarray(log_gamma(x))
    np.testing.assert_allclose(got, gammaln(x), rtol=2e-13, atol=2e-13)


def test_a_binomial_share_has_the_probability_of_its_count():
    right = np.arange(21)
    for mu in (0.0, 0.3, 1.0):
        got = logp(Binomial(), mu, {}, {"questions": 20.0}, right / 20)
        inside = np.clip(mu, 1e-12, 1 - 1e-12)
        np.testing.assert_allclose(got, st.binom.logpmf(right, 20, inside), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("spread", [0.01, 0.3, 1.0])
def test_a_beta_binomial_share_has_the_probability_of_its_count(spread):
    right = np.arange(101)
    got = logp(BetaBinomial(), 0.3, {"spread": spread}, {"questions": 100.0}, right / 100)
    firm = spread**-2
    expected = st.betabinom.logpmf(right, 100, 0.3 * firm, 0.7 * firm)
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("observation", [Binomial(), BetaBinomial()], ids=["binomial", "beta"])
def test_counts_drawn_have_their_probabilities(observation):
    theta, x, mu = {"spread": 0.3}, {"questions": 12.0}, 0.15
    rng = np.random.default_rng(5)
    right = np.round(12 * observation.draw(rng, np.full(DRAWS, mu), theta, x)).astype(int)
    expected = np.exp(logp(observation, mu, theta, x, np.arange(13) / 12))
    assert expected.sum() == pytest.approx(1.0, abs=1e-9)
    few = np.append(expected[:6], expected[6:].sum())
    seen = np.append(np.bincount(right, minlength=13)[:6], np.sum(right > 5))
    assert st.chisquare(seen, DRAWS * few / few.sum()).pvalue > FALSE_ALARM


def test_the_spread_of_models_is_what_it_is_said_to_be():
    rng, s, mu = np.random.default_rng(6), 0.2, 0.3
    x = {"questions": 1e7}
    got = BetaBinomial().draw(rng, np.full(DRAWS, mu), {"spread": s}, x).std()
    assert got == pytest.approx(s * np.sqrt(mu * (1 - mu) / (1 + s**2)), rel=0.03)


def test_an_average_is_folded_back_at_the_ends(distance):
    theta, mu = {"spread": 0.05, "nu": 4.0}, 0.02
    grid = np.linspace(0.0, 1.0, 200_001)
    density = np.exp(logp(AverageShare(), mu, theta, {}, grid))
    got = AverageShare().draw(np.random.default_rng(7), np.full(DRAWS, mu), theta, {})
    gap, mass = distance(got, grid, density)
    assert mass == pytest.approx(1.0, abs=1e-4)
    assert gap < st.kstwo.isf(FALSE_ALARM, DRAWS)
    assert np.all((got >= 0) & (got <= 1))
    with jax.enable_x64(True):
        sampled = FoldedShare(StudentT(4.0, mu, 0.05)).sample(jax.random.key(0), (100,))
    assert np.all((np.asarray(sampled) >= 0) & (np.asarray(sampled) <= 1))


def test_a_chain_is_the_density_of_the_loss_and_of_the_share_given_it():
    model = model_for(LADDER)
    x = {"params": 1e9, "tokens": 2e10, "questions": 500.0, "loss": 1.12}
    with jax.enable_x64(True):
        both = float(model.distribution(TRUTH, x).log_prob(0.51))
    expected = LADDER.latent(TRUTH, x)["upstream"]
    loss = st.t.logpdf(np.log(1.12 / expected) / 0.01, 10.0) - np.log(0.01 * 1.12)
    share = logp(BetaBinomial(), LADDER.link(TRUTH, 1.12), TRUTH, x, 0.51)
    assert both == pytest.approx(float(loss + share), rel=1e-10)


def test_a_new_runs_luck_is_in_its_loss_and_in_its_share():
    model = model_for(LADDER)
    x = {"params": 1e9, "tokens": 2e10, "questions": 1e6, "loss": 99.0}  # not looked at
    theta = {k: np.full(DRAWS, v) for k, v in (TRUTH | {"sigma": 0.05, "spread": 0.01}).items()}
    got = model.simulate(np.random.default_rng(8), theta, x)
    assert set(got) == {"loss", "accuracy"}
    near = np.abs(got["accuracy"] - LADDER.link(TRUTH, got["loss"]))
    assert near.mean() < 0.01 < got["accuracy"].std() / 4
    assert np.median(got["loss"]) == pytest.approx(1.1, abs=0.003)


@pytest.mark.parametrize(
    "observation", [Binomial(), BetaBinomial(), AverageShare(), Chained("average_share")]
)
def test_observations_of_shares_survive_plain_data(observation):
    assert observation_from_dict(to_dict(observation)) == observation
    assert observation.scale == "linear"


@pytest.mark.parametrize(
    ("law", "observation"),
    [
        (Ladder(), Chained()),
        (Ladder("loss"), BetaBinomial()),
        (GadreError(), AverageShare()),
        (GadreError("flops"), Chained("average_share")),
        (SigmoidCompute(), BetaBinomial()),
        (Emergence(), BetaBinomial()),
    ],
)
def test_what_a_law_of_shares_is_usually_fitted_with(law, observation):
    model = model_for(law)
    assert model.observation == observation
    assert not model.relative
    assert model_from_dict(model_to_dict(model)) == replace(
        model, priors={p.name: model.prior(p.name) for p in model.params}
    )


def test_choices_of_priors_alone_share_one_program():
    one, other = (model_for(Ladder(chance=c)).structure for c in (0.25, 0.5))
    assert one == other
    assert one != model_for(Ladder()).structure
    assert model_for(Emergence()).structure == model_for(Emergence(length=30.0)).structure


# Tables.


def study(seed=0, count=500, spread=0.02):
    model = model_for(replace(LADDER, chance=0.25))
    params, ratio = np.meshgrid(np.geomspace(3e7, 1e10, 6), [5.0, 20.0, 80.0])
    x = {"params": params.ravel(), "tokens": (params * ratio).ravel()}
    x["questions"] = np.full(params.size, float(count))
    truth = {k: np.array(v) for k, v in (TRUTH | {"spread": spread}).items()}
    return pd.DataFrame({**x, **model.simulate(np.random.default_rng(seed), truth, x)})


def test_a_table_without_losses_says_what_its_priors_want():
    runs = study().drop(columns="loss")
    with pytest.raises(TableError, match=r"column 'loss': missing, and the model needs it"):
        bs.fit(model_for(Ladder()), runs)
    with pytest.raises(TableError, match=r"priors of E, a0, b0, l_mid are in units of it"):
        bs.fit(bs.ScalingModel(Ladder(), BetaBinomial()), runs)


def test_questions_and_errors_are_read():
    runs = bs.read_runs(
        {"C": [1e20, 1e21], "acc": [0.0, 55.0], "n_items": [200, 200]},
        require=("flops", "accuracy"), units={"accuracy": "%"},
    )  # fmt: skip
    assert runs["accuracy"].tolist() == [0.0, 0.55]
    assert runs["questions"].tolist() == [200.0, 200.0]
    assert bool(runs["use"].all())
    with pytest.raises(TableError, match="outside 0 to 1"):
        bs.read_runs({"loss": [3.0], "error_rate": [1.3]}, require=("loss", "error"))


@pytest.fixture(scope="module")
def sigmoid():
    flops = np.geomspace(1e19, 1e23, 14)
    law = SigmoidCompute(chance=0.0, reference=(("flops", 1e21),))
    theta = {"floor": 0.0, "ceil": 0.9, "k": 2.5, "mid": 1.0, "spread": 0.05}
    x = {"flops": flops, "questions": np.full(14, 164.0)}
    accuracy = model_for(law).draw(np.random.default_rng(2), theta, x)
    assert accuracy[0] == 0  # counted like any other
    runs = pd.DataFrame({**x, "accuracy": accuracy})
    return theta, bs.fit(model_for(SigmoidCompute(chance=0.0)), runs)


def test_a_sigmoid_is_recovered_from_counts_that_start_at_none(sigmoid):
    theta, fit = sigmoid
    for name in ("k", "ceil", "spread"):
        low, high = fit.posterior[name].quantile([0.0005, 0.9995])
        assert low < theta[name] < high, name
    middle = float(fit.posterior["log10_C_mid"].median())
    assert middle == pytest.approx(22.0, abs=0.5)
    assert np.all(fit.posterior["floor"] == 0)


def test_residuals_and_replicates_of_counts_are_finite(sigmoid):
    fit = sigmoid[1]
    replicated = fit["posterior_predictive"]["accuracy"].values
    assert np.all((replicated >= 0) & (replicated <= 1))
    p = bs.predictive_p(fit)
    assert all(0 < v <= 1 for v in p.values())
    found = bs.check(fit)
    assert found.status in ("PASS", "REVIEW")
    figure = bs.plots.plot_residuals(fit)
    assert figure.axes[0].get_ylabel() == "measured - posterior median, accuracy"


def test_a_prediction_needs_the_number_of_questions(sigmoid):
    fit = sigmoid[1]
    with pytest.raises(FitError, match="questions"):
        bs.predict(fit, {"flops": 1e24})
    few, many = (
        bs.predict(fit, {"flops": 1e22, "questions": n}).accuracy_run.std() for n in (20, 20_000)
    )
    assert few > 1.5 * many


def test_what_is_unknown_of_an_evaluation_adds_up(sigmoid):
    fit = sigmoid[1]
    there = bs.task_forecast(fit, {"flops": [1e22, 1e24], "questions": 100}, threshold=0.5)
    assert there.source.values.tolist() == ["upstream", "link", "scatter", "questions"]
    total = there.accuracy_run.var(("chain", "draw"))
    np.testing.assert_allclose(there.variance.sum("source"), total, rtol=0.1)
    assert np.all(there.variance.sel(source="upstream") == 0)
    share = (there.accuracy_run > 0.5).mean(("chain", "draw"))
    np.testing.assert_allclose(there.probability, share)
    assert "above 0.5 with probability" in there.attrs["verdict"]


def test_compute_for_an_accuracy(sigmoid):
    fit = sigmoid[1]
    need = bs.compute_for_task(fit, [0.3, 0.999])
    ok = np.isfinite(need.flops.sel(target=0.3))
    law = SigmoidCompute(reference=bs.results.model_of(fit).law.reference)
    theta = {k: fit.posterior[k] for k in ("floor", "ceil", "k", "mid")}
    there = law(theta, {"flops": need.flops.sel(target=0.3)})
    np.testing.assert_allclose(there.where(ok, 0.3), 0.3, rtol=1e-9)
    beyond = need.flops.sel(target=0.999)
    assert np.all(np.isinf(beyond) == (fit.posterior["ceil"] <= 0.999))
    assert float(need.reachable.sel(target=0.999)) < 0.5
    assert "accuracy 0.999 at no compute" in need.attrs["verdict"]


def test_two_fits_are_chained_through_the_loss_of_a_new_run():
    first = bs.ScalingModel(bs.Chinchilla(reference=(("params", 1e9), ("tokens", 2e10))))
    upstream = {"E": 1.8, "a0": 0.5, "b0": 0.5, "alpha": 0.3, "beta": 0.3, "sigma": 0.01,
                "nu": 1e6}  # fmt: skip
    second = bs.ScalingModel(ERROR, AverageShare())
    link = ERROR.from_paper({"eps": 0.857, "k": 2.21, "gamma": 0.715})
    fits = tree(second, {**link, "spread": 1e-6, "nu": 1e6}), tree(first, upstream, 4000)
    at = {"params": 1e9, "tokens": 2e10}
    there = bs.task_forecast(fits[0], at, upstream=fits[1])
    np.testing.assert_allclose(there.error_mean, 0.857 - 2.21 * np.exp(-0.715 * 2.8), rtol=1e-10)
    slope = 0.715 * 2.21 * np.exp(-0.715 * 2.8)
    assert float(there.error_run.std()) == pytest.approx(0.028 * slope, rel=0.08)
    share = there.variance.sel(source="upstream") / there.variance.sum("source")
    assert float(share.item()) > 0.98
    with pytest.raises(SpecError, match="upstream: a fit of loss"):
        bs.task_forecast(fits[0], at, upstream=fits[0])
    with pytest.raises(SpecError, match="is of loss; fit one of accuracy or error"):
        bs.task_forecast(fits[1], at)
    with pytest.raises(SpecError, match="fit it along flops"):
        bs.compute_for_task(fits[0], 0.5)


def test_targets_and_thresholds_are_shares(sigmoid):
    fit = sigmoid[1]
    with pytest.raises(SpecError, match="shares between 0 and 1"):
        bs.compute_for_task(fit, 55)
    with pytest.raises(SpecError, match="a share between 0 and 1"):
        bs.task_forecast(fit, {"flops": 1e22, "questions": 10}, threshold=55)


def test_rank_agreement_is_kendalls_tau_of_every_draw():
    rng = np.random.default_rng(9)
    dims = ("chain", "draw", "point")
    loss, score = (xr.DataArray(rng.normal(size=(1, 50, 7)), dims=dims) for _ in range(2))
    found = bs.rank_agreement(loss, score)
    expected = [
        st.kendalltau(-a, b)[0] for a, b in zip(loss[0].values, score[0].values, strict=True)
    ]
    np.testing.assert_allclose(found.tau[0], expected, atol=1e-12)
    top = np.argmin(loss[0].values, axis=1) == np.argmax(score[0].values, axis=1)
    assert found.top.values[0].tolist() == top.tolist()
    assert float(found.best_loss.sum()) == pytest.approx(1.0)
    lower = bs.rank_agreement(loss, -score, better="lower")
    np.testing.assert_allclose(lower.tau, found.tau)
    with pytest.raises(SpecError, match="two models at least"):
        bs.rank_agreement(loss.isel(point=[0]), score.isel(point=[0]))


def test_allocation_is_of_losses_alone():
    fit = tree(model_for(replace(LADDER, chance=None)), TRUTH)
    with pytest.raises(SpecError):
        bs.allocate(fit, 1e22)


@pytest.fixture(scope="module")
def ladder():
    return bs.fit(model_for(Ladder(chance=0.25)), study())


@pytest.mark.slow
def test_a_ladder_is_recovered_in_one_posterior(ladder):
    for name in ("E", "alpha", "beta", "k", "l_mid", "ceil"):
        low, high = ladder.posterior[name].quantile([0.0005, 0.9995])
        assert low < TRUTH[name] < high, name
    at = {"params": 7e10, "tokens": 1.4e12, "questions": 500}
    there = bs.task_forecast(ladder, at)
    assert {"loss_run", "accuracy_run"} <= set(there)
    low, high = there.accuracy_mean.quantile([0.0005, 0.9995])
    assert low < float(LADDER(TRUTH, at)) < high
    total = there.accuracy_run.var(("chain", "draw"))
    np.testing.assert_allclose(there.variance.sum("source"), total, rtol=0.3)


@pytest.mark.slow
def test_a_ladder_is_drawn_against_loss_and_compute(ladder):
    figure = bs.plots.plot_task(ladder)
    assert [ax.get_xlabel() for ax in figure.axes] == [
        "loss (nat/token)", "training compute C = 6ND (FLOP)",
    ]  # fmt: skip


@needs_real_tables
@pytest.mark.slow
def test_the_rows_of_p11():
    from benchmarks.p11 import rows

    five, six, tests = rows()
    assert five["params"].tolist() == [10569312, 10569312, 78914048, 153677376, 411616256]
    assert len(six) == 6
    assert tests["tokens"].tolist() == [921468928000, 137788211200]


@pytest.mark.slow
@pytest.mark.parametrize("bend", [0.0, 0.5])
def test_a_break_of_the_capability_is_told_from_the_metrics(bend):
    """Exact match of 20 tokens jumps under either law; the loss per token says which it is."""
    flops = np.geomspace(1e19, 1e24, 24)
    law = Emergence(breaks=1, reference=(("flops", 1e21),))
    truth = {"a0": 0.25, "alpha": 0.12, "k": 20.0, "bend1": bend, "shift1": 3.0, "width1": 0.3,
             "sigma": 0.01, "nu": 20.0, "spread": 0.05}  # fmt: skip
    x = {"flops": flops, "questions": np.full(24, 500.0)}
    model = bs.ScalingModel(law, Chained())
    truth = {k: np.array(v) for k, v in truth.items()}
    runs = pd.DataFrame({**x, **model.simulate(np.random.default_rng(4), truth, x)})
    fits = {
        name: bs.fit(bs.ScalingModel(Emergence(breaks=n, length=20.0), Chained()), runs)
        for name, n in (("smooth", 0), ("broken", 1))
    }
    elpd = {name: arviz_stats.loo(fit, var_name="accuracy").elpd for name, fit in fits.items()}
    gain = float(elpd["broken"] - elpd["smooth"])
    broken = fits["broken"].posterior["bend1"]
    if bend:
        assert gain > 10
        assert float((broken > 0.1).mean()) > 0.99
    else:
        assert gain < 3
        low, high = broken.quantile([0.0005, 0.9995])
        assert low < 0 < high
