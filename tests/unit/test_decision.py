"""Plans, targets and predictions, against closed forms and against each other."""

import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import Chinchilla
from bayes_scaling.param import Prior
from bayes_scaling.results import model_of, theta_of

BESIROGLU = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
SAMPLES = ("chain", "draw")


@pytest.fixture(scope="module")
def exact():
    """A "fit" whose draws are one published point: every answer has a closed form."""
    law = Chinchilla(reference=(("params", 1e9), ("tokens", 2e10)))
    fixed = {k: Prior.of("Fixed", value=v) for k, v in law.from_paper(BESIROGLU).items()}
    noise = {"sigma": Prior.of("Fixed", value=0.01), "nu": Prior.of("Fixed", value=4.0)}
    return bs.sample_prior(bs.ScalingModel(law, priors={**fixed, **noise}), draws=2000)


@pytest.fixture(scope="module")
def fit():
    return bs.load_posterior("chinchilla")


def test_the_published_optimum(exact):
    # N*, D*/N* and L* at the Gopher budget from the unrounded coefficients (relative 1e-3).
    plan = bs.allocate(exact, [5.76e23, 1e21, 3.8e25]).isel(chain=0, draw=0)
    np.testing.assert_allclose(plan.params_opt, [7.225e10, 2.778e9, 6.187e11], rtol=1e-3)
    np.testing.assert_allclose(plan.tokens_per_param, [18.39, 21.59, 16.55], rtol=1e-3)
    np.testing.assert_allclose(plan.loss_opt, [1.9744, 2.3055, 1.8917], rtol=1e-4)


def test_a_plan_spends_its_budget_and_no_other_split_is_better(fit):
    budget = np.array([1e21, 1e24])
    plan = bs.allocate(fit, budget)
    np.testing.assert_allclose(6 * plan.params_opt * plan.tokens_opt, 0 * plan.loss_opt + budget)
    law = model_of(fit).law
    for factor in (0.5, 0.97, 1.03, 2.0):
        x = {"params": plan.params_opt * factor, "tokens": plan.tokens_opt / factor}
        assert bool((law(theta_of(fit), x) > plan.loss_opt).all())


def test_compute_to_reach_inverts_the_plan(fit):
    need = bs.compute_to_reach(fit, [2.2, 2.0])
    assert need.reachable.values.tolist() == [1.0, 1.0]
    for target in need.target.values:
        here = need.sel(target=target).isel(draw=slice(0, 50))
        for chain in range(2):
            for draw in (0, 20, 49):
                spent = float(here.flops[chain, draw])
                back = bs.allocate(fit, spent).loss_opt[chain, draw, 0]
                assert float(back) == pytest.approx(target, abs=1e-9)


def test_a_loss_below_the_floor_is_out_of_reach(fit, exact):
    assert float(bs.compute_to_reach(exact, 1.80).reachable[0]) == 0.0
    assert np.isinf(bs.compute_to_reach(exact, 1.80).flops).all()
    floor = fit["posterior"]["E"]
    target = float(floor.median())
    got = bs.compute_to_reach(fit, target)
    below = float((floor < target).mean())
    assert float(got.reachable[0]) == pytest.approx(below, abs=1e-3)
    table = bs.intervals(got[["flops"]], (0.1, 0.9))
    assert np.isfinite(table[0.1].iloc[0])
    assert np.isinf(table[0.9].iloc[0])


def test_iso_loss_agrees_with_prediction(fit):
    curve = bs.iso_loss(fit, 2.1, [5e9, 5e10])
    there = curve.isel(draw=0, chain=0)
    for i, params in enumerate([5e9, 5e10]):
        tokens = float(there.tokens[i])
        if np.isfinite(tokens):
            back = bs.predict(fit, {"params": params, "tokens": tokens})
            assert float(back.loss_mean[0, 0, 0]) == pytest.approx(2.1, abs=1e-9)
    assert np.isfinite(there.tokens).any()


def test_a_new_run_scatters_about_the_law(exact):
    there = bs.predict(exact, {"params": 70e9, "tokens": 1.4e12})
    assert float(there.loss_mean[0, 0, 0]) == pytest.approx(1.9739, abs=5e-5)
    gap = np.log(there.loss_run / there.loss_mean).values.ravel()
    # The 80 % range of t_4, times sigma; 2,000 draws: relative sd 3 %, so 15 % is five of them.
    assert np.subtract(*np.quantile(gap, [0.9, 0.1])) == pytest.approx(0.01 * 2 * 1.533, rel=0.15)


