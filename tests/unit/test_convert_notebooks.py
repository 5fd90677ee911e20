"""Converters of notebooks, on invented notebooks in the true formats."""

import json

import numpy as np
import pytest

from bayes_scaling.data.catalogue import catalogue
from bayes_scaling.data.convert import cbs, muennighoff, mup
from bayes_scaling.data.convert.notebook import code_cells


def notebook(path, *cells: tuple[str, str]):
    """Write a notebook of (source, printed) cells."""
    told = [{"cell_type": "markdown", "source": ["NAMES_TO_VAL_LOSSES = {"]}]
    for source, printed in cells:
        outputs = [
            {"output_type": "stream", "name": "stderr", "text": ["Train set: Average loss: 1\n"]},
            {"output_type": "stream", "name": "stdout", "text": printed.splitlines(keepends=True)},
            {"output_type": "display_data", "data": {"image/png": "iVBOR"}},
        ]
        told.append({"cell_type": "code", "source": source.splitlines(True), "outputs": outputs})
    path.write_text(json.dumps({"cells": told}))
    return path


def columns_of(name: str) -> list[str]:
    return [f.name for f in catalogue()[name].fields]


def test_a_cell_is_its_source_and_what_it_printed(tmp_path):
    (cell,) = code_cells(notebook(tmp_path / "n.ipynb", ("a = 1\nb = 2", "one\ntwo\n")))
    assert cell == ("a = 1\nb = 2", "one\ntwo\n")


LOSSES = """
# losses of 0 are skipped
NAMES_TO_VAL_LOSSES = {
    "146m14b400m": 3.390000E+00, ### a remark
    # "2b855b4bc4subopt": 2.7E+00,
    "2b855b1b25c4seed2": 3.4E+00,
    "4b284b12bc4opt2": 2.5E+00,
    "4b284b84bc4v2seed1": 2.4E+00,
    "220m3b9100mdedup": 3.8E+00,
    "619m2b72b7": 3.4E+00,
    "1b1100m100m": 6.6E+00,
    "2b84b84b8": 3.2E+00,
    "2b266b1b5": 0,
}
TOKENS_MAP = {"100m": 0.1, "400m": 0.4, "1b25": 1.25, "1b5": 1.5, "2b7": 2.7, "3b9": 3.9, "14b": 14}
PARAMS_MAP = {
    "146m": 1.465E+08, "220m": 2.2E+08, "619m": 6.187E+08, "1b1": 1.1E+09, "2b8": 2.8E+09,
    "4b2": 4.2E+09, "2b2": 2.2E+09,
}
"""


def test_muennighoff_cuts_names_without_separators(tmp_path):
    path = notebook(
        tmp_path / "n.ipynb",
        ("import numpy", ""),
        (LOSSES, ""),
        ("for name, loss in NAMES_TO_VAL_LOSSES.items(): pass", ""),
    )
    table = muennighoff.runs({"plotstables/return_alloc.ipynb": path})
    assert list(table) == columns_of("muennighoff")
    cut = table.set_index("run")[["params", "tokens", "unique_tokens"]] / 1e9
    expected = {
        "146m14b400m": (0.1465, 14, 0.4),
        "2b855b1b25c4seed2": (2.8, 55, 1.25),
        "4b284b12bc4opt2": (4.2, 84, 12),
        "4b284b84bc4v2seed1": (4.2, 84, 84),
        "220m3b9100mdedup": (0.22, 3.9, 0.1),
        "619m2b72b7": (0.6187, 2.7, 2.7),
        "1b1100m100m": (1.1, 0.1, 0.1),
        "2b84b84b8": (2.8, 4.8, 4.8),
    }
    assert list(cut.index) == list(expected)  # in order, without the run that had not finished
    np.testing.assert_allclose(cut.to_numpy(), list(expected.values()))
    assert table["seed"].dropna().tolist() == [2, 1]
    assert table["tuned_variant"].sum() == 1
    assert table["deduplicated"].sum() == 1
    assert table["in_published_table"].sum() == 4
    assert table.loc[0, "epochs"] == pytest.approx(35)


def test_muennighoff_without_the_cell_is_refused(tmp_path):
    path = notebook(tmp_path / "n.ipynb", ("x = 1", ""))
    with pytest.raises(ValueError, match="no cell assigns NAMES_TO_VAL_LOSSES"):
        muennighoff.runs({"plotstables/return_alloc.ipynb": path})


