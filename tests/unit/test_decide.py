"""Plans under scenarios: items by hand arithmetic, waste by brute force, choices by hand."""

import re

import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling.decision.amounts import amount, draw
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import Chinchilla, IsoFlop, Repetition
from bayes_scaling.param import Prior
from bayes_scaling.results import dataset, tree, with_derived
from bayes_scaling.trust import UntrustedFitWarning

SAMPLES = ("chain", "draw")
BESIROGLU = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
OPEN_ATHENA = {"E": 0.6047, "A": 59.1, "B": 155.1, "alpha": 0.3100, "beta": 0.3136}
LAW = Chinchilla(reference=(("params", 1e9), ("tokens", 2e10)))
H100 = bs.Hardware(1979e12, 0.5, dollars_per_hour=2.0, devices=1000)
BUDGET = 1e24


def made(paper=BESIROGLU, draws=60, spread=0.02, sigma=0.004, odd=0, **attrs):
    """A fit by hand: draws about a published point, of which a few want larger models."""
    rng = np.random.default_rng(0)
    centre = {**LAW.from_paper(paper), "sigma": sigma, "nu": 4.0}
    theta = {k: v * np.exp(spread * rng.standard_normal((2, draws))) for k, v in centre.items()}
    theta["a0"][1, :odd] *= 2.0
    model = bs.ScalingModel(LAW)
    more = {"sampling": [["R-hat", "PASS", "1.000", ""]], "refusals": []} | attrs
    return tree({"posterior": with_derived(model, dataset(theta))}, model, method="laplace",
                seed=0, largest={"flops": 1e22}, log_flops_mean=np.log(1e20), **more)  # fmt: skip


@pytest.fixture(scope="module")
def fit():
    return made()


@pytest.fixture(scope="module")
def exact():
    """One law for certain, and runs that do not scatter."""
    return made(draws=1, spread=0.0, sigma=1e-9)


def numbers_of(fit):
    """The draws as the paper writes them, (draw, 1)."""
    return {k: fit["posterior"][k].values.reshape(-1, 1) for k in BESIROGLU}


def loss_of(paper, params, tokens):
    """The law restated, so that it can disagree with the code under test."""
    sizes = paper["A"] * params ** -paper["alpha"]
    return paper["E"] + sizes + paper["B"] * tokens ** -paper["beta"]


def named(params, tokens=None):
    """A shelf of sizes that may be all but equal."""
    return bs.Shelf(params, tokens, [f"no. {i}" for i in range(len(params))])


def flat_draws(values):
    return values.stack(sample=SAMPLES).transpose("sample", ...).values


# Amounts and items.


def test_three_quantiles_are_those_of_the_draws():
    given = (1e12, 3e12, 3e13)
    drawn = draw(amount(given, "demand"), 40_000, 0)
    for quantile, p in zip(given, (0.05, 0.5, 0.95), strict=True):
        # Five standard errors of a share: one seed in a million fails, three times over.
        assert np.mean(drawn <= quantile) == pytest.approx(p, abs=5 * np.sqrt(p * (1 - p) / 4e4))


def test_an_amount_is_a_number_or_a_distribution_too():
    assert draw(amount(3, "demand"), 4, 0).tolist() == [3.0] * 4
    drawn = draw(amount(Prior.of("LogNormal", median=1e13, sigma=0.7), "demand"), 40_000, 0)
    # Sd of a log-normal's ln: 0.7 / sqrt(80,000) = 0.0025, so 0.0125 is five of them.
    assert np.std(np.log(drawn)) == pytest.approx(0.7, abs=0.0125)
    assert np.median(np.log(drawn)) == pytest.approx(np.log(1e13), abs=0.022)
    assert not np.array_equal(drawn, draw(amount((1e12, 2e12, 3e12), ""), 40_000, 1))


@pytest.mark.parametrize(
    "value",
    [0, -1.0, np.inf, np.nan, "many", None, True, (1.0, 2.0), (3.0, 2.0, 1.0), (1.0, 1.0, 2.0),
     Prior.of("Normal", loc=1.0, scale=1.0), Prior.of("LogNormal", median=1, sigma=1, plus=-1)],
)  # fmt: skip
def test_what_is_no_amount_is_said(value):
    with pytest.raises(SpecError, match=r"ServingDemand: tokens: a positive number, its 5, 50"):
        bs.ServingDemand(value)


