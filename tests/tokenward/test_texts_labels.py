"""Labels that cannot be meant are refused; those that only look odd are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokenward.errors import InputError
from tokenward.texts import LabelledTexts, class_numbers, read_labelled, read_texts

ROWS = [(f"text {i}", ("neg", "pos")[i % 2]) for i in range(12)]


def table(folder: Path, rows: list[tuple[str, ...]], name: str = "a.tsv") -> Path:
    path = folder / name
    separator = "\t" if path.suffix == ".tsv" else ","
    path.write_text("".join(separator.join(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("name", ["a.tsv", "a.csv"])
def test_a_header_of_unknown_names_is_no_text(tmp_path: Path, name: str) -> None:
    path = table(tmp_path, [("phrase", "sentiment"), *ROWS], name)
    with pytest.raises(InputError, match=r"the first row holds 'phrase', 'sentiment'.*text \(sentence.*label \(") as e:
        read_labelled(path)
    assert "\n" not in str(e.value)
    assert len(read_labelled(path, text_column="phrase", label_column="sentiment")) == 12
    assert len(read_texts(path)[0]) == 13


def test_rare_classes_and_small_files_are_sound(tmp_path: Path) -> None:
    rare = ("so-so", "neutral")
    assert len(read_labelled(table(tmp_path, [*ROWS, rare])).label_names) == 3
    assert len(read_labelled(table(tmp_path, [("text", "label"), rare, *ROWS])).label_names) == 3
    assert len(read_labelled(table(tmp_path, [rare, *ROWS[:8]])).label_names) == 3
    every = [(f"text {i}", f"class {i}") for i in range(9)]
    assert len(read_labelled(table(tmp_path, every)).label_names) == 9


def test_texts_in_the_place_of_labels(tmp_path: Path) -> None:
    swapped = [(label, text.replace(" ", "-")) for text, label in ROWS]
    with pytest.raises(InputError, match="12 of 12 texts have a label of their own, such as 'text-0'"):
        read_labelled(table(tmp_path, swapped))
    assert read_labelled(table(tmp_path, [("label", "text"), *swapped])).label_names == ("neg", "pos")


def test_labels_that_differ_in_case(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="labels 'neg' and 'NEG' differ only in case"):
        read_labelled(table(tmp_path, [*ROWS, ("loud", "NEG")]))


def test_numbers_of_tables_as_of_json(tmp_path: Path) -> None:
    data = read_labelled(table(tmp_path, [("a", "0.0"), ("b", "1"), ("c", "1.0"), ("d", "2.50")]))
    assert data.label_names == ("0", "1", "2.50")
    assert data.labels == (0, 1, 1, 2)
    # A model trained before such labels were read as whole numbers.
    assert LabelledTexts(("a",), (0,), ("1",)).aligned_to({0: "1.0", 1: "0.0"}).labels == (0,)


@pytest.mark.parametrize("missing", ["nan", "NaN", ""])
def test_a_missing_label_of_a_table(tmp_path: Path, missing: str) -> None:
    path = table(tmp_path, [("text", "label"), ("a", "1.0"), ("b", missing)])
    with pytest.raises(InputError, match=r"a\.tsv:3: no label: give every text one"):
        read_labelled(path)
    assert read_texts(path) == (["a", "b"], ["1", ""])


def test_a_missing_label_of_json(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a", "label": NaN}\n')
    with pytest.raises(InputError, match=r"a\.jsonl:1: no label: give every text one"):
        read_labelled(tmp_path / "a.jsonl")


def test_labels_of_json_that_the_first_records_lack(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n{"text": "b"}\n{"label": "x", "text": "c", "id": 1}\n{"text": "d", "label": 0}\n')
    assert read_texts(path) == (["a", "b", "c", "d"], ["", "", "x", "0"])
    path.write_text('{"class": "x", "text": "c"}\n{"text": "d", "label": 0}\n')
    assert read_texts(path) == (["c", "d"], ["x", ""]), "one key holds the labels of a file"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.csv",
            "text,sentiment\nx,neg\n",
            ":2: no label: this file has the columns 'text', 'sentiment'; name the one",
        ),
        ("a.csv", "words;mood\nx;neg\n", ":1: no label: this file has the one column 'words;mood'; separate .* commas"),
        ("a.tsv", "words,mood\nx,neg\n", ":1: no label: this file has the one column 'words,mood'; separate .* tabs"),
        ("a.jsonl", '{"text": "x", "mood": "neg"}\n', ":1: no label: .* the key 'label' \\(or labels, class,"),
    ],
)
def test_a_file_without_a_column_of_labels_is_told_its_columns(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        read_labelled(tmp_path / name)


def test_a_lone_surrogate_is_told_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": "b\\ud800"}\n')
    with pytest.raises(InputError, match=r"a\.jsonl:2: the text has a lone surrogate"):
        read_texts(tmp_path / "a.jsonl")


STARS = {number: str(number + 1) for number in range(4)}


def test_names_that_are_numbers_are_read_alike_in_all_that_a_command_reads() -> None:
    """Of classes called 1 to 4, "1" may be the first by name or the second by number: other labels tell."""
    by_number, by_name = {"0", "1", "2", "3"}, {"1", "2", "3", "4"}
    assert class_numbers({"1"}, STARS) == {"1": 0}
    assert class_numbers({"1"}, STARS, by_number) == {"1": 1}
    assert class_numbers({"1"}, STARS, by_name) == {"1": 0}
    few = LabelledTexts(("a", "b"), (0, 1), ("1", "3"))
    assert few.aligned_to(STARS, by_number).labels == (1, 3)
    assert few.aligned_to(STARS, by_name).labels == (0, 2)
    with pytest.raises(InputError, match="label '0' is unknown to the model, which has: 1, 2, 3, 4; use these"):
        class_numbers(by_number | by_name, STARS)
    with pytest.raises(InputError, match="label '0' is unknown to the model"):
        class_numbers({"0"}, STARS, by_name)


def test_where_no_name_is_a_number_each_file_is_read_by_itself() -> None:
    named = {0: "bad", 1: "good"}
    assert class_numbers({"1"}, named, {"bad", "good"}) == {"1": 1}
    assert class_numbers({"bad"}, named, {"0", "1"}) == {"bad": 0}
    assert class_numbers({"1"}, {0: "0", 1: "1"}, {"LABEL_0"}) == {"1": 1}
