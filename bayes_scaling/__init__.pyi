from . import plots as plots
from .cards import list_models, load_model, load_posterior, reproduce
from .criticism import (
    bootstrap,
    calibrate,
    check,
    exact_loo,
    kfold,
    leave_future_out,
    predictive_p,
)
from .data.datasets import describe_dataset, fetch_dataset, list_datasets, load_dataset
from .data.read import read_runs
from .data.simulate import simulate
from .data.summary import summary
from .decision import (
    Transformers,
    allocate,
    batch_tradeoff,
    compute_to_reach,
    critical_batch,
    iso_loss,
    rates,
    recount,
    saturation,
    size_penalty,
    size_to_reach,
    step_allocation,
)
from .inference import fit, fit_many, one_of, sample, sample_prior
from .laws import (
    LAWS,
    M4,
    BrokenPowerLaw,
    Chinchilla,
    CriticalBatch,
    IsoFlop,
    KaplanND,
    KaplanNS,
    PowerLaw,
)
from .methods import (
    ParabolaBiasWarning,
    approach1,
    approach2,
    effects,
    frontier,
    parabola_bias,
    three_ways,
    valleys,
)
from .model import Pooling, ScalingModel
from .observations import OBSERVATIONS, Censored, Normal, StudentT, UnderTuned
from .param import Param, Prior
from .predict import predict
from .priors import elicit
from .results import intervals, open_fit, save_fit
from .trust import UntrustedFitWarning

__version__: str
__all__ = [
    "LAWS",
    "M4",
    "OBSERVATIONS",
    "BrokenPowerLaw",
    "Censored",
    "Chinchilla",
    "CriticalBatch",
    "IsoFlop",
    "KaplanND",
    "KaplanNS",
    "Normal",
    "ParabolaBiasWarning",
    "Param",
    "Pooling",
    "PowerLaw",
    "Prior",
    "ScalingModel",
    "StudentT",
    "Transformers",
    "UnderTuned",
    "UntrustedFitWarning",
    "allocate",
    "approach1",
    "approach2",
    "batch_tradeoff",
    "bootstrap",
    "calibrate",
    "check",
    "compute_to_reach",
    "critical_batch",
    "describe_dataset",
    "effects",
    "elicit",
    "exact_loo",
    "fetch_dataset",
    "fit",
    "fit_many",
    "frontier",
    "intervals",
    "iso_loss",
    "kfold",
    "leave_future_out",
    "list_datasets",
    "list_models",
    "load_dataset",
    "load_model",
    "load_posterior",
    "one_of",
    "open_fit",
    "parabola_bias",
    "plots",
    "predict",
    "predictive_p",
    "rates",
    "read_runs",
    "recount",
    "reproduce",
    "sample",
    "sample_prior",
    "saturation",
    "save_fit",
    "simulate",
    "size_penalty",
    "size_to_reach",
    "step_allocation",
    "summary",
    "three_ways",
    "valleys",
]
