"""A model is a value in plain data; pooling gives each group what was asked for."""

import json
from dataclasses import FrozenInstanceError

import jax
import numpy as np
import numpyro
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling.errors import FitError, SpecError, TableError, UnknownNameError
from bayes_scaling.inference.target import _unconstrained
from bayes_scaling.laws import LAWS, Chinchilla, KaplanND
from bayes_scaling.model import Pooling, ScalingModel, model_from_dict, model_to_dict, model_to_json
from bayes_scaling.observations import OBSERVATIONS, Normal, StudentT, UnderTuned
from bayes_scaling.param import Prior
from bayes_scaling.program import padded, prepare
from bayes_scaling.results import theta_of

ALPHA = Prior.of("LogNormal", median=0.25, sigma=0.3)
MODELS = [
    ScalingModel(),
    ScalingModel(Chinchilla(tied=True, reference=(("params", 1e9), ("tokens", 2e10)))),
    ScalingModel(KaplanND(floor=True), Normal("linear", "compute", known=True)),
    ScalingModel(observation=UnderTuned(), priors={"alpha": ALPHA}),
    ScalingModel(pooling=Pooling("arch")),
    ScalingModel(pooling=Pooling("arch", (("a0", "free"), ("alpha", "partial")))),
]


@pytest.mark.parametrize("model", MODELS, ids=range(len(MODELS)))
def test_a_model_survives_plain_data(model):
    back = model_from_dict(json.loads(model_to_json(model)))
    # Plain data spells every prior out: the two are equal in what they say.
    assert model_to_dict(back) == model_to_dict(model)
    assert back.law == model.law
    assert back.observation == model.observation
    assert back.pooling == model.pooling
    assert back.structure == model.structure
    assert {p.name: back.prior(p.name) for p in back.params} == {
        p.name: model.prior(p.name) for p in model.params
    }
    again = model_from_dict(model_to_dict(back))
    assert again == back
    assert hash(again) == hash(back)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("observation", OBSERVATIONS)
def test_every_law_with_every_observation_model(law, observation):
    spec = {"law": law, "observation": observation}
    needs = set(getattr(OBSERVATIONS[observation], "latents", ()))
    if not needs <= set(getattr(LAWS[law](), "latents", ())):
        with pytest.raises(SpecError, match=f"{observation}.*{law}"):
            model_from_dict(spec)
        return
    model = model_from_dict(spec)
    assert (model.law.name, model.observation.name) == (law, observation)
    assert model_from_dict(model_to_dict(model)).structure == model.structure


def test_a_model_is_frozen_and_equal_by_value():
    one, other = (ScalingModel(priors={"alpha": ALPHA}) for _ in range(2))
    assert one == other
    assert len({one, other, ScalingModel()}) == 2
    with pytest.raises(FrozenInstanceError):
        one.law = Chinchilla()


def test_overrides_may_be_a_mapping_or_pairs_in_any_order():
    beta = Prior.of("LogNormal", median=0.4, sigma=0.3)
    mapping = ScalingModel(priors={"beta": beta, "alpha": ALPHA})
    pairs = ScalingModel(priors=(("alpha", ALPHA), ("beta", beta)))
    assert mapping == pairs
    assert mapping.prior("alpha") == ALPHA
    assert mapping.prior("E") == ScalingModel().prior("E")


def test_inputs_are_what_law_scatter_and_pooling_read():
    model = ScalingModel(Chinchilla(), Normal(noise="compute", known=True), pooling=Pooling("arch"))
    assert model.inputs == ("params", "tokens", "flops", "loss_sd", "arch")


