"""What an application sees of the platform in a request's environ, and what it can break by writing over it."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tenantry import log
from tenantry.fences import Border, fenced
from tenantry.log import Mark, Served
from tests.doors import Street, tenant
from tests.gateways import DOMAIN, Gate, Runs
from tests.servers import Site, serving, until
from tests.sites import warm

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# What the platform puts there for an application, or leaves there since it does no harm.
SHOWN = {"tenantry.request_id", "tenantry.mark"}
TENANTRY = ("tenantry.request_id", "tenantry.mark", "tenantry.client", "tenantry.park", "tenantry.unread")


def leaves(environ: "WSGIEnvironment") -> None:
    raise SystemExit("gone")


def raises(environ: "WSGIEnvironment") -> None:
    raise LookupError("gone")


def writes_over(environ: "WSGIEnvironment") -> None:
    for key in environ:
        environ[key] = 7
    environ.update(dict.fromkeys(TENANTRY, 7))


def pretends(environ: "WSGIEnvironment") -> None:
    environ["tenantry.mark"] = Mark  # of the right name, and no mark
    environ.update(dict.fromkeys(TENANTRY[2:], lambda *_: None))


DEEDS: dict[str, Callable[["WSGIEnvironment"], None]] = {
    "over": writes_over,
    "clear": lambda environ: environ.clear(),
    "pretend": pretends,
}
ENDS: dict[str, Callable[["WSGIEnvironment"], None]] = {
    "raise": raises,
    "exit": leaves,
    "answer": lambda _: None,
}


def behaving(uid: str) -> "WSGIApplication":
    """Make an application that does what its query says; and that tells what it sees of the platform."""

    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        environ["tenantry.mark"] = Mark(uid, uid)  # as the builder has it
        deed, _, end = environ.get("QUERY_STRING", "").partition("-")
        seen = sorted(key for key in environ if key.startswith("tenantry."))
        ended = ENDS.get(end)
        if ended is not None:
            DEEDS[deed](environ)
            ended(environ)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [" ".join(seen).encode()]

    return fenced(app, Border(uid="acme", mount=""))


@contextmanager
def served(**how: Any) -> Iterator[Site]:
    """Serve acme, of whom it is known from memory or not."""
    street = Street(tenant("acme"), factory=Runs(behaving))
    if how.pop("warm", True):
        warm(street.pool, tenant("acme"))  # type: ignore[arg-type]
    gate = Gate(street, remembers=how.pop("remembers", True))
    gateway: Any = gate.gateway
    with serving(gateway, admit=gateway.admit, lane=gateway.lane, **how) as site:
        yield site
    street.pool.verify()
    assert "0 leases" in repr(street.pool)
    street.pool.close()


@pytest.mark.parametrize("known", [True, False])
def test_nothing_that_speaks_to_the_server_is_shown_to_an_application(known: bool) -> None:
    """Not to one that was waited for, nor to one whose large body was asked for first."""
    with served(warm=known, remembers=known) as site:
        for _ in range(2):
            assert set(site.get("/", f"acme.{DOMAIN}").decode().split()) == SHOWN
        more = "Content-Length: 100000\r\n"
        client = site.ask("/", f"acme.{DOMAIN}", more, "POST").send(b"x" * 100_000)
        assert set(client.answer()[2].decode().split()) == SHOWN


def test_whatever_an_application_writes_over_costs_its_own_request(capfd: pytest.CaptureFixture[str]) -> None:
    """Each is answered, each has its line, and the line of the one that failed tells its number."""
    heard: list[Served] = []

    def access(one: Served) -> None:
        heard.append(one)
        log.access(one)

    log.configure("json", "info")
    try:
        with served(access=access) as site:
            for deed in DEEDS:
                for end, status in {"raise": 500, "exit": 500, "answer": 200}.items():
                    found = site.ask(f"/?{deed}-{end}", f"acme.{DOMAIN}").answer()
                    assert found[0] == status, (deed, end)
                    assert site.get("/", f"acme.{DOMAIN}")
            until(lambda: len(heard) == 2 * len(DEEDS) * len(ENDS))
        log.wait(5.0)
    finally:
        log.rest()
    lines = capfd.readouterr().err.splitlines()
    assert sum('"logger": "tenantry.access"' in line for line in lines) == len(heard)
    assert sum("failed at" in line for line in lines) == 2 * len(DEEDS)
    assert not [line for line in lines if "cannot be written" in line]
