"""The command line: what it prints, on which stream, and with which exit status."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling._terminal import to_number
from bayes_scaling._writing import flop, number, size
from bayes_scaling.cli import app, main
from bayes_scaling.cli.asking import allocate, predict
from bayes_scaling.cli.backtesting import backtest
from bayes_scaling.cli.comparing import compare, speedup
from bayes_scaling.cli.deciding import decide, gate, next_
from bayes_scaling.cli.demo import demo
from bayes_scaling.cli.fitting import check, fit
from bayes_scaling.cli.shelf import data_fetch, data_list, data_show, data_summary, models_list
from bayes_scaling.errors import SpecError
from bayes_scaling.results import dataset, save_fit, tree, with_derived

COMMANDS = {
    "demo": demo,
    "fit": fit,
    "check": check,
    "backtest": backtest,
    "compare": compare,
    "speedup": speedup,
    "predict": predict,
    "allocate": allocate,
    "decide": decide,
    "next": next_,
    "gate": gate,
    "data list": data_list,
    "data show": data_show,
    "data fetch": data_fetch,
    "data summary": data_summary,
    "models list": models_list,
}
TABLE = """params_m,D,val_loss
100,1,2.894
100,5,2.701
100,20,2.627
300,1,2.771
300,5,2.578
300,20,2.504
1000,5,2.484
1000,20,2.410
1000,80,2.380
3000,20,2.310
3000,80,2.270
"""


def make_fit(sampling=(("R-hat and ESS", "PASS", "largest R-hat 1.000", ""),), refusals=()):
    """A fit without an engine: 200 draws about the Chinchilla refit."""
    law = bs.Chinchilla(reference=(("params", 1e9), ("tokens", 2e10)))
    model = bs.ScalingModel(law)
    truth = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
    centre = {**law.from_paper(truth), "sigma": 0.004, "nu": 3.0}
    rng = np.random.default_rng(0)
    draws = {k: v * np.exp(0.01 * rng.standard_normal((4, 50))) for k, v in centre.items()}
    return tree(
        {"posterior": with_derived(model, dataset(draws))},
        model,
        method="laplace",
        method_reason="made for a test",
        seed=0,
        seconds=0.1,
        sampling=[list(v) for v in sampling],
        refusals=list(refusals),
        largest={"params": 1e10, "tokens": 2e11, "flops": 1e22},
        log_flops_mean=float(np.log(1e20)),
    )


@pytest.fixture
def fit_file(tmp_path):
    return str(save_fit(make_fit(), tmp_path / "fit.nc"))


@pytest.fixture
def bad_fit_file(tmp_path):
    sampling = [("k-hat", "FAIL", "k-hat 1.30", "fit with method='nuts'")]
    return str(save_fit(make_fit(sampling), tmp_path / "bad.nc"))


@pytest.fixture
def runs_file(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text(TABLE)
    return str(path)


@pytest.fixture(autouse=True)
def wide_pipe(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)  # test runners set it, and tables wrap by it


def run(capsys, *argv):
    status = main([str(a) for a in argv])
    out, err = capsys.readouterr()
    return status, out, err


def plain(text):
    """Text as a person reads it: without the frames and the line breaks that a width makes."""
    return " ".join(text.replace("│", " ").split())


# Help


def test_help_lists_every_command_in_the_order_of_use(capsys):
    status, out, _ = run(capsys, "--help")
    names = ["demo", "fit", "check", "predict", "allocate", "data", "models"]
    assert status == 0
    places = [out.index(f"│ {name} ") for name in names]
    assert places == sorted(places)


def test_no_arguments_show_help(capsys):
    assert run(capsys)[:2] == run(capsys, "--help")[:2]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_the_docstring(capsys, name):
    status, out, _ = run(capsys, *name.split(), "--help")
    summary = COMMANDS[name].__doc__.splitlines()[0]
    assert status == 0
    assert summary in plain(out)
    assert "--json" in out
    assert "Write JSON to standard output, and nothing else." in plain(out)


def test_every_parameter_is_explained(capsys):
    _, out, _ = run(capsys, "fit", "--help")
    text = plain(out)
    for told in (
        "A file (.csv, .csv.gz, .parquet, .jsonl) or the name of a data set.",
        "such as loss=val_loss",
        "such as tokens=B",
        "copy one and change three lines",
        "[choices: auto, laplace, nuts]",
    ):
        assert told in text


def test_help_says_what_the_exit_status_means(capsys):
    for command in ([], ["allocate"]):
        text = plain(run(capsys, *command, "--help")[1])
        assert "Exit status: 0 done; 1 an error of use" in text
        assert "2 done, but a check says FAIL" in text


def test_version(capsys):
    assert run(capsys, "--version") == (0, f"{bs.__version__}\n", "")


def test_module_and_script_are_the_same_program():
    assert app.name == ("bayes-scaling",)
    done = subprocess.run(
        [sys.executable, "-m", "bayes_scaling", "--version"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.strip()) == (0, bs.__version__)


@pytest.mark.parametrize("argv", [["--help"], ["data", "list"], ["models", "list"]])
def test_listing_costs_no_engine(argv):
    code = (
        "import sys; from bayes_scaling.cli import main; status = main(sys.argv[1:]); "
        "heavy = {'jax', 'numpyro', 'arviz_stats', 'arviz_base', 'xarray', 'matplotlib'}; "
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (0, "[]")


# Numbers


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e22", 1e22),
        ("70B", 70e9),
        ("70b", 70e9),
        ("70G", 70e9),
        ("1.4T", 1.4e12),
        ("300M", 300e6),
        ("50.5K", 50500.0),
        ("5_000", 5000.0),
        (" 7e9 ", 7e9),
    ],
)
def test_numbers_are_read(text, value):
    assert to_number(text) == pytest.approx(value)


@pytest.mark.parametrize(
    "text", ["", "B", "70X", "1,000", "-1e9", "0", "nan", "inf", "70 BB", "B7"]
)
def test_what_is_no_number_is_refused(text):
    with pytest.raises(SpecError, match="write it like 70e9, 70B"):
        to_number(text)


@pytest.mark.parametrize("value", [44e6, 7.12e10, 1.35e12, 9.99e9, 1e3, 3.2e14])
def test_sizes_survive_being_written_and_read(value):
    assert to_number(size(value)) == pytest.approx(value)


def test_numbers_are_written_for_people():
    assert [size(v) for v in (71.23e9, 999.96e9, 12.0, 5.46e16, np.inf)] == [
        "71.2B",
        "1.00T",
        "12.0",
        "5.46e16",
        "none",
    ]
    assert [flop(v) for v in (1e24, 5.76e23, np.inf)] == ["1e24", "5.76e23", "none"]
    assert [number(v) for v in (1.9, 20.683, np.nan)] == ["1.900", "20.68", "nan"]


# Errors of use: exit status 1, a message on standard error, and nothing on standard output


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["allocate", "none.nc", "--budget", "1e22"], "no such file"),
        (["check", "some/where"], "no such file"),
        (["allocate", "chinchila", "--budget", "1e22"], "Did you mean 'chinchilla'?"),
        (["fit", "missing.csv"], "no such file"),
        (["fit", "nine-run"], "Did you mean 'nine-runs'?"),
        (["fit", "nine-runs", "--model", "chinchila"], "Did you mean 'chinchilla'?"),
        (["data", "show", "nine-run"], "Did you mean 'nine-runs'?"),
        (["data", "fetch", "nine-run"], "Did you mean 'nine-runs'?"),
        (["models", "show", "chinchila"], "Did you mean 'chinchilla'?"),
        (["allocate", "chinchilla"], "nothing to plan for"),
        (["allocate", "chinchilla", "--budget", "70X"], "'70X' is not a positive size"),
        (["predict", "x", "--params", "1", "2", "3", "--tokens", "1", "2"], "values pair up"),
        (["predict", "x", "--at", "batch"], "write NAME=VALUE"),
        (["fitt", "runs.csv"], 'Did you mean "fit"?'),
        (["fit", "nine-runs", "--metod", "nuts"], "--method"),
        (["fit", "nine-runs", "--method", "magic"], "auto"),
        (["fit"], "SOURCE"),
    ],
)
def test_errors_of_use(capsys, monkeypatch, tmp_path, argv, says):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, *argv)
    assert (status, out) == (1, "")
    assert says in plain(err)
    assert "Traceback" not in err


def test_what_is_no_fit(capsys, tmp_path):
    path = tmp_path / "notes.nc"
    path.write_text("not NetCDF")
    status, out, err = run(capsys, "check", path)
    assert (status, out) == (1, "")
    assert err.startswith(f"error: {path}: cannot be read as NetCDF")


def test_a_bad_table_has_all_its_problems_printed(capsys, tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("N,D,loss\n1e9,-1,2.5\n12B,2e10,2.4\n")
    status, out, err = run(capsys, "fit", path, "--out", tmp_path / "fit.nc")
    assert (status, out) == (1, "")
    assert "2 problems in the run table" in err
    assert "column 'N'" in err
    assert "column 'D'" in err
    assert not (tmp_path / "fit.nc").exists()


def test_a_file_that_cannot_be_written(capsys, monkeypatch, tmp_path, runs_file):
    monkeypatch.setattr(bs, "fit", lambda *_, **__: make_fit())
    (tmp_path / "taken").write_text("")
    argv = ["fit", runs_file, *READING, "--out", tmp_path / "taken" / "fit.nc", "--json"]
    status, out, err = run(capsys, *argv)
    assert (status, out) == (1, "")
    assert "taken" in err


# Answers


def quantile(values, q):
    return np.quantile(values, q, method="inverted_cdf")


def test_allocate_json_is_the_plan(capsys, fit_file):
    status, out, err = run(
        capsys,
        "allocate",
        fit_file,
        "--budget",
        "1e22",
        "--budget",
        "1e24",
        "--loss",
        "2",
        "--json",
    )
    found = json.loads(out)
    plan = bs.allocate(bs.open_fit(fit_file), [1e22, 1e24])
    assert (status, err, found["trust"]) == (0, "", "trusted")
    assert [p["budget"] for p in found["plans"]] == [1e22, 1e24]
    assert [p["decades_beyond_data"] for p in found["plans"]] == pytest.approx([0.0, 2.0])
    for name in ("params_opt", "tokens_opt", "tokens_per_param", "loss_opt"):
        for i, row in enumerate(found["plans"]):
            values = plan[name].isel(budget=i).values
            for q in (5, 25, 50, 75, 95):
                assert row[name][f"q{q:02d}"] == quantile(values, q / 100)
    (target,) = found["targets"]
    assert (target["loss"], target["reachable"]) == (2.0, 1.0)


def test_out_of_reach_is_null_in_json_and_none_in_the_table(capsys, fit_file):
    _, out, _ = run(capsys, "allocate", fit_file, "--loss", "1.5", "--json")
    (target,) = json.loads(out)["targets"]
    assert target["reachable"] == 0.0
    assert target["flops"]["q50"] is None
    _, out, _ = run(capsys, "allocate", fit_file, "--loss", "1.5")
    assert "reachable: 0%" in out
    assert "[none, none]" in out


def test_allocate_table(capsys, fit_file):
    status, out, err = run(capsys, "allocate", fit_file, "--budget", "1e22", "1e24")
    assert (status, err) == (0, "")
    plan = bs.allocate(bs.open_fit(fit_file), 1e24)
    assert size(float(quantile(plan.params_opt.values, 0.5))) in out
    assert "1e24 FLOP" in out
    assert "2.0 decades beyond the data" in out
    assert max(map(len, out.splitlines())) <= 80


def test_predict_json_is_the_prediction(capsys, fit_file):
    argv = ["predict", fit_file, "--params", "70B", "7B", "--tokens", "1.4T", "--json"]
    status, out, _ = run(capsys, *argv)
    points = json.loads(out)["points"]
    there = bs.predict(bs.open_fit(fit_file), {"params": [70e9, 7e9], "tokens": 1.4e12})
    assert status == 0
    assert [(p["params"], p["tokens"]) for p in points] == [(70e9, 1.4e12), (7e9, 1.4e12)]
    for i, point in enumerate(points):
        for name in ("loss_mean", "loss_run"):
            assert point[name]["q95"] == quantile(there[name].isel(point=i).values, 0.95)


def test_predict_table(capsys, fit_file):
    status, out, _ = run(capsys, "predict", fit_file, "--params", "70B", "--tokens", "1.4T")
    assert status == 0
    assert "params 70.0B, tokens 1.40T" in out
    assert "5.88e23 FLOP, 1.8 decades beyond the data" in out


def test_check(capsys, fit_file):
    status, out, _ = run(capsys, "check", fit_file, "--budget", "1e24", "--json")
    found = json.loads(out)
    assert (status, found["status"]) == (0, "REVIEW")
    assert set(found["verdicts"][0]) == {"name", "status", "found", "do"}
    assert run(capsys, "check", fit_file)[1].startswith("check: ")


@pytest.mark.parametrize(
    "argv",
    [
        ["allocate", "--budget", "1e24"],
        ["allocate", "--loss", "2.0"],
        ["predict", "--params", "70B", "--tokens", "1.4T"],
    ],
)
def test_an_untrusted_fit_is_said_everywhere_and_exits_2(capsys, bad_fit_file, argv):
    argv = [argv[0], bad_fit_file, *argv[1:]]
    status, out, err = run(capsys, *argv)
    assert status == 2
    assert "NOT TO BE TRUSTED" in out
    assert "k-hat 1.30" in err
    assert err.count("not to be trusted") == 1
    status, out, err = run(capsys, *argv, "--json")
    assert (status, json.loads(out)["trust"]) == (2, "k-hat: k-hat 1.30")


def test_a_failed_check_exits_2(capsys, bad_fit_file):
    status, out, _ = run(capsys, "check", bad_fit_file)
    assert status == 2
    assert out.startswith("check: FAIL")


def test_a_shipped_posterior_answers_by_name(capsys):
    status, out, _ = run(capsys, "allocate", "chinchilla", "--budget", "5.76e23", "--json")
    (plan,) = json.loads(out)["plans"]
    assert status == 0
    assert 10 < plan["tokens_per_param"]["q50"] < 30


# Fitting: the arguments that reach `fit`; what an engine makes of them is tested with it

READING = ["--column", "params=params_m", "--column", "tokens=D", "--units", "params=M"]
READING += ["--units", "tokens=B", "--column", "loss=val_loss"]


@pytest.fixture
def asked(monkeypatch):
    asked = {}

    def fake(model, runs, **options):
        asked.update(model=model, runs=runs, **options)
        return make_fit()

    monkeypatch.setattr(bs, "fit", fake)
    return asked


def test_fit_reads_the_table_as_told_and_writes_the_fit(capsys, tmp_path, runs_file, asked):
    out_file = tmp_path / "made" / "fit.nc"
    argv = ["fit", runs_file, *READING, "--out", out_file, "--seed", "7", "--method", "laplace"]
    status, out, _ = run(capsys, *argv)
    assert status == 0
    assert (asked["seed"], asked["method"], asked["force"]) == (7, "laplace", False)
    assert asked["runs"]["tokens"].iloc[0] == 1e9
    assert asked["runs"]["params"].iloc[0] == 1e8
    assert asked["runs"]["loss"].iloc[0] == 2.894
    assert bs.open_fit(out_file).attrs["method"] == "laplace"
    for told in ("11 of 11 runs usable", "Posterior", "check: ", f"wrote {out_file}"):
        assert told in out


def test_fit_json(capsys, tmp_path, runs_file, asked):
    argv = ["fit", runs_file, *READING, "--out", tmp_path / "fit.nc", "--json"]
    status, out, _ = run(capsys, *argv)
    found = json.loads(out)
    assert status == 0
    assert found["out"] == str(tmp_path / "fit.nc")
    assert found["summary"]["n_used"] == 11
    draws = make_fit()["posterior"]["alpha"].values
    assert found["posterior"]["alpha"]["q50"] == quantile(draws, 0.5)


def test_a_copied_and_edited_card_is_fitted(capsys, tmp_path, runs_file, asked):
    from bayes_scaling.cards.store import card_path

    card = tmp_path / "mine" / "card.toml"
    card.parent.mkdir()
    text = card_path("chinchilla").read_text()
    assert 'name = "student_t"' in text
    card.write_text(text.replace('name = "student_t"', 'name = "normal"'))
    for written in (card, card.parent):
        argv = ["fit", runs_file, *READING, "--model", written, "--out", tmp_path / "f.nc"]
        assert run(capsys, *argv)[0] == 0
        assert asked["model"].observation.name == "normal"


def test_a_table_that_identifies_nothing_exits_1_and_says_why(capsys, tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("params,tokens,loss\n1e8,2e9,3.4\n1e9,2e10,2.7\n1e10,2e11,2.3\n")
    status, _, err = run(capsys, "fit", path, "--out", tmp_path / "fit.nc")
    assert status == 1
    assert "3 usable runs for 5 parameters" in err
    assert not (tmp_path / "fit.nc").exists()
    status, out, _ = run(capsys, "data", "summary", path)
    assert status == 2
    assert out.startswith("3 of 3 runs usable: FAIL")


# The shelf


def test_data_and_models_in_json(capsys):
    rows = json.loads(run(capsys, "data", "list", "--json")[1])
    assert {"nine-runs", "chinchilla"} <= {r["name"] for r in rows}
    assert {r["where"] for r in rows} <= {"embedded", "local", "cached", "download", "by hand"}
    assert json.loads(run(capsys, "data", "show", "nine-runs", "--json")[1])["rows"] == 9
    assert json.loads(run(capsys, "data", "fetch", "nine-runs", "--json")[1])["files"] == []
    assert json.loads(run(capsys, "data", "summary", "nine-runs", "--json")[1])["n_used"] == 9
    assert "chinchilla" in {
        r["name"] for r in json.loads(run(capsys, "models", "list", "--json")[1])
    }
    assert json.loads(run(capsys, "models", "show", "chinchilla", "--json")[1])["schema"] == 1


def test_data_and_models_for_people(capsys):
    for argv, says in (
        (["data", "list"], "nine-runs"),
        (["data", "show", "nine-runs"], "nine-runs: nine runs of an invented study"),
        (["data", "fetch", "nine-runs"], "nothing to download"),
        (["data", "summary", "nine-runs"], "9 of 9 runs usable"),
        (["models", "list"], "chinchilla"),
        (["models", "show", "chinchilla"], "chinchilla: "),
    ):
        status, out, err = run(capsys, *argv)
        assert (status, err) == (0, "")
        assert says in out


def test_a_folder_does_not_hide_a_data_set(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("nine-runs").mkdir()
    assert run(capsys, "data", "summary", "nine-runs")[0] == 0


# The demo: the one test here that fits


def test_demo(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(bs, "fit", partial(bs.fit, draws=2000))
    status, out, err = run(capsys, "demo", "--out", tmp_path / "demo")
    assert (status, err) == (0, "")  # no progress where there is no terminal
    for told in ("simulated study", "truth", "check: ", "1.5 decades beyond the data"):
        assert told in out
    assert "In one sentence, from the real data: With 1e23 FLOP, train N = " in out
    made = {path.name for path in (tmp_path / "demo").iterdir()}
    figures = {f"{n}.png" for n in ("frontier", "isoflop", "loss", "posterior", "residuals")}
    assert made == figures | {"fit.nc"}
    bs.open_fit(tmp_path / "demo" / "fit.nc")
    for name in made:
        assert str(tmp_path / "demo" / name) in out
