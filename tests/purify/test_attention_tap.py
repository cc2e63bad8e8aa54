"""The tap hears exactly the maps that transformers reports, layer by layer, in every family."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from tokenward.errors import InputError
from tokenward.purify.attention_tap import AttentionTap

BERT_LIKE = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
}
CONFIGS: dict[str, Any] = {
    "bert": transformers.BertConfig(**BERT_LIKE),
    "roberta": transformers.RobertaConfig(**BERT_LIKE),
    "distilbert": transformers.DistilBertConfig(vocab_size=50, dim=32, n_layers=3, n_heads=4, hidden_dim=48),
    "albert": transformers.AlbertConfig(**BERT_LIKE, embedding_size=16),
    "electra": transformers.ElectraConfig(**BERT_LIKE),
    "deberta-v2": transformers.DebertaV2Config(**BERT_LIKE, relative_attention=True),
    "mpnet": transformers.MPNetConfig(**BERT_LIKE),
    "modernbert": transformers.ModernBertConfig(
        **BERT_LIKE, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2
    ),
}


@pytest.mark.parametrize("family", CONFIGS)
def test_the_maps_are_those_reported(family: str) -> None:
    torch.manual_seed(0)
    model = transformers.AutoModelForSequenceClassification.from_config(CONFIGS[family]).eval()
    tap = AttentionTap(model)
    assert tap.layers == 3
    ids = torch.randint(3, 50, (2, 9))
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    heard: list[torch.Tensor] = []
    with torch.no_grad():
        reported = model(input_ids=ids, attention_mask=mask, output_attentions=True).attentions
        with tap.listening(heard.append):
            model(input_ids=ids, attention_mask=mask, **tap.options)
        model(input_ids=ids, attention_mask=mask)  # nobody listens any more
    assert len(heard) == 3
    for expected, got in zip(reported, heard, strict=True):
        assert got.shape == (2, 4, 9, 9)
        torch.testing.assert_close(got, expected)


def test_a_model_that_reports_maps_none_of_its_parts_returns_is_refused() -> None:
    config = transformers.XLNetConfig(vocab_size=50, d_model=32, n_layer=1, n_head=2, d_inner=64, pad_token_id=0)
    with pytest.raises(
        InputError, match="XLNetForSequenceClassification reports attentions that cannot be listened to"
    ):
        AttentionTap(transformers.XLNetForSequenceClassification(config).eval())


def test_a_model_without_attention_is_refused() -> None:
    class Plain(torch.nn.Module):
        device = torch.device("cpu")

        def set_attn_implementation(self, kind: str) -> None: ...

        def forward(self, input_ids: torch.Tensor, **_: Any) -> dict[str, torch.Tensor]:
            return {"logits": input_ids.float()}

    with pytest.raises(InputError, match="Plain does not report attentions"):
        AttentionTap(Plain())
