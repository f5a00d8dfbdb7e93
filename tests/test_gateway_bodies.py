"""Large bodies at a real server: who is there is known before they are read, from memory or from the registry."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tenantry.tenant import Status
from tests.doors import SECRET, Street, shut, tenant
from tests.gateways import DOMAIN, Gate, Runs, answering
from tests.servers import Client, Site, serving
from tests.sites import warm

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

LARGE = 300_000


def count(environ: "WSGIEnvironment") -> list[bytes]:
    """Answer with how much of a body has come."""
    return [str(len(environ["wsgi.input"].read())).encode()]


@pytest.fixture(params=["remembered", "unknown to memory"])
def site(request: pytest.FixtureRequest) -> Iterator[tuple[Site, Gate]]:
    """A server with a gateway to acme and globex, whose addresses memory knows or the registry alone does."""
    street = Street(tenant("acme"), tenant("globex"), factory=Runs(answering(count)))
    warm(street.pool, tenant("acme"))  # type: ignore[arg-type]
    gate = Gate(street, {"acme": 2 * LARGE}, remembers=request.param == "remembered")
    gateway: Any = gate.gateway
    with serving(gateway, admit=gateway.admit, lane=gateway.lane, max_body=4 * LARGE) as served:
        yield served, gate
        street.pool.verify()
        assert "0 leases" in repr(street.pool)
    street.pool.close()


def post(site: Site, host: str, path: str = "/", size: int = LARGE, more: str = "") -> Client:
    """Send the header of a large request, and nothing of its body."""
    return site.ask(path, host, f"Content-Length: {size}\r\n{more}", method="POST")


@pytest.mark.parametrize(("host", "path"), [(f"acme.{DOMAIN}", "/"), ("acme", "/x"), (DOMAIN, "/t/acme/x")])
def test_a_large_body_reaches_the_tenant_it_is_for(site: tuple[Site, Gate], host: str, path: str) -> None:
    served, _ = site
    client = post(served, host, path).send(b"x" * LARGE)
    assert client.answer()[::2] == (200, str(LARGE).encode())
    client.ask("/", f"acme.{DOMAIN}", "Content-Length: 3\r\n", method="POST").send(b"abc")
    assert client.answer()[::2] == (200, b"3")


def test_a_large_body_in_chunks_reaches_the_tenant_it_is_for(site: tuple[Site, Gate]) -> None:
    served, _ = site
    client = served.ask("/", f"acme.{DOMAIN}", "Transfer-Encoding: chunked\r\n", method="POST")
    for _ in range(10):
        client.send(b"7530\r\n" + b"x" * 30_000 + b"\r\n")
    assert client.send(b"0\r\n\r\n").answer()[::2] == (200, b"300000")


def test_a_body_larger_than_the_tenant_takes_is_refused(site: tuple[Site, Gate]) -> None:
    served, _ = site
    client = post(served, f"acme.{DOMAIN}", size=3 * LARGE)
    assert client.answer()[0] == 413
    assert client.closed()
    assert post(served, f"globex.{DOMAIN}", size=3 * LARGE).send(b"x" * 3 * LARGE).answer()[0] == 200


@pytest.mark.parametrize(
    ("host", "path", "status"),
    [
        (f"nobody.{DOMAIN}", "/", 404),
        ("elsewhere.org", "/", 404),
        (DOMAIN, "/t/nobody/", 404),
        ("127.0.0.1", "/", 405),
    ],
)
def test_who_is_not_there_is_told_before_the_body_comes(
    site: tuple[Site, Gate], host: str, path: str, status: int
) -> None:
    served, _ = site
    client = post(served, host, path)
    answered, headers, _ = client.answer()
    assert (answered, headers["connection"]) == (status, "close")
    client.send(b"GET / HTTP/1.1\r\nHost: acme.example.com\r\n\r\n")
    assert client.closed()


def test_who_is_shut_is_told_before_the_body_comes_but_for_the_owner(site: tuple[Site, Gate]) -> None:
    """One that memory knows may have changed since: its body is read, and then it is told."""
    served, gate = site
    gate.street.puts(shut(tenant("acme")))
    gate.street.puts(tenant("globex", Status.SUSPENDED))
    body = b"x" * LARGE if gate.remembers else b""
    assert post(served, f"globex.{DOMAIN}").send(body).answer()[0] == 403
    assert post(served, f"acme.{DOMAIN}").send(body).answer()[0] == 503
    cookie = f"Cookie: maintenance_acme={SECRET}\r\n"
    client = post(served, f"acme.{DOMAIN}", more=cookie).send(b"x" * LARGE)
    assert client.answer()[::2] == (200, str(LARGE).encode())
