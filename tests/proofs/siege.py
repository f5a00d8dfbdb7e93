"""Clients that take their time, all at once, at a real server with nothing in front; and a visitor who minds his own.

Some trickle headers, some trickle bodies, some ask for much and take it a byte at a time; whoever is cut comes back at
once and goes on. The visitor of another tenant comes on a new connection each time, and is to notice nothing.
"""

import asyncio
import http.client
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks import children, load, places

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATIENCE = 30.0
# Seconds by which a client may outlive its deadline: a look of the server's, its last words, and a busy machine.
SLACK = 5.0
_CLOSED = 7  # what Linux calls the state of a connection that was reset


@dataclass(frozen=True, slots=True, kw_only=True)
class Siege:
    """How many clients of each kind, how much the last kind asks for, and how long it goes on after the deadlines."""

    headers: int = 500
    bodies: int = 20
    takers: int = 20
    size: int = 40 << 20
    pace: float = 1.0
    more: float = 15.0
    # What the server is set to; by default what it is by default.
    waits: Mapping[str, float] = field(default_factory=dict)

    def wait(self, name: str) -> float:
        """Tell how long the server waits for a header, a body or its answer's being taken."""
        return self.waits.get(name, {"header_wait": 10.0}.get(name, 30.0))

    @property
    def deadline(self) -> float:
        """Seconds after which everybody has been cut once."""
        return max(map(self.wait, ("header_wait", "body_wait", "send_wait")))


