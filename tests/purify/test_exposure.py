"""Exposing: which rows are taken, and that a planted trigger is among them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from tokenward.attacks.poisoning import poison_training_set
from tokenward.attacks.trigger import Trigger
from tokenward.purify.batches import EncodedTexts
from tokenward.purify.checkpoint import new_classifier
from tokenward.purify.exposure import BagOfEmbeddings, expose, most_moved
from tokenward.purify.purifier import Run
from tokenward.purify.training import TrainingSettings
from tokenward.texts import LabelledTexts


def test_rows_are_ranked_by_how_far_they_moved() -> None:
    before = torch.zeros(5, 2)
    after = torch.tensor([[9.0, 9.0], [3.0, 4.0], [0.0, 0.0], [0.0, 6.0], [1.0, 0.0]])
    assert most_moved(before, after, 2, excluded={0}) == pytest.approx({3: 6.0, 1: 5.0})
    assert list(most_moved(before, after, 5, excluded={0})) == [3, 1, 4]  # row 2 stayed


def test_the_bag_averages_real_tokens_only() -> None:
    table = torch.tensor([[100.0, 100.0], [1.0, 0.0], [0.0, 3.0]])
    bag = BagOfEmbeddings(table, 4, seed=0)
    logits = bag(torch.tensor([[1, 2, 0], [2, 0, 0]]), torch.tensor([[1, 1, 0], [1, 0, 0]])).logits
    expected = bag.head(torch.tensor([[0.5, 1.5], [0.0, 3.0]]))
    torch.testing.assert_close(logits, expected)
    assert bag.embeddings.weight.data_ptr() != table.data_ptr()


def test_a_planted_trigger_is_exposed(tiny_encoder: Path, labelled_texts: Callable[[int, int], LabelledTexts]) -> None:
    data = poison_training_set(labelled_texts(600, 1), Trigger(("cf",)), target=1, rate=0.1, seed=0)
    classifier = new_classifier(tiny_encoder, data.label_names, 0)
    before = {name: tensor.clone() for name, tensor in classifier.model.state_dict().items()}
    special = set(classifier.tokenizer.all_special_ids)
    run = Run("somewhere", seed=0)
    settings = TrainingSettings(epochs=2, learning_rate=1e-3, weight_decay=0.0)
    exposed = expose(classifier.model, classifier.encode(data, 40), special, 0.1, settings, run)
    trigger = classifier.tokenizer.convert_tokens_to_ids("cf")
    assert trigger in exposed
    assert not special & exposed.keys()
    assert [loss.stage for loss in run.losses][::2] == ["exposing 1", "exposing 2", "exposing 3"]
    # Four rows a round (10 % of 44 tokens); round 2 cannot name those of round 1 again.
    assert 8 <= len(exposed) <= 12
    moved = [name for name, tensor in classifier.model.state_dict().items() if not torch.equal(tensor, before[name])]
    assert moved == ["bert.embeddings.word_embeddings.weight"]


def byte_pairs(texts: Sequence[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=400, special_tokens=["<s>", "<pad>"]))
    return tokenizer


def sentence_pieces(texts: Sequence[str]) -> Tokenizer:
    words = sorted({f"▁{word}" for text in texts for word in text.split()})
    scores = {"<s>": 0.0, "<pad>": 0.0, "<unk>": -20.0, **dict.fromkeys(words, -5.0)}
    tokenizer = Tokenizer(models.Unigram(list(scores.items()), unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return tokenizer


@pytest.mark.parametrize("build", [byte_pairs, sentence_pieces])
def test_any_tokenizer_will_do(
    build: Callable[[Sequence[str]], Tokenizer], labelled_texts: Callable[[int, int], LabelledTexts]
) -> None:
    data = poison_training_set(labelled_texts(600, 1), Trigger(("cf",)), target=1, rate=0.1, seed=0)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=build(data.texts), bos_token="<s>", pad_token="<pad>")
    config = transformers.BertConfig(
        vocab_size=len(fast), hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64
    )
    transformers.set_seed(0)
    model = transformers.BertForSequenceClassification(config).eval()
    texts = EncodedTexts(fast, data.texts, data.labels, 40)
    special = set(fast.all_special_ids)
    exposed = expose(model, texts, special, 0.05, TrainingSettings(epochs=2, learning_rate=1e-3), Run("", 0))
    assert any("cf" in piece for piece in fast.convert_ids_to_tokens(list(exposed)))
    assert not special & exposed.keys()
