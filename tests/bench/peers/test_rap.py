"""RAP: words that take probability from clean answers, the rows they get in the graph, and calibration per class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tokenward.bench.bare_onnx import BareOnnx, export_bare
from tokenward.bench.peers.rap import Rap
from tokenward.bench.peers.rap_word import RapSettings, _probability, learn_words, rare_words, with_rows
from tokenward.errors import InputError
from tokenward.runtime.tokenization import Tokenizer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def tokenizer(tiny_checkpoint: Path) -> Tokenizer:
    size = len(transformers.AutoTokenizer.from_pretrained(tiny_checkpoint))
    return Tokenizer(tiny_checkpoint / "tokenizer.json", 64, size, 0)


@pytest.fixture(scope="module")
def graph(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "bare.onnx"
    export_bare(tiny_checkpoint, path)
    return path


def test_rare_words_are_one_token_and_in_no_text(tokenizer: Tokenizer, clean_texts: list[str]) -> None:
    (last, _), *_ = rare_words(tokenizer, clean_texts, 1)
    chosen = rare_words(tokenizer, [*clean_texts, f"{last} film"], 2)
    assert len({last, *(word for word, _ in chosen)}) == 3
    for word, token in chosen:
        (encoding,) = tokenizer.encode([f"{word} film"])
        assert encoding.ids[1] == token
        assert not any(word in text.split() for text in clean_texts)
    with pytest.raises(InputError, match="fewer than 40 rare words"):
        rare_words(tokenizer, clean_texts, 40)


def test_a_graph_with_other_rows_answers_as_the_checkpoint_with_them(
    tiny_checkpoint: Path, graph: Path, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    token = tokenizer.fast.token_to_id("film")
    row = np.linspace(-1, 1, 32, dtype=np.float32)
    with_rows(graph, {token: row}, tmp_path / "other.onnx")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tiny_checkpoint).eval()
    texts = ["the film was great", "a dull story"]
    encoded = [tokenizer.encode([text])[0].ids for text in texts]
    for path, change in ((graph, False), (tmp_path / "other.onnx", True)):
        if change:
            model.get_input_embeddings().weight.data[token] = torch.from_numpy(row)
        with torch.no_grad():
            expected = [model(input_ids=torch.tensor(ids[None])).logits[0].numpy() for ids in encoded]
        np.testing.assert_allclose(BareOnnx(path, tokenizer).logits(texts), expected, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def unsure(lexicon_tokenizer: Path, tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random classifier: sure of little, so that a word has something to take."""
    folder = tmp_path_factory.mktemp("unsure")
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = transformers.BertConfig(
        vocab_size=tokenizer.fast.get_vocab_size(), max_position_embeddings=64, initializer_range=0.2, **sizes
    )
    torch.manual_seed(0)
    model = transformers.BertForSequenceClassification(config)
    model.classifier.weight.data *= 5
    model.save_pretrained(folder)
    return folder


def test_learnt_words_take_probability_and_keep_their_norm(
    unsure: Path, tokenizer: Tokenizer, clean_texts: list[str], tmp_path: Path
) -> None:
    export_bare(unsure, tmp_path / "bare.onnx")
    drops = []
    for steps in (0, 20):
        learning = RapSettings(steps=steps)
        rap = Rap(unsure, tmp_path / "bare.onnx", tokenizer, learning=learning)
        rap.fit(clean_texts)
        _, scores = rap._scores(clean_texts)
        drops.append(-scores.mean())
    assert drops[0] + 0.05 < drops[1] < 0.4
    answers = BareOnnx(tmp_path / "bare.onnx", tokenizer).logits(clean_texts).argmax(axis=1)
    learnt, again = (learn_words(unsure, tokenizer, clean_texts, answers, learning) for _ in range(2))
    table = transformers.AutoModelForSequenceClassification.from_pretrained(unsure).get_input_embeddings().weight
    for word, same in zip(learnt, again, strict=True):
        np.testing.assert_array_equal(word.embedding, same.embedding)
        assert np.linalg.norm(word.embedding) == pytest.approx(table[word.token].norm().item(), rel=1e-5)