def test_hardware_turns_flops_into_hours_dollars_and_days_and_back():
    hour = 1979e12 * 0.5 * 3600  # FLOP of one device
    assert H100.hours(10 * hour) == pytest.approx(10, rel=1e-12)
    assert H100.flops(10) == pytest.approx(10 * hour, rel=1e-12)
    assert H100.dollars(10 * hour) == pytest.approx(20, rel=1e-12)
    assert H100.days(24_000 * hour) == pytest.approx(1.0, rel=1e-12)
    runs = {"params": [1e9] * 3, "tokens": [2e10] * 3, "steps": [1e4] * 3, "devices": [8] * 3,
            "seconds_per_step": [1.0, 2.0, 4.0]}  # fmt: skip
    timed = bs.Hardware.measured(runs, 1e15, devices=64)
    assert timed.utilisation == pytest.approx(1.2e20 / (1e4 * 2 * 8 * 1e15), rel=1e-12)
    assert timed.devices == 64
    with pytest.raises(SpecError, match="no price"):
        timed.dollars(1e20)
    with pytest.raises(SpecError, match="lacks steps, seconds_per_step, devices, flops"):
        bs.Hardware.measured({"params": [1e9]}, 1e15)


@pytest.mark.parametrize(
    "budget",
    [bs.ComputeBudget(3.5622e24), bs.GpuBudget(1e6), bs.MoneyBudget(2e6)],
)
def test_compute_hours_and_money_are_one_budget(exact, budget):
    # 1e6 hours of 1,979 TFLOP/s at 50 % are 3.5622e24 FLOP, and 2e6 dollars.
    plan = bs.plan_of(bs.decide(exact, budget, H100)).squeeze("budget")
    assert float(plan.budget) == pytest.approx(3.5622e24, rel=1e-12)
    assert float(6 * plan.params * plan.tokens) == pytest.approx(3.5622e24, rel=1e-9)
    assert float(plan.dollars) == pytest.approx(2e6, rel=1e-9)
    assert float(plan.days) == pytest.approx(1000 / 24, rel=1e-9)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: bs.ComputeBudget(-1.0), "ComputeBudget: positive FLOP"),
        (lambda: bs.GpuBudget("8"), None),
        (lambda: bs.GpuBudget([]), "GpuBudget: positive device-hours"),
        (lambda: bs.MoneyBudget(np.nan), "MoneyBudget: positive dollars"),
        (lambda: bs.Hardware(1e15, 1.2), "utilisation is a share of the peak, at most 1"),
        (lambda: bs.Hardware(0.0), "Hardware: peak"),
        (lambda: bs.Hardware(1e15, devices=-1), "Hardware: devices"),
        (lambda: bs.LossTarget(2.0, 1.0), "a probability below 1, since no run is certain"),
        (lambda: bs.LossTarget(0.0), "LossTarget: positive losses"),
        (lambda: bs.ServingDemand(1e12, prompt=-1), "ServingDemand: prompt"),
        (lambda: bs.ServingDemand(1e12, candidates=0), "ServingDemand: candidates"),
        (lambda: bs.DataWall(1e12, most_epochs=0.5), "most_epochs, at least 1"),
        (lambda: bs.DataWall(1e12, 4.0), r"repetition is a Repetition\(...\); found 4.0"),
        (lambda: bs.SizeLimits(2e9, 1e9), "smallest below largest"),
        (lambda: bs.ServingMemory(80e9, reserve=1.0), "reserve, a share of the memory"),
        (lambda: bs.StepLimit(1e6), "either steps, or days and seconds_per_step"),
        (lambda: bs.StepLimit(1e6, 1e4, 1, 1), "either steps, or days and seconds_per_step"),
        (lambda: bs.StepLimit(0.0, 1e4), "StepLimit: batch, positive tokens per step"),
        (lambda: bs.Deadline(0), "Deadline: positive days"),
        (lambda: bs.Shelf([1e9, 2e9], [1e10] * 3), "2 params and 3 tokens"),
        (lambda: bs.Shelf([1e9, 2e9], names=["a", "a"]), "every name once; found a, a"),
        (lambda: bs.Shelf.of_shapes([64, 128], [2]), "2 widths and 1 depths"),
    ],
)
def test_an_item_that_means_nothing_is_refused(make, says):
    if says is None:
        assert make().hours == (8.0,)  # a number in words is a number
        return
    with pytest.raises(SpecError, match=says):
        make()


