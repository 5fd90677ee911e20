"""What must hold, judged from what was measured; ratios to the peers come first."""

from statistics import median
from typing import Any

from benchmarks.report import Report
from benchmarks.speed.peers import ratios
from benchmarks.speed.words import count, range_of, seconds, times, two

FIT, K_HAT, EFFECTIVE = 0.1, 0.7, 1000  # seconds, 1, draws
FASTER = {"nutpie_nuts": 50, "ssl_bootstrap": 5}
MORE_ESS = {"nutpie_nuts": 100}
DISTANCE = 0.1  # posterior sd
FIRST, SECOND = 12.0, 4.0  # seconds of a process
MANY = (1000, 60.0)  # fits, seconds
LARGE = (10**6, 60.0, 2 * 2**30)  # rows, seconds, bytes
PLAN = 0.05  # seconds


def judged(found: dict[str, Any]) -> Report:
    """Return the report of the parts that are there; the anchor is the peer's own figure."""
    report = Report("P19", "Speed")
    for part, add in (("peers", _peers), ("process", _process), ("many", _many), ("rows", _rows)):
        if part in found:
            add(report, found[part])
    return report


def _peers(report: Report, found: dict[str, Any]) -> None:
    for row in ratios(found):
        peer = found[row["module"]]
        if "failed" in row:
            needed = row["module"] in FASTER
            say = report.gate if needed else report.show
            say(f"{row['label']}: seconds over ours", "-", f"failed: {row['failed']}",
                *([False] if needed else []))  # fmt: skip
            continue
        anchor = seconds(median(peer["seconds"]))
        _ratio(report, row, "times", "seconds over ours", anchor, FASTER)
        if "ess_times" in row:
            anchor = f"{two(median(peer['ess_per_second']))} /s"
            _ratio(report, row, "ess_times", "our ESS/s over its", anchor, MORE_ESS)
    ours = found["ours"]
    if "failed" in ours:
        report.gate("one warm fit", "", f"failed: {ours['failed']}", False)
        return
    _at_most(report, "one warm fit, 240 rows, 4,000 draws", ours["seconds"], FIT)
    k_hat = max(f.get("k_hat", float("inf")) for f in ours["facts"])
    report.gate(f"its k-hat, worst of all fits (below {K_HAT})", "", f"{k_hat:.2f}", k_hat < K_HAT)
    effective = min(ours["ess"])
    report.gate(f"its effective draws, least of all fits (at least {count(EFFECTIVE)})", "",
                count(effective), effective >= EFFECTIVE)  # fmt: skip
    name, far = max(ours["distance"].items(), key=lambda kv: kv[1])
    report.gate(f"its quantiles against a long NUTS run (within {DISTANCE} sd)", "",
                f"{far:.3f} sd ({name})", far <= DISTANCE)  # fmt: skip


def _ratio(
    report: Report, row: dict[str, Any], key: str, what: str, anchor: str, needed: dict[str, int]
) -> None:
    least = needed.get(row["module"])
    if least is None:
        report.show(f"{row['label']}: {what}", anchor, times(row[key]))
    else:
        text = f"{row['label']}: {what} (at least {least}x)"
        report.gate(text, anchor, times(row[key]), row[key] >= least)


def _at_most(report: Report, what: str, measured: list[float] | str, most: float) -> None:
    """Gate the median of repeats; a string is the reason why there are none."""
    bad = isinstance(measured, str)
    value = f"failed: {measured}" if bad else range_of(measured)
    ok = not bad and median(measured) <= most
    report.gate(f"{what} (at most {seconds(most)})", "", value, ok)


def _process(report: Report, found: dict[str, Any]) -> None:
    for command, repeats in found.items():
        for key, most in (("first", FIRST), ("second", SECOND)):
            what, bad = f"`{command}`, {key} process, whole", repeats.get("failed")
            if command == "fit":
                _at_most(report, what, bad or repeats[key], most)
            else:
                report.show(what, "", f"failed: {bad}" if bad else range_of(repeats[key]))


def _many(report: Report, found: dict[str, Any]) -> None:
    size, most = MANY
    fits, plans = found["fits"], found["plans"]
    point = [p["seconds"] for p in fits.get("points", []) if p["fits"] == size]
    reason = fits.get("failed", "not measured")
    _at_most(report, f"fit_many, {count(size)} tables of 240 rows", point or reason, most)
    _at_most(report, "allocate, 100 budgets, 4,000 draws", plans.get("seconds") or plans["failed"],
             PLAN)  # fmt: skip


def _rows(report: Report, found: list[dict[str, Any]]) -> None:
    size, most, memory = LARGE
    point = next((p for p in found if p["rows"] == size), {"failed": "not measured"})
    bad = point.get("failed")
    _at_most(report, "one first fit, 10^6 rows", bad or [point["first"]], most)
    value = f"failed: {bad}" if bad else f"{point['peak'] / 2**30:.2f} GiB"
    report.gate(f"its memory, the whole process (at most {memory / 2**30:.0f} GiB)", "", value,
                not bad and point["peak"] <= memory)  # fmt: skip
