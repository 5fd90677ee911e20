"""The protocols' gates: the same code as `python -m benchmarks`."""

import pytest

from benchmarks import p1, p2, p3, p5, p8, p9
from tests.helpers import needs_real_tables


@needs_real_tables
@pytest.mark.parametrize(
    "protocol",
    [
        pytest.param(p1, id="P1"),
        pytest.param(p2, id="P2", marks=pytest.mark.slow),
        pytest.param(p3, id="P3", marks=pytest.mark.slow),
        pytest.param(p9, id="P9"),
    ],
)
def test_protocol_on_a_real_table(protocol):
    report = protocol.run()
    assert report.verdict == "PASS", report.markdown()


@pytest.mark.slow
@pytest.mark.parametrize("protocol", [p5, p8], ids=["P5", "P8"])
def test_protocol_on_simulated_tables(protocol):
    report = protocol.run()
    assert report.verdict == "PASS", report.markdown()
