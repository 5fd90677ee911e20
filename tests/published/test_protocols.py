"""The protocols' gates: the same code as `python -m benchmarks`."""

import pytest

from benchmarks import p1, p2, p3, p5, p8, p9
from tests.helpers import needs_real_tables


@needs_real_tables
@pytest.mark.parametrize("protocol", [p1, p2, p3, p9], ids=["P1", "P2", "P3", "P9"])
def test_protocol_on_a_real_table(protocol):
    report = protocol.run()
    assert report.verdict == "PASS", report.markdown()


@pytest.mark.parametrize("protocol", [p5, p8], ids=["P5", "P8"])
def test_protocol_on_simulated_tables(protocol):
    report = protocol.run()
    assert report.verdict == "PASS", report.markdown()
