from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
import transformers
from onnx import numpy_helper

from tests.export.own import OwnClassifier, traced
from tokenward.errors import ExportError, InputError
from tokenward.export.assembly import guard_graph
from tokenward.export.discovery import Hints, discover
from tokenward.export.ground_truth import AutogradTruth, DifferencesTruth
from tokenward.export.onnx_source import read_onnx
from tokenward.export.presets import ExportSettings, plan
from tokenward.export.random_texts import RandomTexts
from tokenward.export.validation import validate


class Logits(torch.nn.Module):
    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, tokens, mask):
        return self.module(input_ids=tokens, attention_mask=mask).logits


@pytest.fixture(scope="module")
def decomposed(tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Opset 14 by the older exporter: LayerNorm and GELU in pieces, no annotations, inputs by other names."""
    path = tmp_path_factory.mktemp("onnx") / "decomposed.onnx"
    trace(tiny("bert").source.module, path, ["tokens", "mask"])
    return path


def trace(module: torch.nn.Module, path: Path, names: list[str]) -> None:
    ids = torch.arange(10, 40).reshape(3, 10)
    axes = {0: "b", 1: "s"}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Logits(module).eval(),
            (ids, torch.ones_like(ids)),
            path,
            dynamo=False,
            opset_version=14,
            input_names=names,
            output_names=["scores"],
            dynamic_axes={**dict.fromkeys(names, axes), "scores": {0: "b"}},
        )


@pytest.fixture(scope="module")
def repaired(tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PyTorch's own attention: rows of padding that see nothing in their window are NaN until a Where mends them."""
    path = tmp_path_factory.mktemp("onnx") / "repaired.onnx"
    module = transformers.AutoModelForSequenceClassification.from_pretrained(
        tiny("modernbert").folder, attn_implementation="sdpa", dtype=torch.float32
    )
    trace(module, path, ["input_ids", "attention_mask"])
    return path


HINTS = Hints(input_ids="tokens", attention_mask="mask")


@pytest.fixture(scope="module")
def bare(tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The newer exporter's graph with every annotation removed."""
    model = onnx.load(tiny("bert").path)
    del model.graph.value_info[:]
    path = tmp_path_factory.mktemp("onnx") / "bare.onnx"
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("preset", ["paper", "tokenward"])
@pytest.mark.parametrize(("kind", "family"), [("decomposed", "bert"), ("bare", "bert"), ("repaired", "modernbert")])
def test_parity_with_autograd_and_with_differences(
    kind: str, family: str, preset, request, tiny, table, tmp_path: Path
) -> None:
    path, hints = request.getfixturevalue(kind), HINTS if kind == "decomposed" else Hints()
    model = read_onnx(path, hints)
    layout = discover(model.graph, hints)
    chosen = plan(ExportSettings(preset), len(layout.attention))
    guard_graph(model, layout, chosen, table)
    ir.save(model, tmp_path / "guarded.onnx")
    assert [value.name for value in model.graph.inputs] == ["input_ids", "attention_mask", "gate"]

    plain = read_onnx(path, hints)
    differences = DifferencesTruth(plain, discover(plain.graph, hints), chosen.gradient_layer, tmp_path)
    autograd = AutogradTruth(tiny(family).source, chosen.gradient_layer)
    for truth in (autograd, differences):
        parity = validate(tmp_path / "guarded.onnx", truth, chosen, "class", RandomTexts(table, 0, 64))
        assert max(parity[name] for name in ("logits", "attention_received", "class_attention")) <= 1e-4


def test_the_token_types_that_a_graph_asks_for_are_kept(tiny, tmp_path: Path) -> None:
    plain = tiny("bert").graph()
    types = ir.Value(name="token_type_ids", type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape(["b", "s"]))
    plain.graph.inputs.append(types)
    ir.save(plain, tmp_path / "typed.onnx")
    model = read_onnx(tmp_path / "typed.onnx", Hints())
    assert discover(model.graph).token_type_ids is model.graph.inputs[2]


def test_shorter_numbers_are_taken_as_the_contract_has_them(table, tmp_path: Path) -> None:
    traced(OwnClassifier(layers=2), tmp_path / "model.onnx", torch.int32)
    model = read_onnx(tmp_path / "model.onnx", Hints())
    assert [value.dtype for value in model.graph.inputs] == [ir.DataType.INT64] * 2
    ids = np.arange(10, 22).reshape(2, 6)
    mask = np.array([[1] * 6, [1] * 4 + [0] * 2])
    ir.save(model, tmp_path / "read.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "read.onnx")
    (logits,) = session.run(["logits"], {"input_ids": ids, "attention_mask": mask})
    expected = OwnClassifier(layers=2)(torch.from_numpy(ids), torch.from_numpy(mask))
    np.testing.assert_allclose(logits, expected.detach().numpy(), rtol=1e-4, atol=1e-6)


def test_axes_left_to_be_computed_from_constants_are_known(tiny, table, tmp_path: Path) -> None:
    """The newer exporter without its optimiser: axes of a Slice, for one, are constants put together by nodes."""
    axes = {0: torch.export.Dim("b"), 1: torch.export.Dim("s")}
    ids = torch.arange(10, 40).reshape(3, 10)
    with contextlib.redirect_stdout(io.StringIO()):
        torch.onnx.export(
            OwnClassifier(layers=2).eval(),
            (ids, torch.ones_like(ids)),
            tmp_path / "model.onnx",
            dynamo=True,
            optimize=False,
            dynamic_shapes=(axes, axes),
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            verbose=False,
        )
    model = read_onnx(tmp_path / "model.onnx", Hints())
    layout = discover(model.graph)
    guard_graph(model, layout, plan(ExportSettings("paper"), len(layout.attention)), table)


def changed(bare: Path, target: Path, change) -> Path:
    model = onnx.load(bare)
    change(model)
    onnx.save(model, target)
    return target


def rename_input(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        node.input[:] = ["position_ids" if name == "attention_mask" else name for name in node.input]
    model.graph.input[1].name = "position_ids"


def narrow_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 16


def retype_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (rename_input, "input 'position_ids' is unknown"),
        (narrow_input, "export with dynamic axes"),
        (retype_input, "is FLOAT16, expected INT64 or INT32"),
    ],
)
def test_refuses_inputs_that_are_not_a_text_classifiers(change, message, bare: Path, tmp_path: Path) -> None:
    path = changed(bare, tmp_path / "changed.onnx", change)
    with pytest.raises((ExportError, InputError), match=message):
        read_onnx(path, Hints())


def test_refuses_what_is_no_onnx_file(bare: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no ONNX file at"):
        read_onnx(tmp_path / "none.onnx", Hints())
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(InputError, match="not an ONNX model, or is cut off"):
        read_onnx(tmp_path / "text.onnx", Hints())
    (tmp_path / "cut.onnx").write_bytes(bare.read_bytes()[:5000])
    with pytest.raises(InputError, match="not an ONNX model, or is cut off"):
        read_onnx(tmp_path / "cut.onnx", Hints())


def halve(model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 2:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))


def fuse(model: onnx.ModelProto) -> None:
    model.graph.node[5].op_type, model.graph.node[5].domain = "EmbedLayerNormalization", "com.microsoft"


def quantise(model: onnx.ModelProto) -> None:
    model.graph.node[5].op_type = "DynamicQuantizeLinear"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (halve, r"holds weights in FLOAT16 .*: export the model in single precision"),
        (fuse, r"optimised by ONNX Runtime .*op EmbedLayerNormalization\): .* again unoptimised"),
        (quantise, r"is quantised already .*: give the model in single precision"),
    ],
)
def test_refuses_what_no_longer_is_as_it_was_exported(change, message, bare: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_onnx(changed(bare, tmp_path / "changed.onnx", change), Hints())


@pytest.mark.parametrize("name", ["input_ids", "attention_mask"])
def test_refuses_a_hint_that_names_no_input(name: str, bare: Path) -> None:
    option = "--" + name.replace("_", "-")
    with pytest.raises(ExportError, match=f"no input 'nosuch', only input_ids, attention_mask: .* with {option}"):
        read_onnx(bare, Hints(**{name: "nosuch"}))


def test_an_inner_value_may_have_an_inputs_name(bare: Path, tmp_path: Path) -> None:
    def swap(model: onnx.ModelProto) -> None:
        inner = model.graph.node[0].output[0]
        renamed = {"input_ids": "tokens", inner: "input_ids"}
        for node in model.graph.node:
            node.input[:] = [renamed.get(name, name) for name in node.input]
            node.output[:] = [renamed.get(name, name) for name in node.output]
        model.graph.input[0].name = "tokens"

    model = read_onnx(changed(bare, tmp_path / "swapped.onnx", swap), Hints(input_ids="tokens"))
    assert discover(model.graph).input_ids is model.graph.inputs[0]


def test_refuses_an_old_opset(bare: Path, tmp_path: Path) -> None:
    def age(model: onnx.ModelProto) -> None:
        model.opset_import[0].version = 11

    with pytest.raises(InputError, match="opset 11, expected 13 or newer"):
        read_onnx(changed(bare, tmp_path / "old.onnx", age), Hints())


def test_refuses_what_fails_the_checker(bare: Path, tmp_path: Path) -> None:
    def break_node(model: onnx.ModelProto) -> None:
        model.graph.node[5].input.append("nothing of this name")

    with pytest.raises(InputError, match="fails the ONNX checker") as raised:
        read_onnx(changed(bare, tmp_path / "broken.onnx", break_node), Hints())
    assert "\n" not in str(raised.value)


def test_weights_in_a_file_of_their_own(tiny, bare: Path, tmp_path: Path) -> None:
    ir.save(ir.load(bare), tmp_path / "model.onnx", external_data="model.onnx.data", size_threshold_bytes=0)
    assert discover(read_onnx(tmp_path / "model.onnx", Hints()).graph).vocabulary == 100
    whole = (tmp_path / "model.onnx.data").read_bytes()
    (tmp_path / "model.onnx.data").write_bytes(whole[:-100])
    with pytest.raises(InputError, match=r"model\.onnx\.data' is missing or cut off"):
        read_onnx(tmp_path / "model.onnx", Hints())
    (tmp_path / "model.onnx.data").unlink()
    with pytest.raises(InputError, match="missing or cut off"):
        read_onnx(tmp_path / "model.onnx", Hints())
