"""What attacks with: requests spelled byte for byte, and nobody who waits for ever."""

import http.client
import re
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from time import monotonic
from typing import TypeVar

from tenantry.doctor.attack.target import ANSWERED

# How long one answer may take on a machine that has much else to do.
_AT_MOST = 10.0
_LOOPBACK = "127.0.0.1"
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) ")

Header = tuple[str, str]
Made = TypeVar("Made")
# What a caller meets where there is no whole answer.
LOST = (OSError, http.client.HTTPException)


class OutOfTime(Exception):
    """Say that a part has used up its time."""


class Patience:
    """So many seconds from now; whoever asks for what is left when nothing is gets OutOfTime."""

    def __init__(self, seconds: float) -> None:
        self._end = monotonic() + seconds

    def left(self, at_most: float = _AT_MOST) -> float:
        """Return the seconds that are left, or `at_most`."""
        left = self._end - monotonic()
        if left <= 0:
            raise OutOfTime
        return min(left, at_most)

    def shorter(self, seconds: float) -> "Patience":
        """Return one that ends after so many seconds, or when this one does."""
        return Patience(min(self._end - monotonic(), seconds))


def within(seconds: float, work: Callable[[], Made]) -> Made:
    """Do something on a thread of its own, which is left behind with OutOfTime where it takes longer.

    For what runs code of the operator's own in this process: an import may hang.
    """
    future: Future[Made] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            future.set_exception(error)

    threading.Thread(target=run, name="within", daemon=True).start()
    if not wait([future], seconds).done:
        raise OutOfTime
    return future.result()


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it is sent; its `host` and `target` are text of which each letter is one byte."""

    host: str
    target: str = "/"
    method: str = "GET"
    headers: Sequence[Header] = ()
    body: bytes = b""

    def spelled(self, more: Sequence[Header] = ()) -> bytes:
        """Spell it; the connection is to be closed after it."""
        given = [("Host", self.host), *more, *self.headers, ("Connection", "close")]
        if self.body or self.method not in {"GET", "HEAD"}:
            given.append(("Content-Length", str(len(self.body))))
        lines = [f"{self.method} {self.target} HTTP/1.1", *(f"{name}: {value}" for name, value in given)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body

    def but(self, **changes: object) -> "Request":
        """Return the same request, but for what changes."""
        return replace(self, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Cookie:
    """One Set-Cookie as a browser reads it: names of attributes in lower case, the last of two counting."""

    name: str
    value: str
    attributes: dict[str, str]

    @classmethod
    def read(cls, text: str) -> "Cookie":
        """Read the value of a Set-Cookie header."""
        first, *rest = text.split(";")
        name, _, value = first.partition("=")
        pairs = [part.partition("=") for part in rest]
        return cls(name.strip(), value.strip(), {key.strip().lower(): found.strip() for key, _, found in pairs})


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whole."""

    status: int
    headers: tuple[Header, ...]
    body: bytes

    @property
    def by(self) -> str:
        """The uid of the tenant whose built-in application has answered, empty where none has."""
        return self.first(ANSWERED)

    def first(self, name: str) -> str:
        """Return the first header of that name, empty where there is none."""
        return next(iter(self.all(name)), "")

    def all(self, name: str) -> list[str]:
        """Return every header of that name."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def cookies(self) -> list[Cookie]:
        """Read the cookies that it sets."""
        return [Cookie.read(value) for value in self.all("Set-Cookie")]

    def whole(self) -> bytes:
        """Spell all of it, to be searched."""
        head = "\n".join(f"{name}: {value}" for name, value in self.headers)
        return head.encode("latin-1", "replace") + b"\n" + self.body


class Caller:
    """Who sends requests to one port of this machine, each on a connection of its own, as the last proxy would."""

    def __init__(self, port: int, patience: Patience, forwarded: Sequence[Header] = ()) -> None:
        self.port = port
        self.patience = patience
        self.forwarded = forwarded

    def connect(self) -> socket.socket:
        """Open a connection; whoever asked for it closes it."""
        return socket.create_connection((_LOOPBACK, self.port), timeout=self.patience.left())

    def ask(self, request: Request) -> Answer:
        """Send a request and read its whole answer."""
        with self.connect() as sock:
            sock.sendall(request.spelled(self.forwarded))
            return self.read(sock, request.method)

    def read(self, sock: socket.socket, method: str = "GET", seconds: float = _AT_MOST) -> Answer:
        """Read one whole answer, of which not a byte may be missing; `seconds` is how long it may be silent."""
        sock.settimeout(self.patience.left(seconds))
        response = http.client.HTTPResponse(sock, method=method)
        try:
            response.begin()
            return Answer(response.status, tuple(response.getheaders()), response.read())
        finally:
            response.close()

    def send(self, data: bytes, seconds: float = _AT_MOST) -> tuple[bytes, bool]:
        """Send bytes as they are; return all that comes back, and whether the server has closed the connection."""
        with self.connect() as sock:
            with suppress(ConnectionError):  # it need not read on what it has refused
                sock.sendall(data)
            return self.until_closed(sock, seconds)

    def until_closed(self, sock: socket.socket, seconds: float = _AT_MOST) -> tuple[bytes, bool]:
        """Read until the server closes the connection, at most so many seconds; and tell whether it has."""
        patience, found = Patience(self.patience.left(seconds)), b""
        try:
            while True:
                sock.settimeout(patience.left())
                piece = sock.recv(1 << 16)
                if not piece:
                    return found, True
                found += piece
        except (TimeoutError, OutOfTime):
            self.patience.left()
            return found, False
        except ConnectionError:
            return found, True


def statuses(data: bytes) -> list[int]:
    """Return the status of each answer that begins in what was received."""
    return [int(found) for found in _STATUS.findall(data)]
