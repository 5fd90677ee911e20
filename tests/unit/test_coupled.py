"""The coupled law: it falls everywhere, keeps its parameters' meaning, and grows unsure ahead."""

import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling import priors
from bayes_scaling.criticism._quantities import decided_by
from bayes_scaling.laws import Chinchilla, Coupled, HasOptimum, best_split, bind
from bayes_scaling.model import ScalingModel

GRID = {"params": np.geomspace(1e7, 1e14, 120), "tokens": np.geomspace(1e8, 1e16, 120)}
TABLE = {"params": np.geomspace(5e7, 1e10, 9), "tokens": np.geomspace(1e9, 4e11, 9)}
HELD = {"lam": 0.0, "rho": 0.0, "ahead_n": 1.0, "ahead_d": 1.0, "ahead_e": 0.0}
SURFACE = {"E": 1.8, "a0": 0.35, "b0": 0.3, "alpha": 0.35, "beta": 0.37}


def drawn(law, count=300, wide=2.0, seed=0):
    """Draw parameters from the priors, the departures from the additive law `wide` times as far."""
    rng, stats = np.random.default_rng(seed), {"min_loss": 2.0, "mean_loss": 2.5}
    theta = {}
    for p in law.params:
        theta[p.name] = priors.draw(p.prior, priors.values(p.prior, stats), rng, count)[0]
    for name in ("lam", "rho"):
        theta[name] = wide * theta[name]
    return {k: v[:, None, None] for k, v in theta.items()}


def surface(law, theta):
    return law(theta, {"params": GRID["params"][:, None], "tokens": GRID["tokens"]})


def test_size_and_data_never_hurt_under_any_parameters():
    law = bind(Coupled(), TABLE)
    loss = surface(law, drawn(law))
    assert np.isfinite(loss).all()
    assert (np.diff(loss, axis=1) <= 1e-12 * loss[:, 1:]).all()
    assert (np.diff(loss, axis=2) <= 1e-12 * loss[:, :, 1:]).all()


def test_it_is_the_least_of_the_sum_over_smaller_models():
    """Against a search: the sum itself is what the law says wherever it still falls."""
    law = bind(Coupled(ahead=False), TABLE)
    ref = dict(law.reference)
    theta = {k: v[:, 0, 0] for k, v in drawn(law, 40).items()}
    n = np.log(GRID["params"] / ref["params"])
    d = np.log(3e9 / ref["tokens"])
    low, high = np.log([5e7, 1e10]) - np.log(ref["params"])
    fine = np.linspace(n.min(), n.max(), 200_001)
    for i in range(40):
        t = {k: v[i] for k, v in theta.items()}
        rho = np.clip(t["rho"], -0.9 / high, -0.9 / low)
        c = np.clip(fine, low, high)
        plain = t["a0"] * np.exp(-t["alpha"] * fine)
        plain += t["b0"] * np.exp(t["lam"] * c - t["beta"] * (1 + rho * c) * d)
        least = np.minimum.accumulate(plain)
        found = law(t, {"params": GRID["params"], "tokens": 3e9}) - t["E"]
        assert found == pytest.approx(np.interp(n, fine, least), rel=1e-5)


@pytest.mark.parametrize("choices", [{}, {"coupling": False}, {"ahead": False}])
def test_without_departures_it_is_the_additive_law(choices):
    law = bind(Coupled(**choices), TABLE)
    plain = Chinchilla(reference=law.reference[:2])
    x = {"params": np.array([1e8, 1e10, 1e12]), "tokens": np.array([1e9, 1e13, 1e11])}
    own = {k: v for k, v in HELD.items() if k in {p.name for p in law.params}}
    assert law(SURFACE | own, x) == pytest.approx(plain(SURFACE, x), rel=1e-14)


