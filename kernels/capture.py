"""Small batches as CUDA graphs: they cost more in launches than in arithmetic, and a graph is one launch.

A graph repeats the same kernels on the same memory, so texts are padded to one of a few shapes, recorded once each.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from .guarded import Found, Guarded, Inputs
from .segments import Segments
from .token_scores import TokenScores

T = TypeVar("T")

GRAPHS = 48  # shapes that are kept
_WARM_UPS = 2  # kernels are compiled and libraries choose their algorithms before the recording


class _Recording(NamedTuple):
    inputs: Inputs
    repeat: Callable[[], Found]


class Recordings:
    """Runs small batches by shape; not safe to call from two threads at a time.

    Args:
        model: what is run.
        with_received: passes without a gradient compute attention received.
    """

    def __init__(self, model: Guarded, with_received: bool, device: torch.device) -> None:
        self._model = model
        self._with_received = with_received
        self._device = device
        # One recording at a time is in use, so they can share their memory; only their results are kept apart.
        self._pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None
        self._kept: OrderedDict[tuple[int, int, bool], _Recording] = OrderedDict()

    def run(self, ids: NDArray[Any], positions: NDArray[Any], mask: NDArray[np.bool_], gradient: bool) -> Found:
        """Run a padded batch [B, S]; per-row results are those of its real tokens, texts end to end."""
        shape = padded_shape(*mask.shape)
        inputs, repeat = self._recording((*shape, gradient))
        real = np.zeros(shape, np.bool_)
        real[: len(mask), : mask.shape[1]] = mask
        for target, source in ((inputs.ids, ids), (inputs.positions, positions)):
            wide = np.zeros(shape, np.int64)
            wide[real] = source[mask]
            target.copy_(torch.from_numpy(wide.ravel()))
        inputs.texts.lengths.copy_(torch.from_numpy(real.sum(axis=1, dtype=np.int32)))
        found, rows, texts = repeat(), torch.from_numpy(np.flatnonzero(real)).to(self._device), len(mask)
        scores = found.scores and TokenScores(
            found.scores.saliency[rows], found.scores.scores[rows],
            found.scores.anomaly[:texts], found.scores.suspect[:texts],
        )  # fmt: skip
        return Found(found.logits[:texts], found.class_attention[rows], found.received[rows], scores)

    def _recording(self, key: tuple[int, int, bool]) -> _Recording:
        if key not in self._kept:
            texts, width, gradient = key
            while len(self._kept) >= GRAPHS:
                self._kept.popitem(last=False)
            ids, positions = torch.zeros(2, texts * width, dtype=torch.int64, device=self._device)
            inputs = Inputs(ids, positions, Segments.padded([width] * texts, width, self._device))
            computation = (
                partial(self._model.with_gradient, inputs)
                if gradient
                else partial(self._model.without_gradient, inputs, self._with_received)
            )
            self._kept[key] = _Recording(inputs, capture(computation, self._device, self._pool))
        self._kept.move_to_end(key)
        return self._kept[key]


def capture(computation: Callable[[], T], device: torch.device, pool: Any) -> Callable[[], T]:
    """Record ``computation``; calling what is returned repeats it and gives the same tensors with new values in them.

    It must read its inputs from tensors that stay where they are, never wait for the device, and launch the same
    kernels every time. Without a GPU there is nothing to record: it is returned as it is.

    Args:
        pool: memory shared with other recordings (``torch.cuda.graph_pool_handle()``).
    """
    if device.type != "cuda":
        return computation
    with torch.cuda.device(device):
        stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                computation()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            result = computation()

    def repeat() -> T:
        graph.replay()
        return result

    return repeat


def padded_shape(texts: int, width: int) -> tuple[int, int]:
    """The recorded shape: texts to a power of two up to 8 and to a multiple of 8 above, tokens to a multiple of 32."""
    return 1 << (texts - 1).bit_length() if texts <= 8 else -(-texts // 8) * 8, -(-width // 32) * 32
