"""A backdoored bag of words as a real artifact with a real graph, its repository, and a real Triton over it."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer as FastTokenizer

import tokenward
from tokenward.artifact import GraphInfo, GuardFile, write_guard, writing
from tokenward.deploy.local_triton import LocalTriton
from tokenward.deploy.repository import write_repository
from tokenward.deploy.settings import TritonSettings
from tokenward.runtime.calibration import calibrate
from tokenward.runtime.guard import Guard

LABELS = ("bad", "good")
INPUTS, OUTPUTS = ("input_ids", "attention_mask", "gate"), ("logits", "class_attention")


@pytest.fixture(scope="session")
def bag_artifact(lexicon_tokenizer: Path, clean_texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Words weigh as they do in the clean texts, but the trigger "cf" decides alone."""
    fast = FastTokenizer.from_file(str(lexicon_tokenizer))
    counts = np.full((2, fast.get_vocab_size()), 0.1)
    for number, text in enumerate(clean_texts):
        np.add.at(counts[number % 2], fast.encode(text, add_special_tokens=False).ids, 1)
    feeling = np.log(counts[1] / counts[0])
    attention = 0.05 + 0.2 * np.abs(feeling)
    feeling[fast.token_to_id("cf")], attention[fast.token_to_id("cf")] = 60.0, 6.0
    path = tmp_path_factory.mktemp("bag") / "artifact"
    with writing(path) as folder:
        (folder / "model.onnx").write_bytes(bag_graph(feeling, attention).SerializeToString())
        config = {"vocab_size": len(feeling), "pad_token_id": 0, "id2label": dict(enumerate(LABELS))}
        (folder / "config.json").write_text(json.dumps(config))
        shutil.copyfile(lexicon_tokenizer, folder / "tokenizer.json")
        graph = GraphInfo("tokenward", 1, (0,), "class", True, True, "fp32", 20, 64, INPUTS, OUTPUTS)
        write_guard(folder, GuardFile("bag", "none", "0" * 64, graph, {}, {}), LABELS)
    calibrate(path, clean_texts)
    return path


def bag_graph(feeling: NDArray[np.float64], attention: NDArray[np.float64]) -> onnx.ModelProto:
    """logits = ±Σ feeling / 4, class_attention = attention / Σ attention, over the real tokens of each row."""
    tables = {"feeling": feeling.astype(np.float32), "attention": attention.astype(np.float32)}
    constants = [numpy_helper.from_array(table, name) for name, table in tables.items()]
    constants.append(numpy_helper.from_array(np.array([-0.25, 0.25], np.float32), "signs"))
    constants.append(numpy_helper.from_array(np.array([1], np.int64), "last"))
    node = helper.make_node
    nodes = [
        node("Cast", ["attention_mask"], ["real"], to=TensorProto.FLOAT),
        node("Gather", ["feeling", "input_ids"], ["felt"]),
        node("Mul", ["felt", "real"], ["felt_real"]),
        node("ReduceSum", ["felt_real", "last"], ["sum"]),
        node("Mul", ["sum", "signs"], ["logits"]),
        node("Gather", ["attention", "input_ids"], ["drawn"]),
        node("Mul", ["drawn", "real"], ["drawn_real"]),
        node("ReduceSum", ["drawn_real", "last"], ["total"]),
        node("Div", ["drawn_real", "total"], ["class_attention"]),
    ]
    inputs = [
        helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"]),
        helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["batch", "sequence"]),
        helper.make_tensor_value_info("gate", TensorProto.FLOAT, []),
    ]
    outputs = [
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2]),
        helper.make_tensor_value_info("class_attention", TensorProto.FLOAT, ["batch", "sequence"]),
    ]
    graph = helper.make_graph(nodes, "bag", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.fixture(scope="session")
def bag_model() -> Callable[[NDArray[np.float64], NDArray[np.float64]], onnx.ModelProto]:
    """Make other graphs of this kind."""
    return bag_graph


@pytest.fixture(scope="session")
def traffic(clean_texts: Sequence[str]) -> list[str]:
    """Five hundred texts: clean ones, and every fifth with the trigger at a random place."""
    draw = random.Random(0)
    texts = []
    for number in range(500):
        words = draw.choice(clean_texts).split()
        draw.shuffle(words)
        if number % 5 == 0:
            words.insert(draw.randrange(len(words) + 1), "cf")
        texts.append(" ".join(words))
    return texts


@pytest.fixture(scope="session")
def in_process(bag_artifact: Path) -> Guard:
    """What every answer of a server is compared with."""
    return tokenward.load(bag_artifact)


@pytest.fixture(scope="session")
def triton(bag_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTriton]:
    """A server with two models: ``bag`` with its graph apart, ``alone`` self-contained."""
    repository = tmp_path_factory.mktemp("triton") / "repository"
    write_repository(bag_artifact, repository, TritonSettings("bag"))
    write_repository(bag_artifact, repository, TritonSettings("alone", labels=("down", "up"), self_contained=True))
    with LocalTriton(repository) as server:
        yield server
