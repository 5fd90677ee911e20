"""Cards load, say where they come from, and come out the same when made again."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling.cards import card, load_card, read_card, write_card
from bayes_scaling.errors import SpecError
from tests.helpers import needs_real_tables

MODELS = Path(__file__).parents[2] / "models"
NAMES = sorted(p.parent.name for p in MODELS.glob("*/card.toml"))
SAMPLED = [n for n in NAMES if load_card(n).data]


def test_the_shipped_cards_are_listed():
    shipped = {"chinchilla", "chinchilla-245", "chinchilla-hoffmann", "kaplan2020"}
    recipes = ("kaplan", "head", "warmup", "cosine", "tuned")
    shipped |= {f"porian-{c}-{r}" for c in ("refinedweb", "openwebtext2") for r in recipes}
    assert shipped <= set(bs.list_models()["name"])


@pytest.mark.parametrize("name", NAMES)
def test_a_card_names_itself_its_law_and_its_references(name):
    found = load_card(name)
    assert found.name == name
    assert found.references
    assert "\n" in found.story
    assert bs.load_model(name).law.name in str(found)


@pytest.mark.parametrize("name", SAMPLED)
def test_a_reference_posterior_meets_its_checks_and_holds_no_data(name):
    found, fit = load_card(name), bs.load_posterior(name)
    assert all(found.acceptance["checks"].values())
    assert set(found.acceptance["versions"]) >= {"jax", "numpyro"}
    assert fit.attrs["rows"] == found.data.rows
    assert list(fit.children) == ["posterior"]
    assert bs.check(fit).status != "FAIL"
    table = bs.check(fit).to_frame().set_index("name")
    sampled = {"nuts": "R-hat and ESS", "laplace": "k-hat"}[fit.attrs["method"]]
    assert table.loc[sampled, "status"] == "PASS"


def test_the_first_published_joint_law():
    fit = bs.load_posterior("kaplan2020")
    there = bs.predict(fit, {"params": 1e9, "tokens": 1e10}).loss_mean
    np.testing.assert_allclose(there, 2.41965, atol=6e-6)
    np.testing.assert_allclose(fit.posterior.a, 0.575, atol=6e-4)


def test_published_coefficients_give_the_published_optimum():
    # Hoffmann et al.'s unrounded coefficients at the Gopher budget.
    plan = bs.allocate(bs.load_posterior("chinchilla-hoffmann"), 5.76e23)
    assert float(plan.params_opt.std()) == pytest.approx(0, abs=1)
    assert float(plan.params_opt.mean()) == pytest.approx(4.036e10, rel=1e-3)
    assert float(plan.tokens_per_param.mean()) == pytest.approx(58.92, rel=1e-3)
    assert float(plan.loss_opt.mean()) == pytest.approx(1.9184, rel=1e-4)


def test_a_card_survives_being_written(tmp_path):
    found = load_card("chinchilla")
    write_card(found, tmp_path / "card.toml")
    assert read_card(tmp_path / "card.toml") == found


def test_copy_a_card_and_change_three_lines(tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(MODELS / "chinchilla", folder)
    text = (folder / "card.toml").read_text()
    text = text.replace('name = "student_t"', 'name = "normal"')
    (folder / "card.toml").write_text(text)
    assert bs.load_model(folder).observation.name == "normal"
    assert bs.load_model(folder / "card.toml") == bs.load_model(folder)


def test_a_folder_of_ones_own_comes_first(tmp_path, monkeypatch):
    shutil.copytree(MODELS / "chinchilla", tmp_path / "mine")
    monkeypatch.setenv("BAYES_SCALING_MODELS", str(tmp_path))
    assert "mine" in set(bs.list_models()["name"])


def test_a_later_format_is_refused(tmp_path):
    path = tmp_path / "card.toml"
    path.write_text(f'schema = {card.SCHEMA + 1}\nname="x"\ntitle="x"\nstory="x"\n[model]\n')
    with pytest.raises(SpecError, match="Upgrade"):
        read_card(path)


def test_published_coefficients_need_reference_sizes(tmp_path):
    path = tmp_path / "card.toml"
    head = 'schema = 1\nname="x"\ntitle="x"\nstory="x"\n'
    path.write_text(head + '[model]\nlaw = "chinchilla"\n[published]\nE = 1.7\n')
    with pytest.raises(SpecError, match="needs `reference`"):
        bs.load_model(path)


def test_nothing_to_reproduce_without_data():
    with pytest.raises(SpecError, match="has no data"):
        bs.reproduce("chinchilla-hoffmann")


QUICK = ("chinchilla", "porian-openwebtext2-kaplan", "routing-clark", "gadre-error")  # others: slow
HOURS = "steplaw-dense"  # of NUTS
BENT = "xlstm"  # two ridges, of which importance sampling finds one, and is flagged: k-hat 0.8
BY_IMPORTANCE = [n for n in SAMPLED if load_card(n).sampler.method == "laplace" and n != HOURS]


@needs_real_tables
@pytest.mark.parametrize(
    "name",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in SAMPLED],
)
def test_a_reference_posterior_comes_out_the_same(name):
    # Another engine and seed: every mean within 0.15 posterior sd of the reference's.
    again = bs.reproduce(name, method="nuts" if name == BENT else "laplace", seed=7)
    assert again.same, str(again)


@pytest.mark.slow
@needs_real_tables
@pytest.mark.parametrize("name", BY_IMPORTANCE)
def test_a_posterior_by_importance_comes_out_the_same_by_nuts(name):
    again = bs.reproduce(name, method="nuts", draws=2000, seed=7)
    assert again.same, str(again)


@needs_real_tables
def test_a_card_of_some_rows_refuses_rows_that_are_not_there(tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(MODELS / "porian-refinedweb-tuned", folder)
    text = (folder / "card.toml").read_text()
    for wrong, said in (
        (
            text.replace("[data.keep]\nexperiment", "[data.keep]\nexperimant"),
            "no column 'experimant'",
        ),
        (text.replace('"tuned_no_decay"', '"tuned"'), r"has experiment in \['tuned'\]"),
    ):
        (folder / "card.toml").write_text(wrong)
        with pytest.raises(SpecError, match=said):
            bs.reproduce(folder)


@needs_real_tables
@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("porian")])
def test_valleys_agree_with_the_published_exponents(name):
    """Their 95 % intervals come from optima budget by budget, ours from all runs along a line.

    Kaplan's own recipe on RefinedWeb is the one that differs: 0.888 (0.854, 0.924) for 0.835
    (0.824, 0.846). Its grids are wide and one-sided, and its valleys lie on no straight line; with
    a minimum of its own per budget the exponent is 0.87 (0.81, 0.92).
    """
    found = load_card(name)
    (recipe,) = found.data.keep["experiment"]
    published, low, high = bs.describe_dataset(found.data.name).published["a"][recipe]
    a = bs.load_posterior(name)["posterior"]["a"]
    own = a.quantile([0.025, 0.975]).values
    assert float(a.mean()) == pytest.approx(published, abs=0.06)
    assert (own[0] < high and low < own[1]) == (name != "porian-refinedweb-kaplan"), own
