"""Groups seen from above: the coordinates are exact, and so is the marginal density of a spread.

Seeds are fixed, so a pass stays one; each tolerance says how often a right engine would miss it.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
import scipy.stats as st

import bayes_scaling as bs
from bayes_scaling.inference import sample
from bayes_scaling.inference.nested import (
    Around,
    Held,
    _arrow,
    _at,
    _bare,
    _derivatives,
    _spreads,
    cut,
    is_nested,
    joined,
    nest,
    shared_at,
)
from bayes_scaling.inference.optimum import STARTS
from bayes_scaling.inference.proposal import Whitened, about
from bayes_scaling.inference.sampling import optimise, placed
from bayes_scaling.inference.target import Target, starts_for, target_of
from bayes_scaling.program import prepare

FALSE_ALARM = 1e-5
ENDS = (0.05, 0.5, 0.95)


def three_recipes(ladder):
    """Ladders of three recipes whose terms in N differ by 5 %."""
    recipes = {"a": 458.0, "b": 482.0, "c": 506.0}
    parts = [
        ladder(seed, rows=32, A=size).assign(arch=name)
        for seed, (name, size) in enumerate(recipes.items())
    ]
    runs = bs.read_runs(pd.concat(parts, ignore_index=True))
    return prepare(bs.ScalingModel(pooling=bs.Pooling("arch")), runs)


def sweeps_of_batches():
    """Sweeps of the batch size at five sizes; the critical one scatters by 20 %."""
    rng = np.random.default_rng(3)
    rows = []
    for params in np.geomspace(1e8, 1e10, 5):
        b_crit = 1e6 * (params / 1e9) ** 0.4 * np.exp(0.2 * rng.normal())
        for batch in np.geomspace(5e4, 2e7, 19):
            steps = 5000 * (1 + b_crit / batch) * np.exp(0.05 * rng.normal())
            rows.append((f"{params:.1e}", params, batch, np.round(steps)))
    runs = pd.DataFrame(rows, columns=["model", "params", "batch_size_tokens", "steps"])
    runs = bs.read_runs(runs, require=("batch_size_tokens", "steps"))
    pooling = bs.Pooling("model", (("s0", "free"),))
    return prepare(bs.ScalingModel(bs.CriticalBatch("params"), bs.Normal(), pooling=pooling), runs)


@dataclass(frozen=True)
class Hierarchy:
    """``y ~ Normal(theta_g, 1)``, ``theta_g ~ Normal(theta, tau)``: all is Gaussian given tau."""

    local = ("theta_z",)

    def __call__(self, data):
        theta = numpyro.sample("theta", dist.Normal(0.0, 3.0))
        about = data["group_sd"]["theta"]
        tau = numpyro.sample("theta_sd", dist.LogNormal(jnp.log(about["median"]), about["sigma"]))
        with numpyro.plate("group", 6):
            each = numpyro.sample("theta_z", dist.Normal(theta, tau))
        with (
            numpyro.plate("run", data["y"].shape[0]),
            numpyro.handlers.scale(scale=data["weight"]),
        ):
            numpyro.sample("y", dist.Normal(each[data["group"]], 1.0), obs=data["y"])

    def sites(self, _):
        return (("theta", ()), ("theta_sd", ()), ("theta_z", (6,)))

    def prior_draws(self, _, rng, count):
        theta, tau = rng.normal(0, 3, count), rng.normal(np.log(0.5), 0.8, count)
        z = theta[:, None] + np.exp(tau)[:, None] * rng.normal(size=(count, 6))
        loose = {"theta": theta, "theta_sd": tau, "theta_z": z}
        return loose, loose


PER = 4  # runs of a group


def normals():
    rng = np.random.default_rng(5)
    y = np.repeat(1.0 + 0.7 * rng.normal(size=6), PER) + rng.normal(size=6 * PER)
    return {"x": {}, "y": y, "weight": np.ones(6 * PER), "group": np.repeat(np.arange(6), PER),
            "group_sd": {"theta": {"median": 0.5, "sigma": 0.8}}}  # fmt: skip


def exact_normals(log_tau):
    """Return the log density of ln tau, theta and the groups integrated out, to a constant."""
    mean = normals()["y"].reshape(6, PER).mean(axis=1)
    each = [np.exp(2 * t) * np.eye(6) + 9.0 + np.eye(6) / PER for t in log_tau]
    like = [st.multivariate_normal(np.zeros(6), c).logpdf(mean) for c in each]
    return np.array(like) + st.norm.logpdf(log_tau, np.log(0.5), 0.8)


RECIPES, BATCHES = (  # half a minute of compiling each
    pytest.param(v, marks=pytest.mark.slow) for v in ("recipes", "batches")
)


@pytest.fixture(scope="module", params=[RECIPES, BATCHES, "normals"])
def pooled(request, ladder):
    """A pooled program, its data, and the nested coordinates about its peak."""
    if request.param == "normals":
        program, data = Hierarchy(), normals()
    else:
        ready = three_recipes(ladder) if request.param == "recipes" else sweeps_of_batches()
        program, data = ready.program, ready.data
    target = target_of(program, data)
    with jax.enable_x64(True):
        everywhere = placed(data)
        assert is_nested(target, everywhere)
        held = Held(target.program, target.sites)
        start = optimise(held, data, everywhere, 0, STARTS // 2)
        nested, reads, peak, plain = nest(target, everywhere, start)
    assert peak.converged
    return target, everywhere, nested, reads, peak, plain


def test_what_is_cut_is_joined_again(pooled):
    target = pooled[0]
    z = np.random.default_rng(0).normal(size=target.size)
    with jax.enable_x64(True):
        shared, local = cut(target, jnp.asarray(z))
        assert shared.size + local.size == target.size
        assert local.ndim == 2
        np.testing.assert_array_equal(joined(target, shared, local), z)


@pytest.mark.slow  # a Jacobian column by column: half a minute of compiling
def test_nested_coordinates_are_an_exact_change_of_variables(pooled):
    """The density there is the plain one times ``|det|`` of the Jacobian, taken column by column.

    At the peak and two units of its own curvature away from it, where no parabola holds.
    """
    target, everywhere, nested, reads, peak, _ = pooled
    rng = np.random.default_rng(1)
    scale = np.linalg.cholesky(np.linalg.inv(peak.hessian))
    points = [peak.z] + [peak.z + 2 * scale @ rng.normal(size=target.size) for _ in range(4)]
    with jax.enable_x64(True):
        potential = jax.jit(lambda z: nested.potential(z, reads))
        opened = jax.jit(lambda z: nested.opened(z, reads)[0])
        plain = jax.jit(lambda z: target.potential(z, everywhere))
        jacobian = jax.jit(jax.jacfwd(opened))
        moved = []
        for z in points:
            point = opened(z)
            _, log_det = np.linalg.slogdet(np.asarray(jacobian(z)))
            expected = float(plain(point)) - log_det
            assert float(potential(z)) == pytest.approx(expected, rel=1e-10, abs=1e-8)
            moved.append(log_det)
        found = nested.evaluate(jnp.asarray(z), reads)
        np.testing.assert_allclose(found["point"], point)
    assert np.ptp(moved) > 0.05  # the Jacobian is not a constant, so that leaving it out shows


def test_in_nested_coordinates_a_posterior_is_nearly_round(pooled):
    """Groups are standard normal given the rest, up to what the likelihood is no parabola."""
    target, _, nested, reads, peak, _ = pooled
    white = np.setdiff1d(np.arange(target.size), shared_at(target))
    rng, step = np.random.default_rng(4), 0.1
    with jax.enable_x64(True):
        potential = jax.jit(lambda z: nested.potential(z, reads))
        for _ in range(20):
            way = np.zeros(target.size)
            way[white] = rng.normal(size=len(white))
            way *= step / np.linalg.norm(way)
            up, here, down = (float(potential(peak.z + k * way)) for k in (1, 0, -1))
            assert (up - 2 * here + down) / step**2 == pytest.approx(1.0, abs=0.15)
            assert (up - down) / (2 * step) == pytest.approx(0.0, abs=0.15)


@pytest.mark.slow
@pytest.mark.parametrize(("site", "away"), [("sigma", -0.7), ("sigma", 0.7), ("rise", -0.5)])
def test_they_stay_round_where_what_is_shared_is_far_off(site, away):
    """Groups are standard normal given the rest still, and centred.

    Twice the scatter leaves a quarter of the information. A slope that is six of its sds off draws
    every group to a size of its own that its runs do not know of: about one parabola of theirs,
    groups would lie ten units from where they are taken to be, and a hundredth of the mass there.
    """
    ready = sweeps_of_batches()
    target = target_of(ready.program, ready.data)
    with jax.enable_x64(True):
        everywhere = placed(ready.data)
        held = Held(target.program, target.sites)
        start = optimise(held, ready.data, everywhere, 0, STARTS // 2)
        nested, reads, peak, _ = nest(target, everywhere, start)
        potential = jax.jit(lambda z: nested.potential(z, reads))
        z = peak.z.copy()
        z[_at(target.sites, lambda name, _: name == site)] += away
        white = np.setdiff1d(np.arange(target.size), shared_at(target))
        for i in white:
            way = 0.1 * np.eye(target.size)[i]
            up, here, down = (float(potential(z + k * way)) for k in (1, 0, -1))
            assert (up - 2 * here + down) / 0.01 == pytest.approx(1.0, abs=0.3)
            assert (up - down) / 0.2 == pytest.approx(0.0, abs=0.2)


def test_the_proposal_is_the_density_that_it_draws_from():
    """Of what is shared a mixture, of the rest t's: the sum of both, and draws that follow."""
    inner = about(np.array([[1.0, -1.0], [3.0, 0.0]]), np.tile(np.eye(2), (2, 1, 1)), np.zeros(2))
    at, size = np.array([1, 4]), 12
    proposal = Whitened(inner, at, size)
    z = proposal.draw(np.random.default_rng(0), 4000)
    rest = np.setdiff1d(np.arange(size), at)
    expected = inner.log_density(z[:, at]) + st.t(10.0).logpdf(z[:, rest]).sum(axis=1)
    np.testing.assert_allclose(proposal.log_density(z), expected)
    for i in rest:
        assert st.kstest(z[:, i], st.t(10.0).cdf).pvalue > FALSE_ALARM