def test_all_that_is_wrong_with_a_scenario_is_said_at_once(fit):
    with pytest.raises(SpecError) as error:
        bs.decide(fit, "cheap", bs.GpuBudget(8), bs.MoneyBudget(9), bs.Deadline(3), bs.Deadline(4))
    for part in ("'cheap' is no item", "Deadline is given more than once", "one budget is meant",
                 "GpuBudget(hours=(8.0,)) needs Hardware(..., peak=...)",
                 "MoneyBudget(dollars=(9.0,)) needs Hardware(..., dollars_per_hour=...)",
                 "needs Hardware(..., devices=...) beside it"):  # fmt: skip
        assert part in str(error.value)
    with pytest.raises(SpecError, match="nothing to spend and nothing to reach"):
        bs.decide(fit, bs.Shelf([1e9]))
    with pytest.raises(SpecError, match="with a target, one budget is the most"):
        bs.decide(fit, bs.LossTarget(2.0), bs.ComputeBudget([1e22, 1e23]))
    for wrong in ({"criterion": "best"}, {"level": 1.0}, {"flat": 0.0}):
        with pytest.raises(SpecError, match=next(iter(wrong))):
            bs.decide(fit, bs.ComputeBudget(1e22), **wrong)


# Published plans.


def test_rules_of_thumb(fit):
    rules = {"twenty": 20.0, "size": "kaplan-size", "this": (7e10, 1.4e12)}
    found = bs.decide(fit, bs.ComputeBudget(BUDGET), rules=rules).isel(budget=0)
    twenty, size, this = (found.sel(config=name) for name in rules)
    assert float(twenty.params) == pytest.approx(91.3e9, rel=1e-3)
    assert float(twenty.tokens) == pytest.approx(1.83e12, rel=3e-3)
    assert float(size.params) == pytest.approx(1.3e9 * (BUDGET / 8.64e19) ** 0.73, rel=1e-3)
    assert (float(this.params), float(this.tokens)) == (7e10, 1.4e12)
    assert found.kind.values.tolist()[-3:] == ["rule"] * 3
    assert str(found.choice.values) not in rules
    for wrong in ("kaplan-lr", (1, 2, 3), -20.0):
        with pytest.raises(SpecError, match="rules: "):
            bs.decide(fit, bs.ComputeBudget(BUDGET), rules={"wrong": wrong})
    with pytest.raises(SpecError, match="a name of its own"):
        bs.decide(fit, bs.ComputeBudget(BUDGET), bs.Shelf([1e9], names=["a"]), rules={"a": 20.0})


def test_the_published_waste_of_a_plan_by_parabolas():
    """Open Athena, arXiv:2603.22339: 16.1T tokens at 3.8e25 FLOP, where fewer were better.

    The size is rounded: 16.05T to 16.15T waste 6.15 to 6.31 %.
    """
    surface, budget, tokens = made(OPEN_ATHENA, 1, 0.0, 1e-9), 3.8e25, 16.1e12
    shelf = bs.Shelf([budget / 6 / tokens], [tokens], ["parabola"])
    found = bs.decide(surface, bs.ComputeBudget(budget), shelf, H100, rules={})
    share = float(found.wasted_share.sel(config="parabola")[0, 0, 0])
    assert share == pytest.approx(0.0623, abs=5e-5)
    assert H100.dollars(share * budget) == pytest.approx(1.33e6, abs=0.005e6)


# What being wrong costs.


def spent_for(paper, loss, served=0.0):
    """The least cost of training and serving that reaches a loss, on a fine grid of sizes."""
    least = (2 * paper["A"] / (loss - paper["E"])) ** (1 / paper["alpha"])
    params = least * np.geomspace(1 / 30, 30, 4001)
    left = loss - paper["E"] - paper["A"] * params ** -paper["alpha"]
    tokens = (paper["B"] / np.maximum(left, 1e-12)) ** (1 / paper["beta"])
    return (6 * params * tokens + 2 * params * served).min(axis=1)


def best_of(paper, budget):
    """The size of least loss and that loss, from a grid about the root of the budget."""
    params = np.sqrt(budget / 120) * np.geomspace(1 / 30, 30, 2001)
    loss = loss_of(paper, params, budget / 6 / params)
    i = loss.argmin(axis=1)
    return params[np.arange(len(i)), i], loss.min(axis=1)


