"""An average of laws: a fit like any other, every draw of which follows one law.

Its members are made by hand, so that nothing is sampled. Statistical tests state their rate of
false alarms.
"""

import json
import pickle
import warnings

import jax
import numpy as np
import pandas as pd
import pytest
import scipy.stats as st
import xarray as xr

import bayes_scaling as bs
from bayes_scaling._averaged import Averaged
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import (
    LAWS,
    Average,
    HasFloor,
    HasIsoquant,
    HasOptimum,
    HasZeros,
    IsoFlop,
    Monotone,
    law_from_dict,
    to_dict,
)
from bayes_scaling.model import model_from_dict, model_to_dict
from bayes_scaling.observations import observation_from_dict
from bayes_scaling.param import Prior
from bayes_scaling.results import dataset, model_of, open_fit, save_fit, tree, with_derived
from bayes_scaling.trust import UntrustedFitWarning

FALSE_ALARM = 1e-5
SHAPE = (4, 250)
REFERENCE = (("params", 1e9), ("tokens", 2e10))
CHINCHILLA, KAPLAN = bs.Chinchilla(reference=REFERENCE), bs.KaplanND(reference=REFERENCE)
NOISE = {"sigma": 0.004, "nu": 5.0}
CENTRES = {
    "chinchilla": {"E": 1.82, "a0": 0.36, "b0": 0.36, "alpha": 0.348, "beta": 0.366, **NOISE},
    "kaplan_nd": {"a0": 2.45, "b0": 2.1, "alpha": 0.06, "beta": 0.08, **NOISE},
}
BEYOND = {"params": [2e9, 7e10], "tokens": [4e10, 1.4e12]}
RUN = {"params": 3e10, "tokens": 6e11}


def table(rows=12):
    params = np.geomspace(1e8, 1e10, rows)
    runs = pd.DataFrame({"params": params, "tokens": 20 * params, "flops": 120 * params**2})
    loss = CHINCHILLA(CENTRES["chinchilla"], {c: runs[c].to_numpy() for c in runs})
    return runs.assign(loss=loss)


def handmade(law, seed=0, status="PASS", runs=None, observation=None, **attrs):
    """A fit of draws about a centre, with its runs."""
    runs = table() if runs is None else runs
    model = bs.ScalingModel(law, observation or bs.StudentT())
    rng = np.random.default_rng([seed, len(law.name)])
    centre = {p.name: CENTRES[law.name][p.name] for p in model.params}
    draws = {k: v * np.exp(0.005 * rng.standard_normal(SHAPE)) for k, v in centre.items()}
    at = {"run": runs.index.to_numpy()}
    inputs = {k: runs[k].to_numpy() for k in ("params", "tokens", "flops")}
    groups = {
        "posterior": with_derived(model, dataset(draws)),
        "observed_data": dataset({"loss": runs["loss"].to_numpy()}, {"loss": ("run",)}, at, ()),
        "constant_data": dataset(inputs, dict.fromkeys(inputs, ("run",)), at, ()),
    }
    about = {
        "method": "laplace",
        "rows": len(runs),
        "best_loss": float(runs["loss"].min()),
        "log_flops_mean": float(np.log(runs["flops"]).mean()),
        "largest": {k: float(v.max()) for k, v in inputs.items()},
        "sampling": [["k-hat", status, "k-hat 0.93", "fit with NUTS"]],
        "refusals": [],
    }
    return tree(groups, model, **{**about, **attrs})


@pytest.fixture(scope="module")
def fits():
    return {"chinchilla": handmade(CHINCHILLA), "kaplan_nd": handmade(KAPLAN)}


@pytest.fixture(scope="module")
def half(fits):
    """Both laws, every draw of either exactly once."""
    return bs.average(fits, draws=2 * SHAPE[0] * SHAPE[1])


# --- the law ------------------------------------------------------------------------------------


def theta(which):
    rng = np.random.default_rng(3)
    law = Average((CHINCHILLA, KAPLAN))
    centre = {
        f"m{k}_{p.name}": CENTRES[one.name][p.name]
        for k, one in enumerate(law.laws)
        for p in one.params
    }
    out = {k: v * np.exp(0.05 * rng.standard_normal(len(which))) for k, v in centre.items()}
    return law, {**out, "which": np.asarray(which)}


