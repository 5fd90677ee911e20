"""Checks of a fit, and comparisons between fits."""

from bayes_scaling.criticism.check import Check, check
from bayes_scaling.criticism.predictive import predictive_p

__all__ = ["Check", "check", "predictive_p"]
