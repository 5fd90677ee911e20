"""Bayesian scaling laws: from a table of training runs to a compute-optimal plan.

Everything public is here and loaded when it is first used: importing the package costs nothing.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["plots"],
    submod_attrs={
        "cards": ["list_models", "load_model", "load_posterior", "reproduce"],
        "criticism": ["check", "predictive_p"],
        "data.datasets": ["describe_dataset", "fetch_dataset", "list_datasets", "load_dataset"],
        "data.read": ["read_runs"],
        "data.simulate": ["simulate"],
        "data.summary": ["summary"],
        "decision": ["allocate", "compute_to_reach", "iso_loss"],
        "inference": ["fit", "sample", "sample_prior"],
        "laws": ["LAWS", "Chinchilla", "KaplanND"],
        "model": ["Pooling", "ScalingModel"],
        "observations": ["OBSERVATIONS", "Normal", "StudentT", "UnderTuned"],
        "param": ["Param", "Prior"],
        "predict": ["predict"],
        "priors": ["elicit"],
        "results": ["intervals", "open_fit", "save_fit"],
        "trust": ["UntrustedFitWarning"],
    },
)