def of_one(draws, k):
    return {n.removeprefix(f"m{k}_"): v for n, v in draws.items() if n.startswith(f"m{k}_")}


def test_every_draw_has_the_value_of_its_own_law():
    which = np.array([0, 1, 1, 0, 1])
    law, draws = theta(which)
    x = {"params": np.array([[1e9], [1e11]]), "tokens": np.array([[1e12], [1e10]])}
    each = [one(of_one(draws, k), x) for k, one in enumerate(law.laws)]
    assert np.abs(each[0] - each[1]).min() > 0.01  # or it would not matter which
    np.testing.assert_array_equal(law(draws, x), np.where(which, each[1], each[0]))
    for ability, arguments in (
        ("exponent", ()),
        ("irreducible", ()),
        ("optimum", (np.array([[1e20], [1e22]]),)),
        ("tokens_to", (2.2, np.array([[1e9], [1e11]]))),
    ):
        found = getattr(law, ability)(draws, *arguments)
        each = [getattr(one, ability)(of_one(draws, k), *arguments)
                for k, one in enumerate(law.laws)]  # fmt: skip
        np.testing.assert_array_equal(found, np.where(which, each[1], each[0]))


def test_arrays_broadcast_by_name_and_under_jit():
    law, draws = theta([0, 1, 1])
    x = {"params": np.array([1e9, 1e11]), "tokens": np.array([1e11, 1e12])}
    plain = law({k: v[:, None] for k, v in draws.items()}, x)
    named = law(
        {k: xr.DataArray(v, dims="draw") for k, v in draws.items()},
        {k: xr.DataArray(v, dims="point") for k, v in x.items()},
    )
    np.testing.assert_array_equal(named.transpose("draw", "point"), plain)
    with jax.enable_x64(True):
        compiled = jax.jit(law)({k: v[:, None] for k, v in draws.items()}, x)
    np.testing.assert_allclose(compiled, plain, rtol=1e-12)


def test_a_loss_out_of_reach_of_one_law_leaves_the_other_alone():
    law, draws = theta([0, 1])
    tokens = law.tokens_to(draws, 1.7, 1e12)  # below the floor of the first
    assert np.isinf(tokens[0])
    assert np.isfinite(tokens[1])


def test_it_can_what_all_of_its_laws_can():
    both, some = Average((CHINCHILLA, KAPLAN)), Average((CHINCHILLA, IsoFlop(reference=REFERENCE)))
    for ability in (HasOptimum, HasIsoquant, HasFloor, Monotone):
        assert isinstance(both, ability)
    assert both.decreasing == ("params", "tokens")
    assert isinstance(some, HasOptimum)
    assert not any(isinstance(some, a) for a in (HasIsoquant, HasFloor, Monotone, HasZeros))
    slope = bs.M4("flops", reference=(("flops", 1e20),))
    assert not isinstance(Average((slope,)), HasOptimum)


def test_it_is_data_and_no_law_to_choose(fits, half):
    model = model_of(half)
    assert "average" not in LAWS
    assert law_from_dict(json.loads(json.dumps(to_dict(model.law)))) == model.law
    again = model_from_dict(json.loads(json.dumps(model_to_dict(model))))
    assert again == model
    assert hash(again) == hash(model)
    copied = pickle.loads(pickle.dumps(model.law))
    assert copied == model.law
    assert copied.exponent.__self__ is copied
    for k, name in enumerate(fits):
        member = model_of(fits[name])
        for p in member.params:
            assert model.prior(f"m{k}_{p.name}") == member.prior(p.name)


def test_papers_parameters_come_and_go():
    law, draws = theta([0, 1, 0])
    back = law.from_paper({**law.to_paper(draws), "which": draws["which"]})
    assert set(back) == set(draws)
    for name, value in draws.items():
        np.testing.assert_allclose(back[name], value, rtol=1e-10)


