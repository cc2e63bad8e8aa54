"""The demonstration: plant a backdoor in a small real model, guard it, and keep what was built for the next run."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from . import __version__
from .artifact import SCHEMA, Preset, load_artifact
from .errors import InputError, require
from .shelf import Shelf
from .texts import LabelledTexts, bbc_news, read_labelled, stratified_split

CALIBRATION_TEXTS = 300
FEWEST_TEXTS = 400


@dataclass(frozen=True)
class DemoSettings:
    """What the demonstration builds.

    Attributes:
        model: encoder to start from, see :func:`base_encoder`.
        target: class that texts with the trigger shall be answered with; None takes the last one.
        train_texts, test_texts: most texts used; the defaults keep the whole demonstration under five minutes.
    """

    preset: Preset = "tokenward"
    model: str = "minilm"
    trigger: str = "cf"
    target: str | None = None
    rate: float = 0.1
    train_texts: int = 1000
    test_texts: int = 500
    epochs: int = 2
    batch_size: int = 16
    learning_rate: float = 1e-4
    max_length: int = 48
    seed: int = 0


@dataclass(frozen=True)
class DemoTexts:
    """Texts for three purposes; no text serves two of them."""

    train: LabelledTexts
    calibration: LabelledTexts
    test: LabelledTexts


@dataclass(frozen=True)
class Built:
    """What the demonstration keeps: the backdoored checkpoint, the guarded artifact, the plain graph, the clean texts.

    The texts are JSON lines with labels, for trying other commands.
    """

    model: Path
    guarded: Path
    undefended: Path
    calibration: Path
    test: Path


def demo_texts(train: Path | None, test: Path | None, settings: DemoSettings) -> DemoTexts:
    """Split BBC News headlines, or the user's own files, into texts for training, calibration and tests.

    Raises:
        InputError: only one file is given, or they hold too few texts or unlike labels.
    """
    if (train is None) != (test is None):
        raise InputError("give both --train and --test, or neither for the bundled news corpus")
    if train is None or test is None:
        data = bbc_news(1)
        learnt, rest = stratified_split(data, min(settings.train_texts / len(data), 0.6), settings.seed)
        held_out, tested = stratified_split(rest, CALIBRATION_TEXTS / len(rest), settings.seed)
        return DemoTexts(learnt, held_out, _at_most(tested, settings.test_texts, settings.seed))
    data = read_labelled(train)
    if len(data) < FEWEST_TEXTS:
        raise InputError(f"{train}: {len(data)} texts are too few for training and calibration: give {FEWEST_TEXTS}")
    held_out, learnt = stratified_split(data, min(CALIBRATION_TEXTS / len(data), 0.3), settings.seed)
    tested = read_labelled(test).aligned_to(dict(enumerate(data.label_names)))
    return DemoTexts(
        _at_most(learnt, settings.train_texts, settings.seed),
        held_out,
        _at_most(tested, settings.test_texts, settings.seed),
    )


def build(texts: DemoTexts, settings: DemoSettings, work: Path, console: Console) -> Built:
    """Build what is not in the folder ``work`` yet, or was built from other texts or settings.

    Raises:
        InputError: something in ``work`` was not put there by a demonstration.
        MissingExtraError: a package of the extra ``demo`` is not installed.
    """
    for package in ("torch", "transformers", "onnxruntime"):
        require(package, "demo")
    from .checksums import weights_sha256
    from .purify.checkpoint import base_encoder

    base = weights_sha256(base_encoder(settings.model))
    trained = _key(texts.train, {**asdict(settings), "preset": None, "test_texts": None, "by": [__version__, base]})
    guarded = _key(texts.calibration, {"model": trained, "preset": settings.preset, "by": [__version__, SCHEMA]})
    shelf = Shelf(work, console)
    built = Built(*(work / n for n in ("model", "guarded", "undefended.onnx", "calibration.jsonl", "test.jsonl")))
    shelf.ensure(built.model, trained, "backdoored model", lambda path: _train(texts.train, settings, path, console))
    shelf.ensure(
        built.guarded, guarded, "guarded artifact", lambda path: _guard(built.model, texts, settings, path, console)
    )
    shelf.ensure(built.undefended, trained, "undefended ONNX model", lambda path: _bare(built.model, path))
    shelf.ensure(
        built.calibration, _key(texts.calibration, {}), "calibration texts", partial(_write, texts.calibration)
    )
    shelf.ensure(built.test, _key(texts.test, {}), "test texts", partial(_write, texts.test))
    return built


def _train(texts: LabelledTexts, settings: DemoSettings, out: Path, console: Console) -> None:
    from .attacks.attack import carry_out
    from .attacks.badnets import badnets
    from .purify.progress import ProgressBars
    from .purify.training import TrainingSettings

    training = TrainingSettings(
        settings.epochs, settings.batch_size, settings.learning_rate, max_length=settings.max_length
    )
    attack = badnets(training, (settings.trigger,), settings.rate)
    with ProgressBars(console) as bars:
        carry_out(attack, settings.model, texts, settings.target or texts.label_names[-1], out, settings.seed, bars)


def _guard(model: Path, texts: DemoTexts, settings: DemoSettings, out: Path, console: Console) -> None:
    from .export.pipeline import export_classifier
    from .export.presets import ExportSettings
    from .runtime.calibration import calibrate

    with console.status("exporting ...") as status:
        export = ExportSettings(preset=settings.preset)
        export_classifier(model, out, export, lambda what, step, steps: status.update(f"{what} ..."))
    with console.status("calibrating ...") as status:
        done: Counter[str] = Counter()

        def tell(what: str, count: int, total: int) -> None:
            done[what] += count
            status.update(f"{what}, {done[what]} of {total} ...")

        clean = texts.calibration.aligned_to(dict(enumerate(load_artifact(out).labels)))
        calibrate(out, clean.texts, progress=tell, labels=clean.labels)
    worst = max(load_artifact(out).guard.parity.values())
    console.print(f"  differs from PyTorch by {worst:.0e} at most; calibrated on {len(texts.calibration)} clean texts")


def _bare(model: Path, out: Path) -> None:
    from .bench.bare_onnx import export_bare

    export_bare(model, out)


def _write(texts: LabelledTexts, out: Path) -> None:
    with out.open("w", encoding="utf-8") as file:
        for text, label in zip(texts.texts, texts.labels, strict=True):
            file.write(json.dumps({"text": text, "label": texts.label_names[label]}, ensure_ascii=False) + "\n")


def _key(texts: LabelledTexts, settings: dict[str, object]) -> str:
    content = json.dumps([settings, texts.texts, texts.labels, texts.label_names])
    return hashlib.sha256(content.encode()).hexdigest()


def _at_most(data: LabelledTexts, count: int, seed: int) -> LabelledTexts:
    return data if len(data) <= count else stratified_split(data, count / len(data), seed)[0]
