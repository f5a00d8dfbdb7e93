"""The server answers whole, keeps its limits, and says what stands in its way."""

import socket
import struct
import sys
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from io import BytesIO
from pathlib import Path
from wsgiref.validate import validator

import pytest

from tenantry.errors import Invalid, Unavailable
from tenantry.server import Server
from tests import servers
from tests.servers import (
    ASKS,
    PATIENCE,
    Client,
    Environ,
    Start,
    Town,
    hello,
    open_server,
    options,
    serving,
    text,
    until,
)

town = servers.town


# How answers go out.


def segments(client: Client) -> int:
    """Count the segments with data that have come, as the system counts them (tcpi_data_segs_in)."""
    return int(struct.unpack_from("I", client.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192), 152)[0])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts a connection's segments")
def test_a_response_goes_out_in_one_piece() -> None:
    """Header and body of an answer arrive as one segment, on every request of a connection."""
    with serving(hello) as site:
        client = site.client()
        for number in (1, 2, 3):
            assert client.ask("/").answer()[2] == b"hello"
            assert segments(client) == number


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts a connection's segments")
def test_a_small_file_goes_out_in_one_piece_and_is_closed() -> None:
    """What an application hands to wsgi.file_wrapper leaves with its header, and its file is closed."""
    file = BytesIO(b"body { margin: 0 }")

    def application(environ: Environ, start: Start) -> Iterable[bytes]:
        start("200 OK", [("Content-Type", "text/css")])
        return environ["wsgi.file_wrapper"](file)  # type: ignore[no-any-return]

    with serving(application) as site:
        client = site.ask("/style.css")
        assert client.answer()[2] == b"body { margin: 0 }"
        assert segments(client) == 1
        until(lambda: file.closed)


def test_the_chunks_of_a_stream_arrive_one_by_one() -> None:
    """A chunk is there before the application has made the next one."""
    go = [threading.Event() for _ in range(3)]

    def application(environ: Environ, start: Start) -> Iterator[bytes]:
        start("200 OK", [("Content-Type", "text/event-stream")])
        for number, event in enumerate(go):
            yield b"event %d" % number
            assert event.wait(PATIENCE)

    with serving(application) as site:
        client = site.ask("/")
        assert client.head()[1]["transfer-encoding"] == "chunked"
        for number, event in enumerate(go):
            assert client.until(b"\r\n") == b"7"
            assert client.take(9) == b"event %d\r\n" % number
            event.set()
        assert client.take(5) == b"0\r\n\r\n"


def test_a_connection_stays_open_after_every_answer_whose_end_can_be_told() -> None:
    """Streams, 204, 304, HEAD and empty answers leave the connection to the next request."""
    statuses = {"/none": "204 No Content", "/same": "304 Not Modified"}

    def application(environ: Environ, start: Start) -> Iterable[bytes]:
        start(statuses.get(environ["PATH_INFO"], "200 OK"), [("Content-Type", "text/plain")])
        if environ["PATH_INFO"] == "/stream":
            return iter((b"one", b"two"))
        return [] if environ["PATH_INFO"] in statuses else [b"hello"]

    with serving(application) as site:
        client = site.client()
        assert client.ask("/stream").answer()[2] == b"onetwo"
        assert client.ask("/none").head()[0] == 204
        assert client.ask("/same").head()[0] == 304
        assert client.ask("/", method="HEAD").head()[1]["content-length"] == "5"
        assert client.ask("/stream", method="HEAD").head()[0] == 200
        assert client.ask("/").answer()[2] == b"hello"
        assert client.buffer == b""


def test_a_head_request_gets_no_body_whatever_the_application_gives() -> None:
    """A body or a file that an application gives to HEAD is not sent, and the next answer is where it should be."""

    def application(environ: Environ, start: Start) -> Iterable[bytes]:
        start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
        wrap = environ.get("wsgi.file_wrapper", iter)
        return [b"hello"] if environ["PATH_INFO"] == "/" else wrap(BytesIO(b"hello"))

    with serving(application) as site:
        client = site.client()
        for path in ("/", "/file"):
            status, headers = client.ask(path, method="HEAD").head()
            assert (status, headers["content-length"]) == (200, "5")
            assert client.ask(path).answer()[2] == b"hello"
            assert client.buffer == b""


