"""Every wrong thing a person does first, and what they are told: one row each."""

import re

import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling.errors import (
    BayesScalingError,
    FitError,
    FitFileError,
    SpecError,
    TableError,
    UnknownNameError,
)

SIZES = {"params": [1e8, 3e8, 1e9, 3e9, 1e9, 2e9], "tokens": [2e9, 6e9, 2e10, 6e10, 5e9, 9e10]}
LOSS = [3.5, 3.1, 2.8, 2.5, 3.0, 2.6]
GOOD = {**SIZES, "loss": LOSS}

TABLES = {
    "empty table": ({"params": [], "tokens": [], "loss": []}, "no runs|empty|0 rows"),
    "no loss column": ({**SIZES, "perplexity": LOSS}, "no column is recognised as loss"),
    "text in a number": ({**GOOD, "params": ["100M", *GOOD["params"][1:]]}, "'100M'.*units="),
    "tokens in billions": ({**GOOD, "tokens": [2, 6, 20, 60, 5, 90]}, r"units=\{'tokens': 'B'\}"),
    "negative size": ({**GOOD, "params": [-1e8, *GOOD["params"][1:]]}, "1 value <= 0.*row 0"),
    "zero size": ({**GOOD, "tokens": [0.0, *GOOD["tokens"][1:]]}, "1 value <= 0.*row 0"),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_cannot_be_read(name):
    table, says = TABLES[name]
    with pytest.raises(TableError) as caught:
        bs.read_runs(table)
    assert re.search(says, str(caught.value)), str(caught.value)


def test_every_problem_is_told_at_once():
    with pytest.raises(TableError) as caught:
        bs.read_runs({"params": [-1.0, "x"], "perplexity": [3.0, 2.0]})
    told = str(caught.value)
    assert "'x'" in told
    assert "loss" in told
    assert "tokens" in told


@pytest.mark.parametrize(("value", "reason"), [(np.inf, "loss is inf"), (np.nan, "loss is NaN")])
def test_a_run_without_a_finite_loss_stays_and_is_not_used(value, reason):
    runs = bs.read_runs({**GOOD, "loss": [value, *LOSS[1:]]})
    assert len(runs) == len(LOSS)
    assert not runs["use"][0]
    assert runs["use"][1:].all()
    assert reason in runs["flag"][0]


def test_a_duplicated_run_is_flagged_and_used():
    runs = bs.read_runs({k: [*v, v[0]] for k, v in GOOD.items()})
    assert "duplicate" in runs["flag"].iloc[-1]
    assert runs["use"].all()


def test_three_runs_are_refused_with_what_to_add():
    with pytest.raises(FitError, match=r"3 usable runs for 5 parameters"):
        bs.fit(bs.ScalingModel(), bs.read_runs({k: v[:3] for k, v in GOOD.items()}))


def test_one_isoflop_is_refused():
    params = np.geomspace(1e8, 1e10, 12)
    loss = 2.5 + 0.05 * np.log(params / 1e9) ** 2
    runs = bs.read_runs({"params": params, "tokens": 1e20 / (6 * params), "loss": loss})
    with pytest.raises(FitError, match=r"isoFLOP|one budget|line"):
        bs.fit(bs.ScalingModel(), runs)


def test_a_large_file_that_does_not_exist(tmp_path):
    (tmp_path / "runs_10gb.csv").write_text("params,tokens,loss\n")
    with pytest.raises(TableError, match=r"no such file; did you mean 'runs_10gb.csv'"):
        bs.read_runs(tmp_path / "runs_10GB_all.csv")


def test_a_file_that_is_no_fit(tmp_path):
    path = tmp_path / "fit.nc"
    path.write_text("params,tokens,loss\n")
    with pytest.raises(FitFileError, match="cannot be read as NetCDF"):
        bs.open_fit(path)


CARDS = {
    "misspelt law": ('law = "chinchila"', UnknownNameError, "Did you mean 'chinchilla'"),
    "misspelt choice": (
        'law = { name = "chinchilla", tide = true }',
        SpecError,
        "no choice 'tide'. Did you mean 'tied'",
    ),
    "misspelt distribution": (
        'law = "chinchilla"\npriors.alpha = { dist = "LogNormall", median = 0.3, sigma = 0.5 }',
        UnknownNameError,
        "Did you mean 'LogNormal'",
    ),
    "misspelt parameter": (
        'law = "chinchilla"\npriors.alhpa = { dist = "LogNormal", median = 0.3, sigma = 0.5 }',
        SpecError,
        "Did you mean 'alpha'",
    ),
    "misspelt number": (
        'law = "chinchilla"\npriors.alpha = { dist = "LogNormal", mean = 0.3, sigma = 0.5 }',
        SpecError,
        "unknown number 'mean'.*missing 'median'",
    ),
}


@pytest.mark.parametrize("name", CARDS)
def test_a_card_with_a_mistake(name, tmp_path):
    model, kind, says = CARDS[name]
    path = tmp_path / "card.toml"
    path.write_text(f'schema = 1\nname = "x"\ntitle = "x"\nstory = "x"\n[model]\n{model}\n')
    with pytest.raises(kind) as caught:
        bs.load_model(path)
    assert re.search(says, str(caught.value)), str(caught.value)
    assert "card.toml" in str(caught.value)


def test_a_card_with_an_unknown_field_or_a_wrong_type(tmp_path):
    path = tmp_path / "card.toml"
    head = 'schema = 1\nname = "x"\ntitle = "x"\nstory = "x"\n'
    path.write_text(head + 'colour = "red"\n[model]\nlaw = "chinchilla"\n')
    with pytest.raises(SpecError, match="colour"):
        bs.load_model(path)
    path.write_text(head + '[model]\nlaw = "chinchilla"\n[sampler]\nchains = "four"\n')
    with pytest.raises(SpecError, match=r"\$\.sampler\.chains"):
        bs.load_model(path)
    path.write_text("schema = ")
    with pytest.raises(SpecError, match="not TOML"):
        bs.load_model(path)


@pytest.mark.parametrize("ask", [bs.load_dataset, bs.describe_dataset])
def test_an_unknown_data_set(ask):
    with pytest.raises(UnknownNameError, match="Did you mean 'chinchilla'"):
        ask("chinchila")


def test_an_unknown_card():
    with pytest.raises(UnknownNameError, match="Did you mean 'chinchilla'"):
        bs.load_posterior("chinchila")


def test_every_error_is_ours():
    for kind in (TableError, FitError, FitFileError, SpecError, UnknownNameError):
        assert issubclass(kind, BayesScalingError)


@pytest.mark.parametrize("budget", [0, -1e20, np.nan, np.inf, [[1e20]]])
def test_a_budget_that_is_none(budget):
    with pytest.raises(SpecError, match="budget must be positive FLOP"):
        bs.allocate(bs.load_posterior("chinchilla"), budget)


def test_a_prediction_nowhere():
    fit = bs.load_posterior("chinchilla")
    with pytest.raises(SpecError, match="tokens not given"):
        bs.predict(fit, {"params": 1e9})
    with pytest.raises(SpecError, match="params: sizes must be positive"):
        bs.predict(fit, {"params": -1e9, "tokens": 1e9})
    with pytest.raises(SpecError, match=r"params 70, tokens 1.4: too small for raw counts"):
        bs.predict(fit, {"params": 70, "tokens": 1.4})
    assert np.isfinite(bs.predict(fit, {"params": 768, "tokens": 1e6}).loss_mean).all()


def test_an_unknown_method():
    with pytest.raises(SpecError, match="'nutz' is unknown; choose one of: auto, laplace, nuts"):
        bs.fit(bs.ScalingModel(), bs.read_runs(GOOD), method="nutz")
