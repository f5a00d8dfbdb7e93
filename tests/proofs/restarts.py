"""Restarts under load that nobody notices: by hand-over from process to process, and with a socket that a parent holds.

Visitors ask all the time: some open a connection for each request, some keep theirs until an answer says that it was
the last, some of these leave it idle for a while, some send a body. Each request has an answer of its own. A failure is
whatever is not that answer: a refused or broken connection counts as much as a wrong word, and nobody tries again.
"""

import http
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from time import monotonic

from tenantry.placement import Instance
from tests import tools
from tests.benchmarks import children, places
from tests.proofs.drains import HALL

_PATIENCE = 60.0
_LOOK = 0.01
_VISITORS, _PAUSING = 6, 6
_LONGEST_PAUSE = 3.0
_BODY = 20_000

# What puts a socket where systemd would, and names the process as systemd does.
_ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="tenantry.socket")
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


@dataclass(slots=True)
class Restarted:
    """What came of it: requests, those that failed, and other things that were not as promised."""

    restarts: int = 0
    requests: int = 0
    failed: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.restarts} restarts, {self.requests} requests"


class Visitor(threading.Thread):
    """One who asks without a pause; `keeps` its connection for as long as the server does."""

    def __init__(self, number: int, port: int, stop: threading.Event, *, pauses: bool = False) -> None:
        super().__init__(name=f"visitor {number}", daemon=True)
        self.asked = 0
        self.failed: list[str] = []
        self._number = number
        self._pauses = random.Random(number) if pauses else None
        self._port = port
        self._keeps = bool(number % 2)
        self._sends = number % 3 == 0
        self._stop_asked = stop

    def run(self) -> None:
        """Ask until told to stop."""
        connection = self._connection()
        while not self._stop_asked.is_set():
            self.asked += 1
            try:
                last = self._ask(connection, f"{self._number}-{self.asked}")
            except (OSError, HTTPException) as error:
                self.failed.append(f"{type(error).__name__}: {error}")
                last = True
            if last or not self._keeps:
                connection.close()
                connection = self._connection()
            if self._pauses is not None:
                self._stop_asked.wait(self._pauses.uniform(0.0, _LONGEST_PAUSE))
        connection.close()

    def _connection(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self._port, timeout=_PATIENCE)

    def _ask(self, connection: HTTPConnection, word: str) -> bool:
        """Ask once, and tell whether the answer was the last of its connection."""
        body = b"x" * _BODY if self._sends else None
        headers = {"Host": places.host(0), "Connection": "keep-alive" if self._keeps else "close"}
        connection.request("POST" if body else "GET", f"/echo/{word}", body, headers)
        response = connection.getresponse()
        said = response.read()
        if response.status != http.HTTPStatus.OK or said != word.encode():
            self.failed.append(f"{response.status}: {said[:100]!r}")
        return response.headers["Connection"] == "close"


@contextmanager
def _visited(port: int, restarted: Restarted, *, pauses: bool = False) -> Iterator[Callable[[], int]]:
    """Have visitors come for the length of a block; what is yielded counts their requests so far.

    With `pauses` there are some more, who keep a connection and let it rest between their requests.
    """
    stop = threading.Event()
    visitors = [Visitor(number, port, stop) for number in range(_VISITORS)]
    if pauses:
        visitors += [Visitor(_VISITORS + 2 * number + 1, port, stop, pauses=True) for number in range(_PAUSING)]

    def asked() -> int:
        return sum(visitor.asked for visitor in visitors)

    for visitor in visitors:
        visitor.start()
    try:
        yield asked
    finally:
        stop.set()
        for visitor in visitors:
            visitor.join(_PATIENCE)
            restarted.failed += visitor.failed
        restarted.requests += asked()


