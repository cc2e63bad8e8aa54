"""What changed between two records of one kind: figures that moved further than their spreads explain."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import InputError
from .record import Metric, Record, Row


@dataclass(frozen=True)
class Change:
    """One figure before and after.

    Attributes:
        verdict: ``worse`` or ``better`` where the spreads do not touch, ``within`` where they do.
    """

    row: str
    metric: str
    before: Metric
    after: Metric
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """All figures that both records have.

    Attributes:
        only_before, only_after: rows that one record alone has, or has run.
        warnings: what makes the comparison doubtful, such as another machine.
    """

    changes: tuple[Change, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def worse(self) -> tuple[Change, ...]:
        """What got worse."""
        return tuple(change for change in self.changes if change.verdict == "worse")


def compare(before: Record, after: Record) -> Comparison:
    """Compare every figure that has a direction and a spread; rates are left out between different machines.

    Raises:
        InputError: the records are of different kinds, or have no figure in common.
    """
    if before.kind != after.kind:
        raise InputError(f"one record is of '{before.kind}', the other of '{after.kind}': give two of one command")
    same_machine = before.machine == after.machine
    rows_before, rows_after = _by_labels(before), _by_labels(after)
    changes = tuple(
        change
        for key in rows_before.keys() & rows_after.keys()
        for change in _changes(rows_before[key], rows_after[key], same_machine)
    )
    if not changes:
        raise InputError("the records have no figure with a spread in common: give two runs of one command")
    return Comparison(
        tuple(sorted(changes, key=lambda change: (change.verdict != "worse", change.row, change.metric))),
        tuple(row.name() for key, row in rows_before.items() if key not in rows_after),
        tuple(row.name() for key, row in rows_after.items() if key not in rows_before),
        _warnings(before, after),
    )


def _by_labels(record: Record) -> dict[str, Row]:
    return {json.dumps(row.labels, sort_keys=True): row for row in record.rows if row.not_run is None}


def _changes(before: Row, after: Row, same_machine: bool) -> list[Change]:
    return [
        Change(before.name(), name, old, new, _verdict(old, new))
        for name, old in before.metrics.items()
        if (new := after.metrics.get(name))
        and old.better is not None
        and None not in (old.low, new.low)
        and (same_machine or old.unit in ("×", "share", ""))
    ]


def _verdict(before: Metric, after: Metric) -> str:
    assert before.low is not None
    assert before.high is not None
    assert after.low is not None
    assert after.high is not None
    if before.low <= after.high and after.low <= before.high:
        return "within"
    rose = after.value > before.value
    return "better" if rose == (before.better == "higher") else "worse"


def _warnings(before: Record, after: Record) -> tuple[str, ...]:
    found = []
    if before.machine != after.machine:
        found.append("measured on different machines or with other threads: only ratios and shares are compared")
    for what, old, new in (
        ("settings", before.settings, after.settings),
        ("hash", before.hashes, after.hashes),
        ("version", before.versions, after.versions),
    ):
        found += _differences(what, old, new)
    return tuple(found)


def _differences(what: str, before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    names = sorted(before.keys() | after.keys())
    return [
        f"another {what} of {name}: {str(before.get(name))[:12]} → {str(after.get(name))[:12]}"
        for name in names
        if before.get(name) != after.get(name)
    ]
