from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from tokenward.export.assembly import guard_graph
from tokenward.export.discovery import discover
from tokenward.export.names import GATE, OUTPUTS, free_names
from tokenward.export.presets import ExportSettings, plan
from tokenward.export.session import run_graph, serving_session

BODY = """
    gate = Exp(x)
    suspect = If(c) <
        then_branch = t () => (float[N] scored) { scored = Mul(gate, saliency) },
        else_branch = e () => (float[N] other) { other = Neg(gate) }
    >
    y = Identity(suspect)
"""


def test_values_everywhere_give_way_but_inputs() -> None:
    model = ir.from_onnx_text(
        f'<ir_version: 10, opset_import: ["": 20]> g (float[N] x, bool c) => (float[N] y) {{ {BODY} }}',
        initializers=[ir.tensor(np.array(2, np.float32), name="saliency")],
    )
    free_names(model.graph, (*OUTPUTS, GATE, "x"))
    assert [value.name for value in model.graph.inputs] == ["x", "c"]
    names = {v.name for node in model.graph.all_nodes() for v in node.outputs} | set(model.graph.initializers)
    assert names == {"source/gate", "source/suspect", "source/scored", "source/saliency", "other", "y"}


@pytest.mark.parametrize("name", ["logits", "gate", "saliency"])
def test_a_graph_that_uses_a_name_of_the_contract_itself(name: str, tiny, table, tmp_path: Path) -> None:
    model = tiny("bert").graph()
    layout = discover(model.graph)
    layout.logits.name = "answer"
    layout.attention[1].input.name = name
    guard_graph(model, layout, plan(ExportSettings("paper"), 2), table)
    ir.save(model, tmp_path / "graph.onnx")
    feed = {"input_ids": np.array([[5, 6, 7]]), "attention_mask": np.ones((1, 3), np.int64)}
    expected = run_graph(serving_session(tiny("bert").path), feed)["logits"]
    np.testing.assert_allclose(
        run_graph(serving_session(tmp_path / "graph.onnx"), feed)["logits"], expected, rtol=1e-4, atol=1e-5
    )
