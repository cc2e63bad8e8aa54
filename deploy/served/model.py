"""The Python model of a guarded classifier: texts in, verdicts out, whatever happens a proper answer."""

from __future__ import annotations

import json
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

from ...artifact import load_artifact
from ...errors import EngineError, InputError
from ...relabelling import relabelled
from ...runtime.engine import NEVER_SKIP, Arrays, Batch, Engine
from ...runtime.guard import Guard, GuardOptions
from ...runtime.reading import NotFiniteError
from ...runtime.tokenization import Encoding
from ...runtime.v2_tensors import INPUT, RequestOptions, options_of, outputs_of, texts_of
from .graph_engine import GraphEngine, GraphUnavailableError
from .graph_file import check_graph
from .metrics import Metrics

_WARM_UP = "a warm-up text"

_Member = tuple[int, list[str], list[Encoding]]  # a request's place, its texts, and these tokenised


class TritonPythonModel:
    """One instance: a guard of its own, driven by what Triton merged into one call."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the artifact shipped in the version's folder; Triton reports what is raised here to its operator."""
        config = json.loads(args["model_config"])
        parameters = {key: value["string_value"] for key, value in config["parameters"].items()}
        root = Path(args["model_repository"])
        graph_model = parameters.get("graph")
        artifact = load_artifact(root / args["model_version"] / "artifact", with_graph=graph_model is None)
        labels = tuple((root / "labels.txt").read_text(encoding="utf-8").splitlines())
        artifact = relabelled(artifact, labels)
        options = GuardOptions(fallback=parameters["fallback"], threads=int(parameters.get("threads", "0")))
        if graph_model is None:
            from ...runtime.engine_onnx import OnnxEngine

            engine: Engine = OnnxEngine(artifact.model_path, options.threads, packed=artifact.guard.graph.packed)
        else:
            if not check_graph(artifact, root.parent / graph_model):
                pb_utils.Logger.log_warn(f"model '{graph_model}' is not beside this one: its graph is not verified")
            engine = GraphEngine(graph_model, artifact.guard.graph, config["max_batch_size"])
        self._rows = _RowCounter(engine)
        self._guard = Guard(artifact, self._rows, options)
        if graph_model is None:  # otherwise the graph is warmed up by Triton, and may still be loading
            self._guard.reader.read([_WARM_UP], NEVER_SKIP)  # nobody's text: it is not counted
        self._metrics = Metrics(args["model_name"])
        self._default = parameters["mode"]
        self._max_text_bytes = int(parameters["max_text_bytes"])

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer every request; requests with the same options are judged together, in one batch."""
        responses: dict[int, Any] = {}
        groups: dict[RequestOptions, list[_Member]] = {}
        for place, request in enumerate(requests):
            try:
                options, texts = self._read(request)
                encodings = self._guard.encode(texts, options.truncate)
            except Exception as error:
                responses[place] = _refusal(error)
            else:
                groups.setdefault(options, []).append((place, texts, encodings))
        for options, members in groups.items():
            self._try(requests, responses, options, members)
        return [responses[place] for place in range(len(requests))]

    def _read(self, request: Any) -> tuple[RequestOptions, list[str]]:
        options = options_of(json.loads(request.parameters() or "{}"), self._default)
        if self._guard.judge is None and options.mode != "off":
            raise InputError(f"this model is not calibrated: mode {options.mode} is not there, only off")
        values = pb_utils.get_input_tensor_by_name(request, INPUT.name).as_numpy()
        for row, value in enumerate(values.reshape(-1)):
            if len(value) > self._max_text_bytes:
                raise InputError(
                    f"{INPUT.name} row {row} has {len(value)} bytes, at most {self._max_text_bytes} are taken"
                )
        return options, texts_of(values)

    def _try(
        self, requests: Sequence[Any], responses: dict[int, Any], options: RequestOptions, members: list[_Member]
    ) -> None:
        try:
            self._answer(requests, responses, options, members)
        except Exception as error:
            for place, *_ in members:
                responses.setdefault(place, _refusal(error))

    def _answer(
        self, requests: Sequence[Any], responses: dict[int, Any], options: RequestOptions, members: list[_Member]
    ) -> None:
        texts = [text for _, own, _ in members for text in own]
        encodings = [encoding for _, _, own in members for encoding in own]
        before = self._rows.count
        try:
            verdicts = self._guard.classify_encoded(texts, encodings, options.mode, options.explain)
        except NotFiniteError:
            if len(members) == 1:
                raise
            for member in members:  # one text is at fault: every request answers for its own
                self._try(requests, responses, options, [member])
            return
        self._metrics.count(verdicts, options.mode, self._rows.count - before)
        if not options.explain:
            verdicts = [verdict.unquoted() for verdict in verdicts]
        start = 0
        for place, own, _ in members:
            answer = outputs_of(verdicts[start : start + len(own)], requests[place].requested_output_names())
            tensors = [pb_utils.Tensor(name, values) for name, values in answer.items()]
            responses[place] = pb_utils.InferenceResponse(output_tensors=tensors)
            start += len(own)


class _RowCounter:
    """Counts the rows that an engine runs."""

    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self.cost = engine.cost
        self.count = 0
        self._engine = engine

    def run(self, batch: Batch, gate: float) -> Arrays:
        """Run one batch; see :class:`Engine`."""
        self.count += len(batch.input_ids)
        return self._engine.run(batch, gate)


def _refusal(error: Exception) -> Any:
    """An error for the caller: one line that is meant for people, and never a traceback or a path."""
    code, message = pb_utils.TritonError.INTERNAL, "internal error: see the server's log"
    if isinstance(error, InputError):
        code, message = pb_utils.TritonError.INVALID_ARG, str(error)
    elif isinstance(error, GraphUnavailableError):
        code, message = pb_utils.TritonError.UNAVAILABLE, str(error)
    elif isinstance(error, EngineError):
        message = str(error)
    else:
        pb_utils.Logger.log_error("".join(traceback.format_exception(error)))
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
