from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from shutil import copytree

import onnx
import pytest

from tokenward.artifact import load_artifact, rewriting, write_guard
from tokenward.deploy.repository import write_repository
from tokenward.deploy.served.graph_file import check_graph
from tokenward.deploy.settings import TritonSettings
from tokenward.errors import ArtifactError, InputError

# The newest IR version that the onnxruntime of Triton 24.10 (1.19) reads.
IR_VERSION = 10


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_two_models_and_nothing_else(tiny_artifact: Path, tmp_path: Path):
    written = write_repository(tiny_artifact, tmp_path / "models", TritonSettings("guard"))
    assert written == [tmp_path / "models" / "guard_graph", tmp_path / "models" / "guard"]
    assert names(tmp_path / "models") == {"guard", "guard_graph"}
    assert files(written[0]) == {
        "config.pbtxt",
        "1/model.onnx",
        "warmup/attention_mask_1",
        "warmup/attention_mask_32",
    }
    assert (written[0] / "1" / "model.onnx").read_bytes() == (tiny_artifact / "model.onnx").read_bytes()
    own = {file for file in files(written[1]) if not file.startswith("1/tokenward/")}
    assert own == {"config.pbtxt", "labels.txt", "1/model.py", "1/__pycache__"} | {
        f"1/artifact/{name}" for name in files(tiny_artifact) - {"model.onnx"}
    }
    assert load_artifact(written[1] / "1" / "artifact", with_graph=False).digest == load_artifact(tiny_artifact).digest


def test_the_graph_is_one_that_tritons_onnxruntime_reads(tiny_artifact: Path, tiny_paper_artifact: Path):
    for artifact in (tiny_artifact, tiny_paper_artifact):
        assert onnx.load(artifact / "model.onnx", load_external_data=False).ir_version <= IR_VERSION


def test_a_self_contained_model_has_the_graph_itself(tiny_artifact: Path, tmp_path: Path):
    (written,) = write_repository(tiny_artifact, tmp_path, TritonSettings("guard", self_contained=True))
    assert load_artifact(written / "1" / "artifact").digest == load_artifact(tiny_artifact).digest


def test_the_artifact_stays_what_it_is_whatever_becomes_of_the_repository(tiny_artifact: Path, tmp_path: Path):
    artifact = copytree(tiny_artifact, tmp_path / "artifact")
    for settings in (TritonSettings("apart"), TritonSettings("alone", self_contained=True)):
        write_repository(artifact, tmp_path / "models", settings)
    for file in (tmp_path / "models").rglob("*.onnx"):
        file.write_bytes(b"another model")  # in place, as copying onto it does
    load_artifact(artifact)


def test_weights_in_a_file_of_their_own_go_with_the_graph(tiny_artifact: Path, tmp_path: Path):
    with rewriting(copytree(tiny_artifact, tmp_path / "artifact")) as folder:
        model = onnx.load(folder / "model.onnx")
        (folder / "model.onnx").unlink()
        weights = {"save_as_external_data": True, "location": "model.onnx.data", "size_threshold": 0}
        onnx.save(model, folder / "model.onnx", **weights)
    graph, guard = write_repository(tmp_path / "artifact", tmp_path / "models", TritonSettings("guard"))
    assert {"1/model.onnx", "1/model.onnx.data"} < files(graph)
    assert not any(name.startswith("model.onnx") for name in names(guard / "1" / "artifact"))
    artifact = load_artifact(guard / "1" / "artifact", with_graph=False)
    assert check_graph(artifact, graph)
    (graph / "1" / "model.onnx.data").unlink()
    with pytest.raises(ArtifactError, match=r"model 'guard_graph' has no model\.onnx\.data"):
        check_graph(artifact, graph)


def test_the_newest_graph_beside_a_guard_is_checked(tiny_artifact: Path, tmp_path: Path):
    graph, guard = write_repository(tiny_artifact, tmp_path, TritonSettings("guard"))
    artifact = load_artifact(guard / "1" / "artifact", with_graph=False)
    assert check_graph(artifact, graph)
    (graph / "10").mkdir()
    (graph / "10" / "model.onnx").write_bytes(b"another model")
    with pytest.raises(ArtifactError, match="of model 'guard_graph' does not match its checksum"):
        check_graph(artifact, graph)
    assert not check_graph(artifact, tmp_path / "fetched")


