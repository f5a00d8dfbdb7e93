"""Servers under test: one in a thread, raw clients that say what they like, and an application that can be held."""

import errno
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any

import pytest

from tenantry.server import Asks, Load, Options, Server
from tenantry.server.channel import Channel
from tests.tools import free_port

PATIENCE = 10.0

Environ = dict[str, Any]
Start = Callable[..., Any]
Application = Callable[[Environ, Start], Iterable[bytes]]


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that other threads bring about, and fail when it does not come."""
    end = monotonic() + PATIENCE
    while not condition():
        assert monotonic() < end, "what was waited for did not come"
        threading.Event().wait(0.002)


# Who knows nothing of tenants.
ASKS = Asks(lane=lambda _headers, _target: None, admit=lambda _headers, _target: None)


class Client:
    """A raw connection that says what it likes and reads what it is told to."""

    def __init__(self, port: int, host: str = "127.0.0.1", room: int = 0) -> None:
        if room:  # for so many bytes that it has not read
            self.sock = socket.socket()
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
            self.sock.settimeout(PATIENCE)
            self.sock.connect((host, port))
        else:
            self.sock = socket.create_connection((host, port), timeout=PATIENCE)
        self.buffer = b""

    def send(self, data: bytes) -> "Client":
        self.sock.sendall(data)
        return self

    def ask(self, path: str, host: str = "acme", more: str = "", method: str = "GET") -> "Client":
        return self.send(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode())

    def more(self) -> bytes:
        data = self.sock.recv(65536)
        self.buffer += data
        return data

    def until(self, end: bytes) -> bytes:
        while end not in self.buffer:
            assert self.more(), f"closed after {self.buffer[-200:]!r}"
        found, _, self.buffer = self.buffer.partition(end)
        return found

    def head(self) -> tuple[int, dict[str, str]]:
        lines = self.until(b"\r\n\r\n").decode().split("\r\n")
        return int(lines[0].split()[1]), dict(line.lower().split(": ", 1) for line in lines[1:])

    def take(self, length: int) -> bytes:
        while len(self.buffer) < length:
            assert self.more(), f"closed {length - len(self.buffer)} bytes early"
        taken, self.buffer = self.buffer[:length], self.buffer[length:]
        return taken

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        status, headers = self.head()
        if "chunked" in headers.get("transfer-encoding", ""):
            body = b""
            while size := int(self.until(b"\r\n"), 16):
                body += self.take(size)
                self.take(2)
            self.take(2)
            return status, headers, body
        return status, headers, self.take(int(headers.get("content-length", 0)))

    def closed(self) -> bool:
        """Wait until the server has closed the connection, and tell whether nothing more was sent."""
        with suppress(ConnectionResetError):
            while self.more():
                pass
        return not self.buffer

    def close(self) -> None:
        self.sock.close()


class Site:
    """A server in a thread, its clients, and its exit code."""

    def __init__(self, application: Application, **options: Any) -> None:
        sockets = options.pop("sockets", ())
        lane = options.pop("lane", lambda headers, _target: headers.get("HOST"))
        self.server = open_server(application, lane, sockets, **options)
        self.port = self.server.port
        self.code: int | None = None
        self.clients: list[Client] = []
        self.thread = threading.Thread(target=self._run, name="server under test")
        self.thread.start()

    def _run(self) -> None:
        self.code = self.server.run()

    def client(self, room: int = 0) -> Client:
        self.clients.append(Client(self.port, room=room))
        return self.clients[-1]

    def ask(self, path: str, host: str = "acme", more: str = "", method: str = "GET") -> Client:
        return self.client().ask(path, host, more, method)

    def get(self, path: str, host: str = "acme") -> bytes:
        return self.ask(path, host).answer()[2]

    def load(self, running: int = 0, waiting: int = 0) -> None:
        until(lambda: self.server.load() == Load(running, waiting, 0))

    def channels(self) -> list[Channel]:
        """List the connections that are open now."""
        return list(self.server._listeners[0].active_channels.values())

    def on_loop(self, thunk: Callable[[], object]) -> None:
        """Run something on the server's own thread, and wait until it has run."""
        done = threading.Event()

        def run() -> None:
            thunk()
            done.set()

        self.server._listeners[0].trigger.pull_trigger(run)
        assert done.wait(PATIENCE)

    def deaf(self) -> None:
        """Wait until the server does not listen any more."""

        def refused() -> bool:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE).close()
            except OSError as error:
                return error.errno in {errno.ECONNREFUSED, errno.ECONNRESET}
            return False

        until(refused)

    def end(self) -> int | None:
        try:
            self.server.stop()
            self.thread.join(PATIENCE)
        finally:
            for client in self.clients:
                client.close()
        return self.code


def options(**changes: Any) -> Options:
    """Options as the platform's settings have them, but for what a test changes."""
    given: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": 0,
        "threads": 4,
        "connections": 100,
        "max_header": 4096,
        "max_body": 1 << 20,
        "lane_size": 100,
        "lane_wait": PATIENCE,
        "drain": PATIENCE,
        "trust_proxy": False,
        "linger": 0.1,
    }
    return Options(**(given | changes))


def open_server(application: Application, lane: Any, sockets: Any = (), **changes: Any) -> Server:
    """Open a server on a free port, but for what a test changes."""
    asks = Asks(
        lane=lane, admit=changes.pop("admit", lambda _headers, _target: None), access=changes.pop("access", None)
    )
    return Server(application, options(**{"port": free_port()} | changes), asks, sockets)


@contextmanager
def serving(application: Application, code: int | None = 0, **changes: Any) -> Iterator[Site]:
    """Serve for the length of a block, and expect the exit code after it."""
    site = Site(application, **changes)
    try:
        yield site
    finally:
        ended = site.end()
    assert not site.thread.is_alive()
    assert ended == code
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tenantry-")] or code


def text(start: Start, body: bytes | str, status: str = "200 OK") -> list[bytes]:
    """Answer with a plain text."""
    data = body if isinstance(body, bytes) else body.encode()
    start(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(data)))])
    return [data]


class Town:
    """An application whose requests tests hold, release, park and count.

    `/hold` waits for `release`; `/park` parks once on `future`; anything else answers at once.
    """

    def __init__(self) -> None:
        self.release = threading.Event()
        self.future: Future[Any] = Future()
        self.runs: list[str] = []
        self.bodies: list[bytes] = []

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        self.runs.append(path)
        if "tenantry.refused" in environ:
            assert "tenantry.park" not in environ
            return text(start, environ["tenantry.refused"], "503 Service Unavailable")
        if path == "/hold":
            assert self.release.wait(PATIENCE)
        if path == "/park" and not self.future.done():
            if "tenantry.park" not in environ:
                return text(start, "no room", "503 Service Unavailable")
            self.bodies.append(environ["wsgi.input"].read())
            environ["tenantry.park"](self.future)
        self.bodies.append(environ["wsgi.input"].read())
        return text(start, f"answer to {path}")


def hello(environ: Environ, start: Start) -> Iterable[bytes]:
    """Answer with five bytes."""
    return text(start, "hello")


@pytest.fixture
def town() -> Iterator[Town]:
    """A town of which nobody is held any more after the test; each file names it among its own."""
    made = Town()
    yield made
    made.release.set()
