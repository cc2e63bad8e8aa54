"""The systems that `bench.overhead` times: the bare model, the guard in every mode, and the peers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from ..artifact import Artifact, load_artifact
from ..errors import ArtifactError, InputError
from ..runtime.engine_onnx import OnnxEngine
from ..runtime.guard import Guard, GuardOptions, tokenizer_of
from ..runtime.tokenization import Tokenizer
from ..runtime.verdict import Mode
from .bare_onnx import BareOnnx
from .bare_torch import BareTorch
from .defence_names import BARE, defence_names
from .drawing import drawn_texts
from .peers.language_model import check_language_model
from .peers.peer import Peer
from .peers.registry import PEERS, PeerName, PeerSetup, make_peer
from .tally import CountingEngine, Tally

BEST = "best settings"
_MODES: dict[str, Mode] = {"off": "off", "monitor": "monitor", "enforce, cold": "enforce", "enforce, warm": "enforce"}
_CALIBRATION = 40  # texts that a peer is fitted on: its cost hardly depends on them
_CALIBRATION_BY_LANGUAGE_MODEL = 2  # texts, where each takes seconds


@dataclass(frozen=True)
class Setup:
    """What is timed and on what; plain values, so that a process of its own can build any system of it.

    Attributes:
        artifacts: calibrated folders, exported from the checkpoint ``model_dir``.
        graph: the checkpoint's plain forward pass (:func:`~.bare_onnx.export_bare`).
        texts: what is classified.
        language_model: folder of a causal language model; None for random weights.
        threads: of every system.
        peers: which of them take part.
    """

    artifacts: tuple[Path, ...]
    model_dir: Path
    graph: Path
    texts: tuple[str, ...]
    language_model: Path | None
    threads: int
    peers: tuple[PeerName, ...]


@dataclass(frozen=True)
class Contestant:
    """A system that is ready to run.

    Attributes:
        labels: of its rows in the record.
        classify: answers texts.
        tally: counts its passes.
        prepare: called before each timed run.
        settings: for the report.
    """

    labels: Mapping[str, str]
    classify: Callable[[Sequence[str]], object]
    tally: Tally
    prepare: Callable[[], object]
    settings: Mapping[str, float | int | str]


def check_setup(setup: Setup) -> None:
    """Raise before anything slow is done.

    Raises:
        InputError: no texts, no checkpoint, no language model where one is named, or an artifact was not exported
            from the checkpoint.
        ArtifactError: an artifact is not calibrated.
    """
    if not setup.texts:
        raise InputError("no texts to measure with: give a file with some hundred")
    if setup.language_model is not None:
        check_language_model(setup.language_model)
    for path in setup.artifacts:
        artifact = load_artifact(path)
        artifact.check_source(setup.model_dir)
        if artifact.guard.calibration is None:
            raise ArtifactError(f"'{path}' is not calibrated: run 'tokenward calibrate' on it with clean texts")


class Systems:
    """Builds the systems of a setup by name; what several of them need is loaded once.

    Args:
        setup: see :class:`Setup`.
        calibration: most texts that a peer is fitted on.
    """

    def __init__(self, setup: Setup, calibration: int = _CALIBRATION) -> None:
        self._setup = setup
        self._calibration = calibration
        artifacts = [load_artifact(path) for path in setup.artifacts]
        self._artifacts = dict(zip(defence_names(artifacts), artifacts, strict=True))
        self._engines: dict[str, CountingEngine] = {}
        self._builders: dict[str, Callable[[], Contestant]] = {
            "PyTorch": self._torch,
            "default": partial(self._onnx, "default settings", tuned=False),
            "best": partial(self._onnx, BEST, tuned=True),
            **{f"{name}, {mode}": partial(self._guarded, name, mode) for name in self._artifacts for mode in _MODES},
            **{PEERS[peer]: partial(self._peer, peer) for peer in setup.peers},
        }

    @property
    def names(self) -> tuple[str, ...]:
        """Of all systems."""
        return tuple(self._builders)

    def build(self, name: str) -> Contestant:
        """Make one system ready to run."""
        return self._builders[name]()

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return tokenizer_of(next(iter(self._artifacts.values())))

    def _torch(self) -> Contestant:
        _pin_torch(self._setup.threads)
        bare = BareTorch(self._setup.model_dir, self._tokenizer)
        return Contestant({"defence": "bare PyTorch"}, bare.classify, bare.tally, _nothing, {"attention": "sdpa"})

    def _onnx(self, mode: str, tuned: bool) -> Contestant:
        bare = BareOnnx(self._setup.graph, self._tokenizer, self._setup.threads, tuned=tuned)
        return Contestant({"defence": BARE, "mode": mode}, bare.classify, bare.tally, _nothing, {})

    def _guarded(self, name: str, mode: str) -> Contestant:
        artifact, engine = self._artifacts[name], self._engine(name)
        serving = [_guard(artifact, engine, self._setup.threads)]

        def forget() -> None:
            serving[0] = _guard(artifact, engine, self._setup.threads)

        def remember() -> None:
            serving[0].classify(self._setup.texts)

        if mode == "enforce, warm":
            remember()
        return Contestant(
            {"defence": name, "mode": mode},
            lambda texts: serving[0].classify(texts, _MODES[mode]),
            engine.tally,
            forget if mode == "enforce, cold" else _nothing,
            _settings(artifact),
        )

    def _engine(self, name: str) -> CountingEngine:
        if name not in self._engines:
            artifact = self._artifacts[name]
            engine = OnnxEngine(artifact.model_path, self._setup.threads, packed=artifact.guard.graph.packed)
            self._engines[name] = CountingEngine(engine)
        return self._engines[name]

    def _peer(self, name: PeerName) -> Contestant:
        _pin_torch(self._setup.threads)
        setup = self._setup
        peer: Peer = make_peer(
            name,
            PeerSetup(setup.model_dir, setup.graph, self._tokenizer, setup.language_model, setup.threads),
            for_timing=True,
        )
        most = min(self._calibration, _CALIBRATION_BY_LANGUAGE_MODEL if name == "onion" else _CALIBRATION)
        texts = drawn_texts(setup.texts, most)
        peer.fit(texts)
        return Contestant(
            {"defence": peer.name}, peer.classify, peer.tally, _nothing, {**peer.settings, "fitted on": len(texts)}
        )


def _guard(artifact: Artifact, engine: CountingEngine, threads: int) -> Guard:
    return Guard(artifact, engine, GuardOptions(threads=threads))


def _settings(artifact: Artifact) -> dict[str, float | int | str]:
    calibration = artifact.guard.calibration
    assert calibration is not None
    gates = {f"{name} gate at percentile": fit.percentile for name, fit in calibration.gates.items()}
    return {"preset": artifact.guard.graph.preset, "precision": artifact.guard.graph.precision, **gates}


def _pin_torch(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def _nothing() -> None:
    pass
