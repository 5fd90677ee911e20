"""What every law must do, for each of its choices; and the published numbers of the joint laws."""

from dataclasses import replace

import hypothesis.strategies as st
import jax
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings

from bayes_scaling import priors
from bayes_scaling.errors import SpecError, UnknownNameError
from bayes_scaling.laws import (
    LAWS,
    Anchored,
    Chinchilla,
    HasFloor,
    HasOptimum,
    HasShares,
    Held,
    KaplanND,
    Law,
    Monotone,
    PowerLaw,
    bind,
    from_zero,
    law_from_dict,
    ranges_of,
    search_split,
    to_dict,
)

# A new law is tested under its defaults by being registered; more choices are a line here.
CHOICES = {
    "chinchilla": [
        {},
        {"tied": True},
        {"floor": False},
        {"nested": True},
        {"tied": True, "nested": True},
        {"floor": False, "nested": True},
    ],
    "kaplan_nd": [{}, {"floor": True}],
    "coupled": [{}, {"coupling": False}, {"ahead": False}],
    "clark_moe": [{}, {"floor": True}],
    "power_law": [
        {},
        {"floor": False},
        {"of": "params"},
        {"of": "tokens", "floor": False},
        {"of": "steps", "curve": True},
    ],
    "m4": [{}, {"of": "tokens"}],
    "bnsl": [{}, {"breaks": 0}, {"breaks": 2}],
    "data_constrained": [{}, {"tied": True}],
    "asymptote": [{}, {"data": True}, {"data": True, "ensembles": False}],
    "kaplan_ns": [{}, {"floor": True}],
    "cbs": [  # along a loss: in test_batch, as losses span no decades
        {},
        {"along": "params"},
        {"along": "params_tokens"},
        {"elbow": True},
        {"along": "tokens", "elbow": True},
    ],
    "moe_sparsity": [{}, {"alone": False}],
    "mixing_exp": [{}, {"domains": ("web", "code", "books")}, {"own": "p2"}],
    "mixing_scale": [
        {},
        {"joint": True},
        {"term": "exp"},
        {"domains": ("web", "code", "books"), "joint": True, "term": "exp"},
    ],
    "ladder": [{}, {"upstream": "flops", "shape": "gompertz"}, {"upstream": "loss"}],
    "gadre_error": [{}, {"upstream": "params_tokens", "chance": 0.2}, {"upstream": "flops"}],
    "sigmoid_compute": [{}, {"shape": "gompertz"}],
    "emergence": [{}, {"breaks": 1, "floor": True, "length": 30.0}],
    "coverage": [{}, {"zeros": True}],
    "test_time": [{}],
    "isoflop": [{}, {"frontier": "additive"}, {"shape": "quadratic"}],
    "time_trend": [{}, {"of": "flops"}],
    "tuning": [
        {},
        {"knobs": ("lr",), "along": ("width",)},
        {"along": ("width",), "scale": "linear"},
        {"knobs": ("lr", "batch_size_tokens"), "along": (("params", "tokens"), ("tokens",))},
        {"knobs": ("lr", "batch_size_tokens"), "along": (("params",), ()), "rule": "step-law"},
        {"knobs": ("aspect_ratio",), "along": ("params",), "level": "params"},
        {"knobs": ("lr",), "level": "tokens", "scale": "linear"},
    ],
}
SIZES = ("params", "tokens")
ENDS = (("params_low", 1e8), ("params_high", 4e10), ("params_edge", 6e9), ("tokens_edge", 6e9),
        ("params_top", 1e10), ("tokens_top", 1e10))  # fmt: skip
BESIROGLU = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
HOFFMANN = {
    "E": np.exp(0.5267228),
    "A": np.exp(6.0073404),
    "B": np.exp(6.0179186),
    "alpha": 0.33917084,
    "beta": 0.2849083,
}
ROUNDED = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}
KAPLAN = {"N_c": 6.4e13, "D_c": 1.8e13, "alpha_N": 0.076, "alpha_D": 0.103}


