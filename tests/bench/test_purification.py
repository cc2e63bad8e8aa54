"""The grid of purification on the tiny encoder: figures, resumption, and what is written."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tokenward.attacks.ep import EmbeddingPoisoning
from tokenward.bench.purification import Grid
from tokenward.bench.purification_cell import Cell, GridSettings
from tokenward.bench.purification_report import markdown, write_report
from tokenward.errors import InputError, MissingExtraError
from tokenward.records import to_json
from tokenward.texts import LabelledTexts

torch = pytest.importorskip("torch")

Texts = Callable[[int, int], LabelledTexts]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """For models this small a second thread costs more than it brings."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def settings(tiny_encoder: Path) -> GridSettings:
    return GridSettings(str(tiny_encoder), "good", 0.25, 0, 5, 2e-3, 2, 2e-3, 40, precision="float32")


def test_cells_are_run_once_and_outlive_a_crash(settings: GridSettings, labelled_texts: Texts, tmp_path: Path) -> None:
    stages: list[str] = []

    def grid() -> Grid:
        stages.clear()
        return Grid(
            settings, labelled_texts(800, 1), labelled_texts(80, 2), tmp_path, lambda stage, *_: stages.append(stage)
        )

    running = grid().run(["badnets"], ["none", "fine-tuning"], guard=True)
    bare, guarded = next(running), next(running)
    assert (bare.attack, bare.purifier, bare.guarded, guarded.guarded) == ("badnets", "none", False, True)
    assert (bare.cacc, bare.asr) == (1.0, 1.0)
    assert guarded.cacc >= 0.95
    assert guarded.asr < bare.asr
    assert bare.settings == settings
    assert {*stages} == {"badnets"}
    running.close()  # the crash: the third cell is still to be made

    cells = list(grid().run(["badnets"], ["none", "fine-tuning"], guard=False))
    assert cells[0] == bare
    assert (cells[1].purifier, cells[1].cacc) == ("fine-tuning", 1.0)
    assert {*stages} == {"fine-tuning"}

    again = list(grid().run(["badnets"], ["none", "fine-tuning"], guard=False))
    assert again == cells
    assert stages == []
    models = {path.name for path in grid().folder.glob("models/*")}
    assert models == {"badnets"}, "purified models go when their cells are done"


def test_other_settings_or_texts_never_share_cells(
    settings: GridSettings, labelled_texts: Texts, tmp_path: Path
) -> None:
    train, test = labelled_texts(20, 1), labelled_texts(20, 2)
    folders = {
        Grid(settings, train, test, tmp_path).folder,
        Grid(replace(settings, seed=1), train, test, tmp_path).folder,
        Grid(settings, train, labelled_texts(20, 3), tmp_path).folder,
    }
    assert len(folders) == 3
    assert Grid(settings, train, test, tmp_path).folder in folders


def test_another_model_at_the_same_path_or_another_version_never_shares_cells(
    settings: GridSettings, tiny_encoder: Path, labelled_texts: Texts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_encoder, tmp_path / "model")
    moved, texts = replace(settings, model=str(tmp_path / "model")), labelled_texts(20, 1)
    before = Grid(moved, texts, texts, tmp_path / "work").folder
    assert Grid(moved, texts, texts, tmp_path / "work").folder == before
    (tmp_path / "model" / "model.safetensors").write_bytes(b"trained again")
    other = Grid(moved, texts, texts, tmp_path / "work").folder
    monkeypatch.setattr("tokenward.bench.purification.__version__", "99")
    assert len({before, other, Grid(moved, texts, texts, tmp_path / "work").folder}) == 3


def test_what_does_not_fit_is_left_out_or_refused(
    settings: GridSettings, labelled_texts: Texts, tmp_path: Path
) -> None:
    told: list[str] = []
    grid = Grid(settings, labelled_texts(20, 1), labelled_texts(20, 2), tmp_path, tell=told.append)
    assert list(grid.run(["lwp"], ["btu"], guard=False)) == []
    assert told == ["lwp: no poisoned training set, so no btu"]
    for attacks, purifiers in ((["magic"], ["none"]), (["badnets"], ["none", "magic"])):
        with pytest.raises(InputError, match="'magic'"):
            list(grid.run(attacks, purifiers, guard=False))
    hasty = Grid(replace(settings, purify_epochs=0), labelled_texts(20, 1), labelled_texts(20, 2), tmp_path)
    with pytest.raises(InputError, match="epochs and batch size must be at least 1"):
        list(hasty.run(["badnets"], ["mbtsad"], guard=False))
    assert list(tmp_path.glob("*/models/*")) == []


