"""The artifact: the folder that a guarded model is, written whole or not at all, verified on every load."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .checksums import SUMS, seal, verify, weights_sha256
from .errors import ArtifactError, InputError
from .files import replace_text
from .records import from_json, to_json

SCHEMA = 1
GRAPH = "model.onnx"
_WEIGHTS = f"{GRAPH}.data"  # of graphs that are too large for one file
REQUIRED = (GRAPH, "config.json", "tokenizer.json", "guard.json", "README.md")

Preset = Literal["paper", "late", "tokenward", "custom"]
Pooling = Literal["class", "mean", "last"]


@dataclass(frozen=True)
class GraphInfo:
    """What the guarded graph computes and from where.

    Attributes:
        preset: the named choice of depths; ``custom`` for any other combination.
        gradient_layer: the gradient is taken at the input of this layer; 0 is the word embeddings.
        attention_layers: layers (from 0) whose attention is averaged.
        pooling: which positions the classifier reads.
        packed: most is computed for real tokens alone, not for padding.
        layers: how many attention layers the model has; 0 in older artifacts.
        max_tokens: longest sequence the model takes, special tokens included.
        inputs, outputs: names in the graph, in order.
    """

    preset: Preset
    gradient_layer: int
    attention_layers: tuple[int, ...]
    pooling: Pooling
    narrowed: bool
    gated: bool
    precision: Literal["fp32", "fp16", "int8"]
    opset: int
    max_tokens: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    packed: bool = False
    layers: int = 0


@dataclass(frozen=True)
class Histogram:
    """Counts of clean scores between ``edges`` (one more edge than counts), kept to see drift later."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class GateFit:
    """A gate fitted on clean texts: suspicious where the calibrated score reaches ``threshold``.

    The calibrated score is log score − slope·log n − intercept if ``length_calibrated``, else the score itself.
    """

    percentile: float
    threshold: float
    length_calibrated: bool
    slope: float
    intercept: float
    histogram: Histogram


@dataclass(frozen=True)
class LayerScale:
    """What the class token looks at in a layer is measured by: exp(slope·log n + intercept) in a text of n tokens.

    So much attention the strongest word draws there in 95 % of the clean texts at most.
    """

    slope: float
    intercept: float


@dataclass(frozen=True)
class Reference:
    """A clean text that the model confidently puts in class ``label``; suspects are transplanted into it.

    Attributes:
        ease: the mean margin by which words of another class lead where they are put into it.
        turned: share of clean texts, of those of another class that get a second look, whose words turn it; None
            where that was not measured.
    """

    text: str
    label: int
    confidence: float
    ease: float = 0.0
    turned: float | None = None


@dataclass(frozen=True)
class Calibration:
    """What was learnt from clean texts: one fit per gate, and the references for transplants.

    Attributes:
        known: trigger words that a scan confirmed, by the label they bring about.
        vouched: words that labelled clean texts show to go with a class, by its label: never suspects there.
        bars: where vouched words turn references as a trigger does, the margin that a trigger must exceed in each, by
            label and text of the reference.
        sure: for each class, the margin from which on a text is screened; empty where none is.
        middling: the same for texts that stand out more than most of the clean ones; an answer under it may hang on
            little.
        natural: of the words that a scan confirmed, known or not, those that clean texts have, by the same label.
        leeway: by label, how much of the usual unevenness a trigger may have (see :mod:`.runtime.leeway`); all of it
            where no number is given.
        layers: a scale for each layer; empty where the class token of the last layer alone is read.
        long_references: others, of a length that more texts have; none where the clean texts are short.
    """

    texts: int
    texts_sha256: str
    gates: dict[str, GateFit]
    references: tuple[Reference, ...]
    known: dict[str, tuple[str, ...]] = field(default_factory=dict)
    vouched: dict[str, tuple[str, ...]] = field(default_factory=dict)
    bars: dict[str, dict[str, float]] = field(default_factory=dict)
    sure: tuple[float, ...] = ()
    middling: tuple[float, ...] = ()
    natural: dict[str, tuple[str, ...]] = field(default_factory=dict)
    leeway: dict[str, float] = field(default_factory=dict)
    layers: tuple[LayerScale, ...] = ()
    long_references: tuple[Reference, ...] = ()


@dataclass(frozen=True)
class GuardFile:
    """The content of ``guard.json``.

    Attributes:
        family: the model type, such as ``bert``.
        checkpoint: where the weights came from, and ``checkpoint_sha256`` of them.
        parity: largest relative error per output against the source model, found at export.
        versions: packages that made the artifact.
        purification: report of the purifier, if the checkpoint went through one.
        agreement: for graphs of lower precision, shares of texts that they decide as the fp32 graph does.
    """

    family: str
    checkpoint: str
    checkpoint_sha256: str
    graph: GraphInfo
    parity: dict[str, float]
    versions: dict[str, str]
    calibration: Calibration | None = None
    purification: dict[str, Any] | None = None
    agreement: dict[str, float] | None = None
    schema: int = SCHEMA


