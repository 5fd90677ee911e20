"""`demo`: the whole way from a table to a plan, on a study whose truth is known."""

import json as encoder
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_scaling._terminal import Steps, console, page
from bayes_scaling._writing import flop
from bayes_scaling.cli._common import (
    UNTRUSTED,
    Json,
    bs,
    emit,
    trust_status,
    untrusted_once,
    warning,
)
from bayes_scaling.cli.fitting import check_to_dict, posterior_table, posterior_to_dict
from bayes_scaling.cli.plans import plan_table, plan_to_rows, sentence

if TYPE_CHECKING:
    import xarray as xr

STUDY, CARD = "simulated-chinchilla", "chinchilla"
BUDGETS = (1e21, 1e23, 1e25)  # FLOP: within the study's largest, then 1.5 and 3.5 decades beyond
ASKED = 1  # the budget of the closing sentence


def demo(
    *, out: Path = Path("bayes_scaling_demo"), seed: int = 0, json: Json = False
) -> int | None:
    """Fit a simulated study, plan three budgets, and ask the real Chinchilla posterior the same.

    Parameters
    ----------
    out : Path
        The folder for the figures and the fit; it is made if need be.
    seed : int
        Of the draws; the study is always the same.
    json : bool
        Write JSON to standard output, and nothing else.
    """
    step = Steps()
    with step("reading the simulated study"):
        runs, model = bs.load_dataset(STUDY), bs.load_model(CARD)
    with step("compiling and fitting"):
        fitted = bs.fit(model, runs, seed=seed, progress=False)
    with step("checking"):
        report = bs.check(fitted)
    with step("planning"), untrusted_once():
        plan = bs.allocate(fitted, list(BUDGETS))
        real = bs.allocate(bs.load_posterior(CARD), list(BUDGETS))
    with step("drawing"), untrusted_once():
        figures = draw(fitted, plan, out)
    path = bs.save_fit(fitted, out / "fit.nc")
    simulated_rows, real_rows = plan_to_rows(plan), plan_to_rows(real)
    known, known_plan = truth(fitted)
    closing = sentence(real_rows[ASKED])
    trust = plan.attrs["trust"]
    if json:
        emit(
            {
                "study": {"name": STUDY, "runs": len(runs), "simulated": True, "truth": known},
                "posterior": posterior_to_dict(fitted),
                "check": check_to_dict(report),
                "plans": {"simulated": simulated_rows, "truth": known_plan, CARD: real_rows},
                "sentence": closing,
                "trust": trust,
                "files": [str(p) for p in (*figures, path)],
            }
        )
        return UNTRUSTED if report.status == "FAIL" else trust_status(trust)

    screen = console()
    largest = encoder.loads(fitted.attrs["largest"])["flops"]
    screen.print(
        f"[bold]1. A simulated study[/]: {len(runs)} runs up to {flop(largest)} FLOP, made from\n"
        f"   the published coefficients of Besiroglu et al. 2024 (arXiv:2404.10102), so that\n"
        f"   the truth is known; {fitted.attrs['seconds']:.1f} s by {fitted.attrs['method']}.\n"
    )
    screen.print(posterior_table("Posterior, beside what was simulated", fitted, known))
    screen.print(page(str(report)), soft_wrap=True)
    screen.print(
        plan_table(
            f"\nCompute-optimal plan of the study{warning(trust)}", simulated_rows, known_plan
        )
    )
    screen.print(
        "Beyond the data an interval takes the law as exact: it holds what these runs\n"
        "leave open about its numbers, and not that the law itself may bend.\n"
    )
    screen.print(
        "[bold]2. The same question to real data[/]: the 240 Chinchilla points, from the\n"
        "   posterior that ships in models/chinchilla. No sampling, no download."
    )
    screen.print(plan_table(f"\nCompute-optimal plan, {CARD}", real_rows))
    screen.print("[bold]3. Files[/]")
    for file in (*figures, path):
        screen.print(f"   {file}", soft_wrap=True, markup=False)
    screen.print(f"\n[bold]In one sentence, from the real data:[/] {closing}\n")
    screen.print("Next, with your own table:\n  bayes-scaling data summary runs.csv")
    screen.print("  bayes-scaling fit runs.csv --out fit.nc")
    return UNTRUSTED if report.status == "FAIL" else trust_status(trust)


def truth(fitted: "xr.DataTree") -> tuple[dict[str, float], list[dict[str, float]]]:
    """Return the parameters the study was simulated with, and the plans that follow from them."""
    from bayes_scaling.data.accounting import flops_6nd
    from bayes_scaling.data.simulate import CHINCHILLA, SCATTER, TAIL
    from bayes_scaling.results import model_of

    law = model_of(fitted).law
    theta = law.from_paper(CHINCHILLA)
    known = {**CHINCHILLA, "a": float(law.exponent(theta)), "sigma": SCATTER, "nu": TAIL}
    plans = []
    for budget in BUDGETS:
        params, tokens = law.optimum(theta, budget / float(flops_6nd(1.0, 1.0)))
        loss = law(theta, {"params": params, "tokens": tokens})
        values = (params, tokens, tokens / params, loss)
        names = ("params_opt", "tokens_opt", "tokens_per_param", "loss_opt")
        plans.append({k: float(v) for k, v in zip(names, values, strict=True)})
    return known, plans


def draw(fitted: "xr.DataTree", plan: "xr.Dataset", out: Path) -> list[Path]:
    """Write the figures of a fit and its plan."""
    import matplotlib as mpl

    mpl.use("Agg")  # a command line draws to files; a window would need a display
    import matplotlib.pyplot as plt

    made: dict[str, Any] = {
        "frontier": bs.plots.plot_frontier(fitted, plan),
        "isoflop": bs.plots.plot_isoflop(fitted),
        "loss": bs.plots.plot_loss(fitted, to=max(BUDGETS)),
        "posterior": bs.plots.plot_posterior(fitted),
        "residuals": bs.plots.plot_residuals(fitted),
    }
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, drawn in made.items():
        figure = drawn.figure  # an Axes' figure, and a Figure's own
        figure.savefig(out / f"{name}.png", dpi=150, bbox_inches="tight")
        plt.close(figure)
        paths.append(out / f"{name}.png")
    return paths
