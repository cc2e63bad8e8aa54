from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from tokenward.export.assembly import guard_graph
from tokenward.export.discovery import discover
from tokenward.export.half import sum_in_single, to_half
from tokenward.export.presets import ExportSettings, plan
from tokenward.export.session import run_graph, serving_session


@pytest.mark.parametrize("name", ["bert", "deberta-v2"])
@pytest.mark.parametrize("preset", ["paper", "tokenward"])
def test_outputs_stay_single_and_close(name: str, preset, tiny, table, tmp_path: Path) -> None:
    outputs = []
    rng = np.random.default_rng(0)
    mask = np.where(np.arange(12) < [[12], [5], [1]], 1, 0)
    feed = {"input_ids": np.where(mask == 1, rng.integers(4, 100, mask.shape), 0), "attention_mask": mask}
    for lower in (False, True):
        model = tiny(name).graph()
        layout = discover(model.graph)
        if lower:
            layout = to_half(model, layout)
        guard_graph(model, layout, plan(ExportSettings(preset), 2), table)
        if lower:
            sum_in_single(model)
        ir.save(model, tmp_path / "graph.onnx")
        outputs.append(run_graph(serving_session(tmp_path / "graph.onnx"), feed))
    full, half = outputs
    for output, expected in full.items():
        assert half[output].dtype == expected.dtype
        if expected.dtype == np.float32:
            assert np.isfinite(half[output]).all()
            assert np.abs(half[output] - expected).max() <= 2e-2 * np.abs(expected).max(), output
    assert np.abs(half["logits"] - full["logits"]).max() > 0, "nothing was converted"
    np.testing.assert_array_equal(half["scored"], full["scored"])


def test_weights_are_stored_in_half(tiny) -> None:
    model = tiny("bert").graph()
    to_half(model, discover(model.graph))
    products = [node for node in model.graph if node.op_type in ("MatMul", "Gemm")]
    weights = [node.inputs[1] for node in products if node.inputs[1].is_initializer()]
    assert len(weights) == 2 * 6 + 2  # six products in each of two layers, pooler and classifier
    assert {value.const_value.dtype for value in weights} == {ir.DataType.FLOAT16}


def test_weights_beyond_the_range_of_half_precision_are_clipped(tiny) -> None:
    model = tiny("bert").graph()
    layout = discover(model.graph)
    weights = layout.table.const_value.numpy().copy()
    weights[0, 0] = 1e6
    layout.table.const_value = ir.tensor(weights, name=layout.table.name)
    half = to_half(model, layout)
    assert half.embedding.producer().inputs[0].const_value.numpy()[0, 0] == np.finfo(np.float16).max
