"""Outcomes of transplants, remembered: real traffic repeats its words, so second looks become free."""

from __future__ import annotations

import json
from collections import OrderedDict
from contextlib import suppress
from hashlib import sha256
from math import isfinite
from pathlib import Path
from threading import Lock

from ..errors import InputError
from ..files import locked, replace_text

Margins = tuple[float, ...]

FORMAT = 3  # of the file; another one where what spans are called, or where they are put, has changed


class StaleCacheError(InputError):
    """The outcomes are another artifact's, this one's before it was calibrated anew, or another version's."""


class OutcomeCache:
    """A bounded, thread-safe memory of (span, class) → margins, least recently used entries leaving first.

    An outcome is a function of the artifact, the span and the class alone, so remembering it never changes a verdict.

    Args:
        digest: the artifact that the outcomes belong to (:attr:`Artifact.digest`).
        capacity: most entries kept.
    """

    def __init__(self, digest: str, capacity: int = 50_000) -> None:
        self.digest = digest
        self.capacity = capacity
        self.hits = 0
        self.misses = 0
        self._entries: OrderedDict[tuple[str, int], Margins] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: tuple[str, int]) -> bool:
        """Whether anything is known for a span and class; not counted as a hit or a miss."""
        with self._lock:
            return key in self._entries

    def get(self, span: str, label: int) -> Margins:
        """Margins known for a span and class, in the order of the references; empty where nothing is known."""
        with self._lock:
            margins = self._entries.get((span, label), ())
            if margins:
                self.hits += 1
                self._entries.move_to_end((span, label))
            else:
                self.misses += 1
            return margins

    def put(self, span: str, label: int, margins: Margins) -> None:
        """Remember margins; a longer list for the same span is never replaced by a shorter one."""
        with self._lock:
            if len(margins) > len(self._entries.get((span, label), ())):
                self._entries[span, label] = margins
            self._entries.move_to_end((span, label))
            while len(self._entries) > self.capacity:
                self._entries.popitem(last=False)

    def save(self, path: Path) -> None:
        """Write the outcomes to a JSON file, checksum included, beside it first and then in its place.

        Outcomes of the same artifact that the file has are kept as far as there is room: several may save to one.
        """
        if path.exists() and not path.is_file():  # a pipe or a device has none
            self._write(path)
            return
        with locked(path):
            together = OutcomeCache(self.digest, self.capacity)
            with suppress(InputError):  # not there, another's, or spoilt: nothing in it is worth keeping
                together.load(path)
            for (span, label), margins in self._known():
                together.put(span, label, margins)
            together._write(path)

    def _known(self) -> list[tuple[tuple[str, int], Margins]]:
        with self._lock:
            return list(self._entries.items())

    def _write(self, path: Path) -> None:
        body = json.dumps([[span, label, margins] for (span, label), margins in self._known()], ensure_ascii=False)
        document = {"format": FORMAT, "artifact": self.digest, "sha256": _sum(body), "entries": body}
        replace_text(path, json.dumps(document, ensure_ascii=False))

    def load(self, path: Path) -> None:
        """Take in the outcomes of a file that :meth:`save` wrote.

        Raises:
            StaleCacheError: the file belongs to another artifact, or another version wrote it.
            InputError: it cannot be read, is none, or was altered.
        """
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            digest, checksum, body = document["artifact"], document["sha256"], document["entries"]
            intact = checksum == _sum(body)
            entries = [(str(s), int(label), tuple(map(float, m))) for s, label, m in json.loads(body)]
            if not all(margins and all(map(isfinite, margins)) for _, _, margins in entries):
                raise ValueError("a margin is missing or not finite")
        except OSError as error:
            raise InputError(f"'{path}' cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise InputError(f"'{path}' is not a cache of transplant outcomes: remove it to start afresh") from error
        if not intact:
            raise InputError(f"'{path}' does not match its checksum: remove it to start afresh")
        if document.get("format") != FORMAT:
            raise StaleCacheError(f"'{path}' is of another version of this program: remove it or give another file")
        if digest != self.digest:
            raise StaleCacheError(f"'{path}' belongs to another artifact: remove it or give another file")
        for span, label, margins in entries:
            self.put(span, label, margins)


def _sum(body: str) -> str:
    return sha256(body.encode()).hexdigest()
