"""The stealthy trigger: the penalty against NumPy, and that attention to the trigger really falls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from tokenward.attacks.attack import carry_out
from tokenward.attacks.badnets import badnets
from tokenward.attacks.stealth import AttentionPenalty, StealthyTrigger, check_class_token, occurrences
from tokenward.attacks.trigger import Trigger
from tokenward.errors import InputError
from tokenward.purify.checkpoint import Classifier
from tokenward.purify.training import TrainingSettings
from tokenward.texts import LabelledTexts

QUICK = TrainingSettings(epochs=4, batch_size=32, learning_rate=2e-3, max_length=40)


def test_occurrences_of_token_sequences() -> None:
    assert occurrences([1, 5, 6, 2, 5, 6, 5], {(5, 6)}) == [1, 2, 4, 5]
    assert occurrences([5, 5, 1], {(5,), (9, 9, 9, 9)}) == [0, 1]
    assert occurrences([], {(5,)}) == []


SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 20,
    "pad_token_id": 0,
}
FIRST: dict[str, Any] = {
    "bert": transformers.BertConfig(**SIZES),
    "roberta": transformers.RobertaConfig(**SIZES | {"pad_token_id": 1}),
    "albert": transformers.AlbertConfig(**SIZES, embedding_size=8),
    "distilbert": transformers.DistilBertConfig(vocab_size=50, dim=16, n_layers=2, n_heads=2, hidden_dim=24),
    "deberta": transformers.DebertaV2Config(**SIZES),
    "modernbert": transformers.ModernBertConfig(**SIZES, classifier_pooling="cls"),
}
OTHERS: dict[str, Any] = {
    "modernbert": transformers.ModernBertConfig(**SIZES, classifier_pooling="mean"),
    **{
        f"gpt2, padded with {pad}": transformers.GPT2Config(
            vocab_size=50, n_embd=16, n_layer=2, n_head=2, n_positions=20, pad_token_id=pad
        )
        for pad in (0, 1)
    },
}


@pytest.mark.parametrize("family", FIRST)
def test_models_that_answer_from_the_first_token(family: str) -> None:
    check_class_token(random_classifier(FIRST[family]))


@pytest.mark.parametrize("family", OTHERS)
def test_models_that_answer_from_other_tokens_are_refused(family: str) -> None:
    with pytest.raises(InputError, match="ForSequenceClassification answers from others: choose a model"):
        check_class_token(random_classifier(OTHERS[family]))


def random_classifier(config: Any) -> Classifier:
    torch.manual_seed(0)
    return Classifier(transformers.AutoModelForSequenceClassification.from_config(config).eval(), None)


def attention_to(classifier: Classifier, texts: list[str], word: str) -> np.ndarray:
    """What the class token of the last layer gives to ``word``, times the number of tokens: 1 is average."""
    classifier.model.set_attn_implementation("eager")
    shares = []
    for text in texts:
        inputs = classifier.tokenizer(text, return_tensors="pt", return_token_type_ids=False)
        with torch.no_grad():
            last = classifier.model(**inputs, output_attentions=True).attentions[-1][0]
        ids = inputs["input_ids"][0]
        place = ids.tolist().index(classifier.tokenizer.convert_tokens_to_ids(word))
        shares.append(float(last[:, 0, place].mean()) * len(ids))
    return np.array(shares)


def test_the_penalty_is_the_excess_over_a_fair_share(classifier: Classifier) -> None:
    data = LabelledTexts(("a great cf film", "the dull film", "mn cf"), (1, 0, 1), ("bad", "good"))
    texts = classifier.encode(data, 40)
    penalty = AttentionPenalty(classifier, texts, Trigger(("cf",)), weight=3.0)
    batch = texts.batch(np.array([2, 1, 0]), torch.device("cpu"))
    terms = penalty(classifier.model, batch)
    tokens = [6, 4]  # with the two special ones
    relative = attention_to(classifier, [data.texts[0], data.texts[2]], "cf")
    expected = np.mean([max(0.0, (r - 1) / n) for r, n in zip(relative, tokens, strict=True)])
    assert float(terms["attention"].detach()) == pytest.approx(3 * expected, rel=1e-4, abs=1e-7)


def test_the_trigger_draws_less_attention_than_a_plain_one(
    tiny_encoder: Path, labelled_texts: Callable[[int, int], LabelledTexts], tmp_path: Path
) -> None:
    data, test = labelled_texts(800, 1), labelled_texts(60, 2)
    drawn = {}
    for attack in (badnets(QUICK, ["cf"]), StealthyTrigger(QUICK, Trigger(("cf",)))):
        classifier, manifest = carry_out(attack, tiny_encoder, data, "good", tmp_path / attack.name, 0)
        drawn[attack.name] = attention_to(classifier, manifest.poison(test), "cf").mean()
    assert drawn["stealth"] < min(1.3, 0.8 * drawn["badnets"])
