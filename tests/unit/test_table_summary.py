"""Whether a table can identify a law, said before a fit."""

import math

import numpy as np
import pandas as pd
import pytest

from bayes_scaling.data.coverage import IsoFlop, distinct, groups, isoflops, varies
from bayes_scaling.data.read import read_runs
from bayes_scaling.data.summary import refusals, summary


def law(n, d):
    return 1.8 + 480 * n**-0.35 + 2100 * d**-0.37


def table(n, d, **more) -> pd.DataFrame:
    n, d = np.broadcast_arrays(np.asarray(n, float), np.asarray(d, float))
    n, d = n.ravel(), d.ravel()
    return read_runs(pd.DataFrame({"params": n, "tokens": d, "loss": law(n, d), **more}))


def grid(**more) -> pd.DataFrame:
    return table(np.geomspace(1e8, 1e10, 6), np.geomspace(2e9, 2e11, 6)[:, None], **more)


def isoflop(budget: float, sizes: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"params": sizes, "tokens": budget / (6 * sizes)})


def verdict(result, name):
    return next(v for v in result.verdicts if v.name == name)


def test_a_clean_grid_passes():
    result = summary(grid())
    assert result.status == "PASS"
    assert (result.n_runs, result.n_used, result.sizes) == (36, 36, 6)
    assert result.failures() == ()
    assert result.decades["params"] == pytest.approx(2.0)
    assert result.decades["tokens_per_param"] == pytest.approx(4.0)
    assert result.ranges["flops"] == pytest.approx((6 * 1e8 * 2e9, 6 * 1e10 * 2e11))
    assert result.correlation == pytest.approx(0.0, abs=1e-9)
    assert result.reducible_range == pytest.approx(law(1e8, 2e9) - law(1e10, 2e11))


def test_three_runs_fail_and_say_how_many_are_missing():
    found = verdict(summary(table([1e8, 1e9, 2e9], [2e9, 1e9, 9e10])), "runs")
    assert found.status == "FAIL"
    assert found.found == "3 usable runs for 5 parameters"
    assert found.do.startswith("add at least 2 runs")


def test_unusable_runs_do_not_count():
    runs = grid().head(7)
    runs.loc[0:2, "loss"] = np.nan
    result = summary(read_runs(runs))
    assert (result.n_runs, result.n_used) == (7, 4)
    assert verdict(result, "runs").status == "FAIL"
    assert result.flagged[0] == ("row 0", False, "loss is NaN")


def test_fewer_than_two_runs_per_parameter_is_for_review():
    runs = table(np.geomspace(1e8, 1e10, 3), np.geomspace(2e9, 2e11, 3)[:, None])
    assert verdict(summary(runs), "runs").status == "REVIEW"
    assert verdict(summary(runs, n_parameters=4), "runs").status == "PASS"


@pytest.mark.parametrize("role", ["params", "tokens"])
def test_one_value_of_a_coordinate_fails(role):
    varied = np.geomspace(1e9, 1e11, 12)
    runs = table(1e9, varied) if role == "params" else table(varied, 1e9)
    found = verdict(summary(runs), role)
    assert found.status == "FAIL"
    assert found.found == f"all runs have {role} 1e+09"
    assert "2e+08 and 5e+09" in found.do


@pytest.mark.parametrize(
    ("role", "value", "others"),
    [
        ("sparsity", 0.5, "0.1 and 0.25"),
        ("sparsity", 0.05, "0.01 and 0.25"),
        ("experts", 1, "5 and 25"),
        ("experts", 8, "2 and 40"),
        ("web", 0.5, "0.1 and 0.25"),  # the share of a domain
    ],
)
def test_the_other_values_are_ones_that_the_column_can_have(role, value, others):
    runs = grid().assign(**{role: value})
    found = verdict(summary(runs, coordinates=[role]), role)
    assert found.do == f"add runs at two other values of {role}, such as {others}"


def test_a_law_in_tokens_alone_does_not_need_sizes():
    runs = table(1e9, np.geomspace(1e9, 1e11, 12))
    assert summary(runs, coordinates=["tokens"], n_parameters=3).status == "PASS"


def test_one_isoflop_fails():
    runs = isoflop(1e20, np.geomspace(1e8, 1e10, 12)).assign(loss=np.linspace(3, 2.5, 12))
    result = summary(read_runs(runs))
    assert verdict(result, "plane").found == "all runs are on one isoFLOP, 1e+20 FLOP"
    assert "add a second budget, such as params" in verdict(result, "plane").do
    assert any("one isoFLOP" in note for note in result.notes)


