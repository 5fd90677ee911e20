"""Decisions as functionals of the posterior: computed per draw, with the law itself."""

from bayes_scaling.decision.allocate import allocate
from bayes_scaling.decision.reach import compute_to_reach, iso_loss

__all__ = ["allocate", "compute_to_reach", "iso_loss"]
