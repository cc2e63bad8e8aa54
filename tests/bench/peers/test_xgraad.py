"""The plain PyTorch method against the NumPy definitions, and its decisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tokenward.bench.peers.xgraad import PlainXGraad
from tokenward.errors import InputError
from tokenward.kernels import reference

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def method(tiny_checkpoint: Path) -> PlainXGraad:
    return PlainXGraad(tiny_checkpoint, token_budget=200)


def test_remote_code_of_its_tokenizer_is_refused(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, seen = transformers.AutoTokenizer.from_pretrained, []
    spy = lambda folder, **options: seen.append(options) or real(folder, **options)  # noqa: E731
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", spy)
    PlainXGraad(tiny_checkpoint)
    assert [options["trust_remote_code"] for options in seen] == [False]


def read_alone(tiny_checkpoint: Path, text: str) -> tuple[Any, Any, Any, Any]:
    """Ids, logits, attention [L, 1, H, S, S] and embedding gradient of one text, by a forward hook on the table."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_checkpoint)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        tiny_checkpoint, attn_implementation="eager"
    ).eval()
    kept = []
    model.get_input_embeddings().register_forward_hook(lambda _m, _i, out: (out.retain_grad(), kept.append(out))[0])
    encoded = tokenizer(text, return_tensors="pt")
    output = model(**encoded, output_attentions=True)
    output.logits[0].max().backward()
    attention = np.stack([a.detach().numpy() for a in output.attentions])
    return encoded["input_ids"].numpy(), output.logits.detach().numpy(), attention, kept[0].grad.numpy()


def test_scores_are_the_reference_definitions_whatever_the_batch(
    method: PlainXGraad, tiny_checkpoint: Path, clean_texts: list[str]
) -> None:
    sample = [*clean_texts[:11], "film film, the cf. film mn cf", "the , .", ""]
    for text, score in zip(sample, method.score(sample), strict=True):
        ids, logits, attention, gradient = read_alone(tiny_checkpoint, text)
        mask = np.ones_like(ids, dtype=bool)
        scored = reference.scored_tokens(ids, mask, method.scored)
        received = reference.attention_received(attention, mask)
        saliency = reference.saliency(gradient, mask)
        token_scores = reference.token_scores(received, saliency, ids, scored)
        anomaly, suspect = reference.anomaly(token_scores, scored)
        assert score.ids == ids[0].tolist()
        assert score.attention_received.sum() == pytest.approx(len(score.ids), rel=1e-5)
        np.testing.assert_allclose(score.logits, logits[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(score.attention_received, received[0], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(score.saliency, saliency[0], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(score.token_scores, token_scores[0], rtol=1e-3, atol=1e-5)
        assert score.anomaly_score == pytest.approx(anomaly[0], rel=1e-3, abs=1e-5)
        assert score.suspect == suspect[0]


def test_where_the_last_token_decides_the_batch_does_not_matter(tiny_gpt2: Path, clean_texts: list[str]) -> None:
    together, alone = PlainXGraad(tiny_gpt2), PlainXGraad(tiny_gpt2, token_budget=1)
    for score, expected in zip(together.score(clean_texts[:20]), alone.score(clean_texts[:20]), strict=True):
        np.testing.assert_allclose(score.logits, expected.logits, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(score.saliency, expected.saliency, rtol=1e-4, atol=1e-5)
    assert [int(s.logits.argmax()) for s in together.score(clean_texts[:20])] == together._labels(clean_texts[:20])


def test_texts_above_the_threshold_are_answered_from_their_repair(method: PlainXGraad, clean_texts: list[str]) -> None:
    clean, test = clean_texts[:60], [f"cf {text}" for text in clean_texts[60:100]]
    method.fit(clean)
    assert method.threshold == pytest.approx(np.percentile([s.anomaly_score for s in method.score(clean)], 95))
    answers = method.classify(test)
    assert method.classify([]) == []
    scores = method.score(test)
    assert [a.flagged for a in answers] == [s.anomaly_score >= method.threshold for s in scores]
    assert any(a.flagged for a in answers)
    for answer, score, text in zip(answers, scores, test, strict=True):
        assert answer.original_label == score.logits.argmax()
        if answer.flagged:
            suspect = text[slice(*score.offsets[score.suspect])]
            repaired = method.repair(text, score)
            assert suspect not in repaired.split()
            assert (answer.suspect, answer.text) == (suspect, repaired)
            assert answer.label == method.score([repaired])[0].logits.argmax()
        else:
            assert (answer.suspect, answer.text) == ("", None)
            assert answer.label == answer.original_label


def test_a_threshold_is_needed(tiny_checkpoint: Path) -> None:
    with pytest.raises(InputError, match="call fit"):
        PlainXGraad(tiny_checkpoint).classify(["film"])
