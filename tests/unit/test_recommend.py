"""What to set and what a miss costs: published rules, regret, transfer across scale, figures."""

import json

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_scaling as bs
from bayes_scaling.cli import main
from bayes_scaling.errors import FitFileError, SpecError, UnknownNameError
from bayes_scaling.laws.rules import RULES, timescale
from bayes_scaling.model import model_for
from bayes_scaling.param import Prior

mpl.use("Agg")
DRAWS = ("chain", "draw")
PLAN = {"params": 1e9, "tokens": 1e11}
KAPPA, KAPPA_B = 0.02, 0.01


def fixed(law, values, observation=None):
    """A "fit" whose every draw is these values."""
    priors = {k: Prior.of("Fixed", value=v) for k, v in values.items()}
    model = bs.ScalingModel(law, observation or bs.Normal(), priors=priors)
    return bs.sample_prior(model, draws=4)


@pytest.fixture(scope="module")
def step_law():
    """Step Law's optima with bowls that are parabolas."""
    reference = (("lr", 1e-3), ("batch_size_tokens", 1e6), ("params", 1e9), ("tokens", 1e11))
    along = (("params", "tokens"), ("tokens",))
    law = bs.Tuning(("lr", "batch_size_tokens"), along, reference=reference)
    there = RULES["step-law"](PLAN)
    values = {
        "l0": 2.5, "sigma": 0.003,
        "opt_lr": float(there["lr"]) / 1e-3, "opt_batch": float(there["batch_size_tokens"]) / 1e6,
        "rise_lr_params": -0.713, "rise_lr_tokens": 0.307, "rise_batch_tokens": 0.571,
        "curvature_lr": KAPPA, "curvature_batch": KAPPA_B, "skew_lr": 0.0, "skew_batch": 0.0,
        "fade_lr_params": 0.0, "fade_lr_tokens": 0.0, "fade_batch_tokens": 0.0,
        "follow_lr_batch": 0.5, "knee_lr_batch": 1e6, "drift_lr_batch_tokens": 0.0,
    }  # fmt: skip
    return fixed(law, values)


def along_width(rise, kappa=KAPPA, observation=None, **more):
    law = bs.Tuning("lr", "width", reference=(("lr", 1e-3), ("width", 1024)))
    values = {"l0": 2.5, "sigma": 0.003, "opt_lr": 1.0, "curvature_lr": kappa, "skew_lr": 0.0,
              "rise_lr_width": rise, "fade_lr_width": 0.0, **more}  # fmt: skip
    return fixed(law, values, observation)


@pytest.mark.parametrize(
    ("rule", "at", "expected"),
    [
        ("step-law", PLAN, {"lr": 1.6325e-3, "batch_size_tokens": 1.1077e6}),
        ("deepseek", {"flops": 6e20}, {"lr": 7.88e-4, "batch_size_tokens": 1.828e6}),
        ("kaplan-lr", {"params": 1e6}, {"lr": 1.3117e-3}),
        ("kaplan-lr", {"params": 1e8}, {"lr": 6.693e-4}),
        ("kaplan-lr", {"params": 1e9}, {"lr": 3.481e-4}),
    ],
)
def test_published_rules(rule, at, expected):
    got = {k: float(v) for k, v in RULES[rule](at).items()}
    assert got == {k: pytest.approx(v, rel=1e-3) for k, v in expected.items()}
    assert set(RULES[rule].knobs) == set(expected)


def test_kaplans_rate_ends_where_it_falls_to_zero():
    assert float(RULES["kaplan-lr"]({"params": 1.2125e10})["lr"]) > 0
    assert np.isnan(RULES["kaplan-lr"]({"params": 1.2127e10})["lr"])


def test_the_timescale_of_power_lines():
    np.testing.assert_allclose(timescale(np.array([20, 100, 1000])), [0.2236, 0.0957, 0.0284],
                               rtol=2e-3)  # fmt: skip


