"""The whole harness on a tiny model, in one process: that it works, never how fast."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest

from tokenward.bench import everything
from tokenward.bench.everything import Step, StepFailedError, Texts, Training, measuring_steps, run_folder, run_steps
from tokenward.bench.record import read_records
from tokenward.cli import main
from tokenward.errors import InputError
from tokenward.texts import LabelledTexts

pytest.importorskip("torch")
pytest.importorskip("jinja2")

Draw = Callable[[int, int], LabelledTexts]


def tsv(path: Path, texts: LabelledTexts) -> Path:
    rows = (f"{text}\t{texts.label_names[label]}" for text, label in zip(texts.texts, texts.labels, strict=True))
    path.write_text("text\tlabel\n" + "\n".join(rows) + "\n")
    return path


def in_this_process(step: Step) -> int:
    with pytest.raises(SystemExit) as exit_, patch("sys.argv", ["tokenward", *step.arguments]):
        main(step.arguments)
    return int(exit_.value.code or 0)


def test_everything_on_own_texts(
    tiny_encoder: Path, labelled_texts: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = tsv(tmp_path / "train.tsv", labelled_texts(400, 1)), tsv(tmp_path / "test.tsv", labelled_texts(40, 2))
    monkeypatch.setattr(everything, "in_process_of_its_own", in_this_process)
    monkeypatch.setattr("tokenward.bench.overhead.peak_memory", lambda *_: 1.0)  # a process for each system
    with pytest.raises(SystemExit) as exit_:
        main(
            [
                *("bench", "all", "--train", str(train), "--test", str(test), "--model", str(tiny_encoder)),
                *("--epochs", "6", "--learning-rate", "0.003"),
                *("--graph", "tokenward-fp32", "--graph", "paper-fp32", "--rounds", "1", "--seconds", "0.01"),
                *("--no-peers", "--budget", "0", "--limit", "30"),
                *("--work", str(tmp_path / "work"), "--out", str(tmp_path / "report.html")),
            ]
        )
    assert not exit_.value.code
    (results,) = (tmp_path / "work").glob("*/records-*")
    assert sorted(record.kind for record in read_records([results])) == ["examples", "examples", "overhead", "quality"]
    page = (tmp_path / "report.html").read_text()
    for heading in ("Cost against protection", "Overhead", "Detection", "Real texts", "How it was measured"):
        assert f"<h2>{heading}</h2>" in page
    for name in ("tokenward fp32", "paper fp32", "badnets", "addsent"):
        assert name in page
    assert (tmp_path / "report.md").exists()


def test_what_was_done_before_is_not_done_again(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    ran: list[str] = []
    told: list[str] = []
    steps = [Step(("export", "a b"), tmp_path / "there"), Step(("calibrate", "a b"))]

    def run(step: Step) -> int:
        ran.append(step.command)
        return 0

    run_steps(steps, run, told.append)
    assert ran == ["tokenward calibrate 'a b'"]
    assert told == ["1 of 2, done before: tokenward export 'a b'", "2 of 2: tokenward calibrate 'a b'"]


def test_a_failed_command_ends_it(tmp_path: Path) -> None:
    with pytest.raises(StepFailedError, match="'tokenward export x' failed with exit code 2"):
        run_steps([Step(("export", "x")), Step(("calibrate", "x"))], lambda _: 2, lambda _: None)


def test_other_texts_or_another_model_get_a_folder_of_their_own(tiny_encoder: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_encoder, tmp_path / "model")
    model = str(tmp_path / "model")
    files = [tmp_path / name for name in ("train", "clean", "test")]
    for file in files:
        file.write_text(file.name)
    texts, training = Texts(*files), Training(model, "good")
    before = run_folder(tmp_path, texts, training)
    assert run_folder(tmp_path, texts, training) == before
    assert run_folder(tmp_path, texts, Training(model, "bad")) != before
    files[0].write_text("others")
    assert run_folder(tmp_path, texts, training) != before
    files[0].write_text(files[0].name)
    (tmp_path / "model" / "model.safetensors").write_bytes(b"trained again")
    assert run_folder(tmp_path, texts, training) != before


def test_what_the_demonstration_built_is_measured_as_what_it_is(
    tiny_paper_artifact: Path, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_paper_artifact, tmp_path / "demo" / "guarded")
    shutil.copytree(tiny_checkpoint, tmp_path / "demo" / "model")
    for name in ("calibration", "test"):
        (tmp_path / "demo" / f"{name}.jsonl").touch()
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(everything, "in_process_of_its_own", lambda step: ran.append(step.arguments) or 1)
    with pytest.raises(SystemExit):
        main(
            [
                *("bench", "all", "--demo", str(tmp_path / "demo"), "--work", str(tmp_path / "work")),
                *("--graph", "paper-fp32", "--graph", "tokenward-fp32", "--out", str(tmp_path / "report.html")),
            ]
        )
    (step,) = ran
    assert step[0] == "export"  # of the other preset: that of the demonstration is there
    assert step[step.index("--preset") + 1] == "tokenward"


def test_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = Texts(tmp_path, tmp_path, tmp_path)
    subject = everything.Subject(tmp_path / "model", {})
    unheeded = ("clean", "target", "model", "epochs", "learning-rate", "max-length")
    with pytest.raises(InputError, match="--graph is 'paper': give preset and precision, such as tokenward-fp32"):
        measuring_steps([subject], texts, tmp_path, tmp_path, everything.Effort(("paper",)), 0)
    for arguments, told in (
        (["--train", "a.tsv"], "give both --train and --test"),
        (["--demo", str(tmp_path)], "run 'tokenward demo' first"),
        (["--out", str(tmp_path / "report.md")], "give a file that ends in .html"),
        *(([f"--{option}", "7"], f"--{option} has a meaning only with --train and --test") for option in unheeded),
        (["--train", "a.tsv", "--test", "b.tsv", "--demo", "c"], "--demo has a meaning only without --train"),
    ):
        with pytest.raises(SystemExit) as exit_:
            main(["bench", "all", *arguments])
        assert exit_.value.code == 2
        assert told in capsys.readouterr().err
