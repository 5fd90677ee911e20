"""Odd runs are flagged with a reason and stay in the table."""

import math

import numpy as np
import pandas as pd
import pytest

from bayes_scaling.data.dominance import lowest_before
from bayes_scaling.data.read import read_runs

SIZES = ("params", "tokens", "unique_tokens", "experts")


def grid(noise: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """Simulate 6 sizes x 6 token counts of a clean joint law."""
    n, d = np.meshgrid(np.geomspace(1e8, 1e10, 6), np.geomspace(2e9, 2e11, 6))
    n, d = n.ravel(), d.ravel()
    loss = 1.8 + 480 * n**-0.35 + 2100 * d**-0.37
    loss = loss * np.exp(noise * np.random.default_rng(seed).standard_normal(n.size))
    runs = [f"r{i}" for i in range(n.size)]
    return pd.DataFrame({"run": runs, "params": n, "tokens": d, "loss": loss})


def flag_of(table: pd.DataFrame, row: int) -> tuple[bool, str]:
    runs = read_runs(table)
    return bool(runs["use"][row]), str(runs["flag"][row])


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("loss", np.nan, "loss is NaN"),
        ("loss", np.inf, "loss is inf"),
        ("loss", -np.inf, "loss is -inf"),
        ("params", np.nan, "params is missing"),
        ("tokens", np.nan, "tokens is missing"),
    ],
)
def test_unusable_runs_stay_with_a_reason(column, value, reason):
    table = grid()
    table.loc[3, column] = value
    assert flag_of(table, 3) == (False, reason)
    assert len(read_runs(table)) == len(table)
    assert read_runs(table)["use"].sum() == len(table) - 1


def test_diverged_runs_are_not_used():
    table = grid().assign(diverged=False)
    table.loc[5, "diverged"] = True
    assert flag_of(table, 5) == (False, "marked as diverged")
    assert read_runs(table)["use"].sum() == len(table) - 1


@pytest.mark.parametrize("words", [["yes", "no"], ["TRUE", "False"], [1, 0], [1.0, None]])
def test_the_diverged_column_may_be_words_or_numbers(words):
    table = grid().head(2).assign(diverged=words)
    assert read_runs(table)["use"].tolist() == [False, True]


def test_a_duplicate_is_used_and_names_the_first():
    table = grid()
    table.loc[9, ["params", "tokens", "loss"]] = table.loc[4, ["params", "tokens", "loss"]]
    assert flag_of(table, 9) == (True, "duplicate of r4")
    assert flag_of(table, 4) == (True, "")


def test_a_different_label_is_no_duplicate_but_a_row_number_does_not_hide_one():
    twice = pd.concat([grid().head(4)] * 2, ignore_index=True).drop(columns="run")
    labelled = twice.assign(seed=["a"] * 4 + ["b"] * 4)
    assert (read_runs(labelled)["flag"] == "").all()
    numbered = read_runs(twice.assign(point_id=range(8)))
    assert numbered["flag"].tolist()[4:] == [f"duplicate of row {i}" for i in range(4)]
    dated = twice.assign(logged=pd.date_range("2024-01-01", periods=8))
    assert dated.pipe(read_runs)["flag"].tolist()[4:] == numbered["flag"].tolist()[4:]


@pytest.mark.parametrize(
    ("web", "kind"),
    [([0.2, 0.8], float), ([20, 80], int), (["0.2", "0.8"], str), ([True, False], bool),
     ([0.2, None], float), (["a", "b"], "category")],
)  # fmt: skip
def test_runs_of_equal_loss_that_differ_in_a_column_without_a_role_are_no_duplicates(web, kind):
    row = {"params": 1e9, "tokens": 2e10, "loss": 2.5}
    web = pd.Series(web).astype(kind)
    table = pd.DataFrame([row, row]).assign(web=web, code=web[::-1].to_numpy())
    assert (read_runs(table)["flag"] == "").all()
    again = pd.concat([table, table], ignore_index=True)
    assert read_runs(again)["flag"].tolist() == ["", "", *(f"duplicate of row {i}" for i in (0, 1))]


def test_a_diverged_loss_is_flagged_and_names_the_run_it_is_compared_with():
    table = grid()
    table.loc[35, "loss"] = 5.0
    used, reason = flag_of(table, 35)
    assert used
    assert reason.startswith("loss is far above r")
    assert "% higher)" in reason
    assert (read_runs(table)["flag"] != "").sum() == 1


def test_the_rule_is_scale_free():
    table = grid()
    table.loc[35, "loss"] = 5.0
    scaled = table.assign(loss=table["loss"] / 100, tokens=table["tokens"] * 1e3)
    pd.testing.assert_series_equal(read_runs(scaled)["flag"], read_runs(table)["flag"])


