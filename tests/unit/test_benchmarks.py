"""The logic of the speed benchmark: no engine is timed here, and no peer is needed."""

import sys

import numpy as np
import pytest
from scipy.optimize import check_grad

from benchmarks.speed import environments, gates, page, peers, timing
from benchmarks.speed.client import Worker, once
from benchmarks.speed.engines.bootstrap import PUBLISHED, huber, refit
from benchmarks.speed.engines.vpnls import fit_projected
from benchmarks.speed.environments import PeerError
from benchmarks.speed.figures import bars

PAPER = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}


def engine(seconds, gives="posterior", ess=2000.0, **more):
    out = {"label": gives, "gives": gives, "seconds": seconds, "once": {"first": 1.0}}
    out["facts"] = [{"k_hat": 0.3, "effective": 3000.0}] * len(seconds)
    if gives == "posterior":
        out |= {"ess": [ess] * len(seconds), "ess_per_second": [ess / s for s in seconds]}
        out["distance"] = {"a": 0.02}
    return out | more


FOUND = {
    "ours": engine([0.04, 0.05, 0.3]),
    "nutpie_nuts": engine([5.0, 5.0, 6.0], ess=1000.0),
    "pymc_nuts": {"label": "PyMC", "gives": "posterior", "failed": "no compiler"},
    "vpnls": engine([0.025], gives="point"),
}


def noiseless(ladder):
    table = ladder(0, sigma=0.0, **PAPER)
    return {c: table[c].to_numpy(float) for c in ("params", "tokens", "loss")}


def test_variable_projection_recovers_the_coefficients(ladder):
    assert fit_projected(**noiseless(ladder)) == pytest.approx(PAPER, rel=1e-4)


def test_the_refits_gradient_and_optimum_are_right(ladder):
    rows = [np.log(v) for v in noiseless(ladder).values()]
    off = np.add(PUBLISHED, [0.1, -0.1, 0.01, 0.01, -0.01])
    gap = check_grad(lambda p: huber(p, *rows)[0], lambda p: huber(p, *rows)[1], off)
    assert gap < 1e-5 * np.abs(huber(off, *rows)[1]).max()
    assert refit(off, *rows)[3:] == pytest.approx([0.3478, 0.3658], abs=0.02)


def test_ratios_are_of_medians():
    rows = {r["module"]: r for r in peers.ratios(FOUND)}
    assert rows["nutpie_nuts"]["times"] == pytest.approx(100)
    assert rows["nutpie_nuts"]["ess_times"] == pytest.approx((2000 / 0.05) / (1000 / 5))
    assert rows["vpnls"]["times"] == pytest.approx(0.5)
    assert "ess_times" not in rows["vpnls"]


def test_a_failed_peer_keeps_its_row_and_its_reason(tmp_path):
    rows = {r["module"]: r for r in peers.ratios(FOUND)}
    assert rows["pymc_nuts"]["failed"] == "no compiler"
    page.write(tmp_path / "page.md", {"peers": {"machine": "here", "found": FOUND}})
    text = (tmp_path / "page.md").read_text()
    assert text.count("failed: no compiler") == 3  # ratios, gates, every engine
    labels = [t.get_text() for t in bars(FOUND).axes[0].texts]
    assert "failed: no compiler" in labels


def test_gates_hold_and_fail():
    assert gates.judged({"peers": FOUND}).verdict == "PASS"
    slow = {**FOUND, "ours": engine([0.2, 0.2, 0.2])}
    assert len(gates.judged({"peers": slow}).failed) == 3  # its seconds, and both ratios
    broken = {
        "ours": {"label": "", "gives": "posterior", "failed": "broken"},
        "vpnls": FOUND["vpnls"],
    }
    assert gates.judged({"peers": broken}).failed == ["one warm fit"]


def test_parts_that_failed_fail_their_gates():
    failed = {"failed": "no memory"}
    found = {
        "process": {"fit": failed},
        "many": {"fits": failed, "plans": failed},
        "rows": [{"rows": 10**6, **failed}],
    }
    report = gates.judged(found)
    assert len(report.failed) == len(report.rows) == 6
    assert all("no memory" in r[2] for r in report.rows)


def test_an_environment_that_cannot_be_made_says_why(monkeypatch, tmp_path):
    monkeypatch.setattr(environments.platformdirs, "user_cache_dir", lambda _: str(tmp_path))
    with pytest.raises(PeerError, match="no-such-python"):
        environments.environment("ssl.txt", "no-such-python")
    timings = timing.Timings(timing.Peer("nutpie_nuts", "nutpie", "posterior"), tmp_path)
    monkeypatch.setattr(timing, "_command", lambda *_: environments.environment("ssl.txt", "none"))
    timings.start()
    timings.time(1)
    assert timings.pop_draws() == {}
    assert "none" in timings.summary({})["failed"]


ECHO = """
from benchmarks.speed.worker import answer_lines
def handle(asked):
    print("chatter of a library")
    return {"twice": 2 * asked["value"]}
answer_lines(handle)
"""


def test_answers_survive_what_libraries_print():
    worker = Worker([sys.executable, "-c", ECHO])
    try:
        assert worker.ask(value=4)["twice"] == 8
        with pytest.raises(PeerError, match="KeyError"):
            worker.ask(other=1)
        assert worker.ask(value=5)["twice"] == 10
    finally:
        worker.close()


def test_a_process_that_dies_is_an_answer():
    assert "No module named" in once("no_such_module", {})["failed"]
