"""Graph costs on a tiny model: what is run is what the names say; no timing is judged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tokenward.errors import InputError

pytest.importorskip("torch")

import onnx_ir as ir

from tokenward.artifact import load_artifact
from tokenward.bench.graph import NARROWED, PLAIN, arriving, measure_graphs, real, shaped
from tokenward.bench.graph_subject import Subject, of_artifact, of_checkpoint
from tokenward.runtime.engine import ALWAYS_SKIP, NEVER_SKIP


@pytest.fixture(scope="module")
def subject(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return of_checkpoint(tiny_checkpoint, tmp_path_factory.mktemp("graphs"), ["fp32", "int8"])


def test_every_preset_is_there_in_every_precision(subject: Subject) -> None:
    gates = {variant.name: variant.gate for variant in subject.variants}
    for precision in ("fp32", "int8"):
        assert gates[f"paper {precision}, every row"] == NEVER_SKIP
        assert gates[f"paper {precision}, gated"] is None
        assert gates[f"late {precision}, every row"] == NEVER_SKIP
        assert gates[f"tokenward {precision}, forward"] == ALWAYS_SKIP
        assert gates[f"tokenward {precision}, padded"] == ALWAYS_SKIP
        assert gates[f"tokenward {precision}, apart"] == ALWAYS_SKIP
    assert len(gates) == 12
    for variant in subject.variants:
        ops = {node.op_type for node in ir.load(variant.path).graph.all_nodes()}
        assert ("MatMulInteger" in ops) == ("int8" in variant.name)
        assert ("If" in ops) == (not variant.name.startswith("late"))


def test_the_yardsticks_are_the_forward_pass_alone(subject: Subject) -> None:
    for path in (subject.plain, subject.narrowed):
        assert [value.name for value in ir.load(path).graph.outputs] == ["logits"]
    plain, narrowed = (len(ir.load(path).graph) for path in (subject.plain, subject.narrowed))
    assert narrowed != plain


def test_a_gate_is_timed_on_texts_alone(subject: Subject, clean_texts: list[str]) -> None:
    work = [shaped(3, 7, subject.vocabulary), real(clean_texts[:40], subject)]
    rows = measure_graphs(subject, work, rounds=1)
    by_name = {(row.workload, row.name): row for row in rows}
    assert len(rows) == (2 + 10) + (2 + 12)
    assert ("3 × 7", "paper fp32, gated") not in by_name
    gated = by_name["40 texts", "paper fp32, gated"]
    assert gated.skipped is not None
    assert 0 < gated.skipped <= 0.95
    assert by_name["40 texts", "paper fp32, every row"].skipped is None
    assert by_name["3 × 7", PLAIN].times_plain.median == pytest.approx(1.0)
    assert by_name["3 × 7", NARROWED].times_narrowed.median == pytest.approx(1.0)


def test_an_artifact_is_timed_as_it_is(tiny_paper_artifact: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    artifact = load_artifact(tiny_paper_artifact)
    variants = of_artifact(artifact, tiny_checkpoint, tmp_path).variants
    assert {variant.path for variant in variants} == {artifact.model_path}
    assert [variant.name for variant in variants] == ["paper fp32, every row", "paper fp32, gated"]


def test_batches_of_a_shape_have_it_and_fill_a_run(subject: Subject) -> None:
    work = shaped(8, 32, subject.vocabulary)
    assert {batch.input_ids.shape for batch in work.batches} == {(8, 32)}
    assert len(work.batches) == 8
    assert len(shaped(64, 64, 30).batches) == 1
    assert all(np.all(batch.attention_mask == 1) for batch in work.batches)


def test_texts_as_they_come_are_padded_and_a_packed_graph_has_fewer_rows(
    subject: Subject, clean_texts: list[str]
) -> None:
    work = arriving([clean_texts[0], " ".join(clean_texts[:3]), *clean_texts[1:10]], subject)
    assert [len(batch.input_ids) for batch in work.batches] == [8, 3]
    assert any((batch.attention_mask == 0).any() for batch in work.batches)
    paths = {variant.name: variant.path for variant in subject.variants}
    packed, padded = (
        sum(
            "tokens" in str(value.shape)
            for node in ir.load(paths[f"tokenward fp32, {way}"]).graph
            for value in node.outputs
        )
        for way in ("forward", "padded")
    )
    assert packed > 0 == padded


def test_nothing_to_run(subject: Subject) -> None:
    with pytest.raises(InputError, match="nothing to run"):
        measure_graphs(subject, [], rounds=1)
