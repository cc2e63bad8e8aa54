"""Worker processes: those that serve go on while one that has died, or cannot start, is tried again."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from socket import socket
from time import monotonic

from uvicorn import Config
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

_log = logging.getLogger("uvicorn.error")  # where uvicorn tells of its workers

PAUSE_SECONDS = 5.0  # before a worker that could not start is tried again


@dataclass
class _Watch:
    """What is known of a worker.

    Attributes:
        asked: since when it owes an answer.
        serves: it has started, and has not died since.
        again: when it is replaced; None while it lives.
    """

    asked: float | None = None
    serves: bool = False
    again: float | None = None


class Workers(Multiprocess):
    """uvicorn's supervisor, but for what it does about workers that die.

    uvicorn's own stops the workers that serve when one of them cannot be started anew, and takes that for a good end;
    and while it waits for the answer of one worker it neither sees that it has died nor that it is itself told to stop.

    Attributes:
        failed: a worker could not start and no other was serving, so all have been stopped.
    """

    def __init__(self, config: Config, sockets: list[socket]) -> None:
        super().__init__(config, sockets)
        self.failed = False
        self._watches: dict[Process, _Watch] = {}

    def keep_subprocess_alive(self) -> None:
        """Replace workers that have died or answer no more: at once if they served, else after a pause."""
        if self.should_exit.is_set():
            return
        self._watches = {process: self._watches.get(process, _Watch()) for process in self.processes}
        for place, (process, watch) in enumerate(self._watches.items()):
            if watch.again is None:
                if self._answers(process, watch):
                    continue
                self._bury(process, watch)
            if self.failed:
                return
            if watch.again is not None and monotonic() >= watch.again:
                self.processes[place] = Process(self.config, self.sockets)
                self.processes[place].start()

    def terminate_all(self) -> None:
        """Tell the workers to stop; while they drain, no socket is kept open here on which nobody answers any more."""
        super().terminate_all()
        for listening in self.sockets:
            listening.close()

    def _answers(self, process: Process, watch: _Watch) -> bool:
        """Whether a worker lives and is not behind with an answer; never waits for one."""
        if not process.process.is_alive():
            return False
        if process.parent_conn.poll(0):
            watch.serves, watch.asked = process.parent_conn.recv(), None
        if watch.asked is None:
            process.parent_conn.send(b"ping")
            watch.asked = monotonic()
        return monotonic() - watch.asked < self.config.timeout_worker_healthcheck

    def _bury(self, process: Process, watch: _Watch) -> None:
        """Say when a worker is replaced; or stop, where it could not start and nobody serves."""
        process.kill()  # it may hang
        process.join()
        _log.error("Child process [%s] died", process.pid)
        served, watch.serves = watch.serves, False
        watch.again = monotonic() + (0 if served else PAUSE_SECONDS)
        gave_up = not served and (process.exitcode or 0) > 0  # not killed, for want of memory for example
        if gave_up and not any(other.serves for other in self._watches.values()):
            _log.error("It could not start and no other serves: stopping")
            self.failed = True
            self.should_exit.set()