def test_the_recommended_setting_is_the_best_and_the_plateau_is_what_the_tolerance_allows(step_law):
    plan = bs.recommend(step_law, PLAN, tolerance=0.001)
    assert float(plan.lr[0]) == pytest.approx(1.6325e-3, rel=1e-3)
    assert float(plan.batch_size_tokens[0]) == pytest.approx(1.1077e6, rel=1e-3)
    assert float(plan.regret.max()) == pytest.approx(0.0, abs=1e-12)
    # Of a parabola: kappa / 2 ln(ratio)^2 = tolerance. The grid is a thirtieth of an e-fold.
    wide = np.sqrt(2 * 0.001 / KAPPA)
    for end in ("low", "high"):
        ratio = abs(np.log(float(plan[f"lr_{end}"][0] / plan.lr[0])))
        assert wide - 0.034 < ratio <= wide + 1e-9
    # A batch off its best takes the learning rate off with it: its own curvature is more.
    both = np.sqrt(2 * 0.001 / (KAPPA_B + 0.25 * KAPPA))
    ratio = np.log(float(plan.batch_size_tokens_high[0] / plan.batch_size_tokens[0]))
    assert both - 0.034 < ratio <= both + 1e-9


def test_several_plans_at_once_move_as_the_law_says(step_law):
    plan = bs.recommend(step_law, {"params": [1e9, 1e10], "tokens": 1e11})
    assert float(plan.lr[1] / plan.lr[0]) == pytest.approx(10**-0.713)
    assert float(plan.batch_size_tokens[1] / plan.batch_size_tokens[0]) == pytest.approx(1.0)


def test_what_a_setting_and_a_rule_cost(step_law):
    best = RULES["step-law"](PLAN)
    own = {"lr": [float(best["lr"]), 2 * float(best["lr"])],
           "batch_size_tokens": float(best["batch_size_tokens"])}  # fmt: skip
    cost = bs.setting_cost(step_law, own, PLAN)["excess"].mean(DRAWS).values.ravel()
    np.testing.assert_allclose(cost, [0.0, 0.5 * KAPPA * np.log(2) ** 2], atol=1e-12)
    rule = bs.setting_cost(step_law, "step-law", PLAN)["excess"]
    np.testing.assert_allclose(rule, 0.0, atol=1e-12)
    there = RULES["deepseek"]({"flops": 6e20})
    off_b = np.log(there["batch_size_tokens"] / best["batch_size_tokens"])
    off_lr = np.log(there["lr"] / best["lr"]) - 0.5 * off_b
    deepseek = bs.setting_cost(step_law, "deepseek", {**PLAN, "flops": 6e20})["excess"]
    lost = 0.5 * (KAPPA * off_lr**2 + KAPPA_B * off_b**2)
    np.testing.assert_allclose(deepseek, lost, rtol=1e-5)  # the knee is far off, not at infinity
    # Kaplan's rule says nothing of the batch, which is then at its best.
    kaplan = bs.setting_cost(step_law, "kaplan-lr", PLAN)["excess"]
    off = np.log(RULES["kaplan-lr"](PLAN)["lr"] / best["lr"])
    np.testing.assert_allclose(kaplan, 0.5 * KAPPA * off**2)
    assert "caution" not in bs.setting_cost(step_law, "kaplan-lr", PLAN).attrs
    far = bs.setting_cost(step_law, "kaplan-lr", {**PLAN, "params": 6e9})
    assert "kaplan-lr beyond its reach in params" in far.attrs["caution"]


@pytest.mark.parametrize(
    ("card", "at", "expected"),
    [
        ("rule-step-law", PLAN, {"lr": 1.6325e-3, "batch_size_tokens": 1.1077e6}),
        ("rule-deepseek", {"flops": 6e20}, {"lr": 7.88e-4, "batch_size_tokens": 1.829e6}),
        ("rule-deepseek", PLAN, {"lr": 7.88e-4, "batch_size_tokens": 1.829e6}),
        ("rule-porian", {"params": 1e9}, {"lr": 2.129e-3, "batch_size_tokens": 1.610e6}),
        ("rule-kaplan-lr", {"params": 1e8}, {"lr": 6.6929e-4}),
    ],
)
def test_published_rules_are_cards(card, at, expected):
    plan = bs.recommend(bs.load_posterior(card), at)
    for knob, value in expected.items():
        np.testing.assert_allclose(plan[knob], value, rtol=1e-3)
        assert float(plan[f"{knob}_opt"].std()) < 1e-9 * value
        assert plan[f"{knob}_low"] < plan[knob] < plan[f"{knob}_high"]  # by the prior's curvature


def test_a_rule_says_where_its_authors_stop_and_where_it_ends():
    fit = bs.load_posterior("rule-kaplan-lr")
    assert "caution" not in bs.recommend(fit, {"params": 1e9}).attrs
    assert "beyond its reach in params" in bs.recommend(fit, {"params": 6e9}).attrs["caution"]
    with pytest.raises(SpecError, match="no answer"):
        bs.recommend(fit, {"params": [1e9, 2e10]})
    with pytest.raises(SpecError, match="'widht' is not read"):
        bs.recommend(bs.load_posterior("rule-deepseek"), {**PLAN, "widht": 1.0})
    with pytest.raises(SpecError, match="sets lr, and none of the knobs batch_size_tokens"):
        bs.Tuning("batch_size_tokens", rule="kaplan-lr")