def test_a_guard_that_cannot_be_made_stops_nothing(
    settings: GridSettings, labelled_texts: Texts, tmp_path: Path
) -> None:
    told: list[str] = []
    few = replace(settings, clean_share=0.1, epochs=1)
    grid = Grid(few, labelled_texts(400, 1), labelled_texts(40, 2), tmp_path, tell=told.append)
    cells = list(grid.run(["badnets", "addsent"], ["none"], guard=True))
    assert [(cell.attack, cell.guarded) for cell in cells] == [("badnets", False), ("addsent", False)]
    assert told[-1].startswith("addsent × none cannot be guarded: 40 clean texts are too few")


def test_a_refused_guard_is_remembered(
    settings: GridSettings, labelled_texts: Texts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages: list[str] = []
    told: list[str] = []
    few = replace(settings, clean_share=0.1, epochs=1, purify_epochs=1)

    def run() -> list[Cell]:
        stages.clear()
        told.clear()
        texts = labelled_texts(400, 1), labelled_texts(40, 2)
        grid = Grid(few, *texts, tmp_path, lambda stage, *_: stages.append(stage), told.append)
        return list(grid.run(["badnets"], ["fine-tuning"], guard=True))

    cells = run()
    refusal = told[-1]
    assert refusal.startswith("badnets × fine-tuning cannot be guarded: 40 clean texts are too few")
    assert stages
    assert run() == cells
    assert (stages, told) == ([], [refusal])

    def not_installed(*_: object) -> None:
        raise MissingExtraError("export is not installed")

    for file in tmp_path.rglob("*.refused"):
        file.unlink()
    monkeypatch.setattr(Grid, "_guarded", not_installed)
    assert run() == cells
    assert list(tmp_path.rglob("*.refused")) == [], "what another machine could do is tried again"


def test_the_rate_of_attacks_is_not_that_of_embedding_rows(
    settings: GridSettings, labelled_texts: Texts, tmp_path: Path
) -> None:
    grid = Grid(replace(settings, learning_rate=3e-5), labelled_texts(20, 1), labelled_texts(20, 2), tmp_path)
    rates = {name: grid._attack(name).training.learning_rate for name in ("badnets", "lwp", "ep")}  # type: ignore[attr-defined]
    assert rates == {"badnets": 3e-5, "lwp": 3e-5, "ep": EmbeddingPoisoning().training.learning_rate}


CELLS = [
    Cell("badnets", "none", False, 0.9, 1.0, 0.9, 12.5, GridSettings(seed=3)),
    Cell("badnets", "none", True, 0.895, 0.112, 0.01, 3.0, GridSettings(seed=3)),
    Cell("badnets", "btu", False, 0.88, 0.1, 0.0, 60.0, GridSettings(seed=3)),
]


def test_the_table_has_one_row_per_attack_and_purifier() -> None:
    assert markdown(CELLS).splitlines()[2:] == [
        "| badnets | none | 90.0% | 100.0% | 90.0% | 89.5% | 11.2% | 1.0% |",
        "| badnets | btu | 88.0% | 10.0% | 0.0% | not run | not run | not run |",
    ]


def test_the_report_is_four_files(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    written = write_report(CELLS, tmp_path / "results" / "purify.sst2")
    assert [path.name for path in written] == [f"purify.sst2.{kind}" for kind in ("md", "csv", "json", "png")]
    assert written[0].read_text() == markdown(CELLS)
    rows = list(csv.DictReader(written[1].open()))
    assert [(row["purifier"], float(row["asr"]), row["seed"]) for row in rows] == [
        ("none", 1.0, "3"), ("none", 0.112, "3"), ("btu", 0.1, "3"),
    ]  # fmt: skip
    assert json.loads(written[2].read_text()) == to_json(CELLS)
    assert written[3].read_bytes().startswith(b"\x89PNG")
    assert len(list(written[0].parent.iterdir())) == 4