@pytest.mark.parametrize(
    ("spec", "error", "said"),
    [
        ({"laws": "chinchilla"}, SpecError, r"no field 'laws'.? Did you mean 'law'"),
        ({"law": "chinchila"}, UnknownNameError, r"'chinchila'. Did you mean 'chinchilla'"),
        ({"law": {"name": "kaplan_nd", "flor": 1}}, SpecError, r"'flor'. Did you mean 'floor'"),
        ({"observation": "norml"}, UnknownNameError, r"'norml'. Did you mean 'normal'"),
        ({"priors": {"alpa": {"dist": "Normal", "loc": 0, "scale": 1}}}, SpecError,
         r"prior for 'alpa', which 'chinchilla' with 'student_t' does not have. Did you mean 'al"),
        ({"priors": {"alpha": {"dist": "LogNorm", "median": 1, "sigma": 1}}}, UnknownNameError,
         r"'LogNorm'. Did you mean 'LogNormal'"),
        ({"priors": {"q": {"dist": "Normal", "loc": 0, "scale": 1}}}, SpecError,
         r"prior for 'q', .*Parameters: E, a0, b0, alpha, beta, sigma, nu"),
        ({"pooling": {"column": "arch", "modes": {"a0": "half"}}}, SpecError,
         r"modes among \W*shared\W*, \W*partial\W*, \W*free.*half"),
        ({"pooling": {"modes": {"a0": "free"}}}, SpecError, "pooling needs a column"),
        ({"pooling": {"column": "arch", "modes": {"aO": "free"}}}, SpecError,
         r"pooling mode for 'aO'"),
        ({"pooling": {"column": "arch", "modes": {"nu": "partial"}}}, SpecError,
         r"'nu' has a shifted or fixed prior and cannot be pooled partially"),
    ],
)  # fmt: skip
def test_a_model_that_is_not_understood(spec, error, said):
    with pytest.raises(error, match=said):
        model_from_dict(spec)


def test_an_empty_description_is_the_default_model():
    assert model_from_dict({}).structure == ScalingModel().structure


def test_other_numbers_are_one_structure_and_other_choices_are_not():
    plain = ScalingModel()
    same = [
        ScalingModel(Chinchilla(reference=(("params", 1e9), ("tokens", 1e10)))),
        ScalingModel(priors={"alpha": ALPHA}),
        ScalingModel(priors={"nu": Prior.of("Gamma", shape=3, rate=1, plus=2)}),
    ]
    other = [
        ScalingModel(Chinchilla(tied=True)),
        ScalingModel(observation=StudentT("linear")),
        ScalingModel(priors={"alpha": Prior.of("HalfNormal", scale=1)}),
        ScalingModel(priors={"E": Prior.of("Beta", a=4, b=2, times="mean_loss")}),
        ScalingModel(pooling=Pooling("arch")),
    ]
    assert {m.structure for m in same} == {plain.structure}
    assert plain.structure not in {m.structure for m in other}
    assert len({m.structure for m in other}) == len(other)


# A model meets a table.


def test_rows_are_padded_and_weigh_nothing_there(ladder):
    runs = bs.read_runs(ladder(0).head(90))
    ready = prepare(ScalingModel(), runs)
    assert padded(90) == 128 == len(ready.data["weight"]) == len(ready.data["y"])
    assert ready.data["weight"].tolist() == [1.0] * 90 + [1e-30] * 38
    assert np.all(np.isfinite(ready.data["y"]))
    assert ready.data["prior"]["E"]["scale_by"] == runs["loss"].min()


@pytest.mark.parametrize("mode", ["shared", "partial", "free"])
def test_sites_are_those_that_numpyro_finds(mode, ladder):
    runs = ladder(0).assign(arch=np.repeat(["one", "two", "three"], 32))
    pooling = None if mode == "shared" else Pooling("arch", (("alpha", mode),))
    fixed = {"beta": Prior.of("Fixed", value=0.3)}
    ready = prepare(ScalingModel(pooling=pooling, priors=fixed), bs.read_runs(runs))
    names, loose = _unconstrained(ready.program, jax.random.key(0), ready.data)
    found = {name: np.shape(value) for name, value in zip(names, loose, strict=True)}
    assert dict(ready.program.sites(ready.data)) == found
    _, drawn = ready.program.prior_draws(ready.data, np.random.default_rng(0), 5)
    assert {k: v.shape[1:] for k, v in drawn.items() if k != "beta"} == found


