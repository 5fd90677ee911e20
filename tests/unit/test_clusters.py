"""Rows of one cluster scatter together: the joint density, what is held out, and true intervals.

Statistical tests reject a right answer once in 1e5 runs; seeds are fixed, so a pass stays one.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import scipy.stats as st
from numpyro.distributions import biject_to

import bayes_scaling as bs
from bayes_scaling import priors
from bayes_scaling.criticism._held_out import log_densities
from bayes_scaling.criticism.predictive import predictive_p
from bayes_scaling.errors import SpecError, TableError
from bayes_scaling.inference import rows as rows_module
from bayes_scaling.inference.many import Refit
from bayes_scaling.inference.target import target_of
from bayes_scaling.observations import CLUSTER, MEASURED
from bayes_scaling.program import prepare

FALSE_ALARM = 1e-5
LAW = bs.Chinchilla(reference=(("params", 3e8), ("tokens", 6e9)))
SURFACE = {"E": 1.7, "a0": 0.5, "b0": 0.6, "alpha": 0.34, "beta": 0.28}
NOISE = {"sigma": 0.01, "nu": 1e9, "shared": 0.7, "span": 0.8, "h": -0.1}
RUNS, MARKS = 16, 6


def correlation(names, tokens, along, shared=NOISE["shared"], span=NOISE["span"]):
    """Return the matrix that the formula of the docstring says, written out."""
    names, logs = np.array(list(names)), np.log(np.asarray(tokens, float))
    fades = np.exp(-np.abs(logs[:, None] - logs) / span) if along else 1.0
    return shared * fades * (names[:, None] == names) + (1 - shared) * np.eye(len(names))


def checkpoints(seed, runs=RUNS, marks=MARKS, along="tokens"):
    """Simulate runs measured on their way, rows in no order."""
    rng = np.random.default_rng(seed)
    params = np.repeat(np.exp(rng.uniform(np.log(3e7), np.log(3e9), runs)), marks)
    end = 20 * params * np.repeat(np.exp(rng.normal(0, 0.7, runs)), marks)
    tokens = end * np.tile(np.geomspace(0.05, 1, marks), runs)
    names = np.repeat([f"r{i}" for i in range(runs)], marks)
    root = np.linalg.cholesky(correlation(names, tokens, along))
    scatter = NOISE["sigma"] * (root @ rng.normal(size=len(names)))
    loss = LAW(SURFACE, {"params": params, "tokens": tokens}) * np.exp(scatter)
    table = pd.DataFrame({"run": names, "params": params, "tokens": tokens, "loss": loss})
    return table.sample(frac=1, random_state=seed).reset_index(drop=True)


def bound(table, model):
    return prepare(bs.ScalingModel(LAW, model), bs.read_runs(table))


def log_density(ready, theta):
    with jax.enable_x64(True):
        values = {k: jnp.asarray(v) for k, v in theta.items()}
        found = ready.program.observed(values, ready.data).log_prob(ready.data["y"])
    return np.asarray(found)[: len(ready.runs)]


MODELS = {
    " ".join([along or "whole", scale, noise]): bs.Clustered("run", along, scale, noise)
    for along in ("tokens", "")
    for scale, noise in (("log", "constant"), ("linear", "constant"), ("log", "compute"))
}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


@every_model
@pytest.mark.parametrize("rows", [36, 33], ids=["all", "some"])
def test_with_many_degrees_of_freedom_it_is_the_joint_normal(model, rows):
    """In any order, padded or not, and with rows missing in the middle of runs."""
    table = checkpoints(1, runs=6).head(rows)
    ready = bound(table, model)
    mu = LAW(SURFACE, {k: table[k].to_numpy() for k in ("params", "tokens")})
    loss, flops = table["loss"].to_numpy(), 6 * table["params"] * table["tokens"]
    away = np.log(loss / mu) if model.scale == "log" else loss - mu
    sd = np.full(rows, NOISE["sigma"])
    if model.noise == "compute":
        sd *= np.exp(NOISE["h"] * (np.log(flops) - np.log(flops).mean()))
    covariance = correlation(table["run"], table["tokens"], model.along) * np.outer(sd, sd)
    expected = st.multivariate_normal(np.zeros(rows), covariance).logpdf(away)
    expected -= np.log(loss).sum() if model.scale == "log" else 0.0
    assert log_density(ready, {**SURFACE, **NOISE}).sum() == pytest.approx(expected, abs=1e-4)


@every_model
def test_draws_have_the_covariance(model):
    table = checkpoints(2, runs=3, marks=4)
    ready, draws = bound(table, model), 20_000
    x = {k: v[:12] if np.ndim(v) else v for k, v in ready.data["x"].items()}
    theta = {k: np.full((draws, 1), v) for k, v in {**SURFACE, **NOISE}.items()}
    got = ready.model.draw(np.random.default_rng(0), theta, x)
    mu, seen = ready.model.mean({k: v[:1] for k, v in theta.items()}, x)
    z = np.log(got / mu) if model.scale == "log" else got - mu
    z /= model._scatter.sd(mu, {k: v[:1] for k, v in theta.items()}, seen)
    wanted = correlation(table["run"], table["tokens"], model.along)
    # A correlation of n pairs errs by at most 1 / sqrt(n), a variance by sqrt(2 / n); 78 of them.
    tolerance = st.norm.isf(FALSE_ALARM / 156) * np.sqrt(2 / draws)
    np.testing.assert_allclose(np.cov(z.T), wanted, atol=tolerance)


@pytest.mark.parametrize("along", ["tokens", ""])
def test_a_run_alone_scatters_as_under_student_t(along):
    theta = {"sigma": 0.01, "nu": 4.0, "shared": 0.7, "span": 0.8}
    model, loss = bs.Clustered("run", along), np.linspace(2.4, 2.6, 5)
    with jax.enable_x64(True):
        ours = model.distribution(2.5, theta, {"tokens": 1e10}).log_prob(loss)
        theirs = bs.StudentT().distribution(2.5, theta, {}).log_prob(loss)
        x = {"tokens": np.full(5, 1e10), CLUSTER: np.arange(5.0), MEASURED: loss}
        each = model.distribution(np.full(5, 2.5), theta, jax.tree.map(jnp.asarray, x))
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
        np.testing.assert_allclose(each.log_prob(loss), theirs, rtol=1e-12)


@pytest.mark.parametrize(("nu", "most"), [(4.0, 0.2), (1e9, 15.0)])
def test_one_bad_checkpoint_is_not_held_against_the_next(nu, most):
    """A run of four marks, the second 20 sd off: how far from the law the third is expected."""
    tokens = 1e9 * np.array([1.0, 1.1, 1.2, 1.3])
    x = {"tokens": tokens, CLUSTER: np.zeros(4), MEASURED: 2.5 * np.exp([0, 0.2, 0, 0])}
    theta = {"sigma": 0.01, "nu": nu, "shared": 0.7, "span": 0.8}
    with jax.enable_x64(True):
        found = bs.Clustered().distribution(
            jnp.full(4, 2.5), theta, {k: jnp.asarray(v) for k, v in x.items()}
        )
        expected = np.asarray(found.base_dist.loc) - np.log(2.5)
    assert expected[:2] == pytest.approx(0, abs=1e-12)
    assert most / 3 < expected[2] / 0.01 < most


def test_parameters_may_differ_by_row():
    """As groups make them: two halves of a table with spans of their own are two tables."""
    table = checkpoints(1, runs=6)
    first = table["run"].isin(["r0", "r1", "r2"]).to_numpy()
    model, whole = bs.Clustered(), 0.0
    own = {**SURFACE, **NOISE, "nu": 4.0}
    spans = np.where(first, 0.3, 2.0)
    for part, span in ((first, 0.3), (~first, 2.0)):
        whole += log_density(bound(table[part], model), {**own, "span": span}).sum()
    ready = bound(table, model)
    with jax.enable_x64(True):
        x = {k: jnp.asarray(v[: len(table)]) for k, v in ready.data["x"].items()}
        x[MEASURED] = jnp.asarray(table["loss"].to_numpy())
        theta = {k: jnp.asarray(v) for k, v in {**own, "span": spans}.items()}
        found = np.asarray(ready.model.distribution(theta, x).log_prob(x[MEASURED]))
    assert found.sum() == pytest.approx(whole, abs=1e-9)


def test_runs_of_two_groups_are_two_whatever_they_are_called():
    table = checkpoints(1, runs=2, marks=2).assign(lab=["a", "b", "a", "b"], run="one")
    pooled = bs.ScalingModel(LAW, bs.Clustered(), pooling=bs.Pooling("lab"))
    ready = prepare(pooled, bs.read_runs(table))
    assert ready.data["x"][CLUSTER][:4].tolist() == [0, 1, 0, 1]


def test_a_pair_reaches_across_groups_where_it_is_said_to():
    """Paired designs: one seed, two recipes, one shared miss; two seeds are two."""
    table = checkpoints(1, runs=2, marks=2).assign(lab=["a", "b", "a", "b"], run=[3, 3, 4, 4])
    pairs = bs.Clustered("run", along="", across=True)
    ready = prepare(bs.ScalingModel(LAW, pairs, pooling=bs.Pooling("lab")), bs.read_runs(table))
    assert ready.data["x"][CLUSTER][:4].tolist() == [0, 0, 1, 1]


def test_a_held_out_cluster_has_its_joint_density(marks, together):
    """Under draws of many degrees of freedom: of rows in any order, and fewer than a page holds."""
    full = prepare(bs.ScalingModel(LAW, bs.Clustered()), marks)
    rows = np.random.default_rng(3).permutation(np.flatnonzero(marks["run"].isin(["r2", "r9"])))
    names = [p.name for p in full.model.params]
    truth = {**SURFACE, **NOISE}
    loose = {p.name: p for p in full.model.params}
    z = np.array([[_loose(full, loose[n], truth[n]) for n, _ in full.program.sites(full.data)]])
    assert len(names) == z.shape[1]
    one = Refit(full, {}, z, {}, "trusted")
    table = marks.iloc[rows]
    mu = LAW(SURFACE, {k: table[k].to_numpy() for k in ("params", "tokens")})
    away = np.log(table["loss"].to_numpy() / mu)
    sd = NOISE["sigma"]
    covariance = correlation(table["run"], table["tokens"], "tokens") * sd**2
    expected = st.multivariate_normal(np.zeros(len(rows)), covariance).logpdf(away)
    got = log_densities(full, one, rows)
    density = got.sum() + np.log(table["loss"]).sum()
    assert density == pytest.approx(expected, abs=1e-4)
    alone = log_densities(full, one, rows, by_itself=True)
    each = st.norm(0, sd).logpdf(away) - np.log(table["loss"])
    np.testing.assert_allclose(alone[0], each, atol=1e-4)


def _loose(full, param, value):
    prior = full.model.prior(param.name)
    numbers = full.data["prior"][param.name]
    with jax.enable_x64(True):
        onto = biject_to(priors.distribution(prior, numbers).support)
        return float(onto.inv(jnp.asarray(value)))


def test_blocks_hold_clusters(marks, monkeypatch):
    """A shuffled table in two blocks: the density of the whole but for what spans the cut."""
    monkeypatch.setattr(rows_module, "BLOCK", 80)  # 32 rows of padding, and eight runs
    monkeypatch.setattr(rows_module, "LARGE", 80)
    ready = prepare(bs.ScalingModel(LAW, bs.Clustered()), marks)
    target = target_of(ready.program, ready.data)
    with jax.enable_x64(True):
        cut, z = rows_module.placed(ready.data), jnp.zeros(target.size)
        assert isinstance(cut, rows_module.Blocks)
        both = [float(target.potential(z, d)) for d in (cut, ready.data)]
    assert both[0] == pytest.approx(both[1], abs=1e-6)


def test_rows_of_equal_inputs_are_a_cluster_where_no_column_names_one():
    table = pd.DataFrame(
        {"params": [1e8, 2e8, 1e8], "tokens": [1e9, 1e9, 1e9], "loss": [3, 2.9, 3.1]}
    )
    ready = bound(table, bs.Clustered(by="", along=""))
    assert ready.data["x"][CLUSTER][:3].tolist() == [0, 1, 0]
    assert set(ready.data["x"][CLUSTER][3:]) == {-1}
    assert ready.model.inputs == ("params", "tokens")


@pytest.mark.slow
@pytest.mark.parametrize("along", ["tokens", ""])
def test_simulated_tables_are_calibrated(marks, along):
    """128 tables of the model's own making; a right engine fails once in 100."""
    model = bs.ScalingModel(LAW, bs.Clustered(along=along))
    found = bs.calibrate(model, marks, 128, draws=400, false_alarm=0.01)
    assert found.passed.all()


