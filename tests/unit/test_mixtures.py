"""Laws of data mixtures, the table they are fitted to, and the best mixture of a posterior."""

import jax
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.optimize import minimize

import bayes_scaling as bs
from bayes_scaling import priors
from bayes_scaling.data.record import RECORD
from bayes_scaling.decision._simplex import GAP, Region, inside, minimise
from bayes_scaling.errors import FitFileError, SpecError, TableError
from bayes_scaling.laws import Chinchilla, MixingExp, MixingScale
from bayes_scaling.results import dataset, tree
from benchmarks import mixtures as protocol
from tests.helpers import needs_real_tables

THREE = ("web", "code", "books")
SIZES = (("params", 1e8), ("tokens", 2e9))
FALSE_ALARM = 1e-3
TRUE = {  # of two validation sets: c, and ln of the reducible loss after each domain alone
    "news": {"c": 2.0, "pure_web": 0.5, "pure_code": 1.6, "pure_books": 0.8},
    "python": {"c": 0.8, "pure_web": 1.4, "pure_code": 0.3, "pure_books": 1.8},
}
SCATTER = 0.003


def mixtures(count, seed=0, domains=THREE):
    return np.random.default_rng(seed).dirichlet(np.ones(len(domains)), count)


def as_columns(shares, domains=THREE):
    return dict(zip(domains, np.asarray(shares).T, strict=True))


def drawn(law, count=200, seed=0):
    rng, stats_ = np.random.default_rng(seed), dict.fromkeys(priors.STATISTICS, 3.0)
    return {
        p.name: priors.draw(p.prior, priors.values(p.prior, stats_), rng, count)[0]
        for p in law.params
    }


def wide(count=40, seed=1):
    rng, x = np.random.default_rng(seed), as_columns(mixtures(count))
    law = MixingExp(THREE)
    noise = {k: np.exp(SCATTER * rng.normal(size=count)) for k in TRUE}
    return pd.DataFrame({**x, **{f"loss_{k}": law(t, x) * noise[k] for k, t in TRUE.items()}})


@pytest.fixture(scope="module")
def fits():
    """One fit per validation set: one program."""
    table = bs.by_validation(wide())
    model = bs.ScalingModel(MixingExp(THREE), bs.Normal())
    return {k: bs.fit(model, table[table["validation"] == k]) for k in TRUE}


# --- the equations ---------------------------------------------------------------------------


def test_at_a_pure_domain_the_loss_is_the_floor_and_that_domains_own():
    law, theta = MixingExp(THREE), TRUE["news"]
    for i, d in enumerate(THREE):
        assert law(theta, as_columns(np.eye(3)[i])) == pytest.approx(2.0 + theta[f"pure_{d}"])


def test_the_papers_form_in_any_gauge():
    law, x = MixingExp(THREE), as_columns(mixtures(7))
    paper = law.to_paper(TRUE["python"])
    assert sum(paper[f"t_{d}"] for d in THREE) == pytest.approx(0.0, abs=1e-14)
    for u in (0.0, -3.0):
        k, t = paper["k"] * np.exp(-u), {d: paper[f"t_{d}"] + u for d in THREE}
        of_paper = paper["c"] + k * np.exp(sum(t[d] * x[d] for d in THREE))
        np.testing.assert_allclose(law(TRUE["python"], x), of_paper, rtol=1e-13)
        back = law.from_paper({"c": paper["c"], "k": k, **{f"t_{d}": t[d] for d in THREE}})
        assert {n: float(v) for n, v in back.items()} == pytest.approx(TRUE["python"])


def test_published_gauge_freedom_is_the_same_law():
    """ln k = -7.1 with all t near 6.5 is a law of order one nat, as in the authors' fits."""
    law = MixingExp(THREE)
    theta = law.from_paper(
        {"c": 2.5, "k": np.exp(-7.1), "t_web": 6.4, "t_code": 6.5, "t_books": 6.6}
    )
    assert law(theta, as_columns(np.full(3, 1 / 3))) == pytest.approx(2.5 + np.exp(-0.6))