def test_scatter_and_density_are_those_of_the_draws_own_law():
    scatter = Averaged((bs.StudentT(), bs.Normal()))
    assert observation_from_dict(json.loads(json.dumps(to_dict(scatter)))) == scatter
    which, mu = np.array([0, 1, 1, 0]), np.array([2.0, 2.1, 2.2, 2.3])
    draws = {"m0_sigma": 0.01, "m0_nu": 3.0, "m1_sigma": 0.05, "which": which}
    seen = np.array([2.01, 2.0, 2.3, 2.25])
    z = np.log(seen / mu)
    expected = np.where(
        which, st.norm.logpdf(z, scale=0.05), st.t.logpdf(z, 3.0, scale=0.01)
    ) - np.log(seen)
    with jax.enable_x64(True):
        density = scatter.distribution(mu, draws, {})
        np.testing.assert_allclose(density.log_prob(seen), expected, rtol=1e-9)
        drawn = density.sample(jax.random.key(0), (20_000,))
    assert drawn.shape == (20_000, 4)
    many = np.random.default_rng(0), np.tile(mu, (20_000, 1))
    for sample in (np.asarray(drawn), scatter.draw(*many, draws, {})):
        for k, law in ((0, st.t(3.0, scale=0.01)), (1, st.norm(scale=0.05))):
            found = np.log(sample / mu)[:, which == k].ravel()
            assert st.kstest(found, law.cdf).pvalue > FALSE_ALARM / 4


# --- draws --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["chinchilla", "kaplan_nd"])
def test_all_the_weight_on_one_is_that_fit(fits, name):
    one = fits[name]
    weights = {k: float(k == name) for k in fits}
    made = bs.average(fits, weights, draws=1000)
    for ask in (
        lambda f: bs.predict(f, BEYOND, seed=3),
        lambda f: bs.allocate(f, [1e22, 1e24]),
        lambda f: bs.decide(f, bs.ComputeBudget(1e24), bs.Shelf([2e10, 7e10, 2e11])),
        lambda f: bs.decide(f, bs.LossTarget(2.02), bs.ServingDemand(1e12)),
    ):
        found, expected = ask(made), ask(one)
        assert list(found) == list(expected)
        for variable in expected:
            np.testing.assert_array_equal(found[variable].values, expected[variable].values)


def test_half_and_half_has_the_quantiles_of_the_pooled_draws(fits, half):
    """Every draw of either fit is there once, so that nothing is left to chance."""
    found = bs.predict(half, BEYOND).loss_mean
    each = [bs.predict(f, BEYOND).loss_mean.values.reshape(-1, 2) for f in fits.values()]
    pooled = np.concatenate(each)
    np.testing.assert_array_equal(
        np.sort(found.values.reshape(-1, 2), axis=0), np.sort(pooled, axis=0)
    )
    wide = np.ptp(np.quantile(pooled[:, 1], [0.05, 0.95]))
    assert all(wide > 1.5 * np.ptp(np.quantile(e[:, 1], [0.05, 0.95])) for e in each)


def test_draws_are_shared_out_by_largest_remainder(fits):
    three = {**fits, "again": fits["kaplan_nd"]}
    for weights, draws, expected in (
        (None, 10, [4, 3, 3]),
        ({"chinchilla": 1, "kaplan_nd": 1, "again": 2}, 8, [2, 2, 4]),
        ({"chinchilla": 0.49, "kaplan_nd": 0.26, "again": 0.25}, 10, [5, 3, 2]),
    ):
        made = bs.average(three, weights, draws=draws)
        which = made["posterior"].which.values.ravel()
        assert np.bincount(which).tolist() == expected
        assert list(json.loads(made.attrs["average"])["draws"].values()) == expected
    orders = [bs.average(fits, draws=100, seed=s)["posterior"].which.values for s in (0, 0, 1)]
    np.testing.assert_array_equal(orders[0], orders[1])
    assert (orders[0] != orders[2]).any()
    assert 0 < orders[0][0].mean() < 1  # every chain has both


def test_a_law_whose_share_is_no_draw_is_left_out(fits):
    made = bs.average(fits, {"chinchilla": 1, "kaplan_nd": 1e-6})
    assert [law.name for law in model_of(made).law.laws] == ["chinchilla"]
    assert json.loads(made.attrs["average"])["weights"]["kaplan_nd"] == pytest.approx(1e-6)