@pytest.mark.slow
def test_whether_a_rule_holds_on_runs_of_ones_own():
    """Best rates that are 1.5 times Kaplan's, and fall faster by the power -0.2."""
    rng = np.random.default_rng(3)
    params = np.repeat([1e6, 1e7, 1e8, 1e9], 9)
    rule = RULES["kaplan-lr"]({"params": params})["lr"]
    best = 1.5 * rule * (params / 10**7.5) ** -0.2
    lr = best * np.tile(np.geomspace(0.25, 4.0, 9), 4)
    level = 2.0 + (params / 1e6) ** -0.1
    loss = level * np.exp(0.02 * np.log(lr / best) ** 2 + 0.001 * rng.normal(size=36))
    runs = {"params": params, "lr": lr, "loss": loss, "sweep": [f"{n:.0e}" for n in params]}
    pooling = bs.Pooling("sweep", (("l0", "free"),))
    law = bs.Tuning("lr", "params", rule="kaplan-lr", reference=(("lr", 1e-3), ("params", 10**7.5)))
    fit = bs.fit(bs.ScalingModel(law, bs.Normal(), pooling=pooling), runs)
    opt, rise = fit["posterior"]["opt_lr"], fit["posterior"]["rise_lr_params"]
    low, high = opt.quantile([0.005, 0.995]).values
    assert 1.0 < low < 1.5 < high < 2.0
    low, high = rise.quantile([0.005, 0.995]).values
    assert low < -0.2 < high < 0.0
    # What transfer calls the exponent is the rule's and what is beyond it.
    own = np.log(rule[-1] / rule[0]) / np.log(1e3)
    found = bs.transfer(fit, 1e6, 1e9).rise
    np.testing.assert_allclose(found, rise + own, atol=1e-9)


def test_no_setting_is_called_good_where_all_are_expected_to_lose_more_than_is_tolerated():
    """Half an e-fold of doubt costs ``kappa / 2 * 0.25`` of the loss whatever is set."""
    law = bs.Tuning(reference=(("lr", 1e-3),))
    values = {"l0": 2.5, "sigma": 0.003, "curvature_lr": KAPPA, "skew_lr": 0.0}
    priors = {k: Prior.of("Fixed", value=v) for k, v in values.items()}
    priors["opt_lr"] = Prior.of("LogNormal", median=1.0, sigma=0.5)
    fit = bs.sample_prior(bs.ScalingModel(law, bs.Normal(), priors=priors), draws=2000)
    for tolerance, good in ((0.5 * KAPPA * 0.25 * 1.2, True), (0.5 * KAPPA * 0.25 / 1.2, False)):
        plan = bs.recommend(fit, tolerance=tolerance)
        assert np.isfinite(plan.lr_low[0]) == np.isfinite(plan.lr_high[0]) == good
        assert good == bool(plan.regret.mean() < tolerance)


def test_answers_are_in_units_of_their_own(step_law):
    """Those of the parameters they were made from stay behind."""
    plan = bs.recommend(step_law, PLAN)
    units = {str(k): v.attrs for k, v in plan.data_vars.items()}
    for name, attrs in units.items():
        expected = "tokens" if name.startswith("batch") else "1"
        assert attrs == {"units": expected}, name


def test_the_optima_of_two_knobs_that_move_along_one_size(step_law):
    """Sizes that both move along are those of the sweep once."""
    n = 6
    x = {**PLAN, "lr": np.geomspace(1e-4, 1e-2, n), "batch_size_tokens": np.full(n, 1e6)}
    fit = step_law.copy()
    data = {k: ("run", np.broadcast_to(v, n)) for k, v in x.items()}
    fit["constant_data"] = xr.Dataset(data)
    fit["observed_data"] = xr.Dataset({"loss": ("run", np.full(n, 2.6))})
    found = bs.sweep_optima(fit, "lr")
    assert float(found.best.mean()) == pytest.approx(1.6325e-3, rel=1e-3)
    assert {k: found[k].values.tolist() for k in PLAN} == {k: [v] for k, v in PLAN.items()}


