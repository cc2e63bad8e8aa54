"""Worker processes: those that serve go on while one that has died, or cannot start, is tried again."""

from __future__ import annotations

import logging
import os
import signal
from collections import deque
from dataclasses import dataclass
from multiprocessing import connection, parent_process
from socket import socket
from threading import Thread
from time import monotonic

from uvicorn import Config
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

_log = logging.getLogger("uvicorn.error")  # where uvicorn tells of its workers

PAUSE_SECONDS = 5.0  # before a worker that could not start is tried again; twice as long each time, up to
LONGEST_PAUSE_SECONDS = 60.0


def follow_supervisor() -> None:
    """In a worker: leave a hang-up of the terminal to the supervisor, and stop in good order when that is gone."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if supervisor := parent_process():
        Thread(target=_stop_after, args=(supervisor.sentinel,), name="tokenward-orphan", daemon=True).start()


def _stop_after(sentinel: int) -> None:
    connection.wait([sentinel])
    _log.error("The parent process is gone: stopping")
    os.kill(os.getpid(), signal.SIGTERM)


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
    and while it waits for the answer of one worker, or renews them on SIGHUP, it neither sees that one has died nor
    that it is itself told to stop.

    Attributes:
        failed: a worker could not start and no other was serving, so all have been stopped.
    """

    def __init__(self, config: Config, sockets: list[socket]) -> None:
        super().__init__(config, sockets)
        self.failed = False
        self._watches: dict[Process, _Watch] = {}
        self._tries = 0  # to start a worker, in vain, since one that had served was replaced
        self._renewing: deque[int] = deque()  # places of workers that are to be renewed
        self._successor: tuple[Process, _Watch] | None = None  # of the first of them, until it serves
        self._retired: list[Process] = []  # they drain

    def handle_hup(self) -> None:
        """Renew the workers one after another, each when its successor serves."""
        _log.info("Received SIGHUP, renewing the workers.")
        self._renewing = deque(range(len(self.processes)))

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
                self.processes[place] = self._start()
        self._renew()

    def terminate_all(self) -> None:
        """Tell the workers to stop; while they drain, no socket is kept open here on which nobody answers any more."""
        super().terminate_all()
        if self._successor:
            self._successor[0].terminate()
            self._retired.append(self._successor[0])
        for listening in self.sockets:
            listening.close()

    def join_all(self) -> None:
        """Wait for all workers, those that have been replaced as well."""
        super().join_all()
        for process in self._retired:
            process.join()

    def _start(self) -> Process:
        process = Process(self.config, self.sockets)
        process.start()
        return process

    def _renew(self) -> None:
        """Go on with renewing as far as possible without waiting; where a successor cannot start, its like serve on."""
        self._retired = [process for process in self._retired if process.process.is_alive()]
        if not self._renewing:
            return
        if self._successor is None:
            _log.info("Child process [%s] is renewed", self.processes[self._renewing[0]].pid)
            self._successor = self._start(), _Watch()
            return
        successor, watch = self._successor
        if not self._answers(successor, watch):
            successor.kill()
            successor.join()
            _log.error("Child process [%s] could not start: the workers are not renewed", successor.pid)
            self._renewing.clear()
            self._successor = None
        elif watch.serves:
            place = self._renewing.popleft()
            self.processes[place].terminate()
            self._retired.append(self.processes[place])
            self.processes[place] = successor
            self._watches[successor] = watch
            self._successor = None

    def _pause(self, served: bool) -> float:
        """Seconds before a worker is replaced."""
        self._tries = 0 if served else self._tries + 1
        return min(PAUSE_SECONDS * 2 ** (self._tries - 1), LONGEST_PAUSE_SECONDS) if self._tries else 0.0

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
        watch.again = monotonic() + self._pause(served)
        gave_up = not served and (process.exitcode or 0) > 0  # not killed, for want of memory for example
        if gave_up and not any(other.serves for other in self._watches.values()):
            _log.error("It could not start and no other serves: stopping")
            self.failed = True
            self.should_exit.set()