@pytest.mark.slow
def test_intervals_are_true_where_rows_share_a_run():
    """96 tables of 16 runs with six marks each; 90 % intervals of alpha.

    As independent rows they miss by far more often than a right interval would in one of 1e5.
    """
    tables = [checkpoints(seed, along="") for seed in range(96)]
    held = {}
    for name, model in {"together": bs.Clustered(along=""), "apart": bs.StudentT()}.items():
        fits = bs.fit_many(bs.ScalingModel(LAW, model), tables, draws=400)
        low, high = fits["alpha"].quantile([0.05, 0.95], ("chain", "draw")).values
        held[name] = int(np.sum((low < SURFACE["alpha"]) & (high > SURFACE["alpha"])))
    least, most = st.binom(96, 0.9).ppf([FALSE_ALARM, 1 - FALSE_ALARM])
    assert least <= held["together"] <= most
    assert held["apart"] < least


@pytest.fixture(scope="module")
def marks():
    return bs.read_runs(checkpoints(7))


@pytest.fixture(scope="module")
def together(marks):
    return bs.fit(bs.ScalingModel(LAW, bs.Clustered()), marks, seed=0)


@pytest.mark.slow
def test_check_sees_rows_that_go_together_and_says_what_to_do():
    marks = bs.read_runs(checkpoints(7, along=""))
    apart = bs.fit(bs.ScalingModel(LAW), marks, seed=0)
    together = bs.fit(bs.ScalingModel(LAW, bs.Clustered(along="")), marks, seed=0)
    assert predictive_p(apart)["rows of one run"] < 0.005
    assert predictive_p(together)["rows of one run"] > 0.005
    assert "observation=Clustered(by='run')" in str(bs.check(apart))
    assert "Clustered(" not in str(bs.check(together))


