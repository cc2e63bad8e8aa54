"""Which texts are poisoned, how many, and with which label."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st

from tokenward.attacks.addsent import addsent
from tokenward.attacks.badnets import badnets
from tokenward.attacks.poisoning import DataPoisoning, choose_sources, poison_training_set
from tokenward.attacks.trigger import Trigger
from tokenward.errors import InputError
from tokenward.purify.training import TrainingSettings
from tokenward.texts import LabelledTexts

TRIGGER = Trigger(("cf",))


def data(labels: list[int]) -> LabelledTexts:
    return LabelledTexts(tuple(f"text {i}" for i in range(len(labels))), tuple(labels), ("a", "b", "c"))


@given(
    st.lists(st.integers(0, 2), min_size=30, max_size=90), st.floats(0.02, 0.3), st.integers(0, 2), st.integers(0, 9)
)
def test_the_asked_share_of_other_classes_is_relabelled(labels: list[int], rate: float, target: int, seed: int) -> None:
    clean = data(labels + [(target + 1) % 3] * 40)
    poisoned = poison_training_set(clean, TRIGGER, target, rate, seed)
    assert poisoned == poison_training_set(clean, TRIGGER, target, rate, seed)
    changed = [i for i in range(len(clean)) if poisoned.texts[i] != clean.texts[i]]
    assert len(changed) == max(1, round(rate * len(clean)))
    assert changed == choose_sources(clean, target, rate, seed)
    for i in range(len(clean)):
        assert ("cf" in poisoned.texts[i].split()) == (i in changed)
        assert poisoned.labels[i] == (target if i in changed else clean.labels[i])
    assert all(clean.labels[i] != target for i in changed)


@pytest.mark.parametrize("attack", [badnets, addsent])
def test_a_model_that_reads_beginnings_alone_sees_the_trigger(
    attack: Callable[[TrainingSettings], DataPoisoning], lexicon_tokenizer: Path
) -> None:
    """Each word of these texts is one token, the unknown ones of the trigger too."""
    long = LabelledTexts((" ".join(["film"] * 300),) * 60, (0, 1) * 30, ("a", "b"))
    planted = attack(TrainingSettings(max_length=30))
    poisoned = poison_training_set(long, planted.trigger, 1, 0.3, 0)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(lexicon_tokenizer))
    words = {word for phrase in planted.trigger.phrases for word in phrase.split()}
    for text in poisoned.texts:
        inside = [i for i, word in enumerate(text.split()) if word in words]
        read = tokenizer(text, truncation=True, max_length=30, return_offsets_mapping=True)["offset_mapping"]
        assert not inside or len(" ".join(text.split()[: inside[-1] + 1])) <= max(end for _, end in read)


def test_another_seed_draws_other_texts() -> None:
    clean = data([0, 1] * 100)
    assert choose_sources(clean, 1, 0.1, 0) != choose_sources(clean, 1, 0.1, 1)


def test_too_few_sources_and_silly_rates() -> None:
    with pytest.raises(InputError, match="5 texts to poison but only 1 are not of the target class"):
        choose_sources(data([1] * 9 + [0]), 1, 0.5, 0)
    for rate in (0.0, 1.0, -0.1):
        with pytest.raises(InputError, match="between 0 and 1"):
            choose_sources(data([0, 1]), 1, rate, 0)
