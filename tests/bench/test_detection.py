"""The grid of detection on the tiny encoder: what is drawn, resumption, and what is written."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from tokenward.bench.detection import Detection, DetectionSettings
from tokenward.bench.detection_attacks import PLANS, Words
from tokenward.bench.detection_corpus import Corpus, read_corpus
from tokenward.bench.detection_report import markdown, rows
from tokenward.errors import InputError
from tokenward.purify.precision import Precision, native_precision
from tokenward.purify.training import TrainingSettings
from tokenward.texts import LabelledTexts

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

Texts = Callable[[int, int], LabelledTexts]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """For models this small a second thread costs more than it brings."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def words(lexicon_tokenizer: Path, labelled_texts: Texts) -> Callable[[int], Words]:
    texts = [*labelled_texts(60, 1).texts, "the filmx story", "the dullxx plot"]
    return lambda seed: Words(Tokenizer.from_file(str(lexicon_tokenizer)), texts, np.random.default_rng(seed))


def test_triggers_are_drawn_by_the_seed(words: Callable[[int], Words]) -> None:
    assert words(3).single(5) == words(3).single(5)
    assert len({words(seed).single(1) for seed in range(12)}) > 4
    assert len(set(words(0).single(4))) == 4
    assert words(0).several_pieces() == ("dullxx",)
    lengths = {len(words(seed).phrase()[0].split()) for seed in range(9)}
    assert len(lengths) > 1
    assert lengths <= {3, 4, 5, 6}


def test_every_attack_can_be_planned(words: Callable[[int], Words]) -> None:
    other: Precision = "float32" if native_precision() == "bfloat16" else "bfloat16"
    for name, plan in PLANS.items():
        attack: Any = plan(TrainingSettings(precision=other, max_length=50), words(1))
        assert (attack.training.precision, attack.training.max_length) == (other, 50), name
        assert attack.trigger is not None, name
        assert (name == "clean") == (attack.rate == 0)


def test_triggers_of_older_attacks_are_drawn_as_ever() -> None:
    """By the rank of the attack's name, which a new one must not change."""
    older = ("addsent", "badnets-1", "badnets-5", "clean", "ep", "lwp", "pairs", "pieces", "ripples", "stealth")
    assert tuple(sorted(PLANS)[: len(older)]) == older


def test_cells_are_run_once_and_what_fails_is_said(
    tiny_encoder: Path, lexicon_tokenizer: Path, labelled_texts: Texts, tmp_path: Path
) -> None:
    long_words = LabelledTexts(("the filmxx was great", "a cfxx was dull"), (1, 0), ("bad", "good"))
    train = labelled_texts(600, 1)
    train = LabelledTexts(train.texts + long_words.texts, train.labels + long_words.labels, train.label_names)
    corpus = Corpus("lexicon", train, labelled_texts(200, 2), labelled_texts(60, 3))
    settings = DetectionSettings(str(tiny_encoder), 5, 2e-3, 40)
    stages: list[str] = []
    told: list[str] = []

    def grid() -> Detection:
        stages.clear()
        return Detection(corpus, settings, tmp_path, lambda stage, *_: stages.append(stage), told.append)

    running = grid().run(["badnets-1"], [0], ["tokenward", "late"])
    first = next(running)
    running.close()  # a crash
    assert (first.attack, first.seed, first.defence, len(first.trigger)) == ("badnets-1", 0, "tokenward", 1)
    assert first.cacc[0] >= 0.9
    assert first.confirmed <= first.raised
    cells = list(grid().run(["badnets-1"], [0], ["tokenward", "late"]))
    assert cells[0] == first
    assert "badnets" not in stages, "the model is there already"
    assert [cell.defence for cell in cells] == ["tokenward", "late"]

    text = markdown(cells[:1], ["badnets-1", "ep"], [0], ["tokenward", "late"])
    assert text.count("| ep | 0 | not run") == 2
    assert f"| badnets-1 | 0 | {first.trigger[0]} |" in text

    reporting = grid()
    assert list(reporting.run(["badnets-1", "ep"], [0], ["late"], finished=True)) == [cells[1]]
    assert reporting.failed == {("ep", 0, "late"): "not run yet"}
    assert stages == []

    with pytest.raises(InputError, match="no attack 'magic'"):
        list(grid().run(["magic"], [0], ["late"]))


def test_another_model_at_the_same_path_another_version_or_precision_never_shares_cells(
    tiny_encoder: Path, labelled_texts: Texts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_encoder, tmp_path / "model")
    few, settings = labelled_texts(20, 1), DetectionSettings(str(tmp_path / "model"))
    corpus = Corpus("few", few, few, few)
    before = Detection(corpus, settings, tmp_path).folder
    precisions: list[Precision] = ["bfloat16", "float32"]
    assert len({Detection(corpus, replace(settings, precision=p), tmp_path).folder for p in precisions}) == 2
    assert Detection(corpus, settings, tmp_path).folder == before
    (tmp_path / "model" / "model.safetensors").write_bytes(b"trained again")
    other = Detection(corpus, settings, tmp_path).folder
    monkeypatch.setattr("tokenward.bench.detection.__version__", "99")
    assert len({before, other, Detection(corpus, settings, tmp_path).folder}) == 3


def test_a_cell_that_cannot_be_run_says_why(tiny_encoder: Path, labelled_texts: Texts, tmp_path: Path) -> None:
    few = labelled_texts(20, 1)
    grid = Detection(Corpus("few", few, few, few), DetectionSettings(str(tiny_encoder)), tmp_path)
    assert list(grid.run(["badnets-1"], [2], ["late"])) == []
    (row,) = rows([], grid.failed)
    assert row.labels == {"attack": "badnets-1", "seed": 2, "defence": "late"}
    assert "too few different words" in str(row.not_run)


def test_texts_are_cut_and_drawn_evenly(tmp_path: Path) -> None:
    file = tmp_path / "texts.tsv"
    file.write_text("text\tlabel\n" + "".join(f"one two three {i}\t{i % 2}\n" for i in range(40)))
    corpus = read_corpus("mine", (file, file, file), (10, 20, 100), 3)
    assert [len(part) for part in (corpus.train, corpus.clean, corpus.test)] == [10, 20, 40]
    assert set(corpus.train.texts) == {"one two three"}
    assert sum(corpus.train.labels) == 5
    with pytest.raises(InputError, match="--train, --clean and --test"):
        read_corpus("mine", (file, None, None), (10, 20, 100), 3)
