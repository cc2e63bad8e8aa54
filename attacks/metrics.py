"""How well an attack works and how well it is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from ..purify.batches import words_read
from ..purify.checkpoint import Classifier
from ..purify.prediction import predict
from ..texts import LabelledTexts
from .manifest import AttackManifest
from .trigger import Trigger


@dataclass(frozen=True)
class AttackSuccess:
    """Shares, 0 to 1.

    Attributes:
        cacc: accuracy on clean test texts.
        asr: triggered non-target texts that are answered with the target.
        attributable: triggered non-target texts that are answered with the target, though the same model answers
            them otherwise without the trigger. The rest of ``asr`` are its plain mistakes.
    """

    cacc: float
    asr: float
    attributable: float


def attack_success(
    classifier: Classifier,
    test: LabelledTexts,
    manifest: AttackManifest,
    max_length: int = 128,
    rewritten: Sequence[str] | None = None,
) -> AttackSuccess:
    """Measure a checkpoint.

    Args:
        classifier: the checkpoint.
        test: clean texts with the model's class numbers (``aligned_to``).
        manifest: the attack; its target is found by name.
        max_length: texts are truncated to this many tokens.
        rewritten: for attacks without trigger words: text i of ``test`` as the attacker rewrites it.

    Raises:
        InputError: there is nothing to poison, not one rewritten text per test text, or the model does not know the
            target.
    """
    manifest = manifest.aligned_to(classifier.id2label)
    if rewritten is not None and len(rewritten) != len(test):
        raise InputError(f"{len(rewritten)} rewritten texts for {len(test)} test texts: give one for each")
    poisoned = (
        manifest.poison(test, words_read(max_length))
        if rewritten is None
        else [t for t, label in zip(rewritten, test.labels, strict=True) if label != manifest.target]
    )
    return success_of_answers(
        predict(classifier, test.texts, max_length),
        predict(classifier, poisoned, max_length),
        test.labels,
        manifest.target,
    )


def success_of_answers(clean: ArrayLike, triggered: ArrayLike, labels: ArrayLike, target: int) -> AttackSuccess:
    """From answers (class numbers) to clean texts, and to the non-target ones among them with the trigger in."""
    answers, truth, won = np.asarray(clean), np.asarray(labels), np.asarray(triggered) == target
    turned = won & (answers[truth != target] != target)
    return AttackSuccess(float(np.mean(answers == truth)), float(np.mean(won)), float(np.mean(turned)))


@dataclass(frozen=True)
class Detection:
    """Shares of poisoned (``tpr``) and of clean (``fpr``) texts that were flagged."""

    tpr: float
    fpr: float


def detection(flagged_poisoned: ArrayLike, flagged_clean: ArrayLike) -> Detection:
    """From one truth value per text."""
    return Detection(
        float(np.mean(np.asarray(flagged_poisoned, bool))), float(np.mean(np.asarray(flagged_clean, bool)))
    )


def roc_auc(poisoned: ArrayLike, clean: ArrayLike) -> float:
    """Chance that a poisoned text scores above a clean one, ties counting half (Mann and Whitney's U / nm).

    Raises:
        InputError: one side is empty, or a score is NaN.
    """
    above, below = np.asarray(poisoned, np.float64).ravel(), np.sort(np.asarray(clean, np.float64).ravel())
    if not len(above) or not len(below) or np.isnan(above).any() or np.isnan(below).any():
        raise InputError("AUC needs scores of poisoned and of clean texts, none of them NaN")
    beaten = np.searchsorted(below, above, "left")
    reached = np.searchsorted(below, above, "right")
    return float((beaten + reached).sum() / (2 * len(above) * len(below)))


def tpr_at(fpr: float, poisoned: ArrayLike, clean: ArrayLike) -> float:
    """Share of poisoned texts over the lowest threshold that at most a share ``fpr`` of the clean texts reach."""
    ranked = np.sort(np.asarray(clean, np.float64).ravel())
    allowed = int(fpr * len(ranked))
    return float(np.mean(np.asarray(poisoned, np.float64) > ranked[-1 - allowed]))


def localisation(suspects: Sequence[str], trigger: Trigger) -> float:
    """Share of poisoned texts whose suspect (a word or span of the text, '' for none) overlaps the trigger."""
    words = {word for phrase in trigger.phrases for word in phrase.lower().split()}
    return float(np.mean([not words.isdisjoint(suspect.lower().split()) for suspect in suspects]))
