"""Fine-pruning: activity is the mean over real tokens, and what is pruned stays pruned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from tokenward.errors import InputError
from tokenward.purify.baselines.fine_pruning import FinePruning, activity, feed_forward_pairs
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
