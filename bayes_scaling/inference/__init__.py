"""Engines: multi-start optimum, importance-sampled Laplace, NUTS, and the choice between them."""

from bayes_scaling.inference._cache import keep_compiled
from bayes_scaling.inference.fit import fit
from bayes_scaling.inference.optimum import Optimum, optimise
from bayes_scaling.inference.prior import sample_prior
from bayes_scaling.inference.sampling import Draws, sample

keep_compiled()

__all__ = ["Draws", "Optimum", "fit", "optimise", "sample", "sample_prior"]