BEST = """bs64-adamw_0.95-lr0.01-ewa0.99
Learning rate:  0.01
Minimum goal step {} for batch size {} (Model Size {}, Run Name bs-adamw-lr0.00316-ewa), Run ID ab1

"""
FITS = """Model Size: 151M-ablation
[64, 128]
[90000, 45500]
fitted log(Y) = log(1.5 + 2.5 * batch_size^(-1))
Critical batch size: 955.2 (log2: 9.9)
Model Size: 1.2B
[64, 128]
[600000, 300000]
fitted log(Y) = log(1.5 + 2.5 * batch_size^(-1))
"""


def test_cbs_joins_best_runs_with_fitted_steps(tmp_path):
    runs = [(90000, 64, "151M-ablation"), (45000, 128, "151M-ablation")]
    runs += [(601000, 64, "1.2B"), (300000, 128, "1.2B")]
    printed = "".join(BEST.format(*r) for r in runs)
    goals = "goal_losses = {'151M-ablation': 3.5, '1.2B': 2.5} \ngoal_steps = {'1.2B': 1}\n"
    other = FITS.replace("fitted", "shown").replace("90000", "1")  # a print that is not of a fit
    path = notebook(tmp_path / "n.ipynb", (goals, printed), ("print(1)", other), ("fit()", FITS))
    table = cbs.steps_to_target({"plots/chinchilla.ipynb": path})
    assert list(table) == columns_of("cbs")
    assert table["model"].tolist() == ["151M", "151M", "1.2B", "1.2B"]
    assert table["params_label"].tolist() == [1.51e8, 1.51e8, 1.2e9, 1.2e9]
    assert table["steps_to_target"].tolist() == [90000, 45500, 600000, 300000]
    assert table["steps_to_target_first_eval"].tolist() == [90000, 45000, 601000, 300000]
    assert table["target_loss"].tolist() == [3.5, 3.5, 2.5, 2.5]
    assert table.loc[0, "tokens_to_target"] == 90000 * 64 * 512
    assert table["lr"].unique().tolist() == [0.00316]


def log(mup_cell: bool, diverge_at: int) -> str:
    """Three epochs a run; runs at and beyond an index give NaN in their first."""
    lines = []
    for run in range(len(mup.WIDTHS) * len(mup.LOG2_LR)):
        if mup_cell:
            lines += ["loading base shapes from ./demo.bsh", "done"]
        for epoch in (1, 2, 3):
            loss = "nan" if run >= diverge_at else f"{run + epoch / 10:.4f}"
            lines.append(f"Train Epoch: {epoch} [0/50000 (0%)]\tLoss: 2.3 | ms/batch  0.20")
            lines.append(f"Train Epoch: {epoch} [19200/50000 (38%)]\tLoss: 1.9 | ms/batch  4.87")
            lines += ["", f"Train set: Average loss: {loss}", ""]
            if loss == "nan":
                break
    return "\n".join(lines) + "\n"


def test_mup_runs_follow_the_loops_of_the_cell(tmp_path):
    path = notebook(
        tmp_path / "n.ipynb",
        ("def train(): print('Train set: Average loss')", ""),
        ("mup", log(True, 118)),
        ("sp", log(False, 119)),
    )
    table = mup.sweeps({"examples/MLP/demo.ipynb": path})
    assert list(table) == columns_of("lr_width_mup_mlp")
    assert table["parametrization"].unique().tolist() == ["mup", "sp"]
    assert table.groupby("parametrization")["diverged"].sum().tolist() == [2, 1]
    second = table[(table["width"] == 512) & (table["epoch"] == 3)]
    assert second["train_loss"].tolist()[:2] == [20.3, 21.3]
    assert second["log2_lr"].tolist()[:2] == [-8.0, pytest.approx(-8 + 8 / 19)]


def test_mup_refuses_a_log_that_lacks_a_run(tmp_path):
    printed = log(True, 200).rsplit("Train Epoch: 1 [0/", 1)[0]
    path = notebook(tmp_path / "n.ipynb", ("mup", printed))
    with pytest.raises(ValueError, match="119 runs in the mup cell"):
        mup.sweeps({"examples/MLP/demo.ipynb": path})