@pytest.mark.parametrize("held", [False, True])
def test_the_arrow_is_the_dense_hessian(pooled, held):
    target, everywhere, _, _, _, plain = pooled
    kind = (Held if held else Target)(target.program, target.sites)
    rng = np.random.default_rng(2)
    with jax.enable_x64(True):

        def slope(point):
            value, gradient = jax.value_and_grad(kind.potential)(point, everywhere)
            return gradient, value

        arrow = jax.jit(lambda z: _arrow(kind, slope, z))
        dense = jax.jit(jax.hessian(lambda z: kind.potential(z, everywhere)))
        for _ in range(3):
            z = jnp.asarray(plain.z + 0.1 * rng.normal(size=target.size))
            got, value = arrow(z)
            expected = np.asarray(dense(z))
            largest = np.abs(expected).max()
            np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-10 * largest)
            assert float(value) == pytest.approx(float(kind.potential(z, everywhere)))
    groups = cut(target, np.arange(target.size))[1]
    assert np.all(expected[np.ix_(groups[0], groups[1])] == 0)


def test_the_marginal_density_of_a_spread_is_exact_where_all_else_is_gaussian():
    """From a spread of 0.05 to one of 4, twelve nats down, against the closed form."""
    data = normals()
    target = target_of(Hierarchy(), data)
    grid = np.linspace(np.log(0.05), np.log(4.0), 25)
    with jax.enable_x64(True):
        everywhere, bare = placed(data), jax.device_put(_bare(data))
        start = optimise(Held(target.program, target.sites), data, everywhere, 0, STARTS // 2)
        around = Around(target, start.z, _derivatives(target, start.z, everywhere), bare)
        got = np.array([around.given(np.array([t]), start.z)[0] for t in grid])
        spreads, peak, bend, _ = around.peak()
        points, (curvature, *_), below = around.along(spreads, peak, bend)
    expected = -exact_normals(grid)
    np.testing.assert_allclose(got - got[12], expected - expected[12], atol=1e-6)
    fine = np.linspace(-3, 1.5, 20_001)
    density = exact_normals(fine)
    assert density.max() - exact_normals(spreads)[0] < 1e-3  # as near as the search goes
    (theta, tau) = np.sqrt(np.diag(np.linalg.inv(curvature)))
    step = 0.05
    around_peak = exact_normals(spreads + step * np.array([-1, 0, 1]))
    assert tau == pytest.approx(np.sqrt(-(step**2) / np.diff(around_peak, 2)[0]), rel=1e-3)
    # Points along tau on either side, to five nats below the peak, and how far below they are.
    logs = points[:, list(_spreads(target))].ravel()
    assert logs.min() < logs[0] - 1.9 * tau < logs[0] + 1.9 * tau < logs.max()
    np.testing.assert_allclose(below, exact_normals(logs[:1]) - exact_normals(logs), atol=1e-6)
    assert 2 < below.max() < 5
    # Given tau, theta has the precision of six groups, each with its own scatter, and the prior's.
    given_tau = 1 / (6 / (np.exp(2 * spreads[0]) + 1 / PER) + 1 / 9)
    assert np.sqrt(given_tau) <= theta < 1.1 * np.sqrt(given_tau)


def test_the_hierarchy_of_normals_is_sampled_exactly(distance):
    """Both marginals by quadrature; 16,000 draws, resampled from no fewer than 4,000 free ones."""
    got = sample(Hierarchy(), normals(), method="laplace", draws=16_000, seed=1)
    assert got.attrs["k_hat"] < 0.7
    assert got.attrs["effective"] > 4000
    limit = st.kstwo.isf(FALSE_ALARM, 4000)
    grid = np.linspace(-6, 4, 4001)
    density = np.exp(exact_normals(grid) - exact_normals(grid).max())
    density /= np.sum(0.5 * (density[1:] + density[:-1]) * np.diff(grid))
    gap, mass = distance(np.log(got.values["theta_sd"].ravel()), grid, density)
    assert mass == pytest.approx(1.0)
    assert gap < limit
    mean = normals()["y"].reshape(6, PER).mean(axis=1)
    coarse = grid[::20]
    weight = density[::20] / density[::20].sum()
    at = np.linspace(-3, 5, 1601)
    total = np.zeros_like(at)
    for t, w in zip(coarse, weight, strict=True):
        precision = 6 / (np.exp(2 * t) + 1 / PER) + 1 / 9
        middle = mean.sum() / (np.exp(2 * t) + 1 / PER) / precision
        total += w * st.norm.pdf(at, middle, 1 / np.sqrt(precision))
    gap, mass = distance(got.values["theta"].ravel(), at, total)
    assert mass == pytest.approx(1.0, abs=1e-6)
    assert gap < limit


@pytest.mark.slow
@pytest.mark.parametrize("case", ["recipes", "batches"])
def test_importance_sampling_and_nuts_agree_on_pooled_models(case, ladder):
    """Means, and every 5, 50 and 95 % point, within 0.25 posterior sd; sds within 25 %.

    The sd of an end of a normal from n effective draws is 2.1 / sqrt(n) posterior sd. Both have
    more than 4,000: 0.047 for the difference, so 0.25 is 5.3 sd, once in 8 million per number. An
    sd errs by 1 / sqrt(2 n), or 5 % where tails are those of a t with 6 degrees of freedom: 5 of
    those.
    """
    ready = three_recipes(ladder) if case == "recipes" else sweeps_of_batches()
    quick = sample(ready.program, ready.data, method="laplace", draws=16_000, seed=2)
    assert quick.attrs["k_hat"] < 0.7
    assert quick.attrs["effective"] > 4000
    exact = sample(ready.program, ready.data, method="nuts", draws=2000, seed=2)
    assert exact.stats["diverging"].mean() < 5e-3
    assert set(quick.values) == set(exact.values)
    for name, draws in exact.values.items():
        if np.ptp(draws) == 0:
            continue
        a, b = (v.reshape(-1, *v.shape[2:]) for v in (quick.values[name], draws))
        sd = b.std(axis=0)
        gap = np.quantile(a, ENDS, axis=0) - np.quantile(b, ENDS, axis=0)
        assert np.all(np.abs(gap) < 0.25 * sd), f"{name}: {gap / sd}"
        assert np.all(np.abs(a.mean(axis=0) - b.mean(axis=0)) < 0.25 * sd), name
        if name != "nu":  # whose sd is that of its longest draws
            np.testing.assert_allclose(a.std(axis=0) / sd, 1, atol=0.25, err_msg=name)


def test_a_proposal_of_no_density_anywhere_stays_as_it_is():
    proposal = about(np.zeros((1, 2)), np.eye(2)[None], np.zeros(1))
    z = proposal.draw(np.random.default_rng(0), 50)
    assert proposal.refit(z, np.full(50, np.nan)) is proposal
    assert proposal.refit(z, np.full(50, 1 / 50)) is not proposal


def test_starts_of_what_every_group_has_are_in_the_middle():
    """Of many groups some would start far off in any draw of the prior."""
    data = normals()
    target = target_of(Hierarchy(), data)
    z = starts_for(target, data, 50, 0)
    own = cut(target, z.T)[1]
    assert np.all(np.ptp(own, axis=-1) == 0)
    assert np.all(np.ptp(cut(target, z.T)[0], axis=-1) > 0)
