"""The gateway: what it answers by itself, and how it finds out who would take a large body."""

import json
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest

from tenantry.errors import Shortage, Unavailable
from tenantry.tenant import Status
from tests.doors import SECRET, Echoes, Street, shut, tenant
from tests.gateways import MOST, Gate, Runs, answering
from tests.sites import warm
from tests.wsgi import Answer, call

JSON = {"HTTP_ACCEPT": "application/json"}
POST = {"REQUEST_METHOD": "POST"}
COOKIE = f"maintenance_acme={SECRET}"


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Acme, who is known by an old name and a domain too, and globex."""
    street = Street(tenant("acme"), tenant("globex"), factory=Echoes())
    street.puts(replace(tenant("acme"), domain="shop.example.org"), "older", "shop.example.org")
    warm(street.pool, tenant("acme"), tenant("globex"))  # type: ignore[arg-type]
    yield Gate(street)
    street.pool.verify()
    assert "0 leases" in repr(street.pool)
    street.pool.close()


def ask(gate: Gate, host: str = "acme.example.com", path: str = "/", **more: Any) -> Answer:
    return call(gate.gateway, host, path, REMOTE_ADDR="127.0.0.1", REQUEST_URI=path, **more)


# What a tenant has too little of


@pytest.mark.parametrize(
    ("short", "status", "title"),
    [
        (Shortage.RATE, 429, "Too Many Requests"),
        (Shortage.ROOM, 507, "Insufficient Storage"),
        (Shortage.BODY, 413, "Content Too Large"),
    ],
)
def test_a_share_that_is_used_up_has_a_status_of_its_own(short: Shortage, status: int, title: str) -> None:
    def meter(_: Any) -> Any:
        error = Unavailable("It is used up.", hint="So wait.", retry_after=7)
        error.short = short
        raise error

    street = Street(tenant("acme"), factory=Runs(answering(meter)))
    warm(street.pool, tenant("acme"))  # type: ignore[arg-type]
    gate = Gate(street)
    answer = ask(gate)
    assert answer.status == status
    assert answer.headers.get("Retry-After") == ("7" if short is Shortage.RATE else None)
    assert "It is used up." in answer.text
    problem = json.loads(ask(gate, **JSON).body)
    assert (problem["status"], problem["title"], problem["detail"]) == (status, title, "It is used up. So wait.")
    assert "request_id" not in problem
    assert "0 leases" in repr(street.pool)
    street.pool.close()


# Methods


@pytest.mark.parametrize("host", ["acme.example.com", "example.com", "nobody.example.com", "127.0.0.1"])
def test_a_trace_is_repeated_to_nobody(gate: Gate, host: str) -> None:
    for _ in range(2):
        answer = ask(gate, host, REQUEST_METHOD="TRACE", HTTP_COOKIE="session=secret")
        assert answer.status == 405
        assert "TRACE" not in answer.headers["Allow"]
        assert "secret" not in answer.text
        ask(gate, host)
    assert ask(gate, "a_b", REQUEST_METHOD="TRACE").status == 400


def test_the_first_request_starts_the_housekeeping(gate: Gate) -> None:
    ask(gate)
    assert gate.keeper.running


# Bodies that are too large to be read for nobody


class Reads(BaseException):
    """How a server takes a request back whose body it will read."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit


def unread(limit: int) -> None:
    raise Reads(limit)


def upload(gate: Gate, host: str = "acme.example.com", path: str = "/", **more: Any) -> Answer | int:
    """Post what is too large; tell what was answered at once, or up to which size it is read."""
    built = gate.street.factory.calls.total()
    try:
        return ask(gate, host, path, **POST, **more, **{"tenantry.unread": unread})
    except Reads as reads:
        return reads.limit
    finally:
        assert gate.street.factory.calls.total() == built


def test_a_body_is_read_for_a_tenant_that_takes_it(gate: Gate) -> None:
    """As large as it may be for that one, at any of its addresses; and nothing is built for it."""
    assert upload(gate) == MOST
    gate.limits["acme"] = 4711
    for host, path in (("acme.example.com", "/x"), ("example.com", "/t/acme/x"), ("shop.example.org", "/")):
        assert upload(gate, host, path) == 4711
        ask(gate, host, path)
        assert upload(gate, host, path) == 4711
    assert upload(gate, "globex.example.com") == MOST


