from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch

from tests.export.own import OwnClassifier, traced
from tokenward.errors import ExportError
from tokenward.export.discovery import Hints, discover
from tokenward.export.ground_truth import AutogradTruth, DifferencesTruth
from tokenward.export.onnx_source import read_onnx


@pytest.mark.parametrize("layer", [0, 1])
def test_differences_agree_with_autograd(layer: int, tiny, tmp_path: Path) -> None:
    model = tiny("bert")
    plain = model.graph()
    differences = DifferencesTruth(plain, discover(plain.graph), layer, tmp_path)
    feed = {
        "input_ids": np.array([[11, 12, 13, 14], [21, 22, 0, 0]]),
        "attention_mask": np.array([[1] * 4, [1, 1, 0, 0]]),
    }
    measured, exact = differences(feed), AutogradTruth(model.source, layer)(feed)
    np.testing.assert_allclose(measured.logits, exact.logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(measured.probabilities, exact.probabilities, atol=1e-5)
    np.testing.assert_allclose(measured.saliency, exact.saliency, rtol=1e-3, atol=1e-4)
    assert (exact.saliency[1, 2:] == 0).all()
    assert (exact.saliency[0] > 0).all()


def test_differences_are_exact_where_the_logits_curve(tmp_path: Path) -> None:
    """Without residuals and normalisation, layers of large weights bend logits within the width of a step."""
    model = OwnClassifier(layers=3, residual=False)
    for weights in model.parameters():
        torch.nn.init.normal_(weights, 0.0, 1.3)
    read = read_onnx(traced(model, tmp_path / "model.onnx"), Hints())
    layout = discover(read.graph)
    truth = DifferencesTruth(read, layout, 0, tmp_path)
    ids, mask = torch.tensor([[11, 12, 13, 14], [21, 22, 23, 24]]), torch.ones(2, 4, dtype=torch.long)
    embedded: list[torch.Tensor] = []
    model.embedding.register_forward_hook(lambda *call: embedded.append(call[-1]))
    logits = model(ids, mask)
    (gradient,) = torch.autograd.grad(logits.max(dim=-1).values.sum(), embedded[0])
    measured = truth({"input_ids": ids.numpy(), "attention_mask": mask.numpy()}).saliency
    expected = gradient.norm(dim=-1).numpy()
    assert np.abs(measured - expected).max() < 1e-3 * expected.max()


def test_differences_know_how_little_they_can_show(tiny, tmp_path: Path) -> None:
    """A constant beside the logits moves no gradient, but takes the digits in which it would show."""
    model = tiny("bert")
    noises = []
    for offset in (0.0, 1e6):
        plain = model.graph()
        bias = next(v for name, v in plain.graph.initializers.items() if name.endswith("classifier.bias"))
        bias.const_value = ir.tensor(bias.const_value.numpy() + np.float32(offset), name=bias.name)
        truth = DifferencesTruth(plain, discover(plain.graph), 0, tmp_path)
        feed = {"input_ids": np.array([[11, 12, 13]]), "attention_mask": np.ones((1, 3), np.int64)}
        measured, exact = truth(feed), AutogradTruth(model.source, 0)(feed)
        assert np.abs(measured.saliency - exact.saliency).max() < measured.noise + 1e-2 * exact.saliency.max()
        noises.append(measured.noise / exact.saliency.max())
    assert noises[0] < 1e-3
    assert noises[1] > 1


def test_a_source_that_fails_or_hides_its_attention_is_one_line(tiny) -> None:
    feed = {"input_ids": np.array([[100]]), "attention_mask": np.ones((1, 1), np.int64)}
    with pytest.raises(ExportError, match="the source model itself fails on a batch of texts") as raised:
        AutogradTruth(tiny("bert").source, 0)(feed)
    assert "\n" not in str(raised.value)


def test_autograd_is_that_of_the_predicted_logit(tiny) -> None:
    model = tiny("bert")
    ids = torch.arange(10, 16)[None]
    embedded = model.source.module.get_input_embeddings()(ids).detach().requires_grad_()
    logits = model.source.module(inputs_embeds=embedded).logits[0]
    (gradient,) = torch.autograd.grad(logits[logits.argmax()], embedded)
    feed = {"input_ids": ids.numpy(), "attention_mask": np.ones((1, 6), np.int64)}
    np.testing.assert_allclose(AutogradTruth(model.source, 0)(feed).saliency, gradient.norm(dim=-1).numpy(), rtol=1e-4)