def test_a_fixed_ratio_fails():
    n = np.geomspace(1e8, 1e10, 12)
    found = verdict(summary(table(n, 20 * n)), "plane")
    assert found.status == "FAIL"
    assert "on one line (correlation 1.000)" in found.found
    assert "off the line, such as params 1e+09" in found.do


def test_a_nearly_fixed_ratio_is_for_review():
    n = np.geomspace(1e8, 1e10, 12)
    runs = table(n, 20 * n * np.tile([0.7, 1.4], 6))
    assert verdict(summary(runs), "plane").status == "REVIEW"
    assert any("nearly collinear" in note for note in runs.attrs["bayes_scaling"]["notes"])


def test_less_than_a_decade_is_for_review():
    runs = table(np.geomspace(1e9, 5e9, 6), np.geomspace(2e9, 2e11, 6)[:, None])
    found = verdict(summary(runs), "params")
    assert found.status == "REVIEW"
    assert found.do == "add runs with params up to 1e+10 or more, or down to 5e+08 or less"


def test_two_values_cannot_tell_a_rate_from_a_floor():
    runs = table([1e8, 1e10], np.geomspace(2e9, 2e11, 6)[:, None])
    assert "add params 1e+09" in verdict(summary(runs), "params").do


def test_bracketed_budgets_are_counted():
    sizes = np.geomspace(1e8, 1e10, 9)
    curves = [isoflop(c, sizes).assign(flops=c) for c in (1e20, 1e21, 1e22, 1e23)]
    turn = [3e8, 1e9, 1e12, 1e7]  # the last two optima are beyond the sizes
    for curve, best in zip(curves, turn, strict=True):
        curve["loss"] = 2.5 + 0.05 * np.log(curve["params"] / best) ** 2
    result = summary(read_runs(pd.concat(curves, ignore_index=True)))
    assert [b.bracketed for b in result.isoflops] == [True, True, False, False]
    assert result.n_bracketed == 2
    assert [b.flops for b in result.isoflops] == pytest.approx([1e20, 1e21, 1e22, 1e23])
    assert [b.sizes for b in result.isoflops] == [9, 9, 9, 9]


def test_no_bracketed_budget_is_for_review():
    sizes = np.geomspace(1e8, 1e10, 9)
    curves = [isoflop(c, sizes).assign(loss=-0.1 * np.log(sizes) + 5) for c in (1e20, 1e21)]
    found = verdict(summary(read_runs(pd.concat(curves, ignore_index=True))), "isoFLOP")
    assert found.status == "REVIEW"
    assert "0 of 2 isoFLOP budgets" in found.found


def test_drifting_flops_are_reported_with_both_ends():
    runs = grid()
    exact = runs["flops"]
    drifting = exact / 1.21 * (exact / exact.min()) ** (np.log(1.21 / 0.95) / np.log(1e4))
    moved = read_runs(runs[["params", "tokens", "loss"]].assign(flops=drifting))
    notes = moved.attrs["bayes_scaling"]["notes"]
    assert any("6ND/C drifts from 1.21 to 0.95" in n for n in notes)
    assert verdict(summary(moved), "FLOP convention").status == "REVIEW"


def test_an_offset_in_flops_is_no_drift():
    runs = grid()
    scaled = read_runs(runs[["params", "tokens", "loss"]].assign(flops=runs["flops"] * 1.3))
    (note,) = scaled.attrs["bayes_scaling"]["notes"]
    assert note.startswith("6ND/C is 0.77 throughout")


def test_scatter_in_flops_is_no_drift():
    runs = grid()
    rng = np.random.default_rng(0)
    for _ in range(20):  # the slope's standard error alone changes the ratio by 25 % over the range
        scatter = runs["flops"] * np.exp(0.5 * rng.standard_normal(len(runs)))
        noisy = read_runs(runs[["params", "tokens", "loss"]].assign(flops=scatter))
        assert not any("drifts" in n for n in noisy.attrs["bayes_scaling"]["notes"])


def test_flagged_runs_in_use_are_for_review():
    runs = grid()
    runs.loc[35, "loss"] = 6.0
    assert verdict(summary(read_runs(runs)), "flags").found == "1 usable runs are flagged"


def test_an_unread_table_is_read_first():
    assert summary(pd.DataFrame({"N": [1e8], "D": [1e9], "L": [3.0]})).n_runs == 1


def test_a_table_without_sizes_or_without_usable_runs_is_summed_up_too():
    curve = read_runs({"lr": [1e-4, 1e-3], "loss": [3.0, 2.9]}, require=["lr", "loss"])
    result = summary(curve, coordinates=["lr"], n_parameters=2)
    assert np.isnan(result.correlation)
    assert verdict(result, "lr").found == "2 distinct values of lr over 1.0 decades"
    dead = summary(read_runs({"N": [1e8], "D": [1e9], "L": [np.nan]}))
    assert verdict(dead, "params").found == "no usable run has params"
    assert dead.status == "FAIL"


