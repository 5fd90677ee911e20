"""The equations: one file per family, one place per equation."""

from bayes_scaling.laws._protocol import (
    LAWS,
    HasFloor,
    HasIsoquant,
    HasLatents,
    HasOptimum,
    HasScatter,
    HasSweeps,
    Law,
    Monotone,
    bind,
    law_from_dict,
    to_dict,
)
from bayes_scaling.laws.batch import CriticalBatch
from bayes_scaling.laws.isoflop import IsoFlop
from bayes_scaling.laws.joint import Chinchilla, KaplanND
from bayes_scaling.laws.noise_scale import NoiseScale
from bayes_scaling.laws.repetition import Repetition
from bayes_scaling.laws.single import M4, BrokenPowerLaw, PowerLaw
from bayes_scaling.laws.steps import KaplanNS
from bayes_scaling.laws.tuning import Tuning

__all__ = [
    "LAWS",
    "M4",
    "BrokenPowerLaw",
    "Chinchilla",
    "CriticalBatch",
    "HasFloor",
    "HasIsoquant",
    "HasLatents",
    "HasOptimum",
    "HasScatter",
    "HasSweeps",
    "IsoFlop",
    "KaplanND",
    "KaplanNS",
    "Law",
    "Monotone",
    "NoiseScale",
    "PowerLaw",
    "Repetition",
    "Tuning",
    "bind",
    "law_from_dict",
    "to_dict",
]
