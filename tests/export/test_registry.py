from __future__ import annotations

import pytest

from tokenward.export import rules as _register_rules  # noqa: F401
from tokenward.export.registry import rule, rules


def test_every_rule_has_its_formula() -> None:
    assert all("̄" in known.formula or "Ā" in known.formula for known in rules())  # what some cotangent is


def test_the_ops_that_encoders_need_are_there() -> None:
    known = {rule.op_type for rule in rules()}
    needed = (
        "Add Sub Mul Div Neg Pow Sqrt Tanh Relu Erf Gelu Sigmoid Where Cast Identity MatMul Gemm Softmax Expand Tile "
        "LayerNormalization ReduceMean ReduceSum Reshape Transpose Squeeze Unsqueeze Concat Split Slice Gather "
        "GatherElements GatherND Clip Max Min Einsum"
    )
    assert set(needed.split()) <= known


def test_a_rule_without_a_formula_is_refused() -> None:
    with pytest.raises(ValueError, match="formula"):

        @rule("Nothing")
        def nothing(step, i): ...
