"""The converter of evaluation logs, on invented lines in the true format."""

import json

import numpy as np
import pytest

from bayes_scaling.data.catalogue import catalogue
from bayes_scaling.data.convert import mixing


def line(run: str, step: object, domain: str, loss: float) -> str:
    return f"/a/ckpts/Suite//{run}/{step}\t/a/valid.domains//pythia-pile.valid.{domain}.bin\t{loss}"


def columns_of(name: str) -> list[str]:
    return [f.name for f in catalogue()[name].fields]


def suite(tmp_path, files: dict[str, list[str]]):
    raw = {}
    for path, lines in files.items():
        raw[path] = tmp_path / path
        raw[path].parent.mkdir(parents=True, exist_ok=True)
        raw[path].write_text("\n".join(lines) + "\n")
    return raw


def test_lines_of_one_checkpoint_become_one_row(tmp_path):
    raw = suite(
        tmp_path,
        {
            "data/2Mix/160M.txt": [line("160M_base2_1-0.25-0.75", 10000, "Github", 1.5)],
            "data/3Mix/70M.txt": [
                line("70M_14-0.25-0.25-0.5", 500, "Pile-CC", 4.0),
                line("70M_14-0.25-0.25-0.5", 500, "Github", 2.0),
                line("70M_14-0.25-0.25-0.5", "final", "Github", 9.0),
                line("70M_14-0.25-0.25-0.5", 500, "Github", 2.5),
            ],
        },
    )
    table = mixing.pile2_3(raw)
    assert list(table) == columns_of("mixing_pile2_3")
    assert table["mix_set"].tolist() == ["2Mix", "3Mix"]
    two, three = table.to_dict("records")
    assert (two["p1"], two["p2"]) == (0.25, 0.75)
    assert np.isnan(two["p3"])
    assert np.isnan(two["loss_pile_cc"])
    assert three["loss_github"] == 2.5  # the later line
    assert three["loss_pile_cc"] == 4.0
    assert three["ratio"] == "0.25-0.25-0.5"
    assert three["tokens"] == 500 * 4096 * 256
    assert three["params_non_embedding"] == 18_915_328


def test_rows_are_ordered_by_size_and_step_as_numbers(tmp_path):
    run = "{}_0-0-0-0-0.25-0.75"
    raw = suite(
        tmp_path,
        {
            "data/5Mix/1B.txt": [line(run.format("1B"), 20000, "ArXiv", 2.0)],
            "data/5Mix/70M.txt": [line(run.format("70M"), s, "ArXiv", 3.0) for s in (10000, 3000)],
            "data/5Mix/proportions.txt": ["0-0-0-0.25-0.75"],
        },
    )
    table = mixing.pile5(raw)
    assert list(table) == columns_of("mixing_pile5")
    assert table["model_size"].tolist() == ["70M", "70M", "1B"]
    assert table["step"].tolist() == [3000, 10000, 20000]
    assert table["p5"].tolist() == [0.75] * 3


def test_redpajama_has_seven_shares(tmp_path):
    name = "1B_RP_997-0.125-0.25-0.140625-0.25-0.09375-0.125-0.01562"
    raw = suite(tmp_path, {"data/RedPajama/1B.txt": [line(name, 100000, "DM_Mathematics", 2.5)]})
    (row,) = mixing.redpajama(raw).to_dict("records")
    assert list(row) == columns_of("mixing_redpajama")
    assert row["p7"] == 0.01562
    assert row["loss_dm_mathematics"] == 2.5


def test_a_line_of_another_form_is_refused(tmp_path):
    raw = suite(tmp_path, {"data/RedPajama/1B.txt": ["only two fields"[:8] + " x"]})
    with pytest.raises(ValueError, match="unpack"):
        mixing.redpajama(raw)


def test_predictions_are_pairs_by_group_mixture_and_step(tmp_path):
    ratio = "0.5-0.0625-0.0-0.125-0.09375-0.0625-0.15625"
    path = tmp_path / "predictions.json"
    told = {"prose": {ratio: {"30000": [3.0, 3.01]}}, "full": {ratio: {"100000": [2.5, 2.6]}}}
    path.write_text(json.dumps(told))
    table = mixing.predictions({"data/RPJ.predictions.json": path})
    assert list(table) == columns_of("mixing_redpajama_predictions")
    assert table["split"].tolist() == ["fit_or_validation_30k", "target_1B_100k"]
    assert table["loss_observed"].tolist() == [3.01, 2.6]