def test_waste_is_what_the_same_loss_did_not_need(fit):
    paper = numbers_of(fit)
    shelf = bs.Shelf([2e10, 9e10, 3e11])
    found = bs.decide(fit, bs.ComputeBudget(BUDGET), shelf, rules={}).isel(budget=0)
    params = np.array(shelf.params)
    loss = loss_of(paper, params, BUDGET / 6 / params)
    np.testing.assert_allclose(flat_draws(found.loss), loss, rtol=1e-12)
    for i in range(3):
        waste = BUDGET - spent_for(paper, loss[:, [i]])  # the grid's own error is 1e-6
        got = flat_draws(found.wasted.isel(config=i))
        np.testing.assert_allclose(got, waste, atol=1e-5 * BUDGET)
    np.testing.assert_allclose(found.wasted_share, found.wasted / BUDGET, rtol=1e-12)
    size, least = best_of(paper, np.full((120, 1), BUDGET))
    np.testing.assert_allclose(flat_draws(found.params_opt), size, rtol=4e-3)
    np.testing.assert_allclose(flat_draws(found.excess), loss - least[:, None], atol=1e-6)


def test_waste_is_zero_at_a_draws_own_optimum(fit):
    for more in ((), (bs.ServingDemand(1e13),), (bs.DataWall(3e11),)):
        free = bs.decide(fit, bs.ComputeBudget(BUDGET), *more, rules={}).isel(budget=0)
        sizes = flat_draws(free.params_opt)[:8]
        there = bs.decide(fit, bs.ComputeBudget(BUDGET), *more, named(sizes), rules={})
        own = flat_draws(there.wasted_share.isel(budget=0))
        assert np.all(np.abs(own[np.arange(8), np.arange(8)]) < 1e-6)
        assert np.all(own >= 0)
        assert own.max() > 1e-5
        np.testing.assert_allclose(flat_draws(free.flops_opt), BUDGET, rtol=1e-9)


@pytest.mark.parametrize("more", [(), (bs.ServingDemand(1e13),), (bs.DataWall(3e11),)])
def test_the_flat_region_ends_where_the_share_is_wasted(fit, more):
    whole = bs.decide(fit, bs.ComputeBudget(BUDGET), *more, rules={}, flat=0.03).isel(budget=0)
    for end in ("flat_low", "flat_high"):
        sizes = flat_draws(whole[end])[:6]
        there = bs.decide(fit, bs.ComputeBudget(BUDGET), *more, named(sizes), rules={})
        share = flat_draws(there.wasted_share.isel(budget=0))
        np.testing.assert_allclose(share[np.arange(6), np.arange(6)], 0.03, rtol=2e-3)
    assert bool(
        (whole.flat_low < whole.params_opt).all() & (whole.flat_high > whole.params_opt).all()
    )


def test_the_flat_region_of_a_target_ends_where_the_share_is_wasted(fit):
    found = bs.decide(fit, bs.LossTarget(2.0), rules={}, flat=0.02).isel(target=0)
    paper = {k: v[:, 0] for k, v in numbers_of(fit).items()}
    for end in ("flat_low", "flat_high"):
        params = flat_draws(found[end])
        left = 2.0 - paper["E"] - paper["A"] * params ** -paper["alpha"]
        cost = 6 * params * (paper["B"] / left) ** (1 / paper["beta"])
        np.testing.assert_allclose(1 - flat_draws(found.flops_opt) / cost, 0.02, rtol=2e-3)


def test_choices_are_the_least_of_each_statistic():
    """Waste on a shelf, its mean, the mean of its worst tenth and its worst, all by hand."""
    fit, shelf, chosen = made(odd=8), named(np.geomspace(5e10, 4e11, 30)), {}
    for criterion, level in (("mean", 0.9), ("cvar", 0.9), ("cvar", 0.8), ("worst", 0.9)):
        found = bs.decide(fit, bs.ComputeBudget(BUDGET), shelf, criterion=criterion, level=level)
        found = found.isel(budget=0).sel(config=found.kind != "rule")
        waste = np.sort(flat_draws(found.wasted), axis=0)
        count = {"mean": 120, "cvar": round(120 * (1 - level)), "worst": 1}[criterion]
        by_hand = waste[-count:].mean(axis=0)
        np.testing.assert_allclose(found.score.sel(criterion=criterion), by_hand, rtol=1e-9)
        assert str(found.choice.values) == found.config.values[by_hand.argmin()]
        chosen[criterion, level] = str(found.choice.values)
    assert len(set(chosen.values())) > 1  # or criteria that are swapped would not be seen


def test_the_plan_without_a_shelf_is_the_best_size_of_all(fit):
    found = bs.decide(fit, bs.ComputeBudget(BUDGET), rules={}).isel(budget=0)
    tried = named(np.geomspace(0.5, 2.0, 41) * float(bs.plan_of(found).params))
    score = bs.decide(fit, bs.ComputeBudget(BUDGET), tried, rules={}).score.sel(criterion="mean")
    # The search takes the best of sizes that are a few percent apart.
    own = found.score.sel(criterion="mean", config=found.choice)
    assert 0 < float(own) <= float(score.min()) + 2e-4 * BUDGET


