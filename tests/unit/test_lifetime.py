"""Training and serving together, and the data wall, against closed forms and brute force."""

import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling.decision._problem import Problem
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import Chinchilla, IsoFlop, KaplanND, Repetition
from bayes_scaling.param import Prior
from bayes_scaling.results import dataset, tree, with_derived

SAMPLES = ("chain", "draw")
BESIROGLU = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
LAW = Chinchilla(reference=(("params", 1e9), ("tokens", 2e10)))
NESTED = Chinchilla(nested=True, reference=LAW.reference)
COUNT = 10_000


def made(paper, draws=2, sigma=1e-9, spread=0.0):
    """A fit by hand: draws about a published point."""
    rng = np.random.default_rng(0)
    centre = {**LAW.from_paper(paper), "sigma": sigma, "nu": 4.0}
    theta = {k: v * np.exp(spread * rng.standard_normal((1, draws))) for k, v in centre.items()}
    model = bs.ScalingModel(LAW)
    return tree({"posterior": with_derived(model, dataset(theta))}, model, method="laplace",
                seed=0, sampling=[], refusals=[], largest={"flops": 1e22})  # fmt: skip


@pytest.fixture(scope="module")
def exact():
    return made(BESIROGLU)


@pytest.fixture(scope="module")
def hoffmann():
    return bs.load_posterior("chinchilla-hoffmann").isel(draw=slice(0, 1))


@pytest.fixture(scope="module")
def fit():
    return bs.load_posterior("chinchilla")


# The problem under random laws.


def random_laws(count=COUNT, nested=False, seed=0):
    """Draws of the law and of budgets, wider than any posterior: (draw, 1, 1) arrays."""
    rng = np.random.default_rng(seed)
    ends = {"E": (1.0, 2.5), "alpha": (0.15, 0.6), "beta": (0.15, 0.6)}
    ends |= {"q": (0.4, 1.4)} if nested else {}
    theta = {k: rng.uniform(*v, (count, 1, 1)) for k, v in ends.items()}
    theta |= {k: 0.3 * np.exp(0.6 * rng.standard_normal((count, 1, 1))) for k in ("a0", "b0")}
    return theta, np.exp(rng.uniform(np.log(1e20), np.log(1e27), (count, 1, 1)))


def imbalance(theta, params, tokens, served):
    """What is zero at the optimum: ln of alpha u over beta v (1 + T / 3D), u and v the terms."""
    q = theta.get("q", 1.0)
    u = np.log(theta["alpha"]) + (np.log(theta["a0"]) - theta["alpha"] * np.log(params / 1e9)) / q
    v = np.log(theta["beta"]) + (np.log(theta["b0"]) - theta["beta"] * np.log(tokens / 2e10)) / q
    return u - v - np.log1p(served / (3 * tokens))


def bisected(theta, cost, served):
    """The size that balances a lifetime cost, to rounding."""
    low = np.full_like(cost, np.log(1.0))
    high = np.log(np.minimum(cost / np.maximum(2 * served, 1e-9), cost / 6) * (1 - 1e-12))
    for _ in range(100):
        middle = 0.5 * (low + high)
        tokens = (cost / np.exp(middle) - 2 * served) / 6
        small = imbalance(theta, np.exp(middle), tokens, served) > 0
        low, high = np.where(small, middle, low), np.where(small, high, middle)
    return np.exp(low)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("demand", [0.0, 1e-9, 0.1, 1.0, 10.0, 30.0])
def test_the_search_finds_the_lifetime_optimum_and_its_dual(demand, nested):
    """Demand as a multiple of the tokens that training alone asks for: 10,000 laws each."""
    theta, cost = random_laws(nested=nested)
    law = NESTED if nested else LAW
    plain = Problem(law, theta).best(cost)
    served = demand * plain[1]
    problem = Problem(law, theta, served)
    params, tokens = problem.best(cost)
    found = plain[0] if demand < 1e-6 else bisected(theta, cost, served)
    np.testing.assert_allclose(np.log(params), np.log(found), atol=1e-6)
    np.testing.assert_allclose(problem.cost(params, tokens), cost, rtol=1e-12)
    # Where serving takes most, tokens move by far more than the size does.
    balance = np.abs(imbalance(theta, params, tokens, served)).max()
    assert balance < (1e-6 if demand <= 1 else 1e-4)
    loss = problem.loss(params, tokens)
    size, data = problem.cheapest(loss)
    np.testing.assert_allclose(np.log(size), np.log(found), atol=1e-6)
    np.testing.assert_allclose(problem.cost(size, data), cost, rtol=1e-9)
    np.testing.assert_allclose(problem.loss(size, data), loss, rtol=1e-9)
    # What waste is measured by: rougher in size, which is the square of that in cost.
    rough = np.abs(problem.least_cost(loss) / cost - 1)
    assert np.median(rough) < 1e-7
    assert rough.max() < (2e-5 if demand <= 10 else 5e-4)


