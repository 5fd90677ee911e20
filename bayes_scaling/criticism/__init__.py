"""Checks of a fit, and comparisons between fits; what refits is loaded when it is asked for."""

import lazy_loader

from bayes_scaling.criticism.check import Check as Check
from bayes_scaling.criticism.check import check as check
from bayes_scaling.criticism.influence import influence as influence
from bayes_scaling.criticism.predictive import predictive_p as predictive_p
from bayes_scaling.criticism.sensitivity import sensitivity as sensitivity

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "average": ["average"],
        "backtest": ["backtest", "backtest_table"],
        "calibration": ["calibrate"],
        "check": ["Check", "check"],
        "compare": ["Comparison", "compare"],
        "folds": ["kfold"],
        "future": ["leave_future_out"],
        "gate": ["Gate", "gate"],
        "in_flight": ["InFlight", "in_flight"],
        "predictive": ["predictive_p"],
        "refits": ["bootstrap", "exact_loo"],
        "influence": ["influence"],
        "sensitivity": ["sensitivity"],
        "stacking": ["stacking"],
    },
)
