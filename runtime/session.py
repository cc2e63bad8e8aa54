"""How an ONNX Runtime session is opened: the settings that cost or save time, and nothing that changes an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import EngineError, require
from .cores import usable_cores

FUSIONS = ("SkipLayerNormFusion", "BiasGeluFusion", "MatMulAddFusion", "EmbedLayerNormFusion")
"""Graph optimisations that help on some processors and harm on others."""


@dataclass(frozen=True)
class SessionSettings:
    """Settings of a session on CPU.

    Attributes:
        threads: inside an operator; 0 takes one per core this process may use.
        spinning: threads without work wait by spinning: quicker alone, a waste where processes share cores.
        arena: keep freed memory for the next run.
        disabled: names from ``FUSIONS``. By default the one that fuses the residual add into LayerNormalization, which
            makes ONNX Runtime slower on CPU (measured 12 %).
    """

    threads: int = 0
    spinning: bool = True
    arena: bool = True
    disabled: tuple[str, ...] = ("SkipLayerNormFusion",)

    def __str__(self) -> str:
        threads = f"{self.threads} threads" if self.threads else "a thread per core"
        fusions = f"without {', '.join(self.disabled)}" if self.disabled else "with every fusion"
        waiting, memory = "spinning" if self.spinning else "sleeping", "kept" if self.arena else "given back"
        return f"{threads}, {waiting} without work; memory {memory}; {fusions}"


def open_session(
    path: Path,
    settings: SessionSettings,
    providers: Sequence[Any] = ("CPUExecutionProvider",),
    optimized: Path | None = None,
) -> Any:
    """Open a graph.

    Args:
        providers: execution providers, as ``InferenceSession`` takes them.
        optimized: write what the optimisers made of the graph to this file.

    Raises:
        EngineError: the file cannot be loaded.
        MissingExtraError: onnxruntime is not installed.
    """
    options = _options(settings)
    if optimized is not None:
        options.optimized_model_filepath = str(optimized)
    return _open(path, options, providers, disabled_optimizers=list(settings.disabled))


def open_optimized(path: Path, settings: SessionSettings) -> Any:
    """Open a graph that :func:`open_session` wrote on this machine, as it is."""
    options = _options(settings)
    options.graph_optimization_level = require("onnxruntime", "cpu").GraphOptimizationLevel.ORT_DISABLE_ALL
    return _open(path, options, ["CPUExecutionProvider"])


def feed_names(session: Any) -> set[str]:
    """Names of everything that a run may be fed: inputs, and those with a default in the graph."""
    return {value.name for value in (*session.get_inputs(), *session.get_overridable_initializers())}


def _options(settings: SessionSettings) -> Any:
    options = require("onnxruntime", "cpu").SessionOptions()
    options.intra_op_num_threads = settings.threads or usable_cores()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = settings.arena
    # A plan of the memory for each shape of batch that has come twice: no faster, and memory grows with the shapes.
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(settings.spinning)))
    return options


def _open(path: Path, options: Any, providers: Sequence[Any], **extra: Any) -> Any:
    ort = require("onnxruntime", "cpu")
    try:
        return ort.InferenceSession(str(path), options, providers=list(providers), **extra)
    except Exception as error:  # the library's errors share no base class
        raise EngineError(f"ONNX Runtime cannot load {path.name}: export the model again") from error
