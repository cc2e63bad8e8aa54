"""How an artifact is deployed on Triton Inference Server: every choice in one place, each checked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import get_args

from ..errors import InputError
from ..runtime.confirmation import Fallback
from ..runtime.verdict import MODES, Mode

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class TritonSettings:
    """Choices for one model of a repository.

    Attributes:
        name: model that clients call; its graph is ``<name>_graph``.
        labels: class names in the artifact's order; None takes the artifact's own.
        max_batch: most texts in one request and in one merged batch.
        queue_delay_us: how long, in microseconds, a request may wait for batch mates.
        queue_size: requests waiting beyond this are refused as unavailable; 0 for no limit. A limit of any kind makes
            single requests stall for up to half a second now and then (see :func:`.config.guard_config`).
        queue_timeout_ms: requests that waited longer are refused as unavailable; 0 for no limit; stalls likewise.
        instances: processes that tokenise and decide, and instances of the graph on every device.
        gpus: GPUs that the graph runs on; 0 runs it on CPU.
        self_contained: the Python model opens ONNX Runtime itself, for servers without the onnxruntime backend.
        threads: threads inside an operator, per graph instance on CPU; 0 takes one per core.
        mode: what requests get that do not say a mode.
        fallback: what happens to a suspicious text when the budget for second looks is spent.
        max_text_bytes: longer texts are refused; models read far less. Texts are tokenised whole, one call of the model
            after another, so a full batch of the longest keeps all others waiting: for seconds, at the default.
    """

    name: str
    labels: tuple[str, ...] | None = None
    max_batch: int = 32
    queue_delay_us: int = 1000
    queue_size: int = 0
    queue_timeout_ms: int = 0
    instances: int = 1
    gpus: int = 0
    self_contained: bool = False
    threads: int = 0
    mode: Mode = "enforce"
    fallback: Fallback = "repair"
    max_text_bytes: int = 20_000

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            InputError: naming the first field that cannot be used, and what is expected.
        """
        if not _NAME.fullmatch(self.name):
            raise InputError(f"model name {self.name!r:.60}: use letters, digits, '_', '-' and '.', 100 at most")
        for field, least, most in _RANGES:
            value = getattr(self, field)
            if not least <= value <= most:
                raise InputError(f"{field.replace('_', '-')} is {value}, expected {least} to {most}")
        for field, allowed in (("mode", MODES), ("fallback", get_args(Fallback))):
            if getattr(self, field) not in allowed:
                raise InputError(f"{field} is {getattr(self, field)!r:.60}, expected one of {', '.join(allowed)}")
        if self.self_contained and self.gpus:
            raise InputError("a self-contained model runs on CPU: leave --gpu out, or use the onnxruntime backend")
        if self.labels is not None:
            check_labels(self.labels)

    @property
    def graph_name(self) -> str:
        """The model that holds the guarded graph."""
        return f"{self.name}_graph"


_RANGES = (
    ("max_batch", 1, 4096),
    ("queue_delay_us", 0, 1_000_000),
    ("queue_size", 0, 1_000_000),
    ("queue_timeout_ms", 0, 3_600_000),
    ("instances", 1, 64),
    ("gpus", 0, 64),
    ("threads", 0, 1024),
    ("max_text_bytes", 1, 16 * 1024 * 1024),
)


def check_labels(labels: tuple[str, ...]) -> None:
    """Refuse names that a server cannot have; it writes them one a line.

    Raises:
        InputError: a name is empty, not printable or given twice.
    """
    for label in labels:
        if not label.strip() or not label.isprintable():
            raise InputError(f"label {label!r:.60} is empty or has control characters: give printable names")
    if len(set(labels)) < len(labels):
        raise InputError(f"labels {', '.join(labels)} name one class twice: give each class its own name")