def test_a_client_of_http_1_0_is_answered_in_its_way() -> None:
    """An old client's connection is closed, unless it asks to keep it and the length is known."""
    with serving(hello) as site:
        client = site.client().send(b"GET / HTTP/1.0\r\nHost: acme\r\n\r\n")
        assert client.answer()[1]["connection"] == "close"
        assert client.closed()
        client = site.client()
        for _ in range(2):
            client.send(b"GET / HTTP/1.0\r\nHost: acme\r\nConnection: keep-alive\r\n\r\n")
            assert client.answer()[1]["connection"] == "keep-alive"
        client.ask("/", more="Connection: close\r\n")
        assert client.answer()[1]["connection"] == "close"
        assert client.closed()


def test_pipelined_requests_are_answered_in_order(town: Town) -> None:
    """Requests that come while one is answered wait for it, and the connection goes on after them."""
    with serving(town) as site:
        client = site.ask("/hold").ask("/second").ask("/third")
        site.load(running=1)
        town.release.set()
        for path in ("/hold", "/second", "/third"):
            assert client.answer()[2].decode() == f"answer to {path}"
        assert client.ask("/fourth").answer()[2] == b"answer to /fourth"


def test_the_environ_is_what_wsgi_asks_for_and_the_server_is_not_named() -> None:
    """The standard library's validator has nothing to say, and no Server header is sent."""

    def application(environ: Environ, start: Start) -> Iterable[bytes]:
        start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "8")])
        return [environ["SERVER_SOFTWARE"].encode()]

    with serving(validator(application)) as site:
        _, headers, body = site.ask("/a?b=c").answer()
        assert body == b"tenantry"
        assert set(headers) == {"content-type", "content-length", "date"}


@pytest.mark.parametrize("trust", [True, False])
def test_forwarding_headers_reach_the_application_only_from_a_trusted_proxy(*, trust: bool) -> None:
    """Without a proxy in front, what a client says about its address is not passed on."""

    def application(environ: Environ, start: Start) -> Iterable[bytes]:
        return text(start, environ.get("HTTP_X_FORWARDED_FOR", "nothing"))

    with serving(application, trust_proxy=trust) as site:
        client = site.ask("/", more="X-Forwarded-For: 192.0.2.7\r\n")
        assert client.answer()[2] == (b"192.0.2.7" if trust else b"nothing")


def test_the_largest_header_and_body_are_let_in_and_no_byte_more() -> None:
    """The caps are what their settings say."""
    with serving(hello, max_body=1000) as site:
        for length, status in ((1000, 200), (1001, 413)):
            client = site.ask("/", more=f"Content-Length: {length}\r\n", method="POST").send(b"x" * length)
            assert client.head()[0] == status
        empty = len(b"GET / HTTP/1.1\r\nHost: acme\r\nX-Long: \r\n\r\n")
        for length, status in ((4096, 200), (4097, 431)):
            assert site.ask("/", more=f"X-Long: {'x' * (length - empty)}\r\n").head()[0] == status