def test_a_run_table_can_be_predicted_as_it_is(fit):
    runs = bs.load_dataset("simulated-chinchilla")
    assert runs["flag"].dtype == object or str(runs["flag"].dtype).startswith("str")
    whole = bs.predict(fit, runs)
    sizes = bs.predict(fit, runs[["params", "tokens"]])
    np.testing.assert_array_equal(whole.loss_mean, sizes.loss_mean)
    assert "flag" not in whole.coords


def test_words_are_no_sizes(fit):
    with pytest.raises(SpecError, match=r"params: numbers wanted.*found '7B'"):
        bs.predict(fit, {"params": "7B", "tokens": 1e12})


def test_points_broadcast_and_say_how_far_out_they_are(fit):
    there = bs.predict(fit, {"params": 70e9, "tokens": [1e10, 1.4e12]})
    assert there.loss_mean.dims == (*SAMPLES, "point")
    np.testing.assert_allclose(there.flops, 6 * 70e9 * np.array([1e10, 1.4e12]))
    assert float(there.beyond[0]) == 0.0
    assert float(there.beyond[1]) == pytest.approx(np.log10(5.88e23 / 1.2962e22), abs=0.01)


def test_predictions_repeat(fit):
    at = {"params": 1e9, "tokens": 1e10}
    first, again, other = (bs.predict(fit, at, seed=s).loss_run.values for s in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_prior_draws_do_not_build_the_ratio_in():
    runs = bs.load_dataset("nine-runs")
    plan = bs.allocate(bs.sample_prior(bs.ScalingModel(), runs), 1e21)
    low, high = plan.tokens_per_param.quantile([0.025, 0.975], dim=SAMPLES).values[:, 0]
    assert low < 1
    assert high > 1000


# Kaplan's allocation, in size and steps.


def test_kaplans_allocation_and_what_another_size_costs():
    split = bs.step_allocation(0.076, 0.76, 0.21)
    assert float(split.loss) == pytest.approx(0.052, abs=5e-4)
    assert float(split.params + split.tokens) == pytest.approx(1.0, abs=1e-12)
    assert float(split.params) == pytest.approx(float(split.loss) / 0.076, rel=1e-12)
    penalty = bs.size_penalty(np.array([0.6, 1.0, 2.2, 1e-9]), 0.076, 0.76)
    np.testing.assert_allclose(penalty, [1.164, 1.0, 1.203, np.inf], rtol=5e-4)
    draws = np.array([0.15, 0.21, 0.3])  # the critical batch size's exponent, uncertain
    spread = bs.step_allocation(0.076, 0.76, draws)
    assert np.all(np.diff(spread.params) > 0)
    with pytest.raises(SpecError, match="must be positive; found -1"):
        bs.step_allocation(0.076, -1.0, 0.21)


def test_kaplans_allocation_is_the_frontier_of_his_law():
    """Search sizes for the least compute C = 6 N B_crit(L) S_min that reaches two losses."""
    law = bs.KaplanNS(reference=(("params", 1e8), ("steps", 1e4)))
    paper = {"N_c": 6.5e13, "S_c": 2.1e3, "alpha_N": 0.077, "alpha_S": 0.76}
    best = []
    for loss in (3.0, 2.5):
        size = np.geomspace(6.5e13 / loss ** (1 / 0.077) * 1.001, 1e14, 400_001)
        steps = 2.1e3 * (loss - (6.5e13 / size) ** 0.077) ** (-1 / 0.76)
        np.testing.assert_allclose(
            law(law.from_paper(paper), {"params": size, "steps": steps}), loss, rtol=1e-9
        )
        flops = 6 * size * (2e8 * loss ** (-1 / 0.21)) * steps
        i = int(flops.argmin())
        best.append(np.log([size[i], flops[i]]))
    size, flops = best[1] - best[0]
    split = bs.step_allocation(0.077, 0.76, 0.21)
    assert size / flops == pytest.approx(float(split.params), abs=1e-3)
    assert np.log(2.5 / 3.0) / flops == pytest.approx(-float(split.loss), abs=1e-3)


# One variable, one size, another count.


@pytest.fixture(scope="module")
def alone():
    law = bs.PowerLaw("tokens", reference=(("tokens", 1e10),))
    fixed = {"E": 1.7, "a0": 0.8, "alpha": 0.3, "sigma": 0.01, "nu": 4.0}
    priors = {k: Prior.of("Fixed", value=v) for k, v in fixed.items()}
    return bs.sample_prior(bs.ScalingModel(law, priors=priors), draws=2)


def test_the_size_that_reaches_a_loss(alone, exact):
    need = bs.size_to_reach(alone, [2.0, 1.71, 1.69])
    closed = 1e10 * ((np.array([2.0, 1.71]) - 1.7) / 0.8) ** (-1 / 0.3)
    np.testing.assert_allclose(need.tokens[0, 0, :2], closed, rtol=1e-9)
    assert np.isinf(need.tokens[0, 0, 2])
    assert need.reachable.values.tolist() == [1.0, 1.0, 0.0]
    with pytest.raises(SpecError, match="does not fall in one variable alone"):
        bs.size_to_reach(exact, 2.0)
    with pytest.raises(SpecError, match="no split to choose"):
        bs.allocate(alone, 1e22)


def test_a_model_of_one_size_levels_off_above_the_floor(exact):
    sizes = np.array([1e8, 1e12])
    level = bs.saturation(exact, sizes).loss[0, 0]
    closed = BESIROGLU["E"] + BESIROGLU["A"] * sizes ** -BESIROGLU["alpha"]
    np.testing.assert_allclose(level, closed, rtol=1e-12)
    with pytest.raises(SpecError, match="positive and finite"):
        bs.saturation(exact, [1e8, 0.0])


def test_rates():
    kaplan = bs.rates(np.array([0.095, 0.076]))
    assert float(bs.rates(0.095, k=1).dimension) == pytest.approx(10.5, abs=0.05)
    assert float(kaplan.dimension[1]) == pytest.approx(53, abs=0.5)
    assert float(kaplan.to_halve[0]) == pytest.approx(1475, rel=1e-3)
    assert float(bs.rates(0.076).per_doubling) ** np.log2(10) == pytest.approx(0.839, abs=5e-4)
    assert float(bs.rates(0.348).quantized) == pytest.approx(0.258, abs=5e-4)
    with pytest.raises(SpecError, match="must be positive"):
        bs.rates([0.1, 0.0])


def pearce_song(x, paper, omega):
    """The closed form of the optimum under non-embedding counting: compute, and local exponent."""
    alpha, beta = paper["alpha"], paper["beta"]
    ratio = beta * paper["B"] / (alpha * paper["A"])
    root = np.cbrt(x)
    flops = 6 * x * (x + omega / 3 * root) ** (-1 / beta)
    flops *= (x + omega * root) ** ((1 + alpha) / beta) * ratio ** (1 / beta)
    u = root**2
    inverse = 1 - (u + omega / 9) / (u + omega / 3) / beta
    inverse += (1 + alpha) / beta * (u + omega / 3) / (u + omega)
    return flops, 1 / inverse


def test_the_exponent_that_a_study_without_embeddings_reports(exact):
    family = bs.Transformers()
    x = np.array([1e3, 1e6, 1e8, 1e9])
    flops, exponent = pearce_song(x, BESIROGLU, family.omega)
    np.testing.assert_allclose(exponent, [0.763, 0.963, 0.613, 0.535], atol=2e-3)
    seen = bs.recount(exact, flops, family).isel(chain=0, draw=0)
    np.testing.assert_allclose(seen.params_non_embedding, x, rtol=1e-5)
    np.testing.assert_allclose(seen.exponent, exponent, atol=1e-3)
    np.testing.assert_allclose(seen.exponent_total, 0.5126, atol=1e-4)
    np.testing.assert_allclose(6 * seen.params_non_embedding * seen.tokens, flops, rtol=1e-9)
    np.testing.assert_allclose(seen.params_total, family.total(x), rtol=1e-5)


@pytest.mark.parametrize(("paper", "slope"), [("Besiroglu", 0.786), ("Hoffmann", 0.748)])
def test_a_line_through_kaplans_sizes_has_kaplans_slope(exact, paper, slope):
    """A study of 768 to 1.5e9 non-embedding parameters; the paper's own reading was 0.73."""
    fit, numbers = exact, BESIROGLU
    if paper == "Hoffmann":
        fit = bs.load_posterior("chinchilla-hoffmann")
        numbers = {k: float(fit["posterior"][k].mean()) for k in ("A", "B", "alpha", "beta")}
    family = bs.Transformers()
    flops, _ = pearce_song(np.geomspace(768, 1.5e9, 20), numbers, family.omega)
    seen = bs.recount(fit, flops, family).isel(chain=0, draw=0)
    line = np.polyfit(np.log(flops), np.log(seen.params_non_embedding.values), 1)[0]
    assert line == pytest.approx(slope, rel=0.01)


COUNTS = ("non_embedding", "total", "with_head", "attention", "exact")


@pytest.mark.parametrize("count", COUNTS)
def test_an_optimum_under_any_count_is_on_its_budget_and_the_least(exact, count):
    family = bs.Transformers(vocab_size=50_000, aspect=64, context_length=4096)
    budgets = np.array([1e18, 1e21])
    seen = bs.recount(exact, budgets, family, count=count).isel(chain=0, draw=0)
    np.testing.assert_allclose(6 * seen.params_counted * seen.tokens, budgets, rtol=1e-9)
    for step in (-1e-3, 1e-3):  # models a little smaller or larger, the budget spent
        size = seen.params_non_embedding.values * np.exp(step)
        tokens = budgets / 6 / family.counted(size, count)
        there = bs.predict(exact, {"params": family.total(size), "tokens": tokens})
        assert np.all(there.loss_mean.isel(chain=0, draw=0) >= seen.loss.values - 1e-12)
    assert seen.attrs["count"] == count


def test_counts_are_those_of_the_matrices():
    family = bs.Transformers(vocab_size=50_000, aspect=64, context_length=4096)
    width, depth = 2048.0, 32.0
    blocks = 12 * depth * width**2
    attention = 2 * depth * width * 4096  # a sixth of DeepSeek's 12 layers width context
    head = 50_000 * width
    expected = (blocks, blocks + head, blocks + head, blocks + attention, blocks + attention + head)
    for count, value in zip(COUNTS, expected, strict=True):
        assert family.counted(blocks, count) == pytest.approx(value, rel=1e-12), count
    half = bs.Transformers(vocab_size=50_000, aspect=64, context_length=4096, causal=True)
    assert half.counted(blocks, "attention") == pytest.approx(blocks + attention / 2, rel=1e-12)
    untied = bs.Transformers(vocab_size=50_000, aspect=64, tied=False)
    assert untied.total(blocks) == pytest.approx(blocks + 2 * head, rel=1e-12)
    assert untied.counted(blocks, "with_head") == pytest.approx(blocks + head, rel=1e-12)


def test_the_total_count_is_what_allocate_plans_with(exact):
    seen = bs.recount(exact, [1e19, 1e23], count="total").isel(chain=0, draw=0)
    plan = bs.allocate(exact, [1e19, 1e23]).isel(chain=0, draw=0)
    np.testing.assert_allclose(seen.params_total, plan.params_opt, rtol=1e-6)
    np.testing.assert_allclose(seen.tokens, plan.tokens_opt, rtol=1e-6)
    np.testing.assert_allclose(seen.exponent, 0.5126, atol=1e-4)
    everything = bs.Transformers().counted(seen.params_non_embedding.values, "exact")
    np.testing.assert_allclose(seen.flops_exact, 6 * everything * seen.tokens, rtol=1e-12)
    assert np.all(seen.flops_exact > seen.budget)


@pytest.mark.parametrize("budget", ["1e22x", [], None, -1.0, [[1e22]], [1e22, float("nan")]])
@pytest.mark.parametrize("ask", [bs.allocate, bs.recount])
def test_what_is_no_budget_is_said(exact, ask, budget):
    with pytest.raises(SpecError, match="budget must be positive FLOP, one or a list"):
        ask(exact, budget)


def test_an_unknown_count_is_refused(exact):
    with pytest.raises(SpecError, match="count 'active' is unknown; choose one of: non_emb"):
        bs.recount(exact, 1e20, count="active")


def test_embeddings_there_and_back():
    family = bs.Transformers(vocab_size=50_000, aspect=100)
    width, depth = 1280.0, 12.8
    params = 12 * depth * width**2
    assert family.total(params) == pytest.approx(params + 50_000 * width, rel=1e-12)
    sizes = np.geomspace(1.0, 1e13, 27)
    np.testing.assert_allclose(family.non_embedding(family.total(sizes)), sizes, rtol=1e-9)
    with pytest.raises(SpecError, match="aspect must be a positive number"):
        bs.Transformers(aspect=0)
    with pytest.raises(SpecError, match="found '32k'"):
        bs.Transformers(vocab_size="32k")  # pyright: ignore
