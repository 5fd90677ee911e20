"""The three ways the field estimates an allocation, repeated and judged."""

from bayes_scaling.methods.compare import three_ways
from bayes_scaling.methods.effects import effects
from bayes_scaling.methods.envelope import approach1
from bayes_scaling.methods.frontier import frontier
from bayes_scaling.methods.parabola import ParabolaBiasWarning, approach2, parabola_bias
from bayes_scaling.methods.valleys import valleys

__all__ = [
    "ParabolaBiasWarning",
    "approach1",
    "approach2",
    "effects",
    "frontier",
    "parabola_bias",
    "three_ways",
    "valleys",
]
