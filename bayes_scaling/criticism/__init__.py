"""Checks of a fit, and comparisons between fits."""

import lazy_loader

from bayes_scaling.criticism.check import Check, check
from bayes_scaling.criticism.predictive import predictive_p

# Checking a fit that was saved needs no engine: what refits is loaded when it is asked for.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "calibration": ["calibrate"],
        "folds": ["kfold"],
        "future": ["leave_future_out"],
        "refits": ["bootstrap", "exact_loo"],
    },
)

__all__ = [
    "Check",
    "bootstrap",
    "calibrate",
    "check",
    "exact_loo",
    "kfold",
    "leave_future_out",
    "predictive_p",
]
