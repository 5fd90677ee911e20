"""The page: ratios first, then the gates, every number, the figures, and how it was measured."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.speed import gates
from benchmarks.speed.figures import MEANING
from benchmarks.speed.peers import ratios
from benchmarks.speed.words import count, range_of, seconds, times, two

HEAD = """# Speed

Written by `python -m benchmarks speed`, figures and all: nothing here is typed. The table is the
240 Chinchilla points, the model the default one: the additive law with Student-t scatter of ln L,
seven parameters. A row that says "failed" says why, and stays.
"""
HOW = """## How it was measured

* Every engine is a process of its own, started and warmed before the first timing. Engines then
  take turns; ours is timed beside every turn of a peer, so that a drift of the machine hits all.
  Seconds are medians with the range; what a process pays once (compilation) stands apart.
* ours: `bs.fit(model, runs)`, 4,000 draws, the whole tree of results: log likelihood, replicates,
  prior draws, checks. Its effective number is the lower of the smallest bulk ESS of its draws and
  the effective number of its importance weights.
* NumPyro: `MCMC(NUTS(program))` on our own program in float64, one host device per chain, run again
  in the same process. PyMC: `pm.sample()` with two cores and a filled compilation cache. nutpie:
  the compiled PyMC model, default tuning. All three: 4 chains of 1,000 draws.
* Refits: the Huber fit (delta 1e-3) of ln L in log-sum-exp form by SciPy's BFGS, its gradient in
  closed form, each from the fit to all rows. simple-scaling-laws: its default law, one run per
  row. Variable projection: non-negative least squares for E, A, B within a search over exponents.
* Agreement: 5, 50 and 95 % quantiles of all fits of an engine, pooled, against 4 x 10,000 draws
  of our NUTS, in posterior standard deviations. A quantile of n effective draws is itself off by
  2.1 / sqrt(n) of them at 5 and 95 %, so the samplers' rows are mostly their Monte Carlo error.
* Processes: from the start of `python -m bayes_scaling` to its end; "first" with an empty cache of
  compiled programs, "second" with the one it left. The study is simulated.
* Growth: every point is a process of its own. Memory is the most that process ever held.
* Limits: one evaluation of every row's density for each draw kept. Arithmetic is 2 exp and 2 log
  per row in float64 on all cores; bandwidth is three float64 columns read from memory per draw.
"""


def write(path: Path, kept: dict[str, Any]) -> None:
    """Write the page from what is kept; parts that were not measured are left out."""
    found = {p: v["found"] for p, v in kept.items()}
    report = gates.judged(found)
    parts = [HEAD]
    if "peers" in found:
        parts += ["## Ratios", "", _ratios(found["peers"]), "", "![seconds](peers.png)", ""]
    parts += [report.markdown()]
    if "peers" in found:
        parts += ["## Every engine", "", _engines(found["peers"]), ""]
        parts += ["## Agreement with a long NUTS run", "", _agreement(found["peers"]), ""]
    if "process" in found:
        parts += ["## Whole processes", "", _processes(found["process"]), ""]
    if "rows" in found:
        parts += ["## How a fit grows", "", "![growth](growth.png)", ""]
        parts += [_growth(found), "", _many(found.get("many", {})), ""]
    machines = [f"* {p}: {v['machine']}" for p, v in kept.items()]
    path.write_text("\n".join([*parts, HOW, "## Where and when", "", *machines, ""]))


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(c).replace('|', '/') for c in r)} |" for r in lines)


def _ratios(found: dict[str, Any]) -> str:
    rows = []
    for r in ratios(found):
        slower = f"failed: {r['failed']}" if "failed" in r else times(r["times"])
        fewer = times(r["ess_times"]) if "ess_times" in r else "-"
        rows.append((r["label"], MEANING[r["gives"]], slower, fewer))
    return table(("engine", "gives", "its seconds over ours", "our ESS/s over its"), rows)


def _engines(found: dict[str, Any]) -> str:
    rows = []
    for e in found.values():
        if "failed" in e:
            rows.append((e["label"], MEANING[e["gives"]], f"failed: {e['failed']}", "-", "-", "-"))
            continue
        once = ", ".join(f"{k} {seconds(v)}" for k, v in e["once"].items())
        ess = count(median(e["ess"])) if "ess" in e else "-"
        rate = two(median(e["ess_per_second"])) if "ess" in e else "-"
        rows.append((e["label"], MEANING[e["gives"]], range_of(e["seconds"]), once, ess, rate))
    head = ("engine", "gives", "warm", "once per process", "smallest ESS", "ESS per second")
    return table(head, rows)


def _agreement(found: dict[str, Any]) -> str:
    there = [e for e in found.values() if "distance" in e]
    names = list(there[0]["distance"]) if there else []
    rows = [
        (e["label"], *(f"{e['distance'][n]:.3f}" for n in names), count(sum(e["ess"])))
        for e in there
    ]
    said = "".join(
        f"\n\nThe reference holds {count(e['reference_ess'])} effective draws."
        for e in there
        if "reference_ess" in e
    )
    return table(("largest distance, sd", *names, "pooled ESS"), rows) + said


def _processes(found: dict[str, Any]) -> str:
    rows = [
        (f"`{command}`", f"failed: {r['failed']}", "-")
        if "failed" in r
        else (f"`{command}`", range_of(r["first"]), range_of(r["second"]))
        for command, r in found.items()
    ]
    return table(("command", "first process", "second process"), rows)


def _growth(found: dict[str, Any]) -> str:
    rows = []
    for p in [*found["rows"], *found.get("draws", []), *found.get("params", [])]:
        law = p.get("law", "chinchilla") + (f", {p['groups']} groups" if p.get("groups") else "")
        asked = (law, count(p["rows"]), count(p.get("draws", 4000)))
        if "failed" in p:
            shown = (p.get("dimensions", "-"), f"failed: {p['failed']}", "-", "-", "-")
            rows.append((*asked, *shown))
            continue
        second = seconds(p["second"]) if "second" in p else "-"
        engine = f"{p['method']}, k-hat {p['k_hat']:.2f}" if "k_hat" in p else p["method"]
        memory = f"{p['peak'] / 2**30:.2f}"
        rows.append((*asked, p["dimensions"], seconds(p["first"]), second, memory, engine))
    head = ("model", "rows", "draws", "parameters", "first", "second", "GiB", "engine")
    return table(head, rows)


def _many(found: dict[str, Any]) -> str:
    fits = found.get("fits", {"failed": "not measured"})
    if "failed" in fits:
        return table(("tables", "seconds"), [("fit_many", f"failed: {fits['failed']}")])
    rows = [("1, with compilation", seconds(fits["first"]), "-")]
    for p in fits["points"]:
        each = seconds(p["seconds"] / p["fits"])
        rows.append((count(p["fits"]), seconds(p["seconds"]), each))
    return table(("tables in one fit_many", "seconds", "per table"), rows)