def middle_of(low, high):
    return (low + high) / 2 if np.isfinite(high) else 2.0 * max(low, 1.0)


def bound(name, choices):
    law = LAWS[name](**choices)
    ranges = ranges_of(law)
    sizes = tuple((x, middle_of(*ranges[x]) if x in ranges else 2e9) for x in law.inputs)
    return replace(law, reference=sizes + ENDS * isinstance(law, Anchored))


def described(choices):
    plain = {True: "{}", False: "no-{}"}
    return [plain.get(v, "{}=" + str(v)).format(k) for k, v in choices.items()]


CASES = {
    " ".join([name, *described(choices)]): bound(name, choices)
    for name in LAWS
    for choices in CHOICES.get(name, [{}])
}


def laws(ability):
    """Run a test on every law that has an ability."""
    return pytest.mark.parametrize(
        "law", [pytest.param(law, id=name) for name, law in CASES.items() if ability(law)]
    )


every_law = laws(lambda _: True)
with_floor = laws(lambda law: isinstance(law, HasFloor))
monotone = laws(lambda law: isinstance(law, Monotone))
of_loss = laws(lambda law: law.outcome == "loss")
plane = laws(lambda law: law.inputs == SIZES and isinstance(law, HasOptimum))
joint = laws(
    lambda law: (
        law.inputs == SIZES
        and law.outcome == "loss"
        and {"a0", "b0"} <= {p.name for p in law.params}
        and not isinstance(law, Anchored)
    )
)


def theta_of(law, count=5, seed=0):
    """Draw parameters from the law's own priors: where it has to work."""
    rng = np.random.default_rng(seed)
    stats = dict.fromkeys(priors.STATISTICS, 2.5)
    drawn = {
        p.name: priors.draw(p.prior, priors.values(p.prior, stats), rng, count) for p in law.params
    }
    return {name: value for name, (value, _) in drawn.items()}


def x_of(law, count=4, seed=1):
    rng = np.random.default_rng(seed)
    sizes = {k: np.exp(rng.uniform(np.log(1e7), np.log(1e12), count)) for k in law.inputs}
    return within(law, sizes)


def within(law, x):
    """Keep what may be zero to its reference, the largest seen, and other numbers to their ranges.

    Sizes of 1e5 to 1e14 become numbers all over a range, and shares sum to one.
    """
    out = {k: np.minimum(v, 2e9) if k in from_zero(law) else v for k, v in x.items()}
    for name, (low, high) in ranges_of(law).items():
        along = (np.log(out[name]) - np.log(1e5)) / np.log(1e9)
        top = high if np.isfinite(high) else 100 * max(low, 1.0)
        out[name] = low + (top - low) * np.clip(along, 0.0, 1.0)
    if isinstance(law, HasShares):
        total = sum(out[k] for k in law.shares)
        if np.all(total == 0):  # of nothing: equal parts
            out, total = out | dict.fromkeys(law.shares, 1.0), float(len(law.shares))
        out |= {k: out[k] / total for k in law.shares}
    return out


def one(theta, i):
    return {k: v[i] for k, v in theta.items()}


@every_law
def test_a_law_is_a_frozen_value_with_documented_parameters(law):
    assert isinstance(law, Law)
    assert hash(law) == hash(replace(law))
    assert law == replace(law)
    names = [p.name for p in law.params]
    assert len(set(names)) == len(names)
    for p in law.params:
        assert p.meaning
        assert p.unit
        assert p.typical[0] < p.typical[1]


@every_law
def test_numpy_broadcasts_and_stays_float64(law):
    theta, x = theta_of(law), x_of(law)
    table = law({k: v[:, None] for k, v in theta.items()}, x)
    assert table.shape == (5, 4)
    assert table.dtype == np.float64
    for i in range(5):
        for j in range(4):
            assert law(one(theta, i), one(x, j)) == pytest.approx(table[i, j], rel=1e-14)


