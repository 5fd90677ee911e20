"""Figures of fits and plans with matplotlib: they draw what they are given and fit nothing.

A figure of one panel returns its Axes, a figure of several its Figure. A fit that is not to be
trusted says so on the figure itself, since figures travel without the session that warned.
"""

from bayes_scaling.plots.asymptotes import plot_asymptotes
from bayes_scaling.plots.backtest import plot_backtest
from bayes_scaling.plots.batch import plot_batch
from bayes_scaling.plots.compare import plot_compare
from bayes_scaling.plots.curve import plot_curve
from bayes_scaling.plots.decision import plot_lifetime, plot_next, plot_regret, plot_wall
from bayes_scaling.plots.designs import plot_designs
from bayes_scaling.plots.epochs import plot_epochs
from bayes_scaling.plots.exchange import plot_equal_compute, plot_test_time
from bayes_scaling.plots.experts import plot_routing
from bayes_scaling.plots.exponents import plot_exponents
from bayes_scaling.plots.frontier import plot_frontier
from bayes_scaling.plots.isoflop import plot_isoflop
from bayes_scaling.plots.loss import plot_loss
from bayes_scaling.plots.mixture import plot_mixture
from bayes_scaling.plots.pareto import plot_pareto
from bayes_scaling.plots.pools import plot_pools
from bayes_scaling.plots.posterior import plot_posterior
from bayes_scaling.plots.residuals import plot_residuals
from bayes_scaling.plots.sampling import plot_coverage
from bayes_scaling.plots.sizes import plot_sizes
from bayes_scaling.plots.speedup import plot_ranks, plot_speedup
from bayes_scaling.plots.tasks import plot_task
from bayes_scaling.plots.trend import plot_trend
from bayes_scaling.plots.tuning import plot_optimum, plot_sweeps

__all__ = [
    "plot_asymptotes",
    "plot_backtest",
    "plot_batch",
    "plot_compare",
    "plot_coverage",
    "plot_curve",
    "plot_designs",
    "plot_epochs",
    "plot_equal_compute",
    "plot_exponents",
    "plot_frontier",
    "plot_isoflop",
    "plot_lifetime",
    "plot_loss",
    "plot_mixture",
    "plot_next",
    "plot_optimum",
    "plot_pareto",
    "plot_pools",
    "plot_posterior",
    "plot_ranks",
    "plot_regret",
    "plot_residuals",
    "plot_routing",
    "plot_sizes",
    "plot_speedup",
    "plot_sweeps",
    "plot_task",
    "plot_test_time",
    "plot_trend",
    "plot_wall",
]
