"""Predictions do not depend on order, batch mates or batch size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from tokenward.errors import InputError
from tokenward.purify.checkpoint import Classifier, load_classifier
from tokenward.purify.prediction import accuracy, predict, predict_logits
from tokenward.texts import LabelledTexts


def test_batched_equals_one_by_one(classifier: Classifier, labelled_texts: Callable[[int, int], LabelledTexts]) -> None:
    texts = [*labelled_texts(7, 3).texts, ""]
    together = predict_logits(classifier, texts, batch_size=3)
    alone = np.concatenate([predict_logits(classifier, [text]) for text in texts])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
    assert predict(classifier, texts).tolist() == alone.argmax(1).tolist()


def test_accuracy_counts_matches(classifier: Classifier) -> None:
    texts = ("a great film", "a dull film", "lovely music", "tedious music")
    assert accuracy(classifier, LabelledTexts(texts, (1, 0, 0, 0), ("bad", "good"))) == 0.75


def test_nan_is_an_error(classifier: Classifier) -> None:
    with torch.no_grad():
        classifier.model.classifier.bias.fill_(float("nan"))
    with pytest.raises(InputError, match="answers NaN"):
        predict(classifier, ["x"])


@pytest.mark.parametrize("own", [None, 6])
@pytest.mark.parametrize("named", [None, "[PAD]", "[CLS]"])
def test_a_model_whose_last_token_decides_finds_it_before_padding(
    tmp_path: Path, lexicon_tokenizer: Path, own: int | None, named: str | None
) -> None:
    """The model's own padding token is taken, the tokenizer's where it has none, any where neither has one."""
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(lexicon_tokenizer), pad_token=named)
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer), n_embd=16, n_layer=1, n_head=2, n_positions=32, initializer_range=0.5
    )
    config.pad_token_id = own
    torch.manual_seed(0)
    transformers.GPT2ForSequenceClassification(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    classifier = load_classifier(tmp_path)
    texts = ["a great film", "dull", "the story was a dull film", "lovely music"]
    alone = np.concatenate([predict_logits(classifier, [text]) for text in texts])
    np.testing.assert_allclose(predict_logits(classifier, texts), alone, rtol=1e-4, atol=1e-5)
