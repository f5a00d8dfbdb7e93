"""A client may hang up at any moment: what was meant for it reaches nobody, and nobody waits because of it."""

import os
import socket
import struct
import threading
from collections.abc import Callable, Iterable

from tests.servers import Client, Environ, Site, Start, serving, text

PLAIN = [("Content-Type", "text/plain")]
# A moment in which other threads would do what they are not to do.
MOMENT = 0.3


class Slow(socket.socket):
    """A real socket, between whose caller and the system a thread is held up, as the scheduler may do at any time."""

    before: Callable[[], object] = staticmethod(lambda: None)
    after: Callable[[], object] = staticmethod(lambda: None)

    def send(self, data: bytes) -> int:  # type: ignore[override]
        number = self.fileno()  # read by now, as it is when the system is entered
        self.before()
        try:
            return os.write(number, data)
        except BlockingIOError:
            raise
        except OSError:
            self.after()
            raise


def slowed(site: Site) -> Slow:
    """Have the only connection of a server send through a socket that can be held up."""
    (channel,) = site.channels()
    assert channel.socket is not None
    slow = channel.socket = Slow(fileno=channel.socket.detach())
    slow.setblocking(False)
    return slow


def reset(client: Client) -> None:
    """Hang up so that the other side hears of it at once."""
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def test_a_worker_held_up_before_it_sends_does_not_send_to_the_next_client() -> None:
    """The next client gets the descriptor of the one who has hung up; the worker still means the latter."""
    inside, go_on = threading.Event(), threading.Event()
    site: Site

    def hold() -> None:
        inside.set()
        go_on.wait(2 * MOMENT)

    def application(environ: Environ, start: Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/next":
            return text(start, b"yours")
        slowed(site).before = hold
        return text(start, b"not yours")

    with serving(application) as site:
        first = site.ask("/first")
        assert inside.wait(10)
        reset(first)
        next_ones = [site.client() for _ in range(8)]  # one of them has the descriptor if it was given back
        threading.Event().wait(MOMENT)
        go_on.set()
        for client in next_ones * 2:
            assert client.ask("/next").answer()[2] == b"yours"


def test_a_client_that_hangs_up_while_its_stream_breaks_stops_nobody() -> None:
    """The loop finds the client gone while a worker ends the same connection: neither waits for the other."""
    begun, failing, broken = threading.Event(), threading.Event(), threading.Event()
    site: Site

    def hold() -> None:
        failing.set()
        broken.wait(10)
        threading.Event().wait(MOMENT)  # by when the worker has come to the end of the connection

    def application(environ: Environ, start: Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/next":
            return text(start, b"served")
        slowed(site).after = hold
        start("200 OK", PLAIN)
        return stream()

    def stream() -> Iterable[bytes]:
        yield bytes(8 << 20)  # more than the system takes
        begun.set()
        assert failing.wait(10)
        broken.set()
        raise RuntimeError("the stream breaks")

    with serving(application) as site:
        # Without chunks nothing but a reset tells that this was not all.
        client = site.client(room=4096).send(b"GET /stream HTTP/1.0\r\nHost: acme\r\n\r\n")
        assert begun.wait(10)
        for _ in range(2):  # by the second turn of the loop it is the loop that sends
            site.on_loop(lambda: None)
        reset(client)
        assert failing.wait(10)
        assert site.get("/next") == b"served"
