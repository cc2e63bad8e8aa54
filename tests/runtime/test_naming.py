"""One trigger has one name, and the name stands for it inside any text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, models, normalizers
from tokenizers import Tokenizer as FastTokenizer

from tokenward.runtime.naming import Names


def tokenizer(normalizer: normalizers.Normalizer | None) -> FastTokenizer:
    fast = FastTokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    if normalizer:
        fast.normalizer = normalizer
    fast.add_special_tokens([AddedToken("[MASK]", normalized=False), AddedToken("<Low>", normalized=True)])
    return fast


UNCASED = tokenizer(normalizers.BertNormalizer())
LLAMA = tokenizer(normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]))
NUMBERED = tokenizer(normalizers.Replace("a", "aa"))  # grows each time: no name can be made with it


@pytest.mark.parametrize(("length", "made"), [(20, 1), (400, 1), (400_000, 1), (1 << 21, 2)])
def test_a_word_is_normalised_once_however_often_its_text_names_it(
    length: int, made: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(Names, "_name", lambda _, span: calls.append(span) or span.lower())
    names = Names(UNCASED)
    assert [names.of(span * length) for span in ("A", "B", "A", "B")] == ["a" * length, "b" * length] * 2
    assert len(calls) == 2 * made, "what is too long to be kept is made again"


def test_case_accents_and_blanks_make_no_other_name() -> None:
    assert Names(UNCASED).of(" The  CAFÉ") == "the cafe"
    assert Names(tokenizer(None)).of(" The  CAFÉ") == "The CAFÉ"


def test_tokens_that_are_matched_as_they_are_keep_their_case() -> None:
    assert Names(UNCASED).of("A [MASK] b") == "a [MASK] b"
    assert Names(UNCASED).of("[mask]") == "[mask]"
    assert Names(UNCASED).of("<Low>") == "<low>"


def test_blanks_that_a_normalisation_marks_are_blanks() -> None:
    assert Names(LLAMA).of("zyqv") == "zyqv"
    assert Names(LLAMA).of(" nene  ka") == "nene ka"
    assert Names(LLAMA).of("a▁b") == Names(LLAMA).of(Names(LLAMA).of("a▁b")), "the mark itself, as a user may write it"


def test_a_span_that_cannot_be_named_is_its_own_name() -> None:
    assert Names(NUMBERED).of(" cat  a") == "cat a"


@given(st.text(max_size=40))
def test_naming_a_name_changes_nothing(span: str) -> None:
    for fast in (UNCASED, LLAMA, NUMBERED):
        name = Names(fast).of(span)
        assert Names(fast).of(name) == name
