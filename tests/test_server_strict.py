"""What is not plainly one request is refused, nothing behind it is read, and no response is more than one."""

import logging
import random
from collections.abc import Iterable, Iterator
from io import BytesIO

import pytest
from waitress.adjustments import Adjustments
from waitress.buffers import OverflowableBuffer

from tenantry.server.parser import MAX_FIELDS, Chunks, Request
from tests.servers import PATIENCE, Environ, Start, hello, serving, text, until

# What is refused, and what then.


@pytest.mark.parametrize(
    ("data", "status", "says"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "more than one Host"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "needs one Host header"),
        (b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "has to be a path"),
        (b"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "not allowed there"),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 501, "no tunnels"),
        (b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "no tunnels"),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400, "HTTP/1.1 or 1.0"),
        (b"GET /\r\n", 400, "HTTP/1.1 or 1.0"),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400, "CRLF"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400, "no field"),
        (b"\r\n\r\n", 400, "blank lines"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "two ways"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n", 400, "no number"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "chunked"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * (MAX_FIELDS + 1) + b"\r\n", 431, "larger"),
    ],
)
def test_a_refusal_says_why_closes_the_connection_and_is_kept_by_nobody(data: bytes, status: int, says: str) -> None:
    """The client hears a sentence, and nothing that it sent behind it is answered, or asked of an application."""
    asked = []

    def application(environ: Environ, start: Start) -> Iterable[bytes]:
        asked.append(environ["PATH_INFO"])
        return text(start, "hello")

    with serving(application) as site:
        client = site.client().send(data + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        answered, headers, body = client.answer()
        assert answered == status
        assert says in body.decode()
        assert headers["connection"] == "close"
        assert headers["cache-control"] == "no-store"
        assert client.closed()
    assert asked == []


def test_who_is_refused_while_sending_gets_the_answer_and_no_reset() -> None:
    """The server goes on taking what comes, and throws it away, until the client hangs up or has sent a megabyte."""
    with serving(hello) as site:
        client = site.client().send(b"POST / HTTP/1.1\r\nHost: acme\r\nContent-Length: 9999999\r\n\r\n")
        for _ in range(8):
            client.send(bytes(1 << 16))
        assert client.answer()[0] == 413
        client.send(bytes(1 << 16))
        assert client.more() == b""
        with pytest.raises(OSError, match=r"reset|Broken"):
            client.send(bytes(8 << 20))
        until(lambda: not site.server._listeners[0].active_channels)


def test_a_refusal_comes_after_the_answers_to_what_was_asked_before() -> None:
    """Legal requests on the same connection are answered first, and what follows the bad one never."""
    with serving(hello) as site:
        client = site.ask("/").ask("/").send(b"BAD\r\n\r\n").ask("/")
        assert [client.answer()[0] for _ in range(3)] == [200, 200, 400]
        assert client.closed()


# What is read.


def read(data: bytes, **adjusted: int) -> Request:
    request = Request(Adjustments(**adjusted))
    assert request.received(data) == len(data)
    return request


def test_a_header_means_the_same_however_it_is_cut_into_pieces() -> None:
    """Whole or in pieces at any place, a request reads the same, and so does what is wrong with one."""
    data = b"\r\nGET /a%20b?c=%64 HTTP/1.1\r\nHost: acme\r\nCookie: a=1\r\nX-A:\t1 \r\nCookie: b=2\r\nX-A: 2\r\n\r\n"
    for cut in range(len(data)):
        request = Request(Adjustments())
        assert request.received(data[:cut]) == cut
        assert not request.completed
        rest = data[cut:]
        assert request.received(rest + b"GET") == len(rest)
        assert (request.completed, request.error) == (True, None)
        assert (request.command, request.path, request.query, request.version) == ("GET", "/a b", "c=%64", "1.1")
        assert request.headers == {"HOST": "acme", "COOKIE": "a=1; b=2", "X_A": "1, 2"}
    bad = data.replace(b"X-A: 2", b"X-A : 2")
    for cut in range(len(bad)):
        request = Request(Adjustments())
        request.received(bad[:cut])
        if not request.completed:
            request.received(bad[cut:])
        assert request.error is not None


def test_a_name_with_an_underscore_never_stands_for_one_with_a_hyphen() -> None:
    """`X_Forwarded_For` does not reach the application, where it would look like what the proxy in front has said."""
    request = read(b"GET / HTTP/1.1\r\nHost: acme\r\nX-Real-Ip: 1\r\nX_Real_Ip: 2\r\nContent_Length: 5\r\n\r\n")
    assert request.headers == {"HOST": "acme", "X_REAL_IP": "1"}
    assert request.completed


def test_the_cap_of_a_header_counts_each_request_by_itself_also_in_trickles() -> None:
    """What comes before on the same connection is not counted, and the byte past the cap is refused when it comes."""
    with serving(hello, max_header=300) as site:
        client = site.client()
        head = b"GET / HTTP/1.1\r\nHost: acme\r\nX: " + b"x" * 200 + b"\r\n\r\n"
        client.send(head + head[:-2])
        assert client.answer()[0] == 200
        client.send(head[-2:])
        assert client.answer()[0] == 200
        for letter in head[:-4] + b"y" * 100:
            client.send(bytes([letter]))
        assert client.answer()[0] == 431
        assert client.closed()


def test_what_asks_to_close_among_other_wishes_is_understood() -> None:
    """Connection is a list: `close` in it closes."""
    with serving(hello) as site:
        client = site.ask("/", more="Connection: te , Close\r\n")
        assert client.answer()[1]["connection"] == "close"
        assert client.closed()


def test_a_chunked_body_reads_the_same_however_it_is_cut() -> None:
    """Sizes, extensions, trailers and what follows the end are told apart at every cut."""
    data = b'5;a=b\r\nhello\r\n00A;c="d e"\r\n, world!!!\r\n0\r\nX-Sum: 1\r\n\r\n'
    for cut in range(len(data)):
        chunks = Chunks(OverflowableBuffer(1 << 20))
        chunks.allow(15)
        assert chunks.received(data[:cut]) == cut
        assert chunks.received(data[cut:] + b"GET / HTTP/1.1") == len(data) - cut
        assert (chunks.completed, chunks.error) == (True, None)
        assert chunks.getfile().read() == b"hello, world!!!"


def test_a_chunk_that_does_not_fit_is_not_begun() -> None:
    """Nothing of it is kept; with a higher limit the body goes on where it stopped."""
    chunks = Chunks(OverflowableBuffer(1 << 20))
    chunks.allow(9)
    data = b"5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n"
    taken = chunks.received(data)
    assert (data[:taken], chunks.over, len(chunks)) == (b"5\r\nhello\r\n5\r\n", True, 5)
    assert chunks.received(data[taken:]) == 0
    chunks.allow(10)
    assert chunks.received(data[taken:]) == len(data) - taken
    assert (chunks.completed, chunks.getfile().read()) == (True, b"helloworld")


# What applications answer.


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        ("200 OK\x00", []),
        ("200 OK\r\nX: y", []),
        ("100 Continue", []),
        ("101 Switching Protocols", []),
        ("99 Low", []),
        ("2000 High", []),
        ("OK", []),
        ("200 \u20ac", []),
        ("200 OK", [("X-A", "a\r\nSet-Cookie: b=c")]),
        ("200 OK", [("X-A", "a\nb")]),
        ("200 OK", [("X-A", "a\x00b")]),
        ("200 OK", [("X-A\r\nX-B", "a")]),
        ("200 OK", [("X-A: b\r\nX-C", "a")]),
        ("200 OK", [("X A", "a")]),
        ("200 OK", [("X-A:", "a")]),
        ("200 OK", [("", "a")]),
        ("200 OK", [("X-A", "\u20ac")]),
        ("200 OK", [("Content-Length", "-5")]),
        ("200 OK", [("Content-Length", "5, 5")]),
        ("200 OK", [("Transfer-Encoding", "chunked")]),
        ("200 OK", [("Upgrade", "websocket")]),
    ],
)
def test_what_is_no_response_header_never_reaches_the_wire(status: str, headers: list[tuple[str, str]]) -> None:
    """A status or header that could be read as more than one line, or as another response, becomes a 500."""

    def application(environ: Environ, start: Start) -> Iterable[bytes]:
        start(status, [("X-Marker", "there"), *headers])
        return [b"hello"]

    with serving(application) as site:
        client = site.ask("/")
        answered, seen, body = client.answer()
        assert answered == 500
        assert set(seen) == {"content-type", "content-length", "connection", "date", "cache-control"}
        assert b"hello" not in body
        assert client.closed()


