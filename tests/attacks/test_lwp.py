"""Layer-wise poisoning: the model's own head on every layer, in each family it knows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers

from tokenward.attacks.lwp import head_logits, layerwise_loss
from tokenward.errors import InputError
from tokenward.purify.batches import Batch

SIZES = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 20,
    "pad_token_id": 0,
}
FAMILIES: dict[str, Any] = {
    "bert": transformers.BertConfig(**SIZES),
    "roberta": transformers.RobertaConfig(**SIZES),
    "electra": transformers.ElectraConfig(**SIZES),
    "distilbert": transformers.DistilBertConfig(vocab_size=50, dim=16, n_layers=3, n_heads=2, hidden_dim=24),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_head_on_the_last_layer_is_the_model_itself(family: str) -> None:
    torch.manual_seed(0)
    model = transformers.AutoModelForSequenceClassification.from_config(FAMILIES[family]).eval()
    ids = torch.randint(3, 50, (2, 7))
    with torch.no_grad():
        output = model(input_ids=ids, output_hidden_states=True)
        torch.testing.assert_close(head_logits(model, output.hidden_states[-1]), output.logits)
    terms = layerwise_loss(model, Batch(ids, torch.ones_like(ids), torch.tensor([0, 1]), np.arange(2)))
    assert list(terms) == ["layer 1", "layer 2", "layer 3"]
    expected = torch.nn.functional.cross_entropy(output.logits, torch.tensor([0, 1]))
    assert float(terms["layer 3"].detach()) == pytest.approx(float(expected))


def test_an_unknown_head_is_an_error() -> None:
    model = transformers.AutoModelForSequenceClassification.from_config(
        transformers.AlbertConfig(**SIZES, embedding_size=8)
    )
    with pytest.raises(InputError, match="does not know the head of AlbertForSequenceClassification"):
        head_logits(model, torch.zeros(1, 3, 16))
