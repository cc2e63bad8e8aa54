"""Rules of normalisation layers."""

from __future__ import annotations

import onnx_ir as ir

from ..emitter import Term
from ..registry import rule
from ..step import Step


@rule("LayerNormalization")
def layer_normalization(step: Step, i: int) -> Term:
    """x̄ = r·(g − mean g − x̂·mean(g·x̂)), g = ȳ·scale, x̂ = (x − mean x)·r."""
    if i == 2:
        return _to_parameter(step, step.dy, i)
    mean, r = _statistics(step)
    normal = (step.x(0) - mean) * r
    if i == 1:
        return _to_parameter(step, step.dy * normal, i)
    g = step.dy * step.x(1)
    return r * (g - _mean(step, g) - normal * _mean(step, g * normal))


@rule("RMSNormalization", "SimplifiedLayerNormalization")
def rms_normalization(step: Step, i: int) -> Term:
    """x̄ = r·(g − x̂·mean(g·x̂)), g = ȳ·scale, x̂ = x·r."""
    op, x = step.op, step.x(0)
    r = op.Reciprocal(op.Sqrt(_mean(step, x * x) + step.attribute("epsilon", 1e-5)))
    normal = x * r
    if i == 1:
        return _to_parameter(step, step.dy * normal, i)
    g = step.dy * step.x(1)
    return r * (g - normal * _mean(step, g * normal))


def _statistics(step: Step) -> tuple[Term, Term]:
    """Return mean and reciprocal deviation of the forward pass, asking the forward node for them if need be."""
    node, dtype, axis = step.node, step.dtype(0), step.attribute("axis", -1)
    stash = ir.DataType.FLOAT if step.attribute("stash_type", 1) == 1 else dtype
    shape = step.input(0).shape
    if len(node.outputs) < 3:
        node.resize_outputs(3)
    for output, stem in zip(node.outputs[1:], ("mean", "inverse_deviation"), strict=True):
        output.name = output.name or step.op.name(stem)
        output.dtype = stash
        if shape is not None:
            output.shape = ir.Shape([*shape[:axis], *[1] * len(shape[axis:])])
    mean, r = step.y(1), step.y(2)
    return (mean, r) if stash == dtype else (step.op.Cast(mean, to=dtype), step.op.Cast(r, to=dtype))


def _mean(step: Step, value: Term) -> Term:
    """Mean over the normalised axes, kept; ReduceMean takes its axes as an input from opset 18 on."""
    rank = step.rank(0)
    axes = list(range(step.attribute("axis", -1) % rank, rank))
    if step.op.opset < 18:
        return step.op.ReduceMean(value, axes=axes, keepdims=1)
    return step.op.ReduceMean(value, axes, keepdims=1)


def _to_parameter(step: Step, value: Term, i: int) -> Term:
    return step.region.sum_to(value, step.output_dims(0), step.input(i))
