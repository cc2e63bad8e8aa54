"""The audit log: suspicious texts as JSON lines, on request only, rotated, safe for several processes.

Lines are written by a thread of their own: a slow disk must not keep the server from answering.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from queue import Full, Queue
from threading import Thread
from time import monotonic
from typing import Any

from ..errors import InputError
from .verdict import Mode, Verdict

_log = logging.getLogger("tokenward")

WAITING_LINES = 1_000


@dataclass(frozen=True)
class AuditLog:
    """Appends one line per text whose action is not ``passed``.

    Attributes:
        path: the file; older ones are ``path.1`` (the youngest) and so on.
        hash_texts: write the SHA-256 of a text instead of it, and no repaired text. Suspects are written all the
            same: they are what the log is for.
        max_bytes: a line that would exceed this goes into a new file.
        files: older files that are kept.
    """

    path: Path
    hash_texts: bool = False
    max_bytes: int = 50_000_000
    files: int = 5
    _waiting: Queue[bytes | None] = field(default_factory=lambda: Queue(WAITING_LINES), repr=False, compare=False)

    def check(self) -> None:
        """Make the file if it is not there.

        Raises:
            InputError: lines cannot be written to it.
        """
        try:
            if self.path.exists() and not stat.S_ISREG(self.path.stat().st_mode):
                raise InputError(f"the audit log '{self.path}' is no regular file: name another")
            self._append(b"")
        except OSError as error:
            raise InputError(f"the audit log '{self.path}' cannot be written: {error.strerror}") from error

    def start(self) -> Thread:
        """Start the thread that writes."""
        thread = Thread(target=self._write, name="tokenward-audit", daemon=True)
        thread.start()
        return thread

    def stop(self, writer: Thread, seconds: float) -> None:
        """Let the thread end when it has written what is waiting; wait no longer than this for it."""
        until = monotonic() + seconds
        with suppress(Full):  # then the disk hangs, and the thread with it
            self._waiting.put(None, timeout=seconds)
        writer.join(max(0.0, until - monotonic()))

    def record(self, request_id: str, text: str, verdict: Verdict, mode: Mode) -> None:
        """Have a line written, if the verdict calls for one; a failing disk is logged and never fails the request."""
        if verdict.action == "passed":
            return
        line = json.dumps(self._entry(request_id, text, verdict, mode), ensure_ascii=False) + "\n"
        try:
            self._waiting.put_nowait(line.encode())
        except Full:
            _log.error("the audit log is written too slowly: a line is lost")

    def _write(self) -> None:
        while (line := self._waiting.get()) is not None:
            try:
                self._append(line)
            except OSError as error:
                _log.error("cannot write the audit log: %s", error.strerror)

    def _entry(self, request_id: str, text: str, verdict: Verdict, mode: Mode) -> dict[str, Any]:
        texts = (
            {"text_sha256": hashlib.sha256(text.encode()).hexdigest()}
            if self.hash_texts
            else {"text": text, "repaired_text": verdict.repaired_text}
        )
        return {
            "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "request_id": request_id,
            "mode": mode,
            "action": verdict.action,
            "original_label": verdict.original_label,
            "enforced_label": verdict.enforced_label,
            "anomaly_score": verdict.anomaly_score,
            "threshold": verdict.threshold,
            "fallback": verdict.fallback,
            "suspects": [asdict(suspect) for suspect in verdict.suspects],
            **texts,
        }

    def _append(self, line: bytes) -> None:
        with self._locked():
            if self.path.exists() and self.path.stat().st_size + len(line) > self.max_bytes:
                self._rotate()
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                size = os.fstat(descriptor).st_size
                if os.write(descriptor, line) < len(line):
                    os.ftruncate(descriptor, size)  # or the next line would follow upon half of this one
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                os.close(descriptor)

    def _rotate(self) -> None:
        for number in range(self.files, 0, -1):
            older = self._numbered(number - 1)
            if older.exists():
                older.replace(self._numbered(number))

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}") if number else self.path

    @contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self.path.with_name(f".{self.path.name}.lock"), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
