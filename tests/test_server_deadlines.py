"""Whoever takes too long is cut, and nobody else is."""

import time
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from time import monotonic

import pytest

from tenantry.server import crowd as crowds
from tenantry.server.channel import Channel
from tenantry.server.deadlines import PIECE, Deadlines
from tests import servers
from tests.servers import PATIENCE, Client, Environ, Site, Start, Town, hello, serving, text, until

LARGE = 20 << 20


town = servers.town


def look(site: Site, seconds: float) -> None:
    """Have the server look at its clients as if so much time had passed, with the waits that are its defaults."""
    deadlines = Deadlines(header=10, body=30, send=30, idle=30)

    def at_all() -> None:
        for channel in site.channels():
            deadlines.look(channel, monotonic() + seconds)

    site.on_loop(at_all)


def told(site: Site, what: Callable[[Channel], object]) -> None:
    """Wait until the server has noticed something of its one client."""
    until(lambda: bool(known := site.channels()) and all(map(what, known)))


# Headers.


def test_a_header_that_does_not_come_to_its_end_is_answered_408() -> None:
    """Its time began with the connection, and bytes that trickle in do not prolong it."""
    with serving(hello) as site:
        client = site.client()
        until(lambda: bool(site.channels()))
        site.channels()[0].since -= 5  # as if it had come so long ago
        client.send(b"GET / HTTP/1.1\r\n")
        told(site, lambda channel: channel.begun())
        look(site, 4)
        client.send(b"Host: acme\r\nX-A: ")
        told(site, lambda channel: channel.request and len(channel.request.header_plus) > 30)
        look(site, 4)
        assert not site.channels()[0].requests
        look(site, 6)
        assert client.answer()[0] == 408
        client.send(b"\r\n\r\nGET / HTTP/1.1\r\nHost: acme\r\n\r\n")
        assert client.closed()


def test_who_connects_and_says_nothing_is_closed_without_a_word() -> None:
    """There is nobody to answer."""
    with serving(hello) as site:
        client = site.client()
        until(lambda: bool(site.channels()))
        look(site, 9)
        assert site.channels()
        look(site, 11)
        assert client.closed()


def test_a_connection_may_be_idle_for_a_while_and_a_later_header_has_time_of_its_own() -> None:
    """Between requests the longer wait holds, which a stray line end does not prolong; then a header's own."""
    with serving(hello) as site:
        client = site.ask("/")
        assert client.answer()[0] == 200
        client.send(b"\r\n")
        told(site, lambda channel: channel.request)
        look(site, 29)
        site.channels()[0].since -= 25  # as if idle for so long
        client.send(b"GET / HTTP")
        told(site, lambda channel: channel.begun())
        look(site, 9)
        client.send(b"/1.1\r\nHost: acme\r\n\r\n")
        assert client.answer()[0] == 200
        told(site, lambda channel: not channel.requests)
        look(site, 31)
        assert client.closed()


def test_the_server_looks_by_itself() -> None:
    """With short waits, clients are cut without anybody else doing anything."""
    with serving(hello, header_wait=0.1, keep_alive=0.1) as site:
        begun, silent, idle = site.client().send(b"G"), site.client(), site.ask("/")
        assert begun.answer()[0] == 408
        assert silent.closed()
        assert idle.answer()[0] == 200
        assert idle.closed()


