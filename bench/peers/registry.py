"""The peers by name, made ready for one checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...errors import InputError
from ...runtime.tokenization import Tokenizer
from ..bare_onnx import BareOnnx
from .language_model import LanguageModel, load_language_model, random_gpt2
from .onion import Onion
from .peer import Peer
from .rap import Rap
from .rap_word import RapSettings
from .strip import Strip
from .xgraad import PlainXGraad

PeerName = Literal["onion", "strip", "rap", "xgraad"]
PEERS: dict[PeerName, str] = {"onion": Onion.name, "strip": Strip.name, "rap": Rap.name, "xgraad": PlainXGraad.name}

_STEPS_FOR_TIMING = 3  # what RAP's words have learnt does not change what they cost


class NotRunError(InputError):
    """A peer's needs are not met; the benchmark goes on without it and says why."""


@dataclass(frozen=True)
class PeerSetup:
    """What peers are built from.

    Attributes:
        model_dir: the checkpoint; ``graph`` is its plain forward pass in ONNX.
        tokenizer: of the guarded artifact, so that all read the same tokens.
        language_model: folder of a causal language model, for ONION.
        threads: of ONNX Runtime sessions.
    """

    model_dir: Path
    graph: Path
    tokenizer: Tokenizer
    language_model: Path | None
    threads: int


def make_peer(name: PeerName, setup: PeerSetup, for_timing: bool = False) -> Peer:
    """Build a peer at its best settings, still to be fitted.

    Args:
        name: which one.
        setup: see :class:`PeerSetup`.
        for_timing: only its cost matters: ONION may use a language model with random weights, RAP learns for a few
            steps. Both say so in their settings.

    Raises:
        NotRunError: ONION has no language model, and not only cost matters.
    """
    if name == "xgraad":
        return PlainXGraad(setup.model_dir, max_tokens=setup.tokenizer.max_tokens)
    if name == "rap":
        learning = RapSettings(steps=_STEPS_FOR_TIMING) if for_timing else RapSettings()
        return Rap(setup.model_dir, setup.graph, setup.tokenizer, setup.threads, learning=learning)
    classifier = BareOnnx(setup.graph, setup.tokenizer, setup.threads, tuned=True)
    if name == "strip":
        return Strip(classifier)
    return Onion(classifier, _language_model(setup, for_timing))


def _language_model(setup: PeerSetup, for_timing: bool) -> LanguageModel:
    if setup.language_model is not None:
        return load_language_model(setup.language_model)
    if not for_timing:
        raise NotRunError("no LM folder: ONION's quality needs a causal language model, give one with --lm")
    return random_gpt2(lambda texts: [encoding.ids.tolist() for encoding in setup.tokenizer.encode(texts)])
