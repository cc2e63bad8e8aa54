"""The lexicon classifier as peers ask it, and a classifier whose last token decides."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tokenward.bench.tally import Tally
from tokenward.runtime.engine import ALWAYS_SKIP
from tokenward.runtime.guard import Guard


class LexiconClassifier:
    """Logits of the backdoored bag of words."""

    def __init__(self, guard: Guard) -> None:
        self._reader = guard.reader
        self.tally = Tally()

    def logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Classifier`."""
        self.tally.forwards += len(texts)
        logits = [reading.logits for reading in self._reader.read(texts, ALWAYS_SKIP)]
        return np.array(logits, np.float32).reshape(len(texts), 2)


@pytest.fixture
def classifier(lexicon_guard: Guard) -> LexiconClassifier:
    return LexiconClassifier(lexicon_guard)


@pytest.fixture(scope="session")
def tiny_gpt2(lexicon_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random GPT-2 over the lexicon, which finds the last token of a text by the ids of its padding."""
    torch: Any = pytest.importorskip("torch")
    transformers: Any = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("gpt2")
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(lexicon_tokenizer), pad_token="[PAD]")
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "initializer_range": 0.2}
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=len(tokenizer), num_labels=2, pad_token_id=0, **sizes)
    transformers.GPT2ForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