def test_failures_that_were_modelled_are_predicted():
    law = bs.Tuning(reference=(("lr", 1e-3),))
    values = {"l0": 2.5, "sigma": 0.003, "opt_lr": 1.0, "curvature_lr": KAPPA, "skew_lr": 0.0,
              "warp": 0.1, "nu": 5.0, "margin": 1.5, "cliff": 0.2}  # fmt: skip
    fit = fixed(law, values, bs.Sweep(divergence=True))
    risk = bs.setting_cost(fit, {"lr": 1e-3 * np.exp([0.0, 1.5, 1.9])})["diverge"]
    odds = 1 / (1 + np.exp(-(np.array([0.0, 1.5, 1.9]) - 1.5) / 0.2))
    np.testing.assert_allclose(risk.mean(DRAWS).values.ravel(), odds)
    assert float(bs.recommend(fit).diverge[0]) == pytest.approx(odds[0])


@pytest.mark.parametrize(("rise", "verdict"), [(-1.0, "does not"), (-0.02, "transfers")])
def test_transfer_is_judged_by_what_the_loss_tolerates(rise, verdict):
    found = bs.transfer(along_width(rise), 256, 8192, tolerance=0.001)
    # The region of the catalogue: sqrt(2 tol / kappa) / ln ratio; 0.152 for 8 x.
    np.testing.assert_allclose(found.rope, np.sqrt(0.002 / KAPPA) / np.log(32))
    np.testing.assert_allclose(found.penalty, 0.5 * KAPPA * (rise * np.log(32)) ** 2)
    np.testing.assert_allclose(found.rise, rise)
    assert found.attrs["verdict"] == verdict
    assert found.attrs["transfers"] == float(verdict == "transfers")
    eight = bs.transfer(along_width(rise), 1000, 8000)
    assert float(eight.rope[0, 0]) == pytest.approx(0.152, abs=1e-3)


def sweep(lr, best=1e-3, seed=0):
    loss = 3 * np.exp(0.02 * np.log(lr / best) ** 2)
    noise = np.exp(0.001 * np.random.default_rng(seed).normal(size=len(lr)))
    return pd.DataFrame({"lr": lr, "loss": loss * noise})


def fit_one(lr):
    runs = bs.read_runs(sweep(lr), require=("lr", "loss"))
    return bs.fit(bs.ScalingModel(bs.Tuning(), bs.Normal()), runs)


@pytest.fixture(scope="module")
def inside():
    return fit_one(np.geomspace(2e-4, 5e-3, 10))


def test_a_best_beyond_the_runs_is_said_to_be(inside):
    found = bs.sweep_optima(inside)
    assert not bool(found.outside[0])
    low, high = found.best.quantile([0.005, 0.995])
    assert low < 1e-3 < high
    beyond = bs.sweep_optima(fit_one(np.geomspace(3e-5, 4e-4, 10)))
    assert bool(beyond.outside[0])
    assert float(beyond.high[0]) == pytest.approx(4e-4)


def test_the_figure_of_a_sweep_has_its_runs_and_its_best(inside):
    ax = bs.plots.plot_sweeps(inside)
    drawn = [c for c in ax.collections if len(getattr(c, "get_offsets", list)()) == 10]
    assert drawn
    (mark,) = [ln for ln in ax.lines if ln.get_marker() == "D" and len(ln.get_xdata())]
    middle = float(bs.sweep_optima(inside).best.median())
    assert float(mark.get_xdata()[0]) == pytest.approx(middle, rel=0.02)
    plt.close("all")


