"""`check` says what is wrong, and each of its verdicts can fail."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_scaling as bs
from bayes_scaling import trust
from bayes_scaling.criticism.check import Check
from bayes_scaling.data.verdicts import Verdict
from bayes_scaling.trust import diagnose


@pytest.fixture(scope="module")
def fit():
    return bs.fit(bs.ScalingModel(), bs.load_dataset("simulated-chinchilla"), seed=0)


def status(report, name):
    return next(v.status for v in report.verdicts if v.name == name)


def test_a_fit_of_the_law_that_made_the_runs_passes(fit):
    report = bs.check(fit)
    assert report.status == "PASS", str(report)
    assert set(report.to_frame()["status"]) == {"PASS"}


def test_the_worst_verdict_counts_and_a_skipped_one_does_not():
    def of(*statuses):
        return Check(tuple(Verdict("x", s, "found", "do") for s in statuses)).status

    assert of("PASS", "SKIP") == "PASS"
    assert of("SKIP", "REVIEW", "PASS") == "REVIEW"
    assert of("REVIEW", "FAIL") == "FAIL"
    text = str(Check((Verdict("name", "FAIL", "what was found", "what to do"),)))
    assert "FAIL   name: what was found" in text
    assert "-> what to do" in text


def draws(seed=0, chains=4, shift=0.0, rough=0.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(chains, 500)) + shift * np.arange(chains)[:, None]
    x = x + rough * np.cumsum(rng.normal(size=x.shape), axis=1)
    return xr.Dataset({"x": (("chain", "draw"), x)})


def verdicts(posterior, stats=None, **attrs):
    empty = xr.Dataset() if stats is None else stats
    return {v.name: v.status for v in diagnose(posterior, empty, {"method": "nuts", **attrs})}


def test_chains_that_disagree_or_crawl_fail():
    assert verdicts(draws())["R-hat and ESS"] == "PASS"
    assert verdicts(draws(shift=1.0))["R-hat and ESS"] == "FAIL"
    assert verdicts(draws(rough=1.0))["R-hat and ESS"] == "FAIL"


def test_chains_that_stand_still_fail_whatever_the_others_do():
    """R-hat is 0 / 0 there, and the largest of the others is not to be taken for it."""
    still = np.repeat(np.arange(4.0)[:, None], 500, axis=1)
    posterior = draws().assign(stuck=(("chain", "draw"), np.zeros((4, 500)) + (still == 3)))
    assert verdicts(posterior)["R-hat and ESS"] == "FAIL"
    halves = np.broadcast_to(np.where(np.arange(500) < 250, -1.0, 1.0), (4, 500))
    assert verdicts(draws().assign(stuck=(("chain", "draw"), halves)))["R-hat and ESS"] == "FAIL"


@pytest.mark.parametrize("column", ["r_hat", "ess_bulk", "ess_tail"])
def test_a_diagnostic_that_could_not_be_computed_is_no_pass(monkeypatch, column):
    table = pd.DataFrame(1.0, [0, 1], ["r_hat", "ess_bulk", "ess_tail"])
    table[["ess_bulk", "ess_tail"]] *= 2000
    monkeypatch.setattr(trust, "diagnostics", lambda _: table)
    assert verdicts(draws())["R-hat and ESS"] == "PASS"
    table.loc[1, column] = np.nan
    assert verdicts(draws())["R-hat and ESS"] == "FAIL"


def test_a_variable_held_fixed_is_not_called_unconverged():
    posterior = draws().assign(fixed=(("chain", "draw"), np.full((4, 500), 0.3)))
    assert verdicts(posterior)["R-hat and ESS"] == "PASS"


@pytest.mark.parametrize(("k_hat", "expected"), [(0.3, "PASS"), (0.71, "FAIL"), (np.inf, "FAIL")])
def test_k_hat_is_the_certificate_of_importance_sampling(k_hat, expected):
    got = verdicts(draws(), method="laplace", k_hat=k_hat, effective=1000.0)
    assert got["k-hat"] == expected


def test_divergences_and_energy():
    rng = np.random.default_rng(0)
    dims = ("chain", "draw")
    good = xr.Dataset(
        {
            "diverging": (dims, np.zeros((4, 500), bool)),
            "energy": (dims, rng.normal(size=(4, 500))),
        }
    )
    assert verdicts(draws(), good)["divergences"] == "PASS"
    assert verdicts(draws(), good)["E-BFMI"] == "PASS"
    one, many = np.zeros((4, 500), bool), np.zeros((4, 500), bool)
    one[0, 0], many[:, :5] = True, True
    crawling = np.cumsum(rng.normal(size=(4, 500)), axis=1)
    assert verdicts(draws(), good.assign(diverging=(dims, one)))["divergences"] == "REVIEW"
    assert verdicts(draws(), good.assign(diverging=(dims, many)))["divergences"] == "FAIL"
    assert verdicts(draws(), good.assign(energy=(dims, crawling)))["E-BFMI"] == "REVIEW"


def test_a_second_mode_and_a_lost_search_are_said():
    assert verdicts(draws(), modes=2)["modes"] == "REVIEW"
    assert verdicts(draws(), optimum_converged=0)["modes"] == "REVIEW"
    assert verdicts(draws())["modes"] == "PASS"


def test_a_law_of_the_wrong_shape_shows_as_a_bend(fit):
    # Losses that bend by 2 % along tokens per parameter, five times the scatter.
    bent = fit.copy(deep=True)
    data = fit["constant_data"].to_dataset()
    z = np.log(data["tokens"] / data["params"])
    z = (z - z.mean()) / z.std()
    bent["observed_data"]["loss"] = fit["observed_data"]["loss"] * np.exp(0.02 * (z**2 - 1))
    assert bs.predictive_p(bent)["bend along tokens per parameter"] < 0.01
    assert status(bs.check(bent), "posterior predictive") == "REVIEW"
    assert bs.predictive_p(fit)["bend along tokens per parameter"] > 0.01


@pytest.mark.slow
def test_predictive_p_is_calibrated_on_the_models_own_data(fit):
    # Replicates put in the place of the data: p < 0.02 at most 8 times in 4 x 60 = 240 (binomial
    # with 4.8 expected: more than 15 has probability 1e-4).
    replicates = fit["posterior_predictive"]["loss"].values[0]
    small = 0
    for row in replicates[:60]:
        own = fit.copy()
        own["observed_data"] = fit["observed_data"].to_dataset().assign(loss=("run", row))
        small += sum(p < 0.02 for p in bs.predictive_p(own).values())
    assert small <= 15


def test_a_floor_that_is_not_identified_is_said():
    # Losses of a pure power law in a narrow range: any floor fits.
    rng = np.random.default_rng(0)
    params, tokens = rng.uniform(1e8, 3e8, 40), rng.uniform(2e9, 6e9, 40)
    loss = (params / 1e8) ** -0.05 * (tokens / 2e9) ** -0.06 * 3 * np.exp(rng.normal(0, 0.02, 40))
    runs = bs.read_runs({"params": params, "tokens": tokens, "loss": loss})
    report = bs.check(bs.fit(bs.ScalingModel(), runs, method="laplace"))
    assert status(report, "floor") == "REVIEW", str(report)


def test_tails_that_no_measurement_has_are_said(fit):
    assert status(bs.check(fit), "tails") == "PASS"
    tuned = bs.check(bs.load_posterior("porian-refinedweb-tuned"))  # models 10 times too large
    assert status(tuned, "tails") == "REVIEW"
    assert "nu 1.1" in str(tuned)


def test_replicates_of_cauchy_tails_are_no_warning():
    rng = np.random.default_rng(0)
    theta = {"sigma": np.full((4000, 1), 0.1), "nu": np.full((4000, 1), 1.01)}
    drawn = bs.StudentT().draw(rng, np.full((4000, 5), 2.0), theta, {})
    assert np.isinf(drawn).any()  # warnings are errors here
    assert np.all(drawn >= 0)


def test_distance_beyond_the_data_is_said(fit):
    assert status(bs.check(fit, budget=5e21), "extrapolation") == "PASS"
    assert status(bs.check(fit, budget=1e24), "extrapolation") == "REVIEW"


def test_unused_runs_and_refusals_are_said(fit):
    marked = fit.copy()
    marked.attrs["unused"] = json.dumps({"7": "loss is NaN"})
    assert status(bs.check(marked), "unused runs") == "REVIEW"
    marked.attrs["refusals"] = json.dumps(["3 usable runs for 5 parameters"])
    assert bs.check(marked).status == "FAIL"


def test_an_untrusted_fit_warns_wherever_it_is_used(fit):
    marked = fit.copy()
    marked.attrs["refusals"] = json.dumps(["3 usable runs for 5 parameters"])
    calls = (
        lambda: bs.allocate(marked, 1e22),
        lambda: bs.predict(marked, {"params": 1e9, "tokens": 1e10}),
        lambda: bs.compute_to_reach(marked, 2.0),
        lambda: bs.iso_loss(marked, 2.0, 1e10),
    )
    for call in calls:
        with pytest.warns(bs.UntrustedFitWarning, match="3 usable runs"):
            out = call()
        assert "3 usable runs" in out.attrs["trust"]


def test_a_published_posterior_keeps_what_was_found_when_it_had_its_data():
    report = bs.check(bs.load_posterior("chinchilla"))
    assert status(report, "posterior predictive") == "REVIEW"
    assert "SKIP" not in {v.status for v in report.verdicts}