def test_prior_more_of_the_own_domain_lowers_the_loss_in_every_draw():
    """In the place of the others in equal parts, from share 0 to share 1 (LAWS 7.1)."""
    law = MixingExp(THREE, own="code")
    theta, own = drawn(law, 4000), np.linspace(0, 1, 6)
    rest = (1 - own) / 2
    loss = law({k: v[:, None] for k, v in theta.items()}, {"web": rest, "code": own, "books": rest})
    assert np.all(np.diff(loss, axis=1) < 0)


def test_prior_a_swap_of_pure_domains_moves_the_size_term_by_as_much_as_stated():
    law = MixingScale(THREE, joint=True, term="exp")
    theta = drawn(law, 20_000)
    low, high = np.exp(np.quantile(theta["u_web"] - theta["u_code"], [0.025, 0.975]))
    assert 0.64 < low < 0.68
    assert 1.48 < high < 1.56


@pytest.mark.parametrize("term", ["exp", "power"])
def test_one_domain_alone_is_the_additive_law(term):
    law = MixingScale(THREE, term=term, reference=(*dict.fromkeys(THREE, 1 / 3).items(), *SIZES))
    theta, x = drawn(law, 20), {"params": 3e8, "tokens": np.array([1e9, 1e11])[:, None]}
    plain = {**theta, "E": theta["E"] + theta["pure_code"]}
    expected = Chinchilla(reference=SIZES)(plain, x)
    pure = {"web": 0.0, "code": 1.0, "books": 0.0}
    np.testing.assert_allclose(law(theta, {**x, **pure}), expected, rtol=1e-12)


def test_the_published_scale_law():
    sizes = (("web", 0.5), ("code", 0.5), *SIZES)
    law = MixingScale(("web", "code"), joint=True, reference=sizes)
    theta, x = drawn(law, 9), {"web": 0.3, "code": 0.7, "params": 4e9, "tokens": 1e11}
    p = law.to_paper(theta)
    mixed = 1 / sum(p[f"C_{d}"] * x[d] ** p[f"gamma_{d}"] for d in ("web", "code"))
    of_n, of_d = (p[c] * np.exp(sum(p[f"{s}_{d}"] * x[d] for d in ("web", "code")))
                  for c, s in (("A", "u"), ("B", "v")))  # fmt: skip
    expected = p["E"] + mixed + of_n * 4e9 ** -p["alpha"] + of_d * 1e11 ** -p["beta"]
    np.testing.assert_allclose(law(theta, x), expected, rtol=1e-11)


@pytest.mark.parametrize("law", [
    MixingExp(THREE),
    MixingExp(THREE, own="web"),
    MixingScale(THREE, joint=True, reference=(*dict.fromkeys(THREE, 1 / 3).items(), *SIZES)),
    MixingScale(THREE, term="exp", reference=SIZES),
])  # fmt: skip
def test_slopes_are_the_derivatives(law):
    theta = {k: float(v[0]) for k, v in drawn(law, 1).items()}
    x = {**as_columns([0.2, 0.5, 0.3]), **({"params": 3e9, "tokens": 1e10} if len(law.inputs) > 3
                                           else {})}  # fmt: skip
    with jax.enable_x64(True):
        at = {k: jax.numpy.asarray(float(v)) for k, v in x.items()}
        slopes = jax.grad(lambda x: law(theta, x))(at)
    for d in THREE:
        assert law.slopes(theta, x)[d] == pytest.approx(float(slopes[d]), rel=1e-10)


def test_the_loss_is_convex_in_the_mixture_where_no_gamma_is_above_one():
    a, b = mixtures(500, 1), mixtures(500, 2)
    for law in (MixingExp(THREE), MixingScale(THREE, reference=SIZES)):
        theta = drawn(law, 500)
        theta = {k: np.minimum(v, 1.0) if k.startswith("gamma") else v for k, v in theta.items()}
        there = {"params": 1e9, "tokens": 1e10} if "params" in law.inputs else {}
        ends = (law(theta, {**as_columns(m), **there}) for m in (a, b))
        middle = law(theta, {**as_columns((a + b) / 2), **there})
        assert np.all(middle <= sum(ends) / 2 + 1e-12)


