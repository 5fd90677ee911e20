"""The equations: one file per family, one place per equation."""

from bayes_scaling.laws._protocol import (
    LAWS,
    Anchored,
    HasDerived,
    HasFloor,
    HasIsoquant,
    HasKnown,
    HasLatents,
    HasOptimum,
    HasRanges,
    HasScatter,
    HasShares,
    HasSweeps,
    HasUpstream,
    HasUsual,
    HasZeros,
    Law,
    Monotone,
    bind,
    from_zero,
    law_from_dict,
    ranges_of,
    to_dict,
)
from bayes_scaling.laws._ranges import misfits
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
from bayes_scaling.laws.emergence import Emergence, SigmoidCompute
from bayes_scaling.laws.held import Held
from bayes_scaling.laws.isoflop import IsoFlop
from bayes_scaling.laws.joint import Chinchilla, KaplanND
from bayes_scaling.laws.noise_scale import NoiseScale
from bayes_scaling.laws.repetition import Repetition
from bayes_scaling.laws.single import M4, BrokenPowerLaw, PowerLaw
from bayes_scaling.laws.steps import KaplanNS
from bayes_scaling.laws.tasks import GadreError, Ladder
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
    "Emergence",
    "GadreError",
    "HasDerived",
    "HasFloor",
    "HasIsoquant",
    "HasKnown",
    "HasLatents",
    "HasOptimum",
    "HasRanges",
    "HasScatter",
    "HasShares",
    "HasSweeps",
    "HasUpstream",
    "HasUsual",
    "HasZeros",
    "Held",
    "IsoFlop",
    "KaplanND",
    "KaplanNS",
    "Ladder",
    "Law",
    "Monotone",
    "NoiseScale",
    "PowerLaw",
    "Repetition",
    "SigmoidCompute",
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
    "tokens_to",
]
