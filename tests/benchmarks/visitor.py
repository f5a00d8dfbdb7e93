"""One visitor who asks now and then, whatever the server is busy with: what most of a platform's visitors are."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

_ANSWERED = b"HTTP/1.1 200 "


class Visitor:
    """A client on one connection that asks every `pause` seconds, or when it is answered if that is later.

    `taken` has the seconds that each request took; one that was not answered with 200 counts as lost.
    """

    def __init__(self, port: int, host: str, pause: float = 0.02) -> None:
        self.taken: list[float] = []
        self.lost = 0
        self._port = port
        self._line = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        self._pause = pause
        self._stop = threading.Event()

    def visit(self, seconds: float) -> "Visitor":
        """Ask for so many seconds."""
        end = time.perf_counter() + seconds
        turn = time.perf_counter()
        with closing(socket.create_connection(("127.0.0.1", self._port), timeout=30)) as sock:
            while time.perf_counter() < end and not self._stop.is_set():
                self._ask(sock)
                turn = max(turn + self._pause, time.perf_counter())
                time.sleep(max(0.0, turn - time.perf_counter()))
        return self

    @contextmanager
    def visiting(self) -> Iterator["Visitor"]:
        """Ask, on a thread of its own, for the time of a `with`."""
        thread = threading.Thread(target=self.visit, args=(600,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join(60)

    def part(self, part: float) -> float:
        """Return the milliseconds within which such a part of the requests was answered."""
        ordered = sorted(self.taken)
        return ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1e3

    def _ask(self, sock: socket.socket) -> None:
        begin = time.perf_counter()
        sock.sendall(self._line)
        seen = b""
        while b"\r\n\r\n" not in seen:
            more = sock.recv(65536)
            assert more, "the server has closed a visitor's connection"
            seen += more
        head, _, body = seen.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        while len(body) < length:
            body += sock.recv(65536)
        self.taken.append(time.perf_counter() - begin)
        self.lost += not seen.startswith(_ANSWERED)