@pytest.mark.parametrize(("choices", "match"), [
    ({"domains": ("web",)}, "two or more distinct"),
    ({"domains": ("web", "web")}, "two or more distinct"),
    ({"domains": THREE, "own": "cod"}, "none of the domains"),
])  # fmt: skip
def test_choices_that_are_none(choices, match):
    with pytest.raises(SpecError, match=match):
        MixingExp(**choices)
    with pytest.raises(SpecError, match="not one of"):
        MixingScale(THREE, term="linear")  # pyright: ignore[reportArgumentType]


def test_shares_that_do_not_sum_to_one_are_refused():
    runs = {"p1": [0.5, 0.5, 0.2, 0.1], "p2": [0.5, 0.5, 0.6, 0.9], "loss": [3.0, 3.1, 3.2, 3.3]}
    with pytest.raises(TableError, match=r"sum to 0\.8.*sum to 1"):
        bs.fit(bs.ScalingModel(MixingExp()), runs, force=True)


# --- the table -------------------------------------------------------------------------------


def test_a_row_per_run_and_set_in_the_order_of_the_sets():
    table = wide(5)
    long = bs.by_validation(table)
    assert long["validation"].tolist() == ["news"] * 5 + ["python"] * 5
    np.testing.assert_array_equal(long["loss"][:5], table["loss_news"])
    np.testing.assert_array_equal(long["web"], np.tile(table["web"], 2))
    assert long["use"].all()
    assert "2 loss columns to a row each, by validation" in long.attrs[RECORD]["steps"]
    pd.testing.assert_frame_equal(bs.read_runs(long), long)  # reading again changes nothing


def test_losses_named_one_by_one_and_by_set():
    table = wide(3)
    assert set(bs.by_validation(table, ["loss_news"])["validation"]) == {"loss_news"}
    long = bs.by_validation(table, {"loss_news": "a", "loss_python": "b"})
    assert long["validation"].tolist() == ["a"] * 3 + ["b"] * 3


def test_the_tables_record_and_its_other_attributes_are_kept():
    table = wide(4).assign(params=[1.0, 2, 3, 4], tokens=[2.0, 4, 6, 8])
    table.attrs["dataset"] = {"name": "mine"}
    read = bs.read_runs(table, units={"params": "M", "tokens": "B"}, require=("params", "tokens"))
    long = bs.by_validation(read)
    assert long.attrs["dataset"] == {"name": "mine"}
    assert long.attrs[RECORD]["units"] == {"params": "M", "tokens": "B"}
    np.testing.assert_array_equal(long["params"], np.tile([1e6, 2e6, 3e6, 4e6], 2))


def test_what_was_not_measured_is_not_used_and_what_was_set_aside_stays_aside():
    table = wide(6)
    table.loc[2, "loss_python"] = np.nan
    long = bs.by_validation(table)
    assert long.index[~long["use"]].tolist() == [8]
    assert long["flag"][8] == "loss is NaN"
    read = table.assign(use=np.arange(6) > 0, flag="")
    assert bs.by_validation(read).index[~bs.by_validation(read)["use"]].tolist() == [0, 6, 8]


def test_shares_are_divided_by_their_sum_and_said_to_be():
    table = wide(4)
    table.loc[1, list(THREE)] *= 1.02
    long = bs.by_validation(table, shares=THREE)
    np.testing.assert_allclose(long[list(THREE)].sum(axis=1), 1.0, rtol=1e-14)
    said = "web, code, books of 1 runs divided by their sum"
    assert said in long.attrs[RECORD]["steps"]