def test_noise_of_one_per_cent_raises_no_alarm():
    # 20 tables of 36 runs; a pair of equal true loss exceeds 5 % with probability 3e-4, and nearly
    # all neighbours differ in truth, so an alarm in these is below 1e-2 for the whole test.
    flagged = [(read_runs(grid(0.01, seed))["flag"] != "").sum() for seed in range(20)]
    assert sum(flagged) == 0


def test_a_sweep_with_large_spread_asks_for_more():
    rng = np.random.default_rng(1)
    n = 60
    sweep = pd.DataFrame(
        {"params": 1e9, "tokens": 2e10, "loss": 2.5 * np.exp(rng.uniform(0, 0.2, n))}
    )
    assert (read_runs(sweep)["flag"] == "").all()
    sweep.loc[0, "loss"] = 9.0
    assert read_runs(sweep)["flag"][0].startswith("loss is far above")


def test_runs_without_a_neighbour_say_nothing_about_the_spread():
    # Five runs, each with more params and fewer tokens than the last, then two that are dominated.
    n, d = np.geomspace(1e8, 1e10, 5), np.geomspace(1e12, 1e10, 5)
    lone = pd.DataFrame({"params": n, "tokens": d, "loss": np.linspace(2.5, 2.6, 5)})
    spread = pd.DataFrame({"params": 2e10, "tokens": 2e12, "loss": [3.5, 3.6]})
    assert (read_runs(pd.concat([lone, spread], ignore_index=True))["flag"] == "").all()


def test_groups_are_not_compared_with_each_other():
    a, b = grid().assign(arch="a"), grid().assign(arch="b").tail(6)
    b["loss"] *= 1.3
    both = pd.concat([a, b], ignore_index=True).drop(columns="run")
    assert (read_runs(both)["flag"] == "").all()
    assert (read_runs(both.drop(columns="arch"))["flag"] != "").any()


def test_more_epochs_on_fewer_unique_tokens_are_not_compared():
    table = grid().assign(unique_tokens=lambda t: t["tokens"])
    table.loc[35, ["unique_tokens", "loss"]] = [1e8, 3.9]
    assert flag_of(table, 35) == (True, "")


def test_a_loss_above_a_uniform_guess():
    table = grid().head(3).assign(vocab_size=256)
    table.loc[0, "loss"] = 5.6
    used, reason = flag_of(table, 0)
    assert used
    assert "loss exceeds ln(vocab_size) = 5.55, that of a uniform guess" in reason


def test_reasons_are_joined():
    table = grid().head(2).assign(diverged=[True, False])
    table.loc[0, "loss"] = np.nan
    assert flag_of(table, 0) == (False, "loss is NaN; marked as diverged")


def test_what_a_person_decided_survives_reading_again():
    runs = read_runs(grid().assign(diverged=[True] + [False] * 35))
    runs.loc[2, ["use", "flag"]] = [False, "wrong tokenizer"]
    runs.loc[3, "use"] = False
    runs.loc[4, "flag"] = "odd curve"
    runs.loc[0, "use"] = True
    again = read_runs(runs)
    assert (again["use"][2], again["flag"][2]) == (False, "wrong tokenizer")
    assert (again["use"][3], again["flag"][3]) == (False, "set aside by hand")
    assert (again["use"][4], again["flag"][4]) == (True, "odd curve")
    assert (again["use"][0], again["flag"][0]) == (True, "marked as diverged")
    pd.testing.assert_frame_equal(read_runs(again), again)


def test_flags_follow_the_numbers():
    table = grid()
    table.loc[1, "loss"] = np.nan
    runs = read_runs(table)
    runs.loc[1, "loss"] = 2.5
    runs.loc[2, "loss"] = np.nan
    again = read_runs(runs)
    assert (again["use"][1], again["flag"][1]) == (True, "")
    assert (again["use"][2], again["flag"][2]) == (False, "loss is NaN")


# The rules again, pair by pair


