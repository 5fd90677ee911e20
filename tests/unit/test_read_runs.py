"""Reading a run table: what is recognised, what is refused and in which words."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayes_scaling.data.columns import COLUMNS, normalise
from bayes_scaling.data.numbers import row_labels, to_flags, to_numbers
from bayes_scaling.data.read import read_runs
from bayes_scaling.data.summary import summary
from bayes_scaling.errors import TableError, UnknownNameError
from bayes_scaling.inference.fit import as_read
from bayes_scaling.laws import PowerLaw
from bayes_scaling.model import ScalingModel

PLAIN = {
    "run": ["r1", "r2", "r3"],
    "params": [1e8, 1e9, 1e10],
    "tokens": [2e9, 1e10, 3e11],
    "loss": [3.4, 2.8, 2.2],
}


def plain(**changed) -> pd.DataFrame:
    return pd.DataFrame({**PLAIN, **changed})


def problems(source, **options) -> list[str]:
    with pytest.raises(TableError) as caught:
        read_runs(source, **options)
    assert len(caught.value.problems) >= 1
    for problem in caught.value.problems:
        assert problem.found
        assert problem.do
        assert str(problem) in str(caught.value)
    return [str(p) for p in caught.value.problems]


def problem(source, **options) -> str:
    (only,) = problems(source, **options)
    return only


def record(runs: pd.DataFrame) -> dict:
    return runs.attrs["bayes_scaling"]


# What comes out


def test_a_plain_table():
    runs = read_runs(plain(notes=["a", "b", "c"]))
    assert list(runs) == ["run", "params", "tokens", "loss", "notes", "flops", "use", "flag"]
    assert all(runs[c].dtype == np.float64 for c in ("params", "tokens", "loss", "flops"))
    assert runs["use"].dtype == bool
    assert runs["flag"].tolist() == ["", "", ""]
    assert runs["flops"].tolist() == [
        6 * n * d for n, d in zip(runs.params, runs.tokens, strict=True)
    ]
    assert runs["notes"].tolist() == ["a", "b", "c"]


def test_the_source_is_left_alone_and_rows_are_numbered_in_order():
    source = plain(params=[100_000_000, 1_000_000_000, 10_000_000_000]).set_index("run")[::-1]
    before = source.copy()
    runs = read_runs(source)
    pd.testing.assert_frame_equal(source, before)
    assert runs.index.tolist() == [0, 1, 2]
    assert runs["run"].tolist() == ["r3", "r2", "r1"]  # a named index is a column


def test_the_record_is_plain_data():
    runs = read_runs(
        plain(vocab_size=50_257, width=768).rename(columns={"params": "N"}),
        units={"tokens": "1"},
        constants={"context_length": 1024},
        to_count="non_embedding",
    )
    assert json.loads(json.dumps(record(runs))) == record(runs)
    assert record(runs)["source"] == "DataFrame"
    assert record(runs)["roles"]["params"] == "N"
    assert record(runs)["units"] == {"tokens": "1"}
    assert record(runs)["constants"] == {"context_length": 1024}
    assert record(runs)["flops"] == "6ND"
    assert record(runs)["count"] == "non_embedding"
    assert record(runs)["count_given"] == "total"


@pytest.mark.parametrize("end", [".csv", ".csv.gz", ".parquet", ".jsonl", ".ndjson"])
def test_every_format_gives_the_same_table(tmp_path, end):
    source, path = plain(loss=[3.4, 0.1 + 0.2, np.nan]), tmp_path / f"runs{end}"
    if end == ".parquet":
        source.to_parquet(path)
    elif end in (".jsonl", ".ndjson"):
        source.to_json(path, orient="records", lines=True, double_precision=15)
    else:
        source.to_csv(path, index=False)
    for given in (path, str(path)):
        runs = read_runs(given)
        assert record(runs)["source"] == str(path)
        pd.testing.assert_frame_equal(runs, read_runs(source), check_dtype=False, rtol=1e-14)


def test_jsonl_skips_blank_lines(tmp_path):
    path = tmp_path / "runs.jsonl"
    path.write_text('{"N": 1e8, "D": 2e9, "L": 3.1}\n\n{"N": 1e9, "D": 2e9, "L": NaN}\n')
    assert read_runs(path)["flag"].tolist() == ["", "loss is NaN"]


# Recognition


@pytest.mark.parametrize("role", list(COLUMNS))
def test_every_alias_leads_to_its_role_alone(role):
    mine = {normalise(a) for a in (role, *COLUMNS[role].aliases)}
    others = {normalise(a) for r in COLUMNS if r != role for a in (r, *COLUMNS[r].aliases)}
    assert not mine & others


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("Model Size", "params"), ("n_params", "params"), ("N", "params"),
        ("num_params", "params"), ("D", "tokens"), ("n_tokens", "tokens"),
        ("Training Tokens", "tokens"), ("C", "flops"), ("Training FLOP", "flops"),
        ("FLOPs", "flops"), ("train_flops", "flops"), ("val_loss", "loss"), ("L", "loss"),
        ("final_loss", "loss"), ("d_model", "width"), ("n_layers", "depth"), ("LR", "lr"),
    ],
)  # fmt: skip
def test_spellings(name, role):
    source = plain(flops=[1e18, 1e19, 1e20], width=256, depth=4, lr=0.1).rename(
        columns={role: name}
    )
    runs = read_runs(source)
    assert record(runs)["roles"][role] == name
    assert name not in runs


def test_single_letters_keep_their_case():
    runs = read_runs(plain(d=["x", "y", "z"]).rename(columns={"tokens": "D"}))
    assert runs["d"].tolist() == ["x", "y", "z"]


def test_two_columns_for_one_role_are_never_chosen_between():
    source = plain(val_loss=[3.5, 2.9, 2.3])
    assert problem(source) == (
        "table: 2 columns could be loss: 'loss', 'val_loss'; say which: columns={'loss': 'loss'}"
    )
    runs = read_runs(source, columns={"loss": "val_loss"})
    assert runs["loss"].tolist() == [3.5, 2.9, 2.3]
    assert runs["loss_given"].tolist() == [3.4, 2.8, 2.2]
    assert "the table's own 'loss' is kept as 'loss_given'" in record(runs)["steps"]


def test_roles_can_be_given_taken_away_swapped_and_shared():
    source = plain().rename(columns={"loss": "c4_val"})
    assert read_runs(source, columns={"loss": "c4_val"})["loss"].tolist() == [3.4, 2.8, 2.2]
    odd = plain(width=["S", "M", "L"])
    assert "no number: 'S', 'M', 'L'" in problem(odd)
    assert read_runs(odd, columns={"width": None})["width_given"].tolist() == ["S", "M", "L"]
    swapped = plain().rename(columns={"params": "tokens", "tokens": "params"})
    runs = read_runs(swapped, columns={"params": "tokens", "tokens": "params"})
    pd.testing.assert_frame_equal(runs[list(PLAIN)], plain()[list(PLAIN)], check_dtype=False)
    shared = read_runs(plain(), columns={"unique_tokens": "tokens", "tokens": "tokens"})
    assert shared["unique_tokens"].tolist() == shared["tokens"].tolist()


def test_a_role_nobody_plays_says_what_is_there_and_how_to_name_it():
    source = pd.DataFrame({"params_dense": [1e8], "tokens": [1e9], "c4": [3.0]})
    params, loss = problems(source)
    assert params.startswith(
        "table: no column is recognised as params; columns are 'params_dense', 'tokens', 'c4'"
    )
    assert "columns={'params': 'params_dense'}" in params
    assert "did you mean 'params_dense'?" in params
    assert "columns={'loss': '...'}" in loss


def test_wrong_names_in_columns():
    assert "no such column. Did you mean 'loss'?" in problem(plain(), columns={"loss": "los"})
    found = problem(plain(), columns={"tokenz": "tokens"})
    assert "names the role 'tokenz', which does not exist. Did you mean 'tokens'?" in found


def test_require():
    curve = {"lr": [1e-3, 1e-2], "loss": [3.0, np.nan]}
    assert read_runs(curve, require=["lr", "loss"])["use"].tolist() == [True, False]
    assert "flops" not in read_runs(curve, require=["lr", "loss"])
    with pytest.raises(UnknownNameError, match="Did you mean 'loss'"):
        read_runs(curve, require=["losss"])


# Units


@pytest.mark.parametrize(
    ("role", "unit", "factor"),
    [
        ("tokens", "K", 1e3), ("tokens", "M", 1e6), ("params", "B", 1e9), ("params", "G", 1e9),
        ("tokens", "T", 1e12), ("flops", "EFLOP", 1e18), ("flops", "ZFLOP", 1e21),
        ("flops", "PF-days", 8.64e19), ("loss", "bits", np.log(2)), ("accuracy", "%", 0.01),
    ],
)  # fmt: skip
def test_units(role, unit, factor):
    raw = plain(flops=[1e18, 1e19, 1e20], accuracy=[0.2, 0.3, 0.4])
    scaled = raw.assign(**{role: raw[role] / factor})
    runs = read_runs(scaled, units={role: unit})
    np.testing.assert_allclose(runs[role], raw[role], rtol=1e-12)


def test_loss_sd_follows_loss():
    runs = read_runs(plain(loss_sd=1.0), units={"loss": "bits"})
    assert runs["loss_sd"].tolist() == pytest.approx([np.log(2)] * 3)


def test_counts_are_whole_again_after_scaling():
    assert 1.001 * 1e3 != 1001
    assert read_runs(plain(width=1.001), units={"width": "K"})["width"][0] == 1001


def test_bad_units():
    assert "the unit 'b', which is not known. Did you mean 'B'?" in problem(
        plain(), units={"tokens": "b"}
    )
    found = problem(plain(), units={"flops": "B"})
    assert "units= gives a unit for 'flops', and no column has that role" in found


@pytest.mark.parametrize(
    ("role", "values", "words"),
    [
        ("tokens", [2, 20, 300], "the largest value is 300, too small for tokens"),
        ("params", [0.1, 1, 70], "the largest value is 70, too small for parameters"),
        ("flops", [1.0, 10.0, 5.0], "the largest value is 10, too small for FLOP"),
        ("params", [1e17, 1e9, 1e9], "the largest value is 1e+17 parameters, more than any run"),
        ("loss", [22.0, 25.0, 30.0], "the median loss is 25, far above any cross-entropy"),
    ],
)
def test_magnitudes_that_must_be_in_another_unit(role, values, words):
    source = plain(**{role: values})
    assert words in problem(source)
    raw = "nats" if role == "loss" else "1"
    assert f"units={{'{role}': '{raw}'}}" in problem(source)
    assert read_runs(source, units={role: raw})[role].tolist() == values


def test_a_unit_on_raw_numbers():
    found = problem(plain(), units={"params": "B"})
    assert "leave out units={'params': 'B'} if the values are raw already" in found


def test_small_models_next_to_large_ones_are_fine():
    runs = read_runs(plain(params=[768, 1e6, 1.5e9]), count="non_embedding")
    assert runs["params"][0] == 768


# FLOPs, tokens, counts


def test_flop_conventions():
    source = plain(C=[1e18, 1e19, 1e20])
    exact = {"constants": {"width": 512, "depth": 8, "vocab_size": 32_000, "context_length": 4096}}
    given = read_runs(source)
    assert (record(given)["flops"], given["flops"].tolist()) == ("given", [1e18, 1e19, 1e20])
    rule = read_runs(source, flops="6ND")
    assert record(rule)["flops"] == "6ND"
    assert rule["flops"].tolist() == (6 * rule["params"] * rule["tokens"]).tolist()
    assert rule["flops_given"].tolist() == [1e18, 1e19, 1e20]
    counted = read_runs(source, flops="transformer", **exact)
    per_token = 72 * 8 * 512**2 + 12 * 8 * 512 * 4096 + 6 * 32_000 * 512
    np.testing.assert_allclose(counted["flops"], per_token * counted["tokens"], rtol=1e-14)
    wide = read_runs(source.assign(d_ff=4096), flops="transformer", **exact)
    more = 3 * 4 * 8 * 512 * (4096 - 2048)
    np.testing.assert_allclose(wide["flops"], (per_token + more) * wide["tokens"], rtol=1e-14)


def test_conventions_that_cannot_be_had():
    assert "flops='given' needs flops, which the table does not have" in problem(
        plain(), flops="given"
    )
    found = problem(plain(width=512), flops="transformer")
    assert "needs depth and vocab_size and context_length" in found
    assert "constants=" in found
    assert "there is no flops='6nd'." in problem(plain(), flops="6nd")
    assert "there is no count='embedding'." in problem(plain(), count="embedding")


def test_gaps_in_given_flops_are_noted_not_filled():
    runs = read_runs(plain(flops=[1e18, np.nan, 1e20]))
    assert np.isnan(runs["flops"][1])
    assert "flops are missing in 1 runs; flops='6ND' computes them" in record(runs)["steps"]


def test_tokens_from_flops_only_when_asked():
    source = plain(C=[6e17, 6e19, 6e21]).drop(columns="tokens")
    assert "or pass tokens='C/6N' to compute flops/(6 params)" in problem(source)
    runs = read_runs(source, tokens="C/6N")
    assert runs["tokens"].tolist() == pytest.approx([1e9, 1e10, 1e11])
    assert record(runs)["tokens"] == "C/6N"
    assert "tokens of 3 runs are flops/(6 params)" in record(runs)["steps"]
    assert "tokens='C/6N' needs flops" in problem(plain().drop(columns="tokens"), tokens="C/6N")


def test_tokens_that_are_given_are_not_computed():
    runs = read_runs(plain(tokens=[2e9, np.nan, 3e11], C=[1e18, 6e19, 1e20]), tokens="C/6N")
    assert runs["tokens"].tolist() == pytest.approx([2e9, 1e10, 3e11])


@pytest.mark.parametrize(("tied", "copies"), [(True, 1), (False, 2)])
def test_counts_convert(tied, copies):
    source = plain(width=512, vocab_size=32_000)
    runs = read_runs(source, count="non_embedding", to_count="total", tied=tied)
    expected = source["params"] + copies * 512 * 32_000
    assert runs["params"].tolist() == expected.tolist()
    assert runs["params_given"].tolist() == PLAIN["params"]
    assert runs["flops"].tolist() == (6 * runs["params"] * runs["tokens"]).tolist()
    back = read_runs(source.assign(params=expected), to_count="non_embedding", tied=tied)
    assert back["params"].tolist() == PLAIN["params"]


def test_counts_that_do_not_convert():
    assert "needs width and vocab_size" in problem(plain(), to_count="non_embedding")
    wide = plain(width=8192, vocab_size=32_000)
    found = problem(wide, to_count="non_embedding")
    assert (
        "column 'params': the embeddings alone have more parameters than the model (rows r1)"
        in found
    )
    assert "cannot be computed; only total and non_embedding convert" in problem(
        wide, count="active", to_count="total"
    )
    assert record(read_runs(wide, count="active"))["count"] == "active"


def test_constants():
    assert "is given twice, by a column and in constants" in problem(
        plain(), constants={"loss": 3.0}
    )
    assert "names the role 'vocab', which does not exist" in problem(
        plain(), constants={"vocab": 9}
    )
    assert read_runs(plain(), constants={"experts": 8})["experts"].tolist() == [8.0] * 3


# Bad values


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"tokens": [-1, 0, 3e11]},
         "column 'tokens': 2 values <= 0 (rows r1, r2); tokens must be positive counts - remove"
         " these runs or correct them"),
        ({"loss": [3.4, 0.0, 2.2]},
         "column 'loss': 1 value <= 0 (rows r2); loss must be positive - remove these runs or"),
        ({"params": ["12B", "1,000", "1e9"]},
         "column 'params': 2 values are no number: '12B', '1,000' (rows r1, r2); write plain"
         " numbers without thousands separators or units, and pass units={'params': 'B'} for"),
        ({"params": [np.inf, 1e9, 1e10]}, "column 'params': 1 value is infinite (rows r1)"),
        ({"tokens": [2e9, -np.inf, 1e10]}, "column 'tokens': 1 value is infinite (rows r2)"),
        ({"loss": [True, False, True]}, "column 'loss': holds booleans; loss must be numbers"),
        ({"loss": [3.4, True, "x"]}, "2 values are no number: True, 'x' (rows r2, r3)"),
        ({"loss": [3 + 1j, 1, 2]}, "column 'loss': holds complex numbers"),
        ({"params": pd.to_datetime(["2024-01-01"] * 3)}, "column 'params': holds dates"),
        ({"tokens": pd.to_timedelta([1, 2, 3], "s")}, "column 'tokens': holds time differences"),
        ({"params": ["1_000", "1e9", "1e9"]}, "1 value is no number: '1_000' (rows r1)"),
        ({"params": [10**400, 10**9, 10**9]}, "column 'params': 1 value is no number"),
        ({"depth": [12, 12.5, 24]}, "column 'depth': 1 value is no whole number: 12.5 (rows r2)"),
        ({"accuracy": [20.0, 0.3, 0.4]}, "outside 0 to 1 (rows r1); pass units={'accuracy': '%'}"),
        ({"lr": [1e-3, -1e-3, 0.0]}, "column 'lr': 2 values <= 0 (rows r2, r3); lr must be"),
        ({"score": [1.0, np.inf, -2.0]}, "column 'score': 1 value is infinite"),
        ({"diverged": ["maybe", "no", "no"]}, "1 value is neither true nor false: 'maybe'"),
        ({"diverged": [[1], {}, "no"]}, "2 values are neither true nor false: [1], {} (rows r1,"),
        ({"use": [1, 1, 0]}, "column 'use': this name is taken; rename it"),
        ({"use": [1, 2, 0], "flag": ["", "", ""]}, "column 'use': neither true nor false; rename"),
    ],
)  # fmt: skip
def test_bad_values(changed, words):
    assert words in problem(plain(**changed))


def test_messages_use_the_tables_own_names():
    source = plain(tokens=[2e9, -1, 3e11]).rename(columns={"tokens": "Training Tokens"})
    assert problem(source).startswith("column 'Training Tokens': 1 value <= 0 (rows r2)")


@pytest.mark.parametrize("run", [["a", "a", "b"], ["a", None, "b"]])
def test_rows_have_numbers_where_names_do_not_tell_them_apart(run):
    assert "(row 1)" in problem(plain(run=run, tokens=[2e9, -1, 3e11]))


def test_many_rows_are_cut_short():
    source = pd.DataFrame({"N": np.full(99, 1e9), "D": np.full(99, -1.0), "L": np.full(99, 3.0)})
    assert "99 values <= 0 (row 0, row 1, row 2, row 3, row 4, ... 99 in all)" in problem(source)


def test_all_problems_come_at_once():
    source = plain(params=["12B", 1e9, 1e9], tokens=[2e9, -1, 3e11], width=[512, 512.5, 512])
    with pytest.raises(TableError, match="DataFrame: 5 problems in the run table") as caught:
        read_runs(source.drop(columns="loss"), units={"lr": "1"})
    text = str(caught.value)
    for words in ("recognised as loss", "for 'lr'", "'12B'", "values <= 0", "512.5"):
        assert words.replace("values", "value") in text


def test_numbers_written_as_text_are_read_and_noted():
    runs = read_runs(plain(params=["1e8", " 1000000000 ", ""]))
    assert runs["params"].tolist()[:2] == [1e8, 1e9]
    assert runs["flag"].tolist() == ["", "", "params is missing"]
    assert "column 'params' held numbers as text" in record(runs)["steps"]


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "category", "int32", "float32", object])
def test_kinds_of_numbers(dtype):
    source = plain(params=pd.Series([2**20, 2**27, 2**30]).astype(dtype))
    assert read_runs(source)["params"].tolist() == [2**20, 2**27, 2**30]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (" 2e9 ", 2e9), ("+7", 7.0), ("NaN", np.nan), ("None", np.nan), ("n/a", np.nan),
        ("", np.nan), ("inf", np.inf), ("1_0", None), ("0x10", None), ("1,5", None),
        (3, 3.0), (None, np.nan), (pd.NA, np.nan), (True, None), (10**400, None), ("\u0663", 3.0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("beside", [[], ["1e9", "5"], [2.5, 4]])
def test_a_value_reads_the_same_whatever_stands_beside_it(text, number, beside):
    values = pd.Series([text, *beside], dtype=object)
    numbers, found = to_numbers(values, COLUMNS["score"], "score", row_labels(pd.DataFrame()))
    np.testing.assert_equal(numbers[0], np.nan if number is None else number)
    assert numbers[1:].tolist() == [float(v) for v in beside]
    assert [p.rows for p in found] == ([("row 0",)] if number is None else [])


@pytest.mark.parametrize("words", [["yes", None, "No"], [1, 0, np.nan], [True, 0.0, pd.NA]])
def test_yes_and_no_read_the_same_in_any_column(words):
    labels = row_labels(pd.DataFrame())
    for dtype in (object, "category"):
        flags, found = to_flags(pd.Series(words, dtype=object).astype(dtype), "diverged", labels)
        assert (flags.tolist(), found) == ([True, False, False], [])


def test_nullable_gaps_are_missing():
    runs = read_runs(plain(params=pd.array([10**8, None, 10**9], dtype="Int64")))
    assert runs["flag"][1] == "params is missing"


# Bad sources


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("runz.csv", "there is no such file; did you mean 'runs.csv'?"),
        ("other.jsonl", "there is no such file; looked in {folder}; tables there: runs.csv"),
        ("a/b/c.csv", "there is no such file; the nearest folder that exists is {folder}"),
        ("x" * 5000 + ".csv", "there is no such file"),
        ("nul\0.csv", "there is no such file"),
        ("", "it is a folder; give one file; tables in it: runs.csv"),
        ("runs.xlsx", "the extension .xlsx is not one that is read; use .csv, .csv.gz, .parquet"),
        ("runs", "the extension (none) is not one that is read"),
        ("empty.csv", "the file is empty (0 bytes)"),
        ("header.csv", "it has 3 columns and 0 rows; a run table needs a header and one row"),
        ("blank.csv", "the file cannot be read: No columns to parse"),
        ("broken.parquet", "the file cannot be read"),
        ("broken.jsonl", "line 2 is not JSON"),
        ("list.jsonl", "line 1 is not an object with one field per column"),
        ("twice.jsonl", "a line names a column twice, among N, N, L"),
        ("notgz.csv.gz", "the file cannot be read"),
        ("latin.csv", "the file cannot be read"),
        ("ragged.csv", "the file cannot be read"),
        ("long.csv", "the file cannot be read"),
        ("semicolon.csv", "fields look separated by ';'; separate by commas, or pass pandas."),
        ("twice.csv", "column 'L': two columns have this name; rename or remove one of them"),
    ],
)  # fmt: skip
def test_bad_files(tmp_path, name, words):
    contents = {
        "runs.csv": b"N,D,L\n1e8,1e9,3\n",
        "runs.xlsx": b"PK",
        "runs": b"N,D,L\n",
        "empty.csv": b"",
        "header.csv": b"N,D,L\n",
        "blank.csv": b"\n\n",
        "broken.parquet": b"PAR1 but not really",
        "broken.jsonl": b'{"N": 1e8}\n{"N": \n',
        "list.jsonl": b"[1, 2]\n",
        "twice.jsonl": b'{"N": 1, "N": 2, "L": 3}\n',
        "notgz.csv.gz": b"N,D,L\n1,2,3\n",
        "latin.csv": b"N,D,L,who\n1e8,1e9,3,Andr\xe9\n",
        "ragged.csv": b"N,D,L\n1e8,1e9,3\n1e8,1e9,3,4,5\n",
        "long.csv": b"N,D,L\n1e8,1e9,3,4\n1e8,1e9,3,4\n",
        "semicolon.csv": b"N;D;L\n1e8;1e9;3\n",
        "twice.csv": b"N,D,L,L\n1e8,1e9,3,4\n",
    }
    wanted = [name] if name in contents else ["runs.csv"]
    for file in wanted:
        (tmp_path / file).write_bytes(contents[file])
    found = problem(os.path.join(tmp_path, name))
    assert words.format(folder=tmp_path) in found


def test_other_sources_that_are_no_table():
    assert "a list is not a table; give a path, a pandas DataFrame or a dict" in problem([1, 2])
    assert "a NoneType is not a table" in problem(None)
    assert "addresses are not read; download the file first" in problem("https://a.b/runs.csv")
    assert "the name holds line breaks; for text in memory" in problem("N,D,L\n1,2,3")
    assert "give every column as many values as runs" in problem({"N": [1, 2], "D": [1], "L": [1]})
    assert "give every column as many values as runs" in problem({"N": 1, "D": 1, "L": 1})
    assert "it has 0 columns and 0 rows" in problem(pd.DataFrame())
    twice = pd.DataFrame([[1e8, 1e9, 3.0, 3.1]], columns=["N", "D", "L", "L"])
    assert problem(twice).startswith("column 'L': two columns have this name")


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    path = tmp_path / "runs.parquet"
    plain().to_parquet(path)

    def no_engine(path):
        raise ImportError

    from bayes_scaling.data import source

    monkeypatch.setitem(source._READERS, ".parquet", no_engine)
    assert "pip install 'bayes-scaling[parquet]'" in problem(path)


# Reading again


OPTIONS = [
    {},
    {"units": {"tokens": "1"}},
    {"flops": "6ND"},
    {"columns": {"loss": "c4"}},
    {"columns": {"loss": None, "score": "loss"}, "require": ["params", "tokens", "score"]},
    {"count": "non_embedding", "to_count": "total", "constants": {"width": 512, "vocab_size": 999}},
    {"units": {"loss": "bits", "flops": "PF-days"}},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_reading_again_changes_nothing(options):
    source = plain(loss=[3.4, np.nan, 2.2], c4=[3.5, 2.9, 2.3], C=[1e2, 1e3, 1e5])
    if "units" not in options or "flops" not in options["units"]:
        source["C"] *= 1e19
    once = read_runs(source, **options)
    for again in (read_runs(once), read_runs(once, **options)):
        pd.testing.assert_frame_equal(again, once)
        assert again.attrs == once.attrs


def test_reading_again_through_a_file(tmp_path):
    once = read_runs(plain(loss=[3.4, np.nan, 2.2]), units={"tokens": "1"})
    once.to_csv(tmp_path / "runs.csv", index=False)
    pd.testing.assert_frame_equal(read_runs(tmp_path / "runs.csv"), once, check_dtype=False)
    once.to_parquet(tmp_path / "runs.parquet")
    again = read_runs(tmp_path / "runs.parquet")
    pd.testing.assert_frame_equal(again, once)
    assert again.attrs == once.attrs


def test_units_are_not_applied_twice():
    once = read_runs(plain(tokens=[2, 10, 300]), units={"tokens": "B"})
    assert read_runs(once, units={"tokens": "B"})["tokens"].tolist() == [2e9, 1e10, 3e11]
    assert "was read before and is in raw units" in problem(once, units={"params": "B"})


def test_a_role_can_be_given_to_another_column_later():
    once = read_runs(plain(c4=[3.5, 2.9, 2.3]), columns={"loss": "c4"})
    back = read_runs(once, columns={"loss": "loss_given"})
    assert back["loss"].tolist() == [3.4, 2.8, 2.2]
    assert record(back)["roles"]["loss"] == "loss_given"


def test_a_part_of_a_table_is_a_table():
    once = read_runs(plain(C=[1e18, 1e19, 1e20]))
    part = read_runs(once[once["params"] > 2e8])
    assert part.index.tolist() == [0, 1]
    assert record(part)["flops"] == "given"


# Real tables


@pytest.fixture
def folder() -> Path:
    where = os.environ.get("BAYES_SCALING_DATA")
    if not where:
        pytest.skip("BAYES_SCALING_DATA is not set: no real tables to read")
    return Path(where)


@pytest.mark.parametrize(
    ("name", "options", "rows", "used", "status"),
    [
        ("chinchilla", {}, 245, 245, "PASS"),
        ("gadre_grid", {}, 435, 435, "FAIL"),  # 20 tokens per parameter throughout
        ("steplaw_dense", {"count": "non_embedding"}, 1911, 1911 - 182, "REVIEW"),
        ("muennighoff", {}, 307, 307, "REVIEW"),
        ("routing_moe",
         {"columns": {"params": "params_dense", "tokens": "step"}, "units": {"tokens": "1"}},
         1338, 1338, "PASS"),
    ],
)  # fmt: skip
def test_real_tables(folder, name, options, rows, used, status):
    runs = read_runs(folder / f"{name}.csv", **options)
    result = summary(runs)
    assert (len(runs), result.n_used, result.status) == (rows, used, status)
    pd.testing.assert_frame_equal(read_runs(runs, **options), runs)


def test_a_real_table_without_tokens_says_so(folder):
    params, tokens = problems(folder / "routing_moe.csv")
    assert "did you mean 'params_dense' or 'params_total'?" in params
    assert "no column is recognised as tokens" in tokens


@pytest.mark.parametrize("columns", [{"C": "flops"}, {"N": "params", "D": "tokens"}])
def test_a_law_of_compute_takes_compute_or_what_it_follows_from(columns):
    flops = np.geomspace(1e18, 1e21, 12)
    sizes = {"C": flops, "N": np.sqrt(flops / 120), "D": np.sqrt(flops * 20 / 6)}
    table = pd.DataFrame({**{k: sizes[k] for k in columns}, "loss": 1.8 + flops**-0.1})
    read = as_read(table, ScalingModel(PowerLaw()))
    assert read["flops"].to_numpy() == pytest.approx(flops)


def test_a_law_of_compute_says_that_there_is_none():
    with pytest.raises(TableError, match="no column is recognised as flops"):
        as_read(pd.DataFrame({"N": [1e8, 1e9], "loss": [3.0, 2.5]}), ScalingModel(PowerLaw()))
