"""The artifact folder: written whole or not at all, and never loaded unless every byte is as it was written."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path

import pytest

from tokenward.artifact import REQUIRED, load_artifact, rewriting, write_guard, writing
from tokenward.checksums import SUMS, file_sha256
from tokenward.errors import ArtifactError, InputError

from .conftest import guard_file, write_artifact


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def reseal(folder: Path) -> None:
    """Make the sums match again, as someone who edits a file by hand might."""
    names = sorted(path.name for path in folder.iterdir() if path.name != SUMS)
    (folder / SUMS).write_text("".join(f"{file_sha256(folder / name)}  {name}\n" for name in names))


def refusal(folder: Path) -> str:
    with pytest.raises(ArtifactError) as caught:
        load_artifact(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_was_written_is_what_is_loaded(artifact_dir: Path) -> None:
    artifact = load_artifact(str(artifact_dir))
    assert artifact.guard == guard_file()
    assert artifact.labels == ("negative", "positive")
    assert artifact.model_path.read_bytes() == b"not a real graph"
    assert artifact.tokenizer_path.is_file()
    assert artifact.digest == load_artifact(artifact_dir).digest
    assert sorted(contents(artifact_dir)) == sorted([*REQUIRED, SUMS])


def test_no_artifact_there(tmp_path: Path) -> None:
    assert "no artifact at" in refusal(tmp_path / "none")
    (tmp_path / "file").write_text("x")
    assert "no artifact at" in refusal(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    assert "has no SHA256SUMS" in refusal(tmp_path / "empty")


@pytest.mark.parametrize("name", REQUIRED)
def test_any_missing_file_is_named(artifact_dir: Path, name: str) -> None:
    (artifact_dir / name).unlink()
    assert refusal(artifact_dir).startswith(f"{name} is missing")
    reseal(artifact_dir)
    assert f"does not list {name}" in refusal(artifact_dir)


@pytest.mark.parametrize("name", REQUIRED)
def test_one_flipped_bit_anywhere_is_noticed(artifact_dir: Path, name: str) -> None:
    data = bytearray((artifact_dir / name).read_bytes())
    data[len(data) // 2] ^= 1
    (artifact_dir / name).write_bytes(bytes(data))
    assert refusal(artifact_dir).startswith(f"{name} does not match its checksum")


def test_a_file_or_folder_too_many(artifact_dir: Path) -> None:
    (artifact_dir / "model.onnx.data").write_bytes(b"")
    assert "'model.onnx.data' is not listed" in refusal(artifact_dir)
    (artifact_dir / "model.onnx.data").unlink()
    (artifact_dir / ".git").mkdir()
    assert "'.git' is not listed" in refusal(artifact_dir)


@pytest.mark.parametrize(
    "line", ["abc  model.onnx", f"{'0' * 64}  ../model.onnx", f"{'0' * 64} x", f"{'0' * 64}", "\xff"]
)
def test_unreadable_sums(artifact_dir: Path, line: str) -> None:
    with (artifact_dir / SUMS).open("ab") as file:
        file.write(line.encode("latin-1"))
    assert "unreadable line" in refusal(artifact_dir)


@pytest.mark.parametrize("schema", [0, 2, "1", None])
def test_unknown_schema(artifact_dir: Path, schema: object) -> None:
    data = json.loads((artifact_dir / "guard.json").read_text())
    (artifact_dir / "guard.json").write_text(json.dumps({**data, "schema": schema}))
    reseal(artifact_dir)
    assert refusal(artifact_dir) == f"guard.json has schema {schema!r}, this version reads 1: export the model again"


@pytest.mark.parametrize("name", ["guard.json", "config.json"])
@pytest.mark.parametrize("text", ["{", "\xff", "NaN", "[" * 100_000])
def test_corrupt_json(artifact_dir: Path, name: str, text: str) -> None:
    (artifact_dir / name).write_bytes(text.encode("latin-1"))
    reseal(artifact_dir)
    assert f"{name} is not valid JSON" in refusal(artifact_dir)


@pytest.mark.parametrize("labels", [[], {}, {"1": "a"}, {"0": "a", "2": "b"}, {"zero": "a"}])
def test_labels_must_be_numbered_from_zero(artifact_dir: Path, labels: object) -> None:
    (artifact_dir / "config.json").write_text(json.dumps({"id2label": labels}))
    reseal(artifact_dir)
    assert "no id2label numbered from 0" in refusal(artifact_dir)


def test_labels_must_differ(tmp_path: Path) -> None:
    assert "one name" in refusal(write_artifact(tmp_path / "a", labels={"0": "same", "1": "same"}))


def test_labels_must_be_as_many_as_it_was_calibrated_for(tiny_artifact: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_artifact, tmp_path / "artifact")
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {"0": "bad", "1": "good", "2": "neither"}
    (folder / "config.json").write_text(json.dumps(config))
    reseal(folder)
    assert refusal(folder) == "config.json names 3 classes, guard.json is of 2: export it again"


def test_what_it_is_compared_with_must_be_what_it_was_exported_from(
    tiny_artifact: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    artifact = load_artifact(tiny_artifact)
    artifact.check_source(tiny_checkpoint)
    with pytest.raises(InputError, match="no checkpoint at"):
        artifact.check_source(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"another")
    with pytest.raises(InputError, match="was exported from another checkpoint"):
        artifact.check_source(tmp_path)


def test_a_linked_folder_is_an_artifact_too(artifact_dir: Path) -> None:
    link = artifact_dir.with_name("current")
    link.symlink_to(artifact_dir)
    with rewriting(link) as folder:
        write_guard(folder, guard_file(calibrated=False), ("negative", "positive"))
    assert link.is_symlink()
    assert load_artifact(artifact_dir).guard.calibration is None


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError])
def test_a_stopped_writer_leaves_nothing(tmp_path: Path, stop: type[BaseException]) -> None:
    def write_half() -> None:
        with writing(tmp_path / "new" / "artifact") as folder:
            (folder / "model.onnx").write_bytes(b"half")
            raise stop

    with pytest.raises(stop):
        write_half()
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError])
def test_a_stopped_rewriter_keeps_the_old(artifact_dir: Path, stop: type[BaseException]) -> None:
    before = contents(artifact_dir)

    def rewrite_half() -> None:
        with rewriting(artifact_dir) as folder:
            write_guard(folder, guard_file(calibrated=False), ("negative", "positive"))
            raise stop

    with pytest.raises(stop):
        rewrite_half()
    assert contents(artifact_dir) == before
    assert [path.name for path in artifact_dir.parent.iterdir()] == ["artifact"]


def test_a_stop_between_the_two_renames_keeps_the_old(artifact_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(artifact_dir)
    rename = Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        if self.suffix == ".part" and Path(target) == artifact_dir:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), rewriting(artifact_dir):
        pass
    assert contents(artifact_dir) == before
    assert [path.name for path in artifact_dir.parent.iterdir()] == ["artifact"]


def test_rewriting_replaces_what_was_written_and_keeps_the_rest(artifact_dir: Path) -> None:
    before = load_artifact(artifact_dir)
    with rewriting(artifact_dir) as folder:
        write_guard(folder, guard_file(calibrated=False), ("negative", "positive"))
    after = load_artifact(artifact_dir)
    assert after.guard == guard_file(calibrated=False)
    assert after.digest != before.digest
    assert after.model_path.read_bytes() == b"not a real graph"
    assert [path.name for path in artifact_dir.parent.iterdir()] == ["artifact"]


def test_rewriting_works_where_files_cannot_be_linked(artifact_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise OSError("no hard links here")

    monkeypatch.setattr(os, "link", no_links)
    with rewriting(artifact_dir) as folder:
        write_guard(folder, guard_file(calibrated=False), ("negative", "positive"))
    assert load_artifact(artifact_dir).guard.calibration is None


def test_an_altered_artifact_is_not_sealed_anew(artifact_dir: Path) -> None:
    (artifact_dir / "model.onnx").write_bytes(b"something else")
    with pytest.raises(ArtifactError, match="does not match its checksum"), rewriting(artifact_dir):
        pass
    assert "does not match" in refusal(artifact_dir)


def test_an_existing_folder_is_never_written_over(artifact_dir: Path) -> None:
    with pytest.raises(ArtifactError, match="exists already"), writing(artifact_dir):
        pass
    assert load_artifact(artifact_dir)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArtifactError, match="cannot write beside"), writing(tmp_path / "file" / "artifact"):
        pass


def test_a_value_that_is_not_a_number_is_not_written(tmp_path: Path) -> None:
    guard = dataclasses.replace(guard_file(), parity={"logits": float("nan")})
    with pytest.raises(ValueError, match="not JSON compliant"), writing(tmp_path / "a") as folder:
        write_guard(folder, guard, ("negative", "positive"))
    assert not (tmp_path / "a").exists()


def test_copies_load(artifact_dir: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(artifact_dir, tmp_path / "elsewhere")
    assert load_artifact(copy).digest == load_artifact(artifact_dir).digest
