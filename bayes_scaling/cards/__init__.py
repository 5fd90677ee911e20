"""Model cards: one folder per published fit, `card.toml` and `posterior.nc`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "card": ["Card", "read_card", "write_card"],
        "reproduce": ["Reproduction", "build", "reproduce"],
        "store": [
            "list_models",
            "load_card",
            "load_model",
            "load_posterior",
            "model_rows",
        ],
    },
)
