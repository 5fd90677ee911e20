"""Bayesian scaling laws: from a table of training runs to a compute-optimal plan."""

__version__ = "0.1.0"