@every_law
def test_xarray_broadcasts_by_name(law):
    theta, x = theta_of(law, 6), x_of(law)
    named = {k: xr.DataArray(v.reshape(2, 3), dims=("chain", "draw")) for k, v in theta.items()}
    points = {k: xr.DataArray(v, dims="point") for k, v in x.items()}
    out = law(named, points)
    assert set(out.dims) == {"chain", "draw", "point"}
    expected = law({k: v[:, None] for k, v in theta.items()}, x).reshape(2, 3, 4)
    np.testing.assert_allclose(out.transpose("chain", "draw", "point"), expected, rtol=1e-14)


@every_law
def test_jax_under_jit_agrees_with_numpy_and_differentiates(law):
    theta, x = one(theta_of(law), 0), one(x_of(law), 0)
    names, inputs = list(theta), list(x)
    scale = np.array([*theta.values(), *x.values()], float)  # of either sign
    at = np.zeros(len(scale))

    def log_loss(logs, xp):
        values = [s * xp.exp(v) for s, v in zip(scale, logs, strict=True)]
        mine, sizes = values[: len(names)], values[len(names) :]
        return xp.log(
            law(dict(zip(names, mine, strict=True)), dict(zip(inputs, sizes, strict=True)))
        )

    with jax.enable_x64(True):
        value, slope = jax.jit(jax.value_and_grad(lambda v: log_loss(v, jax.numpy)))(at)
    assert value.dtype == np.float64
    assert float(value) == pytest.approx(float(log_loss(at, np)), abs=1e-13)
    # A central difference with step h errs by h^2 and by rounding / h, both near 1e-10 here.
    step = 1e-5 * np.eye(len(at))
    differences = [(log_loss(at + h, np) - log_loss(at - h, np)) / 2e-5 for h in step]
    np.testing.assert_allclose(slope, differences, rtol=1e-6, atol=1e-9)


@with_floor
def test_the_floor_is_what_remains(law):
    theta = theta_of(law)
    nothing_missing = law(theta, dict.fromkeys(law.inputs, np.inf))
    np.testing.assert_allclose(nothing_missing, law.irreducible(theta), rtol=1e-14)
    assert np.all(law(theta, dict.fromkeys(law.inputs, 1e12)) >= law.irreducible(theta))


@joint
def test_with_one_input_unlimited_the_other_ones_term_remains(law):
    theta, floor = theta_of(law), law.irreducible(theta_of(law))
    size = np.array([1e7, 3e9, 1e12])[:, None]
    beta = theta.get("beta", theta["alpha"])
    in_params = floor + theta["a0"] * (size / 2e9) ** -theta["alpha"]
    in_tokens = floor + theta["b0"] * (size / 2e9) ** -beta
    got = law(theta, {"params": size, "tokens": np.inf})
    np.testing.assert_allclose(got, in_params, rtol=1e-12)
    got = law(theta, {"params": np.inf, "tokens": size})
    np.testing.assert_allclose(got, in_tokens, rtol=1e-12)


@monotone
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    logs=st.lists(st.floats(np.log(1e5), np.log(1e14)), min_size=6, max_size=6),
    more=st.floats(0.01, 20.0),
)
def test_more_of_anything_never_hurts(law, seed, logs, more):
    theta = one(theta_of(law, 1, seed), 0)
    x = within(law, {k: np.exp(v) for k, v in zip(law.inputs, logs, strict=False)})
    here = law(theta, x)
    for name in law.decreasing:
        assert law(theta, {**x, name: x[name] * np.exp(more)}) <= here * (1 + 1e-13)
    everything = {k: v * np.exp(more) if k in law.decreasing else v for k, v in x.items()}
    assert law(theta, everything) < here


@every_law
def test_the_papers_parameters_and_back(law):
    theta = theta_of(law)
    back = law.from_paper(law.to_paper(theta))
    assert set(back) == set(theta) == {p.name for p in law.params}
    for name, value in theta.items():
        np.testing.assert_allclose(back[name], value, rtol=1e-10, err_msg=name)


