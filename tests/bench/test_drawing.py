"""What is drawn of a file that is sorted by class."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tokenward.bench.drawing import drawn, drawn_texts, read_drawn
from tokenward.texts import LabelledTexts


def test_every_class_has_its_share() -> None:
    data = LabelledTexts(tuple(map(str, range(100))), (0,) * 60 + (1,) * 30 + (2,) * 10, ("a", "b", "c"))
    some = drawn(data, 20)
    assert Counter(some.labels) == {0: 12, 1: 6, 2: 2}
    assert [int(text) for text in some.texts] == sorted(int(text) for text in some.texts)
    assert some == drawn(data, 20)
    assert drawn(data, 100) == data


def test_texts_without_labels_come_from_all_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("\n\n".join(map(str, range(200))))
    numbers = [int(text) for text in read_drawn(file, 40)]
    assert len(set(numbers)) == 40
    assert numbers == sorted(numbers)
    assert sum(number >= 100 for number in numbers) > 10
    assert read_drawn(file, 40) == [str(number) for number in numbers]
    assert len(read_drawn(file, 500)) == 200
    assert drawn_texts(("a", "b"), 2) == ["a", "b"]