def odd(seed: int) -> pd.DataFrame:
    """Simulate a table with ties, outliers, gaps, repeated runs and groups."""
    rng = np.random.default_rng(seed)
    n, few = int(rng.integers(2, 60)), int(rng.choice([2, 5, 60]))
    grids = {c: np.geomspace(1e8, 1e12, few) for c in SIZES[:3]} | {"experts": np.array([1, 8, 64])}
    table = pd.DataFrame({c: rng.choice(grid, n) for c, grid in grids.items()})
    if seed % 3 == 0:
        table["unique_tokens"] = np.minimum(table["tokens"], 1e10)  # follows from the tokens
    loss = 1.8 + 480 * table["params"] ** -0.35 + 2100 * table["tokens"] ** -0.37
    loss *= np.exp(0.02 * rng.standard_normal(n)) * np.where(rng.random(n) < 0.1, 1.5, 1.0)
    table["loss"] = np.round(loss, int(rng.choice([1, 12])))
    table.loc[rng.random(n) < 0.05, rng.choice(["params", "tokens", "loss"])] = np.nan
    table["arch"] = rng.choice(np.array(["a", "b;c", None], dtype=object), n)
    table["dataset"] = rng.choice(["x", "y"], n)
    optional = ["unique_tokens", "experts", "arch", "dataset"]
    table = table.drop(columns=[c for c in optional if rng.random() < 0.5])
    return pd.concat([table, table.sample(n // 4, random_state=seed)], ignore_index=True)


def same(a, b) -> bool:
    return a == b or (pd.isna(a) and pd.isna(b))


def repeats(table: pd.DataFrame, used: list[int]) -> dict[int, str]:
    """Name the first equal run before each run."""
    rows, found = table.to_dict("records"), {}
    for i in used:
        equal = [j for j in used if all(same(rows[i][c], rows[j][c]) for c in table)]
        if equal[0] < i:
            found[i] = f"duplicate of row {equal[0]}"
    return found


def far(table: pd.DataFrame, used: list[int]) -> dict[int, str]:
    """Compare every run with every other of its group that is larger in no size."""
    sizes = [c for c in SIZES if c in table]
    groups = [c for c in ("arch", "dataset") if c in table]
    rows, log_loss = table.to_dict("records"), np.log(table["loss"].to_numpy())
    used = [i for i in used if not any(np.isnan(rows[i][c]) for c in sizes)]
    below = {
        i: [
            j
            for j in used
            if all(same(rows[i][c], rows[j][c]) for c in groups)
            and all(rows[j][c] <= rows[i][c] for c in sizes)
        ]
        for i in used
    }
    lowest = {
        i: min(below[i], key=lambda j: (log_loss[j], *(rows[j][c] for c in sizes), j)) for i in used
    }
    excess = {i: max(log_loss[i] - log_loss[lowest[i]], 0.0) for i in used}
    compared = [excess[i] for i in used if len(below[i]) > 1]
    limit = max(math.log(1.05), 10 * np.median(compared)) if compared else math.inf
    words = "loss is far above row {}, which is no larger ({:.0%} higher)"
    return {i: words.format(lowest[i], math.expm1(excess[i])) for i in used if excess[i] > limit}


@pytest.mark.parametrize("seed", range(60))
def test_flags_are_those_of_the_rules_pair_by_pair(seed):
    table = odd(seed)
    runs = read_runs(table)
    used = [int(i) for i in np.flatnonzero(runs["use"])]
    again, above = repeats(table, used), far(table, used)
    for i in used:
        assert runs["flag"][i] == "; ".join(r[i] for r in (again, above) if i in r)


def test_the_odd_tables_have_every_kind_of_flag():
    flags = pd.concat([read_runs(odd(seed))["flag"] for seed in range(60)])
    assert (flags == "").sum() > 500
    assert flags.str.contains("duplicate of").sum() > 100
    assert flags.str.contains("far above").sum() > 50


@pytest.mark.parametrize("n_sizes", [2, 3, 4])
@pytest.mark.parametrize("values", [1, 2, 3, 9, 1000])
@pytest.mark.parametrize("n", [1, 2, 7, 64, 200])
def test_the_lowest_before_is_that_of_all_pairs(n_sizes, values, n):
    rng = np.random.default_rng([n_sizes, values, n])
    groups, many = rng.integers(0, 3, (n, 1)), rng.integers(0, values, (n, n_sizes))
    items = np.unique(np.hstack([groups, many]), axis=0)
    rank = rng.permutation(len(items))
    group, sizes = items[:, 0], items[:, 1:]
    for i, found in enumerate(lowest_before(group, list(sizes.T), rank)):
        no_larger = (group == group[i]) & (sizes <= sizes[i]).all(axis=1)
        no_larger[i] = False
        assert found == rank[no_larger].min(initial=len(items))


def test_sizes_that_follow_from_others_do_not_change_the_lowest():
    rng = np.random.default_rng(0)
    sizes = np.unique(rng.integers(0, 30, (300, 2)), axis=0)
    rank, group = rng.permutation(len(sizes)), np.zeros(len(sizes), dtype=int)
    params, tokens = sizes.T
    two = lowest_before(group, [params, tokens], rank)
    for more in ([tokens], [np.minimum(tokens, 9)], [0 * tokens, tokens], [params // 2, tokens]):
        np.testing.assert_array_equal(lowest_before(group, [params, tokens, *more], rank), two)
    three = lowest_before(group, [params, tokens, -tokens], rank)
    assert (three != two).any()


@pytest.mark.parametrize("name", ["a;b", 7, 1.5])
def test_flags_name_runs_as_the_table_does(name):
    table = grid().head(2).assign(run=[name, "other" if isinstance(name, str) else name + 1])
    table.loc[1, ["params", "tokens", "loss"]] = table.loc[0, ["params", "tokens", "loss"]]
    assert flag_of(table, 1) == (True, f"duplicate of {str(name).replace(';', ',')}")
