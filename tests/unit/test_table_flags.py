"""Odd runs are flagged with a reason and stay in the table."""

import numpy as np
import pandas as pd
import pytest

from bayes_scaling.data.read import read_runs


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
