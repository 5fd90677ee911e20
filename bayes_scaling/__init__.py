"""Bayesian scaling laws: from a table of training runs to a compute-optimal plan.

Everything public is listed in ``__init__.pyi`` and loaded when it is first used: importing the
package costs nothing.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
