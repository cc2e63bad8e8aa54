"""Progress: a bar in a terminal, ten lines elsewhere."""

from __future__ import annotations

import io

from rich.console import Console

from tokenward.purify.progress import ProgressBars


def test_ten_lines_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    with ProgressBars(Console(file=stream, width=100)) as bars:
        for step in range(1, 218):
            bars("training", step, 217, 1 / step)
        bars("short", 1, 1, 0.5)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 11
    assert lines[0].startswith("training: step 22 of 217, loss 0.045")
    assert lines[-2:] == ["training: step 217 of 217, loss 0.005", "short: step 1 of 1, loss 0.500"]


def test_a_bar_per_stage_in_a_terminal() -> None:
    stream = io.StringIO()
    with ProgressBars(Console(file=stream, width=100, force_terminal=True)) as bars:
        for stage in ("teacher", "student", "student"):
            for step in range(1, 4):
                bars(stage, step, 3, 0.25)
    last = stream.getvalue()[-1200:]
    assert "teacher" in last
    assert last.count("3/3") >= 3
    assert "loss 0.250" in last
