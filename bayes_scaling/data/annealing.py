"""The two sums of a learning-rate schedule that the annealing law reads."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bayes_scaling.errors import SpecError


def annealing_sums(
    rates: ArrayLike, steps: float | None = None, decay: float = 0.999
) -> tuple[np.ndarray, np.ndarray]:
    """Sum a learning-rate schedule into the columns `lr_sum` and `lr_drop` of the annealing law.

    Parameters
    ----------
    rates : (n,) array
        Learning rates at equal distances from the first step to the last, in any unit.
    steps : float, optimizer steps, optional
        Steps of the run, `n` or more; n unless given. Between two rates the schedule is linear.
    decay : float, per step
        How much of a drop is still to be felt a step later, from 0 to below 1.

    Returns
    -------
    lr_sum, lr_drop : (n,) array, steps at the peak rate
        S1, the area under the rate, and S2, the annealing area, up to and with each of the rates.

    Raises
    ------
    SpecError
        With every problem at once: fewer than two rates, a rate that is negative or no number, none
        above zero, fewer steps than rates, a decay that is no share.

    Notes
    -----
    With eta the rate relative to its peak, ``S1_i = sum_{j<=i} eta_j``,
    ``m_i = decay m_{i-1} + eta_{i-1} - eta_i`` and ``S2_i = sum_{j<=i} m_j``. By parts the last is

        S2_i = decay S2_{i-1} + max_{j<=i} eta_j - eta_i,

    the fall below the highest rate so far, remembered over ``1 / (1 - decay)`` steps, and this is
    what is computed, exactly for one rate per step and for schedules linear in between. The highest
    rate so far stands where the recursion has the first one: a warm-up is no negative drop. A rate
    that rises again after a fall lowers S2, which is never below zero.

    References
    ----------
    Tissue et al. 2024, Scaling Law with Learning Rate Annealing, arXiv:2408.11029.

    Examples
    --------
    >>> from bayes_scaling import annealing_sums
    >>> area, drop = annealing_sums([0.5, 1.0, 1.0, 0.5, 0.5], decay=0.9)
    >>> area.tolist(), drop.round(3).tolist()
    ([0.5, 1.5, 2.5, 3.0, 3.5], [0.0, 0.0, 0.0, 0.5, 0.95])
    >>> area, drop = annealing_sums([3e-4, 3e-4, 0.0], steps=40_001)  # a decay over the second half
    >>> area.round().tolist(), drop.round().tolist()
    ([1.0, 20001.0, 30000.0], [0.0, 0.0, 950.0])
    """
    from scipy.signal import lfilter

    eta, apart = _checked(rates, steps, decay)
    area = eta[1:] * (apart + 1) / 2 + eta[:-1] * (apart - 1) / 2
    fall = np.maximum.accumulate(eta) - eta
    # A fall that is linear over h steps adds sum_j decay^j fall_{h-j} to what is left of S2.
    left = decay**apart
    level = (1 - left) / (1 - decay)
    tilt = (level - 1 - (apart - 1) * left) / (1 - decay) / apart
    added = fall[1:] * (level - tilt) + fall[:-1] * tilt
    return (
        np.cumsum(np.append(eta[:1], area)),
        np.asarray(lfilter([1.0], [1.0, -left], np.append(0.0, added))),
    )


def _checked(rates: ArrayLike, steps: float | None, decay: float) -> tuple[np.ndarray, float]:
    """Return the rates over their peak, and how many steps lie between two of them."""
    eta, total, kept = (_floats(v) for v in (rates, steps, decay))
    fine, wrong = np.isfinite(eta) & (eta >= 0), []
    if eta.ndim != 1 or len(eta) < 2 or not fine.all() or not eta.max() > 0:
        found = "two or more numbers from 0 on, one of them above 0, are wanted"
        wrong.append(f"rates: {found}; found {rates!r}")
    if steps is not None and not (total.ndim == 0 and eta.size <= total < np.inf):
        wrong.append(f"steps: one number, as many as rates or more; found {steps!r} of {eta.size}")
    if not (kept.ndim == 0 and 0 <= kept < 1):
        wrong.append(f"decay: a share per step from 0 to below 1, such as 0.999; found {decay!r}")
    if wrong:
        msg = f"annealing_sums: {'; '.join(wrong)}"
        raise SpecError(msg)
    return eta / eta.max(), 1.0 if steps is None else (float(total) - 1) / (len(eta) - 1)


def _floats(value: Any) -> np.ndarray:
    try:
        return np.asarray(value, float)
    except (TypeError, ValueError):
        return np.asarray(np.nan)
