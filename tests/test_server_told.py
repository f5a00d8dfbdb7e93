"""Each request that has ended is told of once: what was asked, how it ended, and how much of the answer was sent."""

import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import pytest

from tenantry.log import Mark, Served
from tenantry.log import mark as whose
from tests.servers import Client, Environ, Site, Start, Town, serving, text, until

LARGE = 8 << 20


class Street:
    """An application with many ways to end a request."""

    def __init__(self) -> None:
        self.future: Future[Any] = Future()

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/park" and not self.future.done():
            environ["tenantry.park"](self.future)
        environ["tenantry.mark"] = Mark("acme", "uid-of-acme")
        environ["tenantry.request_id"] = "number-1"
        if "tenantry.unread" in environ:
            environ["tenantry.unread"](1 << 20)
        if path == "/fail":
            raise ValueError("no")
        if path == "/break":
            start("200 OK", [("Content-Length", "10")])
            return self._break()
        if path == "/stream":
            start("202 Accepted", [])
            return iter((b"hello", b", ", b"world"))
        if path == "/file":
            start("200 OK", [])
            return environ["wsgi.file_wrapper"](BytesIO(b"hello"))  # type: ignore[no-any-return]
        if path == "/none":
            start("304 Not Modified", [])
            return [b"ignored"]
        return text(start, bytes(LARGE) if path == "/large" else "hello")

    def _break(self) -> Iterator[bytes]:
        yield b"hello"
        raise ValueError("broken off")


@contextmanager
def telling(application: Any, **changes: Any) -> Iterator[tuple[Site, list[Served]]]:
    told: list[Served] = []
    with serving(application, access=told.append, **changes) as site:
        yield site, told


def facts(served: Served) -> tuple[str, str, int, int, bool]:
    assert served.client == "127.0.0.1"
    assert 0 <= served.seconds < 60
    return served.method, served.target, served.status, served.sent, served.cut


@pytest.mark.parametrize(
    ("path", "method", "status", "sent", "cut"),
    [
        ("/?a=%20", "GET", 200, 5, False),
        ("/", "HEAD", 200, 0, False),
        ("/stream", "POST", 202, 12, False),
        ("/file", "GET", 200, 5, False),
        ("/none", "GET", 304, 0, False),
        ("/fail", "GET", 500, 46, False),
        ("/break", "GET", 200, 5, True),
    ],
)
def test_a_request_that_was_answered_is_told_of_once(path: str, method: str, status: int, sent: int, cut: bool) -> None:
    """With its target as it came, its status, the bytes of its body that were sent, and the environ it ran in."""
    with telling(Street()) as (site, told):
        client = site.ask(path, method=method, more="Connection: close\r\n")
        client.closed()
        until(lambda: bool(told))
    assert [facts(served) for served in told] == [(method, path, status, sent, cut)]
    assert told[0].environ is not None
    assert told[0].environ["tenantry.mark"] == Mark("acme", "uid-of-acme")


def test_a_request_that_was_refused_has_no_environ() -> None:
    """What could not be read, came too slowly or was too large is told of with as much as is known of it."""
    with telling(Street(), header_wait=0.1, max_body=10) as (site, told):
        assert site.client().send(b"BAD\r\n\r\n").answer()[0] == 400
        assert site.client().send(b"GET /x HTTP/1.1\r\n\r\n").answer()[0] == 400
        assert site.client().send(b"GET / HT").answer()[0] == 408
        assert site.ask("/", more="Content-Length: 11\r\n", method="POST").answer()[0] == 413
        until(lambda: len(told) == 4)
    assert [facts(served)[:3] for served in told] == [
        ("", "", 400),
        ("GET", "/x", 400),
        ("", "", 408),
        ("POST", "/", 413),
    ]
    assert [served.environ for served in told] == [None] * 4
    assert all(served.sent > 10 for served in told)


def test_a_request_that_runs_several_times_is_told_of_once() -> None:
    """Parking, and reading the body after all, are no ends."""
    street = Street()
    with telling(street) as (site, told):
        parked = site.ask("/park")
        site.load(waiting=1)
        assert site.ask("/", more="Content-Length: 100000\r\n", method="POST").send(bytes(100_000)).answer()[0] == 200
        street.future.set_result(None)
        assert parked.answer()[0] == 200
        until(lambda: len(told) == 2)
    assert sorted(served.target for served in told) == ["/", "/park"]


def test_a_client_that_goes_away_midway_is_told_of_with_what_it_has_had() -> None:
    """What still waited to be sent was not sent, and the answer was cut."""
    with telling(Street()) as (site, told):
        client = site.client(1 << 18).ask("/large")
        client.head()
        client.take(1 << 20)
        assert told == []
        client.close()
        until(lambda: bool(told))
    assert len(told) == 1
    method, target, status, sent, cut = facts(told[0])
    assert (method, target, status, cut) == ("GET", "/large", 200, True)
    assert 1 << 20 <= sent < LARGE


def test_an_answer_is_told_of_when_its_client_has_taken_it() -> None:
    """Not when the application has made it."""
    with telling(Street()) as (site, told):
        client = site.client(1 << 18).ask("/large")
        client.head()
        client.take(1 << 20)
        site.load()
        assert told == []
        client.take(LARGE - (1 << 20))
        until(lambda: bool(told))
    assert facts(told[0]) == ("GET", "/large", 200, LARGE, False)


def test_who_hangs_up_before_there_was_an_answer_is_told_of() -> None:
    """Waiting, parked, running or in the middle of a body: the number for it is never on the wire."""
    town = Town()
    with telling(town, threads=2) as (site, told):

        def leave(client: Client, count: int) -> None:
            client.close()
            until(lambda: len(told) == count)

        held = site.ask("/hold")
        site.load(running=1)
        waiting = site.ask("/wait")
        site.load(running=1, waiting=1)
        leave(waiting, 1)
        parked = site.ask("/park", "other")
        site.load(running=1, waiting=1)
        leave(parked, 2)
        half = site.ask("/half", "half", "Content-Length: 5\r\n", "POST").send(b"123")
        until(lambda: any(channel.begun() for channel in site.server._listeners[0].active_channels.values()))
        leave(half, 3)
        town.release.set()
        assert held.answer()[0] == 200
        until(lambda: len(told) == 4)
    assert [(served.target, served.status, served.cut) for served in told] == [
        ("/wait", 499, True),
        ("/park", 499, True),
        ("/half", 499, True),
        ("/hold", 200, False),
    ]


def test_a_listener_that_fails_costs_no_request(caplog: pytest.LogCaptureFixture) -> None:
    """What it raises is logged, and the connection goes on."""

    def access(served: Served) -> None:
        raise ValueError("no")

    with serving(Street(), access=access) as site, caplog.at_level(logging.ERROR, "tenantry.server"):
        client = site.client()
        assert [client.ask("/").answer()[2] for _ in range(2)] == [b"hello"] * 2
        until(lambda: len(caplog.records) == 2)
    assert "could not be told of" in caplog.text


def test_a_failure_midway_is_logged_in_the_name_of_its_tenant(caplog: pytest.LogCaptureFixture) -> None:
    """The event carries the mark of the tenant whose application has failed."""
    marks: list[Mark] = []

    class Noting(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            marks.append(whose.get())
            return True

    noting = Noting()
    logger = logging.getLogger("tenantry.server")
    logger.addFilter(noting)
    try:
        with serving(Street()) as site:
            site.ask("/break").closed()
            until(lambda: bool(marks))
    finally:
        logger.removeFilter(noting)
    assert marks == [Mark("acme", "uid-of-acme")]
    assert "broken off" in caplog.text
