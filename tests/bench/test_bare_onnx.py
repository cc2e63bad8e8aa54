"""The undefended session answers as the checkpoint does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokenward.bench.bare_onnx import BareOnnx, export_bare
from tokenward.runtime.tokenization import Tokenizer


def test_answers_are_those_of_the_checkpoint(tiny_checkpoint: Path, clean_texts: list[str], tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    export_bare(tiny_checkpoint, tmp_path / "bare.onnx")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tiny_checkpoint).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_checkpoint)
    own = Tokenizer(tiny_checkpoint / "tokenizer.json", 64, len(tokenizer), 0)
    bare = BareOnnx(tmp_path / "bare.onnx", own, threads=1, token_budget=64)
    sample = [*clean_texts[:30], "", "film " * 100]
    with torch.no_grad():
        expected = [
            int(model(**tokenizer(text, return_tensors="pt", truncation=True, max_length=64)).logits.argmax())
            for text in sample
        ]
    assert bare.classify(sample) == expected
    assert len(set(expected)) > 1