# Targets.


def tokens_that_meet(fit, params, target, p):
    """The p quantile over draws of the tokens that a run of known scatter needs: brute force."""
    paper = numbers_of(fit)
    left = target - paper["E"] - paper["A"] * params ** -paper["alpha"]
    tokens = (paper["B"] / np.where(left > 0, left, np.nan)) ** (1 / paper["beta"])
    return np.sort(np.where(left > 0, tokens, np.inf), axis=0)[int(np.ceil(p * (len(left) - 1)))]


def test_a_target_is_met_at_least_cost():
    quiet = made(sigma=1e-9)
    params = np.geomspace(1e10, 1e12, 4001)
    for p in (0.5, 0.9):
        tokens = tokens_that_meet(quiet, params, 2.0, p)
        cost = 6 * params * tokens
        plan = bs.plan_of(bs.decide(quiet, bs.LossTarget(2.0, p), rules={})).isel(target=0)
        assert float(plan.training) == pytest.approx(cost.min(), rel=5e-3)
        at = tokens_that_meet(quiet, float(plan.params), 2.0, p)
        assert float(plan.tokens) == pytest.approx(float(at[0]), rel=1e-6)


WALLS = [(), (bs.DataWall((2e11, 4e11, 8e11)),), (bs.ServingDemand(1e13),)]


@pytest.mark.parametrize("more", WALLS, ids=["alone", "wall", "served"])
@pytest.mark.parametrize("p", [0.5, 0.9])
def test_a_plan_meets_its_target_with_the_probability_asked_for(fit, more, p):
    found = bs.decide(fit, bs.LossTarget([2.05, 2.15], p), *more, rules={})
    meets = bs.plan_of(found).meets.values
    # The quantile is a draw's own, so one draw of 120 more than asked for, and never less.
    assert np.all((meets >= p - 1e-12) & (meets <= p + 1 / 120 + 1e-12))
    assert np.all(np.diff(bs.plan_of(found).training) < 0)  # a higher loss is the cheaper


def test_runs_scatter_and_certainty_has_a_price():
    """With one law and a scatter of runs, meeting is the scatter's quantile and no more."""
    wild = made(draws=1000, spread=0.0, sigma=0.01)
    plans = [bs.plan_of(bs.decide(wild, bs.LossTarget(2.1, p))).isel(target=0) for p in (0.5, 0.9)]
    law = [float(plan.loss[0, 0]) for plan in plans]
    # ln of the run over the law is 0.01 t_4; its 90 % quantile 1.533. 2,000 draws: five standard
    # errors of the quantile are 0.01 * 5 * sqrt(0.09 / 2000) / 0.078 = 0.0043 (density there).
    assert np.log(2.1 / law[0]) == pytest.approx(0.0, abs=0.0016)
    assert np.log(2.1 / law[1]) == pytest.approx(0.01533, abs=0.0043)
    assert float(plans[1].training) > 1.1 * float(plans[0].training)
    # Other draws of the scatter: five standard errors of a share of 2,000.
    assert float((plans[1].loss_run <= 2.1).mean()) == pytest.approx(0.9, abs=0.034)


def test_a_target_out_of_reach_says_what_is_in_reach(exact, fit):
    with pytest.raises(SpecError, match=r"with probability 0 at most.* more than 1\.817"):
        bs.decide(exact, bs.LossTarget(1.7))
    wall = bs.DataWall(1e10)  # worth 16.4 times as many tokens, and as large a model, at most
    with pytest.raises(SpecError, match=r"more than \d\.\d+") as error:
        bs.decide(exact, bs.LossTarget(2.0), wall)
    least = float(re.search(r"more than (\S+),", str(error.value))[1])
    p = BESIROGLU  # the size that 1e10 tokens feed has alpha A N^-alpha = beta B D^-beta
    fed = (p["alpha"] * p["A"] / (p["beta"] * p["B"] * 1e10 ** -p["beta"])) ** (1 / p["alpha"])
    assert least == pytest.approx(loss_of(p, 6.309743 * fed, 16.387756e10), abs=6e-4)
    bs.decide(exact, bs.LossTarget(least + 0.01), wall)
    floor = numbers_of(fit)["E"]
    with pytest.raises(SpecError, match=f"probability {np.mean(floor < 1.8):.2g}"):
        bs.decide(made(sigma=1e-9), bs.LossTarget(1.8))


# What cannot be built.


