from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from tokenward.errors import ExportError
from tokenward.export.discovery import Hints, discover
from tokenward.export.emitter import Emitter


def nodes(graph: ir.Graph, op_type: str) -> list[ir.Node]:
    return [node for node in graph if node.op_type == op_type]


def test_finds_the_parts_of_bert(tiny) -> None:
    graph = tiny("bert").graph().graph
    layout = discover(graph)
    assert (layout.vocabulary, layout.classes, layout.pooling) == (100, 3, "class")
    assert layout.embedding.producer().inputs[0].name.endswith("word_embeddings.weight")
    assert [layer.heads for layer in layout.attention] == [4, 4]
    assert [layer.softmax for layer in layout.attention] == nodes(graph, "Softmax")
    # Layer inputs are the outputs of a normalisation: the embeddings', then the first layer's last.
    normalised = [node.outputs[0] for node in nodes(graph, "LayerNormalization")]
    assert [layer.input for layer in layout.attention] == [normalised[0], normalised[2]]
    assert layout.pooled.op_type == "Gather"


def test_describes_what_it_found(tiny) -> None:
    described = discover(tiny("bert").graph().graph).describe()
    assert described["inputs"] == "input_ids, attention_mask"
    assert described["attention"].startswith("2 × 4 heads")
    assert "100 rows" in described["word embeddings"]


def test_two_tables_by_the_token_ids_need_a_hint(tiny) -> None:
    graph = tiny("bert").graph().graph
    layout = discover(graph)
    second = ir.node("Gather", [layout.table, layout.input_ids], name="second")
    second.outputs[0].name, second.outputs[0].dtype = "second", ir.DataType.FLOAT
    graph.insert_after(layout.embedding.producer(), second)
    with pytest.raises(ExportError, match="several tables, embedding, second: choose one with --embedding"):
        discover(graph)
    assert discover(graph, Hints(embedding="embedding")).embedding is layout.embedding
    with pytest.raises(ExportError, match="expected a Gather called 'nothing'"):
        discover(graph, Hints(embedding="nothing"))


def test_no_word_embeddings(tiny) -> None:
    graph = tiny("bert").graph().graph
    lookup = discover(graph).embedding.producer()
    computed = ir.node("Identity", [lookup.inputs[0]])
    graph.insert_before(lookup, computed)
    lookup.replace_input_with(0, computed.outputs[0])
    with pytest.raises(ExportError, match="found no word embeddings"):
        discover(graph)


def test_fused_attention_says_how_to_export_again(tiny) -> None:
    graph = tiny("bert").graph().graph
    softmax = nodes(graph, "Softmax")[0]
    softmax.op_type, softmax.domain = "MultiHeadAttention", "com.microsoft"
    with pytest.raises(ExportError, match=r"fused op MultiHeadAttention.*eager attention"):
        discover(graph)


def test_no_softmax_that_looks_like_attention(tiny) -> None:
    graph = tiny("bert").graph().graph
    for softmax in nodes(graph, "Softmax"):
        softmax.op_type = "Sigmoid"
    with pytest.raises(ExportError, match="no softmax over"):
        discover(graph)


@pytest.mark.parametrize("shape", [[4, 7], ["batch", 7], ["batch"]])
def test_static_shapes(tiny, shape) -> None:
    graph = tiny("bert").graph().graph
    graph.inputs[0].shape = ir.Shape(shape)
    with pytest.raises(ExportError, match="dynamic axes"):
        discover(graph)


@pytest.mark.parametrize("shape", [["batch", "sequence", 3], ["batch", 1], [3, 3], ["batch", "labels"]])
def test_logits_of_another_shape(tiny, shape) -> None:
    graph = tiny("bert").graph().graph
    graph.outputs[0].shape = ir.Shape(shape)
    with pytest.raises(ExportError, match=r"expected \[batch, classes\]"):
        discover(graph)


def test_logits_by_another_name_among_outputs_need_a_hint(tiny) -> None:
    graph = tiny("bert").graph().graph
    graph.outputs.append(discover(graph).attention[0].input)
    graph.outputs[0].name = "scores"
    with pytest.raises(ExportError, match="which output holds the logits"):
        discover(graph)
    assert discover(graph, Hints(logits="scores")).classes == 3
    with pytest.raises(ExportError, match="the graph has no output 'nosuch', only scores, "):
        discover(graph, Hints(logits="nosuch"))
    graph.inputs[1].name = "mask"
    with pytest.raises(ExportError, match="no input 'attention_mask', only input_ids, mask"):
        discover(graph)