@dataclass(frozen=True)
class Artifact:
    """A verified artifact folder.

    Attributes:
        labels: class names by index, from ``id2label`` of ``config.json``.
        digest: SHA-256 of ``SHA256SUMS``, which names this exact artifact.
    """

    path: Path
    guard: GuardFile
    config: dict[str, Any] = field(repr=False)
    labels: tuple[str, ...]
    digest: str

    @property
    def model_path(self) -> Path:
        """The guarded ONNX graph."""
        return self.path / GRAPH

    @property
    def graph_files(self) -> tuple[Path, ...]:
        """The graph, and the file with its weights where it has one."""
        return tuple(path for path in (self.model_path, self.path / _WEIGHTS) if path.name == GRAPH or path.exists())

    def check_source(self, checkpoint: Path) -> None:
        """Make sure that the artifact was exported from a checkpoint, before the two are compared.

        Raises:
            InputError: there is no checkpoint, or it is another one.
        """
        if not any(checkpoint.glob("*.safetensors")):
            raise InputError(f"no checkpoint at '{checkpoint}': name the one that was exported with --model")
        if weights_sha256(checkpoint) != self.guard.checkpoint_sha256:
            raise InputError(f"'{self.path}' was exported from another checkpoint than '{checkpoint}': give that one")

    @property
    def tokenizer_path(self) -> Path:
        """The fast tokenizer."""
        return self.path / "tokenizer.json"


def load_artifact(path: str | Path, with_graph: bool = True) -> Artifact:
    """Read and verify an artifact folder.

    Args:
        path: the folder.
        with_graph: ``model.onnx`` must be there; without, it and its weights may be missing (an inference server holds
            them elsewhere).

    Raises:
        ArtifactError: the folder or a file is missing, a checksum differs, or the schema is unknown.
    """
    folder = Path(path)
    digest = verify(folder, REQUIRED, () if with_graph else (GRAPH, _WEIGHTS))
    data = _read_json(folder / "guard.json")
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        raise ArtifactError(f"guard.json has schema {schema!r}, this version reads {SCHEMA}: export the model again")
    config = _read_json(folder / "config.json")
    labels = config.get("id2label") if isinstance(config, dict) else None
    if not isinstance(labels, dict) or not labels or labels.keys() != set(map(str, range(len(labels)))):
        raise ArtifactError("config.json has no id2label numbered from 0: export the model again")
    names = tuple(str(labels[str(i)]) for i in range(len(labels)))
    if len(set(names)) < len(names):
        raise ArtifactError("config.json gives two classes one name: rename one in id2label and export the model again")
    guard = from_json(GuardFile, data, "guard.json")
    calibrated = len(guard.calibration.sure) if guard.calibration else 0
    if calibrated and calibrated != len(names):
        raise ArtifactError(f"config.json names {len(names)} classes, guard.json is of {calibrated}: export it again")
    return Artifact(folder, guard, config, names, digest)


@contextmanager
def writing(out_dir: str | Path) -> Iterator[Path]:
    """Yield an empty folder beside ``out_dir``; seal it and move it there when the block ends well.

    An error or Ctrl-C inside the block leaves nothing behind.

    Raises:
        ArtifactError: ``out_dir`` exists already, or its parent cannot be written.
    """
    target = Path(out_dir).resolve()
    if target.exists():
        raise ArtifactError(f"'{out_dir}' exists already: choose another folder or remove it first")
    with _beside(target) as folder:
        yield folder
        seal(folder)
        folder.rename(target)


@contextmanager
def rewriting(path: str | Path) -> Iterator[Path]:
    """Yield a copy of the artifact at ``path`` (hard links, so cheap); swap it in when the block ends well.

    Files in the copy must be replaced, never changed in place, which :func:`write_guard` respects.

    Raises:
        ArtifactError: there is no sound artifact at ``path`` (an altered one must not be sealed anew).
    """
    target = Path(path).resolve()  # a link such as `current` keeps pointing at the folder it points at
    verify(target, REQUIRED)
    with _beside(target) as folder:
        for source in target.iterdir():
            if source.name != SUMS:
                _link(source, folder / source.name)
        yield folder
        seal(folder)
        old = folder.with_suffix(".old")
        target.rename(old)
        try:
            folder.rename(target)
        except BaseException:  # Ctrl-C between the two renames, too
            old.rename(target)
            raise
        shutil.rmtree(old)


def check_replaceable(path: str | Path) -> None:
    """Find out before long work whether :func:`rewriting` can put another folder in an artifact's place.

    Raises:
        ArtifactError: the folder around it cannot be written.
    """
    with _beside(Path(path).resolve()):
        pass


def write_guard(folder: Path, guard: GuardFile, labels: tuple[str, ...]) -> None:
    """Write ``guard.json`` and the model card into a folder that is being written."""
    from .card import render_card

    replace_text(folder / "guard.json", json.dumps(to_json(guard), indent=2, allow_nan=False) + "\n")
    replace_text(folder / "README.md", render_card(guard, labels))


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
    except OSError as error:
        raise ArtifactError(f"cannot write beside '{target}': {error.strerror}") from error
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(source, target)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path.name} is not valid JSON: {error}") from error


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")