@joint
def test_the_papers_equation(law):
    theta, x = theta_of(law), {k: v[:, None] for k, v in x_of(law).items()}
    paper = law.to_paper(theta)
    n, d, floor = x["params"], x["tokens"], law.irreducible(theta)
    if "N_c" in paper:
        of_n = (paper["N_c"] / n) ** (paper["alpha_N"] / paper["alpha_D"])
        expected = floor + (of_n + paper["D_c"] / d) ** paper["alpha_D"]
    else:
        q, beta = paper.get("q", 1.0), paper.get("beta", paper["alpha"])
        of_n, of_d = paper["A"] * n ** -paper["alpha"], paper["B"] * d**-beta
        expected = floor + (of_n ** (1 / q) + of_d ** (1 / q)) ** q
    np.testing.assert_allclose(law(theta, x), expected, rtol=1e-10)


@laws(lambda law: len(law.inputs) > 1 and not isinstance(law, HasShares))
def test_an_input_held_is_the_law_there(law):
    theta, x = theta_of(law), one(x_of(law), 1)
    name = law.inputs[-1]
    if name in getattr(law, "swept", ()) or hasattr(law, "swept"):
        with pytest.raises(SpecError, match="it is of sweeps"):
            Held(law, ((name, 1e9),))
        return
    held = Held(law, ((name, float(x[name])),))
    assert set(held.inputs) == set(law.inputs) - {name}
    left = {k: v for k, v in x.items() if k != name}
    np.testing.assert_allclose(held(theta, left), law(theta, x), rtol=1e-14)
    assert law_from_dict(to_dict(held)) == held
    if isinstance(law, HasFloor):
        assert np.all(held.irreducible(theta) <= held(theta, left) * (1 + 1e-12))


@laws(lambda law: not (getattr(law, "rule", None) or getattr(law, "origin", None)))  # of counts
def test_units_of_size_do_not_matter(law):
    theta, x = theta_of(law), one(x_of(law), 1)
    other = dict.fromkeys(ranges_of(law), 1.0)  # no sizes, and so in no unit of size
    rescaled = tuple((k, v / other.get(k, 1e6)) for k, v in law.reference)
    rescaled = replace(law, reference=rescaled)
    got = rescaled(theta, {k: v / other.get(k, 1e6) for k, v in x.items()})
    np.testing.assert_allclose(got, law(theta, x), rtol=1e-12)


@of_loss
def test_units_of_loss_do_not_matter(law):
    theta, x, bits = theta_of(law), one(x_of(law), 1), 1 / np.log(2)
    in_nats = [p.name for p in law.params if p.unit == "nat/token"]
    rescaled = {k: v * bits if k in in_nats else v for k, v in theta.items()}
    np.testing.assert_allclose(law(rescaled, x), law(theta, x) * bits, rtol=1e-12)


@every_law
def test_the_reference_does_not_matter(law):
    theta, x = theta_of(law), one(x_of(law), 2)
    tops = {k: high for k, (_, high) in ranges_of(law).items() if np.isfinite(high)}
    moved = {
        k: (v + tops[k]) / 2 if k in tops else v * 7.0 if k in law.inputs else v
        for k, v in law.reference
    }
    moved = replace(law, reference=tuple(moved.items()))
    there = moved.from_paper(law.to_paper(theta))
    assert not any(np.allclose(there[k], theta[k]) for k in ("a0", "b0") if k in theta)
    got = moved(there, x)
    np.testing.assert_allclose(got, law(theta, x), rtol=1e-10)


@plane
def test_the_optimum_is_what_a_search_finds(law):
    theta = {k: v[:, None] for k, v in theta_of(law, 20).items()}
    product = np.array([1e16, 1e20, 1e24])
    params, tokens = law.optimum(theta, product)
    assert params.shape == (20, 3)
    np.testing.assert_allclose(params * tokens, np.broadcast_to(product, params.shape), rtol=1e-12)
    searched, rest = search_split(law, theta, product)
    np.testing.assert_allclose(params, searched, rtol=1e-5)
    np.testing.assert_allclose(tokens, rest, rtol=1e-5)