@pytest.mark.parametrize(("change", "ask", "match"), [
    ({}, {"losses": "nll_"}, "no column begins with 'nll_'"),
    ({}, {"losses": ["loss_nwes"]}, "there is no such column.*loss_news"),
    ({}, {"losses": []}, "0 columns"),
    ({}, {"losses": {"loss_news": "a", "loss_python": "a"}}, "2 columns of 1 validation sets"),
    ({"validation": "x"}, {}, "column 'validation': this name is taken"),
    ({"loss": 3.0}, {}, "column 'loss': this name is taken"),
    ({}, {"shares": ("web", "cod")}, "column 'cod': there is no such column"),
    ({"web": 0.9}, {"shares": THREE}, "web, code, books sum to"),
])  # fmt: skip
def test_tables_that_are_none(change, ask, match):
    with pytest.raises(TableError, match=match):
        bs.by_validation(wide(4).assign(**change), **ask)


# --- the least of many functions -------------------------------------------------------------


def exponentials(seed=0, rows=30, sets=4, domains=5):
    rng = np.random.default_rng(seed)
    tau = rng.normal(-0.5, 1.0, (rows, sets, domains))

    def problem(r, which):
        each = np.exp(np.einsum("nvk,nk->nv", tau[which], r))
        return each.sum(axis=1), np.einsum("nv,nvk->nk", each, tau[which])

    return problem


@pytest.mark.parametrize("region", [
    Region.box(np.zeros(5), np.ones(5)),
    Region.box(np.full(5, 0.05), np.array([0.3, 0.5, 0.2, 1.0, 0.4])),
    Region.hull(mixtures(9, 3, "abcde")),
])  # fmt: skip
def test_the_optimum_is_what_a_general_solver_finds_and_its_gap_bounds_the_error(region):
    problem = exponentials()
    found, value, gap = minimise(problem, region, 30)
    assert gap.max() <= GAP
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-12)
    bounds = list(zip(region.low, region.high, strict=True))
    one = {"type": "eq", "fun": lambda w: w.sum() - 1}
    for i in range(0, 30, 3):

        def total(w, i=i):
            return problem((w @ region.corners)[None], np.array([i]))[0][0]

        other = minimize(total, region.middle(), bounds=bounds, constraints=[one], tol=1e-12)
        assert -1e-7 < value[i] - other.fun <= GAP
        assert np.abs(found[i] - other.x @ region.corners).max() < 0.02


def test_the_least_of_one_exponential_in_a_tight_box_is_the_cheapest_corner():
    """Its logarithm is linear: domains are filled up in order of their slope, also nearly equal."""
    tau = np.random.default_rng(0).normal([-0.4, 0.0, -1.7, -0.2, -0.2], 0.35, (500, 5))
    region = Region.box(np.zeros(5), np.array([0.5, 0.19, 0.1, 0.25, 0.75]))

    def problem(r, which):
        left = np.exp(np.sum(r * tau[which], axis=1))
        return left, left[:, None] * tau[which]

    with np.errstate(over="raise", invalid="raise"):
        _, value, gap = minimise(problem, region, 500)
    assert gap.max() <= GAP
    np.testing.assert_allclose(value, np.exp(region.lowest(tau)), atol=GAP)


def test_the_nearest_weights_inside_meet_their_bounds_and_keep_ratios():
    low, high = np.array([0.1, 0.0, 0.0, 0.2]), np.array([0.4, 0.3, 1.0, 0.5])
    region = Region.box(low, high)
    w = np.random.default_rng(0).dirichlet(np.full(4, 0.3), 200)
    got = region.within(w)
    np.testing.assert_allclose(got.sum(axis=1), 1.0, rtol=1e-12)
    assert np.all((got >= low - 1e-12) & (got <= high + 1e-12))
    free = (got > low + 1e-9) & (got < high - 1e-9)
    for row, new, loose in zip(w, got, free, strict=True):
        assert np.ptp(np.log(new[loose] / row[loose])) < 1e-8 if loose.any() else True


def test_which_mixtures_lie_between_others():
    corners = np.array([[0.6, 0.4, 0.0], [0.2, 0.2, 0.6], [0.1, 0.8, 0.1]])
    assert inside(corners.mean(axis=0), corners)
    assert not inside(np.array([1.0, 0.0, 0.0]), corners)


# --- the answer ------------------------------------------------------------------------------