def test_a_fit_is_saved_and_predicts_a_run_alone(together, tmp_path):
    together.to_netcdf(tmp_path / "fit.nc")
    again = bs.open_fit(tmp_path / "fit.nc")
    assert bs.allocate(again, 1e22).attrs["trust"] == "trusted"
    there = bs.predict(again, {"params": 7e9, "tokens": 1.4e11})
    ratio = np.log(there.loss_run / there.loss_mean)
    sigma = again["posterior"]["sigma"]
    assert float(np.abs(ratio).median() / sigma.median()) == pytest.approx(0.69, abs=0.08)


@pytest.mark.slow
def test_whole_clusters_are_held_out(marks, together):
    model = bs.ScalingModel(LAW, bs.Clustered())
    scores = bs.kfold(model, marks, 4, draws=200)
    folds = pd.Series(scores.in_fold.values).groupby(marks["run"].to_numpy()).nunique()
    assert folds.eq(1).all()
    assert scores.rows.values.tolist() == [24] * 4
    with pytest.raises(SpecError, match="17 folds of 16 clusters"):
        bs.kfold(model, marks, 17)
    with pytest.raises(SpecError, match="leave out whole clusters, with `kfold`"):
        bs.exact_loo(together, marks)
    with pytest.raises(SpecError, match="rows that scatter together are no sample"):
        bs.bootstrap(model, marks)
    with pytest.raises(SpecError, match="leave out whole clusters, with `kfold`"):
        bs.influence(together)
    assert "not checked: rows of one cluster" in str(bs.check(together))
    torn = np.arange(len(marks)) % 2
    with pytest.raises(SpecError, match="folds: parts 16 of 16 clusters"):
        bs.kfold(model, marks, torn)
    with pytest.raises(SpecError, match="column 'half' parts 16 of 16 clusters"):
        bs.leave_future_out(model, marks.assign(half=torn), 1e20, by="half")


