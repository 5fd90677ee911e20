"""The equations: one file per family, one place per equation."""

from bayes_scaling.laws._protocol import (
    LAWS,
    HasFloor,
    HasOptimum,
    Law,
    Monotone,
    bind,
    law_from_dict,
    to_dict,
)
from bayes_scaling.laws.joint import Chinchilla, KaplanND

__all__ = [
    "LAWS",
    "Chinchilla",
    "HasFloor",
    "HasOptimum",
    "KaplanND",
    "Law",
    "Monotone",
    "bind",
    "law_from_dict",
    "to_dict",
]
