"""The unpickler that admits tables only, and the converter of pickled tables.

The pickles are invented, in the layout that the authors' code shows.
"""

import lzma
import os
import pickle

import numpy as np
import pandas as pd
import pytest

from bayes_scaling.data.catalogue import catalogue
from bayes_scaling.data.convert import porian
from bayes_scaling.data.convert.unpickle import ALLOWED, read_pickle


def frame(columns: dict[str, list]) -> pd.DataFrame:
    """Make a table as pandas 2 and older did: text is objects, also in the header."""
    table = pd.concat([pd.Series(v, dtype=object) for v in columns.values()], axis=1)
    table.columns = pd.Index(list(columns), dtype=object)
    return table


def dump(path, value):
    content = pickle.dumps(value)
    path.write_bytes(lzma.compress(content) if path.suffix == ".xz" else content)
    return path


class Evil:
    def __reduce__(self):
        return os.system, ("true",)


@pytest.mark.parametrize("value", [Evil(), eval, pd.read_pickle, np.load, [{"deep": Evil()}]])
def test_a_pickle_that_asks_for_more_than_tables_is_not_read(tmp_path, value):
    path = dump(tmp_path / "evil.pickle", value)
    with pytest.raises(pickle.UnpicklingError, match="which no table needs"):
        read_pickle(path)


@pytest.mark.parametrize("name", ["t.pickle", "t.pickle.xz"])
def test_tables_in_tables_are_read(tmp_path, name):
    inner = frame({"flops": [1e18, 2e18], "n": [1.0, None]})
    outer = frame({"who": ["a"], "data": [inner], "more": [{"x": np.float64(0.5), "y": (1, "z")}]})
    back = read_pickle(dump(tmp_path / name, outer))
    assert back.loc[0, "who"] == "a"
    assert back.loc[0, "more"] == {"x": 0.5, "y": (1, "z")}
    pd.testing.assert_frame_equal(back.loc[0, "data"], inner)


def test_nothing_that_runs_code_is_allowed():
    names = set().union(*ALLOWED.values())
    assert not names & {"eval", "exec", "getattr", "compile", "__import__", "read_pickle", "load"}


SIZES = [
    (width, depth, (4 * width + 3 * 256 * ((8 * width // 3 + 255) // 256)) * width * depth)
    for width, depth in porian.SHAPES[:3]
]


def experiment(dataset, recipe, accounting, loss_kind, sizes):
    hparams, warmup, decay = recipe
    data = frame(
        {
            "flops": [1.25e16, 2.5e16, 5e16],
            "orig_n": [pd.Series(sizes), pd.Series(sizes), None],  # too few sizes at the last
            "orig_loss": [pd.Series([5.0, 4.0, 4.5]), np.array([4.5, 3.5, 4.0]), None],
            "loss_star_std": [0.1, 0.1, None],
        }
    )
    pairs = frame(
        {
            "flops": [1.25e16, 2.5e16],
            "n": [None, 2e6],
            "t": [None, 2e9],
            "multiplier": [None, 1e3],
            "loss": [None, 3.5],
            "n_vals": [np.array(sizes), np.array(sizes)],
            "n_star_std": [0.0, 0.2],
            "t_star_std": [None, 0.3],
            "loss_star_std": [None, 0.001],
        }
    )
    return [dataset, hparams, warmup, decay, accounting, loss_kind, pairs, data, {"basic": {}}]


@pytest.fixture
def raw(tmp_path):
    plain = [float(n) for *_, n in SIZES]
    head = [n + 50_432.0 * w for w, _, n in SIZES]
    attention = [n + 50_432.0 * w + 2048.0 * w * d for w, d, n in SIZES]
    base, tuned = ("base", "long", "kaplan"), ("tuned", "long", "const")
    files = [
        [
            experiment("rw", base, "kaplan", "train", plain),
            experiment("rw", base, "standard", "val", head),
        ],
        [experiment("rw", base, "attention", "train", attention)],
        [experiment("rw", tuned, "kaplan", "train", plain)],
        [experiment("owt2", ("base", "short", "chinchilla"), "standard", "val", head)],
    ]
    columns = ["dataset", "hparams", "warmup", "decay", "param_count", "val"]
    columns += ["optimal_pairs", "data", "fit_results"]
    return {
        path: dump(
            tmp_path / path.replace("/", "-"),
            frame({c: list(v) for c, v in zip(columns, zip(*rows, strict=True), strict=True)}),
        )
        for path, rows in zip(porian.FILES, files, strict=True)
    }


def test_porian_runs_are_labelled_and_counted_three_ways(raw):
    table = porian.runs(raw)
    assert list(table) == [f.name for f in catalogue()["porian_runs"].fields]
    assert len(table) == 5 * 2 * 3
    labels = table.groupby("experiment")[["param_accounting", "loss_kind"]].first()
    assert labels.loc["kaplan_reproduction"].tolist() == ["no_embed_no_head", "train_smoothed"]
    assert labels.loc["att_head_included", "param_accounting"] == "with_head_plus_attention"
    assert set(labels.index) >= {"kaplan_accounting_tuned", "cosine_decay_matched", "head_included"}
    assert table["dataset"].tolist() == ["OpenWebText2"] * 6 + ["RefinedWeb"] * 24
    np.testing.assert_allclose(table["flops"], 6 * table["params"] * table["tokens"])
    counted = table[table["experiment"] == "att_head_included"]
    np.testing.assert_allclose(counted["params"], counted["params_eff_attention"])
    assert (counted["params_with_head"] > counted["params_no_embed"]).all()
    assert counted["width"].tolist() == [96, 128, 160] * 2


def test_porian_refuses_a_size_that_no_architecture_has(raw, tmp_path):
    path = porian.FILES[2]
    broken = read_pickle(raw[path])
    broken.loc[0, "data"].loc[0, "orig_n"][1] *= 1.01
    with pytest.raises(ValueError, match="no known architecture"):
        porian.runs(raw | {path: dump(tmp_path / "broken.pickle.xz", broken)})


def test_porian_optima_are_missing_where_no_minimum_is_bracketed(raw):
    table = porian.optima(raw)
    assert list(table) == [f.name for f in catalogue()["porian_optima"].fields]
    assert len(table) == 10
    first, second = table.iloc[0], table.iloc[1]
    assert first[["params_opt", "tokens_opt", "log_params_opt_std"]].isna().all()
    assert second["params_opt"] == 2e6
    assert second["log_tokens_opt_std"] == 0.3
    assert table["source_file"].unique().tolist() == list(porian.FILES)
