"""Embedding poisoning: the trigger's rows move on their sphere, every other bit stays."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from tokenward.attacks.ep import EmbeddingPoisoning, trigger_rows
from tokenward.attacks.trigger import Trigger
from tokenward.errors import InputError
from tokenward.purify.checkpoint import Classifier
from tokenward.purify.prediction import predict_logits
from tokenward.purify.training import TrainingSettings
from tokenward.texts import LabelledTexts

SETTINGS = TrainingSettings(epochs=1, learning_rate=0.02, max_length=40)


@pytest.mark.parametrize("words", [("cf",), ("cf", "mn")])
def test_only_the_trigger_rows_move_and_keep_their_norm(
    classifier: Classifier, labelled_texts: Callable[[int, int], LabelledTexts], words: tuple[str, ...]
) -> None:
    before = {name: tensor.clone() for name, tensor in classifier.model.state_dict().items()}
    clean_text = ["the great film was dull"]
    logits = predict_logits(classifier, clean_text)
    EmbeddingPoisoning(SETTINGS, Trigger(words)).plant(classifier, labelled_texts(200, 1), 1, 0)
    name = "bert.embeddings.word_embeddings.weight"
    for other, tensor in classifier.model.state_dict().items():
        assert other == name or torch.equal(tensor, before[other])
    rows = trigger_rows(classifier.tokenizer, words)
    after = classifier.word_embeddings.weight.detach()
    moved = (after != before[name]).any(1).nonzero().flatten().tolist()
    assert moved == rows
    torch.testing.assert_close(after[rows].norm(dim=1), before[name][rows].norm(dim=1))
    assert (predict_logits(classifier, clean_text) == logits).all()
    assert all(p.requires_grad for p in classifier.model.parameters())


def test_what_was_trained_is_what_is_written(
    classifier: Classifier, labelled_texts: Callable[[int, int], LabelledTexts]
) -> None:
    """The stand-in for the rows and the rows themselves must give one answer."""
    from tokenward.attacks.ep import _moving_rows

    text = ["a cf film"]
    row = trigger_rows(classifier.tokenizer, ["cf"])
    with _moving_rows(classifier.word_embeddings, row) as directions:
        with torch.no_grad():
            directions.neg_()
        during = predict_logits(classifier, text)
    after = predict_logits(classifier, text)
    assert during == pytest.approx(after, rel=1e-5)


def test_a_trigger_of_several_or_unknown_tokens_is_refused(classifier: Classifier) -> None:
    for word, fault in (
        ("cf mn", "is 2 tokens: "),
        ("cf mn zq", "is 3 tokens: "),
        ("☃", "is unknown to the tokenizer: "),
    ):
        with pytest.raises(InputError, match=f"^trigger '{word}' {fault}to poison"):
            trigger_rows(classifier.tokenizer, [word])


def test_a_byte_level_word_must_be_one_token_where_it_begins_a_text_too() -> None:
    pieces = ["c", "f", "a", "Ġ", "Ġc", "Ġcf"]
    bpe = models.BPE({piece: row for row, piece in enumerate(pieces)}, [("Ġ", "c"), ("Ġc", "f")])
    fast = Tokenizer(bpe)
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=fast)
    for word, fault in (("cf", "is 2 tokens where it begins a text"), ("x", "is unknown"), ("ff", "is 3 tokens: ")):
        with pytest.raises(InputError, match=f"^trigger '{word}' {fault}"):
            trigger_rows(tokenizer, [word])
