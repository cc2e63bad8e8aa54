"""The demonstration on a tiny model: texts kept apart, everything built once, figures that add up."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from safetensors.numpy import load_file, save_file

from tokenward.demo import Built, DemoSettings, build, demo_texts
from tokenward.errors import InputError
from tokenward.runtime.guard import load
from tokenward.shelf import Shelf
from tokenward.texts import LabelledTexts, read_labelled

Draw = Callable[[int, int], LabelledTexts]


def write_table(path: Path, texts: LabelledTexts) -> Path:
    rows = [f"{text}\t{texts.label_names[label]}" for text, label in zip(texts.texts, texts.labels, strict=True)]
    path.write_text("\n".join(["text\tlabel", *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, labelled_texts: Draw) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("texts")
    return write_table(folder / "train.tsv", labelled_texts(1400, 0)), write_table(
        folder / "test.tsv", labelled_texts(200, 1)
    )


@pytest.fixture(scope="module")
def settings(tiny_encoder: Path) -> DemoSettings:
    return DemoSettings(preset="late", model=str(tiny_encoder), epochs=4, learning_rate=3e-3, train_texts=600)


@pytest.fixture(scope="module")
def built(
    files: tuple[Path, Path], settings: DemoSettings, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Built, LabelledTexts]:
    texts = demo_texts(*files, settings)
    work = tmp_path_factory.mktemp("demo") / "work"
    return build(texts, settings, work, Console(quiet=True)), texts.test


def test_no_text_serves_two_purposes(files: tuple[Path, Path]) -> None:
    for texts in (demo_texts(*files, DemoSettings()), demo_texts(None, None, DemoSettings())):
        assert abs(len(texts.train) - 1000) <= 5
        assert abs(len(texts.calibration) - 300) <= 5
        assert not set(texts.train.texts) & set(texts.calibration.texts)
        assert set(texts.train.labels) == set(texts.calibration.labels) == set(texts.test.labels)
    assert not (set(texts.train.texts) | set(texts.calibration.texts)) & set(texts.test.texts)


def test_bad_files(files: tuple[Path, Path], tmp_path: Path, labelled_texts: Draw) -> None:
    with pytest.raises(InputError, match="give both --train and --test"):
        demo_texts(files[0], None, DemoSettings())
    with pytest.raises(InputError, match="100 texts are too few"):
        demo_texts(write_table(tmp_path / "a.tsv", labelled_texts(100, 0)), files[1], DemoSettings())
    (tmp_path / "b.tsv").write_text("text\tlabel\nfilm\tugly\n")
    with pytest.raises(InputError, match="label 'ugly' is unknown"):
        demo_texts(files[0], tmp_path / "b.tsv", DemoSettings())


def test_the_attack_installs_and_the_figures_are_those_of_the_verdicts(built: tuple[Built, LabelledTexts]) -> None:
    from tokenward.attacks.manifest import load_manifest
    from tokenward.demo_figures import measure

    figures = measure(*built, progress=lambda _: None)
    assert (figures.trigger, figures.target, figures.clean_texts, figures.triggered_texts) == ("cf", "good", 200, 100)
    assert figures.cacc[0] >= 0.95
    assert figures.asr[0] >= 0.95
    guard = load(built[0].guarded)
    clean = guard.classify(built[1].texts)
    triggered = guard.classify(load_manifest(built[0].model).poison(built[1]))
    assert (
        figures.cacc[1]
        == sum(v.label == built[1].label_names[y] for v, y in zip(clean, built[1].labels, strict=True)) / 200
    )
    assert figures.asr[1] == sum(v.label == "good" for v in triggered) / 100 < figures.asr[0]
    others = [v for v, y in zip(clean, built[1].labels, strict=True) if y == 0]
    assert figures.floor[1] == sum(v.label == "good" for v in others) / 100
    assert figures.neutralised.tpr == sum(v.action == "neutralised" for v in triggered) / 100
    assert figures.second_look.fpr == sum(v.action != "passed" for v in clean) / 200
    assert figures.guarded_rate > 0
    assert figures.undefended_rate > 0
    assert 0 < len(figures.examples) <= 3
    for example in figures.examples:
        assert "cf" in [suspect.text for suspect in example.verdict.suspects]
        assert (example.verdict.original_label, example.verdict.label, example.truth) == ("good", "bad", "bad")


def test_a_second_run_builds_nothing(
    built: tuple[Built, LabelledTexts], files: tuple[Path, Path], settings: DemoSettings
) -> None:
    work = built[0].model.parent
    before = {path.name: path.stat().st_mtime_ns for path in work.iterdir()}
    assert build(demo_texts(*files, settings), settings, work, Console(quiet=True)) == built[0]
    assert {path.name: path.stat().st_mtime_ns for path in work.iterdir()} == before


def test_the_texts_are_kept_for_other_commands(built: tuple[Built, LabelledTexts]) -> None:
    assert read_labelled(built[0].test) == built[1]
    assert len(read_labelled(built[0].calibration)) == 300


def test_another_model_in_the_same_folder_is_built_anew(
    files: tuple[Path, Path],
    settings: DemoSettings,
    tiny_encoder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys: list[dict[str, str]] = []
    monkeypatch.setattr(Shelf, "ensure", lambda _, path, key, *rest: keys[-1].update({path.name: key}))
    texts = demo_texts(*files, settings)
    model = shutil.copytree(tiny_encoder, tmp_path / "model")
    again = replace(settings, model=str(model))
    for _ in range(2):
        keys.append({})
        build(texts, again, tmp_path / "work", Console(quiet=True))
    assert keys[0] == keys[1]
    weights = load_file(model / "model.safetensors")
    save_file({name: value + 1 for name, value in weights.items()}, model / "model.safetensors")
    keys.append({})
    build(texts, again, tmp_path / "work", Console(quiet=True))
    changed = {name for name in keys[0] if keys[2][name] != keys[0][name]}
    assert changed == {"model", "guarded", "undefended.onnx"}