@pytest.mark.parametrize(
    ("host", "path", "status"),
    [
        ("nobody.example.com", "/", 404),
        ("elsewhere.org", "/", 404),
        ("a.b.example.com", "/", 404),
        ("a_b", "/", 400),
        ("example.com", "/t/nobody/", 404),
        ("example.com", "/t/a_b/", 404),
        ("example.com", "/x", 404),
        ("example.com", "/", 405),
        ("127.0.0.1", "/-/healthz", 405),
        ("older.example.com", "/x", 308),
        ("example.com", "/t/older/x", 308),
    ],
)
def test_a_body_is_not_read_for_nobody(gate: Gate, host: str, path: str, status: int) -> None:
    for _ in range(2):
        answer = upload(gate, host, path)
        assert isinstance(answer, Answer)
        assert answer.status == status
        ask(gate, host, path)


def test_a_body_is_not_read_for_a_path_that_is_spelled_in_two_ways(gate: Gate) -> None:
    more: dict[str, Any] = {**POST, "tenantry.unread": unread}
    for raw in ("/t/%61cme/", "//t/acme/", "/t/globex/../acme/"):
        assert call(gate.gateway, "example.com", "/t/acme/", REQUEST_URI=raw, **more).status == 400


def test_a_body_is_not_read_for_who_is_suspended_or_in_maintenance(gate: Gate) -> None:
    """But for the owner, who is let past the notice."""
    gate.street.puts(tenant("globex", Status.SUSPENDED))
    gate.street.puts(shut(tenant("acme"), "We move."))
    refused, notice = upload(gate, "globex.example.com"), upload(gate)
    assert isinstance(refused, Answer)
    assert isinstance(notice, Answer)
    assert (refused.status, notice.status, notice.headers["Retry-After"]) == (403, 503, "120")
    assert "We move." in notice.text
    assert upload(gate, HTTP_COOKIE=COOKIE) == MOST
    assert isinstance(upload(gate, HTTP_COOKIE="maintenance_acme=wrong"), Answer)


def test_a_request_that_found_no_room_is_refused_before_its_body_is_read(gate: Gate) -> None:
    answer = upload(gate, **{"tenantry.refused": "Too many requests are waiting."})
    assert isinstance(answer, Answer)
    assert answer.status == 503


def test_a_server_that_comes_back_from_reading_gets_no_application_without_its_body(gate: Gate) -> None:
    more: dict[str, Any] = {**POST, "tenantry.unread": lambda _: None}
    assert ask(gate, **more).status == 500


# What memory knows


def test_memory_knows_how_large_a_body_may_be(gate: Gate) -> None:
    gate.limits["acme"] = 4711

    def admit(host: str, target: str = "/") -> int | None:
        return gate.gateway.admit({"HOST": host}, target)

    for host, target in (("acme.example.com", "/"), ("ACME.example.com.:80", "/x"), ("shop.example.org", "/")):
        assert admit(host, target) == 4711
    assert admit("example.com", "/t/acme/x?y") == admit("example.com", "/%74/%61cme") == 4711
    assert admit("globex.example.com") == MOST
    assert admit("example.com") == admit("example.com", "/x") == 1 << 16
    for host, target in (("nobody.example.com", "/"), ("a_b", "/"), ("", "/"), ("example.com", "/t/nobody/")):
        assert admit(host, target) is None
    assert gate.gateway.admit({}, "/") is None


# Whose failure it is


class Parked(BaseException):
    """How a server takes a request off its thread."""


def test_what_a_server_does_to_take_a_request_back_is_nobodys_failure(gate: Gate) -> None:
    def park(_: Future[Any]) -> None:
        raise Parked

    gate.street.pool.retire(["acme"])
    more: dict[str, Any] = {"tenantry.park": park}
    with pytest.raises(Parked):
        ask(gate, **more)


def test_an_interrupt_on_the_main_thread_is_a_persons() -> None:
    def interrupt(_: Any) -> Any:
        raise KeyboardInterrupt

    street = Street(tenant("acme"), factory=Runs(answering(interrupt)))
    warm(street.pool, tenant("acme"))  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        ask(Gate(street))
    assert "0 leases" in repr(street.pool)
    street.pool.close()
