"""Launching without a GPU, and what a GPU would be given."""

from __future__ import annotations

import sys

import pytest
import torch
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile

from tokenward.errors import EngineError, MissingExtraError, require
from tokenward.kernels import flash_backward, flash_received, gelu_backward, layer_norm_backward, token_scores

ATTENTION = {"H": 12, "D": 64, "WIDTH": 64, "TILE": 64}
PLACES = "*i32 " * 6
# Each kernel with the types of its other arguments (T is the type of the activations) and its constants.
KERNELS = [
    *(
        (
            token_scores._token_scores,
            "T *fp32 *i64 *i1 *i32 *i32 *fp32 *fp32 *fp32 *i64 *i32 i32 i32 i32",
            {"ROWS": 16, "COLUMNS": 256, "SEQUENCE": 512, "WIDE": wide},
        )
        for wide in (False, True)
    ),
    (flash_received._attend, f"T T T T *fp32 {'i32 ' * 4} fp32 *i32 *i32 *i32 *i32", ATTENTION),
    (
        flash_received._add_received,
        f"T T *fp32 *fp32 {'i32 ' * 4} fp32 *i32 *i32 *i32 *i32",
        {"D": 64, "WIDTH": 64, "TILE": 64},
    ),
    (flash_backward._by_queries, f"T T T T T *fp32 *fp32 T {'i32 ' * 6} fp32 {PLACES}", ATTENTION),
    (flash_backward._by_keys, f"T T T T *fp32 *fp32 T T *fp32 {'i32 ' * 8} fp32 {PLACES}", ATTENTION),
    (
        layer_norm_backward._layer_norm_backward,
        "T T T *i32 T T i32 i32 i32 fp32",
        {"RESIDUAL": True, "ROWS": 2, "WIDTH": 1024},
    ),
    (gelu_backward._gelu_backward, "T T *i32 T i32 i32 i32", {"ROWS": 1, "COLUMNS": 2048}),
]


def test_tensors_on_the_cpu_are_refused():
    x = torch.zeros(2, 3)
    with pytest.raises(EngineError, match="need an NVIDIA GPU but were given tensors on 'cpu'"):
        gelu_backward.gelu_backward(x, x, torch.zeros(2, dtype=torch.int32))


def test_without_triton_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.delitem(sys.modules, "tokenward.kernels.token_scores")
    with pytest.raises(MissingExtraError, match=r"needs the package 'triton'.*tokenward\[kernels\]"):
        require("tokenward.kernels.token_scores", "kernels")


@pytest.mark.parametrize(("kernel", "types", "constants"), KERNELS, ids=[k[0].__name__ for k in KERNELS])
def test_kernel_compiles_to_machine_code(kernel, types, constants):
    """The compiler needs no GPU: what the interpreter lets pass and the hardware does not is found here."""
    given = iter(types.replace("T", "*fp16").split())
    signature = {name: "constexpr" if name in constants else next(given) for name in kernel.arg_names}
    fixed = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    built = compile(ASTSource(kernel, signature, fixed), target=GPUTarget("cuda", 90, 32))
    assert built.asm["cubin"]
    assert built.metadata.shared <= 99 * 1024  # what every GPU since Ampere gives one program
    assert ".local" not in built.asm["ptx"]  # no spilling by dynamic indexing