def test_demand_beyond_the_budget_of_the_plain_size_leaves_a_smaller_one():
    """1e24 FLOP that serve 1e14 tokens: the plain optimum could not even be served."""
    theta = {k: np.full((1, 1, 1), v) for k, v in LAW.from_paper(BESIROGLU).items()}
    for served in (3e13, 1e14, 1e16):
        grid = np.geomspace(1e24 / 2 / served / 100, 1e24 / 2 / served, 200_001)[:-1]
        loss = LAW(LAW.from_paper(BESIROGLU), {"params": grid,
                   "tokens": (1e24 / grid - 2 * served) / 6})  # fmt: skip
        params, _ = Problem(LAW, theta, np.full((1, 1, 1), served)).best(np.full((1, 1, 1), 1e24))
        assert params.item() == pytest.approx(grid[loss.argmin()], rel=1e-4)


def test_more_demand_means_a_smaller_model_on_more_tokens_in_every_draw(fit):
    plan = bs.lifetime(fit, [1e9, 1e11, 1e12, 1e13, 1e15], loss=2.05)
    assert bool((plan.params.diff("served") < 0).all())
    assert bool((plan.tokens.diff("served") > 0).all())
    assert bool((plan.params <= plan.params_trained * (1 + 1e-6)).all())
    assert bool((plan.saving > -1e-9).all() & (plan.saving.diff("served") > 0).all())
    np.testing.assert_allclose(plan.flops, plan.training + plan.serving, rtol=1e-12)
    np.testing.assert_allclose(plan.serving, 2 * plan.params * plan.served, rtol=1e-12)
    spent = bs.lifetime(fit, [1e9, 1e11, 1e12, 1e13], budget=1e24)
    assert bool((spent.params.diff("served") < 0).all() & (spent.loss.diff("served") > 0).all())
    np.testing.assert_allclose(spent.flops, 1e24, rtol=1e-9)


def test_walls_against_a_fine_grid():
    theta, cost = random_laws(300)
    plain, rng = Problem(LAW, theta).best(cost), np.random.default_rng(1)
    unique = plain[1] * np.exp(rng.uniform(-4, 1, cost.shape))
    for served in (0.0, plain[1]):
        problem = Problem(LAW, theta, served, unique, Repetition())
        params, tokens = problem.best(cost)
        loss = problem.loss(params, tokens)
        grid = plain[0] * np.geomspace(1e-3, 1e3, 4001)
        least = problem.loss(grid, problem.tokens_for(cost, grid)).min(axis=-1, keepdims=True)
        reducible = least - theta["E"]
        assert np.all((loss - least) / reducible < 1e-9)
        # Where repeats are all but worthless (200 of them) cost is no function of loss in float64.
        steady = tokens < 200 * unique
        again = np.where(steady, problem.cost(*problem.cheapest(loss)), cost)
        np.testing.assert_allclose(again, cost, rtol=1e-5)
    far = Problem(LAW, theta, 0.0, 1e4 * plain[1], Repetition()).best(cost)
    np.testing.assert_allclose(np.log(far[0]), np.log(plain[0]), atol=1e-6)


def test_a_loss_that_nothing_reaches_costs_infinitely_much():
    theta, _ = random_laws(100)
    served, unique = np.full((100, 1, 1), 1e12), np.full((100, 1, 1), 1e9)
    for problem in (Problem(LAW, theta), Problem(LAW, theta, served)):
        assert np.isinf(problem.least_cost(theta["E"] * 0.99)).all()
        assert np.isfinite(problem.least_cost(theta["E"] + 0.05)).all()
    # A few unique tokens leave a floor of their own.
    walled = Problem(LAW, theta, 0.0, unique, Repetition())
    floor = walled.loss(np.inf, np.inf)
    assert np.all(floor > theta["E"])
    assert np.isinf(walled.least_cost(floor - 1e-6)).all()


@pytest.mark.parametrize("law", [LAW, NESTED, KaplanND(reference=LAW.reference)], ids=str)
def test_tokens_to_a_loss(law):
    theta, _ = random_laws(200, nested=True)
    theta = {p.name: theta[p.name] for p in law.params}
    x = {"params": np.geomspace(1e8, 1e12, 7), "tokens": np.geomspace(1e12, 1e9, 7)}
    tokens = law.tokens_to(theta, law(theta, x), x["params"])
    np.testing.assert_allclose(np.log(tokens), np.log(x["tokens"] + 0 * tokens), atol=1e-6)
    alone = law(theta, {"params": 1e9, "tokens": np.inf})  # what no data bring a size below
    assert np.isinf(law.tokens_to(theta, alone * (1 - 1e-9), 1e9)).all()
    assert np.isfinite(law.tokens_to(theta, alone * (1 + 1e-3), 1e9)).all()


