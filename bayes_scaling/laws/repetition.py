"""What repeated tokens are worth: Muennighoff's effective data and effective size."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_scaling.errors import SpecError
from bayes_scaling.laws._protocol import HasOptimum, Theta, namespace

R_TOKENS, R_PARAMS = 15.387756, 5.309743  # Muennighoff et al. 2023, C4, 182 runs
SMALL = 1e-9  # decay rate below which repeats count as new


@dataclass(frozen=True)
class Repetition:
    """Repeated tokens, and parameters beyond what the unique ones feed, count ever less.

    Parameters
    ----------
    tokens : float, default 15.387756
        R*_D: repeats after which a further token has lost 1 - 1/e of its worth; inf where repeats
        are as good as new.
    params : float, default 5.309743
        R*_N, the same for parameters beyond the optimum of the unique tokens; inf to leave sizes as
        they are.

    Raises
    ------
    SpecError
        A number that is not positive.

    Notes
    -----
    ``D' = U + U R*_D (1 - exp(-R_D / R*_D))``, ``R_D = D / U - 1``, U the unique tokens that were
    used; ``N' = U_N + U_N R*_N (1 - exp(-R_N / R*_N))``, ``R_N = N / U_N - 1``, U_N the size whose
    compute-optimal data are U. At most ``(1 + R*_D) U`` tokens' worth is in U.

    References
    ----------
    Muennighoff et al. 2023, Scaling Data-Constrained Language Models, arXiv:2305.16264.

    Examples
    --------
    >>> from bayes_scaling.laws import Repetition
    >>> [round(float(Repetition().tokens_worth(e, 1.0)) / e, 4) for e in (2, 4, 8, 16, 40)]
    [0.9841, 0.9314, 0.828, 0.6614, 0.3792]
    """

    tokens: float = R_TOKENS
    params: float = R_PARAMS

    def __post_init__(self) -> None:
        if not (self.tokens > 0 and self.params > 0):
            msg = f"Repetition: both numbers of repeats are positive; found {self}"
            raise SpecError(msg)

    def tokens_worth(self, tokens: Any, unique: Any) -> Any:
        """Return D': how many new tokens `tokens` draws from `unique` ones are worth."""
        return _worth(tokens, unique, 1 / self.tokens)

    def tokens_for(self, worth: Any, unique: Any) -> Any:
        """Return the tokens that are worth so many new ones; inf where none are."""
        return _needed(worth, unique, 1 / self.tokens)

    def params_worth(self, params: Any, fed: Any) -> Any:
        """Return N': how large a model is worth, whose unique tokens feed the size `fed`."""
        return _worth(params, fed, 1 / self.params)


def _worth(amount: Any, unique: Any, rate: float) -> Any:
    xp = namespace({"amount": amount, "unique": unique})
    repeats = xp.maximum(amount / unique - 1.0, 0.0)
    worth = repeats if rate < SMALL else -xp.expm1(-rate * repeats) / rate
    return xp.minimum(amount, unique) + unique * worth


def _needed(worth: Any, unique: Any, rate: float) -> Any:
    xp = namespace({"worth": worth, "unique": unique})
    with np.errstate(divide="ignore"):  # no number of repeats is worth more than all of them
        return xp.minimum(worth, unique) + unique * _repeats(worth, unique, rate, xp)


def _repeats(worth: Any, unique: Any, rate: float, xp: Any) -> Any:
    more = xp.maximum(worth / unique - 1.0, 0.0)
    if rate >= SMALL:
        left = 1.0 - rate * more
        more = -xp.log(xp.maximum(left, 1e-300)) / rate / (left > 0)
    return more


def fed_by(law: HasOptimum, theta: Theta, unique: Any) -> Any:
    """Return U_N, the size whose compute-optimal data are `unique` tokens.

    Along the law's optimum ln N and ln D are straight lines in ln C, so two budgets give it.
    """
    xp = namespace(theta, {"unique": unique})
    (n1, d1), (n2, d2) = law.optimum(theta, unique**2), law.optimum(theta, 10 * unique**2)
    slope = xp.log(n2 / n1) / xp.log(d2 / d1)
    return n1 * xp.exp(slope * (xp.log(unique) - xp.log(d1)))
