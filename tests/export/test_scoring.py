from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenward.export import scoring
from tokenward.export.emitter import Emitter
from tokenward.kernels import reference


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> onnxruntime.InferenceSession:
    """A graph of the scores alone."""
    axes = ir.Shape(["batch", "sequence"])
    ids = ir.Value(name="ids", type=ir.TensorType(ir.DataType.INT64), shape=axes)
    scored = ir.Value(name="scored", type=ir.TensorType(ir.DataType.BOOL), shape=axes)
    received, salient = (
        ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=axes) for name in ("received", "salient")
    )
    graph = ir.Graph([ids, scored, received, salient], [], nodes=[], opset_imports={"": 20}, name="scores")
    op = Emitter(graph)
    scores = scoring.score(op, ids, scored, received, salient)
    for name, value in (
        ("tokens", scores.tokens),
        ("anomaly", scores.anomaly),
        ("suspect", scores.suspect),
        ("bound", scoring.bound(op, scored, received)),
    ):
        value.name = name
        graph.outputs.append(value)
    path = tmp_path_factory.mktemp("scores") / "scores.onnx"
    ir.save(ir.Model(graph, ir_version=10), path)
    return onnxruntime.InferenceSession(path)


def run(session, ids, scored, received, salient) -> dict[str, np.ndarray]:
    feed = {"ids": ids, "scored": scored, "received": received, "salient": salient}
    return dict(zip(("tokens", "anomaly", "suspect", "bound"), session.run(None, feed), strict=True))


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(1, 12),
    st.integers(1, 8),
    st.floats(0, 1),
    st.sampled_from(["as it is", "no gradient", "nan", "inf", "-inf"]),
    st.integers(0, 2**32 - 1),
)
def test_equals_the_reference(session, batch, sequence, words, share, trouble, seed) -> None:
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, words, (batch, sequence))  # few words, so many repeat
    scored = rng.random((batch, sequence)) < share
    received, salient = rng.random((2, batch, sequence)).astype(np.float32)
    if trouble == "no gradient":
        salient[0] = 0
    elif trouble != "as it is":
        (received if seed % 2 else salient)[-1, seed % sequence] = float(trouble)
    out = run(session, ids, scored, received, salient)
    expected = reference.token_scores(received, salient, ids, scored)
    score, suspect = reference.anomaly(expected, scored)
    np.testing.assert_allclose(out["tokens"], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(out["anomaly"], score, rtol=1e-4, atol=1e-5)
    # Which of two tokens with nearly one score is the suspect is up to rounding.
    for row, position in enumerate(out["suspect"]):
        assert (position < 0) == (suspect[row] < 0)
        if position >= 0:
            assert expected[row, position] == pytest.approx(score[row], rel=1e-4, abs=1e-5)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 5), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_no_score_exceeds_its_bound(session, batch, sequence, seed) -> None:
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 9, (batch, sequence))
    scored = rng.random((batch, sequence)) < 0.7
    received = rng.random((batch, sequence)).astype(np.float32)
    salient = (rng.random((batch, sequence)) ** 20).astype(np.float32)  # a few tokens hold all the gradient
    out = run(session, ids, scored, received, salient)
    np.testing.assert_allclose(out["bound"], reference.bound(received, scored), rtol=1e-4, atol=1e-5)
    assert (out["anomaly"] <= out["bound"] * (1 + 1e-4) + 1e-6).all()
