"""One result of a benchmark as a JSON file: what was run, on what, where, and every figure with its spread.

All commands of `tokenward bench` write this one form, and the report and the comparison read nothing else. Rows are
open: labels say which cell a row is, metrics what was found in it. These names have a meaning for the report:

- label ``defence`` (the same name in quality and in overhead), ``attack``, ``mode``, ``batch``;
- quality: metrics ``cacc``, ``asr``, ``tpr``, ``fpr``, ``auc``, ``localised``, ``second_passes``, ``threshold``,
  series ``clean`` and ``triggered`` (scores of the texts; higher is more suspicious);
- overhead: metrics ``texts_per_second``, ``times_bare``, ``p50``, ``p95``, ``forwards``, ``backwards``, ``memory``,
  series ``latency`` (milliseconds of single calls).
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any, Literal

from ..errors import InputError, TokenwardError
from ..files import replace_text
from ..records import from_json, to_json
from .alternation import Spread
from .machine import Machine, package_versions, this_machine

SCHEMA = 1

Better = Literal["higher", "lower"]
Label = str | int | float | bool
_SPREAD_UNITS = ("×", "texts/s")
_DIGITS = 6


@dataclass(frozen=True)
class Metric:
    """One figure; ``low`` and ``high`` are quartiles over rounds, or the ends of a 95 % interval over texts.

    Attributes:
        unit: such as ``×``, ``texts/s``, ``ms``, ``MiB``, ``share``; ratios and rates must have a spread.
        better: which way is better, for the comparison; None where neither is.
    """

    value: float
    low: float | None = None
    high: float | None = None
    unit: str = ""
    better: Better | None = None

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise InputError("a metric has one end of its spread only: give both or none")
        if self.unit in _SPREAD_UNITS and self.low is None:
            raise InputError(f"a metric in '{self.unit}' has no spread: give the quartiles of its rounds")


def timed(spread: Spread, unit: str, better: Better | None = None) -> Metric:
    """A metric from the spread of its rounds."""
    return Metric(spread.median, spread.low, spread.high, unit, better)


@dataclass(frozen=True)
class Row:
    """One cell.

    Attributes:
        labels: which cell this is; no two rows of a record share all of them.
        settings: of the system in this cell, such as a peer's calibrated threshold and number of copies.
        series: raw values that a plot needs.
        not_run: why there are no figures.
    """

    labels: dict[str, Any]
    metrics: dict[str, Metric] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    series: dict[str, tuple[float, ...]] = field(default_factory=dict)
    not_run: str | None = None

    def name(self, *without: str) -> str:
        """The labels on one line, but for those in ``without``."""
        return ", ".join(
            str(v) if isinstance(v, str) else f"{k} {v}" for k, v in self.labels.items() if k not in without
        )


@dataclass(frozen=True)
class Record:
    """One run of one command.

    Attributes:
        kind: the command's name, such as ``overhead``.
        when: end of the run, in UTC, ISO 8601.
        hashes: SHA-256 of models, artifacts and texts, by what they are.
        settings: of the whole run, such as rounds and text counts.
        content: whatever else a kind of record carries.
    """

    kind: str
    command: str
    seed: int
    when: str
    machine: Machine
    versions: dict[str, str]
    hashes: dict[str, str]
    rows: tuple[Row, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    content: dict[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA


def make_record(
    kind: str,
    rows: Iterable[Row],
    *,
    seed: int,
    hashes: Mapping[str, str],
    settings: Mapping[str, Label] | None = None,
    content: Mapping[str, Any] | None = None,
    threads: int | None = None,
) -> Record:
    """The record of what the running command has measured, with the machine and the versions.

    Args:
        threads: of each system; None takes the cores this process may use.
    """
    return Record(
        kind,
        shlex.join(["tokenward", *map(portable, sys.argv[1:])]),
        seed,
        datetime.now(timezone.utc).isoformat(timespec="seconds"),
        this_machine(threads),
        package_versions(),
        dict(hashes),
        tuple(rows),
        dict(settings or {}),
        dict(content or {}),
    )


def portable(argument: str) -> str:
    """An argument without folders of this machine: a full path from the working folder if in it, else its name."""
    option, equals, value = argument.rpartition("=") if argument.startswith("-") else ("", "", argument)
    path = Path(value)
    if not path.is_absolute():
        return argument
    here = Path.cwd()
    return option + equals + (str(path.relative_to(here)) if path.is_relative_to(here) else path.name)


def texts_sha256(texts: Sequence[str]) -> str:
    """SHA-256 of texts in their order, as calibration has it."""
    return sha256("\0".join(texts).encode()).hexdigest()


def reserve(path: Path, kind: str) -> Path:
    """The file that a record will be written to; call it before measuring, so that nothing is measured in vain.

    Args:
        path: a new file, or a folder, in which the file gets a name of its own from kind and time.

    Raises:
        InputError: the file exists: results are added, never replaced.
    """
    inside = path.is_dir() or not path.suffix
    folder = next(place for place in (path if inside else path.parent, *path.resolve().parents) if place.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"'{path}' cannot be written: '{folder}' is no folder that is yours to write to")
    if inside:
        name = f"{kind}-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}"
        names = (name if number == 1 else f"{name}-{number}" for number in count(1))
        return next(file for name in names if not (file := path / f"{name}.json").exists())
    if path.exists():
        raise InputError(f"'{path}' exists already, and results only grow: give a new file, or a folder")
    return path


def write_record(record: Record, path: Path) -> Path:
    """Write a record to a new file or into a folder (see :func:`reserve`), whole or not at all; return the file.

    Numbers keep six significant digits. Rows stand on a line each, so that two files compare well.

    Raises:
        InputError: the file exists, two rows have the same labels, or a figure is not finite.
    """
    path = reserve(path, record.kind)
    _check(record)
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = to_json(record)
    rows = ",\n    ".join(_dumps(row) for row in fields.pop("rows"))
    lines = [f'  "schema": {fields.pop("schema")}', *(f'  "{name}": {_dumps(value)}' for name, value in fields.items())]
    replace_text(path, "{\n" + ",\n".join([*lines, f'  "rows": [\n    {rows}\n  ]']) + "\n}\n")
    return path


def read_record(path: Path) -> Record:
    """Read and check a record.

    Raises:
        InputError: there is no such file, it is no record, one of another schema, or damaged; one line says what.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"'{path}': {error.strerror}: give a file that 'tokenward bench … --json' wrote") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"'{path}' is not valid JSON: give a file that 'tokenward bench … --json' wrote") from error
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema is None:
        raise InputError(f"'{path}' is no result record: give a file that 'tokenward bench … --json' wrote")
    if schema != SCHEMA:
        raise InputError(f"'{path}' has schema {schema!r:.20}, this version reads {SCHEMA}: measure again")
    try:
        record = from_json(Record, data, path.name)
        _check(record)
    except TokenwardError as error:
        raise InputError(f"'{path}' is damaged: {error}: measure again") from error
    return record


