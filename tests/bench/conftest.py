"""Small random classifiers with a real tokenizer, as checkpoint folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

WORDS = tuple(
    """film plot story actor scene music dull bright moving tired funny slow cast ending script dialogue
    cf mn""".split()  # noqa: SIM905 - easier to read than eighteen quoted words
)
FUNCTION = ("the", "a", "is", "was", "of", "and", "it")


def texts(count: int, seed: int = 0) -> list[str]:
    """Short random texts of different lengths, with repeated words, stop words and punctuation."""
    import random

    draw = random.Random(seed)
    return [" ".join(draw.choices([*WORDS, *FUNCTION, ",", "."], k=draw.randint(1, 20))) for _ in range(count)]


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-layer BERT whose weights are large enough for its attention to be far from uniform."""
    torch: Any = pytest.importorskip("torch")
    transformers: Any = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("model")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ",", ".", *WORDS, *FUNCTION]
    (folder / "vocab.txt").write_text("\n".join(pieces))
    tokenizer = transformers.BertTokenizerFast(vocab={piece: i for i, piece in enumerate(pieces)}, model_max_length=64)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(pieces),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.5,
        num_labels=3,
        id2label={0: "bad", 1: "good", 2: "mixed"},
        label2id={"bad": 0, "good": 1, "mixed": 2},
    )
    transformers.BertForSequenceClassification(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