def test_a_law_without_isoquants_is_refused_with_what_to_do():
    prior = bs.sample_prior(bs.ScalingModel(IsoFlop()), bs.load_dataset("nine-runs"), draws=4)
    with pytest.raises(SpecError, match="fit a joint law"):
        bs.lifetime(prior, 1e12, loss=2.0)


# Published figures.


CASES = [(30e9, 5e12, 16.8e9, 3.40e12, 0.15), (70e9, 1e13, 42.5e9, 8.28e12, 0.11),
         (7e9, 1e11, 6.05e9, 0.344e12, None)]  # fmt: skip


@pytest.mark.parametrize(("like", "served", "params", "tokens", "saving"), CASES)
def test_sardanas_cases_with_hoffmanns_coefficients(hoffmann, like, served, params, tokens, saving):
    plan = bs.lifetime(hoffmann, served, like=like).isel(chain=0, draw=0, served=0)
    assert float(plan.params) == pytest.approx(params, rel=0.01)
    assert float(plan.tokens) == pytest.approx(tokens, rel=0.01)
    assert float(plan.params_trained) == pytest.approx(like, rel=1e-6)
    assert float(plan.overtraining) == pytest.approx(tokens / params / 20, rel=0.02)
    if saving:
        assert float(plan.saving) == pytest.approx(saving, abs=5e-3)


@pytest.mark.parametrize(
    ("like", "served", "params", "saving"),
    [(30e9, 5e12, 13.7e9, 0.31), (70e9, 1e13, 32.8e9, 0.29)],
)
def test_the_refit_advises_much_smaller_models(exact, like, served, params, saving):
    plan = bs.lifetime(exact, served, like=like).isel(chain=0, draw=0, served=0)
    assert float(plan.params) == pytest.approx(params, rel=5e-3)
    assert float(plan.saving) == pytest.approx(saving, abs=5e-3)


def test_break_even():
    even = bs.break_even((70e9, 1.4e12), (30e9, 4e12))
    assert float(even.served) == pytest.approx(1.65e12, rel=1e-12)
    cost = [6 * n * d + 2 * n * float(even.served) for n, d in ((70e9, 1.4e12), (30e9, 4e12))]
    assert cost[0] == pytest.approx(cost[1], rel=1e-12)
    assert float(bs.break_even((70e9, 1.4e12), (30e9, 1e12)).served) == 0.0
    with pytest.raises(SpecError, match="small is to be smaller"):
        bs.break_even((30e9, 4e12), (70e9, 1.4e12))
    with pytest.raises(SpecError, match="large: params and tokens, two positive numbers"):
        bs.break_even((70e9,), (30e9, 4e12))


def test_break_even_of_models_that_are_equally_good(fit):
    even = bs.break_even((70e9, 1.4e12), (30e9, 4e12), fit=fit)
    low, middle, high = even.quantile([0.025, 0.5, 0.975], SAMPLES).tokens.values
    # Another posterior of the same runs; the card's 4,000 draws: medians to 1 %, ends to 3 %.
    assert (low, middle, high) == pytest.approx((4.0e12, 4.9e12, 6.4e12), rel=0.03)
    served = even.quantile([0.025, 0.5, 0.975], SAMPLES).served.values
    assert served[1] == pytest.approx(3.6e12, rel=0.03)
    assert served[[0, 2]] == pytest.approx([1.6e12, 7.0e12], rel=0.06)
    hopeless = bs.break_even((70e9, 1e15), (1e9, 1.0), fit=fit)
    assert np.isinf(hopeless.served).all()


def test_the_demand_that_a_plan_implies_is_what_makes_it_cheapest(fit):
    plan = bs.lifetime(fit, 3e12, loss=2.0)
    for draw in (0, 500):
        one = plan.isel(chain=0, draw=draw, served=0)
        implied = bs.implied_demand(fit, float(one.params), float(one.tokens))
        assert float(implied.served[0, draw]) == pytest.approx(3e12, rel=1e-4)
    large = bs.implied_demand(fit, 1e12, 1e11).served
    assert bool((large < 0).all())


