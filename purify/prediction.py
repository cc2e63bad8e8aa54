"""Predictions for many texts at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import InputError
from ..texts import LabelledTexts
from .batches import EncodedTexts, sorted_batches
from .checkpoint import Classifier


def predict_logits(
    classifier: Classifier, texts: Sequence[str], max_length: int = 128, batch_size: int = 64
) -> NDArray[np.float32]:
    """Logits float32 [texts, classes], in the order of the texts.

    Raises:
        InputError: the model answers with NaN.
    """
    data = EncodedTexts(classifier.tokenizer, texts, None, max_length, classifier.pad_id)
    logits = np.empty((len(texts), len(classifier.id2label)), np.float32)
    classifier.model.eval()
    with torch.inference_mode():
        for indices in sorted_batches(data.lengths, batch_size):
            batch = data.batch(indices, classifier.device)
            logits[indices] = classifier.model(**batch.inputs()).logits.float().cpu().numpy()
    if np.isnan(logits).any():
        raise InputError("the model answers NaN: its weights are damaged, train it again")
    return logits


def predict(classifier: Classifier, texts: Sequence[str], max_length: int = 128) -> NDArray[np.int64]:
    """Predicted class numbers [texts]."""
    answers: NDArray[np.int64] = predict_logits(classifier, texts, max_length).argmax(axis=1)
    return answers


def accuracy(classifier: Classifier, data: LabelledTexts, max_length: int = 128) -> float:
    """Share of texts answered with their label; the labels must be the model's (:meth:`aligned_to`)."""
    return float(np.mean(predict(classifier, data.texts, max_length) == np.asarray(data.labels)))
