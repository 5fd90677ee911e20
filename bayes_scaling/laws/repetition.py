"""What repeated tokens are worth: Muennighoff's effective data and effective size.

The worth of an amount of which only U are unique is, in either role,

    X' = U (1 + phi(R)),  phi(R) = (1 - e^(-lam R)) / lam,  R = max(X / U - 1, 0),

with a rate lam = 1 / R*: phi is R while lam R is small and 1 / lam at most.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bayes_scaling.errors import SpecError
from bayes_scaling.laws._protocol import (
    LAWS,
    HasOptimum,
    Inputs,
    Reference,
    Theta,
    namespace,
    sizes,
)
from bayes_scaling.laws.joint import (
    FLOOR,
    NEVER,
    SHARE,
    SLOPE,
    Chinchilla,
    Surface,
    exponent_param,
    intercept_param,
    loss_of,
    size_fed,
)
from bayes_scaling.param import Param, Prior

R_TOKENS, R_PARAMS = 15.387756, 5.309743  # Muennighoff et al. 2023, C4, 182 runs
SMALL = 1e-9  # decay rate below which repeats count as new
UNIQUE = "unique_tokens"
ENDLESS = 1e30  # unique tokens, where none are ever repeated
MANY = 80.0  # ln of a ratio beyond which repeats would overflow a float32, and are worth no more


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


def worth_of(repeats: Any, rate: Any, xp: Any) -> Any:
    """Return phi, how many times the unique ones so many repeats are worth."""
    return -xp.expm1(-rate * repeats) / rate


def _worth(amount: Any, unique: Any, rate: float) -> Any:
    xp = namespace({"amount": amount, "unique": unique})
    repeats = xp.maximum(amount / unique - 1.0, 0.0)
    worth = repeats if rate < SMALL else worth_of(repeats, rate, xp)
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


@LAWS.register("data_constrained")
@dataclass(frozen=True)
class DataConstrained:
    """The additive joint law of what tokens and parameters are worth when tokens repeat.

    ``L = E + A / N'^alpha + B / D'^beta``, where D' is what D tokens are worth of which
    ``U_D = min(D, unique)`` are new, and N' what N parameters are worth, of which
    ``U_N = min(N, N_opt(U_D))`` are those that the new tokens feed.

    Parameters
    ----------
    tied : bool, default False
        One exponent for both terms, as the paper's fit has it.
    reference : tuple of (str, float), optional
        The sizes N0, D0 and U0; the geometric means of the training table unless given.

    Notes
    -----
    Parameters are those of the additive law, and the rates ``lam_D = 1 / R*_D`` and
    ``lam_N = 1 / R*_N`` at which repeats and parameters beyond U_N lose their worth. How fast
    repeats do needs runs of some R*_D epochs; excess parameters are told from the exponent alpha by
    runs of one epoch that are larger than their data feed. The law cannot rise: runs that more
    epochs made worse are outside it, and how many epochs that takes is a matter of regularisation.

    References
    ----------
    Muennighoff et al. 2023, Scaling Data-Constrained Language Models, arXiv:2305.16264, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> from bayes_scaling.laws import DataConstrained
    >>> law = DataConstrained(tied=True, reference=(
    ...     ("params", 1e9), ("tokens", 2e10), ("unique_tokens", 1e10)))
    >>> theta = law.from_paper({"E": np.exp(0.6254804), "A": np.exp(6.255414),
    ...     "B": np.exp(7.3049974), "alpha": 0.3526596, "R_D": 15.387756, "R_N": 5.309743})
    >>> run = {"params": 6.34e9, "tokens": 2.42e11, "unique_tokens": 2.5e10}
    >>> round(float(law(theta, run)), 12)
    2.225644088998
    """

    tied: bool = False
    reference: Reference | None = None

    name: ClassVar[str] = "data_constrained"
    outcome: ClassVar[str] = "loss"
    decreasing: ClassVar[tuple[str, ...]] = ("params", "tokens", UNIQUE)
    derived: ClassVar[Mapping[str, tuple[str, str]]] = {
        "A": ("nat/token", "A in A / N'^alpha, N' in raw counts"),
        "B": ("nat/token", "B in B / D'^beta, D' in raw counts"),
        "R_D": ("epochs", "R*_D: repeats after which a further token has lost 63 % of its worth"),
        "R_N": ("1", "R*_N: the same of parameters, in multiples of those that new tokens feed"),
    }

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the law reads."""
        return ("params", "tokens", UNIQUE)

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters under these choices."""
        out = [
            FLOOR,
            intercept_param("a0", "parameters", SHARE),
            intercept_param("b0", "tokens", SHARE),
            exponent_param("alpha", "both" if self.tied else "parameters", SLOPE),
        ]
        out += [] if self.tied else [exponent_param("beta", "tokens", SLOPE)]
        return (
            *out,
            Param("lam_D", Prior.of("LogNormal", median=0.1, sigma=0.8), "1 / epoch",
                  "rate at which repeated tokens lose their worth", (0.03, 0.3)),
            Param("lam_N", Prior.of("LogNormal", median=0.2, sigma=0.8), "1",
                  "rate at which parameters beyond those that new tokens feed lose theirs",
                  (0.05, 0.6)),
        )  # fmt: skip

    def _surface(self, theta: Theta) -> Surface:
        beta = theta["alpha" if self.tied else "beta"]
        return Surface(theta["E"], theta["a0"], theta["b0"], theta["alpha"], beta, None)

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate the loss, nat/token, at `params`, `tokens` and `unique_tokens`, raw counts."""
        xp = namespace(theta, x)
        s, ref = self._surface(theta), sizes(self)
        n, d, u = (
            xp.minimum(xp.log(x[k]) - xp.log(ref[of]), NEVER)
            for k, of in (("params", "params"), ("tokens", "tokens"), (UNIQUE, "tokens"))
        )
        new = xp.minimum(d, u)
        fed = xp.minimum(n, size_fed(s, new, xp))
        n = fed + _log_worth(n - fed, theta["lam_N"], xp)
        return loss_of(s, n, new + _log_worth(d - new, theta["lam_D"], xp), xp)

    def irreducible(self, theta: Theta) -> Any:
        """Return the floor E."""
        return theta["E"]

    def repeated(self, theta: Theta, epochs: Any) -> tuple[Any, Any]:
        """Return what epochs are worth, in epochs of new tokens, and what their last token is.

        The latter is ``e^(-lam_D R)``, one in the first epoch.
        """
        xp = namespace(theta, {"epochs": epochs})
        repeats = xp.maximum(epochs - 1.0, 0.0)
        worth = xp.minimum(epochs, 1.0) + worth_of(repeats, theta["lam_D"], xp)
        return worth, xp.exp(-theta["lam_D"] * repeats)

    def fresh(self) -> Any:
        """Return the law of tokens that are all new and of sizes that they feed."""
        pairs = [(k, v) for k, v in (self.reference or ()) if k != UNIQUE]
        return Chinchilla(tied=self.tied, reference=tuple(pairs) or None)

    def to_paper(self, theta: Theta) -> dict[str, Any]:
        """Return A, B, R*_D and R*_N beside the rest."""
        rates = {"R_D": 1 / theta["lam_D"], "R_N": 1 / theta["lam_N"]}
        return self.fresh().to_paper(self._plain(theta)) | rates

    def from_paper(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters at the reference from those."""
        rates = {"lam_D": 1 / paper["R_D"], "lam_N": 1 / paper["R_N"]}
        plain = {k: v for k, v in paper.items() if k not in ("R_D", "R_N")}
        return self.fresh().from_paper(plain) | rates

    def _plain(self, theta: Theta) -> dict[str, Any]:
        return {p.name: theta[p.name] for p in self.params if p.name not in ("lam_D", "lam_N")}


def _log_worth(log_ratio: Any, rate: Any, xp: Any) -> Any:
    """Return ln(X' / U) of ln(X / U), not negative."""
    repeats = xp.expm1(xp.minimum(log_ratio, MANY))
    return xp.log1p(worth_of(repeats, rate, xp))