LIMITS = [  # 1e24 FLOP; the size that is just allowed, and on which side others are
    (bs.SizeLimits(largest=5e10), 5e10, "below"),
    (bs.SizeLimits(smallest=2e11), 2e11, "above"),
    (bs.ServingMemory(100e9), 4e10, "below"),  # 0.8 of it at 2 bytes
    (bs.ServingMemory(60e9, bytes_per_param=1.0, reserve=0.0), 6e10, "below"),
    (bs.StepLimit(4e6, steps=1e5), 1e24 / 6 / 4e11, "above"),
    (bs.StepLimit(4e6, days=10, seconds_per_step=8.64), 1e24 / 6 / 4e11, "above"),
    (bs.StepLimit(lambda n, d: 1e-5 * n + 0 * d, steps=1e5), np.sqrt(1e24 / 6), "above"),
    (bs.DataWall(4e11, most_epochs=1), 1e24 / 6 / 4e11, "above"),
    (bs.DataWall(4e11, most_epochs=2.5), 1e24 / 6 / 1e12, "above"),
    # Training takes what serving 1e13 tokens leaves: 2e23 FLOP in 2.34 days at this size.
    (bs.Deadline(2e23 / (1979e12 * 0.5 * 1000 * 86_400)), 4e10, "above"),
]


@pytest.mark.parametrize(("limit", "size", "side"), LIMITS, ids=lambda v: type(v).__name__)
def test_limits_bind_where_arithmetic_says(exact, limit, size, side):
    more = (H100, bs.ServingDemand(1e13)) if isinstance(limit, bs.Deadline) else ()
    both = named([size * (1 - 1e-6), size * (1 + 1e-6)])
    found = bs.decide(exact, bs.ComputeBudget(BUDGET), limit, *more, both, rules={}).isel(budget=0)
    assert found.allowed.values.tolist() == [side == "below", side == "above"]
    assert str(found.choice.values) == ("no. 0" if side == "below" else "no. 1")
    # Without a shelf the plan is at the limit, from the side that is allowed.
    plan = bs.plan_of(bs.decide(exact, bs.ComputeBudget(BUDGET), limit, *more, rules={}))
    over = float(np.log(plan.params.isel(budget=0) / size)) * (1 if side == "above" else -1)
    assert -1e-9 <= over < 0.1  # the search's own fineness, away from the best size
    assert float(plan.wasted_share.max()) > 1e-3  # measured against what is free of the limit


def test_a_scenario_that_allows_nothing_says_what_rules_out_what_and_by_how_much(exact):
    scenario = (bs.ComputeBudget(BUDGET), bs.Shelf([1e11, 2e11]))
    with pytest.raises(SpecError) as error:
        bs.decide(exact, *scenario, bs.SizeLimits(largest=5e10), bs.StepLimit(1e6, 1e3))
    for part in ("nothing from 100B to 200B parameters is allowed with budget 1e+24",
                 "rules out 2 of 2 sizes, using 2 to 4 times what there is",
                 "rules out 2 of 2 sizes, using 833 to 1.67e+03 times"):  # fmt: skip
        assert part in str(error.value)
    with pytest.raises(SpecError, match="serving alone rules out 2 of 2 sizes, using 2 to 4 times"):
        bs.decide(exact, *scenario, bs.ServingDemand(1e13))
    with pytest.raises(SpecError, match="the budget of 1e20 FLOP rules out"):
        bs.decide(exact, bs.LossTarget(2.0), bs.ComputeBudget(1e20))


# Shelves, serving, walls, several cases.


def test_whole_configurations_need_no_budget(fit):
    shelf = bs.Shelf([7e10, 2e10], [1.4e12, 1e12], ["large", "small"])
    found = bs.decide(fit, shelf, bs.ServingDemand(1e12), H100)
    assert found.config.values.tolist() == ["large", "small"]
    assert set(found.allowed.dims) == {"config"}
    np.testing.assert_allclose(found.training, [5.88e23, 1.2e23], rtol=1e-12)
    np.testing.assert_allclose(found.serving, [1.4e23, 4e22], rtol=1e-12)
    hours = np.array([7.28e23, 1.6e23]) / (1979e12 * 0.5 * 3600)
    np.testing.assert_allclose(found.dollars, 2 * hours, rtol=1e-12)
    np.testing.assert_allclose(found.days, found.training / (1979e12 * 0.5 * 1e3 * 86_400))
    paper = numbers_of(fit)
    loss = loss_of(paper, np.array(shelf.params), np.array(shelf.tokens))
    np.testing.assert_allclose(flat_draws(found.loss), loss, rtol=1e-12)
    for i in range(2):
        needed = spent_for(paper, loss[:, [i]], 1e12)
        waste = float(found.training[i] + found.serving[i]) - needed
        got = flat_draws(found.wasted.isel(config=i))
        np.testing.assert_allclose(got, waste, atol=1e-5 * 7e23)
    # A budget beside them counts what a configuration leaves of it as wasted.
    rich = bs.decide(fit, shelf, bs.ServingDemand(1e12), bs.ComputeBudget(1e24), rules={})
    more = flat_draws(rich.wasted.isel(budget=0)) - flat_draws(found.wasted)
    np.testing.assert_allclose(more, 1e24 - np.array([7.28e23, 1.6e23]) + 0 * more, rtol=1e-6)


