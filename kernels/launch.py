"""What every kernel wrapper checks before it launches: one clear Python error instead of a crash on the device."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
import triton

from ..errors import EngineError, InputError

FLOATS = (torch.float32, torch.float16, torch.bfloat16)


def launch_on(device: torch.device) -> AbstractContextManager[object]:
    """Make ``device`` the one that kernels are launched on.

    Raises:
        EngineError: it is not a GPU, and Triton's interpreter (``TRITON_INTERPRET=1``) is off.
    """
    if device.type == "cuda":
        return torch.cuda.device(device)
    if triton.knobs.runtime.interpret:
        return nullcontext()
    raise EngineError(f"the kernels need an NVIDIA GPU but were given tensors on '{device}': move the tensors to one")


def check(
    name: str,
    tensor: torch.Tensor,
    shape: Sequence[int],
    dtypes: Sequence[torch.dtype],
    like: torch.Tensor,
    strided_rows: bool = False,
) -> None:
    """Require of a tensor its shape, one of ``dtypes``, the device of ``like``, and row-major memory.

    Args:
        shape: sizes; any negative one stands for a size that is free, in a message about another axis or their number.
        strided_rows: let rows (axis 0) lie apart, as a slice of a fused projection does.

    Raises:
        InputError: naming the tensor, what it is and what it should be.
    """
    if tensor.device != like.device:
        raise InputError(f"'{name}' is on {tensor.device}, expected {like.device}: move it there first")
    if tensor.dtype not in dtypes:
        expected = " or ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
        raise InputError(
            f"'{name}' is {str(tensor.dtype).removeprefix('torch.')}, expected {expected}: convert it first"
        )
    if tuple(tensor.shape) != tuple(shape):
        expected = ", ".join("any" if size < 0 else str(size) for size in shape)
        raise InputError(f"'{name}' has shape {list(tensor.shape)}, expected [{expected}]")
    if not (tensor[:1] if strided_rows else tensor).is_contiguous():
        raise InputError(f"'{name}' is not contiguous (strides {list(tensor.stride())}): call .contiguous() first")
