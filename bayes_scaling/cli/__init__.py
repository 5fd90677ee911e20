"""The command line: parse, call the public function, print. Help is the commands' docstrings."""

import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from cyclopts import App, CycloptsError

from bayes_scaling import __version__
from bayes_scaling._terminal import complain, flush
from bayes_scaling.cli.asking import allocate, predict
from bayes_scaling.cli.backtesting import backtest
from bayes_scaling.cli.comparing import compare, speedup
from bayes_scaling.cli.deciding import decide, gate, next_
from bayes_scaling.cli.demo import demo
from bayes_scaling.cli.fitting import check, fit
from bayes_scaling.cli.settings import recommend
from bayes_scaling.cli.shelf import data, models
from bayes_scaling.errors import BayesScalingError

DONE, MISUSED = 0, 1  # and UNTRUSTED, 2, which the commands return
HELP = """Bayesian scaling laws: from a table of training runs to a plan with its uncertainty.

Start with `bayes-scaling demo`; then `fit` a table, `check` the fit, `predict`, `allocate` and
`decide`.
"""
STATUS = """\
Exit status: 0 done; 1 an error of use, written to standard error; 2 done, but a check says FAIL
or the fit that was used is not to be trusted."""

app = App(
    name="bayes-scaling",
    help=HELP,
    help_epilogue=STATUS,
    help_format="markdown",
    version=__version__,
)
ASKING = (
    fit, check, compare, backtest, predict, allocate, speedup, recommend, decide, next_, gate
)  # fmt: skip
COMMANDS = demo, *ASKING  # in order of use
for place, command in enumerate(COMMANDS):
    app.command(
        command, name=command.__name__.rstrip("_"), sort_key=place
    )  # in the order of use, not of the alphabet
app.command(data)
app.command(models)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process without it.

    Returns
    -------
    int
        The exit status: 0 done, 1 an error of use, 2 a FAIL or a fit that is not to be trusted.

    Examples
    --------
    >>> from bayes_scaling.cli import main
    >>> main(["data", "fetch", "nine-runs"])
    nine-runs ships with the package: there is nothing to download
    0
    """
    with warnings.catch_warnings():
        warnings.showwarning = _warn
        try:
            status = app(
                sys.argv[1:] if argv is None else list(argv),
                exit_on_error=False,
                result_action="return_value",
            )
            flush()
        except CycloptsError:  # which cyclopts has printed, with what was meant
            return MISUSED
        except BrokenPipeError:  # `| head` has read enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return MISUSED
        except (BayesScalingError, OSError) as error:
            complain("error", error)
            return MISUSED
    return status or DONE


def _warn(message: Any, *_: Any, **__: Any) -> None:
    complain("warning", message)
