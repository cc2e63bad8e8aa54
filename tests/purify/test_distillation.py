"""The distillation loss against NumPy, and what its gradients touch."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch

from tokenward.purify.batches import EncodedTexts
from tokenward.purify.checkpoint import Classifier
from tokenward.purify.distillation import Distillation, attention_energy, attention_loss, hidden_loss
from tokenward.purify.training import TrainingSettings, train
from tokenward.texts import LabelledTexts

TEXTS = ["the great film", "a dull story of the town and the river", "music"]


def random_maps(seed: int, layers: int, shape: tuple[int, ...], lengths: list[int]) -> list[np.ndarray]:
    """Attention probabilities whose rows sum to 1 over real keys, padded queries included."""
    rng = np.random.default_rng(seed)
    maps = rng.random((layers, *shape)).astype(np.float32)
    for row, length in enumerate(lengths):
        maps[:, row, :, :, length:] = 0
    return list(maps / maps.sum(-1, keepdims=True))


def numpy_energy(probabilities: np.ndarray, length: int) -> np.ndarray:
    """Energy of one text [H, S, S], over its real tokens."""
    return np.sum(np.abs(probabilities[:, :length, :length]) ** 2, axis=0)


@pytest.mark.parametrize("lengths", [[7, 7], [7, 3], [1, 5]])
def test_attention_loss_is_the_papers_equation(lengths: list[int]) -> None:
    size = max(lengths)
    teacher = random_maps(0, 3, (2, 4, size, size), lengths)
    student = random_maps(1, 3, (2, 4, size, size), lengths)
    mask = torch.tensor([[1] * n + [0] * (size - n) for n in lengths])
    per_text = []
    for row, length in enumerate(lengths):
        total = 0.0
        for t, s in zip(teacher, student, strict=True):
            a, b = numpy_energy(t[row], length), numpy_energy(s[row], length)
            total += float(np.linalg.norm(a / np.linalg.norm(a) - b / np.linalg.norm(b)))
        per_text.append(total)
    energies = [[attention_energy(torch.tensor(m), mask) for m in maps] for maps in (teacher, student)]
    assert float(attention_loss(*energies)) == pytest.approx(np.mean(per_text), rel=1e-5)
    assert float(attention_loss(energies[0], energies[0])) == 0


def test_hidden_loss_is_the_papers_equation() -> None:
    rng = np.random.default_rng(0)
    teacher, student = rng.normal(size=(2, 4, 2, 5, 8)).astype(np.float32)
    lengths = [5, 2]
    mask = torch.tensor([[1] * n + [0] * (5 - n) for n in lengths])
    expected = np.mean(
        [
            sum(np.mean((t[row, :n] - s[row, :n]) ** 2) for t, s in zip(teacher, student, strict=True))
            for row, n in enumerate(lengths)
        ]
    )
    got = hidden_loss(list(torch.tensor(teacher)), list(torch.tensor(student)), mask)
    assert float(got) == pytest.approx(expected, rel=1e-5)


def make(classifier: Classifier, alpha: float, beta: float) -> tuple[Distillation, Classifier]:
    """A teacher that differs from the student in its embeddings only, so that l = 0 matters."""
    teacher = copy.deepcopy(classifier.model)
    with torch.no_grad():
        teacher.get_input_embeddings().weight.mul_(1.5)
    return Distillation(teacher, classifier.model, alpha, beta), Classifier(teacher, classifier.tokenizer)


def test_the_terms_match_what_transformers_reports(classifier: Classifier) -> None:
    distillation, teacher = make(classifier, 2.0, 3.0)
    texts = EncodedTexts(classifier.tokenizer, TEXTS, [1, 0, 1])
    batch = texts.batch(np.arange(3), torch.device("cpu"))
    terms = {name: term.detach() for name, term in distillation(classifier.model, batch).items()}
    options = {"output_attentions": True, "output_hidden_states": True}
    with torch.no_grad():
        taught, learnt = (m(**batch.inputs(), **options) for m in (teacher.model, classifier.model))
    energies = [[attention_energy(m, batch.attention_mask) for m in output.attentions] for output in (taught, learnt)]
    assert len(taught.hidden_states) == 3  # the output of the embeddings and two layers
    assert float(terms["attention"]) == pytest.approx(2 * float(attention_loss(*energies)), rel=1e-5)
    hidden = hidden_loss(taught.hidden_states, learnt.hidden_states, batch.attention_mask)
    without_embeddings = hidden_loss(taught.hidden_states[1:], learnt.hidden_states[1:], batch.attention_mask)
    assert float(terms["hidden"]) == pytest.approx(3 * float(hidden), rel=1e-5)
    assert float(hidden) > float(without_embeddings) + 1e-3


def test_gradients_reach_the_student_only(classifier: Classifier) -> None:
    distillation, teacher = make(classifier, 1.0, 1.0)
    batch = EncodedTexts(classifier.tokenizer, TEXTS, [1, 0, 1]).batch(np.arange(3), torch.device("cpu"))
    terms = distillation(classifier.model, batch)
    (terms["attention"] + terms["hidden"]).backward()
    assert all(p.grad is None for p in teacher.model.parameters())
    touched = {name for name, p in classifier.model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert "bert.embeddings.word_embeddings.weight" in touched
    assert "bert.encoder.layer.1.attention.self.query.weight" in touched
    assert not any(name.startswith("classifier") for name in touched)


def test_a_texts_loss_does_not_depend_on_its_batch(classifier: Classifier) -> None:
    distillation, _ = make(classifier, 1.0, 1.0)
    texts = EncodedTexts(classifier.tokenizer, TEXTS, [1, 0, 1])
    with torch.no_grad():
        together = distillation(classifier.model, texts.batch(np.arange(3), torch.device("cpu")))
        alone = [distillation(classifier.model, texts.batch(np.array([i]), torch.device("cpu"))) for i in range(3)]
    for name, term in together.items():
        assert float(term) == pytest.approx(np.mean([float(a[name]) for a in alone]), rel=1e-4)


@pytest.mark.parametrize(
    ("alpha", "beta", "expected"),
    [
        (1.0, 1.0, {"classification", "attention", "hidden"}),
        (0.0, 1.0, {"classification", "hidden"}),
        (1.0, 0.0, {"classification", "attention"}),
        (0.0, 0.0, {"classification"}),
    ],
)
def test_a_weight_of_nought_leaves_its_term_out(
    classifier: Classifier, alpha: float, beta: float, expected: set[str]
) -> None:
    distillation, _ = make(classifier, alpha, beta)
    batch = EncodedTexts(classifier.tokenizer, TEXTS, [1, 0, 1]).batch(np.arange(3), torch.device("cpu"))
    assert distillation(classifier.model, batch).keys() == expected


def test_the_student_moves_towards_the_teacher(
    classifier: Classifier, quick: TrainingSettings, labelled_texts: Callable[[int, int], LabelledTexts]
) -> None:
    distillation, _ = make(classifier, 1.0, 1.0)
    texts = classifier.encode(labelled_texts(200, 2), 40)
    history = train(classifier.model, texts, quick, 0, loss=distillation)
    first, last = history[0].terms, history[-1].terms
    assert last["attention"] < 0.95 * first["attention"]
    assert last["hidden"] < 0.95 * first["hidden"]