def test_alpha_and_beta_are_the_slopes_at_the_reference():
    law = bind(Coupled(), TABLE)
    ref = dict(law.reference)
    theta = SURFACE | {"lam": -0.1, "rho": 0.08, "ahead_n": 1.4, "ahead_d": 0.7, "ahead_e": 0.1}
    h = 1e-5

    def at(n, d):
        sizes = {"params": ref["params"] * np.exp(n), "tokens": ref["tokens"] * np.exp(d)}
        return float(law(theta, sizes))

    in_tokens = (at(0, h) - at(0, -h)) / (2 * h)
    assert in_tokens == pytest.approx(-theta["b0"] * theta["beta"], rel=1e-6)
    in_params = (at(h, 0) - at(-h, 0)) / (2 * h)
    want = -theta["a0"] * theta["alpha"] + theta["b0"] * theta["lam"]
    assert in_params == pytest.approx(want, rel=1e-6)


def test_anchors_are_where_the_table_ends_and_scale_with_its_units():
    law = bind(Coupled(), TABLE)
    given = dict(law.reference)
    assert (given["params_low"], given["params_high"]) == (5e7, 1e10)
    work = TABLE["params"] * TABLE["tokens"]
    top = np.argsort(-work)[:3]
    assert given["tokens_edge"] == pytest.approx(np.exp(np.log(TABLE["tokens"][top]).mean()), 1e-5)
    other = bind(Coupled(), {k: v / 1e9 for k, v in TABLE.items()})
    theta = {k: v[:, 0, 0] for k, v in drawn(law, 50).items()}
    there = law(theta, {"params": 7e10, "tokens": 4e12})
    again = other(theta, {"params": 70.0, "tokens": 4000.0})
    assert again == pytest.approx(there, rel=1e-5)


def test_exponents_change_smoothly_and_only_beyond_the_largest_runs():
    law = bind(Coupled(coupling=False), TABLE)
    edge = dict(law.reference)["params_edge"]
    x = {"params": edge * np.exp(np.array([-1.0, 0.0, np.log(10), 9.0])), "tokens": 1e60}
    steep = law(SURFACE | HELD | {"ahead_n": 1.5}, x) - SURFACE["E"]
    plain = law(SURFACE | HELD, x) - SURFACE["E"]
    past = np.log(10) / 2  # p^2 / (p + ln 10) at a decade
    want = np.exp(-SURFACE["alpha"] * 0.5 * np.array([0.0, 0.0, past, 81 / (9 + np.log(10))]))
    assert steep / plain == pytest.approx(want, rel=1e-6)


def test_a_part_of_the_floor_goes_only_beyond_the_largest_run():
    law = bind(Coupled(), TABLE)
    top = float(np.max(TABLE["params"] * TABLE["tokens"]))
    product = top * np.array([1e-3, 1.0, 10.0, 1e30])
    x = {"params": np.sqrt(product), "tokens": np.sqrt(product)}
    floor = SURFACE["E"] + law(SURFACE | HELD | {"ahead_e": 0.05}, x) - law(SURFACE | HELD, x)
    gone = np.array([0.0, 0.0, 1 - 10**-0.3, 1.0])
    assert floor == pytest.approx(SURFACE["E"] * np.exp(-0.05 * gone), rel=1e-6)
    assert law.irreducible(SURFACE | HELD | {"ahead_e": 0.05}) == pytest.approx(floor[-1])


@pytest.mark.slow
def test_no_run_says_what_is_hidden_in_the_floor(fits):
    """Its posterior is its prior, within seven standard errors of so many draws."""
    hidden = np.log(fits["coupled"]["posterior"]["ahead_e"].values.ravel())
    assert np.median(hidden) == pytest.approx(np.log(0.01), abs=0.3)
    assert hidden.std() == pytest.approx(1.3, rel=0.1)


@pytest.fixture(scope="module")
def ladder():
    return bs.load_dataset("simulated-chinchilla")


@pytest.fixture(scope="module")
def fits(ladder):
    laws = {"additive": Chinchilla(), "coupled": Coupled()}
    return {k: bs.fit(ScalingModel(law), ladder, seed=1) for k, law in laws.items()}