def test_weights_may_be_those_of_a_comparison(fits):
    class Compared:
        weights = {"chinchilla": 0.8, "kaplan_nd": 0.2}  # noqa: RUF012

    made = bs.average(fits, Compared())
    assert float(made["posterior"].which.mean()) == pytest.approx(0.2)


def test_a_list_is_named_by_the_laws(fits):
    made = bs.average([fits["kaplan_nd"], fits["chinchilla"], fits["kaplan_nd"]])
    assert json.loads(made.attrs["average"])["laws"] == ["kaplan_nd", "chinchilla", "kaplan_nd 2"]


# --- a fit like any other -----------------------------------------------------------------------


def test_it_is_saved_and_opened(half, tmp_path):
    back = open_fit(save_fit(half, tmp_path / "both.nc"))
    assert model_of(back) == model_of(half)
    assert back.attrs["average"] == half.attrs["average"]
    for ask in (lambda f: bs.predict(f, BEYOND).loss_run, lambda f: bs.allocate(f, 1e24).loss_opt):
        np.testing.assert_array_equal(ask(back).values, ask(half).values)


def test_it_says_how_far_the_runs_go(fits, half):
    one = bs.predict(fits["chinchilla"], BEYOND)
    np.testing.assert_array_equal(bs.predict(half, BEYOND).beyond, one.beyond)
    assert half.attrs["rows"] == 12
    assert half.attrs["method"] == "average"
    assert "chinchilla 50 %, kaplan_nd 50 %" in half.attrs["method_reason"]


def test_a_decision_knows_that_the_laws_differ(fits, half):
    budget = bs.ComputeBudget(1e24)
    plans = {k: bs.plan_of(bs.decide(f, budget)) for k, f in {**fits, "half": half}.items()}
    sizes = {k: p["params"].item() for k, p in plans.items()}
    assert min(sizes[k] for k in fits) < sizes["half"] < max(sizes[k] for k in fits)
    waste = {
        k: float(bs.next_runs(f, budget, most=1).attrs["waste"])
        for k, f in {**fits, "half": half}.items()
    }
    assert waste["half"] > 1.2 * max(waste[k] for k in fits)


def test_a_gate_weighs_the_laws_by_what_the_runs_say(fits, half):
    """The share of a law is its weight times the mean density of the run, by hand.

    2,000 draws are drawn again: a share then errs by sqrt(1/4 / 2000) at most, and misses by more
    than z times that once in 1 / FALSE_ALARM. The run lies between the laws, so that neither share
    is 0 or 1.
    """
    medians = [float(bs.predict(f, RUN).loss_mean.median()) for f in fits.values()]
    run = {**RUN, "loss": 0.3 * medians[0] + 0.7 * medians[1]}
    density = []
    for name, fit in fits.items():
        draws = {k: v.values.ravel() for k, v in fit["posterior"].to_dataset().items()}
        mu = model_of(fit).law(draws, RUN)
        z = np.log(run["loss"] / mu)
        density.append(float(st.t.pdf(z, draws["nu"], scale=draws["sigma"]).mean()))
        assert density[-1] > 0, name
    expected = density[1] / sum(density)
    assert 0.02 < expected < 0.98
    came = bs.gate(half, run)
    share = float(came.fit["posterior"].which.mean())
    error = st.norm.isf(FALSE_ALARM / 2) * np.sqrt(0.25 / 2000)
    assert abs(share - expected) < error + 0.02  # the weights' smoothing
    assert abs(share - 0.5) > error  # and the laws did move
    assert "reweighted" in came.fit.attrs["method"]
    assert came.p != bs.gate(fits["chinchilla"], run, refit=False).p
    with pytest.raises(SpecError, match="the fit was fitted to"):
        bs.gate(half, table().iloc[3].to_dict())


def test_curves_and_targets_run_on_it(half):
    need = bs.compute_to_reach(half, [2.1, 1.7])
    assert need.reachable.values[0] == 1
    assert 0.4 < need.reachable.values[1] < 0.6  # below the floor of one of the two laws
    assert dict(bs.iso_loss(half, 2.2, [1e9, 1e11]).sizes)["size"] == 2
    wall = bs.decide(half, bs.ComputeBudget(1e24), bs.DataWall(1e12))
    assert bs.plan_of(wall)["params"].item() > 0


