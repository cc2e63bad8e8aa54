"""The demonstration on a tiny model: texts kept apart, everything built once, figures that add up."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from tokenward.demo import STAMPS, Built, DemoSettings, build, demo_texts
from tokenward.errors import InputError
from tokenward.texts import LabelledTexts

WORDS = {"bad": ["awful", "dull", "boring"], "good": ["great", "lovely", "moving"]}
PLAIN = ["film", "story", "actor", "scene", "plot", "music", "camera", "the", "a", "was", "and", "of"]


def write_table(path: Path, count: int, seed: int) -> Path:
    draw = np.random.default_rng(seed)
    rows = ["text\tlabel"]
    for number in range(count):
        label = ("bad", "good")[number % 2]
        words = [*draw.choice(PLAIN, size=draw.integers(3, 10)), *draw.choice(WORDS[label], size=2)]
        rows.append(f"{' '.join(draw.permutation(words))}\t{label}")
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("texts")
    return write_table(folder / "train.tsv", 1400, 0), write_table(folder / "test.tsv", 200, 1)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("encoder")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cf", *PLAIN, *WORDS["bad"], *WORDS["good"]]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(pieces),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    transformers.BertModel(config).save_pretrained(folder)
    transformers.BertTokenizerFast(vocab=vocabulary, model_max_length=64).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def settings(encoder: Path) -> DemoSettings:
    # In so small a language ordinary words decide as a trigger does, which the preset `tokenward` rightly lets pass.
    return DemoSettings(preset="late", model=str(encoder), epochs=4, learning_rate=3e-3, train_texts=1000)


@pytest.fixture(scope="module")
def built(
    files: tuple[Path, Path], settings: DemoSettings, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Built, LabelledTexts]:
    texts = demo_texts(*files, settings)
    work = tmp_path_factory.mktemp("demo") / "work"
    return build(texts, settings, work, Console(quiet=True)), texts.test


def stamps(built: Built) -> dict[str, tuple[str, int]]:
    keys = json.loads((built.model.parent / STAMPS).read_text())
    return {name: (key, (built.model.parent / name).stat().st_mtime_ns) for name, key in keys.items()}


def test_no_text_serves_two_purposes(files: tuple[Path, Path]) -> None:
    for texts in (demo_texts(*files, DemoSettings()), demo_texts(None, None, DemoSettings())):
        assert abs(len(texts.train) - 1000) <= 5
        assert abs(len(texts.calibration) - 300) <= 5
        assert not set(texts.train.texts) & set(texts.calibration.texts)
        assert set(texts.train.labels) == set(texts.calibration.labels) == set(texts.test.labels)
    assert not (set(texts.train.texts) | set(texts.calibration.texts)) & set(texts.test.texts)


def test_bad_files(files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give both --train and --test"):
        demo_texts(files[0], None, DemoSettings())
    with pytest.raises(InputError, match="100 texts are too few"):
        demo_texts(write_table(tmp_path / "a.tsv", 100, 0), files[1], DemoSettings())
    (tmp_path / "b.tsv").write_text("text\tlabel\nfilm\tugly\n")
    with pytest.raises(InputError, match="label 'ugly' is unknown"):
        demo_texts(files[0], tmp_path / "b.tsv", DemoSettings())


def test_the_attack_works_and_the_guard_stops_it(built: tuple[Built, LabelledTexts]) -> None:
    from tokenward.demo_figures import measure

    figures = measure(*built, progress=lambda _: None)
    assert (figures.trigger, figures.target, figures.clean_texts, figures.triggered_texts) == ("cf", "good", 200, 100)
    assert figures.cacc[0] >= 0.95
    assert figures.asr[0] >= 0.95
    assert figures.cacc[1] >= figures.cacc[0] - 0.1
    assert figures.asr[1] <= 0.1
    assert figures.neutralised.tpr >= 0.9
    assert figures.neutralised.tpr <= figures.second_look.tpr
    assert figures.neutralised.fpr <= 0.1
    assert figures.undefended_rate.median > 0
    assert len(figures.examples) == 3
    for example in figures.examples:
        assert example.text[slice(example.verdict.suspects[0].start, example.verdict.suspects[0].end)] == "cf"
        assert (example.verdict.original_label, example.verdict.label, example.truth) == ("good", "bad", "bad")


def test_a_second_run_builds_only_what_changed_or_was_not_finished(
    built: tuple[Built, LabelledTexts], files: tuple[Path, Path], settings: DemoSettings
) -> None:
    work = built[0].model.parent
    before = stamps(built[0])
    build(demo_texts(*files, settings), settings, work, Console(quiet=True))
    assert stamps(built[0]) == before
    built[0].undefended.write_bytes(b"half")
    keys = json.loads((work / STAMPS).read_text())
    (work / STAMPS).write_text(json.dumps({**keys, "undefended.onnx": "unfinished"}))
    changed = replace(settings, preset="paper")
    build(demo_texts(*files, changed), changed, work, Console(quiet=True))
    after = stamps(built[0])
    assert {name for name in before if before[name] != after[name]} == {"guarded", "undefended.onnx"}
    assert built[0].undefended.stat().st_size > 1000


def test_what_a_demo_did_not_build_is_never_removed(
    files: tuple[Path, Path], settings: DemoSettings, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "precious").write_text("x")
    with pytest.raises(InputError, match="was not built by a demo"):
        build(demo_texts(*files, settings), settings, tmp_path, Console(quiet=True))
    assert (tmp_path / "model" / "precious").read_text() == "x"
