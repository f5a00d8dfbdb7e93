"""What an application may hand to the server, or keep of it, reaches nobody but its own visitor."""

import logging
import threading
from array import array
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

import pytest

from tenantry.server import Parked, crowd
from tests.servers import Environ, Start, serving, text, until

PLAIN = [("Content-Type", "text/plain")]


def test_a_write_that_comes_late_or_from_elsewhere_is_in_nobodys_answer() -> None:
    """The callable of start_response ends with its own response, and is that of its own thread."""
    kept: list[Any] = []
    failed: list[BaseException] = []
    begun, told = threading.Event(), threading.Event()

    def late(when: threading.Event) -> None:
        assert when.wait(10)
        try:
            kept[0](b"INJECTED")
        except RuntimeError as error:
            failed.append(error)
        told.set()

    def application(environ: Environ, start: Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/evil":
            kept.append(start("200 OK", PLAIN))
            return iter([b"evil", b"done"])
        start("200 OK", PLAIN)
        return stream()

    def stream() -> Iterable[bytes]:
        yield b"good"
        begun.set()
        assert told.wait(10)
        if len(failed) == 1:  # once more, from the very thread on which it was made
            late(begun)
        yield b"end"

    with serving(application, threads=1) as site:
        client = site.client()
        assert client.ask("/evil").answer()[2] == b"evildone"
        thread = threading.Thread(target=late, args=[begun])
        thread.start()
        assert client.ask("/good").answer()[2] == b"goodend"
        thread.join()
    assert len(failed) == 2


def test_an_item_that_lies_about_its_length_sends_no_byte_past_it() -> None:
    """What is sent is bytes, whatever the object says of itself."""

    class Liar(bytes):
        def __len__(self) -> int:
            return 2

    bodies: dict[str, Any] = {"/array": memoryview(array("I", [1, 2, 3])), "/liar": Liar(b"a long text")}

    def application(environ: Environ, start: Start) -> Iterable[bytes]:
        start("200 OK", [*PLAIN, ("Content-Length", "3")])
        return [bodies[environ["PATH_INFO"]]]

    with serving(application) as site:
        for path in bodies:
            client = site.ask(path).ask("/liar")
            status, headers = client.head()
            assert (status, headers["content-length"]) == (200, "3")
            assert len(client.take(3)) == 3
            assert client.closed()


def test_a_header_whose_class_lies_is_a_failure() -> None:
    """A name that says another thing each time it is asked could frame the body twice."""

    class Liar(str):
        __slots__ = ()

        def lower(self) -> str:
            return "x-own"

    def application(_: Environ, start: Start) -> Iterable[bytes]:
        start("200 OK", [(Liar("Transfer-Encoding"), "chunked"), ("Content-Length", "2")])
        return [b"ok"]

    with serving(application) as site:
        assert site.ask("/").answer()[0] == 500


def test_a_header_that_cannot_be_sent_is_named_and_its_value_is_not(caplog: pytest.LogCaptureFixture) -> None:
    """A cookie is a secret, and the log is no place for it."""

    def application(_: Environ, start: Start) -> Iterable[bytes]:
        start("200 OK", [("Set-Cookie", "session=TOPSECRET"), ("X-File", "it\u2019s"), ("X-Own", "TOPSECRET")])
        return [b"ok"]

    with serving(application) as site:
        assert site.ask("/").answer()[0] == 500
    told = "\n".join(logging.Formatter().format(record) for record in caplog.records)
    assert "'X-File'" in told
    assert "TOPSECRET" not in told


@pytest.mark.parametrize("early", [True, False])
def test_an_application_cannot_have_its_request_run_again(*, early: bool) -> None:
    """What unwinds a run is the server's own; raised by anybody else it is a failure."""
    runs: list[str] = []

    def application(_: Environ, start: Start) -> Iterable[bytes]:
        runs.append("run")
        if early:
            raise Parked(_done())
        start("200 OK", PLAIN)
        return failing()

    def failing() -> Iterable[bytes]:
        yield b"begun"
        raise Parked(_done())

    with serving(application) as site:
        client = site.ask("/")
        assert client.head()[0] == (500 if early else 200)
        client.closed()
    assert runs == ["run"]


def _done() -> "Future[None]":
    future: Future[None] = Future()
    future.set_result(None)
    return future


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, ValueError])
def test_a_file_that_ends_the_process_when_it_is_closed_does_not(kind: type[BaseException]) -> None:
    """The loop that serves everybody outlives whatever an application's object raises on it."""

    class Evil:
        def __init__(self, data: bytes) -> None:
            self.data = data

        def read(self, size: int = -1) -> bytes:
            taken, self.data = self.data[:size], self.data[size:]
            return taken

        def close(self) -> None:
            raise kind("now")

    def application(environ: Environ, start: Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/":
            return text(start, "hello")
        start("200 OK", [*PLAIN, ("Content-Length", str(40 << 20))])
        return environ["wsgi.file_wrapper"](Evil(bytes(40 << 20)))  # type: ignore[no-any-return]

    with serving(application) as site:
        client = site.ask("/evil")
        assert client.head()[0] == 200
        client.close()
        until(lambda: len(site.server._listeners[0].active_channels) == 0)
        assert site.get("/") == b"hello"


def test_those_who_only_knock_do_not_send_those_away_who_have_just_come() -> None:
    """At the limit of connections nobody leaves for another one in its first second."""
    with serving(lambda _, start: text(start, "hello"), connections=12) as site:
        slow = [site.client().send(b"POST / HTTP/1.1\r\nHost: acme\r\nContent-Length: 9\r\n\r\n") for _ in range(10)]
        until(lambda: len(site.server._listeners[0].active_channels) == 10)
        honest = site.client()
        until(lambda: len(site.server._listeners[0].active_channels) == 11)
        for _ in range(20):
            site.client()
        assert honest.ask("/").answer()[2] == b"hello"
        for client in slow:
            client.close()


def test_bodies_that_would_fill_the_disk_together_are_refused_the_largest_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stranger with many connections gets no more room for what never ends."""
    monkeypatch.setattr(crowd, "_BODIES", 100_000)
    with serving(lambda _, start: text(start, "hello"), admit=lambda *_: 1 << 20) as site:
        clients = [site.client() for _ in range(4)]
        for number, client in enumerate(clients):
            client.send(
                b"POST / HTTP/1.1\r\nHost: acme\r\nContent-Length: 90000\r\n\r\n" + b"x" * (20_000 * (number + 1))
            )
        assert clients[3].head()[0] == 503
        assert clients[2].head()[0] == 503
        clients[0].send(b"x" * 70_000)
        assert clients[0].answer()[2] == b"hello"
        clients[1].send(b"x" * 50_000)
        assert clients[1].answer()[2] == b"hello"
