import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.errors import InputError
from tokenward.runtime.v2_tensors import RequestOptions, options_of, output_specs, outputs_of, texts_of
from tokenward.runtime.verdict import Suspect, Verdict

PASSED = Verdict("good", {"bad": 0.25, "good": 0.75}, "passed", "good", "good", None, 0.5)
CAUGHT = Verdict(
    "bad",
    {"bad": 0.9, "good": 0.1},
    "neutralised",
    "good",
    "bad",
    1.5,
    0.5,
    suspects=(Suspect("çf", 3, 5),),
    repaired_text="a film",
)


def test_outputs_agree_with_their_specs():
    outputs = outputs_of([PASSED, CAUGHT])
    specs = output_specs(2)
    assert list(outputs) == [spec.name for spec in specs]
    for spec in specs:
        assert outputs[spec.name].shape == (2, spec.shape[1])
        assert outputs[spec.name].dtype == (np.float32 if spec.datatype == "FP32" else np.object_)


def test_contents():
    outputs = outputs_of([PASSED, CAUGHT])
    assert outputs["LABEL"].tolist() == [[b"good"], [b"bad"]]
    assert outputs["ACTION"].tolist() == [[b"passed"], [b"neutralised"]]
    np.testing.assert_array_equal(outputs["PROBABILITIES"], np.float32([[0.25, 0.75], [0.9, 0.1]]))
    assert outputs["ANOMALY_SCORE"][0, 0] == -1.0, "JSON has no NaN, and Triton writes one all the same"
    assert outputs["ANOMALY_SCORE"][1, 0] == 1.5
    assert json.loads(outputs["SUSPECT"][1, 0]) == [{"text": "çf", "start": 3, "end": 5}]
    assert outputs["REPAIRED_TEXT"].tolist() == [[b""], [b"a film"]]
    assert json.loads(outputs["VERDICT"][1, 0]) == json.loads(json.dumps(CAUGHT.to_dict()))


def test_only_wanted_outputs_are_made():
    assert list(outputs_of([PASSED], ["ACTION", "LABEL"])) == ["LABEL", "ACTION"]
    with pytest.raises(InputError, match="LABLE"):
        outputs_of([PASSED], ["LABLE"])


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_texts_survive(texts):
    assert texts_of(np.array([[text.encode()] for text in texts], dtype=np.object_)) == texts


@pytest.mark.parametrize("shape", [(2,), (1, 2), (2, 1, 1), (), (1,) * 64])
def test_other_shapes_are_refused(shape):
    with pytest.raises(InputError, match="expected \\[n, 1\\]"):
        texts_of(np.full(shape, b"a", dtype=np.object_))


def test_invalid_utf8_is_refused_with_its_row():
    with pytest.raises(InputError, match="row 1"):
        texts_of(np.array([[b"fine"], [b"\xff"]], dtype=np.object_))


def test_options():
    assert options_of({}) == RequestOptions("enforce", False, True)
    assert options_of({}, "monitor").mode == "monitor"
    parameters = {"mode": "off", "explain": True, "truncate": False, "sequence_id": 3}
    assert options_of(parameters, "monitor") == RequestOptions("off", True, False)


@pytest.mark.parametrize("parameters", [{"mode": "on"}, {"mode": []}, {"explain": "yes"}, {"truncate": 1}])
def test_wrong_options_are_refused(parameters):
    with pytest.raises(InputError, match=next(iter(parameters))):
        options_of(parameters)


def test_needs_numpy_alone():
    code = (
        "import sys, tokenward.runtime.v2_tensors\n"
        "heavy = {'pydantic', 'fastapi', 'onnxruntime', 'tokenizers', 'torch', 'transformers'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
