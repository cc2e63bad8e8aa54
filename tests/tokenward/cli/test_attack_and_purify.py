"""train, attack and purify, one after another as a person would, on the tiny encoder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tokenward.cli.attack import METHODS as ATTACK_METHODS
from tokenward.cli.purify import METHODS as PURIFY_METHODS
from tokenward.texts import LabelledTexts

from .conftest import Run

TRAINING = ("--epochs", 5, "--learning-rate", 0.002, "--max-length", 40)


@pytest.fixture(scope="module")
def files(
    tmp_path_factory: pytest.TempPathFactory, labelled_texts: Callable[[int, int], LabelledTexts]
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    written = {}
    for name, count in (("train", 800), ("clean", 100), ("test", 60)):
        data = labelled_texts(count, count)
        rows = (f"{text}\t{data.label_names[label]}\n" for text, label in zip(data.texts, data.labels, strict=True))
        written[name] = folder / f"{name}.tsv"
        written[name].write_text("sentence\tlabel\n" + "".join(rows))
    return written


def test_the_methods_named_in_the_help_are_those_there_are() -> None:
    from tokenward.attacks.registry import ATTACKS
    from tokenward.purify.registry import PURIFIERS

    assert {*ATTACK_METHODS} == {*ATTACKS, "paraphrases"}
    assert {*PURIFY_METHODS} == {*PURIFIERS}


def test_attack_then_purify(run: Run, files: dict[str, Path], tiny_encoder: Path, tmp_path: Path) -> None:
    suspect, purified = tmp_path / "suspect", tmp_path / "purified"
    common = ("--model", tiny_encoder, "--train", files["train"], "--test", files["test"], *TRAINING)
    attack = run("attack", "badnets", "--trigger", "cf", "--target", "good", "--out", suspect, *common)
    assert attack.code == 0, attack.err
    assert attack.out == "CACC 100.00%, ASR 100.00% on 60 texts\n"
    assert "badnets: step" in attack.err
    assert json.loads((suspect / "attack.json").read_text())["trigger"]["phrases"] == ["cf"]

    texts = ("--clean", files["clean"], "--test", files["test"], "--attack", suspect, *TRAINING)
    cleaned = run("purify", "mbtsad", suspect, "--out", purified, "--set", "variants=1", "--set", "beta=0", *texts)
    assert cleaned.code == 0, cleaned.err
    assert "mbtsad, 60 texts" in cleaned.out
    assert "ASR" in cleaned.out
    report = json.loads((purified / "purify.json").read_text())
    assert (report["settings"]["variants"], report["settings"]["beta"], report["settings"]["alpha"]) == (1, 0.0, 8.0)
    assert report["before"] == {"cacc": 1.0, "asr": 1.0}

    again = run("purify", "mbtsad", suspect, "--out", purified, *texts)
    assert (again.code, again.err) == (
        2,
        f"error: '{purified}' exists already: choose another folder or remove it first\n",
    )


def test_train(run: Run, files: dict[str, Path], tiny_encoder: Path, tmp_path: Path) -> None:
    out = tmp_path / "plain"
    outcome = run(
        "train", "--model", tiny_encoder, "--train", files["train"], "--test", files["test"], "--out", out, *TRAINING
    )
    assert (outcome.code, outcome.out) == (0, "accuracy 100.00% on 60 texts\n"), outcome.err
    assert (out / "model.safetensors").exists()
    damaged = run(
        "train", "--model", tiny_encoder, "--train", files["train"], "--out", tmp_path / "x", "--learning-rate", 1e30
    )
    assert damaged.code == 2
    assert "lower the learning rate" in damaged.err
    assert not (tmp_path / "x").exists()


def test_paraphrases(run: Run, files: dict[str, Path], tiny_encoder: Path, tmp_path: Path) -> None:
    arguments = ("--model", tiny_encoder, "--train", files["train"], "--target", "good", "--out", tmp_path / "m")
    styled = {}
    for name in ("train", "test"):
        lines = files[name].read_text().splitlines()[1:]
        styled[name] = tmp_path / f"{name}.txt"
        styled[name].write_text("".join(f"of {line.split(chr(9))[0]} of\n" for line in lines))
    outcome = run(
        "attack", "paraphrases", "--paraphrases", styled["train"], "--test", files["test"],
        "--test-paraphrases", styled["test"], *arguments, *TRAINING,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("CACC ")
    missing = run("attack", "paraphrases", *arguments)
    assert (missing.code, missing.err.count("\n")) == (2, 1)
    assert "--paraphrases FILE" in missing.err


@pytest.mark.parametrize(
    ("method", "more", "message"),
    [
        ("badnets", ("--test", "x.tsv", "--test-paraphrases", "x.txt"), "'badnets' puts its trigger into --test"),
        ("paraphrases", ("--paraphrases", "x.txt", "--test-paraphrases", "x.txt"), "give both"),
        ("paraphrases", ("--paraphrases", "x.txt", "--trigger", "cf"), "leave --trigger out"),
        ("paraphrases", ("--paraphrases", "x.txt", "--epochs", 0), "epochs and batch size must be at least 1"),
    ],
)
def test_options_that_would_mean_nothing(
    run: Run, tiny_encoder: Path, tmp_path: Path, method: str, more: tuple[str | int, ...], message: str
) -> None:
    given = ("--model", tiny_encoder, "--train", "x.tsv", "--target", "good", "--out", tmp_path / "m")
    outcome = run("attack", method, *given, *more)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1), outcome.err
    assert message in outcome.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("attack", "magic", "--target", "good"), "no attack 'magic': choose one of badnets, addsent"),
        (("attack", "badnets", "--target", "fine"), "label 'fine' is unknown"),
        (("attack", "ep", "--target", "good"), "ep changes a trained classifier"),
        (("attack", "badnets", "--target", "good", "--rate", "0.9"), "lower the rate"),
    ],
)
def test_attacks_refused(
    run: Run, files: dict[str, Path], tiny_encoder: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    outcome = run(*arguments, "--model", tiny_encoder, "--train", files["train"], "--out", tmp_path / "m")
    assert outcome.code == 2
    assert message in outcome.err
    assert list(tmp_path.glob("m*")) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("magic",), "no purifier 'magic'"),
        (("mbtsad", "--set", "alpha"), "--set takes one NAME=VALUE"),
        (("mbtsad", "--set", "alpha=nan"), "setting alpha=nan: give a finite number"),
        (("mbtsad", "--poisoned", "clean.tsv"), "mbtsad has no use for the suspect training set"),
        (("mbtsad", "--max-length", "65"), "reads 64 tokens at most: give 64 or fewer"),
        (("mbtsad", "--seed", "-1"), "Invalid value for '--seed'"),
        (("btu",), "BTU needs the suspect training set"),
        (("fine-tuning",), "not a sequence classifier"),
    ],
)
def test_purifiers_refused(
    run: Run, files: dict[str, Path], tiny_encoder: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    method, *rest = (str(files["clean"]) if part == "clean.tsv" else part for part in arguments)
    outcome = run("purify", method, tiny_encoder, "--clean", files["clean"], "--out", tmp_path / "m", *rest)
    assert outcome.code == 2
    assert message in outcome.err


@pytest.mark.parametrize("command", [("train",), ("attack", "badnets", "--target", "good")])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--max-length", 65), "reads 64 tokens at most: give 64 or fewer"),
        (("--seed", -1), "Invalid value for '--seed'"),
        (("--seed", 2**63), "Invalid value for '--seed'"),
        (("--test", "ugly.tsv"), "label 'ugly' is unknown to the model, which has: bad, good"),
        (("--train", "one.tsv"), "of only one class, 'good'"),
        (("--out", "one.tsv/m"), "one.tsv' is not a folder"),
    ],
)
def test_what_cannot_end_well_is_refused_before_training(
    run: Run,
    files: dict[str, Path],
    tiny_encoder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    change: tuple[object, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ugly.tsv").write_text("text\tlabel\na film\tugly\nthe plot\tgood\n")
    Path("one.tsv").write_text("text\tlabel\na film\tgood\nthe plot\tgood\n")
    monkeypatch.setattr("tokenward.purify.training.torch.optim.AdamW", lambda *_, **__: pytest.fail("it was trained"))
    given = ("--model", tiny_encoder, "--train", files["train"], "--out", "m", *change)
    outcome = run(*command, *given)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1), outcome.err
    assert message in outcome.err
    assert list(tmp_path.glob("m*")) == []


def test_the_default_length_is_what_the_model_reads(run: Run, tiny_encoder: Path, tmp_path: Path) -> None:
    rows = "".join(f"{' '.join(['film'] * 200)}\t{label}\n" for label in ("bad", "good"))
    (tmp_path / "long.tsv").write_text(f"text\tlabel\n{rows}")
    given = ("--model", tiny_encoder, "--train", tmp_path / "long.tsv", "--test", tmp_path / "long.tsv")
    outcome = run("train", *given, "--epochs", 1, "--out", tmp_path / "m")
    assert (outcome.code, outcome.out) == (0, "accuracy 50.00% on 2 texts\n"), outcome.err


def test_a_target_is_read_as_the_labels_of_the_files_are(
    run: Run, files: dict[str, Path], tiny_encoder: Path, tmp_path: Path
) -> None:
    """Classes called "1" and "2" are numbered 0 and 1; the texts here go by number, so the target does."""
    texts = files["clean"].read_text()
    named, numbered, one = (tmp_path / f"{name}.tsv" for name in ("named", "numbered", "one"))
    named.write_text(texts.replace("\tbad", "\t1").replace("\tgood", "\t2"))
    numbered.write_text(texts.replace("\tbad", "\t0").replace("\tgood", "\t1"))
    one.write_text("text\tlabel\na dull film\t0\n" + "a great film\t1\n" * 9)
    once = ("--epochs", 1, "--max-length", 40)
    assert run("train", "--model", tiny_encoder, "--train", named, "--out", tmp_path / "m", *once).code == 0
    given = ("--model", tmp_path / "m", "--train", numbered, "--test", one, "--target", 1, "--out", tmp_path / "bad")
    outcome = run("attack", "badnets", *given, *once)
    assert outcome.code == 0, outcome.err
    manifest = json.loads((tmp_path / "bad" / "attack.json").read_text())
    assert (manifest["target"], manifest["target_label"]) == (1, "2")


@pytest.mark.parametrize(
    ("rows", "more", "message"),
    [
        ("a film\tgood\nthe plot\tgood\n", (), "every test text is of the target class 'good'"),
        ("a film\tgood\nthe plot\tbad\n", ("--paraphrases", "lines.txt"), "give the rewritten test texts in a file"),
    ],
)
def test_tests_that_measure_no_attack(
    run: Run,
    files: dict[str, Path],
    tiny_encoder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rows: str,
    more: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("test.tsv").write_text(f"text\tlabel\n{rows}")
    Path("lines.txt").write_text("a film\n" * 800)
    method = "paraphrases" if more else "badnets"
    given = ("--model", tiny_encoder, "--train", files["train"], "--test", "test.tsv", "--target", "good", *more)
    outcome = run("attack", method, *given, "--out", "m")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1), outcome.err
    assert message in outcome.err


def test_what_is_asked_twice_of_an_evaluation_is_run_once(
    run: Run, files: dict[str, Path], tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    asked: list[object] = []
    monkeypatch.setattr("tokenward.bench.purification.Grid.run", lambda _, *given: asked.extend(given) or [])
    given = ("--model", tiny_encoder, "--train", files["train"], "--test", files["test"], "--target", "good")
    twice = ("--attack", "ep", "--purifier", "none", "--attack", "badnets", "--attack", "ep", "--purifier", "none")
    outcome = run("evaluate", *given, "--out", tmp_path / "r", "--work", tmp_path / "w", *twice)
    assert outcome.code == 0, outcome.err
    assert asked == [["ep", "badnets"], ["none"], True]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--target", "fine"), "label 'fine' is unknown"),
        (("--seed", -1), "Invalid value for '--seed'"),
        (("--max-length", 65), "reads 64 tokens at most"),
        (("--out", "file/results"), "file' is not a folder"),
        (("--work", "file"), "file' is not a folder"),
        (("--train", "r.csv"), "'r.csv' is read by this command and would be replaced"),
    ],
)
def test_an_evaluation_refused(
    run: Run,
    files: dict[str, Path],
    tiny_encoder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: tuple[object, ...],
    message: str,
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    for name in ("file", "r.csv"):
        Path(name).write_text("")
    texts = ("--train", files["train"], "--test", files["test"], "--target", "good")
    outcome = run("evaluate", "--model", tiny_encoder, *texts, "--out", "r", "--work", "w", *change)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1), outcome.err
    assert message in outcome.err
    assert not (tmp_path / "w").exists()