@plane
def test_at_the_optimum_the_loss_is_level_along_the_budget(law):
    theta = theta_of(law, 20)
    params, tokens = law.optimum(theta, 1e21)
    floor = law.irreducible(theta) if isinstance(law, HasFloor) else theta["E"]

    def reducible(step):
        x = {"params": params * np.exp(step), "tokens": tokens * np.exp(-step)}
        return np.log(law(theta, x) - floor)

    # The third derivative is below 1, so a step of 1e-3 leaves 1e-6 of the slope.
    slope = (reducible(1e-3) - reducible(-1e-3)) / 2e-3
    np.testing.assert_allclose(slope, 0.0, atol=1e-5)
    assert np.all(reducible(0.1) > reducible(0.0))
    assert np.all(reducible(-0.1) > reducible(0.0))


@plane
def test_the_exponent_is_the_slope_of_the_optimum(law):
    theta = theta_of(law, 20)
    (low, _), (high, _) = (law.optimum(theta, k) for k in (1e18, 1e24))
    slope = np.log(high / low) / np.log(1e6)
    np.testing.assert_allclose(law.exponent(theta), slope, rtol=1e-12)


@plane
def test_the_optimum_takes_named_dimensions(law):
    theta = {k: xr.DataArray(v, dims="draw") for k, v in theta_of(law).items()}
    params, tokens = law.optimum(theta, xr.DataArray([1e18, 1e24], dims="budget"))
    assert set(params.dims) == set(tokens.dims) == {"draw", "budget"}


@every_law
@pytest.mark.parametrize("size", [1.0, 1e30])
def test_extreme_sizes_stay_finite(law, size):
    theta = theta_of(law, 50)
    x = within(law, dict.fromkeys(law.inputs, size))
    value = law(theta, x)
    assert np.all(np.isfinite(value) & (value > 0))

    # 1e30 times 1e30 is beyond float32, and A = a0 N0^alpha is where it would be lost.
    def mean(theta, x):
        return jax.numpy.log(law(theta, x)).mean()

    theta32 = {k: jax.numpy.asarray(v, "float32") for k, v in theta.items()}
    x32 = {k: jax.numpy.float32(v) for k, v in x.items()}
    slopes = jax.grad(mean, argnums=(0, 1))(theta32, x32)
    assert all(np.all(np.isfinite(v)) for v in jax.tree.leaves(slopes))


# The published numbers: coefficients in, N*, D*/N*, L* out. Tolerances are of the last digit given.


def chinchilla(paper):
    law = Chinchilla(reference=(("params", 1e9), ("tokens", 2e10)))
    return law, law.from_paper(paper)


@pytest.mark.parametrize(
    ("paper", "flops", "size", "ratio", "loss"),
    [
        (BESIROGLU, 5.76e23, 7.225e10, 18.39, 1.9744),
        (BESIROGLU, 1e21, 2.778e9, 21.59, 2.3055),
        (BESIROGLU, 3.8e25, 6.187e11, 16.55, 1.8917),
        (HOFFMANN, 5.76e23, 4.036e10, 58.92, 1.9184),
        (ROUNDED, 5.76e23, 3.219e10, 92.65, 1.9307),
    ],
)
def test_published_optima(paper, flops, size, ratio, loss):
    law, theta = chinchilla(paper)
    params, tokens = law.optimum(theta, flops / 6)
    assert params == pytest.approx(size, rel=1e-3)
    assert tokens / params == pytest.approx(ratio, rel=1e-3)
    assert law(theta, {"params": params, "tokens": tokens}) == pytest.approx(loss, abs=6e-5)


def test_hoffmanns_exponents():
    law, theta = chinchilla(HOFFMANN)
    assert law.exponent(theta) == pytest.approx(0.4565, abs=6e-5)
    params, _ = law.optimum(theta, 1.0)
    assert params == pytest.approx(1.3002, rel=1e-3)  # N* = G (C / 6)^a
    losses = []
    for product in (1e20, 1e26):
        params, tokens = law.optimum(theta, product)
        losses.append(law(theta, {"params": params, "tokens": tokens}) - HOFFMANN["E"])
    gamma = -np.log(losses[1] / losses[0]) / np.log(1e6)
    assert gamma == pytest.approx(0.1548, abs=6e-5)


