"""Converters of CSV and JSON, on invented files in the true formats."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest

from bayes_scaling.data.catalogue import catalogue
from bayes_scaling.data.convert import chinchilla, downstream, gadre, routing, steplaw


def columns_of(name: str) -> list[str]:
    return [f.name for f in catalogue()[name].fields]


def test_chinchilla_derives_tokens_and_marks_the_five_highest(tmp_path):
    path = tmp_path / "points.csv"
    lines = ["x,y,color,Model Size,Training FLOP,hex_color,loss"]
    lines += [f"1,2,#fff,{1e8 * (i + 1)},{6e18 * (i + 1)},#fff,{3 - i / 10}" for i in range(8)]
    lines.insert(3, "1,2,#fff,1e8,,#fff,3.0")  # no FLOP could be read
    path.write_text("\n".join(lines))
    table = chinchilla.runs({"data/svg_extracted_data.csv": path})
    assert list(table) == columns_of("chinchilla-245")
    np.testing.assert_allclose(table["flops"], 6 * table["params"] * table["tokens"])
    assert table["point_id"].tolist() == [0, 1, 3, 4, 5, 6, 7, 8]  # rows of the source
    assert table["dropped_by_besiroglu"].tolist() == [True] * 5 + [False] * 3


STEPLAW = "h,ffnh,numh,numl,lr,bs,ti,D,N,D/N,exp_name,loss,{smooth}"


def steplaw_file(path, smooth="smooth loss"):
    """Two settings; in the first the loss is a parabola in ln lr about lr = 0.004."""
    lines = [STEPLAW.format(smooth=smooth)]
    for batch in (64, 32):
        for lr in (0.016, 0.001, 0.002, 0.004, 0.008):
            loss = 2.5 + 0.05 * np.log(lr / 0.004) ** 2 + (0.3 if batch == 64 else 0.0)
            loss += 5.0 * (lr == 0.016 and batch == 64)
            lines.append(f"64,256,4,2,{lr},{batch},100,1000,500,2,r,{loss + 0.01},{loss}")
    lines.append("128,512,8,4,0.002,32,100,4000,1000,4,only,2.0,2.0")
    path.write_text("\n".join(lines))
    return {"data/dense_lr_bs_loss.csv": path}


@pytest.mark.parametrize("smooth", ["smooth loss", "smooth_loss"])
def test_steplaw_sorts_the_grid_and_measures_the_excess(tmp_path, smooth):
    table = steplaw.dense(steplaw_file(tmp_path / "runs.csv", smooth))
    assert list(table) == columns_of("steplaw_dense")
    assert table["lr"].tolist()[:5] == [0.001, 0.002, 0.004, 0.008, 0.016]
    assert table["batch_size_seqs"].tolist() == [32] * 5 + [64] * 5 + [32]
    assert (table["batch_size_tokens"] == 2048 * table["batch_size_seqs"]).all()
    assert table.groupby(["params", "tokens"])["excess_loss"].min().tolist() == [0.0, 0.0]
    assert table["diverged"].tolist() == [False] * 9 + [True] + [False]
    assert (table["loss_last"] - table["loss"]).iloc[0] == pytest.approx(0.01)


def test_steplaw_optimum_is_the_vertex_of_the_parabola(tmp_path):
    table = steplaw.optima(steplaw_file(tmp_path / "runs.csv"))
    assert list(table) == columns_of("lr_width_steplaw_optima")
    first, alone = table.iloc[0], table.iloc[1]
    assert first["lr_best_parabola"] == pytest.approx(0.004)
    assert first["log_lr_curvature"] == pytest.approx(0.1)
    assert first["n_runs"] == 10
    assert first["n_within_0p002"] == 1
    assert not first["at_lr_edge"]
    assert first["lr_step_law"] == pytest.approx(1.79 * 500**-0.713 * 1000**0.307)
    assert np.isnan(alone["lr_best_parabola"])  # one run has no parabola
    assert alone["at_lr_edge"]


def test_steplaw_bootstrap_drops_the_index(tmp_path):
    path = tmp_path / "fits.csv"
    path.write_text(",lr_intercept,lr_coefN,lr_coefD,bs_intercept,bs_coefD\n0,1,-0.7,0.3,-1,0.6\n")
    table = steplaw.bootstrap({"data/1004_fitted_lr_bs_scaling_model_parameters.csv": path})
    assert list(table) == columns_of("steplaw_bootstrap")


def test_downstream_joins_scores_and_undoes_the_units(tmp_path):
    base, extra = tmp_path / "base.csv", tmp_path / "extra.csv"
    base.write_text(
        "Model,Model Family,Model Size (B),Pretraining Data Size (T),FLOPs (1E21),MMLU,ARC-C,"
        "HellaSwag,Winograd,TruthfulQA,GSM8K,XWinograd,HumanEval\n"
        "b/two,B,2.0,0.5,6.0,0.3,0.3,0.3,0.3,0.3,0.3,0.3,0.3\n"
        "a/moe,A,45.0,,,0.7,0.6,0.8,0.8,0.4,0.5,0.8,\n"
        "b/one,B,1.0,0.5,3.0,0.2,0.2,0.2,0.2,0.2,0.2,0.2,0.2\n"
    )
    extra.write_text(
        "Model,parsinlu_qa_2_acc,word_unscrambling_2_exact_match,ipa_transliterate_2_exact_match,"
        "ipa_transliterate_2_bleu,arithmetic_3ds_2_acc,arithmetic_3da_2_acc,arithmetic_2dm_2_acc,"
        "arithmetic_2da_2_acc\nb/one,1,2,3,4,5,6,7,8\n"
    )
    table = downstream.models(
        {
            "eval_results/base_llm_benchmark_eval.csv": base,
            "eval_results/base_llm_emergent_capability_eval.csv": extra,
        }
    )
    assert list(table) == columns_of("downstream_obs")
    assert table["model"].tolist() == ["a/moe", "b/one", "b/two"]
    assert table.loc[1, "flops"] == 6 * 1e9 * 5e11
    assert table["emergent_arithmetic_2da_2_acc"].notna().tolist() == [False, True, False]
    assert table[["tokens", "flops"]].isna().iloc[0].all()  # undisclosed stays missing


def gadre_files(tmp_path, name, params, tokens):
    tasks = [c.removeprefix("error_") for c in columns_of("gadre") if c.startswith("error_")]
    tasks = [t for t in tasks if not t.startswith("avg")]
    accuracy = {t: 0.75 if t in gadre.SUBSET else 0.25 for t in tasks}
    results = [
        {
            "val_data": [
                "training/eval_data/de-en/val_de-en_100.tar"
                if known == "val_de-en_100"
                else f"training/eval_data/val_tok_mult/{known}/shard_00000000.tar"
            ],
            "loss": 3.0 + i,
            "loss_sequences_lower_95": 2.9 + i,
            "loss_sequences_upper_95": 3.1 + i,
        }
        for i, known in enumerate(gadre.LOSSES)
    ]
    model = {
        "name": name,
        "dataset_name": "rpj",
        "hyperparameters": {
            "model": "training/open_lm_configs/d=96_l=8_h=4.json",
            "tokens": tokens,
            "params": params,
            "params_no_embed": params // 2,
            "chinchilla_multiplier": 0.25,
            "lr": 0.003,
            "wd": 0.033,
            "cd": 3e-05,
            "warmup": 100,
            "global_bs": 64,
            "z_loss": 0.0001,
        },
        "results": results[::-1],
    }
    files = {
        f"exp_data/models/{name}.json": model,
        f"exp_data/evals/evaluation_{name}_heavy.json": {"eval_metrics": {"icl": accuracy}},
    }
    raw = {}
    for i, (path, content) in enumerate(files.items()):
        raw[path] = tmp_path / f"{name}{i}.json"
        raw[path].write_text(json.dumps(content))
    return raw


def test_gadre_reads_losses_by_set_and_averages_errors(tmp_path):
    big, little = 6_889_410_560, 10_569_312
    raw = gadre_files(tmp_path, "rpj-big", big, 137_788_211_200)
    raw |= gadre_files(tmp_path, "rpj-little-0.25", little, 52_846_560)
    table = gadre.runs(raw)
    assert list(table) == columns_of("gadre")
    assert table["run"].tolist() == ["rpj-little-0.25", "rpj-big"]
    assert table["flops"].tolist()[1] == 6 * big * 137_788_211_200  # beyond 64 bits, still exact
    assert table["token_multiplier"].tolist() == [5, 5]
    assert table["loss_c4_eval_lo95"].tolist() == [3.9, 3.9]
    assert table["error_avg17"].tolist() == [0.25, 0.25]
    assert table["error_avg46"].iloc[0] == pytest.approx((17 * 0.25 + 29 * 0.75) / 46)


def test_gadre_grid_reads_everything_from_the_key(tmp_path):
    path = tmp_path / "grid.json"
    path.write_text('{"d=1024_l=12_h=16-64-0.003-0.033-64-5149020160-2000-3e-05": 2.5}')
    table = gadre.grid({"exp_data/grid.json": path})
    assert list(table) == columns_of("gadre_grid")
    row = table.iloc[0]
    assert (row["width"], row["depth"], row["heads"]) == (1024, 12, 16)
    assert (row["params"], row["warmup_steps"], row["cooldown_lr"]) == (257451008, 2000, 3e-5)


def test_gadre_grid_refuses_a_key_of_another_form(tmp_path):
    path = tmp_path / "grid.json"
    path.write_text('{"d=1024_l=12-64": 2.67}')
    with pytest.raises(ValueError, match="not a key of the grid"):
        gadre.grid({"exp_data/grid.json": path})


def test_routing_keeps_six_evaluations_of_each_run(tmp_path):
    names = {v: k for k, v in routing._NAMES.items()}
    steps = [*range(10_000, 250_000, 10_000), 249_000]
    rows = [
        dict.fromkeys(names.values(), 2) | {"hyper_id": run, "step": step, "router_type": kind}
        for run, kind in ((1, "Hash"), (0, "Dense"))
        for step in steps[::-1]
    ]
    raw = pd.DataFrame(rows).drop(columns="is_final")
    raw.loc[raw["router_type"] == "Dense", "num_experts"] = np.nan
    path = tmp_path / "curves.csv.gz"
    path.write_bytes(gzip.compress(raw.to_csv(index=False).encode()))
    table = routing.runs({"data/curves.csv.gz": path})
    assert list(table) == columns_of("routing_moe")
    assert table["run"].tolist() == [0] * 6 + [1] * 6
    assert table["step"].tolist()[:6] == [*routing.STEPS, 249_000]
    assert table["is_final"].tolist() == ([False] * 5 + [True]) * 2
    assert table["experts"].tolist() == [1] * 6 + [2] * 6
