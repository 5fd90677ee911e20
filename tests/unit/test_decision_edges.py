"""Decisions on the command line and as figures: what is printed and drawn is what was computed."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_scaling as bs
from bayes_scaling.cli import main
from bayes_scaling.errors import SpecError
from tests.unit.test_cli import make_fit

GRID = {"params": [5e8, 5e9, 2e9], "tokens": [1e11, 2e10, 4e10]}


@pytest.fixture(scope="module")
def fit():
    return make_fit()


@pytest.fixture(scope="module")
def path(fit, tmp_path_factory):
    return str(bs.save_fit(fit, tmp_path_factory.mktemp("fits") / "fit.nc"))


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def run(capsys, *argv):
    status = main([str(a) for a in argv])
    got = capsys.readouterr()
    return status, got.out, got.err


# The command line.


def test_decide_writes_the_plan_that_the_function_makes(capsys, path, fit, tmp_path):
    picture = tmp_path / "regret.png"
    status, out, _ = run(capsys, "decide", path, "--budget", "1e23", "--sizes", "10B", "30B",
                         "--serve", "1e11", "--plot", picture, "--json")  # fmt: skip
    found = bs.decide(fit, bs.ComputeBudget(1e23), bs.Shelf([10e9, 30e9]), bs.ServingDemand(1e11))
    said = json.loads(out)
    assert status == 0
    assert said["said"] == [bs.sentence(found)]
    plan = [p for p in said["plans"] if p["plan"]]
    assert [p["config"] for p in plan] == found.choice.values.tolist()
    assert plan[0]["tokens"] == pytest.approx(float(bs.plan_of(found).tokens[0]))
    assert picture.stat().st_size > 5_000


def test_decide_marks_the_plan_and_ends_in_the_sentence(capsys, path):
    status, out, _ = run(capsys, "decide", path, "--loss", "2.0", "--peak", "989e12", "--price",
                         "2", "--devices", "1000")  # fmt: skip
    assert status == 0
    assert "> plan: mean" in out
    assert "To measure at most 2.000 with probability 0.9: train" in " ".join(out.split())
    assert "dollars" in out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["decide"], "nothing to spend and nothing to reach"),
        (["decide", "--budget", "1e23", "--price", "2"], "give --peak too"),
        (["decide", "--budget", "1e23", "--steps", "1e5"], "--steps and --batch belong together"),
        (["decide", "--budget", "1e23", "--epochs", "2"], "give --unique too"),
        (["decide", "--budget", "1e23", "--largest", "1e3"], "SizeLimits"),
        (["decide", "--hours", "1e6"], "needs Hardware"),
        (["next", "--loss", "2.0"], "give ComputeBudget"),
        (["gate"], "either --runs TABLE"),
        (["gate", "--params", "30B", "--tokens", "6e11"], "column 'loss': missing"),
        (["gate", "--params", "30B", "--tokens", "6e11", "--loss", "2", "--target", "2"], "plan"),
    ],
)
def test_what_is_wrong_is_said_and_ends_with_one(capsys, path, argv, said):
    status, out, err = run(capsys, argv[0], path, *argv[1:])
    assert status == 1
    assert not out
    assert said in " ".join(err.split())


def test_every_option_of_a_scenario_is_an_item(capsys, path):
    status, out, _ = run(
        capsys, "decide", path, "--dollars", "1e6", "--peak", "989e12", "--price", "2",
        "--devices", "4096", "--days", "60", "--unique", "1e12", "5e12", "2e13", "--epochs", "4",
        "--serve", "1e11", "1e12", "1e13", "--prompt", "3", "--candidates", "2", "--smallest",
        "1B", "--largest", "100B", "--memory", "640e9", "--steps", "1e6", "--batch", "4e6",
        "--criterion", "cvar", "--flat", "0.02", "--json",
    )  # fmt: skip
    assert status == 0
    said = json.loads(out)
    plan = next(p for p in said["plans"] if p["plan"])
    assert plan["config"] == "plan: cvar"
    assert 1e9 <= plan["params"] <= 100e9
    assert plan["dollars"] == pytest.approx(1e6, rel=1e-6)


def test_next_ranks_the_runs_of_a_table(capsys, path, fit, tmp_path):
    table = tmp_path / "could.csv"
    pd.DataFrame(GRID).to_csv(table, index=False)
    argv = ("next", path, "--budget", "1e24", "--runs", table, "--most", "2")
    status, out, _ = run(capsys, *argv, "--json")
    said = json.loads(out)
    found = bs.next_runs(fit, bs.ComputeBudget(1e24), candidates=GRID, most=2)
    assert status == 0
    assert said["verdict"] == found.attrs["verdict"]
    assert [c["gain"] for c in said["candidates"]] == pytest.approx(found.gain.values.tolist())
    _, out, _ = run(capsys, *argv)
    assert found.attrs["verdict"] in " ".join(out.split())


def test_a_gate_that_says_stop_ends_with_two(capsys, path, fit, tmp_path):
    there = bs.predict(fit, {"params": 30e9, "tokens": 6e11}).loss_run
    good, bad = float(there.median()), 1.1 * float(there.median())
    argv = ("gate", path, "--params", "30B", "--tokens", "600B")
    kept = tmp_path / "again.nc"
    status, out, _ = run(capsys, *argv, "--loss", good, "--out", kept)
    assert (status, out.startswith("gate: PASS")) == (0, True)
    assert bs.open_fit(kept).attrs["method"] == "reweighted"
    status, out, _ = run(capsys, *argv, "--loss", bad, "--target", "2.0", "--plan", "params=70B",
                         "--plan", "tokens=1.4T", "--json")  # fmt: skip
    said = json.loads(out)
    assert (status, said["status"]) == (2, "STOP")
    assert said["after"] < said["before"]


# Figures.


def test_regret_draws_the_mean_waste_of_every_configuration(fit):
    found = bs.decide(fit, bs.ComputeBudget(1e23), bs.Shelf([10e9, 30e9, 60e9]),
                      bs.SizeLimits(largest=50e9))  # fmt: skip
    ax = bs.plots.plot_regret(found)
    points = {float(x): float(y) for line in ax.lines for x, y in [line.get_xydata()[0]]
              if line.get_marker() in "os^" and len(line.get_xydata()) == 1}  # fmt: skip
    for i, name in enumerate(("10.0B", "30.0B", "60.0B", "20:1")):
        share = float(found.wasted_share.isel(budget=0, config=i).mean())
        x = float(found.params.isel(budget=0, config=i))
        assert found.config.values[i] == name
        assert points[x] == pytest.approx(min(share, 0.6 * 0.98))
    hollow = [line for line in ax.lines if line.get_markerfacecolor() == "white"]
    assert [float(line.get_xdata()[0]) for line in hollow if len(line.get_xdata())] == [60e9]
    assert "the plan" in [line.get_label() for line in ax.lines]


def test_regret_draws_the_curve_that_was_searched_and_the_flat_region(fit):
    found = bs.decide(fit, bs.ComputeBudget([1e22, 1e23]))
    ax = bs.plots.plot_regret(found, case=1)
    curve = next(line for line in ax.lines if "mean waste" in str(line.get_label()))
    one = found.isel(budget=1)
    np.testing.assert_allclose(curve.get_ydata(), one.size_wasted.sel(summary="mean"))
    span = next(p for p in ax.patches if "within 1 %" in str(p.get_label()))
    low, high = (float(one[k].median()) for k in ("flat_low", "flat_high"))
    assert (span.get_x(), span.get_x() + span.get_width()) == pytest.approx((low, high))
    assert "1e23" in ax.get_title(loc="left")


def test_lifetime_draws_the_medians_and_the_size_that_minds_training_alone(fit):
    plan = bs.lifetime(fit, np.geomspace(1e11, 1e13, 5), loss=2.1)
    axes = bs.plots.plot_lifetime(plan).axes
    for ax, name in zip(axes, ("params", "flops", "saving"), strict=True):
        middle = next(line for line in ax.lines if "train and serve" in str(line.get_label()))
        np.testing.assert_allclose(middle.get_ydata(), plan[name].median(("chain", "draw")))
    dashed = next(line for line in axes[0].lines if line.get_label() == "cheapest to train")
    np.testing.assert_allclose(dashed.get_ydata(), plan.params_trained.median(("chain", "draw")))


def test_the_wall_is_drawn_where_the_stock_is(fit):
    wall = bs.data_wall(fit, np.geomspace(1e26, 1e30, 5))
    left, right = bs.plots.plot_wall(wall).axes
    stock = next(line for line in left.lines if line.get_label() == "stock of text")
    assert float(stock.get_ydata()[0]) == pytest.approx(float(wall.stock.median()))
    np.testing.assert_allclose(right.lines[0].get_ydata(), wall.exceeds)


def test_next_rings_the_set_and_draws_the_line_where_a_run_saves_what_it_costs(fit):
    found = bs.next_runs(fit, bs.ComputeBudget(1e24), candidates=GRID, most=2, price=2.0)
    ax = bs.plots.plot_next(found)
    ring = next(line for line in ax.lines if line.get_label() == "the set to run")
    picked = found["pick"].values
    np.testing.assert_allclose(ring.get_xdata(), found.cost.values[picked])
    even = next(line for line in ax.lines if line.get_label() == "saves what it costs")
    np.testing.assert_allclose(even.get_ydata(), 2.0 * np.asarray(even.get_xdata()))
    level = next(line for line in ax.lines if line.get_label() == "all that is wasted now")
    assert float(level.get_ydata()[0]) == pytest.approx(found.attrs["waste"])


@pytest.mark.parametrize(
    "call",
    [
        lambda _: bs.plots.plot_regret(xr.Dataset()),
        lambda f: bs.plots.plot_regret(bs.decide(f, bs.ComputeBudget(1e23)), case=3),
        lambda f: bs.plots.plot_lifetime(bs.lifetime(f, 1e12, loss=2.0)),
        lambda f: bs.plots.plot_wall(bs.data_wall(f, 1e28)),
        lambda _: bs.plots.plot_next(xr.Dataset()),
        lambda _: bs.plan_table(xr.Dataset()),
        lambda f: bs.sentence(bs.lifetime(f, 1e12, loss=2.0)),
    ],
)
def test_what_cannot_be_drawn_or_said_is_refused(fit, call):
    with pytest.raises(SpecError):
        call(fit)


def test_figures_of_decisions_are_stamped_where_a_fit_is_not_to_be_trusted():
    broken = make_fit((("R-hat and ESS", "FAIL", "largest R-hat 1.300", "sample longer"),))
    with pytest.warns(bs.UntrustedFitWarning):
        found = bs.decide(broken, bs.ComputeBudget(1e23))
    ax = bs.plots.plot_regret(found)
    assert any("NOT TO BE TRUSTED" in t.get_text() for t in ax.texts)
    assert "not to be trusted" in bs.sentence(found)


def test_a_whole_configuration_that_misses_the_target_is_not_allowed(fit):
    shelf = bs.Shelf([7e10, 2e11], [1.4e12, 8e12])
    near = float(bs.predict(fit, {"params": 7e10, "tokens": 1.4e12}).loss_run.median())
    found = bs.decide(fit, bs.LossTarget(near, 0.9), shelf, rules={}).isel(target=0)
    np.testing.assert_array_equal(found.allowed, [False, True])
    assert float(found.meets[0]) < 0.9 < float(found.meets[1])
    assert str(found.choice.values) == "200B"
    with pytest.raises(SpecError, match="less than the required probability"):
        bs.decide(fit, bs.LossTarget(near, 0.9), bs.Shelf([7e10], [1.4e12]))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda _: bs.Shelf([7, 70]), "raw counts"),
        (lambda f: bs.next_runs(f, bs.ComputeBudget(1e24),
                                candidates={"params": [1], "tokens": [20]}), "raw counts"),
        (lambda f: bs.decide(f, bs.ComputeBudget(1e24), rules=[20]), "a mapping of name to rule"),
    ],
)  # fmt: skip
def test_billions_and_lists_are_refused(fit, call, said):
    with pytest.raises(SpecError, match=said):
        call(fit)


def test_a_loss_that_nothing_reaches_takes_tokens_without_end_and_saves_nothing_known(fit):
    plan = bs.lifetime(fit, 1e12, loss=1.2)
    assert np.isinf(plan.tokens).all()
    assert np.isnan(plan.saving).all()
