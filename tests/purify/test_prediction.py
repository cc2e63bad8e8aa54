"""Predictions do not depend on order, batch mates or batch size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from tokenward.errors import InputError
from tokenward.purify.checkpoint import Classifier
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