@pytest.mark.slow  # NumPyro compiles its own sampler
def test_a_program_is_an_ordinary_numpyro_model(ladder):
    """NumPyro's own sampler takes it as it is, padding and all."""
    ready = prepare(ScalingModel(), bs.read_runs(ladder(0).head(90)))
    with jax.enable_x64(True):
        kernel = numpyro.infer.NUTS(ready.program, max_tree_depth=2)
        mcmc = numpyro.infer.MCMC(kernel, num_warmup=2, num_samples=2, progress_bar=False)
        mcmc.run(jax.random.key(0), ready.data)
    assert set(mcmc.get_samples()) == {p.name for p in ready.model.params}


def test_equal_structures_and_sizes_are_one_program(ladder):
    one = prepare(ScalingModel(), bs.read_runs(ladder(0)))
    other = prepare(ScalingModel(priors={"alpha": ALPHA}), bs.read_runs(ladder(1).head(80)))
    assert one.program == other.program
    assert hash(one.program) == hash(other.program)
    shapes = [{k: np.shape(v) for k, v in p.data["x"].items()} for p in (one, other)]
    assert shapes[0] == shapes[1]
    assert one.fingerprint != other.fingerprint
    assert one.fingerprint == prepare(ScalingModel(), bs.read_runs(ladder(0))).fingerprint


def test_runs_set_aside_are_not_fitted(ladder):
    runs = bs.read_runs(ladder(0))
    runs.loc[[3, 5], "use"] = False
    ready = prepare(ScalingModel(), runs)
    assert list(ready.runs.index) == [i for i in range(96) if i not in (3, 5)]
    with pytest.raises(FitError, match="no usable run"):
        prepare(ScalingModel(), runs.assign(use=False))


def test_every_missing_column_is_named_at_once(ladder):
    model = ScalingModel(observation=Normal(known=True), pooling=Pooling("arch"))
    runs = bs.read_runs(ladder(0))
    runs.loc[2, "loss_sd"] = 0.01
    with pytest.raises(TableError) as error:
        prepare(model, runs)
    assert "column 'arch': missing" in str(error.value)
    assert "column 'loss_sd': 95 missing values (row 0, row 1, row 3" in str(error.value)


def test_the_prior_of_loss_is_the_same_statement_in_any_unit(ladder):
    """In bits per token, the prior of the loss is that in nats over ln 2."""
    runs, bits = bs.read_runs(ladder(0)), 1 / np.log(2)
    in_bits = runs.assign(loss=runs["loss"] * bits)
    nats, other = (bs.sample_prior(ScalingModel(), r, draws=500, seed=0) for r in (runs, in_bits))
    at = {"params": 1e9, "tokens": 2e10}
    np.testing.assert_allclose(
        bs.predict(other, at).loss_mean, bs.predict(nats, at).loss_mean * bits, rtol=1e-9
    )


# Pooling, on two recipes: the second has a higher floor and 1.4 times the N-term.

SECOND = {"E": 2.1, "A": 1.4 * 482.01}


def test_the_rows_dimension_is_no_column_to_pool_by():
    with pytest.raises(SpecError, match="give the column another name"):
        ScalingModel(pooling=Pooling("run"))


@pytest.fixture(scope="module")
def pooled(ladder):
    runs = pd.concat(
        [ladder(1, 48).assign(arch="dense"), ladder(2, 48, **SECOND).assign(arch="routed")],
        ignore_index=True,
    )
    model = ScalingModel(pooling=Pooling("arch", (("a0", "free"), ("b0", "shared"))))
    return bs.fit(model, runs, method="laplace", draws=8000, seed=1)


