"""The equations: one file per family, one place per equation."""

from bayes_scaling.laws._protocol import (
    LAWS,
    Anchored,
    HasFloor,
    HasIsoquant,
    HasLatents,
    HasOptimum,
    HasScatter,
    HasSweeps,
    HasZeros,
    Law,
    Monotone,
    bind,
    from_zero,
    law_from_dict,
    to_dict,
)
from bayes_scaling.laws._search import best_split, irreducible, search_split, splits
from bayes_scaling.laws.annealing import Annealing
from bayes_scaling.laws.average import Average
from bayes_scaling.laws.batch import CriticalBatch
from bayes_scaling.laws.coupled import Coupled
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
    "Anchored",
    "Annealing",
    "Average",
    "BrokenPowerLaw",
    "Chinchilla",
    "Coupled",
    "CriticalBatch",
    "HasFloor",
    "HasIsoquant",
    "HasLatents",
    "HasOptimum",
    "HasScatter",
    "HasSweeps",
    "HasZeros",
    "IsoFlop",
    "KaplanND",
    "KaplanNS",
    "Law",
    "Monotone",
    "NoiseScale",
    "PowerLaw",
    "Repetition",
    "Tuning",
    "best_split",
    "bind",
    "from_zero",
    "irreducible",
    "law_from_dict",
    "search_split",
    "splits",
    "to_dict",
]
