"""The catalogue, and the way from a name to a table."""

import hashlib
import http.server
import importlib
import os
import re
import subprocess
import sys
import threading
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import least_squares

from bayes_scaling._registry import Registry
from bayes_scaling.data import datasets
from bayes_scaling.data.catalogue import Dataset, SourceFile, catalogue
from bayes_scaling.data.columns import COLUMNS
from bayes_scaling.data.convert import download, store
from bayes_scaling.errors import DatasetError, UnknownNameError

UPSTREAM = [n for n in catalogue() if catalogue()[n].kind == "upstream"]
HEX = re.compile(r"[0-9a-f]{64}")


@pytest.fixture
def nowhere(monkeypatch, tmp_path) -> Path:
    """No local folder, an empty cache."""
    monkeypatch.delenv("BAYES_SCALING_DATA", raising=False)
    monkeypatch.setenv("BAYES_SCALING_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path


# --- the catalogue ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", catalogue())
def test_every_entry_is_complete(name):
    d = catalogue()[name]
    assert d.title
    assert d.licence
    assert d.citation
    assert d.quirks
    assert d.serves
    columns = [f.name for f in d.fields]
    assert len(set(columns)) == len(columns)
    assert all(f.meaning and f.dtype in ("int", "float", "str", "bool") for f in d.fields)
    assert all(f.unit for f in d.fields if f.dtype == "float" and f.name != "seed")
    assert set(d.roles) <= set(COLUMNS)
    assert {c for c in d.roles.values() if c} <= set(columns)


@pytest.mark.parametrize("name", UPSTREAM)
def test_every_source_is_pinned(name):
    d = catalogue()[name]
    assert HEX.fullmatch(d.sha256)
    assert d.sources
    assert all(HEX.fullmatch(s.sha256) and s.bytes > 0 for s in d.sources)
    assert all(re.fullmatch(r"[0-9a-f]{40}", s.commit) for s in d.sources)
    assert len({s.path for s in d.sources}) == len(d.sources)


@pytest.mark.parametrize("name", [n for n in UPSTREAM if catalogue()[n].convert])
def test_every_converter_exists(name):
    module, function = catalogue()[name].convert.split(":")
    assert callable(
        getattr(importlib.import_module(f"bayes_scaling.data.convert.{module}"), function)
    )


def test_an_unverified_conversion_says_so():
    for name in UPSTREAM:
        d = catalogue()[name]
        assert d.checked
        assert d.verified or "only" in d.checked or "unchecked" in d.checked or not d.convert


def test_the_chinchilla_views_share_one_file():
    kept, whole = catalogue()["chinchilla"], catalogue()["chinchilla-245"]
    assert (kept.rows, whole.rows) == (240, 245)
    assert kept.keep == {"dropped_by_besiroglu": [False]}
    assert not whole.keep
    assert (kept.file, kept.sha256, kept.sources) == (whole.file, whole.sha256, whole.sources)


def test_the_page_has_what_one_must_know():
    page = str(datasets.describe_dataset("chinchilla"))
    for part in ("240", "arXiv:2404.10102", "none stated", "nats/token", "beware", "0.34781"):
        assert part in page
    assert max(map(len, page.splitlines())) <= 110


def test_an_unknown_name_is_corrected():
    for use in (datasets.load_dataset, datasets.describe_dataset, datasets.fetch_dataset):
        with pytest.raises(UnknownNameError, match="Did you mean 'chinchilla'"):
            use("chinchila")


def test_listing_needs_neither_jax_nor_a_downloader():
    code = (
        "import sys; from bayes_scaling.data.datasets import list_datasets; list_datasets();"
        "print([m for m in ('jax', 'numpyro', 'pooch', 'requests') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- what ships inside --------------------------------------------------------------------------


def test_nine_runs_give_the_least_squares_of_the_notes():
    runs = datasets.load_dataset("nine-runs", raw=True)
    n, d, loss = (runs[c].to_numpy() for c in ("params", "tokens", "loss"))

    def law(p, n, d):
        return p[0] + np.exp(p[1]) * (n / 1e8) ** -p[3] + np.exp(p[2]) * (d / 1e9) ** -p[4]

    fit = least_squares(
        lambda p: law(p, n, d) - loss, [1, 0, 0, 0.1, 0.1], xtol=1e-15, ftol=1e-15, gtol=1e-15
    )
    e, _, _, alpha, beta = fit.x
    assert e == pytest.approx(1.096, abs=1e-3)
    assert alpha == pytest.approx(0.0703, abs=1e-4)
    assert beta == pytest.approx(0.0980, abs=1e-4)
    assert law(fit.x, 70e9, 1.4e12) == pytest.approx(2.088, abs=1e-3)
    assert np.sqrt(np.mean(fit.fun**2)) == pytest.approx(6e-5, abs=5e-6)


def test_an_embedded_table_is_the_one_the_catalogue_knows():
    runs = datasets.load_dataset("nine-runs")
    about = runs.attrs["dataset"]
    assert about["sha256"] == catalogue()["nine-runs"].sha256
    assert about["name"] == "nine-runs"
    assert len(runs) == 9
    assert {"params", "tokens", "loss", "use", "flag"} <= set(runs)  # it was read as a run table


def test_a_simulated_study_is_made_when_asked_for(monkeypatch):
    study = types.ModuleType("bayes_scaling.data.simulate")
    study.chinchilla_study = lambda: pd.DataFrame({"params": [1e8]})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bayes_scaling.data.simulate", study)
    made = datasets.load_dataset("simulated-chinchilla")
    assert made.attrs["dataset"]["title"].startswith("a study simulated")


def test_a_simulation_that_is_not_installed_is_said(monkeypatch):
    d = replace(catalogue()["simulated-chinchilla"], loader="bayes_scaling.data.no_such:study")
    use(monkeypatch, d)
    with pytest.raises(DatasetError, match="no_such:study, which this installation lacks"):
        datasets.load_dataset(d.name)


# --- from a download to a table -----------------------------------------------------------------

RAW = b"""x,y,color,Model Size,Training FLOP,hex_color,loss
1,1,#a,1e8,6e17,#a,4.0
1,1,#a,2e8,6e18,#a,3.0
1,1,#a,3e8,6e19,#a,2.5
1,1,#a,1e8,6e18,#a,3.5
1,1,#a,2e8,6e19,#a,3.25
1,1,#a,3e8,6e20,#a,2.25
1,1,#a,,6e20,#a,2.25
"""
TIDY = """point_id,params,tokens,flops,loss,tokens_per_param,dropped_by_besiroglu
0,1e+08,1e+09,6e+17,4,10,True
1,2e+08,5e+09,6e+18,3,25,True
2,3e+08,3.3333333e+10,6e+19,2.5,111.11111,True
3,1e+08,1e+10,6e+18,3.5,100,True
4,2e+08,5e+10,6e+19,3.25,250,True
5,3e+08,3.3333333e+11,6e+20,2.25,1111.1111,False
"""


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def use(monkeypatch, *entries: Dataset) -> None:
    registry: Registry[Dataset] = Registry("data set")
    for entry in entries:
        registry.add(entry.name, entry)
    monkeypatch.setattr(datasets, "catalogue", lambda: registry)


def small(**changes) -> Dataset:
    """The Chinchilla entry for a source of seven invented lines."""
    source = replace(catalogue()["chinchilla"].sources[0], sha256=sha(RAW), bytes=len(RAW))
    told = {"name": "small", "rows": 1, "sha256": sha(TIDY.encode()), "sources": (source,)}
    return replace(catalogue()["chinchilla"], **{**told, **changes})


@pytest.fixture
def served(nowhere, monkeypatch):
    """A server on the loopback that answers with `RAW`; the list of what it was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(RAW)))
            self.end_headers()
            self.wfile.write(RAW)

        def log_message(self, *args):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    base = f"http://127.0.0.1:{server.server_port}/"
    monkeypatch.setattr(SourceFile, "url", property(lambda s: base + s.path))
    yield asked
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_table_is_downloaded_once_converted_and_cached(served, monkeypatch):
    use(monkeypatch, small())
    where = datasets.list_datasets().set_index("name")["where"]
    assert where["small"] == "download"
    first = datasets.load_dataset("small", raw=True)
    again = datasets.load_dataset("small", raw=True)
    assert served == ["/data/svg_extracted_data.csv"]
    pd.testing.assert_frame_equal(first, again)
    assert first["loss"].tolist() == [2.25]  # the five highest are left out
    assert first.attrs["dataset"]["sha256"] == sha(TIDY.encode())
    assert datasets.list_datasets()["where"].tolist() == ["cached"]


def test_the_whole_file_is_cached_and_views_are_made_of_it(served, monkeypatch):
    use(monkeypatch, small(), small(name="whole", rows=6, keep={}))
    assert len(datasets.load_dataset("small", raw=True)) == 1
    assert len(datasets.load_dataset("whole", raw=True)) == 6
    assert len(served) == 1
    (cached,) = (download.cache_folder() / "tables").iterdir()
    assert cached.read_text() == TIDY


def test_fetch_only_downloads(served, monkeypatch):
    use(monkeypatch, small())
    (file,) = datasets.fetch_dataset("small")
    assert file.read_bytes() == RAW
    assert not (download.cache_folder() / "tables").exists()


def test_a_file_placed_by_hand_saves_the_download(served, monkeypatch):
    entry = small()
    use(monkeypatch, entry)
    path = download.local_path(entry.sources[0])
    path.parent.mkdir(parents=True)
    path.write_bytes(RAW)
    datasets.load_dataset("small", raw=True)
    assert served == []


def test_a_changed_source_is_refused(served, monkeypatch):
    entry = small()
    wrong = replace(entry.sources[0], sha256="0" * 64)
    use(monkeypatch, replace(entry, sources=(wrong,)))
    with pytest.raises(DatasetError, match="is not the file the catalogue knows"):
        datasets.load_dataset("small")
    assert not (download.cache_folder() / "tables").exists()


def test_other_rows_than_promised_are_an_error(served, monkeypatch):
    use(monkeypatch, small(rows=2))
    with pytest.raises(DatasetError, match=r"1 rows where the catalogue has 2.*chinchilla\.csv"):
        datasets.load_dataset("small")


def test_other_columns_than_promised_are_an_error(served, monkeypatch):
    entry = small()
    use(monkeypatch, replace(entry, fields=entry.fields[:-1]))
    with pytest.raises(DatasetError, match=r"unexpected \['dropped_by_besiroglu'\]"):
        datasets.load_dataset("small")


def test_a_converter_that_does_not_recognise_its_file_is_an_error(served, monkeypatch):
    use(monkeypatch, small(convert="gadre:grid"))
    with pytest.raises(DatasetError, match="the conversion stopped at KeyError"):
        datasets.load_dataset("small")


def test_other_digits_are_a_warning(served, monkeypatch):
    use(monkeypatch, small(sha256="1" * 64))
    with pytest.warns(UserWarning, match="some digits differ"):
        table = datasets.load_dataset("small", raw=True)
    assert table.attrs["dataset"]["sha256"] == sha(TIDY.encode())  # of what was read


def test_without_a_network_the_way_out_is_said_at_once(nowhere, monkeypatch):
    # Port 9 of the loopback refuses connections: what a machine without a network answers.
    monkeypatch.setattr(SourceFile, "url", property(lambda s: f"http://127.0.0.1:9/{s.path}"))
    with pytest.raises(DatasetError) as error:
        datasets.load_dataset("gadre")
    message = str(error.value)
    for part in ("'gadre'", "http://127.0.0.1:9/exp_data", "gadre.csv", "BAYES_SCALING_DATA"):
        assert part in message
    assert "and 204 more" in message
    assert str(nowhere / "cache") in message


def test_a_set_without_converter_says_so(nowhere):
    assert datasets.list_datasets().set_index("name").loc["xlstm", "where"] == "by hand"
    with pytest.raises(DatasetError, match=r"cannot be made from its sources.*xlstm\.csv"):
        datasets.load_dataset("xlstm")


# --- the user's folder --------------------------------------------------------------------------


def test_a_local_table_comes_first(nowhere, monkeypatch):
    (nowhere / "chinchilla.csv").write_text(TIDY)
    monkeypatch.setenv("BAYES_SCALING_DATA", str(nowhere))
    use(monkeypatch, small())
    assert datasets.list_datasets()["where"].tolist() == ["local"]
    assert len(datasets.load_dataset("small", raw=True)) == 1
    assert not (nowhere / "cache").exists()


def test_a_local_table_that_is_another_is_refused(nowhere, monkeypatch):
    (nowhere / "chinchilla.csv").write_text(TIDY)
    monkeypatch.setenv("BAYES_SCALING_DATA", str(nowhere))
    with pytest.raises(DatasetError) as error:
        datasets.load_dataset("chinchilla")
    assert sha(TIDY.encode()) in str(error.value)
    assert catalogue()["chinchilla"].sha256 in str(error.value)


def test_a_local_folder_without_the_table_is_said(nowhere, monkeypatch):
    monkeypatch.setenv("BAYES_SCALING_DATA", str(nowhere))
    monkeypatch.setattr(SourceFile, "url", property(lambda s: f"http://127.0.0.1:9/{s.path}"))
    with pytest.raises(DatasetError, match="which has none"):
        datasets.load_dataset("cbs")


@pytest.mark.parametrize("name", UPSTREAM)
def test_the_real_table_is_as_the_catalogue_says(name):
    folder = os.environ.get("BAYES_SCALING_DATA")
    if not folder:
        pytest.skip("BAYES_SCALING_DATA is not set: no real tables here")
    d = catalogue()[name]
    table = datasets.load_dataset(name, raw=True)
    assert len(table) == d.rows
    assert list(table) == [f.name for f in d.fields]
    kinds = {"int": "i", "float": "f", "bool": "b"}
    assert all(table[f.name].dtype.kind == kinds.get(f.dtype, "O") for f in d.fields)
    assert table.attrs["dataset"]["sha256"] == d.sha256
    assert store.where_is(d) == "local"
    if d.is_runs:
        runs = datasets.load_dataset(name)
        assert len(runs) == d.rows
        assert set(d.required) <= set(runs)
        assert ("flops" in runs) == ({"params", "tokens"} <= set(d.roles))
