"""Training FLOPs, as functions of numbers or arrays.

Everything is float64: ``6 N D`` at frontier scale overflows 64-bit integers and float32.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bayes_scaling.data.parameters import matrix_sizes, size

# A backward pass costs two forward passes: one product for the inputs, one for the weights.
_TRAINING_PER_FORWARD = 3.0
_ATTENTION, _FFN = 4.0, 8.0  # squares of the width in the matrices of a block


def flops_6nd(params: ArrayLike, tokens: ArrayLike) -> Any:
    """Count training FLOPs by the rule of six.

    Parameters
    ----------
    params : float or array, parameters
    tokens : float or array, tokens

    Returns
    -------
    float or array, FLOP

    Notes
    -----
    ``C = 6 N D``: one multiply-add per parameter and token forward, two backward. It leaves out
    attention scores, and the head if `params` leaves embeddings out.

    References
    ----------
    Kaplan et al. 2020, arXiv:2001.08361, section 2.1.

    Examples
    --------
    >>> from bayes_scaling.data.accounting import flops_6nd
    >>> f"{flops_6nd(70e9, 1.4e12):.3g}"
    '5.88e+23'
    """
    return 6.0 * _float(params) * _float(tokens)


def tokens_from_flops(flops: ArrayLike, params: ArrayLike) -> Any:
    """Invert the rule of six: ``D = C / (6 N)``.

    Parameters
    ----------
    flops : float or array, FLOP
    params : float or array, parameters

    Returns
    -------
    float or array, tokens

    Examples
    --------
    >>> from bayes_scaling.data.accounting import tokens_from_flops
    >>> f"{tokens_from_flops(5.88e23, 70e9):.3g}"
    '1.4e+12'
    """
    return _float(flops) / (6.0 * _float(params))


def serving_flops(params: ArrayLike, tokens: ArrayLike) -> Any:
    """Count the FLOPs of serving tokens, read or written: ``2 N T``.

    Parameters
    ----------
    params : float or array, parameters
    tokens : float or array, tokens

    Returns
    -------
    float or array, FLOP

    References
    ----------
    Sardana and Frankle 2024, Beyond Chinchilla-Optimal, arXiv:2401.00448.

    Examples
    --------
    >>> from bayes_scaling.data.accounting import serving_flops
    >>> f"{serving_flops(8e9, 512 * 16):.3g}"  # sixteen candidates of 512 tokens
    '1.31e+14'
    """
    return flops_6nd(params, tokens) / _TRAINING_PER_FORWARD


def granular_flops(
    total_params: ArrayLike,
    granularity: ArrayLike,
    *,
    experts: float = 64,
    aspect: float = 64,
    routing: float = 14,
) -> Any:
    """Count the training FLOPs of a token in a model of fine experts, the router's among them.

    Parameters
    ----------
    total_params : float or array, parameters
        All of them, without embeddings.
    granularity : float or array
        Width of a dense feed-forward layer over that of an expert, G.
    experts : float, default 64
        How many times a routed layer's parameters are those of a dense one: the expansion E. There
        are ``G E`` experts, of which a token passes through G.
    aspect : float, default 64
        Width over number of blocks.
    routing : float, default 14
        FLOPs of the router for every product of a width and an expert, forward and back.

    Returns
    -------
    float or array, FLOP per token

    Notes
    -----
    ``(12 d^2 c_f + d E G c_r) n`` with n blocks of width ``d = aspect n``, ``c_f = 6``, and
    ``(8 E + 4) d^2 n`` parameters in all: 4 d^2 of attention, 8 d^2 of a dense feed-forward layer.

    References
    ----------
    Krajewski et al. 2024, arXiv:2402.07871, section 5.

    Examples
    --------
    >>> from bayes_scaling.data.accounting import granular_flops
    >>> f"{granular_flops(43e8, 8) * 4.37e9:.3g}"
    '2.94e+18'
    """
    total, grains = _float(total_params), _float(granularity)
    blocks = np.cbrt(total / ((_FFN * experts + _ATTENTION) * aspect**2))
    width = aspect * blocks
    of_layers = 2 * _TRAINING_PER_FORWARD * (_FFN + _ATTENTION) * width**2
    return (of_layers + routing * experts * grains * width) * blocks


def granular_share(experts: float) -> float:
    """Return the share of all parameters that a token passes through, of `granular_flops`' models.

    Examples
    --------
    >>> from bayes_scaling.data.accounting import granular_share
    >>> round(1 / granular_share(64))
    43
    """
    return (_FFN + _ATTENTION) / (_FFN * experts + _ATTENTION)


@dataclass(frozen=True)
class TransformerFlops:
    """FLOPs per token of one forward pass, piece by piece (float or array, FLOP per token).

    Parameters
    ----------
    attention_projections : float or array
        Query, key, value and output matrices.
    attention_scores : float or array
        Queries times keys.
    attention_values : float or array
        Scores times values.
    ffn : float or array
        Feed-forward matrices.
    head : float or array
        Unembedding; the embedding lookup costs nothing.
    """

    attention_projections: Any
    attention_scores: Any
    attention_values: Any
    ffn: Any
    head: Any

    @property
    def forward_per_token(self) -> Any:
        """Sum of the pieces, FLOP per token."""
        attention = self.attention_projections + self.attention_scores + self.attention_values
        return attention + self.ffn + self.head

    @property
    def training_per_token(self) -> Any:
        """Forward and backward, FLOP per token."""
        return _TRAINING_PER_FORWARD * self.forward_per_token

    def total(self, tokens: ArrayLike) -> Any:
        """Training FLOPs for `tokens` (float or array, tokens)."""
        return self.training_per_token * _float(tokens)


def transformer_flops(
    width: ArrayLike,
    depth: ArrayLike,
    *,
    vocab_size: ArrayLike,
    context_length: ArrayLike,
    heads: ArrayLike | None = None,
    kv_heads: ArrayLike | None = None,
    ffn_width: ArrayLike | None = None,
    attention_width: ArrayLike | None = None,
    gated: bool = False,
    causal: bool = False,
    head: bool = True,
) -> TransformerFlops:
    """Count the FLOPs of a dense decoder matrix by matrix.

    Parameters
    ----------
    width : float or array, units
        Residual-stream width d.
    depth : float or array, layers
        Number of blocks.
    vocab_size : float or array, tokens
        Size V of the unembedding.
    context_length : float or array, tokens
        Training context.
    heads, kv_heads : float or array, heads, optional
        Query heads and key-value heads (grouped-query attention); equal by default.
    ffn_width : float or array, units, optional
        Feed-forward width; ``4 width`` by default.
    attention_width : float or array, units, optional
        Heads times head size; `width` by default.
    gated : bool
        Three feed-forward matrices (SwiGLU) in place of two.
    causal : bool
        Count only the half of the scores that a causal mask keeps. Off by default, because most
        published counts do not.
    head : bool
        Count the unembedding.

    Returns
    -------
    TransformerFlops

    Raises
    ------
    SpecError
        If `kv_heads` comes without `heads`, or a size is negative.

    Notes
    -----
    Forward FLOPs per token, with ``a`` the attention width, ``f`` the feed-forward width, ``l`` the
    context and ``g = kv_heads / heads``:
    ``depth (4 d a (1 + g) + 4 l a + 4 d f) + 2 V d``; training is three times that. With the
    defaults and no head it is ``72 depth d^2 + 12 depth d l``, DeepSeek's M. As context and
    vocabulary go to zero it is exactly six times `non_embedding_params`. Kaplan et al. count
    ``2 l a`` in place of ``4 l a``, the number that `causal` gives.

    References
    ----------
    Kaplan et al. 2020, arXiv:2001.08361, table 1. DeepSeek-AI 2024, arXiv:2401.02954.

    Examples
    --------
    >>> from bayes_scaling.data.accounting import transformer_flops
    >>> cost = transformer_flops(512, 8, vocab_size=32_000, context_length=4096)
    >>> f"{cost.training_per_token:.4g}"
    '4.506e+08'
    >>> f"{cost.head / cost.forward_per_token:.2f}"
    '0.22'
    """
    d, a, f, shared = matrix_sizes(width, attention_width, ffn_width, heads, kv_heads)
    layers, context, vocab = size("depth", depth), size("context_length", context_length), 0.0
    if head:
        vocab = size("vocab_size", vocab_size)
    pairs = 2.0 * layers * context * a * (0.5 if causal else 1.0)
    return TransformerFlops(
        attention_projections=4.0 * layers * d * a * (1.0 + shared),
        attention_scores=pairs,
        attention_values=pairs,
        ffn=2.0 * layers * d * f * (3.0 if gated else 2.0),
        head=2.0 * vocab * d,
    )


def _float(value: ArrayLike) -> Any:
    return np.asarray(value, dtype=np.float64)[()]
