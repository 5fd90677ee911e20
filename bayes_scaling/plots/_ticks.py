"""Log axes and numbers as people read them: powers of ten, sizes in M, B and T."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, Locator, MaxNLocator, NullLocator


class LogTicks(Locator):
    """Ticks at 1, 1-3, 1-2-5 ... of each decade: the fewest kinds that give three or more."""

    def __call__(self) -> Sequence[float]:
        """Return the ticks of the axis as it stands."""
        return self.tick_values(*self.axis.get_view_interval())  # pyright: ignore

    def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
        """Return the ticks between two positive values."""
        low, high = sorted((vmin, vmax))
        decades = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
        for leads in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8)):
            ticks = np.sort(np.outer(decades, leads).ravel())
            ticks = ticks[(ticks >= low * (1 - 1e-9)) & (ticks <= high * (1 + 1e-9))]
            if len(ticks) >= 3:
                return list(ticks[:: -(-len(ticks) // 9)])
        return list(MaxNLocator(4).tick_values(low, high))


def log_axis(axis: Axis, write: Callable[[float], str]) -> None:
    """Make an axis logarithmic, its ticks written by `write`."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})  # pyright: ignore
    axis.set_major_locator(LogTicks())
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: write(value)))


def power(value: float) -> str:
    """Write a number as a power of ten, as in mathtext for 10^20 or 3 x 10^20."""
    lead, exponent = f"{value:.1e}".split("e")
    if float(lead) == 1:
        return rf"$10^{{{int(exponent)}}}$"
    return rf"${float(lead):g}{{\times}}10^{{{int(exponent)}}}$"


def count(value: float) -> str:
    """Write a count the way sizes are spoken of: 300M, 7B, 1.4T."""
    value = float(f"{value:.2g}" if value < 10 else f"{value:.3g}")
    for unit, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if unit <= value < 1e16:
            return f"{float(f'{value / unit:.3g}'):g}{letter}"
    return f"{value:g}" if value < 1e3 else power(value)


def rounded(quantiles: Any) -> str:
    """Write a median and an interval to the digits that the interval warrants.

    Examples
    --------
    >>> from bayes_scaling.plots._ticks import rounded
    >>> rounded([1.7812, 1.8123, 1.8444])
    '1.812 [1.781, 1.844]'
    """
    low, middle, high = (float(q) for q in quantiles)
    width = high - low
    places = max(0, 1 - int(np.floor(np.log10(width)))) if width > 0 else 3
    return f"{middle:.{places}f} [{low:.{places}f}, {high:.{places}f}]"
