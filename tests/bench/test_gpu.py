"""The GPU benchmark's bookkeeping; its figures need a GPU."""

from __future__ import annotations

import csv
import statistics
from pathlib import Path

import pytest
import torch

from tokenward.bench import gpu
from tokenward.bench.gpu_plot import draw
from tokenward.bench.gpu_systems import BARE, GUARDED, SIZES, forward_flops, guarded_flops


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_and_measures_nothing(capsys: pytest.CaptureFixture[str]):
    before = gpu.RESULTS.read_bytes() if gpu.RESULTS.exists() else None
    gpu.main()
    assert capsys.readouterr().out == "no NVIDIA GPU here: nothing was measured\n"
    assert (gpu.RESULTS.read_bytes() if gpu.RESULTS.exists() else None) == before


def test_the_file_grows_and_keeps_its_header(tmp_path: Path):
    path = tmp_path / "gpu.csv"
    for texts in (1, 8):
        gpu.record(path, [{"model": "BERT-base", "texts": texts, "tokens": 32, "system": BARE, "p50_ms": 1.23456}])
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["texts"] for row in rows] == ["1", "8"]
    assert rows[0]["p50_ms"] == "1.235"
    assert rows[0]["peak_mib"] == ""  # a run that did not fit into memory has no figures
    assert rows[0]["torch"] == torch.__version__


def test_percentiles_are_in_milliseconds():
    found = gpu.percentiles(x / 1000 for x in range(101))
    assert list(found.values()) == pytest.approx([20, 50, 80])
    assert found["p50_ms"] == statistics.median(range(101))


def test_operations_of_a_forward_pass():
    """BERT-base has 85 million weights in its layers, two operations each per token; attention adds little at 32."""
    count = forward_flops(SIZES["BERT-base"], 1, 32)
    assert count / 32 == pytest.approx(2 * 85e6, rel=0.03)
    assert 2 < guarded_flops(SIZES["BERT-base"], 8, 512) / forward_flops(SIZES["BERT-base"], 8, 512) < 2.5


def test_the_picture_shows_the_latest_figures(tmp_path: Path):
    path = tmp_path / "gpu.csv"
    for ms in (1.0, 2.0):
        for system in (BARE, GUARDED):
            row = {"model": "BERT-base", "texts": 8, "tokens": 32, "system": system}
            gpu.record(path, [{**row, "p50_ms": ms if system == BARE else 3.0}, {**row, "texts": 64}])
    draw(path, tmp_path / "gpu.png")
    assert (tmp_path / "gpu.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["gpu.csv", "gpu.png"]
