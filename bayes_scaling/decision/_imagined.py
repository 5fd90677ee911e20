"""What runs that nobody has made yet would teach, in two ways of imagining their outcomes.

Weights are exact where a posterior is narrow: the draws themselves, weighted by the likelihood of
an outcome. Before there are many runs an outcome leaves none of them; then what plans waste is
regressed on outcomes, which is rougher, and uses every draw.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.errors import SpecError
from bayes_scaling.predict import flops_reference
from bayes_scaling.results import model_of

TRUTHS, INNER = 160, 800  # outcomes that draws are weighed by, and draws that are weighed
ENOUGH = 60.0  # effective draws, in the median outcome, that weights must leave
RIDGE, BOUND = 1e-8, 5.0  # of the regressions; sds at which outcomes are cut off


@dataclass(frozen=True)
class Imagined:
    """Outcomes of candidates under draws that are taken for the truth, in random order.

    Parameters
    ----------
    regret : (draw, plan) array
        What plans waste, FLOP.
    smooth : bool
        Whether plans are a grid of sizes, equal steps of ln N apart, and the best lies between.
    log_size : (draw,) array
        ln N* of every draw.
    outcomes : (draw, candidate) array
        ln loss that every draw gives, scatter included, standardised.
    fit, runs, theta : fit, table, mapping of (draw,) arrays
        What outcomes come from.
    seen : (truth, candidate) array, nat/token
        Outcomes of the first draws, to weigh by.
    """

    regret: np.ndarray
    smooth: bool
    log_size: np.ndarray
    outcomes: np.ndarray
    fit: Any
    runs: Any
    theta: dict[str, np.ndarray]
    seen: np.ndarray

    @property
    def waste(self) -> float:
        """What the best plan now is expected to waste."""
        now = self.regret.mean(axis=0, keepdims=True)
        return float(_at(now, *self._best(now))[0])

    def gains(self, made: list[int]) -> tuple[np.ndarray, ...]:
        """Return of every candidate, made beside others, gain, its error, drop of variance, way."""
        known = np.zeros((1, 1), np.float32)
        for i in made:
            known = known + self._density(i)
        out = [self._gain(made, known, i) for i in range(self.outcomes.shape[1])]
        return tuple(np.array(v) for v in zip(*out, strict=True))

    def _gain(self, made: list[int], known: np.ndarray, i: int) -> tuple[float, float, float, str]:
        *found, effective = self._weighed((known + self._density(i)).astype(float))
        if effective >= ENOUGH:
            return (*found, "weights")
        return (*self._regressed([*made, i]), "regression")

    def _weighed(self, logs: np.ndarray) -> tuple[float, float, float, float]:
        """Return gain, its error, drop of variance and effective draws, by weights.

        The draws are taken for all there is, the truth among them, so that averages over outcomes
        agree with what is known now and no gain is negative for want of draws; few effective draws
        flatter the choice by about their share of the waste, which is taken off.
        """
        regret, log_size = self.regret[: logs.shape[1]], self.log_size[: logs.shape[1]]
        weights = np.exp(logs - logs.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        effective = 1 / (weights**2).sum(axis=1)
        waste, now = weights @ regret, regret.mean(axis=0, keepdims=True)
        before = self._best(now)
        flattered = _at(now, *before) * (1 / effective - 1 / len(regret))
        saved = _at(waste, *before) - _at(waste, *self._best(waste)) - flattered
        mean = weights @ log_size
        left = float((weights @ log_size**2 - mean**2).mean()) / float(np.var(log_size))
        error = float(saved.std() / np.sqrt(len(saved)))
        return float(saved.mean()), error, 1 - left, float(np.median(effective))

    def _best(self, waste: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where each row is least: a plan, and how far towards the next the best is."""
        best = np.argmin(waste, axis=1)
        if not self.smooth or waste.shape[1] < 3:
            return best, np.zeros(len(best))
        best = np.clip(best, 1, waste.shape[1] - 2)
        low, here, high = (np.take_along_axis(waste, (best + k)[:, None], 1)[:, 0] for k in
                           (-1, 0, 1))  # fmt: skip
        bend = np.maximum(high - 2 * here + low, 1e-300)
        return best, np.clip(0.5 * (low - high) / bend, -1.0, 1.0)

    def _regressed(self, made: list[int]) -> tuple[float, float, float]:
        terms = _terms(self.outcomes[:, made])
        aims = np.column_stack([self.regret, self.log_size])
        middle = len(aims) // 2
        halves = slice(middle), slice(middle, None)
        saved, left = np.empty(len(aims)), np.empty(len(aims))
        for learn, judge in (halves, halves[::-1]):
            x, y = terms[learn], aims[learn]
            weights = np.linalg.solve(x.T @ x + RIDGE * len(x) * np.eye(x.shape[1]), x.T @ y)
            expected = terms[judge] @ weights
            before = self._best(self.regret[learn].mean(axis=0, keepdims=True))
            waste = self.regret[judge]
            saved[judge] = _at(waste, *before) - _at(waste, *self._best(expected[:, :-1]))
            left[judge] = self.log_size[judge] - expected[:, -1]
        error = float(saved.std() / np.sqrt(len(saved)))
        drop = 1 - float((left**2).mean() / np.var(self.log_size))
        return float(saved.mean()), error, drop

    def _density(self, i: int) -> np.ndarray:
        """Return log likelihoods of one candidate's outcomes: truths by draws, as float32."""
        import jax

        model = model_of(self.fit)
        some = {k: v[:INNER] for k, v in self.theta.items()}
        x = sizes_of(self.fit, self.runs.iloc[i])
        mean = model.law(some, x)
        with jax.enable_x64(True):
            found = _compiled()(model.observation, mean, some, x, self.seen[:, i, None])
            return np.asarray(found, np.float32)


