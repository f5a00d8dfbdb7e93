"""Over real connections: no tenant holds all threads, what waits or is parked is answered, in time or with a 503."""

import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any

import pytest

from tests import servers
from tests.servers import PATIENCE, Environ, Start, Town, hello, serving, text, until

town = servers.town


# Lanes, over real connections.


def test_a_hanging_tenant_does_not_delay_another_and_its_surplus_is_answered_later(town: Town) -> None:
    """Another tenant is answered while the first hangs on all it may have; then the first's waiting ones are."""
    with serving(town, threads=4) as site:
        hanging = [site.ask("/hold", "loud") for _ in range(6)]
        site.load(running=2, waiting=4)
        assert site.get("/", "good") == b"answer to /"
        town.release.set()
        assert [client.answer()[2] for client in hanging] == [b"answer to /hold"] * 6


def test_twenty_tenants_that_hang_slow_nobody(town: Town) -> None:
    """Forty requests of twenty tenants hang on a server of eight threads, and another tenant is answered."""
    with serving(town, threads=8) as site:
        hanging = [site.ask("/hold", f"loud-{number % 20}") for number in range(40)]
        site.load(running=40)
        assert [site.get("/", "good") for _ in range(20)] == [b"answer to /"] * 20
        town.release.set()
        assert [client.answer()[2] for client in hanging] == [b"answer to /hold"] * 40


def test_with_no_room_to_wait_a_request_is_refused_at_once(town: Town) -> None:
    """The application hears that the lane is full while all workers of the tenant hang."""
    with serving(town, threads=2, lane_size=1) as site:
        held = [site.ask("/hold") for _ in range(2)]
        site.load(running=1, waiting=1)
        status, _, body = site.ask("/").answer()
        assert (status, body) == (503, b"Too many requests are waiting for their turn.")
        town.release.set()
        assert [client.answer()[0] for client in held] == [200, 200]


def test_a_request_that_has_waited_for_too_long_is_refused(town: Town) -> None:
    """Past its time the waiting request is answered 503, while the running one goes on."""
    with serving(town, threads=2, lane_wait=0.05) as site:
        held = site.ask("/hold")
        site.load(running=1)
        status, _, body = site.ask("/").answer()
        assert (status, body) == (503, b"This request has waited for its turn for too long.")
        town.release.set()
        assert held.answer()[0] == 200


def test_a_lane_that_cannot_be_told_kills_nothing() -> None:
    """Where the question for the tenant fails or answers nonsense, requests share one lane."""

    def lane(headers: Mapping[str, str], target: str) -> Any:
        return [] if target == "/list" else 1 / 0

    with serving(hello, lane=lane) as site:
        assert site.get("/") == b"hello"
        assert site.get("/list") == b"hello"


def test_the_lane_is_told_from_the_header_and_the_raw_target() -> None:
    """The question comes with upper-case header names and the target as it was sent."""
    asked: list[tuple[str, str]] = []

    def lane(headers: Mapping[str, str], target: str) -> str:
        asked.append((headers["HOST"], target))
        return "all"

    with serving(hello, lane=lane) as site:
        site.get("/t/%61cme/?q=%2f")
    assert asked == [("acme", "/t/%61cme/?q=%2f")]


# Parking.


def test_a_parked_request_frees_its_thread_and_starts_again_with_its_body(town: Town) -> None:
    """Two parked requests hold no thread of a server that has one, and read their bodies from the start again."""
    with serving(town, threads=1) as site:
        parked = [
            site.ask("/park", more="Content-Length: 7\r\n", method="POST").send(b"entry %d" % number)
            for number in range(2)
        ]
        site.load(waiting=2)
        assert site.get("/") == b"answer to /"
        town.future.set_result(None)
        assert [client.answer()[2] for client in parked] == [b"answer to /park"] * 2
        assert sorted(town.bodies) == [b"", *[b"entry 0"] * 2, *[b"entry 1"] * 2]
        assert parked[0].ask("/again").answer()[0] == 200


def test_a_request_parked_past_its_deadline_is_refused(town: Town) -> None:
    """The time to wait counts from the arrival; what the future brings later changes nothing."""
    with serving(town, lane_wait=0.05) as site:
        client = site.ask("/park")
        assert client.answer()[0] == 503
        town.future.set_result(None)
        assert client.ask("/").answer()[2] == b"answer to /"
        assert town.runs == ["/park", "/park", "/"]


def test_without_room_a_request_may_not_park(town: Town) -> None:
    """Parked requests take the places of waiting ones; where none is left, parking is not offered."""
    with serving(town, lane_size=1) as site:
        parked = site.ask("/park", "one")
        site.load(waiting=1)
        assert site.ask("/park", "two").answer()[2] == b"no room"
        town.future.set_result(None)
        assert parked.answer()[0] == 200


def test_only_a_response_that_has_not_begun_can_be_parked_and_only_on_a_future() -> None:
    """Parking wrongly is an error of the application and harms nobody else."""

    def application(environ: Environ, start: Start) -> Iterator[bytes]:
        if environ["PATH_INFO"] == "/wrong":
            environ["tenantry.park"]("tomorrow")
        start("200 OK", [("Content-Type", "text/plain")])
        yield b"begun"
        if environ["PATH_INFO"] == "/late":
            environ["tenantry.park"](Future())

    with serving(application, threads=1) as site:
        assert site.ask("/wrong").answer()[0] == 500
        late = site.ask("/late")
        assert late.head()[0] == 200
        assert late.until(b"begun\r\n") == b"5\r\n"
        assert late.closed()
        assert site.get("/") == b"begun"


@pytest.mark.parametrize("path", ["/park", "/wait"])
def test_a_client_that_hangs_up_while_its_request_waits_or_is_parked_is_dropped(town: Town, path: str) -> None:
    """The application never hears of it again, and its place is free at once."""
    with serving(town, threads=2) as site:
        held = site.ask("/hold", "acme")
        site.load(running=1)
        leaving = site.ask(path, "acme" if path == "/wait" else "other")
        site.load(running=1, waiting=1)
        leaving.close()
        site.load(running=1)
        town.future.set_result(None)
        town.release.set()
        assert held.answer()[0] == 200
        assert site.get("/after") == b"answer to /after"
        assert town.runs == ["/hold", *(["/park"] if path == "/park" else []), "/after"]


def test_a_client_that_hung_up_before_its_request_was_parked_is_dropped() -> None:
    """A hang-up that comes while the application runs is noticed when it parks."""
    runs: list[str] = []
    gone = threading.Event()
    future: Future[Any] = Future()

    def application(environ: Environ, start: Start) -> Iterable[bytes]:
        runs.append(environ["PATH_INFO"])
        if environ["PATH_INFO"] == "/park":
            assert gone.wait(PATIENCE)
            environ["tenantry.park"](future)
        return text(start, "hello")

    with serving(application) as site:
        client = site.ask("/park")
        site.load(running=1)
        client.close()
        until(lambda: all(channel.masked for channel in site.server._listeners[0].active_channels.values()))
        gone.set()
        site.load()
        future.set_result(None)
        assert site.get("/") == b"hello"
    assert runs == ["/park", "/"]