def test_the_shipped_code_is_enough_and_no_more(tiny_artifact: Path, tmp_path: Path):
    """A fresh interpreter that sees only the shipped folder can import the guard, and no server or training code."""
    (written,) = write_repository(tiny_artifact, tmp_path, TritonSettings("guard", self_contained=True))
    code = (
        "import sys; sys.path = [sys.argv[1], *(p for p in sys.path if 'site-packages' in p or 'lib' in p)]\n"
        "sys.meta_path = [f for f in sys.meta_path if 'editable' not in repr(f).lower()]\n"
        "import tokenward; assert tokenward.__file__.startswith(sys.argv[1]), tokenward.__file__\n"
        "verdict = tokenward.load(sys.argv[2]).classify('a film')[0]\n"
        "print(sorted({'torch', 'transformers', 'pydantic', 'fastapi', 'typer'} & set(sys.modules)))"
    )
    version = written / "1"
    command = [sys.executable, "-I", "-c", code, str(version), str(version / "artifact")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == "[]\n", done.stderr
    shipped = {path.name for path in (version / "tokenward").rglob("*.py")}
    assert shipped.isdisjoint({"cli.py", "service.py", "metrics_suspects.py", "containers.py"})


@pytest.mark.parametrize("self_contained", [False, True])
def test_a_containers_own_user_can_read_it_whatever_the_umask(
    tiny_artifact: Path, tmp_path: Path, private_umask: None, self_contained: bool
):
    write_repository(tiny_artifact, tmp_path / "models", TritonSettings("guard", self_contained=self_contained))
    for path in (tmp_path / "models", *(tmp_path / "models").rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644), path


def test_models_share_a_repository_but_no_name(tiny_artifact: Path, tmp_path: Path):
    write_repository(tiny_artifact, tmp_path, TritonSettings("one"))
    write_repository(tiny_artifact, tmp_path, TritonSettings("two"))
    assert names(tmp_path) == {"one", "one_graph", "two", "two_graph"}
    with pytest.raises(InputError, match="has a model 'one_graph' already"):
        write_repository(tiny_artifact, tmp_path, TritonSettings("one"))


def test_labels(tiny_artifact: Path, tmp_path: Path):
    write_repository(tiny_artifact, tmp_path, TritonSettings("guard", labels=("négatif", "positif, oui")))
    assert (tmp_path / "guard" / "labels.txt").read_text(encoding="utf-8") == "négatif\npositif, oui\n"
    with pytest.raises(InputError, match="3 labels given, the artifact has 2: bad, good"):
        write_repository(tiny_artifact, tmp_path, TritonSettings("other", labels=("a", "b", "c")))


def test_labels_that_are_no_line_of_a_file(tiny_artifact: Path, tmp_path: Path):
    copytree(tiny_artifact, tmp_path / "artifact")
    guard = load_artifact(tmp_path / "artifact").guard
    with rewriting(tmp_path / "artifact") as folder:
        write_guard(folder, guard, ("two\nlines", "good"))
        config = json.loads((folder / "config.json").read_text())
        config["id2label"] = {"0": "two\nlines", "1": "good"}
        (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="control characters"):
        write_repository(tmp_path / "artifact", tmp_path / "models", TritonSettings("guard"))


def test_an_artifact_that_is_not_calibrated_only_serves_off(uncalibrated_artifact: Path, tmp_path: Path):
    with pytest.raises(ArtifactError, match="not calibrated"):
        write_repository(uncalibrated_artifact, tmp_path / "models", TritonSettings("guard"))
    assert not (tmp_path / "models").exists()
    write_repository(uncalibrated_artifact, tmp_path / "models", TritonSettings("guard", mode="off"))


def test_an_altered_artifact_is_refused(tiny_artifact: Path, tmp_path: Path):
    copytree(tiny_artifact, tmp_path / "artifact")
    with (tmp_path / "artifact" / "model.onnx").open("ab") as graph:
        graph.write(b"x")
    with pytest.raises(ArtifactError, match="checksum"):
        write_repository(tmp_path / "artifact", tmp_path / "models", TritonSettings("guard"))


def test_a_failure_leaves_nothing_behind(tiny_artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tokenward.deploy.repository.shutil.copyfile", full)
    with pytest.raises(OSError, match="No space"):
        write_repository(tiny_artifact, tmp_path / "models", TritonSettings("guard"))
    assert names(tmp_path / "models") == set()


def test_a_file_in_the_way_is_told(tiny_artifact: Path, tmp_path: Path):
    (tmp_path / "models").touch()
    with pytest.raises(InputError, match="cannot write to"):
        write_repository(tiny_artifact, tmp_path / "models", TritonSettings("guard"))
