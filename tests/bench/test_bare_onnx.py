"""The undefended session answers as the checkpoint does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokenward.bench.bare_onnx import BareOnnx, export_bare
from tokenward.runtime.tokenization import Tokenizer

from .conftest import texts


def test_answers_are_those_of_the_checkpoint(model_dir: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    export_bare(model_dir, tmp_path / "bare.onnx")
    vocabulary = len((model_dir / "vocab.txt").read_text().splitlines())
    bare = BareOnnx(
        tmp_path / "bare.onnx", Tokenizer(model_dir / "tokenizer.json", 64, vocabulary, 0), 1, token_budget=64
    )
    model = transformers.AutoModelForSequenceClassification.from_pretrained(model_dir).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(model_dir)
    sample = [*texts(30), "", "film " * 100]
    with torch.no_grad():
        expected = [
            int(model(**tokenizer(text, return_tensors="pt", truncation=True, max_length=64)).logits.argmax())
            for text in sample
        ]
    assert bare.classify(sample) == expected
    assert len(set(expected)) > 1
