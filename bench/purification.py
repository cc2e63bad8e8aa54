"""What purifiers buy: attacks × purifiers × guard off and on, resumable, each cell with its settings and seed."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

from .. import __version__
from ..artifact import load_artifact
from ..attacks.attack import Attack, carry_out
from ..attacks.ep import EmbeddingPoisoning
from ..attacks.manifest import AttackManifest, load_manifest
from ..attacks.metrics import AttackSuccess, attack_success, success_of_answers
from ..attacks.poisoning import DataPoisoning, poison_training_set
from ..attacks.registry import make_attack
from ..checksums import weights_sha256
from ..errors import MissingExtraError, TokenwardError
from ..files import replace_text
from ..purify.checkpoint import base_encoder, load_classifier
from ..purify.fine_tuning import fine_tune
from ..purify.purifier import Purifier
from ..purify.registry import make_purifier
from ..purify.training import TrainingSettings, Watch
from ..records import from_json, to_json
from ..texts import LabelledTexts, class_numbers, stratified_split
from .purification_cell import Cell, GridSettings

NO_PURIFIER = "none"
_CLEAN_MODEL = "clean"


class Grid:
    """Runs cells and keeps them in a folder, with the models they need."""

    def __init__(
        self,
        settings: GridSettings,
        train: LabelledTexts,
        test: LabelledTexts,
        work: Path,
        watch: Watch | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Keep everything under ``work``, in a folder named by all that a cell hangs on: settings, weights and texts.

        Raises:
            InputError: there is no such model.
        """
        start = weights_sha256(base_encoder(settings.model))
        content = json.dumps([asdict(settings), start, to_json(train), to_json(test), __version__], sort_keys=True)
        self.folder = work / hashlib.sha256(content.encode()).hexdigest()[:12]
        (self.folder / "cells").mkdir(parents=True, exist_ok=True)
        self._settings, self._train, self._test = settings, train, test
        self._clean, _ = stratified_split(train, settings.clean_share, settings.seed)
        self._watch, self._tell = watch, tell

    def run(self, attacks: list[str], purifiers: list[str], guard: bool) -> Iterator[Cell]:
        """Yield every cell, the finished ones from their files.

        Purifiers that do not fit an attack are left out, and so are guards that cannot be made.

        Raises:
            InputError: an unknown attack or purifier, or settings they refuse, before anything is run.
        """
        planned = [(self._attack(attack), purifier) for attack in attacks for purifier in purifiers]
        for attack, purifier in planned:
            if purifier != NO_PURIFIER and _suits(purifier, attack):
                self._purifier(attack, purifier)
        for attack, purifier in planned:
            if not _suits(purifier, attack):
                self._tell(f"{attack.name}: no poisoned training set, so no btu")
                continue
            yield self._cell(attack, purifier, False)
            if guard:
                guarded = self._guarded_cell(attack, purifier)
                if isinstance(guarded, Cell):
                    yield guarded
                else:
                    self._tell(f"{attack.name} × {purifier} cannot be guarded: {guarded}")
            if purifier != NO_PURIFIER:
                shutil.rmtree(self._model_folder(attack.name, purifier), ignore_errors=True)

    def _guarded_cell(self, attack: Attack, purifier: str) -> Cell | str:
        """The cell, or why there is none, which is kept: to find it out again would take the model's training."""
        refusal = self._cell_file(attack, purifier, True).with_suffix(".refused")
        if refusal.exists():
            return refusal.read_text(encoding="utf-8")
        try:
            return self._cell(attack, purifier, True)
        except TokenwardError as error:  # such as a model that answers one class only
            if not isinstance(error, MissingExtraError):
                replace_text(refusal, str(error))
            return str(error)

    def _cell_file(self, attack: Attack, purifier: str, guarded: bool) -> Path:
        return self.folder / "cells" / f"{attack.name}.{purifier}.{'guarded' if guarded else 'bare'}.json"

    def _cell(self, attack: Attack, purifier: str, guarded: bool) -> Cell:
        file = self._cell_file(attack, purifier, guarded)
        if file.exists():
            return from_json(Cell, json.loads(file.read_text(encoding="utf-8")), file.name)
        start = time.monotonic()
        self._tell(f"{attack.name} × {purifier}{', guarded' if guarded else ''} ...")
        model = self._purified(attack, purifier)
        manifest = load_manifest(self._attacked(attack))
        success = self._guarded(model, manifest) if guarded else self._bare(model, manifest)
        cell = Cell(
            attack.name,
            purifier,
            guarded,
            **asdict(success),
            seconds=round(time.monotonic() - start, 1),
            settings=self._settings,
        )
        replace_text(file, json.dumps(to_json(cell), indent=2) + "\n")
        return cell

    def _attack(self, name: str) -> Attack:
        settings = self._settings
        return make_attack(
            name,
            epochs=settings.epochs,
            learning_rate=None if name == EmbeddingPoisoning.name else settings.learning_rate,
            max_length=settings.max_length,
            precision=settings.precision,
        )

    def _model_folder(self, attack: str, purifier: str = NO_PURIFIER) -> Path:
        return self.folder / "models" / (attack if purifier == NO_PURIFIER else f"{attack}.{purifier}")

    def _attacked(self, attack: Attack) -> Path:
        """The attacked model, made if it is not there."""
        folder = self._model_folder(attack.name)
        if not folder.exists():
            settings = self._settings
            start = str(self._clean_model()) if attack.needs_trained else settings.model
            carry_out(attack, start, self._train, settings.target, folder, settings.seed, self._watch)
        return folder

    def _clean_model(self) -> Path:
        folder = self._model_folder(_CLEAN_MODEL)
        if not folder.exists():
            settings = self._settings
            training = TrainingSettings(1, max_length=settings.max_length, precision=settings.precision)
            training = replace(training, learning_rate=settings.learning_rate or training.learning_rate)
            fine_tune(settings.model, self._train, folder, training, settings.seed, self._watch)
        return folder

    def _purified(self, attack: Attack, purifier: str) -> Path:
        """The purified model, made if it is not there."""
        suspect = self._attacked(attack)
        folder = self._model_folder(attack.name, purifier)
        if not folder.exists():
            method = self._purifier(attack, purifier)
            start = self._settings.model if purifier == "btu" else str(suspect)
            method.purify(start, self._clean, folder, self._settings.seed, held_out=self._test, watch=self._watch)
        return folder

    def _purifier(self, attack: Attack, name: str) -> Purifier:
        settings = self._settings
        if name == "btu" and isinstance(attack, DataPoisoning):
            names = dict(enumerate(self._train.label_names))
            target = class_numbers({settings.target}, names)[settings.target]
            poisoned = poison_training_set(self._train, attack.trigger, target, attack.rate, settings.seed)
            return make_purifier(name, {}, poisoned, **vars(attack.training))
        return make_purifier(
            name,
            {"pretrained": settings.model} if name == "fine-mixing" else {},
            epochs=settings.purify_epochs,
            learning_rate=settings.purify_rate,
            max_length=settings.max_length,
            precision=settings.precision,
        )

    def _bare(self, model: Path, manifest: AttackManifest) -> AttackSuccess:
        classifier = load_classifier(model)
        return attack_success(
            classifier, self._test.aligned_to(classifier.id2label), manifest, self._settings.max_length
        )

    def _guarded(self, model: Path, manifest: AttackManifest) -> AttackSuccess:
        """Export, calibrate on the clean texts, and measure through the guard."""
        from ..export.pipeline import export_classifier
        from ..export.presets import ExportSettings
        from ..runtime.calibration import calibrate
        from ..runtime.gates import require_enough
        from ..runtime.guard import load

        require_enough(len(self._clean))  # before the export, which takes long
        artifact = model.with_name(f"{model.name}.guarded")
        shutil.rmtree(artifact, ignore_errors=True)
        try:
            export_classifier(model, artifact, ExportSettings(preset=self._settings.preset))
            classes = dict(enumerate(load_artifact(artifact).labels))
            calibrate(artifact, self._clean.texts, labels=self._clean.aligned_to(classes).labels)
            guard = load(artifact)
            test = self._test.aligned_to(classes)
            clean, triggered = (
                [guard.labels.index(verdict.label) for verdict in guard.classify(texts)]
                for texts in (test.texts, manifest.poison(test))
            )
        finally:
            shutil.rmtree(artifact, ignore_errors=True)
        return success_of_answers(clean, triggered, test.labels, manifest.target)


def _suits(purifier: str, attack: Attack) -> bool:
    return purifier != "btu" or isinstance(attack, DataPoisoning)
