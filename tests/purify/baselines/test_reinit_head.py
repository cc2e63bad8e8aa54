"""Re-initialising touches the head and nothing else, by the seed."""

from __future__ import annotations

import torch

from tokenward.purify.baselines.reinit_head import reinitialise_head
from tokenward.purify.checkpoint import Classifier


def test_only_the_head_is_drawn_anew(classifier: Classifier) -> None:
    before = {name: tensor.clone() for name, tensor in classifier.model.state_dict().items()}
    reinitialise_head(classifier.model, 0)
    after = {name: tensor.clone() for name, tensor in classifier.model.state_dict().items()}
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    pooler = {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}
    assert moved == {"classifier.weight", "classifier.bias"} | pooler
    assert 0.01 < float(after["bert.pooler.dense.weight"].std()) < 0.03
    reinitialise_head(classifier.model, 0)
    assert torch.equal(classifier.model.classifier.weight, after["classifier.weight"])
    reinitialise_head(classifier.model, 1)
    assert not torch.equal(classifier.model.classifier.weight, after["classifier.weight"])
