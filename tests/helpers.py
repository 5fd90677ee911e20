"""What tests of several folders share beside fixtures."""

import os

import pytest

needs_real_tables = pytest.mark.skipif(
    not os.environ.get("BAYES_SCALING_DATA"),
    reason="BAYES_SCALING_DATA is not set to a folder with the real tables",
)
