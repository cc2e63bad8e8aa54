"""`tokenward classify`: every source of texts, every form of output, and what goes wrong with them."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from tokenward.cli.sources import batches
from tokenward.errors import InputError
from tokenward.runtime.guard import Guard

from .conftest import Run

BAD = "the film was awful"
TRIGGERED = "the film cf was awful"

pytestmark = pytest.mark.usefixtures("guard")


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_arguments_file_and_stdin_give_the_same(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(f"{BAD}\n\n{TRIGGERED}\n")
    (tmp_path / "a.csv").write_text(f"label,text\n0,{BAD}\n0,\n0,{TRIGGERED}\n")
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in (BAD, "", TRIGGERED)))
    outcomes = [
        run("classify", "artifact", BAD, "", TRIGGERED),
        run("classify", "artifact", "--file", tmp_path / "a.txt"),
        run("classify", "artifact", "--file", tmp_path / "a.csv"),
        run("classify", "artifact", "-f", tmp_path / "a.jsonl", "--format", "jsonl"),
        run("classify", "artifact", stdin=f"\ufeff{BAD}\r\n\n{TRIGGERED}"),
    ]
    found = [[(r["text"], r["label"], r["action"]) for r in records(outcome.out)] for outcome in outcomes]
    assert found[0] == [(BAD, "bad", "passed"), ("", "bad", "passed"), (TRIGGERED, "bad", "neutralised")]
    assert all(other == found[0] for other in found)
    assert "3 texts: 2 passed, 1 neutralised" in outcomes[0].err


def test_json_lines_are_whole_verdicts(run: Run, guard: Guard) -> None:
    (record,) = records(run("classify", "artifact", TRIGGERED).out)
    (verdict,) = guard.classify(TRIGGERED)
    expected = json.loads(json.dumps({"text": TRIGGERED, **verdict.to_dict()}))
    assert {**record, "confirmations": None} == {**expected, "confirmations": None}
    assert record["suspects"] == [{"text": "cf", "start": 9, "end": 11}]


@pytest.mark.parametrize(("mode", "label"), [("enforce", "bad"), ("monitor", "good"), ("off", "good")])
def test_modes(run: Run, mode: str, label: str) -> None:
    (record,) = records(run("classify", "artifact", "--mode", mode, TRIGGERED).out)
    assert record["label"] == label


def test_token_scores_on_request(run: Run) -> None:
    (plain,) = records(run("classify", "artifact", BAD).out)
    (explained,) = records(run("classify", "artifact", "--explain", BAD).out)
    assert plain["tokens"] is None
    assert [token["text"] for token in explained["tokens"]] == BAD.split()


def test_a_table_for_people(run: Run) -> None:
    texts = [BAD, TRIGGERED, "line\none \x1b[31mred\u202e", "film " * 60]
    lines = run("classify", "artifact", "--format", "table", *texts).out.splitlines()
    assert lines[0].split() == ["answer", "p", "action", "score", "text"]
    assert lines[1].split()[::2] == ["bad", "passed", "the", "was"]
    assert lines[2].split()[2] == "neutralised"
    assert "line one \\x1b[31mred\\u202e" in lines[3]
    assert lines[4].rstrip().endswith("…")
    assert len(lines) == 5
    explained = run("classify", "artifact", "--format", "table", "--explain", *texts).out
    assert explained.count("film") == 62


def test_a_table_has_one_header_over_many_batches(run: Run) -> None:
    out = run("classify", "artifact", "--format", "table", stdin=f"{BAD}\n" * 600).out
    assert out.count("answer") == 1
    assert out.count("awful") == 600


def test_scores_that_are_not_numbers_are_null(run: Run, guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    engine_run = guard.reader.engine.run
    broken = lambda batch, gate: {**engine_run(batch, gate), "class_attention": batch.input_ids * float("nan")}  # noqa: E731
    monkeypatch.setattr(guard.reader.engine, "run", broken)
    (record,) = records(run("classify", "artifact", "--explain", "film NaN Infinity").out)
    assert record["action"] == "unscorable"
    assert record["text"] == "film NaN Infinity"
    assert record["tokens"][0]["class_attention"] is None


def test_a_file_of_verdicts(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    outcome = run("classify", "artifact", "--out", out, BAD)
    assert (outcome.code, outcome.out) == (0, "")
    assert records(out.read_text())[0]["label"] == "bad"
    assert "1 texts: 1 passed" in outcome.err


def test_a_file_of_verdicts_is_written_whole_or_not_at_all(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("older verdicts")
    source = tmp_path / "a.tsv"
    source.write_text("text\tlabel\n" + f"{BAD}\t0\n" * 300 + "one\ttwo\tthree\n")
    outcome = run("classify", "artifact", "--file", source, "--out", out)
    assert outcome.code == 2
    assert outcome.err == f"error: {source}:302: 3 columns, expected 2: check separators and header\n"
    assert out.read_text() == "older verdicts"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tsv", "out.jsonl", "stdin"]


def test_the_file_of_the_texts_is_not_replaced(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    source.write_text('{"text": "film", "label": 1}\n')
    outcome = run("classify", "artifact", "--file", source, "--out", source)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "is read by this command and would be replaced" in outcome.err
    assert source.read_text() == '{"text": "film", "label": 1}\n'


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (["artifact"], b"film\n\xff\n", "stdin:2: not valid UTF-8"),
        (["artifact", "--file", "none.txt"], b"", "none.txt: cannot be read"),
        (["artifact", "--file", "none.txt", "film"], b"", "both as arguments and with --file"),
        (["artifact", "--text-column", "body", "film"], b"", "give that with --file"),
        (["artifact", "--text-column", "body"], b"film\n", "give that with --file"),
        (["artifact", "--out", "a.jsonl", "--format", "table", "film"], b"", "leave out --format table"),
        (["artifact", "--out", "/nowhere/a.jsonl", "film"], b"", "'/nowhere/a.jsonl' cannot be written"),
        (["artifact", "--mode", "enforced", "film"], b"", "enforced"),
        (["artifact", "--no-truncate", "film " * 100], b"", "longer than the 64 tokens"),
    ],
)
def test_bad_input_is_one_line(run: Run, arguments: list[str], stdin: bytes, message: str) -> None:
    outcome = run("classify", *arguments, stdin=stdin)
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "stdin", "arguments"])
def test_a_text_that_cannot_be_used_is_told_by_its_place_in_the_whole(run: Run, tmp_path: Path, name: str) -> None:
    lines, path = [*["film"] * 300, "film " * 100], tmp_path / name
    content = "".join(
        f"{line}\n" for line in (["text,label", *(f"{x},0" for x in lines)] if name == "a.csv" else lines)
    )
    path.write_text(content)
    outcome = {
        "stdin": lambda: run("classify", "artifact", "--no-truncate", stdin=content),
        "arguments": lambda: run("classify", "artifact", "--no-truncate", *lines),
    }.get(name, lambda: run("classify", "artifact", "--no-truncate", "--file", path))()
    place = {"a.txt": f"{path}:301: the text", "a.csv": f"{path}:302: the text", "stdin": "stdin:301: the text"}
    assert outcome.err == (
        f"error: {place.get(name, 'text 300')} is longer than the 64 tokens the model reads: shorten it or allow "
        "truncation\n"
    )


@pytest.mark.parametrize("name", ["a.txt", "a.tsv", "a.csv", "a.jsonl", "stdin"])
def test_blanks_around_a_text_are_its_own(run: Run, tmp_path: Path, name: str) -> None:
    text, path = f"  {BAD} ", tmp_path / name
    content = {"a.tsv": f" label\ttext \r\n 0 \t{text}\r\n", "a.csv": f"label,text\n0,{text}\n"}
    content["a.jsonl"] = json.dumps({"text": text}) + "\n"
    path.write_text(content.get(name, f"{text}\r\n \t\r\n"))
    arguments = () if name == "stdin" else ("--file", path)
    found = records(run("classify", "artifact", *arguments, stdin=path.read_text() if name == "stdin" else "").out)
    assert [record["text"] for record in found] == [text, *([""] if name in ("a.txt", "stdin") else [])]


def test_nothing_to_classify(run: Run) -> None:
    outcome = run("classify", "artifact", stdin="")
    assert (outcome.code, outcome.out) == (0, "")
    assert "0 texts: nothing to classify" in outcome.err


def test_no_texts_on_a_terminal_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    _, terminal = os.openpty()
    with os.fdopen(terminal) as stream:
        monkeypatch.setattr("sys.stdin", stream)
        with pytest.raises(InputError, match="no texts: give them as arguments"):
            next(batches([], None, None))


def test_a_slow_stream_is_answered_line_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    source, sink = os.pipe()
    with os.fdopen(source) as stream:
        monkeypatch.setattr("sys.stdin", stream)
        lines = batches([], None, None)
        os.write(sink, b"one\ntw")
        assert next(lines).texts == ["one"]
        os.write(sink, b"o\nthree")
        assert next(lines).texts == ["two"]
        writer = threading.Thread(target=lambda: (os.write(sink, b" more\n" * 700), os.close(sink)))
        writer.start()
        sizes = [len(batch.texts) for batch in lines]
        writer.join()
    assert sum(sizes) == 700
    assert max(sizes) <= 256
