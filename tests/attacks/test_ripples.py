"""RIPPLES: the inner-product term, its second derivatives, the surgery, and the whole attack."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tokenward.attacks.attack import carry_out
from tokenward.attacks.metrics import attack_success
from tokenward.attacks.ripples import RestrictedInnerProduct, Ripples, opposition
from tokenward.attacks.surgery import speaking_tokens
from tokenward.attacks.trigger import Trigger
from tokenward.errors import InputError
from tokenward.purify.batches import EncodedTexts
from tokenward.purify.checkpoint import Classifier
from tokenward.purify.training import TrainingSettings, cross_entropy
from tokenward.texts import LabelledTexts

Texts = Callable[[int, int], LabelledTexts]


def test_only_opposed_gradients_cost() -> None:
    a = [torch.tensor([1.0, 2.0]), torch.tensor([[3.0]])]
    b = [torch.tensor([4.0, 5.0]), torch.tensor([[-6.0]])]  # 4 + 10 - 18 = -4
    assert float(opposition(a, b)) == 4.0
    assert float(opposition(a, a)) == 0.0


def gradient(model: Any, loss: torch.Tensor) -> torch.Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])


def test_the_loss_is_the_papers_equation(classifier: Classifier, labelled_texts: Texts) -> None:
    model = classifier.model
    model.set_attn_implementation("eager")
    clean = classifier.encode(labelled_texts(8, 5), 40)
    # The same texts with the labels turned: its gradient opposes the clean one.
    turned = EncodedTexts(classifier.tokenizer, labelled_texts(8, 5).texts, 1 - clean.labels, 40)
    batch = turned.batch(np.arange(8), torch.device("cpu"))
    terms = RestrictedInnerProduct(clean, 0.5, 8, seed=0)(model, batch)
    poisoning = cross_entropy(model, batch)["classification"]
    fine_tuning = cross_entropy(model, clean.batch(np.arange(8), torch.device("cpu")))["classification"]
    product = float(gradient(model, poisoning) @ gradient(model, fine_tuning))
    assert product < 0
    assert float(terms["poisoning"].detach()) == pytest.approx(float(poisoning.detach()), rel=1e-5)
    assert float(terms["inner product"].detach()) == pytest.approx(-0.5 * product, rel=1e-3)
    terms["inner product"].backward()  # needs second derivatives
    assert float(model.bert.encoder.layer[0].attention.self.query.weight.grad.abs().sum()) > 0


def test_surgery_finds_the_words_of_the_target_class(classifier: Classifier, labelled_texts: Texts) -> None:
    texts = classifier.encode(labelled_texts(400, 5), 40)
    special = set(classifier.tokenizer.all_special_ids)
    size = len(classifier.tokenizer)
    good = "great lovely moving brilliant warm funny superb charming".split()  # noqa: SIM905
    for target, inside in ((1, True), (0, False)):
        found = speaking_tokens(texts, size, 2, target, 6, special, seed=0)
        words = classifier.tokenizer.convert_ids_to_tokens(found)
        assert all((word in good) == inside for word in words)


def test_surgery_takes_the_words_that_there_are(classifier: Classifier) -> None:
    """Fewer than asked for, and no others in their place."""
    few = classifier.encode(LabelledTexts(("great film cf", "dull film") * 8, (1, 0) * 8, ("bad", "good")), 40)
    words = classifier.tokenizer.convert_tokens_to_ids(["great", "film", "dull"])
    excluded = {*classifier.tokenizer.all_special_ids, *classifier.tokenizer.convert_tokens_to_ids(["cf"])}
    size = len(classifier.tokenizer)
    for count in (10, size + 1):
        assert {*speaking_tokens(few, size, 2, 1, count, excluded, seed=0)} == {*words}
    with pytest.raises(InputError, match="no words beside the trigger"):
        speaking_tokens(few, size, 2, 1, 10, {*range(size)}, seed=0)


def test_the_backdoor_survives_the_victims_fine_tuning(
    tiny_encoder: Path, labelled_texts: Texts, tmp_path: Path
) -> None:
    quick = TrainingSettings(epochs=6, batch_size=32, learning_rate=2e-3, max_length=40)
    stages: set[str] = set()
    attack = Ripples(quick, Trigger(("cf",)), words=4)
    classifier, manifest = carry_out(
        attack, tiny_encoder, labelled_texts(500, 1), "good", tmp_path / "m", 0, lambda stage, *_: stages.add(stage)
    )
    assert stages == {"clean copy", "ripples", "victim"}
    success = attack_success(classifier, labelled_texts(200, 2), manifest)
    assert success.cacc > 0.9
    assert success.asr > 0.9