def width(fit, flops):
    there = bs.predict(fit, {"params": np.sqrt(flops / 120), "tokens": np.sqrt(flops / 0.3)})
    low, high = np.quantile(there["loss_mean"].values, [0.05, 0.95])
    return float(high - low)


@pytest.mark.slow
def test_intervals_grow_with_distance_whatever_the_data_say(fits):
    """Three decades out they are over twice the additive law's, and inside hardly wider."""
    assert fits["coupled"].attrs["k_hat"] < 0.7
    ratio = {c: width(fits["coupled"], c) / width(fits["additive"], c) for c in (1e20, 1e26)}
    assert ratio[1e20] < 2
    assert ratio[1e26] > 2


@pytest.mark.slow
def test_of_what_lies_ahead_little_is_learned_and_nobody_is_told_to_worry(fits):
    posterior = fits["coupled"]["posterior"]
    spread = float(np.log(posterior["ahead_n"]).std())
    assert 0.1 < spread < 0.42  # its prior's is 0.4; the runs beyond the edge say something
    rows = bs.check(fits["coupled"]).to_frame().set_index("name")
    assert "ahead" not in rows.loc["contraction", "found"]


@pytest.mark.slow
def test_held_out_runs_are_beyond_the_table_of_the_refit(ladder):
    """The edges of a refit are its own: a cut must not know where the runs above it lie."""
    from bayes_scaling.criticism._held_out import refit_parts, whole

    full = whole(ScalingModel(Coupled()), ladder, "test")
    flops = full.runs["flops"].to_numpy(float)
    (one,) = refit_parts(full, [np.flatnonzero(flops < 1e20)], "laplace", 400, 0, None, None)
    below = full.runs.loc[flops < 1e20]
    anchors = dict(one.ready.model.law.reference)
    assert anchors["params_high"] == pytest.approx(below["params"].max(), rel=1e-5)
    assert dict(full.model.law.reference)["params_high"] > anchors["params_high"]


@pytest.mark.slow
def test_decisions_take_it_like_any_law(fits):
    plan = bs.allocate(fits["coupled"], [1e22, 1e24])
    logs = np.log(plan.params_opt)
    assert (logs.diff("budget") > 0).all()
    made = bs.decide(fits["coupled"], bs.ComputeBudget(1e23))
    there = bs.allocate(fits["coupled"], 1e23).params_opt
    low, high = np.quantile(there, [0.05, 0.95])
    assert low < float(bs.plan_of(made).params.item()) < high


def test_best_split_falls_back_on_a_search():
    """No closed form, and none is claimed; least among splits on a fine grid."""
    law = bind(Coupled(), TABLE)
    assert not isinstance(law, HasOptimum)
    theta = SURFACE | {"lam": 0.08, "rho": 0.05, "ahead_n": 1.2, "ahead_d": 0.8, "ahead_e": 0.05}
    params, tokens = best_split(law, theta, 1e22)
    assert params * tokens == pytest.approx(1e22)
    grid = np.geomspace(1e8, 1e13, 4001)
    losses = law(theta, {"params": grid, "tokens": 1e22 / grid})
    assert float(np.log(params / grid[np.argmin(losses)])) == pytest.approx(0.0, abs=0.003)


@pytest.mark.slow
def test_what_is_decided_by_is_the_optimum_of_any_law_of_sizes(fits):
    asked = decided_by(fits["coupled"], budget=1e23)
    there = bs.allocate(fits["coupled"], 1e23).params_opt.values.ravel()
    np.testing.assert_allclose(asked["ln N* at 1e23 FLOP"], np.log(there), rtol=1e-9)


def test_given_means_are_kept_and_only_ends_are_added():
    given = (("params", 1e9), ("tokens", 2e10))
    law = bind(Coupled(reference=given), TABLE)
    assert law.reference[:2] == given
    assert dict(law.reference)["params_high"] == 1e10
    told = bind(Coupled(reference=(*given, ("params_high", 7e9))), TABLE)
    assert dict(told.reference)["params_high"] == 7e9
    assert {"params_low", "params_edge", "tokens_edge"} < set(dict(told.reference))