def test_the_figure_of_optima_has_the_power_law_and_the_kept_setting():
    ax = bs.plots.plot_optimum(along_width(-1.0), base=256)
    (law,) = [ln for ln in ax.lines if ln.get_label() == "power law"]
    np.testing.assert_allclose(law.get_ydata(), 1e-3 * 1024 / law.get_xdata())
    (kept,) = [ln for ln in ax.lines if "kept" in str(ln.get_label())]
    np.testing.assert_allclose(kept.get_ydata(), 4e-3)
    assert ax.get_xlabel().startswith("width")
    plt.close("all")


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda f: bs.recommend(f), SpecError, "params, tokens of the planned run not given"),
        (lambda f: bs.recommend(f, {**PLAN, "params": -1}), SpecError, "positive params"),
        (lambda f: bs.recommend(f, {**PLAN, "width": 64}), SpecError, "'width' is not read"),
        (lambda f: bs.recommend(f, 1e9), SpecError, "along params and tokens: give"),
        (lambda f: bs.recommend(f, {"params": [1e9, 2e9], "tokens": [1e9] * 3}), SpecError,
         "found 2 of params, 3 of tokens"),
        (lambda f: bs.recommend(f, PLAN, tolerance=[0.1, 0.2]), SpecError, "tolerance: a share"),
        (lambda _: bs.recommend("steplaw-dense", PLAN), FitFileError, "found 'steplaw-dense'"),
        (lambda f: bs.setting_cost(f, 1e-3, PLAN), SpecError, "by name, or a rule's name"),
        (lambda f: bs.setting_cost(f, {"lr": [1e-3] * 2, "batch_size_tokens": [1e6] * 3}, PLAN),
         SpecError, "2 of lr, 3 of batch_size_tokens"),
        (lambda f: bs.transfer(f, [1, 2], 3, knob="lr", along="params"), SpecError, "base: a pos"),
        (lambda f: bs.plots.plot_optimum(f, "params", knob="lr", base=-1), SpecError, "found -1"),
        (lambda f: bs.recommend(f, PLAN, tolerance=0), SpecError, "tolerance: a share"),
        (lambda f: bs.setting_cost(f, "steplaw", PLAN), UnknownNameError, "Did you mean 'step-l"),
        (lambda _: bs.setting_cost(bs.load_posterior("rule-kaplan-lr"), "deepseek",
                                   {"params": 1e9}), SpecError, "flops of the planned run"),
        (lambda f: bs.setting_cost(f, "kaplan-lr", {**PLAN, "params": 2e10}), SpecError,
         "no answer at sizes as large"),
        (lambda f: bs.setting_cost(f, {"lr": 1e-3}, PLAN), SpecError, "batch_size_tokens not"),
        (lambda f: bs.transfer(f, 1e8, 1e9), SpecError, "knob: one of lr, batch_size_tokens"),
        (lambda f: bs.transfer(f, 1e8, 1e9, knob="lr"), SpecError, "along: one of params, tokens"),
        (lambda f: bs.transfer(f, 1e8, 1e8, knob="lr", along="params"), SpecError, "both 1e"),
        (lambda f: bs.sweep_optima(f, "lr"), FitFileError, "does not carry its runs"),
        (lambda f: bs.plots.plot_sweeps(f, knob="lr"), FitFileError, "does not carry them"),
        (lambda _: bs.recommend(bs.load_posterior("chinchilla")), SpecError, "no setting that was"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_said(step_law, call, error, said):
    with pytest.raises(error, match=said):
        call(step_law)


def test_a_law_of_sweeps_is_usually_fitted_with_levels_of_their_own():
    several = model_for(bs.Tuning("lr", "width", scale="linear"))
    assert several.pooling == bs.Pooling("sweep", (("l0", "free"),))
    assert several.observation == bs.Sweep("linear")
    assert model_for(bs.Tuning()).pooling is None
    assert model_for(bs.Chinchilla()) == bs.ScalingModel()
    assert model_for(bs.Coupled()).observation == bs.StudentT(noise="compute")


def test_the_command_line_fits_a_sweep_and_recommends(tmp_path, capsys):
    table, out = tmp_path / "sweep.csv", tmp_path / "fit.nc"
    sweep(np.geomspace(2e-4, 5e-3, 16)).to_csv(table, index=False)
    asked = ["fit", str(table), "--column", "lr=lr", "--law", "tuning", "--out", str(out)]
    assert main([*asked, "--json"]) in (0, 2)
    capsys.readouterr()
    assert main(["recommend", str(out), "--json"]) in (0, 2)
    (point,) = json.loads(capsys.readouterr().out)["points"]
    assert 7e-4 < point["set"]["lr"] < 1.4e-3
    assert main(["recommend", "cbs", "--params", "7B"]) == 0
    assert "b_crit" in capsys.readouterr().out


def test_the_command_line_puts_rules_beside_the_recommendation(capsys):
    assert main(["recommend", "cbs", "--params", "1B", "--against", "step-law"]) == 1
    assert "--against: of no use to a fit of the law cbs" in capsys.readouterr().err
    assert main(["recommend", "lr-width-sp", "--at", "width=4096", "--overhead", "0.1"]) == 1
    asked = ["recommend", "steplaw-dense", "--params", "1B", "--tokens", "100B"]
    assert main([*asked, "--against", "step-law", "--against", "deepseek", "--json"]) == 0
    (point,) = json.loads(capsys.readouterr().out)["points"]
    assert 0 <= point["regret"]["q50"] < point["rules"]["deepseek"]["q50"]
    assert point["rules"]["step-law"]["q50"] < 0.01