def test_each_mode_has_its_sites_and_dims(pooled):
    post = pooled.posterior
    assert dict(post.sizes) == {"chain": 4, "draw": 2000, "arch": 2}
    assert list(post.arch.values) == ["dense", "routed"]
    dims = {name: set(post[name].dims) - {"chain", "draw"} for name in post.data_vars}
    shared = {"b0", "alpha", "beta", "sigma", "nu"}
    assert all(dims[name] == set() for name in shared | {"E", "E_sd"})
    assert all(dims[name] == {"arch"} for name in ("E_group", "E_z", "a0_group", "A"))
    assert "a0" not in post  # free: there is no population
    assert not any(f"{name}_{kind}" in post for name in shared for kind in ("group", "sd", "z"))
    assert set(pooled.log_prior.data_vars) == shared | {"E", "E_sd", "E_z", "a0_group"}


def test_group_values_are_recovered(pooled, truth):
    # 5 sd of a posterior of near-normal shape: a false alarm in 1e6 per quantity.
    reference = dict(bs.results.model_of(pooled).law.reference)
    a0 = truth["A"] * reference["params"] ** -truth["alpha"]
    expected = {
        "E_group": [truth["E"], SECOND["E"]],
        "a0_group": [a0, 1.4 * a0],
        "alpha": truth["alpha"],
        "beta": truth["beta"],
    }
    for name, value in expected.items():
        draws = pooled.posterior[name]
        score = (draws.mean(("chain", "draw")) - value) / draws.std(("chain", "draw"))
        assert np.all(np.abs(score) < 5), name
    gap = pooled.posterior.E_group.diff("arch")
    assert float(gap.mean()) == pytest.approx(SECOND["E"] - truth["E"], abs=0.08)
    assert float(gap.std()) < 0.05


def test_the_floor_of_each_group_is_below_its_own_best_loss(pooled):
    loss = pooled.observed_data.loss.to_series().groupby(pooled.constant_data.arch.to_series())
    for group, best in loss.min().items():
        assert float(pooled.posterior.E_group.sel(arch=group).max()) < best


def test_predictions_name_their_group(pooled, truth):
    at = {"params": 3e9, "tokens": 6e10}
    for group, floor, a in (("dense", truth["E"], 1.0), ("routed", SECOND["E"], 1.4)):
        expected = floor + a * truth["A"] * 3e9 ** -truth["alpha"]
        expected += truth["B"] * 6e10 ** -truth["beta"]
        theta = theta_of(pooled, group)
        assert set(theta["E"].dims) == {"chain", "draw"}
        law = bs.results.model_of(pooled).law
        mean = float(law(theta, at).mean())
        assert mean == pytest.approx(expected, rel=0.005)
    with pytest.raises(bs.errors.FitFileError, match=r"no arch 'sparse'; give one of: dense, rou"):
        theta_of(pooled, "sparse")
    with pytest.raises(bs.errors.FitFileError, match=r"give one of: dense, routed"):
        theta_of(pooled)  # a free parameter has no population to fall back to


def test_a_fixed_parameter_is_what_it_was_fixed_at(ladder):
    model = ScalingModel(priors={"alpha": Prior.of("Fixed", value=0.34)})
    fit = bs.fit(model, ladder(0), method="laplace", draws=400)
    np.testing.assert_array_equal(fit.posterior.alpha, 0.34)
    assert float(fit.posterior.beta.std()) > 0
    assert "alpha" not in fit.attrs["sampling"]  # what does not move has no R-hat


@pytest.mark.parametrize("pooling", [None, Pooling("part")])
def test_runs_below_any_floor_do_not_hold_it_down(ladder, pooling):
    """Two broken losses among three thousand leave the floor's prior where it was."""
    runs = pd.concat([ladder(s) for s in range(32)], ignore_index=True)
    runs["part"] = np.arange(len(runs)) % 2
    broken = runs.assign(loss=runs["loss"].where(runs.index > 1, 0.5))

    def scale(table):
        data = prepare(ScalingModel(pooling=pooling), bs.read_runs(table)).data
        return data["group_scale"]["E"] if pooling else data["prior"]["E"]["scale_by"]

    np.testing.assert_allclose(scale(broken), scale(runs), rtol=0.01)
    assert np.all(scale(broken) > 1.8)
    assert np.all(scale(broken.head(96)) < 1.8)  # among a hundred nobody can tell
