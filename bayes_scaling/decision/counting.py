"""One plan under two counts: what a study that leaves the embeddings out would report."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.decision.allocate import PER_TOKEN, _budgets, _law_theta
from bayes_scaling.decision.optimum import best_split, irreducible, search_split
from bayes_scaling.errors import SpecError
from bayes_scaling.results import SAMPLES, model_of
from bayes_scaling.trust import warn_if_untrusted

STEP = 0.05  # e-folds of compute to either side, for slopes: their error is its square


@dataclass(frozen=True)
class Embeddings:
    """How many parameters embeddings add in a family of transformers of one shape.

    Parameters
    ----------
    vocab_size : float, tokens
        Rows of the embedding, tied to the head.
    aspect : float
        Width over depth.

    Raises
    ------
    SpecError
        A number is not positive.

    Notes
    -----
    With ``12 depth width^2`` parameters in the blocks and ``vocab_size width`` in the embedding,
    ``N_total = N + omega N^(1/3)``, ``omega = vocab_size (aspect / 12)^(1/3)``.

    References
    ----------
    Pearce and Song 2024, Reconciling Kaplan and Chinchilla Scaling Laws, arXiv:2406.12907.

    Examples
    --------
    >>> from bayes_scaling import Embeddings
    >>> round(Embeddings().omega), f"{Embeddings().total(1e8):.3g}"
    (47491, '1.22e+08')
    """

    vocab_size: float = 32_000
    aspect: float = 39.225

    def __post_init__(self) -> None:
        if not (0 < self.vocab_size < np.inf and 0 < self.aspect < np.inf):
            msg = f"vocab_size and aspect are positive numbers; found {self}"
            raise SpecError(msg)

    @property
    def omega(self) -> float:
        """The coefficient of the cube root."""
        return self.vocab_size * (self.aspect / 12) ** (1 / 3)

    def total(self, params: Any) -> Any:
        """Return the total count from the non-embedding one."""
        return params + self.omega * np.cbrt(params)

    def non_embedding(self, params: Any) -> Any:
        """Return the non-embedding count from the total one: the real root of the cubic."""
        scale = np.sqrt(self.omega / 3)
        angle = np.arcsinh(params / (2 * scale**3)) / 3
        return (2 * scale * np.sinh(angle)) ** 3


@dataclass(frozen=True)
class Recounted:
    """A law of the total count, asked in the non-embedding one."""

    law: Any
    embeddings: Embeddings

    @property
    def reference(self) -> Any:
        """The law's reference sizes, in this count."""
        ref = dict(self.law.reference)
        return (("params", self.embeddings.non_embedding(ref["params"])), ("tokens", ref["tokens"]))

    def __call__(self, theta: Any, x: Any) -> Any:
        """Evaluate the law."""
        return self.law(theta, {**x, "params": self.embeddings.total(x["params"])})

    def irreducible(self, theta: Any) -> Any:
        """Return the law's floor."""
        return irreducible(self.law, theta)


def recount(
    fit: xr.DataTree,
    budget: Any,
    embeddings: Embeddings | None = None,
    *,
    group: str | None = None,
) -> xr.Dataset:
    """Find the optimum that a study without embeddings would report, draw by draw.

    The law is that of total parameters; the study counts ``C = 6 N D`` with N the parameters
    outside the embeddings, and looks for the least loss along that.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of a law in total `params` and `tokens`.
    budget : float or (budget,) array, FLOP
        Compute as the study counts it.
    embeddings : Embeddings, optional
        The family of models; vocabulary 32,000 and width over depth 39.225, as in the reference,
        unless given.
    group : str, optional
        Which group of a pooled model; the population's without it.

    Returns
    -------
    xarray.Dataset over (chain, draw, budget)
        `params_non_embedding`, `params_total`, `tokens`, `loss`; `exponent`, the local slope
        ``d ln N / d ln C`` of the non-embedding count, and `exponent_total`, the slope that a
        study of total parameters would report at the same total compute.

    Raises
    ------
    SpecError
        A budget is not positive and finite, or the law has no `params` and `tokens`.

    Notes
    -----
    Where embeddings are most of a model, its count without them grows faster than it does: the
    exponent passes 0.9 at a million parameters and comes down to that of total parameters as the
    blocks take over. Kaplan et al.'s 0.73 and Hoffmann et al.'s 0.50 are readings of one law.

    References
    ----------
    Pearce and Song 2024, arXiv:2406.12907.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> seen = bs.recount(bs.load_posterior("chinchilla"), [1e17, 1e25])
    >>> seen.exponent.median(("chain", "draw")).round(2).values.tolist()
    [0.86, 0.51]
    """
    trust = warn_if_untrusted(fit)
    embeddings = embeddings or Embeddings()
    law, theta = model_of(fit).law, _law_theta(fit, group)
    values = _budgets(budget)
    budgets = xr.DataArray(values, dims="budget", coords={"budget": values})
    counted = Recounted(law, embeddings)
    size, tokens = search_split(counted, theta, budgets / PER_TOKEN)
    low, high = (
        search_split(counted, theta, budgets * np.exp(step) / PER_TOKEN)[0]
        for step in (-STEP, STEP)
    )
    total = embeddings.total(size)
    product = total * tokens
    before, after = (best_split(law, theta, product * np.exp(step))[0] for step in (-STEP, STEP))
    out = xr.Dataset(
        {
            "params_non_embedding": size.assign_attrs(units="params"),
            "params_total": total.assign_attrs(units="params"),
            "tokens": tokens.assign_attrs(units="tokens"),
            "loss": law(theta, {"params": total, "tokens": tokens}).assign_attrs(units="nat/token"),
            "exponent": np.log(high / low) / (2 * STEP),
            "exponent_total": np.log(after / before) / (2 * STEP),
        },
        attrs={"trust": trust, "vocab_size": embeddings.vocab_size, "aspect": embeddings.aspect},
    )
    out.coords["budget"].attrs.update(units="FLOP", long_name="compute without embeddings")
    return out.transpose(*SAMPLES, "budget")
