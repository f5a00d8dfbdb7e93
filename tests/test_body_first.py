"""The first item of a body is made before the server is given it: what fails there is a page, what streams streams."""

import io
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from waitress.buffers import ReadOnlyFileBasedBuffer

from tests.doors import Street, tenant
from tests.gateways import DOMAIN, Gate, Runs, answering
from tests.servers import Client, serving
from tests.sites import begin, environ_of, eventually, warm

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

TEXT = [("Content-Type", "text/plain")]
HOST = f"acme.{DOMAIN}"


class Row:
    """A gateway to applications that run what they are given, and how many leases are held."""

    def __init__(self, app: "WSGIApplication") -> None:
        self.street = Street(tenant("acme"), factory=Runs(lambda _: app))
        warm(self.street.pool, tenant("acme"))  # type: ignore[arg-type]
        self.gateway = Gate(self.street).gateway

    @property
    def leases(self) -> int:
        self.street.pool.verify()
        return int(repr(self.street.pool).rpartition(", ")[2].split()[0])

    def end(self) -> None:
        """Wait for the last lease and dispose of everything."""
        eventually(lambda: self.leases == 0)
        self.street.pool.close()


def row(answer: Any) -> Row:
    return Row(answering(answer)("acme"))


def test_the_first_chunk_of_a_stream_is_sent_before_the_second_is_made() -> None:
    made = threading.Event()

    def chunks(_: Any) -> Iterator[bytes]:
        yield b"first"
        assert made.wait(10)
        yield b"second"

    street = row(chunks)
    with serving(street.gateway) as site:
        client = site.ask("/", HOST)
        assert client.head()[1]["transfer-encoding"] == "chunked"
        assert client.until(b"\r\n") + client.until(b"\r\n") == b"5first"
        assert street.leases == 1
        made.set()
        assert client.until(b"0\r\n\r\n") == b"6\r\nsecond\r\n"
        street.end()


def test_a_stream_that_fails_at_once_is_a_page_and_one_that_fails_later_is_cut() -> None:
    def chunks(environ: "WSGIEnvironment") -> Iterator[bytes]:
        if environ["PATH_INFO"] == "/later":
            yield b"first"
        raise LookupError("a secret")

    street = row(chunks)
    with serving(street.gateway) as site:
        client = site.ask("/at-once", HOST)
        status, headers, body = client.answer()
        assert (status, headers["content-type"]) == (500, "text/html; charset=utf-8")
        assert b"a secret" not in body
        client.ask("/later", HOST)
        assert client.head()[0] == 200
        assert client.until(b"\r\n") + client.until(b"\r\n") == b"5first"
        assert client.closed()
        street.end()


@pytest.mark.parametrize("path", ["/empty", "/nothing", "/one"])
def test_a_head_and_an_empty_stream_are_answered(path: str) -> None:
    def chunks(environ: "WSGIEnvironment") -> Iterator[bytes]:
        if environ["PATH_INFO"] != "/empty":
            yield b"" if environ["PATH_INFO"] == "/nothing" else b"one"

    street = row(chunks)
    with serving(street.gateway) as site:
        client = site.ask(path, HOST, method="HEAD")
        assert client.head()[0] == 200
        client.ask(path, HOST)
        assert client.answer()[2] == (b"one" if path == "/one" else b"")
        street.end()


def test_an_application_may_start_its_response_with_its_first_chunk_and_fail_before_it() -> None:
    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterator[bytes]:
        if environ["PATH_INFO"] == "/fails":
            raise LookupError("a secret")
        start_response("202 Accepted", TEXT)
        yield b"late"

    street = Row(app)
    with serving(street.gateway) as site:
        client = site.ask("/fails", HOST)
        assert client.answer()[0] == 500
        assert client.ask("/", HOST).answer()[::2] == (202, b"late")
        street.end()


def test_what_was_written_early_goes_first_and_is_cut_when_the_body_fails() -> None:
    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        start_response("200 OK", TEXT)(b"early ")

        def chunks() -> Iterator[bytes]:
            if environ["PATH_INFO"] == "/fails":
                raise LookupError("a secret")
            yield b"late"

        return chunks()

    street = Row(app)
    with serving(street.gateway) as site:
        client = site.ask("/", HOST)
        assert client.answer()[2] == b"early late"
        client.ask("/fails", HOST)
        assert client.head()[0] == 200
        assert client.until(b"\r\n") + client.until(b"\r\n") == b"6early "
        assert client.closed()
        street.end()


def test_a_body_of_one_item_has_a_length() -> None:
    class One:
        def __init__(self) -> None:
            self._left = [b"hello"]

        def __iter__(self) -> Iterator[bytes]:
            return self

        def __next__(self) -> bytes:
            if not self._left:
                raise StopIteration
            return self._left.pop()

        def __len__(self) -> int:
            return 1

    street = row(lambda _: One())
    with serving(street.gateway) as site:
        assert site.ask("/", HOST).answer()[1]["content-length"] == "5"
        street.end()


def test_a_client_that_hangs_up_ends_the_lease_of_a_stream() -> None:
    begun = threading.Event()

    def chunks(_: Any) -> Iterator[bytes]:
        begun.set()
        while True:
            yield b"x" * 65536

    street = row(chunks)
    with serving(street.gateway) as site:
        client: Client = site.ask("/", HOST)
        assert begun.wait(10)
        client.close()
        street.end()


def test_a_file_is_not_read_before_the_server_reads_it() -> None:
    class Read(ReadOnlyFileBasedBuffer):
        def __next__(self) -> bytes:
            raise AssertionError("read")

    street = row(lambda environ: environ["wsgi.file_wrapper"](io.BytesIO(b"a whole file")))
    answer = begin(street.gateway, environ_of(HOST) | {"wsgi.file_wrapper": Read})
    assert type(answer.body) is Read
    answer.body.close()
    street.end()


def test_a_file_wrapper_that_need_not_be_closed_ends_its_lease_when_it_is() -> None:
    class Open:
        def __init__(self, file: io.BytesIO, _: int = 0) -> None:
            self.file = file

        def __iter__(self) -> Iterator[bytes]:
            return iter(self.file)

    street = row(lambda environ: environ["wsgi.file_wrapper"](io.BytesIO(b"a whole file")))
    answer = begin(street.gateway, environ_of(HOST) | {"wsgi.file_wrapper": Open})
    assert type(answer.body) is Open
    assert street.leases == 0
    assert answer.read() == "a whole file"
    street.end()


def test_the_first_item_is_given_once_and_the_end_is_the_end() -> None:
    street = row(lambda _: iter([b"", b"one", b""]))
    answer = begin(street.gateway, environ_of(HOST))
    assert list(answer.body) == [b"", b"one", b""]
    assert list(answer.body) == []
    answer.body.close()
    empty = begin(street.gateway, environ_of(HOST, "/again"))
    empty.body.close()
    street.end()
