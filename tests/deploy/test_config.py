"""Configurations survive protobuf's text format, and say what was chosen. (The real server reads them elsewhere.)"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from tokenward.artifact import GraphInfo
from tokenward.deploy.config import graph_config, guard_config, warmup_files, write_config
from tokenward.deploy.settings import TritonSettings
from tokenward.errors import ArtifactError

INPUTS = ("input_ids", "attention_mask", "gate")
OUTPUTS = ("logits", "class_attention", "attention_received", "saliency", "token_scores", "anomaly_score", "suspect")


def graph(inputs: tuple[str, ...] = INPUTS, max_tokens: int = 512) -> GraphInfo:
    outputs = (*OUTPUTS, "scored")
    return GraphInfo("tokenward", 5, (5,), "class", True, True, "fp32", 20, max_tokens, inputs, outputs)


def reread(config: Any, folder: Path) -> Any:
    write_config(config, folder / "config.pbtxt")
    return text_format.Parse((folder / "config.pbtxt").read_text(), pb.ModelConfig())


def test_the_graphs_tensors(tmp_path: Path):
    config = reread(graph_config(TritonSettings("guard"), graph(), 3), tmp_path)
    assert (config.name, config.backend, config.max_batch_size) == ("guard_graph", "onnxruntime", 0)
    inputs = {entry.name: (pb.DataType.Name(entry.data_type), list(entry.dims)) for entry in config.input}
    assert inputs == {
        "input_ids": ("TYPE_INT64", [-1, -1]),
        "attention_mask": ("TYPE_INT64", [-1, -1]),
        "gate": ("TYPE_FP32", [1]),
    }
    outputs = {entry.name: (pb.DataType.Name(entry.data_type), list(entry.dims)) for entry in config.output}
    assert outputs == {
        "logits": ("TYPE_FP32", [-1, 3]),
        **dict.fromkeys(OUTPUTS[1:5], ("TYPE_FP32", [-1, -1])),
        "anomaly_score": ("TYPE_FP32", [-1]),
        "suspect": ("TYPE_INT64", [-1]),
        "scored": ("TYPE_BOOL", [-1]),
    }


def test_the_graph_on_gpus():
    config = graph_config(TritonSettings("guard", gpus=2, instances=3), graph(), 2)
    (group,) = config.instance_group
    assert (group.kind, group.count, list(group.gpus)) == (pb.ModelInstanceGroup.KIND_GPU, 3, [0, 1])
    assert "intra_op_thread_count" not in config.parameters
    (group,) = guard_config(TritonSettings("guard", gpus=2), 2).instance_group
    assert group.kind == pb.ModelInstanceGroup.KIND_CPU


def test_the_graph_on_cpu_has_its_threads():
    config = graph_config(TritonSettings("guard", threads=3), graph(), 2)
    assert config.parameters["intra_op_thread_count"].string_value == "3"


def test_without_limits_there_is_no_queue_policy_that_would_stall_requests(tmp_path: Path):
    config = reread(guard_config(TritonSettings("guard"), 2), tmp_path)
    assert config.HasField("dynamic_batching")
    assert not config.dynamic_batching.HasField("default_queue_policy")


def test_every_choice_reaches_the_guards_configuration(tmp_path: Path):
    chosen = TritonSettings(
        "guard",
        max_batch=8,
        queue_delay_us=77,
        queue_size=9,
        queue_timeout_ms=3,
        instances=2,
        mode="monitor",
        fallback="block",
        max_text_bytes=10,
    )
    config = reread(guard_config(chosen, 2), tmp_path)
    assert (config.max_batch_size, config.instance_group[0].count, config.response_cache.enable) == (8, 2, False)
    batching = config.dynamic_batching
    assert batching.max_queue_delay_microseconds == 77
    policy = batching.default_queue_policy
    assert (policy.max_queue_size, policy.default_timeout_microseconds) == (9, 3000)
    assert policy.timeout_action == pb.ModelQueuePolicy.REJECT
    assert {key: value.string_value for key, value in config.parameters.items()} == {
        "mode": "monitor",
        "fallback": "block",
        "max_text_bytes": "10",
        "graph": "guard_graph",
    }
    assert config.version_policy.latest.num_versions == 1


def test_a_self_contained_model_calls_no_other():
    config = guard_config(TritonSettings("guard", self_contained=True, threads=2), 2)
    assert "graph" not in config.parameters
    assert not config.model_warmup, "it warms itself up: Triton would count a text that nobody sent"
    assert config.parameters["threads"].string_value == "2"


@pytest.mark.parametrize("max_batch", [1, 32])
@pytest.mark.parametrize("max_tokens", [8, 512])
def test_warm_ups_have_their_tensors(max_batch: int, max_tokens: int):
    """Every file that a warm-up names is there, with as many bytes as its shape needs."""
    settings, info = TritonSettings("guard", max_batch=max_batch), graph(max_tokens=max_tokens)
    files = warmup_files(settings, info)
    warmups = graph_config(settings, info, 2).model_warmup
    assert len(warmups) == min(max_batch, 2)
    named = set()
    for warmup in warmups:
        rows, tokens = warmup.inputs["input_ids"].dims
        assert tokens <= max_tokens
        mask = warmup.inputs["attention_mask"]
        assert list(mask.dims) == [rows, tokens]
        assert len(files[mask.input_data_file]) == rows * tokens * 8
        named.add(mask.input_data_file)
    assert named == set(files)


def test_a_graph_without_the_standard_inputs_is_refused():
    with pytest.raises(ArtifactError, match="input_ids"):
        graph_config(TritonSettings("guard"), graph(inputs=("pixels",)), 2)
