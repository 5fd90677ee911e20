"""float64 for the duration of a call: never a global switch."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def in_float64(function: F) -> F:
    """Run a function with JAX in float64.

    Differences of 1e-3 in loss at 1e24 FLOP, and Hessians, do not survive float32.
    """

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        import jax

        with jax.enable_x64(True):
            return function(*args, **kwargs)

    return call  # pyright: ignore[reportReturnType]
