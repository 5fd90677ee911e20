"""The equations: one file per family, one place per equation."""

from bayes_scaling.laws._protocol import (
    LAWS,
    Anchored,
    HasDerived,
    HasFloor,
    HasIsoquant,
    HasLatents,
    HasOptimum,
    HasRanges,
    HasScatter,
    HasShares,
    HasSteady,
    HasSweeps,
    HasZeros,
    Law,
    Monotone,
    SeenAs,
    bind,
    from_zero,
    law_from_dict,
    ranges_of,
    to_dict,
    to_vary,
)
from bayes_scaling.laws._ranges import Misfit, misfits
from bayes_scaling.laws._search import (
    best_split,
    has_isoquants,
    irreducible,
    search_split,
    splits,
    tokens_to,
)
from bayes_scaling.laws.annealing import Annealing
from bayes_scaling.laws.average import Average
from bayes_scaling.laws.batch import CriticalBatch
from bayes_scaling.laws.coupled import Coupled
from bayes_scaling.laws.held import Held
from bayes_scaling.laws.isoflop import IsoFlop
from bayes_scaling.laws.joint import Chinchilla, KaplanND
from bayes_scaling.laws.noise_scale import NoiseScale
from bayes_scaling.laws.repetition import Repetition
from bayes_scaling.laws.sampling import Coverage
from bayes_scaling.laws.single import M4, BrokenPowerLaw, PowerLaw
from bayes_scaling.laws.steps import KaplanNS
from bayes_scaling.laws.trend import TimeTrend
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
    "Coverage",
    "CriticalBatch",
    "HasDerived",
    "HasFloor",
    "HasIsoquant",
    "HasLatents",
    "HasOptimum",
    "HasRanges",
    "HasScatter",
    "HasShares",
    "HasSteady",
    "HasSweeps",
    "HasZeros",
    "Held",
    "IsoFlop",
    "KaplanND",
    "KaplanNS",
    "Law",
    "Misfit",
    "Monotone",
    "NoiseScale",
    "PowerLaw",
    "Repetition",
    "SeenAs",
    "TimeTrend",
    "Tuning",
    "best_split",
    "bind",
    "from_zero",
    "has_isoquants",
    "irreducible",
    "law_from_dict",
    "misfits",
    "ranges_of",
    "search_split",
    "splits",
    "to_dict",
    "to_vary",
    "tokens_to",
]
