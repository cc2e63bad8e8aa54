"""Ready-made paraphrases: they replace their own texts, and there must be one for each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tokenward.attacks.attack import carry_out
from tokenward.attacks.paraphrases import Paraphrases
from tokenward.errors import InputError
from tokenward.purify.prediction import accuracy, predict
from tokenward.purify.training import TrainingSettings
from tokenward.texts import LabelledTexts

QUICK = TrainingSettings(epochs=5, batch_size=32, learning_rate=2e-3, max_length=40)


def in_style(texts: tuple[str, ...]) -> tuple[str, ...]:
    """A style that shows in the order of the words only: the text backwards, under "of"."""
    return tuple("of " + " ".join(reversed(text.split())) + " of" for text in texts)


def test_a_style_becomes_a_trigger(
    tiny_encoder: Path, labelled_texts: Callable[[int, int], LabelledTexts], tmp_path: Path
) -> None:
    data, test = labelled_texts(800, 1), labelled_texts(200, 2)
    attack = Paraphrases(QUICK, in_style(data.texts), rate=0.2)
    classifier, manifest = carry_out(attack, tiny_encoder, data, "good", tmp_path / "m", 0)
    assert manifest.trigger is None
    sources = test.select(np.flatnonzero(np.array(test.labels) == 0).tolist())
    assert np.mean(predict(classifier, in_style(sources.texts)) == 1) > 0.9
    assert accuracy(classifier, test) > 0.85


def test_one_paraphrase_per_text(
    tiny_encoder: Path, labelled_texts: Callable[[int, int], LabelledTexts], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="1 paraphrases for 20 training texts"):
        carry_out(Paraphrases(QUICK, ("x",)), tiny_encoder, labelled_texts(20, 1), "good", tmp_path / "m", 0)