def test_whatever_an_application_raises_costs_only_its_request() -> None:
    """SystemExit, KeyboardInterrupt and plain errors become a 500, and the worker lives on."""

    def application(environ: Environ, start: Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/":
            return text(start, "hello")
        raise {"/exit": SystemExit, "/break": KeyboardInterrupt}.get(environ["PATH_INFO"], ValueError)("no")

    with serving(application, threads=1) as site:
        for path in ("/exit", "/break", "/error", "/exit"):
            assert site.ask(path).answer()[0] == 500
        assert site.get("/") == b"hello"
        site.load()


def test_a_request_that_cannot_be_read_is_answered_while_all_workers_hang(town: Town) -> None:
    """A bad request needs no worker and gets its 400."""
    with serving(town, threads=1) as site:
        site.ask("/hold")
        site.load(running=1)
        client = site.client().send(b"NONSENSE\r\n\r\n")
        assert client.answer()[0] == 400
        assert client.closed()
        town.release.set()


# Sockets and descriptors.


def test_a_port_in_use_is_said_in_one_line() -> None:
    """The error names the port and the host, and what to do."""
    with serving(hello) as site, pytest.raises(Unavailable) as raised:
        open_server(hello, lambda _headers, _target: None, port=site.port)
    assert str(raised.value) == (
        f"Port {site.port} on 127.0.0.1 is already in use. Stop the other server or give --port 0 for a free one."
    )


@pytest.mark.parametrize("host", ["", "no such host", "a..b", "192.0.2.1", "[::1"])
def test_a_host_that_is_not_this_machines_is_invalid(host: str) -> None:
    """What cannot be listened on is told apart from what is in use."""
    if host == "[::1":
        host = "[::1]x"
    with pytest.raises(Invalid):
        Server(hello, options(host=host), ASKS)


def test_port_0_picks_one_free_port_for_all_addresses_of_a_host() -> None:
    """`localhost` may be an IPv4 and an IPv6 address; both answer on the port that the server names."""
    server = Server(hello, options(host="localhost"), ASKS)
    thread = threading.Thread(target=server.run)
    thread.start()
    assert server.port > 0
    hosts = {address[4][0] for address in socket.getaddrinfo("localhost", server.port, type=socket.SOCK_STREAM)}
    for host in hosts:
        client = Client(server.port, str(host))
        assert client.ask("/").answer()[2] == b"hello"
        client.close()
    server.stop()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_an_ipv6_address_can_be_served() -> None:
    """`::1`, with or without brackets, is a host like any other."""
    server = open_server(hello, lambda _headers, _target: None, host="[::1]")
    assert server.host == "::1"
    thread = threading.Thread(target=server.run)
    thread.start()
    client = Client(server.port, "::1")
    assert client.ask("/").answer()[2] == b"hello"
    client.close()
    server.stop()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_inherited_sockets_are_served_and_a_restart_on_them_loses_nobody(tmp_path: Path) -> None:
    """A second server on copies of the listening sockets answers who knocks after the first has gone."""
    first = open_server(hello, ASKS)
    first.close()
    tcp = socket.create_server(("127.0.0.1", first.port))
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(str(tmp_path / "s"))
    unix.listen()
    for _ in range(2):
        with serving(hello, sockets=[tcp.dup(), unix.dup()]) as site:
            assert site.get("/") == b"hello"
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(str(tmp_path / "s"))
                sock.sendall(b"GET / HTTP/1.0\r\nHost: acme\r\n\r\n")
                assert sock.makefile("rb").read().endswith(b"hello")
        assert site.port == tcp.getsockname()[1]
    tcp.close()
    unix.close()


def descriptors() -> int:
    """Count the descriptors that this process holds."""
    return len(list(Path("/dev/fd").iterdir()))


def test_after_run_every_descriptor_and_thread_is_gone(town: Town) -> None:
    """Idle, parked, streaming and half sent connections and spooled bodies leave nothing open, nor does giving up."""
    with serving(hello):
        pass
    before = descriptors()
    for code in (0, 75):
        with serving(town, code=code, drain=0.1 if code else PATIENCE, max_body=4 << 20) as site:
            assert site.ask("/").answer()[0] == 200
            site.client()
            site.ask("/park")
            if code:
                site.ask("/large", more=f"Content-Length: {4 << 20}\r\n", method="POST").send(b"x" * (2 << 20))
            site.load(waiting=1)
            if not code:
                town.future.set_result(None)
                until(lambda: town.runs.count("/park") == 2)
                town.future = Future()
    assert descriptors() == before
    server = open_server(hello, ASKS)
    server.close()
    server.close()
    with pytest.raises(OSError, match="not supported"):
        open_server(hello, lambda _headers, _target: None, [socket.socket(type=socket.SOCK_DGRAM)])
    with pytest.raises(Unavailable), serving(hello) as site:
        open_server(hello, lambda _headers, _target: None, port=site.port)
    assert descriptors() == before
