"""Records: written whole, read strictly, never replaced."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tokenward.bench.alternation import Spread
from tokenward.bench.record import (
    Metric,
    Record,
    Row,
    make_record,
    portable,
    read_record,
    read_records,
    reserve,
    timed,
    write_record,
)
from tokenward.errors import InputError


@pytest.fixture
def record() -> Record:
    rows = [
        Row(
            {"defence": "tokenward fp32", "batch": 32},
            {"texts_per_second": timed(Spread(90.0, 100.0, 110.0), "texts/s", "higher"), "memory": Metric(181.5)},
            {"gate": 90},
            {"latency": (1.5, 2.25)},
        ),
        Row({"defence": "ONION", "batch": 32}, not_run="no language model was given"),
    ]
    return make_record("overhead", rows, seed=3, hashes={"texts": "ab" * 32}, settings={"rounds": 5}, threads=2)


def test_what_is_written_is_read(record: Record, tmp_path: Path) -> None:
    path = write_record(record, tmp_path / "new" / "a.json")
    assert read_record(path) == record
    assert record.machine.threads == 2
    assert record.machine.memory > 100
    assert record.versions["tokenward"]
    assert [p.name for p in path.parent.iterdir()] == ["a.json"]
    assert sum('"labels"' in line for line in path.read_text().splitlines()) == 2  # a row a line


def test_results_only_grow(record: Record, tmp_path: Path) -> None:
    path = write_record(record, tmp_path / "a.json")
    before = path.read_bytes()
    with pytest.raises(InputError, match="exists already, and results only grow"):
        write_record(record, path)
    assert path.read_bytes() == before
    inside = {write_record(record, tmp_path / "folder").name for _ in range(3)}  # within one second
    assert len(inside) == 3
    assert all(name.startswith("overhead-") for name in inside)


def test_a_place_is_reserved_without_being_made(tmp_path: Path) -> None:
    assert reserve(tmp_path / "new" / "folder", "overhead").parent == tmp_path / "new" / "folder"
    assert reserve(tmp_path / "new" / "a.json", "overhead") == tmp_path / "new" / "a.json"
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "a.json", tmp_path / "file" / "folder"):
        with pytest.raises(InputError, match="is no folder that is yours to write to"):
            reserve(place, "overhead")


def test_the_newest_of_each_command_in_a_folder(record: Record, tmp_path: Path) -> None:
    def run(file: str, command: str, when: str) -> None:
        write_record(Record(**{**vars(record), "command": command, "when": when}), tmp_path / "results" / file)

    run("z.json", "tokenward bench overhead a --json results/z.json", "2026-01-01T00:00:00+00:00")
    run("a.json", "tokenward bench overhead a --json results/a.json", "2026-01-02T00:00:00+00:00")
    run("b.json", "tokenward bench overhead b --json results/b.json", "2026-01-01T00:00:00+00:00")
    found = read_records([tmp_path / "results"])
    assert sorted(r.command[25:26] + r.when[9:10] for r in found) == ["a2", "b1"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"itself holds no result records: .* or the folder of one run"):
        read_records([tmp_path / "empty"])


def test_another_option_after_json_or_another_file_is_another_result(record: Record, tmp_path: Path) -> None:
    def run(file: str, options: str, texts: str = "ab") -> None:
        command = f"tokenward bench overhead a {options}"
        made = Record(**{**vars(record), "command": command, "hashes": {"texts": texts}})
        write_record(made, tmp_path / "results" / file)

    run("1.json", "--json results/1.json --rounds 3")
    run("2.json", "--json results/2.json --rounds 5")
    run("3.json", "--json=results/3.json --rounds 5")
    run("4.json", "--rounds 5 --json 'my results'", texts="cd")
    found = read_records([tmp_path / "results"])
    assert sorted((r.command[-1], r.hashes["texts"]) for r in found) == [("'", "cd"), ("3", "ab"), ("5", "ab")]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"schema": 7}, "has schema 7, this version reads 1"),
        ({"schema": None}, "is no result record"),
        ({"seed": "three"}, "is damaged: .*seed is 'three'"),
        ({"surprise": 1}, "surprise is not a known field"),
        ({"rows": [{"labels": {"defence": "x"}}]}, "neither figures nor a reason"),
        ({"rows": [{"labels": {"a": 1}, "not_run": "x"}] * 2}, "two rows have the labels"),
        ({"rows": [{"labels": {}, "metrics": {"m": {"value": 1, "unit": "×"}}}]}, "has no spread"),
    ],
)
def test_another_file_is_refused_in_one_line(record: Record, tmp_path: Path, change: dict[str, Any], told: str) -> None:
    path = write_record(record, tmp_path / "a.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match=told) as caught:
        read_record(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "[1, 2]", '{"rows"', "[" * 100_000, "{}"])
def test_no_record_at_all(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(InputError, match="give a file that 'tokenward bench … --json' wrote"):
        read_record(path)
    with pytest.raises(InputError, match="No such file"):
        read_record(tmp_path / "missing.json")


def test_figures_are_finite(record: Record, tmp_path: Path) -> None:
    rows = (Row({"a": 1}, {"m": Metric(float("nan"))}),)
    with pytest.raises(InputError, match="not finite"):
        write_record(Record(**{**vars(record), "rows": rows}), tmp_path / "a.json")
    assert not (tmp_path / "a.json").exists()


def test_a_command_names_no_folder_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert portable(str(tmp_path / "out" / "a.json")) == "out/a.json"
    assert portable(str(tmp_path.parent / "texts.tsv")) == "texts.tsv"
    assert portable(f"--json={tmp_path.parent / 'a.json'}") == "--json=a.json"
    assert [portable(kept) for kept in ("../a.tsv", "--seed", "0", "EP=1")] == ["../a.tsv", "--seed", "0", "EP=1"]
