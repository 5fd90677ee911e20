"""The protocols' gates, on the real table: the same code as `python -m benchmarks`."""

import pytest

from benchmarks import p1, p2, p3
from tests.helpers import needs_real_tables


@needs_real_tables
@pytest.mark.parametrize("protocol", [p1, p2, p3], ids=["P1", "P2", "P3"])
def test_protocol(protocol):
    report = protocol.run()
    assert report.verdict == "PASS", report.markdown()