def test_what_stands_between_the_server_and_the_next_hop_is_the_servers_to_say() -> None:
    """Trailer and its like are not passed on, and the length is told once, as it was counted."""

    def application(environ: Environ, start: Start) -> Iterable[bytes]:
        start("200 OK", [("Trailer", "X"), ("Proxy-Connection", "close"), ("content-length", " 5 ")])
        return [b"hello"]

    with serving(application) as site:
        client = site.client()
        for _ in range(2):
            _, headers, body = client.ask("/").answer()
            assert set(headers) == {"content-length", "date"}
            assert body == b"hello"


@pytest.mark.parametrize("given", [b"hello, world", b"hell"])
def test_a_wrong_length_costs_the_connection_and_nothing_goes_past_it(given: bytes) -> None:
    """More than was promised is cut off, less ends the connection, and what was asked behind it is not answered."""

    def application(environ: Environ, start: Start) -> Iterable[bytes]:
        start("200 OK", [("Content-Length", "5")])
        return iter([given[:3], given[3:]])

    with serving(application) as site:
        client = site.ask("/").ask("/")
        assert client.head()[0] == 200
        assert client.take(len(given[:5])) == given[:5]
        assert client.closed()


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("kind", ["list", "stream", "file"])
def test_a_response_without_a_body_stays_without_one(status: str, kind: str) -> None:
    """What an application gives to 204 and 304 would be taken for the next answer, and is not sent."""
    file = BytesIO(b"HTTP/1.1 200 OK\r\n\r\n")

    def application(environ: Environ, start: Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/":
            return text(start, "hello")
        start(status, [("Content-Type", "text/plain")])
        if kind == "file":
            return environ["wsgi.file_wrapper"](file)  # type: ignore[no-any-return]
        return [file.getvalue()] if kind == "list" else iter([b"", file.getvalue()])

    with serving(application) as site:
        client = site.ask("/").ask("/next")
        got, headers = client.head()
        assert (got, set(headers)) == (int(status[:3]), {"content-type", "date"})
        assert client.answer()[2] == b"hello"
        if kind == "file":
            until(lambda: file.closed)


@pytest.mark.parametrize("protocol", ["1.1", "1.0"])
@pytest.mark.parametrize("sized", [True, False])
def test_a_body_that_breaks_off_midway_is_cut_and_never_looks_whole(protocol: str, *, sized: bool) -> None:
    """No second header follows, no last chunk; where only the end tells, the connection is reset."""

    def application(environ: Environ, start: Start) -> Iterator[bytes]:
        start("200 OK", [("Content-Length", "10")] if sized else [])
        yield b"hello"
        raise ValueError("no")

    with serving(application) as site:
        client = site.client().send(f"GET / HTTP/{protocol}\r\nHost: acme\r\n\r\n".encode())
        if sized or protocol == "1.1":
            client.closed()
            head, _, body = client.buffer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.")
            assert body == (b"hello" if sized else b"5\r\nhello\r\n")
        else:
            with pytest.raises(ConnectionResetError):
                client.until(b"never")


def test_an_error_after_the_whole_body_costs_nobody_anything() -> None:
    """Closing a body may fail: its client has all of it, and the connection goes on."""

    class Closing:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"hello"])

        def close(self) -> None:
            raise ValueError("no")

    def application(environ: Environ, start: Start) -> Iterable[bytes]:
        start("200 OK", [("Content-Length", "5")])
        return Closing()

    with serving(application) as site:
        client = site.client()
        for _ in range(2):
            assert client.ask("/").answer()[2] == b"hello"


def test_what_fails_before_anything_was_sent_gets_a_500_with_nothing_of_it() -> None:
    """A first piece that cannot be sent leaves nothing of its header behind."""

    def application(environ: Environ, start: Start) -> Iterable[bytes]:
        start("200 OK", [("X-Secret", "1"), ("Content-Length", "5")])
        return iter(["hello"])  # type: ignore[return-value]

    with serving(application) as site:
        status, headers, body = site.ask("/").answer()
        assert (status, "x-secret" in headers, body) == (500, False, b"Something went wrong here. It has been noted.\n")


def test_noise_is_refused_and_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """Random bytes, and legal requests with random bytes in them, raise nothing, and others go on."""
    dice = random.Random(5)
    legal = b"POST /a?b HTTP/1.1\r\nHost: acme\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    with serving(hello, threads=1, connections=1000) as site:
        for _ in range(300):
            data = bytearray(legal if dice.random() < 0.7 else dice.randbytes(80))
            for _ in range(dice.randrange(1, 4)):
                data[dice.randrange(len(data))] = dice.randrange(256)
            client = site.client().send(bytes(data) + b"\r\n\r\n")
            client.sock.settimeout(PATIENCE)
            client.close()
        assert site.get("/") == b"hello"
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
