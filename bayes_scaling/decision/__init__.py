"""Decisions as functionals of the posterior: computed per draw, with the law itself."""

from bayes_scaling.decision.allocate import allocate
from bayes_scaling.decision.batch import batch_tradeoff, critical_batch
from bayes_scaling.decision.counting import Transformers, recount
from bayes_scaling.decision.drivers import driven_by_data
from bayes_scaling.decision.noise_scale import batch_prior, noise_scale
from bayes_scaling.decision.rates import rates
from bayes_scaling.decision.reach import compute_to_reach, iso_loss, saturation, size_to_reach
from bayes_scaling.decision.steps import size_penalty, step_allocation

__all__ = [
    "Transformers",
    "allocate",
    "batch_prior",
    "batch_tradeoff",
    "compute_to_reach",
    "critical_batch",
    "driven_by_data",
    "iso_loss",
    "noise_scale",
    "rates",
    "recount",
    "saturation",
    "size_penalty",
    "size_to_reach",
    "step_allocation",
]
