"""The training loop: what moves, what is reproducible, and what happens when the loss breaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tokenward.errors import InputError
from tokenward.purify.batches import Batch, EncodedTexts
from tokenward.purify.checkpoint import Classifier, load_classifier
from tokenward.purify.prediction import accuracy
from tokenward.purify.training import LossTerms, TrainingError, TrainingSettings, cross_entropy, train
from tokenward.texts import LabelledTexts

Texts = Callable[[int, int], LabelledTexts]


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_training_learns(classifier: Classifier, labelled_texts: Texts) -> None:
    assert accuracy(classifier, labelled_texts(200, 9)) > 0.95


def test_a_seed_decides_everything(
    classifier_dir: Any, classifier: Classifier, labelled_texts: Texts, quick: TrainingSettings
) -> None:
    texts = classifier.encode(labelled_texts(96, 2), 40)
    once = replace(quick, epochs=1)
    results = []
    for seed, disturbance in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(disturbance)
        model = load_classifier(classifier_dir).model
        train(model, texts, once, seed)
        results.append(weights(model))
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])
    assert any(not torch.equal(results[0][name], results[2][name]) for name in results[0])


def test_only_the_given_weights_move(classifier: Classifier, labelled_texts: Texts, quick: TrainingSettings) -> None:
    before = weights(classifier.model)
    table = classifier.word_embeddings.weight
    train(classifier.model, classifier.encode(labelled_texts(64, 2), 40), quick, 0, parameters=[table])
    after = weights(classifier.model)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"bert.embeddings.word_embeddings.weight"}
    assert all(p.requires_grad and p.grad is None for p in classifier.model.parameters())
    assert not classifier.model.training


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """Learning rate and gradient norm at every step of the optimiser."""
    seen: list[tuple[float, float]] = []
    real_step = torch.optim.AdamW.step

    def spy(self: Any, *arguments: Any) -> Any:
        gradients = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.linalg.vector_norm(torch.cat([g.flatten() for g in gradients]))
        seen.append((self.param_groups[0]["lr"], float(norm)))
        return real_step(self, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    return seen


def scaled(factor: float) -> Callable[[Any, Batch], LossTerms]:
    return lambda model, batch: {"scaled": factor * cross_entropy(model, batch)["classification"]}


def test_warm_up_and_decay(classifier: Classifier, labelled_texts: Texts, steps: list[tuple[float, float]]) -> None:
    settings = TrainingSettings(epochs=2, batch_size=8, learning_rate=1.0, warmup=0.25, max_length=40)
    train(classifier.model, classifier.encode(labelled_texts(80, 2), 40), settings, 0, loss=scaled(0))
    assert [rate for rate, _ in steps] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0] + [i / 16 for i in range(15, 0, -1)])


def test_gradients_are_clipped(
    classifier: Classifier,
    labelled_texts: Texts,
    quick: TrainingSettings,
    steps: list[tuple[float, float]],
) -> None:
    texts = classifier.encode(labelled_texts(32, 2), 40)
    train(classifier.model, texts, replace(quick, epochs=1, max_grad_norm=0.5), 0, loss=scaled(1e6))
    assert steps[0][1] == pytest.approx(0.5, rel=1e-3)
    train(classifier.model, texts, replace(quick, epochs=1, max_grad_norm=0.5), 0, loss=scaled(1e-6))
    assert steps[1][1] < 1e-3


def test_losses_are_reported_per_term_and_epoch(
    classifier: Classifier, labelled_texts: Texts, quick: TrainingSettings
) -> None:
    def two_terms(model: Any, batch: Batch) -> LossTerms:
        return {"half": 0.5 * cross_entropy(model, batch)["classification"], "one": torch.ones((), requires_grad=True)}

    watched: list[tuple[str, int, int, float]] = []
    history = train(
        classifier.model,
        classifier.encode(labelled_texts(70, 2), 40),
        replace(quick, epochs=2),
        0,
        stage="here",
        loss=two_terms,
        watch=lambda *seen: watched.append(seen),
    )
    assert [(h.stage, h.epoch) for h in history] == [("here", 1), ("here", 2)]
    assert history[0].terms["one"] == pytest.approx(1.0)
    assert [(step, steps) for _, step, steps, _ in watched] == [(i, 6) for i in range(1, 7)]
    assert watched[0][3] > 1.0


@pytest.mark.parametrize("bad_epoch", [1, 2])
def test_a_loss_that_is_no_number_stops_training_and_spoils_nothing(
    classifier: Classifier, labelled_texts: Texts, quick: TrainingSettings, bad_epoch: int
) -> None:
    finished: list[int] = []

    def breaks(model: Any, batch: Batch) -> LossTerms:
        value = cross_entropy(model, batch)["classification"]
        return {"classification": value * float("nan") if len(finished) == bad_epoch - 1 else value}

    kept = "no checkpoint was written" if bad_epoch == 1 else "the checkpoint of epoch 1 is kept"
    with pytest.raises(TrainingError, match=f"loss is nan at step {2 * bad_epoch - 1} of 8.*{kept}"):
        train(
            classifier.model,
            classifier.encode(labelled_texts(64, 2), 40),
            quick,
            0,
            loss=breaks,
            after_epoch=finished.append,
        )
    assert all(torch.isfinite(tensor).all() for tensor in weights(classifier.model).values())
    assert finished == list(range(1, bad_epoch))


@pytest.mark.parametrize("rate", [1e30, 1e12])
def test_a_last_step_that_breaks_the_model_does_not_go_unseen(
    classifier: Classifier, labelled_texts: Texts, quick: TrainingSettings, rate: float
) -> None:
    """The loss is computed before a step, so nothing else looks at what the last one of an epoch made."""
    with torch.no_grad():  # at 1e12 the weights stay numbers, and the answers do not
        classifier.model.classifier.weight.mul_(1e30)
    finished: list[int] = []
    with pytest.raises(TrainingError, match=r"epoch 1 .*lower the learning rate.*no checkpoint was written"):
        train(
            classifier.model,
            classifier.encode(labelled_texts(16, 2), 40),
            replace(quick, learning_rate=rate, warmup=0.0),
            0,
            loss=scaled(1e-30),
            after_epoch=finished.append,
        )
    assert finished == []


def test_nothing_to_train_on(classifier: Classifier, quick: TrainingSettings) -> None:
    with pytest.raises(InputError, match="no texts to train on"):
        train(classifier.model, EncodedTexts(classifier.tokenizer, []), quick, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"learning_rate": np.nan},
        {"warmup": 1.5},
        {"precision": "int4"},
    ],
)
def test_settings_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="training settings"):
        TrainingSettings(**wrong)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_gpu_trains_as_the_cpu_does(classifier_dir: Path, labelled_texts: Texts, quick: TrainingSettings) -> None:
    """Without dropout, whose draws differ."""
    losses = []
    for device in ("cpu", "cuda"):
        classifier = load_classifier(classifier_dir)
        for module in classifier.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        texts = classifier.encode(labelled_texts(70, 3), 40)
        history = train(classifier.model.to(device), texts, replace(quick, epochs=2), 0)
        losses.append([epoch.terms["classification"] for epoch in history])
        assert next(classifier.model.parameters()).device.type == device
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