@pytest.mark.parametrize(("paper", "loss"), [(BESIROGLU, 1.9739), (HOFFMANN, 1.9209)])
def test_the_loss_of_chinchilla_itself(paper, loss):
    law, theta = chinchilla(paper)
    assert law(theta, {"params": 70e9, "tokens": 1.4e12}) == pytest.approx(loss, abs=6e-5)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), log_flops=st.floats(np.log(1e15), np.log(1e30)))
def test_the_optimal_loss_in_closed_form(seed, log_flops):
    law = Chinchilla(reference=(("params", 1e9), ("tokens", 2e10)))
    theta = one(theta_of(law, 1, seed), 0)
    p = law.to_paper(theta)
    share = np.exp(log_flops) / 6
    params, tokens = law.optimum(theta, share)
    total = p["alpha"] + p["beta"]
    g = (p["alpha"] * p["A"] / (p["beta"] * p["B"])) ** (1 / total)
    gamma = p["alpha"] * p["beta"] / total
    reducible = (p["A"] * g ** -p["alpha"] + p["B"] * g ** p["beta"]) * share**-gamma
    got = law(theta, {"params": params, "tokens": tokens})
    assert got == pytest.approx(p["E"] + reducible, rel=1e-10)


def test_kaplans_numbers():
    law = KaplanND(reference=(("params", 1e8), ("tokens", 1e9)))
    theta = law.from_paper(KAPLAN)
    assert law(theta, {"params": 1e9, "tokens": 1e10}) == pytest.approx(2.41965, abs=6e-6)
    # Their laws in one variable are the limits, with coefficients of their own.
    alone = {"N_c": 8.8e13, "D_c": 5.4e13, "alpha_N": 0.076, "alpha_D": 0.095}
    theta = law.from_paper(alone)
    assert law(theta, {"params": 1e9, "tokens": np.inf}) == pytest.approx(2.3756, abs=6e-5)
    assert law(theta, {"params": np.inf, "tokens": 1e10}) == pytest.approx(2.2624, abs=6e-5)


def test_kaplans_joint_law_splits_compute_less_unevenly_than_the_paper():
    law = KaplanND(reference=(("params", 1e8), ("tokens", 1e9)))
    theta = law.from_paper(KAPLAN)
    # N* ~ C^(1 / (1 + alpha_N / alpha_D)); the paper's 0.73 is of another law.
    assert law.exponent(theta) == pytest.approx(0.575, abs=6e-4)


