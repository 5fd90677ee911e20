"""Parameter counts of a dense decoder: blocks, embeddings, and from one count to another."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bayes_scaling.errors import SpecError

CONVERTIBLE = ("non_embedding", "total")
"""Counts that differ by the embeddings only, the smaller first."""


def non_embedding_params(
    width: ArrayLike,
    depth: ArrayLike,
    *,
    heads: ArrayLike | None = None,
    kv_heads: ArrayLike | None = None,
    ffn_width: ArrayLike | None = None,
    attention_width: ArrayLike | None = None,
    gated: bool = False,
) -> Any:
    """Count the weights of the blocks, without embeddings, norms and biases.

    Parameters
    ----------
    width : float or array, units
    depth : float or array, layers
    heads, kv_heads : float or array, heads, optional
        Query heads and key-value heads (grouped-query attention); equal by default.
    ffn_width : float or array, units, optional
        ``4 width`` by default.
    attention_width : float or array, units, optional
        Heads times head size; `width` by default.
    gated : bool
        Three feed-forward matrices (SwiGLU) in place of two.

    Returns
    -------
    float or array, parameters

    Raises
    ------
    SpecError
        If `kv_heads` comes without `heads`, or a size is negative.

    Notes
    -----
    ``depth (2 d a (1 + g) + 2 d f)``, which is ``12 depth d^2`` with the defaults.

    References
    ----------
    Kaplan et al. 2020, arXiv:2001.08361, table 1.

    Examples
    --------
    >>> from bayes_scaling.data.parameters import non_embedding_params
    >>> f"{non_embedding_params(8192, 80):.4g}"
    '6.442e+10'
    """
    d, a, f, shared = matrix_sizes(width, attention_width, ffn_width, heads, kv_heads)
    return size("depth", depth) * d * (2.0 * a * (1.0 + shared) + f * (3.0 if gated else 2.0))


def embedding_params(width: ArrayLike, vocab_size: ArrayLike, *, tied: bool = True) -> Any:
    """Count embedding weights: ``V d`` if input and output share them, else ``2 V d``.

    Parameters
    ----------
    width : float or array, units
    vocab_size : float or array, tokens
    tied : bool
        Whether the unembedding is the transposed embedding.

    Returns
    -------
    float or array, parameters

    Raises
    ------
    SpecError
        If a size is negative.

    Notes
    -----
    Learned position embeddings are left out, as in most published counts. Total and non-embedding
    counts differ by exactly this number.

    Examples
    --------
    >>> from bayes_scaling.data.parameters import embedding_params
    >>> float(embedding_params(1024, 50_000, tied=False))
    102400000.0
    """
    copies = 1.0 if tied else 2.0
    return copies * size("vocab_size", vocab_size) * size("width", width)


def convert_params(
    params: ArrayLike,
    *,
    count: str,
    to_count: str,
    width: ArrayLike,
    vocab_size: ArrayLike,
    tied: bool = True,
) -> Any:
    """Turn a total parameter count into a non-embedding one, or back.

    Parameters
    ----------
    params : float or array, parameters
    count, to_count : {"total", "non_embedding"}
        What `params` counts, and what it should count.
    width : float or array, units
    vocab_size : float or array, tokens
    tied : bool
        One embedding matrix, or two.

    Returns
    -------
    float or array, parameters

    Raises
    ------
    SpecError
        If a count is not one of the two: active parameters depend on the routing.

    Notes
    -----
    ``N_total = N_non_embedding + V d`` if tied, ``+ 2 V d`` if not.

    References
    ----------
    Pearce and Song 2024, arXiv:2406.12907.

    Examples
    --------
    >>> from bayes_scaling.data.parameters import convert_params
    >>> shape = {"width": 512, "vocab_size": 32_000}
    >>> float(convert_params(25e6, count="non_embedding", to_count="total", **shape))
    41384000.0
    """
    for value in (count, to_count):
        if value not in CONVERTIBLE:
            msg = f"no conversion from or to {value!r} parameters; known: {', '.join(CONVERTIBLE)}"
            raise SpecError(msg)
    sign = CONVERTIBLE.index(to_count) - CONVERTIBLE.index(count)
    return np.asarray(params, dtype=np.float64)[()] + sign * embedding_params(
        width, vocab_size, tied=tied
    )


def matrix_sizes(
    width: Any, attention: Any, ffn: Any, heads: Any, kv_heads: Any
) -> tuple[Any, ...]:
    """Fill in the defaults: width, attention width, feed-forward width, key-value share."""
    if kv_heads is not None and heads is None:
        msg = "kv_heads is given without heads; give both, or neither for equal numbers of each"
        raise SpecError(msg)
    d = size("width", width)
    a = d if attention is None else size("attention_width", attention)
    f = 4.0 * d if ffn is None else size("ffn_width", ffn)
    shared = 1.0 if kv_heads is None else size("kv_heads", kv_heads) / size("heads", heads)
    return d, a, f, shared


def size(name: str, value: ArrayLike) -> Any:
    """Make a size float64; a negative one is an error."""
    number = np.asarray(value, dtype=np.float64)[()]
    if np.any(number < 0):
        msg = f"{name} must not be negative; found {np.nanmin(number):g}"
        raise SpecError(msg)
    return number