def test_the_tokens_of_a_plan_are_cut_by_expected_demand(fit):
    certain = bs.ServingDemand(1e12, prompt=3, candidates=2, price=1.5)  # 7.5e12 forward passes
    found = bs.decide(fit, bs.ComputeBudget(BUDGET), bs.Shelf([2e10]), certain, rules={})
    assert float(found.tokens.squeeze()) == pytest.approx((1e24 - 2 * 2e10 * 7.5e12) / 1.2e11)
    unsure = bs.ServingDemand(Prior.of("LogNormal", median=1e13, sigma=0.5))
    found = bs.decide(fit, bs.ComputeBudget(BUDGET), bs.Shelf([2e10]), unsure, rules={})
    expected = float(found.serving.squeeze()) / 4e10
    # Mean 1e13 exp(0.125); 120 draws of relative sd 0.53: 0.25 is five standard errors.
    assert expected == pytest.approx(1e13 * np.exp(0.125), rel=0.25)
    assert float(found.tokens.squeeze()) == pytest.approx((1e24 - 4e10 * expected) / 1.2e11)
    assert float(found.flops.mean()) == pytest.approx(1e24, rel=1e-9)
    assert float(found.flops.std()) > 1e22


def test_a_wall_that_is_far_away_changes_nothing_and_a_near_one_much(fit):
    free, far, near = (
        bs.plan_of(bs.decide(fit, bs.ComputeBudget(BUDGET), *wall, rules={})).isel(budget=0)
        for wall in ((), (bs.DataWall(1e15),), (bs.DataWall(1e11),))
    )
    assert float(far.params) == pytest.approx(float(free.params), rel=1e-3)
    np.testing.assert_allclose(far.loss_opt, free.loss_opt, rtol=1e-12)
    assert bool((near.loss_opt > free.loss_opt + 0.01).all())
    free = bs.DataWall(1e11, Repetition(np.inf, np.inf))  # repeats as good as new
    again = bs.plan_of(bs.decide(fit, bs.ComputeBudget(BUDGET), free, rules={})).isel(budget=0)
    np.testing.assert_allclose(again.loss_opt, far.loss_opt, rtol=1e-9)


def test_several_budgets_at_once_are_each_alone(fit):
    items = (bs.ServingDemand((1e12, 2e12, 4e12)), bs.DataWall((1e11, 1e12, 1e13)))
    both = bs.decide(fit, bs.ComputeBudget([1e22, 1e24]), *items)
    for i, budget in enumerate((1e22, 1e24)):
        alone = bs.decide(fit, bs.ComputeBudget(budget), *items).isel(budget=0)
        for name in ("params", "tokens", "wasted", "params_opt", "flat_high", "score"):
            np.testing.assert_allclose(both[name].isel(budget=i), alone[name], rtol=1e-9)
    assert bs.plan_of(both).tokens.dims == ("budget",)
    assert bs.plan_of(both).params.values.tolist() == [
        float(both.params.isel(budget=i).sel(config=both.choice.values[i])) for i in range(2)
    ]


def test_a_group_of_a_pooled_model_is_planned_as_if_alone(fit):
    model = bs.ScalingModel(LAW, pooling=bs.Pooling("arch"))
    draws = {p.name: fit["posterior"][p.name].values for p in model.params}
    each = {f"{k}_group": draws[k][..., None] * [1.0, 1.2] for k in ("E", "a0", "b0")}
    dims = dict.fromkeys(each, ("arch",))
    posterior = dataset({**draws, **each}, dims, {"arch": ["dense", "moe"]})
    pooled = tree({"posterior": posterior}, model, sampling=[], refusals=[])
    ask = (bs.ComputeBudget(BUDGET), bs.Shelf([5e10, 9e10]), bs.ServingDemand(1e12))
    alone = bs.decide(fit, *ask, rules={})
    dense, moe = (bs.decide(pooled, *ask, rules={}, group=g) for g in ("dense", "moe"))
    np.testing.assert_allclose(dense.wasted, alone.wasted, rtol=1e-9)
    np.testing.assert_allclose(moe.loss, 1.2 * alone.loss, rtol=1e-12)