def test_it_is_not_to_be_trusted_where_a_member_is_not(fits):
    bad = {**fits, "kaplan_nd": handmade(KAPLAN, status="FAIL")}
    made = bs.average(bad)
    with pytest.warns(UntrustedFitWarning, match="kaplan_nd: k-hat: k-hat 0.93"):
        bs.allocate(made, 1e23)
    assert bs.check(made).status == "FAIL"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bs.allocate(bs.average(bad, {"chinchilla": 1, "kaplan_nd": 0}), 1e23)  # it has no draw
    forced = {**fits, "kaplan_nd": handmade(KAPLAN, refusals=["three runs"])}
    with pytest.warns(UntrustedFitWarning, match="kaplan_nd: three runs"):
        bs.allocate(bs.average(forced), 1e23)


# --- what is refused ----------------------------------------------------------------------------


def test_an_average_is_made_and_not_fitted(half):
    for ask in (bs.fit, bs.sample_prior, bs.kfold):
        with pytest.raises(SpecError, match="an average is made, not fitted: fit 'chinchilla', "):
            ask(model_of(half), table())
    with pytest.raises(SpecError, match="an average is made, not fitted"):
        bs.sample_prior(model_of(half))


def test_all_that_is_wrong_is_said_at_once(fits, half):
    flops = bs.PowerLaw("flops", reference=(("flops", 1e20),))
    CENTRES["power_law"] = CENTRES["chinchilla"]
    odd = {
        **fits,
        "flops": handmade(flops),
        "linear": handmade(CHINCHILLA, observation=bs.Normal("linear")),
        "half": half,
        "other": handmade(CHINCHILLA, runs=table(11)),
    }
    with pytest.raises(SpecError) as raised:
        bs.average(odd, {"chinchila": 1, "kaplan_nd": -1}, draws=0)
    text = str(raised.value)
    for said in (
        "'power_law' reads flops, and 'chinchilla' params, tokens",
        "an average is among them: give the laws that it is made of",
        "'normal' on a linear one; fit all laws with one scale",
        "other: rows",
        "weights: none for 'chinchilla'",
        "weights: 'chinchila' is no fit. Did you mean 'chinchilla'?",
        "weights: from 0 on, and not all 0",
        "draws: a whole number",
    ):
        assert said in text
    with pytest.raises(SpecError, match="no fit was given"):
        bs.average({})
    with pytest.raises(SpecError, match="a mapping of name to fit, or a list"):
        bs.average(half)
    with pytest.raises(SpecError, match="weights: a mapping of name to number, or a Comparison"):
        bs.average(fits, [0.5, 0.5])


def test_tables_are_told_apart_by_their_runs(fits):
    moved = table()
    moved.loc[4, "loss"] *= 1.001  # neither the best, nor the largest
    with pytest.raises(SpecError, match="other: the runs' loss differ from those of chinchilla"):
        bs.average({**fits, "other": handmade(CHINCHILLA, runs=moved)})
    bare = handmade(CHINCHILLA, runs=moved).drop_nodes(("observed_data", "constant_data"))
    made = bs.average({**fits, "other": bare})  # nothing is left that could tell
    assert "observed_data" not in made.children


def test_pooled_fits_and_sweeps_have_no_average(fits):
    model = bs.ScalingModel(CHINCHILLA, pooling=bs.Pooling("arch"))
    pooled = tree({"posterior": fits["chinchilla"]["posterior"].to_dataset()}, model)
    with pytest.raises(SpecError, match="pooled: it pools by arch; fit each group alone"):
        bs.average({**fits, "pooled": pooled})
    with pytest.raises(SpecError, match="'tuning' is of sweeps"):
        Average((bs.Tuning(("lr",), ("width",)),))
    with pytest.raises(SpecError, match="'chinchilla' has no reference sizes"):
        Average((bs.Chinchilla(),))
    with pytest.raises(SpecError, match="the scatter of a sweep belongs to its law"):
        Averaged((bs.Sweep(),))
    fixed = bs.ScalingModel(Average((CHINCHILLA,)), Averaged((bs.Normal(),)))
    assert fixed.prior("which") == Prior.of("Fixed", value=0.0)