def hand_over(folder: Path, restarts: int, requests: int) -> Restarted:
    """Replace a serving process by SIGHUP, so often, among at least so many requests, on a port that was picked."""
    places.fill(folder, 1, HALL)
    restarted = Restarted()
    with _log(folder) as log:
        words = [sys.executable, "-m", "tenantry", "--root", str(folder), "serve", "--port", "0"]
        child = _start(words, folder, log)
        served = [child.pid]
        try:
            _until(lambda: child.poll() is not None or _serving(folder)[1] == child.pid)
            port, _ = _serving(folder)
            with _visited(port, restarted, pauses=True) as asked:
                for number in range(restarts):
                    _until(_enough(asked, (number + 1) * requests // (restarts + 1)))
                    os.kill(served[-1], signal.SIGHUP)
                    _until(lambda: _serving(folder)[1] not in served)
                    served.append(_serving(folder)[1])
                    restarted.restarts += 1
                _until(_enough(asked, requests))
        finally:
            _end(child, served)
    if child.returncode:
        restarted.faults.append(f"the first process ended with {child.returncode}")
    if len(served) != restarts + 1:
        restarted.faults.append(f"{len(served)} processes have served")
    _see(folder, restarted)
    return restarted


def activate(folder: Path, restarts: int, requests: int) -> Restarted:
    """Stop a process and start the next one, whose socket stays with its parent, so many times."""
    places.fill(folder, 1, HALL)
    restarted = Restarted()
    with socket.create_server(("127.0.0.1", tools.free_port()), backlog=1024) as held, _log(folder) as log:
        words = [sys.executable, "-c", _ACTIVATE, str(held.fileno()), "-m", "tenantry", "--root", str(folder), "serve"]
        child = _start(words, folder, log, (held.fileno(),))
        try:
            with _visited(held.getsockname()[1], restarted) as asked:
                for number in range(restarts):
                    _until(_enough(asked, (number + 1) * requests // (restarts + 1)))
                    child.send_signal(signal.SIGTERM)
                    if code := child.wait(_PATIENCE):
                        restarted.faults.append(f"process {number} ended with {code}")
                    child = _start(words, folder, log, (held.fileno(),))
                    restarted.restarts += 1
                _until(_enough(asked, requests))
        finally:
            _end(child, [child.pid])
    _see(folder, restarted)
    return restarted


def _enough(asked: Callable[[], int], wanted: int) -> Callable[[], bool]:
    return lambda: asked() >= wanted


@contextmanager
def _log(folder: Path) -> Iterator[int]:
    with (folder / "restarts.log").open("wb") as log:
        yield log.fileno()


def _start(words: Sequence[str], folder: Path, log: int, passed: Sequence[int] = ()) -> "subprocess.Popen[bytes]":
    settings = places.settings(folder, access_log="off", log_level="info")
    environment = children.environment(settings)
    return subprocess.Popen(words, cwd=folder, env=environment, stdout=log, stderr=log, pass_fds=passed)


def _end(child: "subprocess.Popen[bytes]", served: Sequence[int]) -> None:
    """Stop the process that serves, and see all of them end."""
    last = served[-1]
    if last == child.pid:
        child.terminate()
    elif last:
        os.kill(last, signal.SIGTERM)
    try:
        child.wait(_PATIENCE)
        _until(lambda: not any(map(_lives, served)))
    finally:
        for process in filter(_lives, served):
            os.kill(process, signal.SIGKILL)


def _see(folder: Path, restarted: Restarted) -> None:
    """Take what the processes have complained of for a fault."""
    said = (folder / "restarts.log").read_text()
    for word in ("Traceback", '"ERROR"', '"WARNING"', '"error"', '"warning"'):
        if word in said:
            restarted.faults.append(f"{word} in the log: {said[-3000:]}")


def _serving(folder: Path) -> tuple[int, int]:
    """Read on which port which process serves; zeros where that cannot be read."""
    try:
        port, process = Instance(folder / "instance").serving.read_text().split()
        return int(port), int(process)
    except (OSError, ValueError):
        return 0, 0


def _lives(process: int) -> bool:
    """Tell whether a process runs; one that has ended and for which nobody has waited does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _until(condition: Callable[[], bool]) -> None:
    end = monotonic() + _PATIENCE
    while not condition():
        assert monotonic() < end, "what was waited for did not come"
        threading.Event().wait(_LOOK)
