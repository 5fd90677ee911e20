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
from .decision import allocate, compute_to_reach, iso_loss
from .inference import fit, fit_many, one_of, sample, sample_prior
from .laws import LAWS, Chinchilla, KaplanND
from .model import Pooling, ScalingModel
from .observations import OBSERVATIONS, Normal, StudentT, UnderTuned
from .param import Param, Prior
from .predict import predict
from .priors import elicit
from .results import intervals, open_fit, save_fit
from .trust import UntrustedFitWarning

__version__: str
__all__ = [
    "LAWS",
    "OBSERVATIONS",
    "Chinchilla",
    "KaplanND",
    "Normal",
    "Param",
    "Pooling",
    "Prior",
    "ScalingModel",
    "StudentT",
    "UnderTuned",
    "UntrustedFitWarning",
    "allocate",
    "bootstrap",
    "calibrate",
    "check",
    "compute_to_reach",
    "describe_dataset",
    "elicit",
    "exact_loo",
    "fetch_dataset",
    "fit",
    "fit_many",
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
    "plots",
    "predict",
    "predictive_p",
    "read_runs",
    "reproduce",
    "sample",
    "sample_prior",
    "save_fit",
    "simulate",
    "summary",
]
