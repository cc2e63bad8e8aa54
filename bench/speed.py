"""End-to-end speed, text in and answer out: the guard, the undefended model, and the published method in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ..artifact import load_artifact
from ..errors import InputError
from ..runtime.cores import usable_cores
from ..runtime.guard import Guard, GuardOptions, load
from .alternation import Spread, System, alternate, ratio, spread
from .bare_onnx import BareOnnx, export_bare
from .peers.xgraad import PlainXGraad

GUARDED = "guarded"
COLD = "guarded, cold cache"
BARE = "undefended, ONNX"
BARE_SETTINGS = "default settings of ONNX Runtime"
PLAIN = "published, PyTorch"


@dataclass(frozen=True)
class SpeedRow:
    """One system: texts per second, and how many times as fast as two others it is."""

    name: str
    texts_per_second: Spread
    times_plain: Spread
    times_bare: Spread


@dataclass(frozen=True)
class SpeedReport:
    """One alternating run.

    Attributes:
        preset: of the artifact.
        agreement: share of texts that guard and published method answer alike; None where the artifact's preset
            is not the published method.
    """

    rows: tuple[SpeedRow, ...]
    preset: str
    texts: int
    rounds: int
    threads: int
    agreement: float | None


def measure_speed(
    artifact: Path,
    model_dir: Path,
    texts: Sequence[str],
    rounds: int = 5,
    progress: Callable[[str], None] | None = None,
) -> SpeedReport:
    """Time the three systems on the same texts in one alternating run.

    All use the same number of threads, and read as much of a text. The undefended model runs in ONNX Runtime's default
    settings, as one that nobody has tuned; `bench overhead` has it at its best ones. The published method gets its
    texts sorted by length, so that it does not lose time to padding; the other two sort by themselves.

    Args:
        artifact: a calibrated artifact.
        model_dir: the checkpoint it was exported from.
        texts: what to classify; the share of them that is suspicious sets the share of second looks.
        rounds: timed runs of each system.
        progress: see :func:`alternate`; there are ``rounds + 1`` runs of each system.

    Raises:
        InputError: no texts, or the artifact was exported from another checkpoint.
    """
    import torch

    if not texts:
        raise InputError("no texts to measure with: give a file with some hundred")
    load_artifact(artifact).check_source(model_dir)
    threads = usable_cores()
    torch.set_num_threads(threads)
    options = GuardOptions(threads=threads)
    by_length = sorted(texts, key=len)
    guard = load(artifact, options=options)
    plain = PlainXGraad(model_dir, max_tokens=guard.reader.tokenizer.max_tokens)
    published = guard.artifact.guard.graph.preset == "paper"
    with TemporaryDirectory() as folder:
        export_bare(model_dir, Path(folder) / "bare.onnx")
        bare = BareOnnx(Path(folder) / "bare.onnx", guard.reader.tokenizer, threads)
    agreement = None
    calibration = guard.artifact.guard.calibration
    if published and calibration:
        plain.threshold = calibration.gates["anomaly"].threshold
        agreement = _agreement(guard, plain, by_length)
    else:
        plain.fit(by_length)
    systems = [
        System(GUARDED, lambda: guard.classify(by_length)),
        System(BARE, lambda: bare.classify(by_length)),
        System(PLAIN, lambda: plain.classify(by_length)),
    ]
    if guard.judge and guard.artifact.guard.graph.preset == "tokenward":
        cold = [guard]

        def fresh() -> None:
            cold[0] = load(artifact, options=options)

        systems.append(System(COLD, lambda: cold[0].classify(by_length), fresh))
    seconds = alternate(systems, rounds, progress=progress)
    rows = tuple(
        SpeedRow(
            system.name,
            spread([len(texts) / s for s in seconds[system.name]]),
            ratio(seconds, system.name, PLAIN),
            ratio(seconds, system.name, BARE),
        )
        for system in systems
    )
    return SpeedReport(rows, guard.artifact.guard.graph.preset, len(texts), rounds, threads, agreement)


def _agreement(guard: Guard, plain: PlainXGraad, texts: Sequence[str]) -> float:
    labels = [None if answer.label is None else guard.labels[answer.label] for answer in plain.classify(texts)]
    verdicts = guard.classify(texts)
    return sum(v.label == label for v, label in zip(verdicts, labels, strict=True)) / len(texts)
