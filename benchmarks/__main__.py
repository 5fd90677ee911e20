"""Run protocols: ``python -m benchmarks P1``; the exit status is 1 when a gate fails."""

import importlib
import pathlib
import platform
import sys
import warnings

PROTOCOLS = (
    "P1",
    "P2",
    "P3",
    "P5",
    "P6",
    "P8",
    "P9",
    "P14",
    "P11",
    "P15",
    "P21",
    "P22",
    "cbs",
    "lr_width",
    "mixtures",
    "downstream",
    "decisions",
    "ladders",
    "far",
    "accuracy",
    "speed",
)
RESULTS = pathlib.Path(__file__).parent / "RESULTS.md"


def main(wanted: list[str]) -> int:
    """Run the protocols named; "all" also writes RESULTS.md, failures included."""
    from bayes_scaling import UntrustedFitWarning
    from bayes_scaling.errors import SpecError

    warnings.simplefilter("error", UntrustedFitWarning)
    if wanted[:1] in (["speed"], ["calibration"]):
        try:
            return importlib.import_module(f"benchmarks.{wanted[0]}").run(wanted[1:]).print()
        except SpecError as error:
            print(error)
            return 2
    if wanted[:1] == ["device"]:
        return importlib.import_module("benchmarks.device").run(wanted[1:]).print()
    known = {n.lower(): n for n in PROTOCOLS}
    names = PROTOCOLS if wanted == ["all"] else [known.get(w.lower(), "") for w in wanted]
    if not names or not all(names):
        names = " | ".join((*PROTOCOLS, "calibration", "device", "all"))
        print(f"usage: python -m benchmarks {names}; found {wanted}")
        return 2
    reports = [importlib.import_module(f"benchmarks.{n.lower()}").run() for n in names]
    status = max(r.print() for r in reports)
    if wanted == ["all"]:
        machine = f"Python {platform.python_version()}, {platform.machine()}"
        head = f"# Results\n\nWritten by `python -m benchmarks all` ({machine}).\n"
        RESULTS.write_text("\n".join([head, *(r.markdown() for r in reports)]))
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
