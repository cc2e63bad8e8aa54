from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor

from tests.export.own import OwnClassifier, exported
from tokenward.artifact import load_artifact
from tokenward.errors import ExportError
from tokenward.export.session import run_graph, serving_session


def test_a_choice_by_a_length_that_is_always_one(tmp_path: Path) -> None:
    model = OwnClassifier("one")
    out = exported(model, tmp_path)
    assert "If" in {node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node}
    assert load_artifact(out).guard.graph.pooling == "class"
    ids = np.array([[1, 20, 30, 2], [1, 40, 2, 0]])
    mask = (ids > 0).astype(np.int64)
    logits = run_graph(serving_session(out / "model.onnx"), {"input_ids": ids, "attention_mask": mask})["logits"]
    with torch.no_grad():
        np.testing.assert_allclose(logits, model(torch.from_numpy(ids), torch.from_numpy(mask)), atol=1e-5)


def louder(x: Tensor, ids: Tensor) -> Tensor:
    if bool(ids[0, 0] > 50):
        return x * 2
    return x


class Choosing(OwnClassifier):
    """Its layer is louder where the first token is of the later half of the vocabulary."""

    def _layer(self, parts: torch.nn.Module, x: Tensor, mask: Tensor) -> Tensor:
        return self.louder(super()._layer(parts, x, mask), self.ids)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        self.ids, self.louder = ids, torch.jit.script(louder)  # traced, one way would be taken for all texts
        return super().forward(ids, mask)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
def test_a_choice_by_the_text(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"node '.*' \(If\) chooses by the texts how to go on"):
        exported(Choosing(), tmp_path)
