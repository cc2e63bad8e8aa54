"""What a guarded graph is validated against: the source model itself, run plainly.

PyTorch sources are differentiated by autograd. A classifier that came as ONNX has no other implementation, so its
gradient is measured by central differences on the plain graph, which no rule of ours has touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from onnx_ir.passes import common

from ..errors import ExportError, first_line, require
from ..kernels.reference import saliency
from .discovery import Layout
from .forward import SourceModel

Feed = Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True)
class Truth:
    """One batch's plain pass.

    Attributes:
        logits: [B, classes].
        probabilities: attention [L, B, H, S, S] of all layers, rows are queries.
        saliency: [B, S], 0 at padding.
        noise: how far off a saliency may be because it was measured in rounded numbers.
    """

    logits: NDArray[Any]
    probabilities: NDArray[Any]
    saliency: NDArray[Any]
    noise: float = 0.0


class GroundTruth(Protocol):
    """A trusted implementation of the source model.

    Attributes:
        tolerance: largest relative error of a gradient that can be told from its own noise.
        shapes: batch and sequence sizes worth their cost.
    """

    tolerance: float
    shapes: tuple[tuple[int, int], ...]

    def __call__(self, feed: Feed) -> Truth:
        """Run one padded batch."""


class AutogradTruth:
    """PyTorch, eager attention, autograd at the input of layer ``gradient_layer`` (0: word embeddings)."""

    tolerance = 1e-4
    shapes: tuple[tuple[int, int], ...] = ((1, 9), (3, 6), (5, 17))

    def __init__(self, source: SourceModel, gradient_layer: int) -> None:
        self._module = source.module
        self._layer = gradient_layer

    def __call__(self, feed: Feed) -> Truth:
        """Run one padded batch."""
        embedded: list[torch.Tensor] = []
        hook = self._module.get_input_embeddings().register_forward_hook(lambda *call: embedded.append(call[-1]))
        try:
            result = self._module(
                **{name: torch.from_numpy(array) for name, array in feed.items()},
                output_attentions=True,
                output_hidden_states=self._layer > 0,
            )
        except (RuntimeError, ValueError, IndexError, TypeError) as error:  # what a module's own code may raise
            raise ExportError(f"the source model itself fails on a batch of texts: {first_line(error)}") from error
        finally:
            hook.remove()
        if not result.get("attentions"):
            raise ExportError("the source model does not say what it attends to: there is nothing to check against")
        source = result.hidden_states[self._layer] if self._layer else embedded[0]
        predicted = result.logits.max(dim=-1).values.sum()
        (gradient,) = torch.autograd.grad(predicted, source)
        return Truth(
            result.logits.detach().numpy(),
            np.stack([layer.detach().numpy() for layer in result.attentions]),
            saliency(gradient.numpy(), feed["attention_mask"].astype(np.bool_)),
        )


class DifferencesTruth:
    """A plain ONNX classifier; its gradient by central differences, one row of a batch per displaced coordinate.

    The cost is 2 · tokens · width short passes, hence the small shapes.
    """

    tolerance = 2e-2  # a step may cross the kink of a ReLU
    shapes: tuple[tuple[int, int], ...] = ((1, 5), (2, 4))
    _STEP = 1e-2  # of the root mean square of the hidden state
    _ROWS = 256
    _PROBES = 32  # coordinates that tell whether the step is too wide
    _CURVED = 2e-3  # of the largest slope: a tenth of the tolerance

    def __init__(self, plain: ir.Model, layout: Layout, gradient_layer: int, folder: Path) -> None:
        """Save two graphs in ``folder``: one that tells attention and hidden state, one that takes a hidden state.

        Args:
            plain: the classifier; taken apart, so give one of its own.
            layout: what was found in ``plain``.
        """
        graph = plain.graph
        hidden = layout.attention[gradient_layer].input if gradient_layer else layout.embedding
        graph.outputs[:] = [layout.logits, hidden, *(layer.weights for layer in layout.attention)]
        self._heads = [layer.heads for layer in layout.attention]
        self._plain = plain_session(plain, folder / "plain.onnx")

        graph.outputs[:] = [layout.logits]
        given = ir.Value(name="given_hidden_state", type=hidden.type, shape=hidden.shape)
        graph.inputs.append(given)
        hidden.replace_all_uses_with(given)
        common.RemoveUnusedNodesPass()(plain)
        self._displaced = plain_session(plain, folder / "displaced.onnx")

    def __call__(self, feed: Feed) -> Truth:
        """Run one padded batch."""
        logits, hidden, *weights = self._plain.run(None, accepted(self._plain, feed))
        size = len(logits)
        probabilities = [w.reshape(size, h, *w.shape[-2:]) for w, h in zip(weights, self._heads, strict=True)]
        rows = [self._gradient(feed, hidden, logits, row) for row in range(size)]
        return Truth(
            logits,
            np.stack(probabilities),
            saliency(np.stack([gradient for gradient, _ in rows]), feed["attention_mask"].astype(np.bool_)),
            max(noise for _, noise in rows),
        )

    def _gradient(self, feed: Feed, hidden: NDArray[Any], logits: NDArray[Any], row: int) -> tuple[NDArray[Any], float]:
        """∂z_ŷ/∂hidden of one text, [S, D], and how far rounding may put the norm at a token off.

        Differences are off by the curvature times step². Where half the step tells that this matters, both are put
        together so that it cancels: ∇ = (4·∇(h/2) − ∇(h)) / 3, which is off by step⁴, and by three times the rounding.
        """
        state, step = hidden[row], self._step(hidden[row])
        noise = self._noise(state, logits[row])
        slopes = self._slopes(feed, state, row, logits[row].argmax(), step)
        steepest = np.argsort(-np.abs(slopes))[: self._PROBES]
        finer = self._slopes(feed, state, row, logits[row].argmax(), step / 2, steepest)
        if np.abs(finer - slopes[steepest]).max() > self._CURVED * np.abs(slopes).max():
            finer = self._slopes(feed, state, row, logits[row].argmax(), step / 2)
            slopes, noise = (4 * finer - slopes) / 3, 3 * noise
        return slopes.reshape(state.shape), noise

    def _noise(self, state: NDArray[Any], logits: NDArray[Any]) -> float:
        """Bound what rounding adds to the norm of a gradient of D coordinates: √D · ε·|z| / step.

        Both logits of a difference are rounded to ε/2 of their size at best. Where a layer is saturated, or the logits
        are large beside what moves them, a sound gradient is smaller than that, and differences cannot show it.
        """
        rounded = float(np.finfo(np.float32).eps * np.abs(logits).max())
        return float(np.sqrt(state.shape[-1])) * rounded / self._step(state)

    def _step(self, state: NDArray[Any]) -> float:
        return self._STEP * float(np.sqrt(np.square(state).mean()))

    def _slopes(
        self,
        feed: Feed,
        state: NDArray[Any],
        row: int,
        predicted: int,
        step: float,
        coordinates: NDArray[np.intp] | None = None,
    ) -> NDArray[Any]:
        """Central differences of the predicted logit along ``coordinates`` of a flat state, or along all."""
        along = np.arange(state.size) if coordinates is None else coordinates
        slopes = []
        for start in range(0, len(along), self._ROWS):
            moved = along[start : start + self._ROWS]
            states = np.repeat(state.reshape(1, -1), 2 * len(moved), axis=0)
            states[np.arange(len(moved)), moved] += step
            states[np.arange(len(moved)) + len(moved), moved] -= step
            inputs = {name: np.repeat(array[row : row + 1], len(states), axis=0) for name, array in feed.items()}
            inputs["given_hidden_state"] = states.reshape(-1, *state.shape)
            z = self._displaced.run(None, accepted(self._displaced, inputs))[0][:, predicted]
            slopes.append((z[: len(moved)] - z[len(moved) :]) / (2 * step))
        return np.concatenate(slopes)


def plain_session(model: ir.Model, path: Path) -> Any:
    """Save a plain graph and open it as it is."""
    ort = require("onnxruntime", "cpu")
    ir.save(model, path, external_data=f"{path.name}.data")
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def accepted(session: Any, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Leave out inputs that the graph does not read."""
    names = {value.name for value in session.get_inputs()}
    return {name: array for name, array in feed.items() if name in names}
