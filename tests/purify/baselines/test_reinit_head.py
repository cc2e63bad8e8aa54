"""Re-initialising touches the head and nothing else, by the seed."""

from __future__ import annotations

import torch
import transformers

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


def test_a_layer_without_bias() -> None:
    config = transformers.ModernBertConfig(
        vocab_size=8,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        pad_token_id=0,
        classifier_bias=False,
    )
    model = transformers.ModernBertForSequenceClassification(config)
    assert model.head.dense.bias is None
    before = model.head.dense.weight.clone()
    reinitialise_head(model, 0)
    assert not torch.equal(model.head.dense.weight, before)