def truth(weights):
    law = MixingExp(THREE)

    def loss(r):
        return sum(w * law(TRUE[k], as_columns(r)) for k, w in weights.items())

    one = {"type": "eq", "fun": lambda r: r.sum() - 1}
    found = minimize(loss, np.full(3, 1 / 3), bounds=[(0, 1)] * 3, constraints=[one], tol=1e-12)
    return loss, found.x, found.fun


def test_parameters_and_optimum_are_recovered(fits):
    """Ten quantities within their central 1 - FALSE_ALARM / 10 intervals."""
    edge = FALSE_ALARM / 20
    for k, theta in TRUE.items():
        draws = fits[k]["posterior"].to_dataset()
        for name, value in theta.items():
            low, high = draws[name].quantile([edge, 1 - edge])
            assert low <= value <= high, (k, name)
    loss, best, least = truth({"news": 0.5, "python": 0.5})
    found = bs.best_mixture(fits, {"news": 0.5, "python": 0.5}, within="anywhere")
    low, high = found.loss.quantile([edge, 1 - edge])
    assert low <= least <= high
    assert loss(found.best.values) - least < 0.005
    assert np.abs(found.share.median(("chain", "draw")).values - best).max() < 0.05


def test_the_one_mixture_of_least_expected_loss_has_the_least_expected_regret(fits):
    aim = {"news": 1.0, "python": 2.0}
    found = bs.best_mixture(fits, aim, within="anywhere", default=dict.fromkeys(THREE, 1 / 3))
    for pull in np.eye(3):
        r = 0.95 * found.best.values + 0.05 * pull
        usual = dict(zip(THREE, map(float, r / r.sum()), strict=True))
        one = bs.best_mixture(fits, aim, usual, within="anywhere")
        assert float(one.mixture_regret.sel(mixture="default").mean()) > found.expected_regret
    assert float(found.regret.min()) >= 0
    assert found.regret.mean() == pytest.approx(float(found.expected_regret))
    assert 0 <= float(found.gap) <= GAP
    gain = found.mixture_regret.sel(mixture="default") - found.regret
    np.testing.assert_allclose(found.gain, gain, atol=2 * GAP)
    assert float(found.beats_default) == pytest.approx(float((found.gain > 0).mean()))


def test_the_credible_set_holds_the_best_and_grows_with_the_tolerance(fits):
    small, large = (bs.best_mixture(fits, "news", tolerance=t) for t in (0.005, 0.05))
    assert np.all(large.low <= small.low + 1e-9)
    assert np.all(large.high >= small.high - 1e-9)
    assert np.all((small.low <= small.best + 1e-9) & (small.best <= small.high + 1e-9))


def test_the_credible_set_goes_as_far_as_the_loss_allows(fits):
    """Of two domains it is an interval; its ends lose the tolerance with the probability asked."""
    found = bs.best_mixture(fits, {"news": 1, "python": 1}, tolerance=0.02,
                            within={"books": (0.0, 0.0)})  # fmt: skip
    for end in (found.low, found.high):
        web = float(end.sel(domain="web"))
        usual = {"web": web, "code": 1 - web, "books": 0.0}
        one = bs.best_mixture(fits, {"news": 1, "python": 1}, usual, within={"books": (0.0, 0.0)})
        sure = (one.mixture_regret.sel(mixture="default") <= 0.02).mean()
        assert 0.85 < float(sure) <= 1.0
    assert float((found.high - found.low).sel(domain="web")) > 0.1


def test_mixtures_are_sought_where_they_were_trained_unless_asked_otherwise(fits):
    trained = np.asarray([fits["news"]["constant_data"][d].values for d in THREE])
    found = bs.best_mixture(fits, "python")
    assert np.all(found.share.max(("chain", "draw")) <= trained.max(axis=1) + 1e-9)
    assert not found.outside.any()
    assert float(found.at_bound.sel(domain="code")) == 1.0  # python wants nothing but code
    free = bs.best_mixture(fits, "python", within="anywhere")
    assert float(free.best.sel(domain="code")) > 0.999
    assert bool(free.outside.sel(domain="code"))
    assert "code" in free.attrs["verdict"].split("outside all that were trained")[0]
    hull = bs.best_mixture(fits, "python", within="hull")
    assert bool(hull.between)
    assert not bool(free.between)
    some = bs.best_mixture(fits, "python", within={"code": (0.1, 0.3)})
    assert float(some.share.sel(domain="code").max()) == pytest.approx(0.3)