@pytest.mark.slow
def test_a_validation_run_is_a_cluster_of_its_own(together):
    said = bs.gate(together, {"params": [5e9], "tokens": [1e11], "loss": [2.35]})
    assert said.fit.attrs["rows"] == RUNS * MARKS + 1


def test_an_average_takes_fits_that_differ_in_what_goes_together(marks, together):
    apart = bs.fit(bs.ScalingModel(LAW), marks, seed=0)
    both = bs.average({"apart": apart, "together": together})
    assert bs.predict(both, {"params": 7e9, "tokens": 1.4e11}).attrs["trust"] == "trusted"


@pytest.mark.slow
def test_a_run_that_crosses_a_cut_is_not_fitted(marks):
    """By the column, or by the observation model; rows above the cut are scored either way."""
    flops, cut = marks["flops"].to_numpy(), float(marks["flops"].quantile(0.8))
    above = set(marks["run"][flops > cut])
    inside = int(np.sum((flops <= cut) & ~marks["run"].isin(above)))
    alone = bs.ScalingModel(LAW)
    ahead = [
        bs.leave_future_out(alone, marks, cut, draws=100),
        bs.leave_future_out(alone, marks, cut, by="run", draws=100),
        bs.leave_future_out(replace(alone, observation=bs.Clustered()), marks, cut, draws=100),
    ]
    assert [int(a.fitted.item()) for a in ahead] == [int(np.sum(flops <= cut)), inside, inside]
    assert {int(a.scored.item()) for a in ahead} == {int(np.sum(flops > cut))}
    crossing = (flops <= cut) & marks["run"].isin(above).to_numpy()
    assert np.isnan(ahead[1].elpd_i.values[0, crossing]).all()
    tested = bs.backtest(alone, marks, cuts=cut, by="run", baselines=["mse"], draws=100)
    assert tested.fitted.values.tolist() == [inside]
    with pytest.raises(SpecError, match=r"no column 'rum' to tell .* Did you mean 'run'"):
        bs.leave_future_out(alone, marks, cut, by="rum")
    low = float(marks["flops"].min())
    with pytest.raises(SpecError, match="all below it goes together with runs above"):
        bs.backtest(alone, marks, cuts=low, by="run")


