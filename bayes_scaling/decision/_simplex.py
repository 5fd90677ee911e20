"""The least of many convex functions of shares at once, by exponentiated gradient."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

GAP = 1e-5  # nats: the least may be this much below what is returned
STEPS = 3000
FURTHER, BACK = 1.6, 0.4  # of the step, after one that was right and one that was too long
LONGEST = 40.0  # of a step, in ln of a weight: a longer one rounds away which weight came next
LEAST = 1e-40  # share: a factor brings none back from zero

Problem = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Region:
    """Mixtures ``r = w @ corners`` whose weights w sum to one, each within its bounds.

    Parameters
    ----------
    corners : (corner, domain) array
        Mixtures; the pure domains, or those that were measured.
    low, high : (corner,) array
        Bounds of the weights.
    """

    corners: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def box(cls, low: np.ndarray, high: np.ndarray) -> "Region":
        """Bound the shares themselves."""
        return cls(np.eye(len(low)), np.asarray(low, float), np.asarray(high, float))

    @classmethod
    def hull(cls, mixtures: np.ndarray) -> "Region":
        """Allow mixtures of the mixtures given, and nothing beyond them."""
        return cls(mixtures, np.zeros(len(mixtures)), np.ones(len(mixtures)))

    def middle(self) -> np.ndarray:
        """Return weights inside, (corner,)."""
        return self.within(np.ones((1, len(self.low))))[0]

    def within(self, w: np.ndarray) -> np.ndarray:
        """Return the weights inside that are nearest to `w` (row, corner) in relative entropy.

        They are ``clip(scale * w, low, high)`` at the scale at which they sum to one.
        """
        scaled = w / w.sum(axis=1, keepdims=True)
        if not self.low.any() and np.all(self.high >= 1):
            return scaled
        with np.errstate(over="ignore"):
            at = np.sort(np.concatenate([self.low / scaled, self.high / scaled], axis=1), axis=1)
        sums = np.clip(at[:, :, None] * scaled[:, None], self.low, self.high).sum(axis=2)
        k = np.clip((sums < 1).sum(axis=1), 1, at.shape[1] - 1)
        rows = np.arange(len(w))
        below, above = sums[rows, k - 1], sums[rows, k]
        along = (1 - below) / np.where(above > below, above - below, 1.0)
        scale = at[rows, k - 1] + along * (at[rows, k] - at[rows, k - 1])
        return np.clip(scale[:, None] * scaled, self.low, self.high)

    def ends(self, mixture: np.ndarray) -> list[np.ndarray]:
        """Return where a mixture (domain,) may go: one share to a bound, the rest in proportion."""
        if len(self.corners) != len(mixture) or not np.array_equal(
            self.corners, np.eye(len(mixture))
        ):
            return list(self.corners)
        out, w = [], np.maximum(mixture, LEAST)[None]
        for j in range(len(mixture)):
            rest = np.arange(len(mixture)) != j
            least = max(self.low[j], 1 - self.high[rest].sum())
            most = min(self.high[j], 1 - self.low[rest].sum())
            for share in (least, most):
                low, high = (np.where(rest, v, share) for v in (self.low, self.high))
                out.append(Region(self.corners, low, high).within(w)[0])
        return out

    def lowest(self, slope: np.ndarray) -> np.ndarray:
        """Return the least of ``slope @ w`` over the region, (row,): the cheapest are filled up."""
        order = np.argsort(slope, axis=1)
        room = (self.high - self.low)[order]
        left = 1 - self.low.sum() - (np.cumsum(room, axis=1) - room)
        filled = np.clip(left, 0, room)
        cost = np.take_along_axis(slope, order, axis=1)
        return slope @ self.low + np.sum(cost * filled, axis=1)


def minimise(
    problem: Problem, region: Region, rows: int, start: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Minimise many functions of a mixture over a region.

    Parameters
    ----------
    problem : callable
        ``problem(mixture, which)``: value (row,) and slope (row, domain) of functions `which` at
        mixtures (row, domain).
    region : Region
    rows : int
        How many functions there are.
    start : (corner,) array, optional
        Weights to start at; the middle of the region unless given.

    Returns
    -------
    mixture : (row, domain) array
    value : (row,) array
    gap : (row,) array
        How far below the value the least of a convex function may lie at most:
        ``max over the region of slope @ (mixture - any)`` (Frank and Wolfe 1956).

    Notes
    -----
    Weights are multiplied by ``exp(-step slope)`` and put back into the region by relative entropy
    (Kivinen and Warmuth 1997, doi:10.1006/inco.1996.2612). A step is kept if the function fell as
    far as its slope less ``KL / step`` says, and the next one is longer; else it is tried shorter.
    Rows whose gap is below `GAP` rest.
    """
    w = np.repeat((region.middle() if start is None else start)[None], rows, axis=0)
    w = np.maximum(w, LEAST)
    value, slope = problem(w @ region.corners, np.arange(rows))
    slope = slope @ region.corners.T
    step = 1 / np.maximum(np.ptp(slope, axis=1), 1e-12)
    gap = np.sum(slope * w, axis=1) - region.lowest(slope)
    for _ in range(STEPS):
        live = np.flatnonzero(gap > GAP)
        if not len(live):
            break
        old, g = w[live], slope[live]
        step[live] = np.minimum(step[live], LONGEST / np.maximum(np.ptp(g, axis=1), 1e-300))
        move = -step[live, None] * (g - g.min(axis=1, keepdims=True))
        new = np.maximum(region.within(np.maximum(old * np.exp(move), LEAST)), LEAST)
        found, tilt = problem(new @ region.corners, live)
        away = np.sum(new * np.log(new / old) - new + old, axis=1)
        promised = np.sum(g * (new - old), axis=1) + away / step[live]
        fine = found <= value[live] + promised + 1e-12
        step[live] *= np.where(fine, FURTHER, BACK)
        kept = live[fine]
        w[kept], value[kept] = new[fine], found[fine]
        slope[kept] = tilt[fine] @ region.corners.T
        gap[kept] = np.sum(slope[kept] * w[kept], axis=1) - region.lowest(slope[kept])
    return w @ region.corners, value, gap


def inside(mixture: np.ndarray, measured: np.ndarray) -> bool:
    """Return whether a mixture is one of the measured mixtures, or between them."""
    from scipy.optimize import linprog

    wanted = np.append(mixture, 1.0)
    sums = np.vstack([measured.T, np.ones(len(measured))])
    slack = 1e-6  # shares are rounded
    least = linprog(
        np.r_[np.zeros(len(measured)), np.ones(2 * len(wanted))],
        A_eq=np.hstack([sums, np.eye(len(wanted)), -np.eye(len(wanted))]),
        b_eq=wanted,
    )
    return bool(least.fun < slack * len(wanted))