def test_a_search_less_certain_than_the_tolerance_is_said_to_be(fits):
    both = {"news": 0.5, "python": 0.5}
    found = bs.best_mixture(fits, both)
    assert "several best" not in found.attrs["verdict"]
    tight = bs.best_mixture(fits, both, tolerance=0.5 * float(found.gap))
    assert "more than the tolerance: the law may have several best" in tight.attrs["verdict"]


def test_the_best_measured_mixture_is_the_baseline(fits):
    table, weights = wide(), {"news": 0.7, "python": 0.3}
    found = bs.best_mixture(fits, weights)
    measured = sum(w * table[f"loss_{k}"] for k, w in weights.items())
    winner = table.loc[measured.idxmin(), list(THREE)].to_numpy(float)
    named = found.mixture_share.sel(mixture=str(found.ranking.values)).values
    np.testing.assert_allclose(named, winner, atol=1e-6)
    assert float(found.ranking_regret) > float(found.expected_regret)


def test_runs_may_be_given_where_a_fit_does_not_carry_them(fits):
    bare = {k: xr.DataTree.from_dict({"/posterior": f["posterior"].to_dataset()})
            for k, f in fits.items()}  # fmt: skip
    for k, one in bare.items():
        one.attrs = dict(fits[k].attrs)
    with pytest.raises(FitFileError, match="does not carry the runs"):
        bs.best_mixture(bare, "news")
    given = bs.best_mixture(bare, "news", runs=bs.by_validation(wide()))
    xr.testing.assert_allclose(given, bs.best_mixture(fits, "news"))
    with pytest.raises(SpecError, match="runs: validation not in the table"):
        bs.best_mixture(bare, "news", runs=wide().assign(loss=3.0))


@pytest.mark.parametrize(("ask", "match"), [
    ({}, "depends on what it is for"),
    ({"target": "nws"}, "no validation set is named 'nws'.*news"),
    ({"target": {"news": 0.0}}, "some weight above zero"),
    ({"target": {"news": -1.0}}, "the weight of 'news'"),
    ({"target": "news", "default": {"web": 0.5}}, "default: shares of.*0.5 in all"),
    ({"target": "news", "default": {"wbe": 1.0}}, "default: shares of web, code, books"),
    ({"target": "news", "within": "here"}, "one of sampled, hull, anywhere"),
    ({"target": "news", "within": {"web": (0.0, 0.1), "code": (0, 0.1), "books": (0, 0.1)}},
     "bounds of web, code, books"),
    ({"target": "news", "at": {"params": 1e9}}, "'params' is not read"),
    ({"target": "news", "tolerance": 0}, "tolerance"),
    ({"target": "news", "probability": 1.5}, "probability: between 0 and 1"),
])  # fmt: skip
def test_questions_that_are_none(fits, ask, match):
    with pytest.raises(SpecError, match=match):
        bs.best_mixture(fits, **ask)


def pooled_and_apart(draws=50):
    """The same draws as a pooled posterior, and as one for every set."""
    law = MixingExp(THREE, reference=tuple(dict.fromkeys(THREE, 1 / 3).items()))
    rng, shape = np.random.default_rng(3), (1, draws)
    each = {
        k: {n: v * np.exp(0.02 * rng.normal(size=shape)) for n, v in theta.items()}
        for k, theta in TRUE.items()
    }
    noise = {"sigma": np.full(shape, 0.01), "nu": np.full(shape, 10.0)}
    apart = {
        k: tree({"posterior": dataset({**v, **noise})}, bs.ScalingModel(law), sampling=[])
        for k, v in each.items()
    }
    groups = {f"{n}_group": np.stack([each[k][n] for k in TRUE], -1) for n in TRUE["news"]}
    dims = dict.fromkeys(groups, ("validation",))
    free = tuple((p.name, "free") for p in law.params)
    model = bs.ScalingModel(law, pooling=bs.Pooling("validation", free))
    draws_ = dataset({**groups, **noise}, dims, {"validation": list(TRUE)})
    return tree({"posterior": draws_}, model, sampling=[]), apart