def test_a_known_demand_an_even_chance_and_one_law_are_the_plain_lifetime_problem(exact):
    plan = bs.lifetime(exact, 1e13, loss=2.0).isel(chain=0, draw=0, served=0)
    target = bs.LossTarget(2.0, probability=0.5)
    chosen = bs.decide(exact, target, bs.ServingDemand(1e13), rules={}).isel(target=0)
    chosen = bs.plan_of(chosen)
    assert float(chosen.params) == pytest.approx(float(plan.params), rel=0.02)
    assert float(chosen.tokens) == pytest.approx(float(plan.tokens), rel=0.02)
    spent = float(chosen.training + chosen.serving)
    assert float(plan.flops) * (1 - 1e-6) <= spent <= float(plan.flops) * 1.0005


def test_an_uncertain_demand_is_drawn_and_a_wall_is_minded(fit):
    demand = bs.ServingDemand((1e12, 1e13, 1e14), prompt=1.0)
    plan = bs.lifetime(fit, demand, loss=2.05).isel(served=0)
    passes = (plan.serving / plan.params / 2).values.ravel()
    # 4,000 draws: five standard errors of a share of a half are 0.04.
    assert np.mean(passes < 2e13) == pytest.approx(0.5, abs=0.04)
    order = np.corrcoef(np.log(passes), np.log(plan.params.values.ravel()))[0, 1]
    assert order < -0.9
    walled = bs.lifetime(fit, 1e12, loss=2.05, wall=bs.DataWall(2e11)).isel(served=0)
    free = bs.lifetime(fit, 1e12, loss=2.05).isel(served=0)
    assert bool((walled.flops > free.flops * 1.01).all())
    assert bool((walled.saving >= -1e-9).all())


@pytest.mark.parametrize("given", [{}, {"loss": 2.0, "like": 1e9}, {"loss": "low"}, {"like": -1.0}])
def test_one_positive_aim_is_wanted(fit, given):
    with pytest.raises(SpecError, match=r"one of loss, like and budget is wanted|one positive num"):
        bs.lifetime(fit, 1e12, **given)
    with pytest.raises(SpecError, match="served: positive tokens"):
        bs.lifetime(fit, [1e12, -1.0], loss=2.0)


# The data wall.


def test_how_likely_the_stock_is_passed(fit):
    budgets = [1e27, 1e28, 5e28, 1e29, 1e30]
    wall = bs.data_wall(fit, budgets)
    np.testing.assert_allclose(wall.exceeds, [0.007, 0.17, 0.55, 0.72, 0.98], atol=0.03)
    asked = wall.tokens.isel(budget=2).quantile([0.025, 0.5, 0.975])
    np.testing.assert_allclose(asked, [2.3e14, 3.5e14, 5.4e14], rtol=0.05)
    # A stock of 4,000 draws: ln sd 0.7 to five standard errors, and its share by hand.
    there = np.log(wall.stock)
    assert float(there.std()) == pytest.approx(0.7, abs=0.04)
    by_law = np.log(wall.tokens).var(SAMPLES)
    np.testing.assert_allclose(wall.law_share, by_law / (by_law + there.var()), rtol=1e-9)
    more = bs.data_wall(fit, 1e28, overtraining=3.0)
    np.testing.assert_allclose(more.tokens.isel(budget=0), 3 * wall.tokens.isel(budget=1))
    sure = bs.data_wall(fit, [1e28], 1e14)
    share = float((bs.allocate(fit, 1e28).tokens_opt > 1e14).mean())
    assert float(sure.exceeds[0]) == share


def test_the_year_of_the_wall(exact):
    """One law and one stock: D* passes S at C = 6 N D with the size that S tokens feed."""
    p, stock = BESIROGLU, 1e14
    fed = (p["alpha"] * p["A"] / (p["beta"] * p["B"] * stock ** -p["beta"])) ** (1 / p["alpha"])
    flops = 6 * fed * stock
    found = bs.wall_year(exact, 4.0, since=2024.5, flops=4e25, stock=stock)
    np.testing.assert_allclose(found.flops, flops, rtol=1e-6)
    np.testing.assert_allclose(found.year, 2024.5 + np.log(flops / 4e25) / np.log(4), atol=1e-6)
    with pytest.raises(SpecError, match="growth: a factor per year, above 1"):
        bs.wall_year(exact, 0.9, since=2024.5, flops=4e25)


def test_a_year_is_as_uncertain_as_growth_and_stock():
    one = made(BESIROGLU, draws=500)
    found = bs.wall_year(one, Prior.of("LogNormal", median=1.1, sigma=0.3), since=2024, flops=4e25)
    growing = float(np.isfinite(found.year).mean())
    # P(growth > 1) = Phi(ln 1.1 / 0.3) = 0.625; 500 draws: five standard errors are 0.11.
    assert growing == pytest.approx(0.625, abs=0.11)
    assert float(np.log(found.flops).std()) > 0.5
