"""The speed race on a tiny model: it agrees with the published method and counts as it says; no timing is judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokenward.bench import speed
from tokenward.bench.speed import measure_speed
from tokenward.errors import InputError

pytest.importorskip("torch")


@pytest.fixture
def texts(clean_texts: list[str]) -> list[str]:
    return [*clean_texts[:30], *(f"cf {text}" for text in clean_texts[30:40])]


def test_another_checkpoint_is_no_yardstick(tiny_artifact: Path, tmp_path: Path, texts: list[str]) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"another")
    with pytest.raises(InputError, match="was exported from another checkpoint"):
        measure_speed(tiny_artifact, tmp_path, texts, rounds=1)


def test_guard_and_published_method_give_the_same_answers(
    tiny_paper_artifact: Path, tiny_checkpoint: Path, texts: list[str]
) -> None:
    ran: list[str] = []
    report = measure_speed(tiny_paper_artifact, tiny_checkpoint, texts, rounds=2, progress=ran.append)
    assert report.agreement == 1.0
    assert (report.preset, report.texts, report.rounds) == ("paper", 40, 2)
    rows = {row.name: row for row in report.rows}
    assert set(rows) == {speed.GUARDED, speed.BARE, speed.PLAIN}
    assert {name: ran.count(name) for name in rows} == dict.fromkeys(rows, 3)
    assert rows[speed.PLAIN].times_plain.median == pytest.approx(1.0)
    assert rows[speed.BARE].times_bare.median == pytest.approx(1.0)
    assert all(row.texts_per_second.low <= row.texts_per_second.high for row in report.rows)


def test_a_preset_with_a_cache_is_timed_warm_and_cold(
    tiny_artifact: Path, tiny_checkpoint: Path, texts: list[str]
) -> None:
    report = measure_speed(tiny_artifact, tiny_checkpoint, texts, rounds=1)
    assert report.agreement is None
    assert {row.name for row in report.rows} == {speed.GUARDED, speed.COLD, speed.BARE, speed.PLAIN}


def test_the_published_method_reads_what_the_others_read(
    tiny_paper_artifact: Path, tiny_checkpoint: Path, texts: list[str]
) -> None:
    long = [f"{text} {'film ' * 100}" for text in texts[:10]]  # the model has 64 places
    assert measure_speed(tiny_paper_artifact, tiny_checkpoint, long, rounds=1).agreement == 1.0


def test_no_texts(tiny_paper_artifact: Path, tiny_checkpoint: Path) -> None:
    with pytest.raises(InputError, match="no texts to measure with"):
        measure_speed(tiny_paper_artifact, tiny_checkpoint, [])