def test_a_pooled_fit_is_a_fit_for_every_set():
    pooled, apart = pooled_and_apart()
    aim = {"python": 1.0, "news": 3.0}
    one, many = (bs.best_mixture(f, aim, within="anywhere") for f in (pooled, apart))
    xr.testing.assert_allclose(one, many)
    with pytest.raises(SpecError, match="weights of the validation sets news, python"):
        bs.best_mixture(pooled, within="anywhere")
    with pytest.raises(SpecError, match="news: a pooled fit holds several sets by itself"):
        bs.best_mixture({"news": pooled}, aim)
    fewer = {**apart, "python": apart["python"].isel(draw=slice(20))}
    fewer["python"].attrs = apart["python"].attrs
    with pytest.raises(SpecError, match="different numbers of draws"):
        bs.best_mixture(fewer, aim, within="anywhere")


def test_a_set_of_no_weight_does_not_count():
    _, apart = pooled_and_apart()
    both = bs.best_mixture(apart, {"news": 1.0, "python": 0.0}, within="anywhere")
    alone = bs.best_mixture({"news": apart["news"]}, "news", within="anywhere")
    xr.testing.assert_allclose(both, alone)


def test_a_law_without_shares_has_no_best_mixture():
    with pytest.raises(SpecError, match="has no shares of a mixture"):
        bs.best_mixture(bs.load_posterior("chinchilla"))
    for nothing in ({}, 3.0, {"news": 3.0}):
        with pytest.raises(SpecError, match="a fit, or fits by the name"):
            bs.best_mixture(nothing)  # pyright: ignore[reportArgumentType]


def scaled(joint, spread=0.0, draws=200, tilt=0.6):
    """A posterior of a law along scale that was never fitted: what is asked of it is arithmetic."""
    law = MixingScale(("web", "code"), joint=joint, term="exp",
                      reference=(("web", 0.5), ("code", 0.5), *SIZES))  # fmt: skip
    rng, shape = np.random.default_rng(0), (1, draws)
    theta = {"E": 1.5, "pure_web": 0.15, "pure_code": 0.5, "a0": 0.4, "b0": 0.4, "alpha": 0.3,
             "beta": 0.3, "u_web": tilt, "u_code": -tilt, "v_web": 0.0, "v_code": 0.0}  # fmt: skip
    noise = {"sigma": 0.01, "nu": 10.0}
    values = {p.name: theta[p.name] + spread * rng.normal(size=shape) for p in law.params}
    values |= {k: np.full(shape, v) for k, v in noise.items()}
    return tree({"posterior": dataset(values)}, bs.ScalingModel(law), sampling=[])


TWO = {"params": [1e8, 1e11], "tokens": [2e9, 2e12]}


def test_the_optimum_of_the_additive_law_is_the_same_at_every_scale():
    found = bs.best_mixture(scaled(joint=False, spread=0.01), at=TWO, within="anywhere")
    assert found.share.dims == ("chain", "draw", "point", "domain")
    assert found.params.values.tolist() == TWO["params"]
    assert float(abs(found["shift"]).max()) < 1e-12
    assert float(found.moves) == 0.0
    assert "does not move with scale" in found.attrs["verdict"]


def test_an_optimum_that_moves_with_scale_is_told_from_one_that_may():
    at = {"params": [1e8, 1e11], "tokens": 2e12}
    sure = bs.best_mixture(scaled(joint=True, spread=0.001), at=at, within="anywhere")
    assert float(sure.moves) == 1.0
    assert "the optimum moves with scale" in sure.attrs["verdict"]
    share = sure.share.isel(draw=0, chain=0).sel(domain="code")
    assert share[1] < share[0] - 0.05  # code lowers A, which matters less to large models
    unsure = bs.best_mixture(scaled(True, 0.02, tilt=0.2), at=at, within="anywhere")
    assert 0.05 < float(unsure.moves) < 0.95
    assert "may or may not move" in unsure.attrs["verdict"]