def test_kaplan_is_the_nested_law_with_q_equal_to_beta():
    kaplan = KaplanND(reference=(("params", 1e8), ("tokens", 1e9)))
    nested = Chinchilla(floor=False, nested=True, reference=kaplan.reference)
    theta = theta_of(kaplan, 50)
    also = {**theta, "q": theta["beta"]}
    x = {"params": np.geomspace(1e6, 1e12, 7)[:, None], "tokens": 3e10}
    np.testing.assert_allclose(nested(also, x), kaplan(theta, x), rtol=1e-10)
    for ours, theirs in zip(nested.optimum(also, 1e20), kaplan.optimum(theta, 1e20), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def test_the_nested_law_with_q_of_one_is_the_additive_law():
    additive = Chinchilla(reference=(("params", 1e8), ("tokens", 1e9)))
    theta, x = theta_of(additive), {"params": 1e9, "tokens": 1e10}
    nested = replace(additive, nested=True)
    np.testing.assert_allclose(nested({**theta, "q": 1.0}, x), additive(theta, x), rtol=1e-13)


def test_kaplans_learning_curves():
    law = LAWS["kaplan_ns"](reference=(("params", 1e8), ("steps", 1e4)))
    paper = {"N_c": 6.5e13, "S_c": 2.1e3, "alpha_N": 0.077, "alpha_S": 0.76}
    theta = law.from_paper(paper)
    x = {"params": np.array([1e6, 1e9]), "steps": np.array([3e3, 1e5])}
    of_n, of_s = (6.5e13 / x["params"]) ** 0.077, (2.1e3 / x["steps"]) ** 0.76
    np.testing.assert_allclose(law(theta, x), of_n + of_s, rtol=1e-12)


def test_what_the_prior_of_learning_curves_says():
    """The catalogue's 2.5, 50 and 97.5 % of L / mean L at the reference: 0.56, 1.0, 1.9."""
    law = bound("kaplan_ns", {})
    loss = law(theta_of(law, 20_000), dict.fromkeys(law.inputs, 2e9)) / 2.5
    got = np.quantile(loss, [0.025, 0.5, 0.975])
    np.testing.assert_allclose(got, [0.56, 1.0, 1.9], rtol=0.03)


# Laws of one variable.


@pytest.mark.parametrize(
    ("of", "x_c", "alpha", "size", "loss"),
    [
        ("params", 8.8e13, 0.076, 1e9, 2.3756),
        ("tokens", 5.4e13, 0.095, 1e10, 2.2624),
        ("flops", 3.1e8 * 8.64e19, 0.050, 8.64e19, 3.1e8**0.05),
    ],
)
def test_kaplans_three_laws(of, x_c, alpha, size, loss):
    law = PowerLaw(of=of, floor=False, reference=((of, 1e8),))
    theta = law.from_paper({"X_c": x_c, "alpha": alpha})
    assert law(theta, {of: size}) == pytest.approx(loss, rel=3e-5)
    assert law(theta, {of: x_c}) == pytest.approx(1.0, rel=1e-12)


def test_what_the_prior_says_a_hundredfold_buys():
    """The catalogue's 2.5, 50 and 97.5 % of L(100 X0) / L(X0): 0.52, 0.85, 0.97, of 20,000."""
    law = bound("power_law", {})
    theta = theta_of(law, 20_000)
    ratio = law(theta, {"flops": 2e11}) / law(theta, {"flops": 2e9})
    got = np.quantile(ratio, [0.025, 0.5, 0.975])
    np.testing.assert_allclose(got, [0.52, 0.85, 0.97], atol=0.04)


def test_m4_is_its_implicit_equation():
    law = bound("m4", {})
    theta, x = theta_of(law, 200), {"flops": np.geomspace(1e3, 1e16, 9)[:, None]}
    loss, paper = law(theta, x), law.to_paper(theta)
    left = np.log(loss - theta["E"]) - theta["k"] * np.log(theta["L_max"] - loss)
    right = paper["log_b"] - theta["alpha"] * np.log(x["flops"])
    fine = (loss - theta["E"] > 1e-6) & (theta["L_max"] - loss > 1e-6)  # digits left to compare
    assert fine.mean() > 0.8
    np.testing.assert_allclose(left[fine], right[fine], atol=1e-7)
    middle = {"flops": 2e9}
    share = (law(theta, middle) - theta["E"]) / (theta["L_max"] - theta["E"])
    np.testing.assert_allclose(share, theta["share"], rtol=1e-12)


@pytest.mark.parametrize("breaks", [0, 1, 2])
def test_the_broken_law_is_the_papers_product(breaks):
    law = bound("bnsl", {"breaks": breaks})
    theta, x = theta_of(law, 100), np.geomspace(1e5, 1e13, 9)[:, None]
    p = law.to_paper(theta)
    expected = np.exp(p["log_b"] - p["c0"] * np.log(x))
    for i in range(1, breaks + 1):
        inner = np.logaddexp(0, (np.log(x) - p[f"log_d{i}"]) / p[f"f{i}"])
        expected = expected * np.exp(-p[f"c{i}"] * p[f"f{i}"] * inner)
    np.testing.assert_allclose(law(theta, {"flops": x}), p["E"] + expected, rtol=1e-9)
    if breaks == 0:
        plain = bound("power_law", {})
        np.testing.assert_allclose(law(theta, {"flops": x}), plain(theta, {"flops": x}), rtol=1e-12)


def test_how_often_the_broken_laws_prior_turns_upwards():
    """The catalogue: with one break the slope changes sign in 0.16 of prior draws; 0.3 % is one sd.

    A false alarm needs five sd.
    """
    theta = theta_of(bound("bnsl", {}), 20_000)
    upwards = np.mean(theta["alpha"] + theta["bend1"] < 0)
    assert upwards == pytest.approx(0.16, abs=0.015)


# Plain data, and what is said of mistakes.


@every_law
@pytest.mark.parametrize("bound", [True, False])
def test_a_law_survives_plain_data(law, bound):
    law = law if bound else replace(law, reference=None)
    spec = to_dict(law)
    assert law_from_dict(spec) == law
    assert set(spec) >= {"name"}
    defaults = to_dict(type(law)())
    assert defaults == {"name": law.name}


def test_a_name_alone_is_a_law():
    assert law_from_dict("kaplan_nd") == KaplanND()


def test_an_unknown_law_is_told_what_was_meant():
    with pytest.raises(UnknownNameError, match=r"no law is named 'chinchila'. Did you mean 'chin"):
        law_from_dict({"name": "chinchila"})
    with pytest.raises(UnknownNameError, match=r"Known: .*kaplan_nd"):
        law_from_dict({})


def test_an_unknown_choice_is_told_what_was_meant():
    with pytest.raises(SpecError, match=r"'chinchilla' has no choice 'tide'. Did you mean 'tied'"):
        law_from_dict({"name": "chinchilla", "tide": True})
    with pytest.raises(SpecError, match=r"Choices: floor, reference"):
        law_from_dict({"name": "kaplan_nd", "nested": True})


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("power_law", {"of": "token"}),
        ("bnsl", {"breaks": 3}),
        ("isoflop", {"frontier": "powr"}),
    ],
)
def test_a_wrong_choice_is_refused_however_the_law_is_made(name, wrong):
    ((choice, value),) = wrong.items()
    with pytest.raises(SpecError, match=f"{choice} = {value!r} is not one of"):
        LAWS[name](**wrong)


