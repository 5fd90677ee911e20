"""Engines: multi-start optimum, importance-sampled Laplace, NUTS, and the choice between them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "fit": ["fit"],
        "laplace": ["optimise"],
        "many": ["fit_many", "one_of"],
        "optimum": ["Optimum"],
        "prior": ["sample_prior"],
        "sampling": ["Draws", "sample"],
    },
)