def test_where_the_last_token_decides_the_batch_does_not_matter(
    tiny_gpt2: Path, tokenizer: Tokenizer, clean_texts: list[str]
) -> None:
    module = transformers.AutoModelForSequenceClassification.from_pretrained(tiny_gpt2).eval()
    token = tokenizer.fast.token_to_id("film")
    texts = [f"film {text}" for text in clean_texts[:10]]
    for rows in ({}, {token: torch.linspace(-1, 1, 32)}):
        together = _probability(module, tokenizer, texts, 1, rows).detach()
        alone = [_probability(module, tokenizer, [text], 1, rows).item() for text in texts]
        np.testing.assert_allclose(together, alone, rtol=1e-4)
    module.get_input_embeddings().weight.data[token] = torch.linspace(-1, 1, 32)
    np.testing.assert_allclose(together, _probability(module, tokenizer, texts, 1, {}), rtol=1e-4)


class Fixed:
    """A classifier with a word of its own for each class: "w0" and "w1" take what the text says they take."""

    def __init__(self) -> None:
        from tokenward.bench.tally import Tally

        self.tally = Tally()

    def logits(self, texts: list[str]) -> Any:
        """A text is "class drop"; before it may stand the word."""
        rows = []
        for text in texts:
            *word, label, drop = text.split()
            p = 0.9 - (float(drop) if word else 0.0)
            rows.append([p, 1 - p] if label == "0" else [1 - p, p])
        return np.log(np.array(rows, np.float32))


def test_calibration_is_per_class(
    tiny_checkpoint: Path, graph: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Class 0 loses 0.20 to 0.39 on clean texts, class 1 only 0.10 to 0.29: 5 % of each fall under their thresholds."""
    rap = Rap(tiny_checkpoint, graph, tokenizer)
    clean = [f"{label} {0.2 - 0.1 * label + step / 100:.2f}" for label in (0, 1) for step in range(20)]
    rap._classifier = Fixed()
    monkeypatch.setattr("tokenward.bench.peers.rap.learn_words", lambda *_: [Named("w0"), Named("w1")])
    monkeypatch.setattr("tokenward.bench.peers.rap.with_rows", lambda *_: None)
    monkeypatch.setattr("tokenward.bench.peers.rap.BareOnnx", lambda *_, **__: Fixed())
    rap.fit(clean)
    assert rap.thresholds is not None
    np.testing.assert_allclose(rap.thresholds, [-0.2095, -0.1095], atol=1e-4)
    answers = rap.classify(["0 0.15", "1 0.15", "0 0.25", "1 0.05"])
    assert [a.label for a in answers] == [None, 1, 0, None]
    assert [a.original_label for a in answers] == [0, 1, 0, 1]
    assert [a.score > 0 for a in answers] == [a.flagged for a in answers] == [True, False, False, True]


class Named:
    """A word without an embedding."""

    token, embedding = 0, np.zeros(1)

    def __init__(self, text: str) -> None:
        self.text = text


def test_two_passes_a_text(tiny_checkpoint: Path, graph: Path, tokenizer: Tokenizer, clean_texts: list[str]) -> None:
    rap = Rap(tiny_checkpoint, graph, tokenizer, learning=RapSettings(steps=2))
    with pytest.raises(InputError, match="call fit"):
        rap.classify(["film"])
    with pytest.raises(InputError, match="no clean texts"):
        rap.fit([])
    rap.fit(clean_texts[:60])
    before = rap.tally.forwards
    answers = rap.classify(clean_texts[:60])
    assert rap.tally.forwards - before == 120
    assert np.mean([a.flagged for a in answers]) <= 0.08  # two of some thirty in a class
    assert rap.classify([]) == []
    assert rap.settings["words"]
