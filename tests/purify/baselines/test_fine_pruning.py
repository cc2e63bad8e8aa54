"""Fine-pruning: activity is the mean over real tokens, and what is pruned stays pruned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from tokenward.errors import InputError
from tokenward.purify.baselines.fine_pruning import FinePruning, activity, feed_forward_pairs, prune
from tokenward.purify.checkpoint import Classifier, load_classifier
from tokenward.purify.training import TrainingSettings
from tokenward.texts import LabelledTexts


def test_feed_forward_blocks_are_found(classifier: Classifier) -> None:
    layers = classifier.model.bert.encoder.layer
    assert feed_forward_pairs(classifier.model) == [(layer.intermediate.dense, layer.output.dense) for layer in layers]


def test_a_gated_encoder_is_refused() -> None:
    config = transformers.ModernBertConfig(
        vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2,
    )  # fmt: skip
    with pytest.raises(InputError, match="no plain feed-forward blocks"):
        feed_forward_pairs(transformers.ModernBertForSequenceClassification(config))


def test_gpt2_keeps_its_projections_transposed() -> None:
    config = transformers.GPT2Config(vocab_size=20, n_embd=16, n_layer=2, n_head=2, n_positions=32)
    torch.manual_seed(0)
    model = transformers.GPT2ForSequenceClassification(config).eval()
    (up, down), second = feed_forward_pairs(model)
    assert (up, down) == (model.transformer.h[0].mlp.c_fc, model.transformer.h[0].mlp.c_proj)
    assert second == (model.transformer.h[1].mlp.c_fc, model.transformer.h[1].mlp.c_proj)
    inner: list[torch.Tensor] = []
    down.register_forward_pre_hook(lambda _, arguments: inner.append(arguments[0]))
    prune(up, down, torch.tensor([3, 60]))
    model.transformer(torch.arange(5)[None])
    silent = inner[0].abs().sum((0, 1)) == 0
    assert silent.nonzero().flatten().tolist() == [3, 60]
    assert (down.weight == 0).all(1).nonzero().flatten().tolist() == [3, 60]


def test_a_model_that_puts_positions_before_texts_is_refused(lexicon_tokenizer: Path) -> None:
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(lexicon_tokenizer), pad_token="[PAD]")
    config = transformers.XLNetConfig(
        vocab_size=len(tokenizer), d_model=32, n_layer=1, n_head=2, d_inner=64, pad_token_id=0
    )
    classifier = Classifier(transformers.XLNetForSequenceClassification(config).eval(), tokenizer)
    texts = classifier.encode(LabelledTexts(("the great film", "a dull story"), (1, 0), ("bad", "good")), 40)
    downs = [down for _, down in feed_forward_pairs(classifier.model)]
    with pytest.raises(InputError, match=r"XLNetForSequenceClassification .* use another purifier"):
        activity(classifier, downs, texts)


def test_activity_is_the_mean_over_real_tokens(classifier: Classifier) -> None:
    data = LabelledTexts(("the great film", "a dull story of the town"), (1, 0), ("bad", "good"))
    texts = classifier.encode(data, 40)
    pairs = feed_forward_pairs(classifier.model)
    seen: list[torch.Tensor] = []
    with torch.no_grad():
        for index in range(2):
            batch = texts.batch(np.array([index]), torch.device("cpu"))
            hidden = classifier.model.bert(**batch.inputs(), output_hidden_states=True).hidden_states
            layer = classifier.model.bert.encoder.layer[0]
            attended = layer.attention(hidden[0])[0]
            seen.append(layer.intermediate(attended)[0].abs())
    expected = torch.cat(seen).mean(0)
    got = activity(classifier, [down for _, down in pairs], texts)
    assert len(got) == 2
    torch.testing.assert_close(got[0], expected, rtol=1e-4, atol=1e-5)


def test_pruned_neurons_stay_silent_through_fine_tuning(
    classifier_dir: Path,
    labelled_texts: Callable[[int, int], LabelledTexts],
    quick: TrainingSettings,
    tmp_path: Path,
) -> None:
    report = FinePruning(quick, share=0.25).purify(classifier_dir, labelled_texts(100, 3), tmp_path / "out", 0)
    assert report.findings == {"pruned_per_layer": 16, "layers": 2}
    for up, down in feed_forward_pairs(load_classifier(tmp_path / "out").model):
        silent = (up.weight == 0).all(1) & (up.bias == 0) & (down.weight == 0).all(0)
        assert int(silent.sum()) == 16


def test_a_share_is_needed() -> None:
    with pytest.raises(InputError, match="share of neurons"):
        FinePruning(share=1.0)
