"""Do intervals contain the truth as often as they say?

Over 100 tables whose truth is drawn from the prior, a 90 % interval of an exact posterior covers it
Binomial(100, 0.9) times: mean 90, sd 3.
"""

import numpy as np
import pandas as pd
import pytest
import scipy.stats as st

import bayes_scaling as bs
from bayes_scaling.param import Prior

TABLES = 100
NAMES = ("E", "a0", "b0", "alpha", "beta", "sigma", "nu")