@pytest.mark.parametrize("end", ["Softmax", "LogSoftmax"])
def test_probabilities_are_traced_back_to_their_logits(end: str, tiny) -> None:
    graph = tiny("bert").graph().graph
    logits = graph.outputs[0]
    ended(graph, end)
    layout = discover(graph)
    assert layout.logits is logits
    assert layout.describe()["logits"] == f"logits, 3 classes (its {end} is left out)"


def test_several_labels_at_once_are_refused(tiny) -> None:
    graph = tiny("bert").graph().graph
    ended(graph, "Sigmoid")
    with pytest.raises(ExportError, match="output 'answer' is a sigmoid, as of several labels at once"):
        discover(graph)


def ended(graph: ir.Graph, op_type: str) -> None:
    """Let the graph end in one more op, retyped as some exporters do."""
    op = Emitter(graph, prefix="end")
    answer = op.Identity(op.emit(op_type, graph.outputs[0])).value
    answer.name, answer.shape = "answer", graph.outputs[0].shape
    graph.outputs[:] = [answer]


def test_a_fixed_position_other_than_the_first_is_refused(tiny) -> None:
    graph = tiny("bert").graph().graph
    pooled = discover(graph).pooled
    position = ir.Value(name="third", const_value=ir.tensor(np.array(2), name="third"))
    graph.register_initializer(position)
    pooled.replace_input_with(1, position)
    with pytest.raises(ExportError, match="fixed positions other than the first alone"):
        discover(graph)


def test_several_first_positions_are_refused(tiny) -> None:
    graph = tiny("bert").graph().graph
    pooled = discover(graph).pooled
    op = Emitter(graph, prefix="head")
    two = op.Slice(pooled.inputs[0], [0], [2], [1])
    two.value.shape = ir.Shape(["batch", 2, 32])
    first = op.Squeeze(op.Slice(two, [0], [1], [1]), [1]).value
    pooled.outputs[0].replace_all_uses_with(first)
    graph.sort()
    with pytest.raises(ExportError, match="fixed positions other than the first alone"):
        discover(graph)


def test_logits_that_do_not_depend_on_the_words(tiny) -> None:
    graph = tiny("bert").graph().graph
    layout = discover(graph)
    layout.embedding.replace_all_uses_with(layout.attention[1].input)
    with pytest.raises(ExportError, match="do not depend on the word embeddings"):
        discover(graph)


def scaled(graph: ir.Graph, factor) -> None:
    """Multiply the first layer's attention weights by ``factor`` of the graph's emitter and layout."""
    layout, op = discover(graph), Emitter(graph, prefix="scaled")
    weights = layout.attention[0].weights
    uses = list(weights.uses())
    product = op.Mul(weights, factor(op, layout)).value
    product.shape, product.dtype = weights.shape, weights.dtype
    for node, index in uses:
        node.replace_input_with(index, product)
    graph.sort()


def test_a_gate_on_the_attention_is_refused_and_a_constant_is_not(tiny) -> None:
    graph = tiny("bert").graph().graph
    scaled(graph, lambda op, layout: 1.0)
    assert len(discover(graph).attention) == 2

    def gate(op: Emitter, layout) -> ir.Value:
        value = op.Unsqueeze(op.Sigmoid(op.ReduceMean(layout.embedding, [-1], keepdims=1)), [1]).value
        value.dtype = ir.DataType.FLOAT
        for node in graph:
            for output in node.outputs:
                output.dtype = output.dtype or ir.DataType.FLOAT
        return value

    scaled(graph, gate)
    with pytest.raises(ExportError, match="is changed by what the model computes from the text"):
        discover(graph)


def test_layers_with_different_numbers_of_heads_are_refused(tiny) -> None:
    graph = tiny("bert").graph().graph
    discover(graph).attention[0].weights.shape = ir.Shape(["batch", 2, "sequence", "sequence"])
    with pytest.raises(ExportError, match="different numbers of heads, 2, 4: expected one number"):
        discover(graph)


def test_a_graph_without_outputs(tiny) -> None:
    graph = tiny("bert").graph().graph
    graph.outputs.clear()
    with pytest.raises(ExportError, match="the graph has no outputs"):
        discover(graph)
