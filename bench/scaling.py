"""How cost grows with length, batch and layers: measured beside the work counted, for models of random weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifact import Preset
from ..errors import InputError, require
from ..runtime.engine import ALWAYS_SKIP, NEVER_SKIP
from .alternation import System, alternate, ratio, spread
from .record import Metric, Row, timed
from .work_count import Work, count_work

PLAIN = "plain forward pass"
LENGTHS = (16, 32, 64, 128, 256, 512)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
LAYERS = (2, 6, 12, 24)
_PAUSE = 0.05
_RUN_SECONDS = 0.02  # a timed run is repeated until it takes about so long


@dataclass(frozen=True)
class Shape:
    """An encoder of BERT's form; the defaults are MiniLM's."""

    hidden: int = 384
    heads: int = 12
    inner: int = 1536
    layers: int = 6
    vocabulary: int = 1000


@dataclass(frozen=True)
class Point:
    """One cell: ``batch`` texts of ``length`` tokens, in so many ``layers``; ``axis`` is what its sweep varies."""

    axis: str
    length: int
    batch: int
    layers: int


@dataclass(frozen=True)
class Variant:
    """A guarded graph and the value of its gate."""

    name: str
    preset: Preset
    gate: float


VARIANTS = (
    Variant("tokenward", "tokenward", ALWAYS_SKIP),
    Variant("late, every gradient", "late", NEVER_SKIP),
    Variant("paper, every gradient", "paper", NEVER_SKIP),
)


@dataclass(frozen=True)
class _Graph:
    path: Path
    session: Any
    gate: float | None

    def run(self, ids: NDArray[np.int64], session: Any = None) -> None:
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        if self.gate is not None:
            feed["gate"] = np.array(self.gate, np.float32)
        used = session or self.session
        used.run(None, {value.name: feed[value.name] for value in used.get_inputs()})


def sweep(layers: int = 6, lengths: Sequence[int] = LENGTHS, batches: Sequence[int] = BATCHES) -> list[Point]:
    """One axis at a time: length at batch 4, batch at length 32, layers at 4 × 64."""
    return [
        *(Point("length", length, 4, layers) for length in lengths),
        *(Point("batch", 32, batch, layers) for batch in batches),
        *(Point("layers", 64, 4, count) for count in LAYERS),
    ]


def measure_scaling(
    points: Sequence[Point],
    shape: Shape | None = None,
    rounds: int = 5,
    budget: float = 300.0,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Row]:
    """Time the plain and the guarded graphs on random tokens, without padding; cells beyond the budget say so.

    Args:
        budget: seconds after which no further cell is begun; building graphs counts.

    Raises:
        InputError: no points.
    """
    if not points:
        raise InputError("nothing to measure: give a length, a batch or layers")
    shape = shape or Shape()
    end = time.monotonic() + budget
    rows: list[Row] = []
    for layers in dict.fromkeys(point.layers for point in points):
        cells = [point for point in points if point.layers == layers]
        if time.monotonic() > end:
            rows += [row for point in cells for row in _left_out(point, budget)]
            continue
        with TemporaryDirectory() as folder:
            progress(f"building graphs of {layers} layers")
            graphs = _build(shape, layers, Path(folder), seed)
            for point in cells:
                if time.monotonic() > end:
                    rows += _left_out(point, budget)
                    continue
                progress(f"{layers} layers, {point.batch} × {point.length}")
                rows += _measure(point, graphs, shape, rounds, seed)
    return rows


def _measure(point: Point, graphs: dict[str, _Graph], shape: Shape, rounds: int, seed: int) -> Iterator[Row]:
    ids = np.random.default_rng(seed).integers(5, shape.vocabulary, (point.batch, point.length))
    begin = time.perf_counter()
    graphs[PLAIN].run(ids)
    repeats = max(1, round(_RUN_SECONDS / (time.perf_counter() - begin)))
    systems = [System(name, partial(_repeat, graph, ids, repeats)) for name, graph in graphs.items()]
    seconds = alternate(systems, rounds, seed, _PAUSE)
    for name, graph in graphs.items():
        work = count_work(graph.path, partial(graph.run, ids))
        yield Row(
            {"defence": name, **_place(point)},
            {
                "milliseconds": timed(spread([1e3 * s / repeats for s in seconds[name]]), "ms", "lower"),
                "times_plain": timed(ratio(seconds, PLAIN, name), "×", "lower"),
                **_counted(work),
            },
            series={"milliseconds": tuple(1e3 * s / repeats for s in seconds[name])},
        )


def _repeat(graph: _Graph, ids: NDArray[np.int64], times: int) -> None:
    for _ in range(times):
        graph.run(ids)


def _place(point: Point) -> dict[str, str | int]:
    return {"axis": point.axis, "length": point.length, "batch": point.batch, "layers": point.layers}


def _counted(work: Work) -> dict[str, Metric]:
    return {
        "gflops": Metric(work.flops / 1e9, unit="GFLOP"),
        "megabytes": Metric(work.bytes / 1e6, unit="MB"),
        "operators": Metric(work.operators),
    }


def _left_out(point: Point, budget: float) -> list[Row]:
    why = f"the budget of {budget:g} s was spent"
    return [Row({"defence": name, **_place(point)}, not_run=why) for name in (PLAIN, *(v.name for v in VARIANTS))]


def _build(shape: Shape, layers: int, folder: Path, seed: int) -> dict[str, _Graph]:
    """The plain graph and every variant's, from one trace of a model with random weights."""
    from ..export.assembly import guard_graph
    from ..export.discovery import discover
    from ..export.forward import export_forward, load_source
    from ..export.pipeline import save_graph
    from ..export.presets import ExportSettings, plan

    _write_random(shape, layers, folder, seed)
    traced = export_forward(load_source(folder))
    graphs = {PLAIN: folder / "plain.onnx"}
    save_graph(traced, graphs[PLAIN])
    for variant in VARIANTS:
        model = traced.clone()
        layout = discover(model.graph)
        settings = plan(ExportSettings(variant.preset), len(layout.attention))
        guard_graph(model, layout, settings, np.ones(shape.vocabulary, np.bool_))
        graphs[variant.name] = folder / f"{variant.preset}.onnx"
        save_graph(model, graphs[variant.name])
    gates = {variant.name: variant.gate for variant in VARIANTS}
    return {name: _Graph(path, _session(path), gates.get(name)) for name, path in graphs.items()}


def _session(path: Path) -> Any:
    ort: Any = require("onnxruntime", "cpu")
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _write_random(shape: Shape, layers: int, folder: Path, seed: int) -> None:
    torch, transformers = require("torch", "export"), require("transformers", "export")
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        num_hidden_layers=layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.inner,
        max_position_embeddings=max(LENGTHS),
        num_labels=2,
    )
    transformers.utils.logging.disable_progress_bar()
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
