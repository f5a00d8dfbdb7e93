"""Whoever sends holds the connection open: its descriptor is the next client's as soon as it is closed."""

import socket
import struct
import threading
from collections.abc import Iterable
from typing import Any

from tests.servers import Environ, Start, serving, until

RESET = struct.pack("ii", 1, 0)


class Held:
    """A socket on whose way into the system a thread is held up; it notices being closed meanwhile."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sending = False
        self.met = threading.Event()
        self.hung_up = threading.Event()
        self.closed_within = False

    def send(self, data: bytes) -> int:
        if not self.met.is_set():
            self._sending = True
            self.met.set()
            assert self.hung_up.wait(10)
            threading.Event().wait(0.3)  # for which the loop learns of it, and would close
            self._sending = False
        return self._sock.send(data)

    def close(self) -> None:
        self.closed_within |= self._sending
        self._sock.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def test_no_connection_is_closed_while_a_worker_is_on_its_way_to_send_on_it() -> None:
    """Else what one client is sent would go to the next one, who has the descriptor by then."""
    held: list[Held] = []

    def stream(environ: Environ, start: Start) -> Iterable[bytes]:
        channel: Any = site.server._listeners[0].serving.channel
        held.append(Held(channel.socket))
        channel.socket = held[0]
        start("200 OK", [("Content-Type", "text/plain")])
        for _ in range(100):
            yield b"mine"

    with serving(stream) as site:
        client = site.ask("/")
        until(lambda: bool(held) and held[0].met.is_set())
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.close()
        held[0].hung_up.set()
        until(lambda: held[0].fileno() < 0)
    assert not held[0].closed_within
