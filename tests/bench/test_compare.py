"""The comparison flags what moved beyond its spread, in the right direction, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tokenward.bench.compare import compare
from tokenward.bench.record import Machine, Metric, Record, Row, make_record, write_record
from tokenward.cli import main
from tokenward.errors import InputError


def record(ratio: tuple[float, float, float], rate: float = 100.0, asr: float = 0.05, kind: str = "overhead") -> Record:
    low, middle, high = ratio
    metrics = {
        "times_bare": Metric(middle, low, high, "×", "higher"),
        "texts_per_second": Metric(rate, 0.9 * rate, 1.1 * rate, "texts/s", "higher"),
        "asr": Metric(asr, asr - 0.02, asr + 0.02, "share", "lower"),
        "memory": Metric(180.0, unit="MiB"),
    }
    rows = [Row({"defence": "guarded"}, metrics), Row({"defence": "ONION"}, not_run="no language model")]
    return make_record(kind, rows, seed=0, hashes={"texts": "ab"}, settings={"rounds": 5})


def verdicts(before: Record, after: Record) -> dict[str, str]:
    return {change.metric: change.verdict for change in compare(before, after).changes}


def test_only_what_left_its_spread_is_flagged() -> None:
    before = record((0.9, 1.0, 1.1))
    assert set(verdicts(before, record((1.05, 1.2, 1.3), 108, 0.08)).values()) == {"within"}
    assert verdicts(before, record((0.5, 0.6, 0.7)))["times_bare"] == "worse"
    assert verdicts(before, record((1.5, 1.6, 1.7)))["times_bare"] == "better"
    assert verdicts(before, record((0.9, 1.0, 1.1), asr=0.3))["asr"] == "worse"
    assert "memory" not in verdicts(before, before)  # no spread, so nothing can be said


def test_between_machines_only_ratios_and_shares_count() -> None:
    after = replace(record((0.9, 1.0, 1.1), rate=900), machine=Machine("another", 64, 64, 1, "Linux"))
    comparison = compare(record((0.9, 1.0, 1.1)), after)
    assert {change.metric for change in comparison.changes} == {"times_bare", "asr"}
    assert "different machines" in comparison.warnings[0]


def test_other_texts_and_settings_are_told() -> None:
    before = record((0.9, 1.0, 1.1))
    after = replace(before, hashes={"texts": "cd"}, settings={"rounds": 9})
    assert [warning.split(":")[0] for warning in compare(before, after).warnings] == [
        "another settings of rounds",
        "another hash of texts",
    ]


def test_rows_that_one_record_alone_has_run() -> None:
    before = record((0.9, 1.0, 1.1))
    ran = replace(before, rows=(before.rows[0], Row({"defence": "ONION"}, {"forwards": Metric(17.0)})))
    assert compare(before, ran).only_after == ("ONION",)
    assert compare(ran, before).only_before == ("ONION",)


def test_what_cannot_be_compared() -> None:
    with pytest.raises(InputError, match="one record is of 'overhead', the other of 'speed'"):
        compare(record((1, 1, 1)), record((1, 1, 1), kind="speed"))
    before = record((1, 1, 1))
    with pytest.raises(InputError, match="no figure with a spread in common"):
        compare(before, replace(before, rows=before.rows[1:]))


@pytest.mark.parametrize(("ratio", "code"), [((0.9, 1.0, 1.1), 0), ((0.5, 0.6, 0.7), 1), ((1.5, 1.6, 1.7), 0)])
def test_the_exit_code_says_whether_something_got_worse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ratio: tuple[float, float, float], code: int
) -> None:
    files = [write_record(record(r), tmp_path / f"{n}.json") for n, r in enumerate([(0.9, 1.0, 1.1), ratio])]
    with pytest.raises(SystemExit) as exit_:
        main(["bench", "compare", *map(str, files)])
    assert exit_.value.code == code
    assert ("worse" in capsys.readouterr().out.partition("figures compared")[0]) == bool(code)


def test_a_file_that_is_no_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(SystemExit) as exit_:
        main(["bench", "compare", str(tmp_path / "a.json"), str(tmp_path / "a.json")])
    assert exit_.value.code == 2
    assert "is no result record" in capsys.readouterr().err
