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
    HasShareSlopes,
    HasSteady,
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
    to_vary,
)
from bayes_scaling.laws._ranges import Misfit, misfits
from bayes_scaling.laws._search import (
    best_split,
    has_isoquants,
    irreducible,
    search_size,
    search_split,
    splits,
    tokens_to,
)
from bayes_scaling.laws.annealing import Annealing
from bayes_scaling.laws.asymptote import Asymptote
from bayes_scaling.laws.average import Average
from bayes_scaling.laws.batch import CriticalBatch
from bayes_scaling.laws.coupled import Coupled
from bayes_scaling.laws.emergence import Emergence, SigmoidCompute
from bayes_scaling.laws.exchange import TestTime
from bayes_scaling.laws.experts import ClarkMoE, Routed
from bayes_scaling.laws.experts_joint import MoEJoint
from bayes_scaling.laws.filtering import Filtering
from bayes_scaling.laws.granularity import MoEGranular
from bayes_scaling.laws.held import Held, PerDraw
from bayes_scaling.laws.isoflop import IsoFlop
from bayes_scaling.laws.joint import Chinchilla, KaplanND
from bayes_scaling.laws.mixtures import MixingExp, MixingScale
from bayes_scaling.laws.noise_scale import NoiseScale
from bayes_scaling.laws.repetition import DataConstrained, Repetition
from bayes_scaling.laws.sampling import Coverage
from bayes_scaling.laws.single import M4, BrokenPowerLaw, PowerLaw
from bayes_scaling.laws.sparsity import MoESparsity
from bayes_scaling.laws.steps import KaplanNS
from bayes_scaling.laws.tasks import GadreError, Ladder
from bayes_scaling.laws.trend import TimeTrend
from bayes_scaling.laws.tuning import Tuning

__all__ = [
    "LAWS",
    "M4",
    "Anchored",
    "Annealing",
    "Asymptote",
    "Average",
    "BrokenPowerLaw",
    "Chinchilla",
    "ClarkMoE",
    "Coupled",
    "Coverage",
    "CriticalBatch",
    "DataConstrained",
    "Emergence",
    "Filtering",
    "GadreError",
    "HasDerived",
    "HasFloor",
    "HasIsoquant",
    "HasKnown",
    "HasLatents",
    "HasOptimum",
    "HasRanges",
    "HasScatter",
    "HasShareSlopes",
    "HasShares",
    "HasSteady",
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
    "Misfit",
    "MixingExp",
    "MixingScale",
    "MoEGranular",
    "MoEJoint",
    "MoESparsity",
    "Monotone",
    "NoiseScale",
    "PerDraw",
    "PowerLaw",
    "Repetition",
    "Routed",
    "SigmoidCompute",
    "TestTime",
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
    "search_size",
    "search_split",
    "splits",
    "to_dict",
    "to_vary",
    "tokens_to",
]
