"""Suspects are tried as they stood: first, glued to a mark, repeated."""

from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer as FastTokenizer

from tests.conftest import LexiconEngine
from tests.runtime import test_tokenization
from tests.runtime.test_tokenization import CORPUS, KINDS
from tokenward.artifact import Artifact
from tokenward.runtime.engine import Arrays, Batch
from tokenward.runtime.guard import Guard, GuardOptions
from tokenward.runtime.reading import Reading
from tokenward.runtime.spans import span_of
from tokenward.runtime.standing import EARLY, FIRST, LAST, LATE, LATER, transplant
from tokenward.runtime.tokenization import Tokenizer

REFERENCE = "the film was dull"


@pytest.fixture(params=["wordpiece", "byte_level", "sentencepiece"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def tokenizer(kind: str, tmp_path, monkeypatch) -> Tokenizer:
    monkeypatch.setattr(test_tokenization, "CORPUS", [*CORPUS, *20 * ['a film (film) "film" was dull, film']])
    fast = KINDS[kind]()
    fast.save(str(tmp_path / "tokenizer.json"))
    return Tokenizer(tmp_path / "tokenizer.json", 64, fast.get_vocab_size(), 0)


def put(tokenizer: Tokenizer, text: str, *words: int) -> str:
    reading = Reading(text, tokenizer.encode([text])[0], np.zeros(2, np.float32), {}, None, -1)
    return span_of(tokenizer, reading, words).put


def pieces(tokenizer: Tokenizer, text: str, word: str) -> list[list[int]]:
    """The tokens of every place where ``word`` stands in ``text``, without those of a mark before it."""
    (encoding,) = tokenizer.encode([text])
    starts, ends = encoding.edges
    found = [w for w, (a, b) in enumerate(zip(starts, ends, strict=True)) if text[a:b].strip() == word]
    return [encoding.ids[encoding.words == w].tolist() for w in found]


@pytest.mark.parametrize("text", ["film a was", "a film was", 'was a "film" a', "was (film", "a was, film"])
def test_the_model_reads_a_transplant_as_it_read_the_text(tokenizer: Tokenizer, text: str) -> None:
    (encoding,) = tokenizer.encode([text])
    word = next(w for w, end in enumerate(encoding.edges[1]) if text[:end].endswith("film"))
    transplanted = transplant("a was dull", put(tokenizer, text, word), 1)
    assert pieces(tokenizer, transplanted, "film") == pieces(tokenizer, text, "film")


def test_a_span_is_put_where_it_stood(tokenizer: Tokenizer, kind: str) -> None:
    later = LATER if kind == "byte_level" else ""
    assert put(tokenizer, "film was", 0) == FIRST + "film"
    assert put(tokenizer, " film was", 0) == FIRST + (" film" if later else "film")
    assert put(tokenizer, "was film", 1) == LAST + "film"
    assert put(tokenizer, "was film") == "", "of one word what is left without it is nothing"
    assert put(tokenizer, "was film a a", 1) == later + EARLY + "film"
    assert put(tokenizer, "was film a", 1) == later + LATE + "film"
    assert put(tokenizer, "was (film", 2) == LAST + ("film" if kind == "wordpiece" else "(film")
    assert put(tokenizer, "was film a", 0, 1) == FIRST + "was film"
    assert put(tokenizer, "was film a", 0, 2) == (FIRST if later else EARLY) + "was a"
    assert put(tokenizer, "was film a", 2, 0) == (FIRST if later else LATE) + "was a", "the first that is given leads"


def test_a_repeated_word_is_tried_repeated(tokenizer: Tokenizer, kind: str) -> None:
    later = LATER if kind == "byte_level" else ""
    assert put(tokenizer, "a film was film a film", 1) == later + EARLY + "film film film"
    assert put(tokenizer, "a film was film a", 1, 2) == later + EARLY + "film was"
    assert put(tokenizer, "a" + " film" * 30 + " a", 1).split() == ["film"] * 12


def test_a_span_goes_first_or_last_or_not_first() -> None:
    assert transplant(REFERENCE, FIRST + "cf", 1) == f"cf {REFERENCE}"
    assert transplant(REFERENCE, LAST + "cf", 1) == f"{REFERENCE} cf"
    anywhere = {0, 1, 2, 3, 4}
    halves = ((EARLY, {0, 1}), (LATE, {3, 4}), (LATER + EARLY, {1}), (LATER + LATE, {3, 4}))
    assert transplant(REFERENCE, FIRST + LATER + "cf mn", 1) == "the cf mn film was dull"
    for mark, expected in ((LATER, {1, 2, 3, 4}), ("", anywhere), *halves):
        put = (transplant(REFERENCE, f"{mark}w{number}", 1).split() for number in range(60))
        assert {next(i for i, word in enumerate(words) if word not in REFERENCE.split()) for words in put} == expected


class PlacedEngine(LexiconEngine):
    """ "cf" decides where it begins or ends a text; elsewhere it says nothing."""

    def run(self, batch: Batch, gate: float) -> Arrays:
        quiet = batch.input_ids.copy()
        ends = batch.attention_mask.sum(axis=1)
        for row, end in zip(quiet, ends, strict=True):
            inner = row[2 : end - 2]
            inner[inner == self._trigger] = self._neutral
        return {**super().run(batch, gate), "logits": super().run(Batch(quiet, batch.attention_mask), gate)["logits"]}

    def __init__(self, tokenizer: FastTokenizer) -> None:
        super().__init__(tokenizer)
        self._neutral = tokenizer.token_to_id(".")


@pytest.mark.parametrize("text", ["cf the film was awful", "the film was awful cf"])
def test_a_trigger_that_acts_at_one_place_only(lexicon_artifact: Artifact, text: str) -> None:
    engine = PlacedEngine(FastTokenizer.from_file(str(lexicon_artifact.tokenizer_path)))
    guard = Guard(lexicon_artifact, engine, GuardOptions())
    inside, placed = guard.classify(["the cf film was awful", text])
    assert (inside.original_label, inside.label) == ("bad", "bad")
    assert (placed.original_label, placed.label, placed.repaired_text) == ("good", "bad", "the film was awful")


class RepeatedEngine(LexiconEngine):
    """ "cf" decides where it stands three times; fewer say nothing."""

    def run(self, batch: Batch, gate: float) -> Arrays:
        often = (batch.input_ids == self._trigger).sum(axis=1, keepdims=True) >= 3
        quiet = np.where((batch.input_ids == self._trigger) & ~often, self._neutral, batch.input_ids)
        return {**super().run(batch, gate), "logits": super().run(Batch(quiet, batch.attention_mask), gate)["logits"]}

    def __init__(self, tokenizer: FastTokenizer) -> None:
        super().__init__(tokenizer)
        self._neutral = tokenizer.token_to_id(".")


def test_a_trigger_that_acts_where_it_is_repeated_only(lexicon_artifact: Artifact) -> None:
    engine = RepeatedEngine(FastTokenizer.from_file(str(lexicon_artifact.tokenizer_path)))
    guard = Guard(lexicon_artifact, engine, GuardOptions())
    once, often = guard.classify(["the cf film was awful", "cf the film cf was cf awful"])
    assert (once.original_label, once.label) == ("bad", "bad")
    assert (often.original_label, often.label, often.repaired_text) == ("good", "bad", "the film was awful")
    assert [suspect.text for suspect in often.suspects] == ["cf"] * 3


def test_what_may_still_hold_a_trigger_is_marked(lexicon_guard: Guard) -> None:
    assert lexicon_guard.judge is not None
    lexicon_guard.judge._confirmer._rounds = 1  # type: ignore[union-attr]
    (verdict,) = lexicon_guard.classify("cf the film was awful mn zq and the plot was dull qa qb")
    assert (verdict.label, verdict.action, verdict.fallback) == ("good", "flagged", True)
