from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from tokenward.bench.alternation import Spread
from tokenward.bench.triton import IN_PROCESS, TRITON_GRPC, HopRow, TritonReport
from tokenward.cli.triton_table import triton_table


@pytest.mark.parametrize(("share", "word"), [(0.81, "reached"), (0.52, "missed")])
def test_a_row_per_way_and_the_target(share: float, word: str) -> None:
    rows = (
        HopRow(IN_PROCESS, 32, Spread(390, 400, 410), Spread(1, 1, 1), (70.0, 90.0, 99.0)),
        HopRow(TRITON_GRPC, 1, Spread(80, 90, 95), Spread(0.1, 0.2, 0.3), (9.0, 11.0, 12.0)),
        HopRow(TRITON_GRPC, 32, Spread(310, 324, 330), Spread(0.5, share, 0.9), (90.0, 120.0, 130.04)),
    )
    console = Console(width=160, record=True, file=StringIO())
    console.print(triton_table(TritonReport(rows, 400, 3, 2)))
    text = " ".join(console.export_text().split())
    assert f"Triton, gRPC 32 324 {share} (0.50–0.90) 90.0 120.0 130.0" in text
    assert f"at the most clients: {share} of in process (target 0.7: {word})" in text
