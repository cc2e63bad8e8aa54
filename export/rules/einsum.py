"""The rule of Einsum, whose indices broadcast: an operand may have size 1 along an index that others stretch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import onnx_ir as ir

from ...errors import ExportError
from ..emitter import Term
from ..region import Dim, dims
from ..registry import rule
from ..step import Step


@rule("Einsum")
def einsum(step: Step, i: int) -> Term:
    """x̄ᵢ = einsum of ȳ and the other inputs onto the axes of xᵢ, summed over the axes that xᵢ was stretched along."""
    op, own = step.op, step.input(i)
    terms, output = _parts(step.attribute("equation", ""))
    if any("." in term or len(set(term)) < len(term) for term in terms):
        raise step.refusal("its rule covers no ellipsis and no index repeated in one term")
    others = [j for j in range(len(terms)) if j != i]
    present = {letter for term in [output, *(terms[j] for j in others)] for letter in term}
    target = "".join(letter for letter in terms[i] if letter in present)
    equation = ",".join([output, *(terms[j] for j in others)]) + "->" + target
    dx = op.Einsum(step.dy, *(step.x(j) for j in others), equation=equation)
    alone = [axis for axis, letter in enumerate(terms[i]) if letter not in present]
    if alone:  # an index that was summed away on its own
        dx = op.Unsqueeze(dx, alone)
    beside = _sizes([terms[j] for j in others], [step.input(j) for j in others])
    # What was summed away has in the others its own size or 1: every element of xᵢ counts once.
    summed = [(beside.get(letter, 1), size) for letter, size in _axes(terms[i], own) if letter not in output]
    if any(size != 1 and (size is None or size != known) for known, size in summed):
        dx = op.Expand(dx, step.region.shape(own))
    full = _sizes(terms, [step.input(j) for j in range(len(terms))])
    return step.region.sum_to(dx, [full[letter] for letter in terms[i]], own)


def correct_sizes(graph: ir.Graph, y: ir.Value) -> None:
    """Put right what shape inference concludes from the first operand alone: size 1, where a later one stretches it.

    Refuses where something other than `y` has it: what follows is wrongly annotated too, and onnxruntime, which infers
    the same, replaces even a Shape of it by the wrong constant.
    """
    for node in graph:
        output, annotated = node.outputs[0], dims(node.outputs[0])
        if (node.domain, node.op_type) != ("", "Einsum") or annotated is None:
            continue
        terms, letters = _parts(node.attributes["equation"].as_string())
        if any("." in term for term in terms):
            continue
        full = _sizes(terms, [value for value in node.inputs if value is not None])
        if all(size != 1 or full[letter] == 1 for letter, size in zip(letters, annotated, strict=True)):
            continue
        if output is not y and output.uses():
            raise ExportError(
                f"cannot differentiate a graph with Einsum (node '{node.name}') that stretches an index of size 1 of "
                "its first input: shape inference gets its output wrong; put the input of the larger size first"
            )
        output.shape = ir.Shape([full[letter] for letter in letters])


def _parts(equation: str) -> tuple[list[str], str]:
    """Return the terms of the operands and that of the output: by default what occurs once, in order."""
    left, arrow, output = equation.replace(" ", "").partition("->")
    if not arrow:
        output = "".join(sorted(letter for letter in set(left) - {",", "."} if left.count(letter) == 1))
    return left.split(","), output


def _axes(term: str, value: ir.Value) -> Iterable[tuple[str, Dim]]:
    return zip(term, dims(value) or (None,) * len(term), strict=True)


def _sizes(terms: Sequence[str], values: Sequence[ir.Value]) -> dict[str, Dim]:
    """Return the size each index takes in operands together: the one that is not 1, None where that is not known."""
    found: dict[str, set[Dim]] = {}
    for term, value in zip(terms, values, strict=True):
        for letter, size in _axes(term, value):
            found.setdefault(letter, set()).add(size)
    sizes: dict[str, Dim] = {}
    for letter, several in found.items():
        stretched = several - {1} or {1}
        sizes[letter] = stretched.pop() if len(stretched) == 1 else None
    return sizes
