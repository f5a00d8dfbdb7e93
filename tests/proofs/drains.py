"""A real `tenantry serve` that gets SIGTERM with all hands full: what was begun is finished, every byte of it.

Each round has, at the moment of the signal, requests that run, requests that wait in their lane for those, large
answers of which the client has read nothing, from memory and from a file, uploads that are half way in, and streams
that have begun. None of them can end before the server has stopped listening. Then every answer is read and compared.
"""

import hashlib
import http
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Event
from time import monotonic

from tests import tools
from tests.benchmarks import children, places
from tests.proofs import hall

HALL = "tests.proofs.hall:create_app"
_PATIENCE = 60.0
_LOOK = 0.01
_READERS = 16
_BUSY, _BROAD = 0, 1  # the tenant whose lane is full, and the one of the large bodies
# What was not answered at all before the signal.
_TOLD = {"running", "waiting", "uploads"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much of each kind a round has; `size` is that of a large body, in bytes."""

    running: int = 64
    waiting: int = 64
    large: int = 16
    uploads: int = 16
    streams: int = 8
    pieces: int = 200
    size: int = 8 << 20


@dataclass(slots=True)
class Drained:
    """What came of it: complete answers by kind, and what was not as promised."""

    rounds: int = 0
    complete: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        told = ", ".join(f"{number} {kind}" for kind, number in self.complete.items())
        return f"{self.rounds} rounds: {told}"


def run(folder: Path, load: Load, rounds: int) -> Drained:
    """Serve, fill, stop and read, so many times."""
    places.fill(folder, 2, HALL)
    drained = Drained()
    for _ in range(rounds):
        with _Round(folder, load, drained) as turn:
            turn.play()
        drained.rounds += 1
    return drained


class Begun:
    """A request of which everything but `rest` was sent, and what its answer is to be."""

    def __init__(self, kind: str, port: int, number: int, expected: bytes) -> None:
        self.kind = kind
        self._connection = HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
        self._host = {"Host": places.host(number)}
        self._expected = expected
        self._rest = b""

    def ask(self, path: str) -> "Begun":
        """Send a request that has no body."""
        self._connection.request("GET", path, headers=self._host)
        return self

    def send(self, path: str, body: bytes) -> "Begun":
        """Send a request and the first half of its body."""
        half = len(body) // 2
        self._connection.putrequest("POST", path, skip_host=True)
        for name, value in {**self._host, "Content-Length": str(len(body))}.items():
            self._connection.putheader(name, value)
        self._connection.endheaders(body[:half])
        self._rest = body[half:]
        return self

    def taste(self) -> "Begun":
        """Wait for the first byte of the answer, and leave it where it is."""
        assert self._connection.sock is not None
        assert self._connection.sock.recv(1, socket.MSG_PEEK)
        return self

    def fault(self) -> str:
        """Send the rest, read the answer to its end, and say what is wrong with it."""
        try:
            self._connection.send(self._rest)
            response = self._connection.getresponse()
            body = response.read()
        except (OSError, HTTPException) as error:
            return f"{type(error).__name__}: {error}"
        if response.status != http.HTTPStatus.OK:
            return f"{response.status}: {body[:100]!r}"
        if body != self._expected:
            return f"{len(body)} bytes of {len(self._expected)}, which differ"
        if self.kind in _TOLD and response.headers["Connection"] != "close":
            return "it does not say that it is the last"
        return ""

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


class _Round:
    def __init__(self, folder: Path, load: Load, drained: Drained) -> None:
        self._load = load
        self._drained = drained
        self._begun: list[Begun] = []
        with places.desk(folder) as operations:
            self._halls = [operations.path(places.name(number)) / "files" for number in (_BUSY, _BROAD)]
        # Half of the threads may serve one tenant: that many run.
        settings = places.settings(folder, threads=2 * load.running)
        self._log = folder / "drains.log"
        self._port = tools.free_port()
        with self._log.open("wb") as log:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "tenantry", "--root", str(folder), "serve", "--port", str(self._port)],
                cwd=folder,
                env=children.environment(settings),
                stdout=log,
                stderr=log,
            )

    def __enter__(self) -> "_Round":
        return self

    def __exit__(self, *_: object) -> None:
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()
        for begun in self._begun:
            begun.close()
        for hall_ in self._halls:
            (hall_ / "go").unlink(missing_ok=True)

    def play(self) -> None:
        """Fill the server, stop it, let everything go on once it has stopped listening, and read."""
        _until(lambda: self._child.poll() is not None or not _deaf(self._port))
        self._fill()
        self._child.send_signal(signal.SIGTERM)
        _until(lambda: _deaf(self._port))
        for hall_ in self._halls:
            (hall_ / "go").touch()
        with ThreadPoolExecutor(_READERS) as pool:
            for begun, fault in zip(self._begun, pool.map(Begun.fault, self._begun), strict=True):
                self._drained.complete[begun.kind] += not fault
                if fault:
                    self._drained.faults.append(f"{begun.kind}: {fault}")
        code = self._child.wait(_PATIENCE)
        said = self._log.read_text()
        if code or "Traceback" in said:
            self._drained.faults.append(f"the server ended with {code} and said {said[-2000:]}")

    def _fill(self) -> None:
        """Begin everything."""
        load, data = self._load, hall.content(self._load.size)
        digest = hashlib.sha256(data).hexdigest().encode()
        for number in (_BUSY, _BROAD):  # builds it, and makes it known
            self._begin("first answers", number, b"warm").ask("/echo/warm").taste()
        for _ in range(load.running):
            self._begin("running", _BUSY, b"held").ask("/hold")
        _until(lambda: len([*self._halls[_BUSY].glob("held-*")]) == load.running)
        for _ in range(load.waiting):
            self._begin("waiting", _BUSY, b"held").ask("/hold")
        for _ in range(load.large):
            self._begin("large answers", _BROAD, data).ask(f"/large/{load.size}").taste()
            self._begin("files", _BROAD, data).ask(f"/file/{load.size}").taste()
        for _ in range(load.streams):
            whole = b"".join(map(hall.piece, range(load.pieces)))
            self._begin("streams", _BROAD, whole).ask(f"/stream/{load.pieces}").taste()
        for _ in range(load.uploads):
            self._begin("uploads", _BROAD, digest).send("/take", data)

    def _begin(self, kind: str, number: int, expected: bytes) -> Begun:
        self._begun.append(Begun(kind, self._port, number, expected))
        return self._begun[-1]


def _until(condition: Callable[[], bool]) -> None:
    end = monotonic() + _PATIENCE
    while not condition():
        assert monotonic() < end, "what was waited for did not come"
        Event().wait(_LOOK)


def _deaf(port: int) -> bool:
    """Tell whether nobody listens."""
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) != 0
