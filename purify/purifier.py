"""What every purifier is: a suspect model and clean texts in, a cleaner checkpoint and a report out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from ..errors import InputError
from ..records import to_json
from ..texts import LabelledTexts, stratified_split
from .batches import EncodedTexts
from .checkpoint import Classifier, load_classifier, save_classifier
from .foresight import check_new_folder, own_classes
from .prediction import accuracy, predict
from .report import FILE_NAME, PurifyReport, Success
from .training import EpochLosses, Loss, TrainingSettings, Watch, cross_entropy, train

# Fewer clean texts of a class cannot say what the class is.
FEWEST_PER_CLASS = 8
_HELD_OUT = 0.2


class KnownAttack(Protocol):
    """An attack whose trigger is known, to measure a purifier with; attack manifests are such."""

    @property
    def target(self) -> int:
        """Class number that poisoned texts shall get."""

    def aligned_to(self, id2label: Mapping[int, str]) -> KnownAttack:
        """The same attack with the class numbers of a model whose names are ``id2label``."""

    def poison(self, texts: LabelledTexts, words_read: int | None = None) -> list[str]:
        """The texts that are not of the target class, with the trigger in the words that are read."""


@dataclass
class Run:
    """One purification under way: what it started from, who watches it, and the losses so far."""

    model_dir: str | Path
    seed: int
    watch: Watch | None = None
    losses: list[EpochLosses] = field(default_factory=list)

    def train(
        self,
        model: Any,
        texts: EncodedTexts,
        settings: TrainingSettings,
        stage: str,
        *,
        loss: Loss = cross_entropy,
        parameters: Sequence[torch.nn.Parameter] | None = None,
    ) -> None:
        """Train ``model`` in place (see :func:`train`) and note the losses."""
        self.losses += train(
            model, texts, settings, self.seed, stage=stage, loss=loss, parameters=parameters, watch=self.watch
        )


# A backdoor survives the rate at which MiniLM is ordinarily trained, 1e-4 (figures: mbtsad).
PURIFYING = TrainingSettings(epochs=2, learning_rate=3e-4)


@dataclass(frozen=True)
class Purifier(ABC):
    """A way to clean a model; its fields are its settings, ``training`` those of the last fine-tuning.

    The default rate suits the bundled MiniLM; larger encoders want a lower one, as they do in training.
    """

    training: TrainingSettings = PURIFYING

    @property
    @abstractmethod
    def name(self) -> str:
        """What reports call it."""

    @abstractmethod
    def clean(self, suspect: Classifier, clean: LabelledTexts, run: Run) -> tuple[Classifier, dict[str, Any]]:
        """Return the purified model (``suspect`` may be changed) and findings for the report."""

    def classes(self, model_dir: str | Path) -> dict[int, str]:
        """The suspect model's class names by number, known before it is loaded or trained.

        Raises:
            InputError: there is no such model, or what it is made from cannot make one.
        """
        return own_classes(model_dir)

    def revised(self, revise: Callable[[LabelledTexts], LabelledTexts]) -> Purifier:
        """The same purifier with what it trains on beside the clean texts revised, where there is any."""
        return self

    def suspect(self, run: Run) -> Classifier:
        """The suspect model; purifiers that start from a suspect training set train it here."""
        return load_classifier(run.model_dir)

    def purify(
        self,
        model_dir: str | Path,
        data: LabelledTexts,
        out_dir: Path,
        seed: int,
        *,
        held_out: LabelledTexts | None = None,
        attack: KnownAttack | None = None,
        watch: Watch | None = None,
    ) -> PurifyReport:
        """Write a purified copy of ``model_dir`` to ``out_dir``, with its report; the input is never changed.

        Args:
            model_dir: the suspect checkpoint.
            data: clean labelled texts.
            out_dir: new folder.
            seed: of every random draw.
            held_out: clean texts to measure CACC on; if there are none, a fifth of ``data`` is set aside, and left
                out of whatever is trained on.
            attack: a known attack to measure ASR with.
            watch: progress, see :func:`train`.

        Raises:
            InputError: before any training: ``out_dir`` exists or cannot be made, the clean texts are too few, lack a
                class or have an unknown one, or the attack does not suit the model or the held-out texts.
            TrainingError: the loss became NaN; nothing is written.
        """
        check_new_folder(out_dir)
        if held_out is None:
            held_out, data = stratified_split(data, _HELD_OUT, seed)
            measured = {*held_out.texts}
            separate = self.revised(lambda texts: _without(texts, measured))
            return separate.purify(model_dir, data, out_dir, seed, held_out=held_out, attack=attack, watch=watch)
        classes = self.classes(model_dir)
        labels = {*held_out.label_names, *data.label_names}
        held_out, data = (texts.aligned_to(classes, labels) for texts in (held_out, data))
        method = self.revised(lambda texts: texts.aligned_to(classes, labels))
        _check_classes(data, classes)
        # A manifest may come from a model that numbers its classes otherwise.
        attack = attack.aligned_to(classes) if attack else None
        triggered = (attack.target, attack.poison(held_out, self.training.words_read)) if attack else None
        run = Run(model_dir, seed, watch)
        suspect = method.suspect(run)
        before = self._measure(suspect, held_out, triggered)
        purified, findings = method.clean(suspect, data, run)
        report = PurifyReport(
            self.name,
            {f.name: to_json(getattr(self, f.name)) for f in fields(self) if f.repr},
            seed,
            Path(model_dir).name,
            len(data),
            len(held_out),
            tuple(run.losses),
            before,
            self._measure(purified, held_out, triggered),
            findings,
        )
        save_classifier(purified, out_dir, {FILE_NAME: report.to_json()})
        return report

    def _measure(
        self, classifier: Classifier, held_out: LabelledTexts, triggered: tuple[int, list[str]] | None
    ) -> Success:
        """CACC, and ASR where there are (target, texts with the trigger)."""
        length = self.training.max_length
        cacc = accuracy(classifier, held_out, length)
        if triggered is None:
            return Success(cacc, None)
        target, texts = triggered
        return Success(cacc, float(np.mean(predict(classifier, texts, length) == target)))


def _without(data: LabelledTexts, measured: Collection[str]) -> LabelledTexts:
    kept = [i for i, text in enumerate(data.texts) if text not in measured]
    if not kept:
        raise InputError("every suspect text is among those to measure on: name others, --test FILE")
    return data.select(kept)


def _check_classes(data: LabelledTexts, id2label: dict[int, str]) -> None:
    counts = Counter(data.labels)
    for number, name in sorted(id2label.items()):
        if counts[number] < FEWEST_PER_CLASS:
            raise InputError(
                f"{counts[number]} clean texts of class '{name}' to train on: give at least {FEWEST_PER_CLASS} of "
                "every class (without --test FILE a fifth is measured on instead)"
            )
