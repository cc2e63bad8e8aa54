"""Triton's ``config.pbtxt`` as typed protobuf messages: a wrong field or type cannot be written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..artifact import GraphInfo
from ..errors import ArtifactError, require
from ..runtime.v2_tensors import INPUT, TensorSpec, output_specs
from .settings import TritonSettings

LABELS_FILE = "labels.txt"
WARMUP_MASK = "attention_mask"

# Per-text outputs of the guarded graph beside its per-token ones, all float32 unless listed in _TYPES.
_PER_TEXT = ("anomaly_score", "suspect", "scored")
_TYPES = {
    "input_ids": "INT64",
    "attention_mask": "INT64",
    "token_type_ids": "INT64",
    "suspect": "INT64",
    "scored": "BOOL",
}


def graph_config(settings: TritonSettings, graph: GraphInfo, classes: int) -> Any:
    """Return the ModelConfig of ``<name>_graph``: the guarded graph on Triton's onnxruntime backend.

    Triton's own batching stays off (``max_batch_size`` 0): it needs a batch axis on every input, and the graph's
    ``gate`` is one number per call. The Python model makes the batches, so nothing is lost.

    Raises:
        ArtifactError: the graph has no standard inputs.
    """
    pb = _schema()
    if not {"input_ids", "attention_mask"} <= set(graph.inputs):
        raise ArtifactError("the graph does not take input_ids and attention_mask: export the model again")
    config = pb.ModelConfig(
        name=settings.graph_name,
        backend="onnxruntime",
        default_model_filename="model.onnx",
        input=[
            # The graph has a default for its gate, and Triton counts inputs with a default only if they are optional.
            pb.ModelInput(name=name, data_type=_type(name), dims=_dims(name, classes), optional=name == "gate")
            for name in graph.inputs
        ],
        output=[
            pb.ModelOutput(name=name, data_type=_type(name), dims=_dims(name, classes, graph.layers))
            for name in graph.outputs
        ],
        instance_group=[_instances(settings, settings.gpus)],
        version_policy=_latest(),
        model_warmup=[_graph_warmup(name, rows, graph) for name, rows in _warmups(settings)],
    )
    if not settings.gpus:
        config.parameters["intra_op_thread_count"].string_value = str(settings.threads)
    return config


def guard_config(settings: TritonSettings, classes: int) -> Any:
    """Return the ModelConfig of ``<name>``: texts in, verdicts out, on Triton's Python backend.

    Without limits of the queue (the default) no queue policy is written at all. With any, Triton collects no batch
    ahead of an idle instance, and a request that arrives while an instance is just finishing does not wake the
    batcher: it waits for the next request, or for the batcher's own half second (seen on server 2.51: with one client
    9 requests of 10 took 500 ms longer). Requests whose client has gone are dropped from the queue either way.
    """
    pb = _schema()
    config = pb.ModelConfig(
        name=settings.name,
        backend="python",
        max_batch_size=settings.max_batch,
        input=[pb.ModelInput(name=INPUT.name, data_type=pb.TYPE_STRING, dims=[1])],
        output=[_output(spec) for spec in output_specs(classes)],
        dynamic_batching=_batching(settings),
        instance_group=[_instances(settings, 0)],
        version_policy=_latest(),
        # Never on: its key leaves request parameters such as the mode out, and it keeps refusals as empty answers
        # (both seen on server 2.51).
        response_cache=pb.ModelResponseCache(enable=False),
    )
    for key, value in _parameters(settings).items():
        config.parameters[key].string_value = value
    return config


def _batching(settings: TritonSettings) -> Any:
    pb = _schema()
    batching = pb.ModelDynamicBatching(max_queue_delay_microseconds=settings.queue_delay_us)
    if settings.queue_size or settings.queue_timeout_ms:
        batching.default_queue_policy.CopyFrom(
            pb.ModelQueuePolicy(
                timeout_action=pb.ModelQueuePolicy.REJECT,
                default_timeout_microseconds=settings.queue_timeout_ms * 1000,
                allow_timeout_override=True,
                max_queue_size=settings.queue_size,
            )
        )
    return batching


def warmup_files(settings: TritonSettings, graph: GraphInfo) -> Mapping[str, bytes]:
    """Raw tensors that the graph's warm-ups read, by file name."""
    one = (1).to_bytes(8, "little")
    return {f"{WARMUP_MASK}_{rows}": one * (rows * _warmup_tokens(graph)) for _, rows in _warmups(settings)}


def write_config(config: Any, path: Path) -> None:
    """Write a ModelConfig in protobuf's text format, as Triton reads it."""
    text_format = require("google.protobuf.text_format", "triton")
    path.write_text(text_format.MessageToString(config), encoding="utf-8")


def _schema() -> Any:
    return require("tritonclient.grpc.model_config_pb2", "triton")


def _parameters(settings: TritonSettings) -> dict[str, str]:
    parameters = {
        "mode": settings.mode,
        "fallback": settings.fallback,
        "max_text_bytes": str(settings.max_text_bytes),
    }
    if settings.self_contained:
        return parameters | {"threads": str(settings.threads)}
    return parameters | {"graph": settings.graph_name}


def _output(spec: TensorSpec) -> Any:
    pb = _schema()
    kind = pb.TYPE_STRING if spec.datatype == "BYTES" else pb.TYPE_FP32
    labels = LABELS_FILE if spec.name == "PROBABILITIES" else ""
    return pb.ModelOutput(name=spec.name, data_type=kind, dims=spec.shape[1:], label_filename=labels)


def _type(name: str) -> int:
    return int(_schema().DataType.Value(f"TYPE_{_TYPES.get(name, 'FP32')}"))


def _dims(name: str, classes: int, layers: int = 0) -> list[int]:
    if name == "gate":
        return [1]  # a scalar in the graph; Triton (23.10 and newer) maps a single element to it
    if name == "logits":
        return [-1, classes]
    if name == "class_attention_by_layer":
        return [-1, layers, -1]
    return [-1] if name in _PER_TEXT else [-1, -1]


def _instances(settings: TritonSettings, gpus: int) -> Any:
    group = _schema().ModelInstanceGroup
    if gpus:
        return group(count=settings.instances, kind=group.KIND_GPU, gpus=range(gpus))
    return group(count=settings.instances, kind=group.KIND_CPU)


def _latest() -> Any:
    pb = _schema()
    return pb.ModelVersionPolicy(latest=pb.ModelVersionPolicy.Latest(num_versions=1))


def _warmups(settings: TritonSettings) -> list[tuple[str, int]]:
    return [("one", 1)] if settings.max_batch == 1 else [("one", 1), ("full", settings.max_batch)]


def _graph_warmup(name: str, rows: int, graph: GraphInfo) -> Any:
    """Padding tokens that are said to be real: valid ids whatever the vocabulary; gate 0 runs the backward pass too."""
    warmup = _schema().ModelWarmup(name=name)
    for tensor in graph.inputs:
        entry = warmup.inputs[tensor]
        entry.data_type = _type(tensor)
        entry.dims.extend([1] if tensor == "gate" else [rows, _warmup_tokens(graph)])
        if tensor == "attention_mask":
            entry.input_data_file = f"{WARMUP_MASK}_{rows}"
        else:
            entry.zero_data = True
    return warmup


def _warmup_tokens(graph: GraphInfo) -> int:
    return min(16, graph.max_tokens)