def test_a_law_of_valleys_plans_training_and_nothing_else():
    model = bs.ScalingModel(IsoFlop())
    prior = bs.sample_prior(model, bs.load_dataset("nine-runs"), draws=200)
    found = bs.decide(prior, bs.ComputeBudget(1e21), bs.Shelf([1e9, 3e9]), rules={})
    best = bs.allocate(prior, 1e21)
    np.testing.assert_allclose(found.params_opt, best.params_opt, rtol=1e-9)
    assert bool((found.loss >= best.loss_opt - 1e-9).all() & (found.wasted >= 0).all())
    with pytest.raises(SpecError, match="fit a joint law"):
        bs.decide(prior, bs.ComputeBudget(1e21), bs.ServingDemand(1e12))


# In words.


def test_a_fit_that_failed_warns_and_the_sentence_says_so():
    bad = made(sampling=[["k-hat", "FAIL", "k-hat 1.30", "fit with nuts"]])
    with pytest.warns(UntrustedFitWarning, match=r"k-hat 1\.30"):
        found = bs.decide(bad, bs.ComputeBudget(1e22))
    assert bs.sentence(found).endswith("the fit is not to be trusted (k-hat: k-hat 1.30).")


def test_a_sentence_says_plan_loss_waste_and_rule():
    shelf = bs.Shelf([7e10, 3e11], names=["a", "b"])
    one = made(draws=500, spread=0.0, sigma=0.004)
    found = bs.decide(one, bs.ComputeBudget(1e24), shelf, H100, rules={"20:1": 20.0})
    said = bs.sentence(found)
    waste = float(found.wasted_share.sel(config="a").mean())
    for part in ("With 1e24 FLOP: train 70.0B on 2.38T tokens", "561,", "dollars", "11.7 days",
                 f"wasting more than {100 * waste:.2g} % of the compute",
                 "20:1 would be within 1 % with probability 1.00",
                 "2.0 decades beyond the runs"):  # fmt: skip
        assert part in said, said
    loss, low, high = map(float, re.search(r"loss (\S+) \[(\S+), (\S+)\]", said).groups())
    assert loss == pytest.approx(1.9608, abs=6e-4)
    # 90 % of 0.004 t_4, whose 95 % quantile is 2.13; 1,000 draws: 25 % is five standard errors.
    assert high - low == pytest.approx(2 * 2.13 * 0.004 * loss, rel=0.25)
    target = bs.sentence(bs.decide(one, bs.LossTarget([2.05, 2.1]), rules={})).split("\n")
    assert [line[:27] for line in target] == [
        "To measure at most 2.050 wi",
        "To measure at most 2.100 wi",
    ]


def test_a_table_has_a_row_for_every_configuration(fit):
    found = bs.decide(fit, bs.ComputeBudget([1e22, 1e24]), bs.Shelf([2e9, 8e10]), H100, flat=0.02)
    table = bs.plan_table(found)
    assert table.index.names == ["budget", "config"]
    assert table["plan"].groupby("budget").sum().tolist() == [1, 1]
    for budget in (1e22, 1e24):
        for config in found.config.values:
            row, there = table.loc[(budget, config)], found.sel(budget=budget, config=config)
            assert row["params"] == float(there.params)
            assert row["plan"] == (config == str(there.choice.values))
            assert row["dollars"] == pytest.approx(H100.dollars(float(there.training)))
            assert row["wasted"] == pytest.approx(float(there.wasted_share.mean()))
            assert row["within"] == float((there.wasted_share <= 0.02).mean())
            for column, values, q in (("loss_low", there.loss_run, 0.05),
                                      ("loss_high", there.loss_run, 0.95),
                                      ("wasted_95", there.wasted_share, 0.95)):  # fmt: skip
                assert row[column] == pytest.approx(np.quantile(values, q), rel=1e-9)
    one = bs.plan_table(bs.decide(fit, bs.Shelf([2e9, 8e10], [1e11, 1e12]), rules={}))
    assert one.index.name == "config"
    for ask in (bs.sentence, bs.plan_table):
        with pytest.raises(SpecError, match="a decision is wanted"):
            ask(bs.allocate(fit, 1e22))
