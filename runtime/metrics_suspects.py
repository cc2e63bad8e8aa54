"""The most frequent suspects as a metric of bounded size, over all worker processes."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from .heavy_hitters import HeavyHitters

EXPORTED = 20
TRACKED = 10 * EXPORTED
LONGEST = 40  # characters of a suspect
PUBLISH_SECONDS = 1.0


class Suspects(Collector):
    """Counts suspects and exports the most frequent.

    Args:
        directory: where workers publish their counts for one another; None for a single process.
    """

    def __init__(self, directory: str | None) -> None:
        self._hitters = HeavyHitters(TRACKED)
        self._directory = Path(directory) if directory else None
        self._published = -PUBLISH_SECONDS

    def add(self, suspect: str) -> None:
        """Count a suspect, upper and lower case as one."""
        self._hitters.add(suspect.casefold()[:LONGEST])
        if self._directory and monotonic() - self._published >= PUBLISH_SECONDS:
            self._publish(self._directory)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Give the counts to Prometheus. A gauge: an item that leaves the list and returns may have fallen."""
        family = GaugeMetricFamily(
            "tokenward_suspects", "Most frequent suspects (estimated counts).", labels=["suspect"]
        )
        for suspect, count in self._all().most_common(EXPORTED):
            family.add_metric([suspect], count)
        yield family

    def _all(self) -> Counter[str]:
        counts = Counter(dict(self._hitters.top(TRACKED)))
        for path in self._directory.glob("suspects_*.json") if self._directory else ():
            if path.name != f"suspects_{os.getpid()}.json":
                counts.update(json.loads(path.read_text(encoding="utf-8")))
        return counts

    def _publish(self, directory: Path) -> None:
        path = directory / f"suspects_{os.getpid()}.json"
        part = path.with_suffix(".part")
        part.write_text(json.dumps(dict(self._hitters.top(TRACKED))), encoding="utf-8")
        part.replace(path)
        self._published = monotonic()
