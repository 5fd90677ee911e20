"""One law under several counts: what a study that leaves something out would report."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr

from bayes_scaling.data.accounting import transformer_flops
from bayes_scaling.data.numbers import positive
from bayes_scaling.data.parameters import embedding_params
from bayes_scaling.decision.allocate import PER_TOKEN, _budgets, _law_theta
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import best_split, irreducible, search_split
from bayes_scaling.results import SAMPLES, model_of
from bayes_scaling.trust import warn_if_untrusted

STEP = 0.05  # e-folds of compute to either side, for slopes: their error is its square


Count = Literal["non_embedding", "total", "with_head", "attention", "exact"]


@dataclass(frozen=True)
class Transformers:
    """A family of dense decoders of one shape, from the smallest to the largest.

    Parameters
    ----------
    vocab_size : float, tokens
        Rows of the embedding, and of the head.
    aspect : float
        Width over depth.
    context_length : float, tokens
        Training context, for the FLOPs of attention.
    tied : bool
        Whether the head is the transposed embedding.
    causal : bool
        Count only the half of the attention that a causal mask keeps.

    Raises
    ------
    SpecError
        A number is not positive.

    Notes
    -----
    With ``12 depth width^2`` parameters in the blocks and ``vocab_size width`` in the embedding,
    ``N_total = N + omega N^(1/3)``, ``omega = vocab_size (aspect / 12)^(1/3)``, twice that if the
    head is a matrix of its own.

    References
    ----------
    Pearce and Song 2024, Reconciling Kaplan and Chinchilla Scaling Laws, arXiv:2406.12907.

    Examples
    --------
    >>> from bayes_scaling import Transformers
    >>> family = Transformers()
    >>> round(family.omega), f"{family.total(1e8):.3g}", f"{family.counted(1e8, 'exact'):.3g}"
    (47491, '1.22e+08', '1.72e+08')
    """

    vocab_size: float = 32_000
    aspect: float = 39.225
    context_length: float = 2048
    tied: bool = True
    causal: bool = False

    def __post_init__(self) -> None:
        for name in ("vocab_size", "aspect", "context_length"):
            positive(getattr(self, name), f"Transformers: {name} must be a positive number")

    @property
    def omega(self) -> float:
        """The coefficient of the cube root."""
        return float(embedding_params(self.width(1.0), self.vocab_size, tied=self.tied))

    def width(self, params: Any) -> Any:
        """Return the width of a model of so many non-embedding parameters."""
        return np.cbrt(params * self.aspect / 12)

    def total(self, params: Any) -> Any:
        """Return the total count from the non-embedding one."""
        return params + self.omega * np.cbrt(params)

    def non_embedding(self, params: Any) -> Any:
        """Return the non-embedding count from the total one: the real root of the cubic."""
        scale = np.sqrt(self.omega / 3)
        angle = np.arcsinh(params / (2 * scale**3)) / 3
        return (2 * scale * np.sinh(angle)) ** 3

    def counted(self, params: Any, count: Count) -> Any:
        """Return what a study multiplies by six to get its FLOPs per token.

        Parameters
        ----------
        params : array, parameters
            Without embeddings.
        count : {"non_embedding", "total", "with_head", "attention", "exact"}
            The blocks alone; with embeddings; with the head; the blocks' FLOPs with those of
            attention; all of them.
        """
        if count not in get_args(Count):
            msg = f"count {count!r} is unknown; choose one of: {', '.join(get_args(Count))}"
            raise SpecError(msg)
        if count == "non_embedding":
            return params
        if count == "total":
            return self.total(params)
        width = self.width(params)
        cost = transformer_flops(
            width,
            width / self.aspect,
            vocab_size=self.vocab_size,
            context_length=self.context_length if count != "with_head" else 0.0,
            causal=self.causal,
            head=count != "attention",
        )
        return cost.training_per_token / PER_TOKEN


@dataclass(frozen=True)
class Recounted:
    """A law of the total count, asked along budgets of another.

    Its `params` are those outside the embeddings, and `params * tokens` the study's compute over
    six, so that a search for the best split finds the study's.
    """

    law: Any
    family: Transformers
    count: Count

    @property
    def reference(self) -> Any:
        """The law's reference sizes, in this count."""
        ref = dict(self.law.reference)
        return (("params", self.family.non_embedding(ref["params"])), ("tokens", ref["tokens"]))

    def tokens(self, params: Any, product: Any) -> Any:
        """Return the tokens that a budget leaves to a model."""
        return product / xr.apply_ufunc(self.family.counted, params, self.count)

    def __call__(self, theta: Any, x: Any) -> Any:
        """Evaluate the law."""
        tokens = self.tokens(x["params"], x["params"] * x["tokens"])
        return self.law(theta, {"params": self.family.total(x["params"]), "tokens": tokens})

    def irreducible(self, theta: Any) -> Any:
        """Return the law's floor."""
        return irreducible(self.law, theta)


