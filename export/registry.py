"""The registry of vector-Jacobian rules: one small function per op type, open to additions from outside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import onnx_ir as ir

from ..errors import ExportError

if TYPE_CHECKING:
    from .emitter import Term
    from .step import Step

Pullback = Callable[["Step", int], "Term"]
"""Given one node and the index of one of its inputs, append what computes that input's cotangent and return it."""

_Pullback = TypeVar("_Pullback", bound=Pullback)


@dataclass(frozen=True)
class Rule:
    """How cotangents pass back through one op type."""

    op_type: str
    domain: str
    formula: str
    pullback: Pullback
    broadcasts: bool
    """Inputs follow NumPy broadcasting: the driver sums the result over the axes that input i was stretched along."""


_RULES: dict[tuple[str, str], Rule] = {}


def rule(*op_types: str, domain: str = "", broadcasts: bool = False) -> Callable[[_Pullback], _Pullback]:
    """Register the decorated function as the rule of `op_types`; a later rule replaces an earlier one.

    The function is called as `pullback(step, i)` once per input i that needs a cotangent, and
    returns a value of the shape of input i (with `broadcasts`: of the output's shape). The first line of its docstring
    is its formula (`x̄`, `ȳ` are the cotangents of x, y)::

        @rule("Mul", broadcasts=True)
        def mul(step: Step, i: int) -> Term:
            \"""x̄₀ = ȳ·x₁, x̄₁ = ȳ·x₀.\"""
            return step.dy * step.x(1 - i)
    """

    def register(pullback: _Pullback) -> _Pullback:
        formula = (pullback.__doc__ or "").strip().partition("\n")[0].removesuffix(".")
        if not formula:
            raise ValueError(f"the rule of {', '.join(op_types)} needs its formula as the first line of its docstring")
        for op_type in op_types:
            _RULES[domain, op_type] = Rule(op_type, domain, formula, pullback, broadcasts)
        return pullback

    return register


def rules() -> list[Rule]:
    """Return every registered rule, by domain and op type."""
    return [_RULES[key] for key in sorted(_RULES)]


def has_rule(node: ir.Node) -> bool:
    """Whether there is a rule for `node`'s op type."""
    return (node.domain, node.op_type) in _RULES


def rule_for(node: ir.Node) -> Rule:
    """Return the rule of `node`'s op type, or raise `ExportError` saying how to add one."""
    found = _RULES.get((node.domain, node.op_type))
    if found is None:
        raise ExportError(
            f"cannot differentiate op {node.op_type} of domain '{node.domain or 'ai.onnx'}' (node '{node.name}'): "
            f"it has no rule; add one with @tokenward.export.registry.rule('{node.op_type}')"
        )
    return found