@pytest.mark.parametrize("step", [-1e8, 1e8])
def test_a_clock_that_steps_cuts_nobody_and_keeps_nobody(step: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the clock that cannot be set counts."""
    with serving(hello, header_wait=0.5, keep_alive=PATIENCE) as site:
        idle, begun = site.ask("/"), site.client().send(b"G")
        assert idle.answer()[0] == 200
        now = time.time
        monkeypatch.setattr(time, "time", lambda: now() + step)
        assert begun.answer()[0] == 408
        assert idle.ask("/").answer()[0] == 200


# Bodies.


@pytest.mark.parametrize("how", [f"Content-Length: {1 << 20}", "Transfer-Encoding: chunked"])
def test_a_body_has_to_move_on_by_64_kib_in_each_wait(how: str) -> None:
    """A few bytes now and then are no progress; 64 KiB are, as often as they come."""
    with serving(hello, admit=lambda _headers, _target: 1 << 20) as site:
        client = site.ask("/", more=f"{how}\r\n", method="POST").send(b"100000\r\n" if "chunked" in how else b"")
        client.send(bytes(100))
        told(site, lambda channel: channel.request and channel.request.body_bytes_received >= 100)
        look(site, 29)
        client.send(bytes(PIECE))
        told(site, lambda channel: channel.request and channel.request.body_bytes_received >= PIECE + 100)
        look(site, 29)
        client.send(bytes(100))
        told(site, lambda channel: channel.request and channel.request.body_bytes_received >= PIECE + 200)
        look(site, 58)
        assert not site.channels()[0].requests
        look(site, 60)
        assert client.answer()[0] == 408
        assert client.closed()


def test_nobody_is_cut_while_the_application_takes_its_time(town: Town) -> None:
    """What runs or waits is not the client's to hurry."""
    with serving(town, threads=2) as site:
        clients = [site.ask("/hold"), site.ask("/hold"), site.ask("/park", "other")]
        site.load(running=1, waiting=2)
        look(site, 10_000)
        town.release.set()
        town.future.set_result(None)
        assert [client.answer()[0] for client in clients] == [200] * 3


# Answers.


def large(environ: Environ, start: Start) -> Iterable[bytes]:
    """Answer with 20 MB: in one piece, in many, or as a file; and with little elsewhere."""
    path = environ["PATH_INFO"]
    if path == "/":
        return text(start, "hello")
    start("200 OK", [("Content-Type", "application/octet-stream")])
    if path == "/file":
        return environ["wsgi.file_wrapper"](BytesIO(bytes(LARGE)))  # type: ignore[no-any-return]
    return [bytes(LARGE)] if path == "/list" else (bytes(1 << 20) for _ in range(LARGE >> 20))


def taker(site: Site, path: str) -> Client:
    """Ask for much, with little room for it to come."""
    return site.client(4096).ask(path)


@pytest.mark.parametrize("path", ["/list", "/stream", "/file"])
def test_who_does_not_read_a_large_answer_holds_no_worker_and_is_cut(path: str) -> None:
    """20 MB are made at once, whatever the client does, and after half a minute it is let go."""
    with serving(large, threads=1) as site:
        stuck = taker(site, path)
        until(lambda: any(channel.total_outbufs_len > LARGE // 2 for channel in site.channels()))
        site.load()
        assert site.get("/") == b"hello"
        look(site, 0)
        assert len(stuck.sock.recv(2000)) > 0
        look(site, 29)
        assert any(channel.total_outbufs_len for channel in site.channels())
        look(site, 31)
        until(lambda: not any(channel.total_outbufs_len for channel in site.channels()))
        with pytest.raises(ConnectionResetError):
            stuck.until(b"never")


def test_who_reads_slowly_but_steadily_is_left_alone() -> None:
    """What counts is what the client has confirmed, not what the system has room for."""
    with serving(large, threads=1) as site:
        slow = taker(site, "/list")
        until(lambda: any(channel.total_outbufs_len > LARGE // 2 for channel in site.channels()))
        look(site, 0)
        for turn in range(1, 5):
            slow.take(4 * PIECE)
            channel = site.channels()[0]
            before = channel.taken

            def moved(turn: int = turn, channel: Channel = channel, before: int = before) -> bool:
                look(site, 29 * turn)
                return channel.taken > before

            until(moved)
        assert site.channels()[0].total_outbufs_len
        slow.close()


def test_a_worker_past_the_high_watermark_is_freed_when_its_client_is_cut() -> None:
    """A stream without end is held up by its client, and ends with it."""
    ended: list[bool] = []

    def endless(environ: Environ, start: Start) -> Iterator[bytes]:
        start("200 OK", [])
        try:
            while True:
                yield bytes(1 << 22)
        finally:
            ended.append(True)

    with serving(endless, threads=1) as site:
        taker(site, "/")
        until(lambda: any(channel.total_outbufs_len > crowds.AMPLE for channel in site.channels()))
        site.load(running=1)
        look(site, 0)
        look(site, 31)
        site.load()
    assert ended == [True]


def test_the_next_request_does_not_run_before_the_last_answer_is_taken() -> None:
    """Else a worker would be held up by what somebody else's answer has left in the buffers."""
    runs: list[str] = []

    def application(environ: Environ, start: Start) -> Iterable[bytes]:
        runs.append(environ["PATH_INFO"])
        return large(environ, start)

    with serving(application, threads=1) as site:
        asked = b"".join(b"GET %b HTTP/1.1\r\nHost: acme\r\n\r\n" % path for path in (b"/file", b"/"))
        client = site.client(1 << 20).send(asked)
        until(lambda: any(channel.held for channel in site.channels()))
        site.load()
        assert runs == ["/file"]
        length = int(client.head()[1]["content-length"])
        while length:
            length -= len(client.take(min(length, 1 << 20)))
        assert client.answer()[2] == b"hello"


def test_buffers_are_short_while_too_much_waits_in_them() -> None:
    """What all clients together leave unread has a bound, past which workers wait for them."""
    with serving(large, threads=2) as site:
        adj = site.server._listeners[0].adj
        assert adj.outbuf_high_watermark == crowds.AMPLE
        stuck = taker(site, "/file")
        until(lambda: any(channel.total_outbufs_len > LARGE // 2 for channel in site.channels()))
        crowd = site.server._listeners[0].crowd
        site.channels()[0].total_outbufs_len += crowds._SPOOL
        site.on_loop(lambda: crowd.look(monotonic() + 2))
        assert adj.outbuf_high_watermark < crowds.AMPLE
        site.channels()[0].total_outbufs_len -= crowds._SPOOL
        site.on_loop(lambda: crowd.look(monotonic() + 4))
        assert adj.outbuf_high_watermark == crowds.AMPLE
        stuck.close()


# Closing.


def test_a_client_is_listened_to_for_two_seconds_after_its_last_answer() -> None:
    """Who goes on sending for longer has had the time to read."""
    with serving(hello) as site:
        client = site.client().send(b"BAD\r\n\r\n")
        assert client.answer()[0] == 400
        told(site, lambda channel: channel.lingering)
        look(site, 1)
        client.send(b"more")
        assert site.channels()
        look(site, 3)
        until(lambda: not site.channels())


def test_a_stop_does_not_wait_for_who_has_got_the_last_answer() -> None:
    """Lingering ends at a stop as soon as the client has confirmed all that was sent."""
    with serving(hello) as site:
        client = site.client().send(b"BAD\r\n\r\n")
        assert client.answer()[0] == 400
        told(site, lambda channel: channel.lingering)