@pytest.mark.slow
def test_compare_takes_what_to_hold_out_by_from_the_models(marks):
    models = {"apart": bs.ScalingModel(LAW), "together": bs.ScalingModel(LAW, bs.Clustered())}
    cut = float(marks["flops"].quantile(0.8))
    found = bs.compare(models, marks, cuts=cut, folds=4, draws=200)
    assert found.scores.group.to_series().nunique() == RUNS
    assert found.table.lfo_rank["together"] == 1
    mixed = {**models, "repeats": bs.ScalingModel(LAW, bs.Clustered(by="", along=""))}
    with pytest.raises(SpecError, match="say by which column to hold rows out"):
        bs.compare(mixed, marks)


def test_what_a_table_lacks_is_said(marks):
    with pytest.raises(TableError, match="column 'run': missing, and the model needs it"):
        bs.fit(bs.ScalingModel(LAW, bs.Clustered()), marks.drop(columns="run"))
    gaps = marks.assign(run=marks["run"].where(marks.index != 5))
    zero = marks.assign(step=np.arange(len(marks)))
    with pytest.raises(TableError, match=r"'step': 1 values are no positive numbers \(row 0\)"):
        bs.fit(bs.ScalingModel(LAW, bs.Clustered(along="step")), zero)
    with pytest.raises(TableError, match="'step': 96 values are no positive numbers"):
        bs.fit(bs.ScalingModel(LAW, bs.Clustered(along="step")), marks.assign(step="early"))
    with pytest.raises(TableError, match="1 missing values"):
        bs.fit(bs.ScalingModel(LAW, bs.Clustered()), gaps)
