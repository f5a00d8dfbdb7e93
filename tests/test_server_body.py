"""How much of a body is read is decided before any of it is, and by whoever would take it."""

import threading
from collections.abc import Iterable, Mapping

import pytest

from tenantry.server.asks import UNDECIDED
from tests.servers import PATIENCE, Client, Environ, Site, Start, serving, text, until

LARGE = 3 << 16
BODY = bytes(range(256)) * (LARGE // 256)


class Desk:
    """An application that, like the gateway, finds out who is there before a large body is read.

    Host `nobody` is nobody; anybody else takes `limit` bytes. `known` is what memory knows.
    """

    def __init__(self, limit: int = 1 << 20, known: int | None = None) -> None:
        self.limit = limit
        self.known = known
        self.asked: list[str] = []
        self.runs: list[tuple[str, bool, int]] = []
        self.go = threading.Event()
        self.go.set()

    def admit(self, headers: Mapping[str, str], target: str) -> int | None:
        self.asked.append(target)
        return self.known

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        unread = environ.get("tenantry.unread")
        body = environ["wsgi.input"].read()
        self.runs.append((environ["PATH_INFO"], unread is not None, len(body)))
        if "tenantry.refused" in environ:
            return text(start, "no room", "503 Service Unavailable")
        if environ["HTTP_HOST"] == "nobody":
            return text(start, "nobody here", "404 Not Found")
        if environ["PATH_INFO"] == "/hold" or unread:
            assert self.go.wait(PATIENCE)
        if unread:
            unread(self.limit)
        assert int(environ.get("CONTENT_LENGTH") or 0) == len(body)
        return text(start, f"{len(body)} bytes")


def post(site: Site, host: str = "acme", length: int = LARGE, more: str = "", path: str = "/") -> Client:
    """Begin a request with a declared body."""
    return site.ask(path, host, f"Content-Length: {length}\r\n{more}", "POST")


def chunked(site: Site, host: str = "acme", more: str = "") -> Client:
    return site.ask("/", host, f"Transfer-Encoding: chunked\r\n{more}", "POST")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def received(site: Site) -> int:
    """Count the bytes of bodies that the server keeps of requests that it is reading."""
    channels = site.channels()
    partial = [channel.request for channel in channels if channel.request is not None]
    running = [request for channel in channels for request in channel.requests]
    return sum(request.body_bytes_received for request in (*partial, *running))


# Somebody who is known.


def test_a_body_over_the_tenants_limit_is_refused_before_it_is_read() -> None:
    """413 is the answer to the header alone, and the application is not asked."""
    desk = Desk(known=1000)
    with serving(desk, admit=desk.admit) as site:
        assert post(site, length=1001).answer()[0] == 413
        assert post(site, length=1000).send(bytes(1000)).answer()[2] == b"1000 bytes"
    assert desk.runs == [("/", False, 1000)]


def test_a_chunked_body_is_counted_as_it_comes() -> None:
    """The chunk that goes past the limit is refused at its size; up to it the body is taken, framing not counted."""
    desk = Desk(known=1000)
    with serving(desk, admit=desk.admit) as site:
        client = chunked(site).send(chunk(bytes(600)) + b"191\r\n")
        assert client.answer()[0] == 413
        assert client.closed()
        client = chunked(site).send(chunk(bytes(1)) * 1000 + b"0\r\n\r\n")
        assert client.answer()[2] == b"1000 bytes"
        assert chunked(site).send(b"FFFFFFFFFFFFFFFF\r\n").answer()[0] == 413


@pytest.mark.parametrize("known", [None, 1 << 40])
def test_nobody_takes_more_than_the_platform_does(known: int | None) -> None:
    """The platform's own cap holds whoever is there, and is told without asking who that is."""
    desk = Desk(limit=1 << 40, known=known)
    with serving(desk, admit=desk.admit, max_body=LARGE) as site:
        assert post(site, length=LARGE + 1).answer()[0] == 413
        assert post(site).send(BODY).answer()[2] == f"{LARGE} bytes".encode()
        client = chunked(site).send(chunk(BODY))
        if known is None:
            until(lambda: (("/", True, 0)) in desk.runs)
        assert client.send(chunk(b"x")).answer()[0] == 413


def test_who_asks_first_is_told_to_go_on_only_when_the_body_may_come() -> None:
    """100 Continue goes to a body that is taken, and to none that is not."""
    desk = Desk(known=1000)
    expect = "Expect: 100-continue\r\n"
    with serving(desk, admit=desk.admit) as site:
        client = post(site, length=5, more=expect)
        assert client.head()[0] == 100
        assert client.send(b"hello").answer()[2] == b"5 bytes"
        assert post(site, length=1001, more=expect).head()[0] == 413
        client = chunked(site, more=expect)
        assert client.head()[0] == 100
        assert client.send(chunk(b"hello") + b"0\r\n\r\n").answer()[2] == b"5 bytes"
        old = site.client().send(
            b"POST / HTTP/1.0\r\nHost: acme\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello"
        )
        assert old.answer()[0] == 200


def test_a_word_to_go_on_waits_for_the_answers_before_it() -> None:
    """Behind a request that still runs nothing is said that could be taken for its answer."""
    desk = Desk(known=1000)
    desk.go.clear()
    with serving(desk, admit=desk.admit) as site:
        client = site.ask("/hold").ask("/", more="Content-Length: 5\r\nExpect: 100-continue\r\n", method="POST")
        site.load(running=1)
        desk.go.set()
        assert client.answer()[2] == b"0 bytes"
        assert client.head()[0] == 100
        assert client.send(b"hello").answer()[2] == b"5 bytes"


# Somebody whom memory does not know.


def test_a_small_body_is_read_without_asking_who_would_take_it() -> None:
    """Up to 64 KiB a request is run once, as a whole."""
    desk = Desk()
    with serving(desk, admit=desk.admit) as site:
        assert post(site, length=UNDECIDED).send(BODY[:UNDECIDED]).answer()[2] == f"{UNDECIDED} bytes".encode()
        client = chunked(site).send(chunk(BODY[:UNDECIDED]) + b"0\r\n\r\n")
        assert client.answer()[2] == f"{UNDECIDED} bytes".encode()
    assert desk.runs == [("/", False, UNDECIDED)] * 2


def test_an_unknown_host_is_answered_before_its_body_is_read() -> None:
    """What has come of the body is not kept, the answer is the last one, and what follows is not parsed."""
    desk = Desk()
    with serving(desk, admit=desk.admit) as site:
        for begin in (post(site, "nobody"), chunked(site, "nobody").send(b"30000\r\n")):
            client = begin.send(BODY).ask("/smuggled")
            status, headers, body = client.answer()
            assert (status, headers["connection"], body) == (404, "close", b"nobody here")
            assert client.closed()
        assert received(site) == 0
    assert desk.runs == [("/", True, 0)] * 2


def test_an_unknown_host_that_asks_first_gets_its_answer_and_is_not_told_to_go_on() -> None:
    """No 100 comes before the 404, however small the body would be."""
    desk = Desk()
    with serving(desk, admit=desk.admit) as site:
        client = post(site, "nobody", 5, "Expect: 100-continue\r\n")
        assert client.head()[0] == 404
        client.take(len(b"nobody here"))
        assert client.closed()


@pytest.mark.parametrize("expect", [True, False])
@pytest.mark.parametrize("declared", [True, False])
def test_a_body_is_read_once_it_is_known_who_takes_it(*, declared: bool, expect: bool) -> None:
    """The request is run without its body, then from the start with all of it, and the connection goes on."""
    desk = Desk()
    with serving(desk, admit=desk.admit) as site:
        more = "Expect: 100-continue\r\n" if expect else ""
        client = post(site, more=more) if declared else chunked(site, more=more)
        if expect:
            assert client.head()[0] == 100
        client.send(BODY if declared else chunk(BODY) + b"0\r\n\r\n").ask("/next")
        assert client.answer()[2] == f"{LARGE} bytes".encode()
        assert client.answer()[2] == b"0 bytes"
    assert desk.runs == [("/", True, 0), ("/", False, LARGE), ("/next", False, 0)]


def test_nothing_is_read_while_it_is_being_decided() -> None:
    """Neither the body nor what follows it: both wait outside until somebody takes them."""
    desk = Desk()
    desk.go.clear()
    with serving(desk, admit=desk.admit) as site:
        client = post(site).send(BODY).ask("/next")
        until(lambda: len(desk.runs) == 1)
        site.on_loop(lambda: None)
        assert received(site) == 0
        assert desk.asked == ["/"]
        desk.go.set()
        assert [client.answer()[2] for _ in range(2)] == [f"{LARGE} bytes".encode(), b"0 bytes"]


def test_what_the_tenant_then_does_not_take_is_refused() -> None:
    """A declared body over its limit gets 413 at once, a chunked one when it goes past it."""
    desk = Desk(limit=LARGE - 1)
    with serving(desk, admit=desk.admit) as site:
        client = post(site)
        assert client.answer()[0] == 413
        assert client.closed()
        client = chunked(site).send(chunk(BODY[:-1])).send(chunk(b"x"))
        assert client.answer()[0] == 413
        assert client.closed()
    assert desk.runs == [("/", True, 0)] * 2


def test_a_pipelined_request_is_decided_upon_when_its_turn_comes() -> None:
    """A large body behind another request waits for the answer to that, and is then asked about and read."""
    desk = Desk()
    desk.go.clear()
    with serving(desk, admit=desk.admit) as site:
        head = f"POST /large HTTP/1.1\r\nHost: acme\r\nContent-Length: {LARGE}\r\n\r\n".encode()
        client = site.ask("/hold").send(head + BODY[:100])
        site.load(running=1)
        desk.go.set()
        assert client.answer()[2] == b"0 bytes"
        assert client.send(BODY[100:]).answer()[2] == f"{LARGE} bytes".encode()
    assert desk.runs == [("/hold", False, 0), ("/large", True, 0), ("/large", False, LARGE)]


def test_who_hangs_up_while_it_is_being_decided_leaves_nothing() -> None:
    """The connection is gone, no worker is held, and the request is not run again."""
    desk = Desk()
    desk.go.clear()
    with serving(desk, admit=desk.admit) as site:
        client = post(site).send(BODY[:1000])
        until(lambda: len(desk.runs) == 1)
        client.close()
        desk.go.set()
        until(lambda: not site.server._listeners[0].active_channels)
        site.load()
    assert desk.runs == [("/", True, 0)]


def test_a_stop_while_it_is_being_decided_still_reads_and_answers() -> None:
    """What was begun when the server stops is finished, its body included."""
    desk = Desk()
    desk.go.clear()
    with serving(desk, admit=desk.admit) as site:
        client = post(site).send(BODY[:1000])
        until(lambda: len(desk.runs) == 1)
        site.server.stop()
        site.deaf()
        desk.go.set()
        client.send(BODY[1000:])
        status, headers, body = client.answer()
        assert (status, headers["connection"], body) == (200, "close", f"{LARGE} bytes".encode())
        assert client.closed()


def test_a_request_that_finds_no_room_to_be_decided_upon_is_refused_with_its_body_unread() -> None:
    """The lanes count it like any other: once without its body, and once with it."""
    desk = Desk()
    desk.go.clear()
    with serving(desk, admit=desk.admit, threads=2, lane_size=1) as site:
        first, second = post(site), post(site)
        site.load(running=1, waiting=1)
        third = post(site).send(BODY)
        assert third.answer()[0] == 503
        assert third.closed()
        desk.go.set()
        for client in (first, second):
            assert client.send(BODY).answer()[2] == f"{LARGE} bytes".encode()


def test_a_question_that_fails_is_as_good_as_not_known() -> None:
    """Where memory cannot be asked, the application decides."""
    desk = Desk()

    def admit(_headers: Mapping[str, str], _target: str) -> int:
        raise ValueError("no")

    with serving(desk, admit=admit) as site:
        assert post(site).send(BODY).answer()[2] == f"{LARGE} bytes".encode()
        assert post(site, "nobody").answer()[0] == 404


def test_a_body_cannot_be_asked_for_once_the_answer_has_begun() -> None:
    """That would be a second answer; the request ends where it stands."""

    def application(environ: Environ, start: Start) -> Iterable[bytes]:
        write = start("200 OK", [("Content-Length", "10")])
        write(b"begun")
        environ["tenantry.unread"](1 << 20)
        return [b""]

    with serving(application) as site:
        client = post(site)
        assert client.head()[0] == 200
        assert client.take(5) == b"begun"
        assert client.closed()


def test_a_body_in_pieces_of_any_size_arrives_whole() -> None:
    """Also where it outgrows memory on the way."""
    desk = Desk(known=1 << 20)
    with serving(desk, admit=desk.admit) as site:
        client = post(site, length=700_000)
        sent = 0
        for size in (1, 10, 8191, 8192, 8193, 100_000, 500_000):
            client.send(bytes(size))
            sent += size
        assert client.send(bytes(700_000 - sent)).answer()[2] == b"700000 bytes"