def test_the_report_shows_every_verdict_and_what_to_do():
    n = np.geomspace(1e8, 1e10, 12)
    result = summary(table(n, 20 * n, run=[f"r{i}" for i in range(12)]))
    text = str(result)
    assert text.startswith("12 of 12 runs usable: FAIL")
    for v in result.verdicts:
        assert f"{v.status:<6} {v.name}: {v.found}" in text
    assert verdict(result, "plane").do in text
    assert "note: ln params and ln tokens are nearly collinear" in text
    assert max(map(len, text.splitlines())) < 200


# The rules again, value by value


def group_by_group(values: np.ndarray) -> list[int]:
    """Walk through the values by size and open a group 2 % above the last one's first."""
    labels, label, start = [0] * len(values), -1, -math.inf
    for i in np.argsort(values, kind="stable"):
        if math.log(values[i]) - start > math.log1p(0.02):
            label, start = label + 1, math.log(values[i])
        labels[i] = label
    return labels


def sizes(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 200))
    kinds = [
        np.exp(rng.uniform(0, rng.choice([0.01, 1, 20]), n)),
        1e9 * 1.02 ** rng.integers(0, 6, n),  # exactly on the border, up to rounding
        rng.integers(1, 300, n) * 1.0,
        1e9 * (1 + 2e-16 * rng.integers(0, 50, n)) * rng.choice([1, 1.02], n),
    ]
    return kinds[seed % len(kinds)]


@pytest.mark.parametrize("seed", range(80))
def test_groups_are_those_of_a_walk_through_the_values(seed):
    values = sizes(seed)
    expected = group_by_group(values)
    assert groups(values).tolist() == expected
    assert distinct(values) == max(expected) + 1
    assert varies(values) == (max(expected) > 0)


def test_groups_on_the_border_are_decided_by_the_difference_of_the_logarithms():
    rng = np.random.default_rng(0)
    for first in rng.uniform(0.98, 1.0, 2000):  # sum and difference round differently here
        values = np.array([first, np.nextafter(1.02 * first, 0), 1.02 * first])
        assert groups(values).tolist() == group_by_group(values)


def test_no_value_is_no_group():
    assert (distinct(np.empty(0)), varies(np.empty(0)), len(groups(np.empty(0)))) == (0, False, 0)


@pytest.mark.parametrize("seed", range(10))
def test_budgets_are_those_of_a_walk_through_the_groups(seed):
    rng = np.random.default_rng(seed)
    n = 60
    budget, params = rng.choice(np.geomspace(1e19, 1e22, 12), n), rng.choice(sizes(2), n)
    runs = {"flops": budget, "params": params, "loss": np.round(rng.uniform(2, 4, n), 1)}
    runs["flops"][:3], runs["loss"][3:5] = np.nan, np.nan
    known = np.isfinite(runs["flops"]) & np.isfinite(runs["loss"])
    expected = []
    for flops in np.unique(budget[known]):
        inside = known & (budget == flops)
        size = group_by_group(params[inside])
        best = size[int(np.argmin(runs["loss"][inside]))]
        if max(size) >= 2:
            middle = pytest.approx(flops)
            expected.append(IsoFlop(middle, max(size) + 1, 0 < best < max(size)))
    assert isoflops(runs) == expected
    assert len(expected) > 3


@pytest.mark.parametrize("seed", range(40))
def test_refusals_are_the_failures_of_the_summary(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.choice([2, 8, 30]))
    params = rng.choice(np.geomspace(1e8, 1e10, int(rng.choice([1, 3, 20]))), n)
    free = rng.choice(np.geomspace(1e9, 1e12, int(rng.choice([1, 4, 30]))), n)
    tokens = [free, 20 * params, 1e21 / params][seed % 3]
    runs = table(params, tokens, lr=1e-3)
    runs.loc[rng.random(n) < 0.1, "tokens"] = np.nan
    for coordinates in (("params", "tokens"), ("tokens", "lr"), ("params", "depth")):
        verdicts = summary(runs, coordinates=coordinates, n_parameters=5)
        assert refusals(runs, coordinates, 5) == verdicts.failures()


def test_one_curve_is_refused():
    n = np.geomspace(1e8, 1e10, 12)
    for tokens, words in ((20 * n, "on one line"), (1e21 / n, "on one isoFLOP")):
        (found,) = refusals(table(n, tokens), ("params", "tokens"), 5)
        assert words in found.found
    assert refusals(grid(), ("params", "tokens"), 5) == ()