def test_the_optimum_along_scale_is_what_a_search_finds():
    fit, at = scaled(joint=True, spread=0.05, draws=5), {"params": 3e8, "tokens": 1e10}
    found = bs.best_mixture(fit, at=at, within="anywhere")
    theta = {k: v.values[0, :, None] for k, v in fit["posterior"].to_dataset().items()}
    web = np.linspace(0, 1, 20_001)
    model = MixingScale(("web", "code"), joint=True, term="exp",
                        reference=(("web", 0.5), ("code", 0.5), *SIZES))  # fmt: skip
    loss = model(theta, {"web": web, "code": 1 - web, **at})
    np.testing.assert_allclose(found.loss.values[0, :, 0], loss.min(axis=1), atol=GAP)
    np.testing.assert_allclose(
        found.share.sel(domain="web").values[0, :, 0], web[loss.argmin(axis=1)], atol=0.02
    )


@pytest.mark.parametrize(("at", "match"), [
    (None, "params, tokens of the planned run not given"),
    ({"params": 1e9}, "tokens of the planned run not given"),
    ({"params": 1e9, "tokens": -1}, "positive tokens"),
    ({"params": [1e9, 1e10], "tokens": [1e9, 1e10, 1e11]}, "2 of params, 3 of tokens"),
])  # fmt: skip
def test_sizes_of_planned_runs_that_are_none(at, match):
    with pytest.raises(SpecError, match=match):
        bs.best_mixture(scaled(joint=False), at=at, within="anywhere")


def test_a_law_along_scale_with_its_mixture_held_can_be_planned_with():
    held = bs.hold(scaled(joint=True, spread=0.01), web=0.4, code=0.6)
    plan = bs.allocate(held, budget=1e21)
    assert np.isfinite(plan.params_opt).all()


def test_the_picture(fits):
    found = bs.best_mixture(fits, {"news": 0.5, "python": 0.5}, {"web": 1.0})
    figure = bs.plots.plot_mixture(found)
    left, right = figure.axes
    assert [t.get_text() for t in left.get_xticklabels()] == list(THREE)
    assert "regret" in right.get_xlabel()
    assert "default" in [t.get_text() for t in right.get_yticklabels()]
    moved = bs.best_mixture(scaled(True, 0.01), at=TWO, within="anywhere")
    labels = bs.plots.plot_mixture(moved).axes[0].get_legend_handles_labels()[1]
    assert "best of every draw at 1.0e+08 params, 2.0e+09 tokens" in labels
    with pytest.raises(SpecError, match="plot_mixture draws what"):
        bs.plots.plot_mixture(xr.Dataset())


@needs_real_tables
def test_the_published_groups_are_the_weighted_losses_of_their_sets():
    """What the authors predict at 30,000 steps was observed at 410M, and is what they fitted."""
    runs = bs.load_dataset("mixing_redpajama")
    runs = runs[(runs["model_size"] == "410M") & (runs["step"] == 30_000)].set_index("ratio")
    published = bs.load_dataset("mixing_redpajama_predictions")
    published = published[published["step"] == 30_000]
    errors = bs.describe_dataset("mixing_redpajama_predictions").published["mean_abs_error_30k"]
    for group, members in protocol.GROUPS.items():
        theirs = published[published["domain"] == group].set_index("ratio")
        weights = pd.Series({f"loss_{m}": protocol.WEIGHTS[m] for m in members})
        ours = (runs[weights.index] * weights / weights.sum()).sum(axis=1)[theirs.index]
        assert np.abs(ours - theirs["loss_observed"]).max() < 2e-4, group
        off = np.abs(theirs["loss_predicted"] - theirs["loss_observed"]).mean()
        assert off == pytest.approx(errors[group], abs=6e-5), group
