"""Finds out by running a classifier whether the position that it computes and reads is that of the last token."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx_ir as ir

from ..errors import ExportError, first_line
from .axes import SEQUENCE
from .comparison import TOLERANCE, error_in, largest
from .discovery import Layout
from .ground_truth import Feed, accepted, plain_session
from .random_texts import RandomTexts
from .region import dims

_SHAPES = ((5, 17), (4, 9))


def check_last(model: ir.Model, layout: Layout, texts: RandomTexts) -> None:
    """Compare what the head of a plain classifier reads with the hidden state of the last real token.

    A graph does not tell what a computed position means: the same nodes read the token before the last, or a mark.

    Raises:
        ExportError: it reads another token.
    """
    assert layout.pooled is not None
    tokens, read = layout.pooled.inputs[0], layout.pooled.outputs[0]
    assert tokens is not None
    kept = list(model.graph.outputs)
    with tempfile.TemporaryDirectory() as folder:
        model.graph.outputs[:] = [tokens, read]
        try:
            session = plain_session(model, Path(folder) / "position.onnx")
        finally:
            model.graph.outputs[:] = kept
        for feed in _unpadded(texts):
            try:
                states, found = session.run(None, accepted(session, feed))
            except Exception as error:  # the library's errors share no base class
                raise ExportError(f"the classifier fails on a batch of texts: {first_line(error)}") from error
            batch, sequence = feed["input_ids"].shape
            if (dims(tokens) or ())[0] == SEQUENCE:
                states = states.swapaxes(0, 1)
            last = feed["attention_mask"].sum(axis=1) - 1
            expected = states.reshape(batch, sequence, -1)[np.arange(batch), last]
            if (
                found.size != expected.size
                or not error_in(largest(expected), found.reshape(batch, -1), expected) <= TOLERANCE
            ):
                raise ExportError(
                    f"the head reads a position that is neither the first nor the last token: node "
                    f"'{layout.pooled.name}' computes it, expected a head that reads the first token, the last or all"
                )


def _unpadded(texts: RandomTexts) -> Iterator[Feed]:
    """Texts one by one: what padding does to a head is checked elsewhere, and told in other words."""
    for feed in texts.batches(*_SHAPES):
        for row, length in enumerate(feed["attention_mask"].sum(axis=1)):
            yield {name: array[row : row + 1, :length] for name, array in feed.items()}