def imagine(
    fit: xr.DataTree,
    runs: Any,
    theta: dict[str, np.ndarray],
    regret: np.ndarray,
    smooth: bool,
    log_size: np.ndarray,
    seed: int,
) -> Imagined:
    """Draw outcomes of candidates; `theta`, `regret` and `log_size` in one random order."""
    model, outcomes, seen = model_of(fit), [], []
    for i in range(len(runs)):
        x = sizes_of(fit, runs.iloc[i])
        rng = np.random.default_rng([seed, 7, i])
        run = model.observation.draw(rng, model.law(theta, x), theta, x)
        logs = np.log(np.maximum(run, 1e-12))
        low, middle, high = np.quantile(logs, [0.159, 0.5, 0.841])  # outliers leave it alone
        sd = max(0.5 * (high - low), 1e-12)
        outcomes.append(np.clip((logs - middle) / sd, -BOUND, BOUND))
        seen.append(run[:TRUTHS])
    return Imagined(regret, smooth, log_size, np.column_stack(outcomes), fit, runs, theta,
                    np.column_stack(seen))  # fmt: skip


def sizes_of(fit: xr.DataTree, run: Any) -> dict[str, Any]:
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


def _at(waste: np.ndarray, plan: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Return every row's waste at a place between plans, by the parabola through three of them."""
    plan = np.broadcast_to(plan, len(waste))
    last = waste.shape[1] - 1
    low, here, high = (
        np.take_along_axis(waste, np.clip(plan + k, 0, last)[:, None], 1)[:, 0] for k in (-1, 0, 1)
    )
    return here + 0.5 * step * (high - low) + 0.5 * step**2 * (high - 2 * here + low)


def _terms(z: np.ndarray) -> np.ndarray:
    """Return a constant, every outcome, products of two, and cubes: what regret is a function of.

    Waste is nearly a square of how far ln N* is from a plan, and ln N* nearly linear in outcomes.
    """
    first, second = np.triu_indices(z.shape[1])
    return np.column_stack([np.ones(len(z)), z, z[:, first] * z[:, second], z**3])


_KEPT: list[Any] = []


def _compiled() -> Any:
    """Return the compiled likelihood, made when first used: importing must not import JAX."""
    if not _KEPT:
        import jax

        _KEPT.append(jax.jit(
            lambda of, mu, t, at, y: of.distribution(mu, t, at).log_prob(y), static_argnums=0
        ))  # fmt: skip
    return _KEPT[0]