def test_a_law_without_reference_says_how_to_get_one():
    with pytest.raises(SpecError, match=r"no reference sizes yet; bind it to a table"):
        Chinchilla()(theta_of(Chinchilla()), {"params": 1e9, "tokens": 1e10})


def test_binding_takes_geometric_means_once():
    x = {"params": np.array([1e8, 1e10]), "tokens": np.array([4e9, 1e10, 2.5e10])}
    law = bind(Chinchilla(), x)
    assert dict(law.reference) == {"params": 1e9, "tokens": 1e10}
    assert bind(law, {"params": np.ones(2), "tokens": np.ones(2)}) is law


def divided(law):
    """Shares alone are divided by nothing."""
    return not (isinstance(law, HasShares) and set(law.shares) == set(law.inputs))


@pytest.mark.parametrize("name", [n for n in LAWS if divided(LAWS[n]())])
def test_an_unbound_law_says_how_to_bind_it_wherever_it_is_used(name):
    law = LAWS[name]()
    theta = {p.name: 5.0 if p.name == "L_max" else 0.5 for p in law.params}
    paper = bound(name, {}).to_paper(theta)
    x = dict.fromkeys(law.inputs, 1e10)
    ends = (replace(law, reference=tuple((k, at) for k in law.inputs)) for at in (1.0, 3.0))
    near = dict.fromkeys(law.inputs, 1.5)
    sized = not set(law.inputs) <= set(ranges_of(law))
    if not sized and len({float(end(theta, near)) for end in ends}) == 1:
        assert np.isfinite(law(theta, x))  # it divides by nothing, and so needs no sizes
        return
    calls = [
        lambda: law(theta, x),
        lambda: law.to_paper(theta),
        lambda: law.from_paper(paper),
    ]
    calls += [lambda: law.optimum(theta, 1e20)] if isinstance(law, HasOptimum) else []
    for call in calls:
        with pytest.raises(SpecError, match="no reference sizes yet; bind it"):
            call()