def recount(
    fit: xr.DataTree,
    budget: Any,
    family: Transformers | None = None,
    *,
    count: Count = "non_embedding",
    group: str | None = None,
) -> xr.Dataset:
    """Find the optimum that a study with another count would report, draw by draw.

    The law is that of total parameters; the study counts ``C = 6 N D`` with an N of its own, and
    looks for the least loss along that.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of a law in total `params` and `tokens`.
    budget : float or (budget,) array, FLOP
        Compute as the study counts it.
    family : Transformers, optional
        The models; vocabulary 32,000, width over depth 39.225, as in the reference, and a context
        of 2,048 unless given.
    count : {"non_embedding", "total", "with_head", "attention", "exact"}
        What the study multiplies by six: the parameters of the blocks; with embeddings; with the
        head; or a sixth of the FLOPs per token of the blocks with attention; of everything.
    group : str, optional
        Which group of a pooled model; the population's without it.

    Returns
    -------
    xarray.Dataset over (chain, draw, budget)
        The optimum in every count: `params_counted` (the study's N), `params_non_embedding`,
        `params_total`, `tokens`, `loss`, and `flops_exact`, what it costs matrix by matrix;
        `exponent`, the local slope ``d ln N / d ln C`` in the study's own N and C, and
        `exponent_total`, the slope that a study of total parameters would report at the same
        total compute.

    Raises
    ------
    SpecError
        A budget is not positive and finite, the law has no `params` and `tokens`, or the count is
        unknown.

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
    family = family or Transformers()
    if not isinstance(family, Transformers):
        msg = f"family: Transformers(...); found {type(family).__name__}"
        raise SpecError(msg)
    law, theta = model_of(fit).law, _law_theta(fit, group)
    family.counted(1.0, count)  # refuse what it does not know before the search
    values = _budgets(budget)
    budgets = xr.DataArray(values, dims="budget", coords={"budget": values})
    asked = Recounted(law, family, count)

    def counted(size: Any) -> Any:
        return xr.apply_ufunc(family.counted, size, count)

    size, low, high = (
        search_split(asked, theta, budgets * np.exp(step) / PER_TOKEN)[0]
        for step in (0.0, -STEP, STEP)
    )
    tokens = asked.tokens(size, budgets / PER_TOKEN)
    total = family.total(size)
    before, after = (
        best_split(law, theta, total * tokens * np.exp(step))[0] for step in (-STEP, STEP)
    )
    exact = PER_TOKEN * xr.apply_ufunc(family.counted, size, "exact") * tokens
    out = xr.Dataset(
        {
            "params_counted": counted(size).assign_attrs(units="params"),
            "params_non_embedding": size.assign_attrs(units="params"),
            "params_total": total.assign_attrs(units="params"),
            "tokens": tokens.assign_attrs(units="tokens"),
            "loss": law(theta, {"params": total, "tokens": tokens}).assign_attrs(units="nat/token"),
            "flops_exact": exact.assign_attrs(units="FLOP"),
            "exponent": np.log(counted(high) / counted(low)) / (2 * STEP),
            "exponent_total": np.log(after / before) / (2 * STEP),
        },
        attrs={"trust": trust, "count": count, **asdict(family)},
    )
    out.coords["budget"].attrs.update(units="FLOP", long_name=f"compute, 6 N D, N {count}")
    return out.transpose(*SAMPLES, "budget")