def read_records(paths: Sequence[Path]) -> list[Record]:
    """Read files and folders; of the records in a folder that one command wrote of the same files, the newest counts.

    Raises:
        InputError: as :func:`read_record`, or a folder holds no record.
    """
    records = []
    for path in paths:
        if not path.is_dir():
            records.append(read_record(path))
            continue
        found = sorted((read_record(file) for file in path.glob("*.json")), key=lambda record: record.when)
        if not found:
            raise InputError(
                f"'{path}' itself holds no result records: give files that 'tokenward bench … --json' wrote, or the "
                "folder of one run"
            )
        records += {_what_was_measured(record): record for record in found}.values()
    return records


def _what_was_measured(record: Record) -> tuple[object, ...]:
    """What two runs have in common where the later stands for both: everything but the place of the record."""
    words: list[str] = []
    for word in shlex.split(record.command):
        if words[-1:] == ["--json"]:
            words.pop()
        elif not word.startswith("--json="):
            words.append(word)
    return (record.kind, *words, *sorted(record.hashes.items()))


def _check(record: Record) -> None:
    seen = set()
    for row in record.rows:
        if (key := json.dumps(row.labels, sort_keys=True)) in seen:
            raise InputError(f"two rows have the labels {row.labels}")
        seen.add(key)
        if not row.metrics and row.not_run is None:
            raise InputError(f"the row {row.name()} has neither figures nor a reason why it was not run")


def _dumps(value: Any) -> str:
    try:
        return json.dumps(_rounded(value), ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise InputError("a figure is not finite, and no result can say what it is: leave it out") from error


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value
