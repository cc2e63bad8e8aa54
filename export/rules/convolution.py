"""The rule of convolutions."""

from __future__ import annotations

from ..emitter import Term
from ..registry import rule
from ..step import Step


@rule("Conv")
def conv(step: Step, i: int) -> Term:
    """x̄ = ȳ convolved with the turned kernel (ConvTranspose), b̄ = Σ ȳ over texts and places; stride 1."""
    op, places = step.op, [*range(2, step.rank(0))]
    if i == 1:
        raise step.refusal("its rule covers no gradient of the kernel")
    if i == 2:
        return op.ReduceSum(step.dy, [0, *places], keepdims=0)
    if any(stride != 1 for stride in step.attribute("strides", [1])):
        raise step.refusal("its rule covers only strides of 1")
    if step.attribute("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise step.refusal("its rule covers only explicit pads")
    return op.ConvTranspose(
        step.dy,
        step.x(1),
        pads=step.attribute("pads", [0] * 2 * len(places)),
        dilations=step.attribute("dilations", [1] * len(places)),
        group=step.attribute("group", 1),
    )
