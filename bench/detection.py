"""What the detector finds: attacks with drawn triggers × seeds × defences on one corpus; resumable, a file per cell."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from .. import __version__
from ..artifact import Preset, load_artifact
from ..attacks.attack import carry_out
from ..attacks.manifest import AttackManifest, load_manifest
from ..checksums import weights_sha256
from ..errors import InputError, TokenwardError
from ..export.pipeline import export_classifier
from ..export.presets import ExportSettings
from ..files import replace_text
from ..purify.checkpoint import base_encoder
from ..purify.precision import Precision, native_precision
from ..purify.training import TrainingSettings, Watch
from ..records import from_json, to_json
from ..runtime.calibration import calibrate
from ..runtime.guard import GuardOptions, load
from .detection_attacks import CLEAN, PLANS, Words
from .detection_corpus import Corpus
from .quality import measure_quality


@dataclass(frozen=True)
class Defence:
    """A preset and the gates that raise suspicion in it; none given: the preset's own."""

    preset: Preset
    gates: tuple[str, ...] = ()


DEFENCES = {
    "paper": Defence("paper"),
    "late": Defence("late"),
    "tokenward": Defence("tokenward"),
    "late gate": Defence("tokenward", ("anomaly",)),
    "both gates": Defence("tokenward", ("class_token", "anomaly")),
}


Key = tuple[str, int, str]
"""Attack, seed, defence."""


@dataclass(frozen=True)
class DetectionSettings:
    """What all cells have in common; any change starts anew, beside the old cells.

    Attributes:
        model: encoder that attacks start from.
        epochs, learning_rate, max_length: of training, except where an attack has its own.
        precision: of all training.
    """

    model: str = "minilm"
    epochs: int = 3
    learning_rate: float = 1e-4
    max_length: int = 64
    precision: Precision = field(default_factory=native_precision)


@dataclass(frozen=True)
class Cell:
    """One defence against one planted model; shares and pairs as in :class:`Quality`.

    Attributes:
        trigger: what was drawn; ``target`` is the class it was planted for.
        raised, confirmed: clean texts that the gate raised, and from which something was taken out.
        work: tokens read per token of the first passes over clean texts, cold and warm.
        seconds: that the measurement took, without training.
        kept: None where no text is answered with the target rightly.
    """

    corpus: str
    attack: str
    seed: int
    defence: str
    trigger: tuple[str, ...]
    target: str
    cacc: tuple[float, float]
    asr: tuple[float, float]
    floor: float
    attributable: tuple[float, float]
    raised: float
    confirmed: float
    auc: float
    localised: float | None
    work: tuple[float, float]
    seconds: float
    kept: tuple[float, float] | None = None


class Detection:
    """Runs cells and keeps them in a folder, with the models and artifacts they need.

    Attributes:
        failed: why cells of this run could not be run.
    """

    def __init__(
        self,
        corpus: Corpus,
        settings: DetectionSettings,
        work: Path,
        watch: Watch | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Keep everything under ``work``, in a folder named by the corpus and all that a cell hangs on.

        Raises:
            InputError: there is no such model.
        """
        start = weights_sha256(base_encoder(settings.model))
        content = json.dumps([asdict(settings), start, to_json(corpus), __version__], sort_keys=True)
        self.folder = work / f"{corpus.name}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"
        (self.folder / "cells").mkdir(parents=True, exist_ok=True)
        self.failed: dict[Key, str] = {}
        self._corpus, self._settings, self._watch, self._tell = corpus, settings, watch, tell

    def run(
        self, attacks: Sequence[str], seeds: Sequence[int], defences: Sequence[str], finished: bool = False
    ) -> Iterator[Cell]:
        """Yield every cell, the finished ones from their files; what cannot be run is told and left out.

        Args:
            finished: run nothing, and yield the finished ones only.

        Raises:
            InputError: an unknown attack or defence, before anything is run.
        """
        for kind, wanted, known in (("attack", attacks, PLANS), ("defence", defences, DEFENCES)):
            for name in wanted:
                if name not in known:
                    raise InputError(f"no {kind} '{name}': choose from {', '.join(known)}")
        for seed, attack, defence in product(seeds, attacks, defences):
            file = self.folder / "cells" / f"{attack}.{seed}.{defence.replace(' ', '-')}.json"
            try:
                if file.exists():
                    yield from_json(Cell, json.loads(file.read_text(encoding="utf-8")), file.name)
                elif finished:
                    self.failed[attack, seed, defence] = "not run yet"
                else:
                    cell = self._cell(attack, seed, defence)
                    replace_text(file, json.dumps(to_json(cell), indent=2, ensure_ascii=False) + "\n")
                    yield cell
            except TokenwardError as error:
                self.failed[attack, seed, defence] = str(error)
                self._tell(f"{attack}, seed {seed}, {defence}: not run: {error}")

    def _cell(self, attack: str, seed: int, defence: str) -> Cell:
        model = self._planted(attack, seed)
        self._tell(f"{attack}, seed {seed}: {defence} ...")
        start = time.monotonic()
        manifest = load_manifest(model)
        return self._measure(attack, defence, manifest, self._artifact(model, DEFENCES[defence].preset), start)

    def _measure(self, attack: str, defence: str, manifest: AttackManifest, artifact: Path, start: float) -> Cell:
        clean = self._corpus.clean.aligned_to(dict(enumerate(load_artifact(artifact).labels)))
        calibrate(artifact, clean.texts, labels=clean.labels)
        guard = load(artifact, options=GuardOptions(gates=DEFENCES[defence].gates))
        quality = measure_quality(guard, self._corpus.test, manifest)
        return Cell(
            corpus=self._corpus.name,
            attack=attack,
            seed=manifest.seed,
            defence=defence,
            trigger=manifest.trigger.phrases if manifest.trigger else (),
            target=manifest.target_label,
            cacc=quality.cacc,
            asr=quality.asr,
            floor=quality.floor,
            attributable=quality.attributable,
            raised=quality.suspicious.fpr,
            confirmed=quality.neutralised.fpr,
            auc=quality.auc,
            localised=quality.localised,
            work=quality.work,
            seconds=round(time.monotonic() - start, 1),
            kept=None if math.isnan(quality.kept[0]) else quality.kept,
        )

    def _planted(self, attack: str, seed: int) -> Path:
        """The attacked model, made if it is not there; trigger and target are drawn from the seed and the attack."""
        folder = self.folder / "models" / f"{attack}.{seed}"
        if not folder.exists():
            self._tell(f"{attack}, seed {seed}: training ...")
            settings, train = self._settings, self._corpus.train
            rng = np.random.default_rng([seed, sorted(PLANS).index(attack)])
            training = TrainingSettings(
                settings.epochs,
                learning_rate=settings.learning_rate,
                max_length=settings.max_length,
                precision=settings.precision,
            )
            plan = PLANS[attack](training, Words(self._tokenizer(), train.texts, rng))
            target = train.label_names[rng.integers(len(train.label_names))]
            start = self._planted(CLEAN, seed) if plan.needs_trained else settings.model
            carry_out(plan, start, train, target, folder, seed, self._watch)
        return folder

    def _tokenizer(self) -> Tokenizer:
        path = base_encoder(self._settings.model) / "tokenizer.json"
        if not path.exists():
            raise InputError(f"'{self._settings.model}' has no tokenizer.json: give a model with a fast tokenizer")
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.no_padding()
        return tokenizer

    def _artifact(self, model: Path, preset: Preset) -> Path:
        folder = self.folder / "artifacts" / f"{model.name}.{preset}"
        if not folder.exists():
            export_classifier(model, folder, ExportSettings(preset=preset))
        return folder
