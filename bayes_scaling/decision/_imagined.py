"""What runs that nobody has made yet would teach of the best size, and what that would save."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.errors import SpecError
from bayes_scaling.predict import flops_reference
from bayes_scaling.results import model_of

BOUND = 5.0  # sds at which outcomes are cut off: of outliers nothing is learned
RIDGE = 1e-8
HALF, FINE, FAR = 40, 0.02, 9.0  # nodes either side of N*, their first step and reach in ln N
PLACES = 61  # plans that are compared before the parabola through the best three
TRUTHS, JUDGES = 48, 500  # of a shelf: outcomes, and draws that its sizes are judged by


@dataclass(frozen=True)
class Imagined:
    """Outcomes of candidates under draws that are taken for the truth, in random order.

    Parameters
    ----------
    log_size : (draw,) array
        ln N* of every draw.
    root : (draw, node) array
        Square roots of what a plan wastes at `nodes` from it, in ln N, FLOP^(1/2), below N* with a
        minus: nearly straight lines.
    ends : (low, high)
        ln N that plans may have.
    shelf : (plan,) array, optional
        The only ln N that plans may have.
    outcomes : (draw, candidate) array
        ln loss that every draw gives, scatter included, standardised.
    """

    log_size: np.ndarray
    root: np.ndarray
    ends: tuple[float, float]
    shelf: np.ndarray | None
    outcomes: np.ndarray

    @property
    def waste(self) -> float:
        """What the best plan now is expected to waste."""
        return self._least(np.zeros(len(self.log_size)))[0]

    def gains(self, made: list[int]) -> tuple[np.ndarray, ...]:
        """Return of every candidate, made beside others, gain, its error, drop of variance."""
        before = self._least(np.zeros(len(self.log_size)))[1]
        out = [self._gain([*made, i], before) for i in range(self.outcomes.shape[1])]
        return tuple(np.array(v) for v in zip(*out, strict=True))

    def _gain(self, made: list[int], before: np.ndarray) -> tuple[float, float, float]:
        told = self._told(made)
        after = self._least(told)[1]
        saved = before - after
        left = np.mean((self.log_size - told) ** 2) / np.var(self.log_size)
        return float(saved.mean()), float(saved.std() / np.sqrt(len(saved))), float(1 - left)

    def _told(self, made: list[int]) -> np.ndarray:
        """Return what outcomes tell of ln N*: a regression, of each half of the draws on the other.

        A straight one first, then a cubic in what that one says: few numbers, however many runs.
        What a run that says nothing seems to tell is noise that widens ln N*, never narrows it.
        """
        z = np.column_stack([np.ones(len(self.log_size)), self.outcomes[:, made]])
        middle = len(z) // 2
        halves = slice(middle), slice(middle, None)
        told = np.empty(len(z))
        for learn, judge in (halves, halves[::-1]):
            line = _regressed(z[learn], self.log_size[learn])
            said = z @ line
            said = (said - said[learn].mean()) / max(float(said[learn].std()), 1e-12)
            terms = np.clip(said, -BOUND, BOUND)[:, None] ** np.arange(4)
            told[judge] = terms[judge] @ _regressed(terms[learn], self.log_size[learn])
        return told - told.mean() + self.log_size.mean()

    def _least(self, told: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the least expected waste once `told` is known, and each draw's part of it.

        A plan follows what was told, so that only what is left of ln N* makes it miss: the best
        distance from what was told is the same for every outcome, the shelf's limits apart.
        """
        told = told - told.mean()
        if self.shelf is not None:
            return self._on_shelf(told * (len(self.shelf) > 1))  # one size is no choice
        low, high = self.ends
        x = np.linspace(low, high, PLACES)
        waste = np.array([self._waste(p + told).mean() for p in x])
        best = int(np.clip(np.argmin(waste), 1, PLACES - 2))
        below, here, above = waste[best - 1 : best + 2]
        bend = max(above - 2 * here + below, 1e-300)
        step = float(np.clip(0.5 * (below - above) / bend, -1, 1)) * (x[1] - x[0])
        each = self._waste(x[best] + step + told)
        return float(each.mean()), each

    def _on_shelf(self, told: np.ndarray) -> tuple[float, np.ndarray]:
        assert self.shelf is not None, "asked of shelves alone"
        judges = slice(JUDGES)
        truths = np.quantile(told, (np.arange(TRUTHS) + 0.5) / TRUTHS)
        if np.ptp(told) == 0:
            truths = truths[:1]
        waste = []
        for outcome in truths:
            moved = told[judges] - outcome
            each = [self._waste(n + moved, judges) for n in self.shelf]
            waste.append(each[int(np.argmin([e.mean() for e in each]))])
        each = np.mean(waste, axis=0)
        return float(each.mean()), each

    def _waste(self, log_plan: np.ndarray, draws: Any = slice(None)) -> np.ndarray:
        """Return what a plan of every draw wastes, by its own curve."""
        size, root = self.log_size[draws], self.root[draws]
        at = np.arcsinh((log_plan - size) / FINE) / (np.arcsinh(FAR / FINE) / HALF) + HALF
        at = np.clip(at, 0.0, 2 * HALF - 1e-9)
        low = at.astype(int)
        rows = np.arange(len(root))
        # The nodes lie closer near N*: the share of the way is of ln N, not of their number.
        left, right = NODES[low], NODES[low + 1]
        share = np.clip((log_plan - size - left) / (right - left), 0.0, 1.0)
        return ((1 - share) * root[rows, low] + share * root[rows, low + 1]) ** 2


def _regressed(terms: np.ndarray, aim: np.ndarray) -> np.ndarray:
    square = terms.T @ terms
    return np.linalg.solve(square + RIDGE * len(terms) * np.eye(len(square)), terms.T @ aim)


NODES = FINE * np.sinh(np.linspace(-1, 1, 2 * HALF + 1) * np.arcsinh(FAR / FINE))


def outcomes_of(fit: xr.DataTree, runs: Any, theta: dict[str, np.ndarray], seed: int) -> np.ndarray:
    """Return what every draw says that candidates measure: ln loss, standardised and bounded."""
    model, out = model_of(fit), []
    for i in range(len(runs)):
        x = _sizes(fit, runs.iloc[i])
        rng = np.random.default_rng([seed, 7, i])
        run = model.observation.draw(rng, model.law(theta, x), theta, x)
        logs = np.log(np.maximum(run, 1e-12))
        low, middle, high = np.quantile(logs, [0.159, 0.5, 0.841])  # outliers leave it alone
        out.append(np.clip((logs - middle) / max(0.5 * (high - low), 1e-12), -BOUND, BOUND))
    return np.column_stack(out)


def _sizes(fit: xr.DataTree, run: Any) -> dict[str, Any]:
    """Return what law and scatter read of a candidate."""
    model = model_of(fit)
    x: dict[str, Any] = {k: float(run[k]) for k in ("params", "tokens", "flops")}
    if "flops" in model.inputs:
        x["flops_ref"] = flops_reference(fit)
    wanted = [c for c in model.observation.inputs if c not in x]
    if lacking := [c for c in wanted if c not in run]:
        msg = f"candidates: the scatter of a run depends on {', '.join(lacking)}; give the column"
        raise SpecError(msg)
    return x | {c: float(run[c]) for c in wanted}