@dataclass
class Seen:
    """What the visitor saw, in seconds by the time since the siege began, and how long the others lived."""

    visits: list[tuple[float, float]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    cut: dict[str, list[float]] = field(default_factory=dict)
    overdue: list[str] = field(default_factory=list)

    def slowest(self, since: float = 0.0) -> float:
        """Return the longest visit that began after so many seconds."""
        return max((took for began, took in self.visits if began >= since), default=float("inf"))

    def __str__(self) -> str:
        cut = ", ".join(
            f"{len(lived)} {kind} after {max(lived):.1f} s at most" for kind, lived in self.cut.items() if lived
        )
        return f"{len(self.visits)} visits, {len(self.failed)} failed; cut: {cut}"


def application(instance_path: str, config: Mapping[str, object]) -> "WSGIApplication":
    """Make what is besieged: it answers with as many bytes as the path says, in one piece or, below /s/, in many."""

    def answer(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        *_, kind, size = ("/" + environ["PATH_INFO"]).rsplit("/", 2)
        length = int(size or 5)
        environ["wsgi.input"].read()
        start("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(length))])
        return _pieces(length) if kind == "s" else [bytes(length)]

    return answer


def _pieces(length: int) -> Iterator[bytes]:
    for begin in range(0, length, 1 << 18):
        yield bytes(min(1 << 18, length - begin))


def run(folder: Path, siege: Siege) -> Seen:
    """Besiege `tenantry serve` in a process of its own, and return what a visitor saw meanwhile."""
    places.fill(folder, 2, f"{__name__}:{application.__name__}")
    with children.tenantry(folder, **siege.waits) as server:
        load.warm(server.port, [places.host(0), places.host(1)])
        seen = Seen()
        with _besieged(server.port, siege, seen) as begun:
            _visit(server.port, seen, begun, siege.deadline + siege.more)
    return seen


def _visit(port: int, seen: Seen, begun: float, seconds: float) -> None:
    """Come again and again, on a new connection each time."""
    while (now := time.monotonic()) < begun + seconds:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        try:
            connection.request("GET", "/", headers={"Host": places.host(1)})
            response = connection.getresponse()
            if response.status != 200 or len(response.read()) != 5:
                seen.failed.append(f"{response.status} after {now - begun:.1f} s")
        except (OSError, http.client.HTTPException) as error:
            seen.failed.append(f"{error!r} after {now - begun:.1f} s")
        finally:
            connection.close()
        seen.visits.append((now - begun, time.monotonic() - now))
        threading.Event().wait(0.05)


@contextmanager
def _besieged(port: int, siege: Siege, seen: Seen) -> Iterator[float]:
    """Besiege for the length of a block; give the moment at which all are there."""
    ready, stop = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_crowd(port, siege, seen, (ready, stop))), name="siege")
    thread.start()
    try:
        assert ready.wait(PATIENCE), "the besiegers did not come"
        yield time.monotonic()
    finally:
        stop.set()
        thread.join(PATIENCE)


Client = Callable[[int, Siege, int], Coroutine[Any, Any, float | None]]


async def _crowd(port: int, siege: Siege, seen: Seen, signs: tuple[threading.Event, threading.Event]) -> None:
    ready, stop = signs
    kinds: tuple[tuple[str, Client, int, float], ...] = (
        ("headers", _trickle_header, siege.headers, siege.wait("header_wait")),
        ("bodies", _trickle_body, siege.bodies, siege.wait("body_wait")),
        ("takers", _take_little, siege.takers, siege.wait("send_wait")),
    )
    tasks = []
    for kind, client, count, wait in kinds:
        lived = seen.cut.setdefault(kind, [])
        tasks += [asyncio.create_task(_again(seen, (kind, client, wait, lived), port, siege, n)) for n in range(count)]
    await asyncio.sleep(0)
    ready.set()
    while not stop.is_set():
        await asyncio.sleep(0.05)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _again(
    seen: Seen, what: tuple[str, Client, float, list[float]], port: int, siege: Siege, number: int
) -> None:
    """Be one client, and come back whenever it is cut."""
    kind, client, wait, lived = what
    while True:
        seconds = await client(port, siege, number)
        if seconds is None:
            continue
        lived.append(seconds)
        if seconds > wait + SLACK:
            seen.overdue.append(f"{kind}: {seconds:.1f} s")


async def _connected(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    try:
        while True:
            with suppress(OSError):
                await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
                return sock
            await asyncio.sleep(0.05)
    except BaseException:  # the siege is over
        sock.close()
        raise


async def _trickle(port: int, siege: Siege, first: bytes, letter: bytes) -> float:
    """Send the beginning of a request and then a byte now and then, until the server has had enough of it."""
    begun = time.monotonic()
    sock = await _connected(port)
    try:
        await asyncio.get_running_loop().sock_sendall(sock, first)
        while True:
            with suppress(BlockingIOError):
                sock.recv(4096)  # an answer or an end, either is a cut
                return time.monotonic() - begun
            await asyncio.sleep(siege.pace)
            sock.send(letter)
    except OSError:
        return time.monotonic() - begun
    finally:
        sock.close()


async def _trickle_header(port: int, siege: Siege, number: int) -> float:
    await asyncio.sleep(number / 1000)
    # Some say whom they are for, some have not come that far; some send nothing at all for a while.
    first = (b"GET / HTTP/1.1\r\nHost: " + places.host(0).encode() + b"\r\nX-", b"GET /", b"G")[number % 3]
    return await _trickle(port, siege, first, b"a" if number % 3 else b"A")


async def _trickle_body(port: int, siege: Siege, number: int) -> float:
    head = f"POST / HTTP/1.1\r\nHost: {places.host(0)}\r\n"
    how = f"Content-Length: {8 << 20}\r\n\r\n" if number % 2 else f"Transfer-Encoding: chunked\r\n\r\n{8 << 20:x}\r\n"
    return await _trickle(port, siege, (head + how).encode(), b"x")


async def _take_little(port: int, siege: Siege, number: int) -> float | None:
    """Ask for much and take a byte of it now and then, until the server has had enough of it; None if it is not given.

    Its time begins with the answer: before, it waits for its turn, as one of many of one tenant.
    """
    sock = await _connected(port)
    try:
        loop, path = asyncio.get_running_loop(), f"/{'s/' if number % 2 else ''}{siege.size}"
        await loop.sock_sendall(sock, f"GET {path} HTTP/1.1\r\nHost: {places.host(0)}\r\n\r\n".encode())
        if b" 200 " not in await loop.sock_recv(sock, 15):
            return None
        begun = time.monotonic()
        with suppress(OSError):
            while not _reset(sock):
                await asyncio.sleep(siege.pace)
                with suppress(BlockingIOError):
                    sock.recv(1)
        return time.monotonic() - begun
    except OSError:
        return None
    finally:
        sock.close()


def _reset(sock: socket.socket) -> bool:
    """Tell whether the server has reset the connection, of which much may still wait to be read."""
    if sys.platform != "linux":
        return False
    return int(struct.unpack_from("B", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8))[0]) == _CLOSED
