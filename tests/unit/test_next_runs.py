"""Which run next: gains against an exact calculation, and what a ranking must never do."""

import numpy as np
import pytest
from scipy import stats

import bayes_scaling as bs
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import Chinchilla
from bayes_scaling.results import dataset, tree, with_derived
from bayes_scaling.trust import UntrustedFitWarning

BESIROGLU = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
LAW = Chinchilla(reference=(("params", 1e9), ("tokens", 2e10)))
BUDGET = bs.ComputeBudget(1e24)
NU = 4.0
# Runs that see the size's term alone, the data's alone, and nothing but the floor.
SMALL = {"params": 1e8, "tokens": 1e20, "flops": 1e20, "name": "small"}
SHORT = {"params": 1e30, "tokens": 1e9, "flops": 2e20, "name": "short"}
BLIND = {"params": 1e30, "tokens": 1e30, "flops": 1e20, "name": "blind"}


def runs(*rows):
    return {k: [row[k] for row in rows] for k in SMALL}


def made(sigma, draws=400, sampling=(), **spread):
    """A fit by hand: draws about a published point that differ in what is named."""
    rng = np.random.default_rng(0)
    centre = {**LAW.from_paper(BESIROGLU), "sigma": sigma, "nu": NU}
    theta = {k: np.full((2, draws // 2), v) for k, v in centre.items()}
    for name, sd in spread.items():
        move = sd * rng.standard_normal((2, draws // 2)) if np.ndim(sd) == 0 else sd
        theta[name] = theta[name] * np.exp(move)
    model = bs.ScalingModel(LAW)
    return tree({"posterior": with_derived(model, dataset(theta))}, model, method="laplace",
                seed=0, sampling=list(sampling), refusals=[], largest={"flops": 1e22})  # fmt: skip


@pytest.fixture(scope="module")
def posterior():
    return bs.load_posterior("chinchilla").isel(draw=slice(0, 200))


@pytest.fixture(scope="module")
def ratio():
    """A fit that knows neither term, and with them not the best size."""
    return made(1e-3, a0=0.3, b0=0.3)


@pytest.mark.parametrize("sigma", [0.02, 0.05, 0.1])
def test_the_gain_is_that_of_an_exact_calculation(sigma):
    """The draws are the law, plans a fine grid, and an outcome's value an integral on a line."""
    fit = made(sigma, draws=800, a0=0.3)
    sizes = np.geomspace(2e10, 4e11, 81)
    plans = bs.decide(fit, BUDGET, bs.Shelf(sizes, names=range(81)), rules={}).isel(budget=0)
    wasted = plans.wasted.stack(sample=("chain", "draw")).transpose("config", "sample").values
    now = wasted.mean(axis=1).min()
    theta = {k: fit["posterior"][k].values.ravel() for k in ("E", "a0", "b0", "alpha", "beta")}
    law = np.log(LAW(theta, {k: SMALL[k] for k in ("params", "tokens")}))
    ends = law.min() - 6 * sigma, law.max() + 6 * sigma
    far = 60 * sigma * np.linspace(0.01, 1, 500)
    seen = np.concatenate([ends[0] - far[::-1], np.linspace(*ends, 1500), ends[1] + far])
    density = stats.t.pdf((seen - law[:, None]) / sigma, NU) / sigma / len(law)
    exact = 1 - np.trapezoid(np.min(wasted @ density, axis=0), seen) / now
    found = [bs.next_runs(fit, BUDGET, candidates=runs(SMALL), seed=s) for s in range(4)]
    assert found[0].attrs["waste"] == pytest.approx(now, rel=0.01)
    # Gains of four seeds, whose sd is 0.03 of the waste: four standard errors of their mean.
    gain = np.mean([float(one.gain[0]) for one in found]) / now
    assert gain == pytest.approx(exact, abs=0.06)
    # What a draw saves scatters by about as much as there is to save; 800 of them.
    assert all(0.01 < float(one.gain_se[0]) / now < 0.1 for one in found)


def test_a_run_that_tells_the_law_saves_nearly_all_and_one_that_tells_nothing_nothing():
    found = bs.next_runs(made(1e-3, a0=0.3), BUDGET, candidates=runs(SMALL, BLIND))
    waste = found.attrs["waste"]
    assert float(found.gain[0]) > 0.99 * waste
    assert float(found.variance_drop[0]) > 0.99
    # A regression of four terms on 200 draws widens what it knows by 2 %.
    assert abs(float(found.gain[1])) <= 3 * float(found.gain_se[1]) + 0.02 * waste
    assert abs(float(found.variance_drop[1])) < 0.05
    assert found["rank"].values.tolist() == [1, 2]
    assert found.worth.values.tolist() == [True, False]
    assert found.pick.values.tolist() == [0]


def test_more_noise_tells_less():
    gains = [
        float(bs.next_runs(made(s, a0=0.3), BUDGET, candidates=runs(SMALL)).gain[0])
        for s in (0.01, 0.1, 0.5)
    ]
    assert gains[0] > 1.5 * gains[1] > 2.25 * gains[2] > 0


def test_what_is_wasted_now_is_the_best_plans_waste(posterior):
    for more in ((), (bs.ServingDemand((1e12, 2e12, 8e12)),), (bs.DataWall(5e11),)):
        waste = bs.next_runs(posterior, BUDGET, *more, candidates=runs(SMALL), most=1).attrs[
            "waste"
        ]
        plan = bs.plan_of(bs.decide(posterior, BUDGET, *more, rules={}))
        # Plans between those of a grid, and those of a search.
        assert waste == pytest.approx(float(plan.wasted.mean()), rel=0.1)


def test_a_gain_is_neither_more_than_the_waste_nor_less_than_nothing(posterior):
    for seed in (0, 1):
        found = bs.next_runs(posterior, bs.ComputeBudget(1e25), most=1, seed=seed)
        # 12 candidates, correlated: beyond three standard errors once in a hundred seeds or so.
        assert bool((found.gain <= found.attrs["waste"] + 3 * found.gain_se).all())
        # A regression of four terms on 400 draws widens what it knows by 1 %.
        assert bool((found.gain >= -3 * found.gain_se - 0.01 * found.attrs["waste"]).all())
        np.testing.assert_allclose(found.per_flop, found.gain / found.cost, rtol=1e-12)
        order = found.per_flop.values[np.argsort(found["rank"].values)]
        assert np.all(np.diff(order) <= 0)
        assert bool((found.worth == (found.gain > found.cost)).all())
        share = found.cost.values / 1e25
        assert sorted(set(np.round(np.log10(share)).astype(int))) == [-4, -3, -2, -1]


def test_a_second_run_is_worth_what_it_adds(ratio):
    """Two that see the same, and one that sees the other term: both terms make the best size."""
    twin = {**SMALL, "name": "twin"}
    found = bs.next_runs(ratio, BUDGET, candidates=runs(SMALL, twin, SHORT), most=2)
    waste = found.attrs["waste"]
    assert float(found.gain.max()) < 0.6 * waste
    first, second = found.pick.values
    assert 2 in (first, second)
    np.testing.assert_allclose(found.pick_gain[0], found.gain.values[first], rtol=1e-9)
    assert float(found.pick_gain[1]) > 0.9 * waste
    # With the twins alone there is nothing to add, whatever each is worth.
    alone = bs.next_runs(ratio, BUDGET, candidates=runs(SMALL, twin), most=2)
    assert alone.sizes["pick"] == 1


def test_stopping(ratio):
    found = bs.next_runs(ratio, BUDGET, candidates=runs(SMALL, SHORT), price=1e9)
    assert found.sizes["pick"] == 0
    assert not found.worth.any()
    assert found.attrs["verdict"].startswith("stop: being wrong about the law is expected to waste")
    on = bs.next_runs(ratio, BUDGET, candidates=runs(SMALL, SHORT))
    assert on.attrs["verdict"].startswith("run ")
    for name in on.candidate.values[on.pick.values]:
        assert str(name) in on.attrs["verdict"]


def test_what_a_set_may_cost_and_hold(ratio):
    could = runs(SMALL, SHORT, {**BLIND, "flops": 1e19})
    assert bs.next_runs(ratio, BUDGET, candidates=could, most=1).sizes["pick"] == 1
    for spend, least, most in (
        (3e20, 2.9e20, 3e20),
        (1.5e20, 1e20, 1.5e20),
        (2.5e20, 1e20, 2.5e20),
    ):
        found = bs.next_runs(ratio, BUDGET, candidates=could, spend=spend)
        cost = float(found.cost.values[found.pick.values].sum())
        assert least <= cost <= most * (1 + 1e-9)
    with pytest.raises(
        SpecError, match="spend: 1e\\+18 FLOP; the cheapest candidate costs 1e\\+19"
    ):
        bs.next_runs(ratio, BUDGET, candidates=could, spend=1e18)


def test_one_seed_one_answer(posterior):
    first, again, other = (
        bs.next_runs(posterior, BUDGET, candidates=runs(SMALL, SHORT), seed=s, most=1)
        for s in (3, 3, 4)
    )
    assert first.identical(again)
    assert not np.array_equal(first.gain, other.gain)


def test_runs_can_be_planned_before_there_are_any():
    prior = bs.sample_prior(bs.ScalingModel(), bs.load_dataset("nine-runs"), draws=1000)
    could = {"params": [1e8, 1e9, 1e9], "tokens": [2e9, 2e10, 1e11]}
    found = bs.next_runs(prior, bs.ComputeBudget(1e22), candidates=could)
    np.testing.assert_allclose(found.cost, [1.2e18, 1.2e20, 6e20], rtol=1e-12)
    assert found.attrs["waste"] > 0.01 * 1e22
    assert bool((found.gain <= found.attrs["waste"]).all())
    # Regressions that learn on half of the draws: five standard errors, for their own error too.
    assert bool((found.gain >= -5 * found.gain_se).all())
    assert found.attrs["verdict"].startswith(("run ", "stop: "))


def test_a_shelf_and_its_limits_are_the_plans_that_a_run_can_choose_between(ratio):
    could = runs(SMALL, SHORT)
    one = bs.next_runs(ratio, BUDGET, bs.Shelf([9e10]), candidates=could)
    assert np.abs(one.gain.values).max() <= 1e-9 * one.attrs["waste"]  # nothing to choose
    two = bs.Shelf([6e10, 1.5e11])
    held = bs.next_runs(ratio, BUDGET, two, bs.SizeLimits(largest=1e11), candidates=could)
    assert np.abs(held.gain.values).max() <= 1e-9 * held.attrs["waste"]
    assert bool((bs.next_runs(ratio, BUDGET, two, candidates=could).gain > 0).all())
    with pytest.raises(SpecError, match="no plan of the scenario is allowed"):
        bs.next_runs(ratio, BUDGET, two, bs.SizeLimits(largest=1e9), candidates=could)


@pytest.mark.parametrize(
    ("items", "more", "says"),
    [
        ((bs.LossTarget(2.0),), {}, "one budget wastes: give ComputeBudget"),
        ((bs.ComputeBudget([1e22, 1e23]),), {}, "one budget wastes"),
        ((), {}, "nothing to spend and nothing to reach"),
        (
            (BUDGET,),
            {"candidates": {"params": [1e9]}},
            "candidates: tokens not given; found params",
        ),
        ((BUDGET,), {"candidates": {"params": [1e9], "tokens": [-1]}}, "positive tokens"),
        ((BUDGET,), {"candidates": {"params": [1e9, 1e8], "tokens": [1e9]}}, "of one length"),
        ((BUDGET,), {"price": 0.0}, "price: a positive ratio"),
        ((BUDGET,), {"most": 0}, "most: how many runs"),
        ((BUDGET,), {"spend": "all"}, "spend: positive FLOP"),
    ],
)
def test_what_cannot_be_asked_is_said(ratio, items, more, says):
    with pytest.raises(SpecError, match=says):
        bs.next_runs(ratio, *items, **more)


def test_a_fit_that_failed_warns():
    bad = made(0.1, a0=0.3, sampling=[["k-hat", "FAIL", "k-hat 1.30", "fit with nuts"]])
    with pytest.warns(UntrustedFitWarning, match=r"k-hat 1\.30"):
        found = bs.next_runs(bad, BUDGET, candidates=runs(SMALL))
    assert found.attrs["trust"] == "k-hat: k-hat 1.30"


def test_cards_tell_each_case(ratio):
    found = bs.next_runs(ratio, BUDGET, candidates=runs(SMALL, SHORT, BLIND))
    cards = bs.run_cards(found)
    assert len(cards) == 3
    assert len(bs.run_cards(found, 1)) == 1
    order = found.candidate.values[np.argsort(found["rank"].values)]
    for name, card in zip(order, cards, strict=True):
        one = found.sel(candidate=name)
        share = 100 * float(one.gain) / found.attrs["waste"]
        assert card.startswith(f"{name} (")
        assert f"{share:.2g} % of what being wrong about the law now costs" in card
        assert ("more than it takes" if bool(one.worth) else "less than it takes") in card
    assert "small (100M on 1e20 tokens), 1e20 FLOP (0.01 % of the budget)" in "\n".join(cards)
    plain = bs.next_runs(ratio, BUDGET, candidates={"params": [8e9], "tokens": [1.6e11]})
    assert bs.run_cards(plain)[0].startswith("8.00B on 160B tokens, 7.68e21 FLOP (0.77 % of")
