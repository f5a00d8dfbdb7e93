"""Whether a certificate may be had for a domain: who may ask, and for whose domains the answer is yes."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tenantry.assembly.platform import open_platform
from tenantry.errors import Invalid, Unavailable
from tenantry.operations import NewTenant
from tenantry.settings import read
from tenantry.tenant import Status
from tests.doors import Echoes, Street, shut, tenant
from tests.gateways import Gate
from tests.wsgi import Answer, call, wait_until

TOKEN = "f00-BAR_baz.~1234"
DOMAIN = "shop.example.org"


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Acme, whose primary domain is one of two, and others who are not open."""
    street = Street(tenant("acme"), tenant("globex"), factory=Echoes())
    street.puts(replace(tenant("acme"), domain=DOMAIN), DOMAIN, "older.example.org")
    street.puts(tenant("gone", Status.SUSPENDED), "gone.example.org")
    street.puts(shut(tenant("busy")), "busy.example.org")
    street.puts(tenant("new", Status.ADDING), "new.example.org")
    yield Gate(street, token=TOKEN)
    assert not street.factory.calls
    street.pool.close()


def ask(gate: Gate, query: str = f"domain={DOMAIN}", host: str = "127.0.0.1:8000", **more: Any) -> Answer:
    return call(gate.gateway, host, "/-/tls-ask", QUERY_STRING=query, **more)


@pytest.mark.parametrize("domain", [DOMAIN, "older.example.org", "SHOP.example.org", f"{DOMAIN}."])
@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]:8000", "example.com", "Example.com:8000"])
def test_a_domain_of_an_active_tenant_gets_yes(gate: Gate, domain: str, host: str) -> None:
    for _ in range(2):
        answer = ask(gate, f"domain={domain}", host)
        assert (answer.status, answer.body, answer.headers["Cache-Control"]) == (200, b"yes\n", "no-store")
    assert ask(gate, f"domain={domain}", host, REQUEST_METHOD="HEAD").body == b""


@pytest.mark.parametrize(
    "query",
    [
        *("", "domain=", "domain", "nothing=x", f"domain={DOMAIN}&domain={DOMAIN}", f"domain={DOMAIN}:443", "domain=%"),
        *("domain=nobody.example.org", "domain=gone.example.org", "domain=busy.example.org", "domain=new.example.org"),
        *("domain=acme.example.com", "domain=example.com", "domain=127.0.0.1", "domain=[::1]"),
        *(f"domain={DOMAIN}%00", f"domain={DOMAIN}%0a", "domain=%c3%a9.example.org", "domain=../x", "domain=a_b.org"),
        *("domain=" + "a." * 600 + "org", "&".join(f"{letter}=1" for letter in "abcdefghijkl") + f"&domain={DOMAIN}"),
    ],
)
def test_everything_else_gets_no_in_the_same_bytes(gate: Gate, query: str) -> None:
    answer = ask(gate, query)
    assert (answer.status, answer.body) == (404, b"no\n")


@pytest.mark.parametrize("client", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_who_asks_from_this_machine_may(gate: Gate, client: str) -> None:
    assert ask(gate, REMOTE_ADDR=client).status == 200


@pytest.mark.parametrize("client", ["203.0.113.9", "10.0.0.1", "::2", "", "unix", "127.0.0.1.example.com"])
@pytest.mark.parametrize("domain", [DOMAIN, "nobody.example.org"])
def test_others_may_not_whatever_they_ask_for(gate: Gate, client: str, domain: str) -> None:
    answer = ask(gate, f"domain={domain}", REMOTE_ADDR=client)
    assert (answer.status, answer.body) == (403, b"not for you\n")


@pytest.mark.parametrize(
    ("query", "said", "status"),
    [
        (f"&token={TOKEN}", "", 200),
        ("", f"Bearer {TOKEN}", 200),
        ("", f"bearer  {TOKEN} ", 200),
        (f"&token={TOKEN[:-1]}", "", 403),
        (f"&token={TOKEN}&token={TOKEN}", "", 403),
        (f"&token={TOKEN}", "Bearer wrong", 403),
        ("", f"Basic {TOKEN}", 403),
        ("", f"Bearer {TOKEN}\xe9", 403),
        ("&token=", "Bearer ", 403),
    ],
)
def test_from_elsewhere_it_takes_the_token(gate: Gate, query: str, said: str, status: int) -> None:
    more = {"HTTP_AUTHORIZATION": said} if said else {}
    assert ask(gate, f"domain={DOMAIN}{query}", REMOTE_ADDR="203.0.113.9", **more).status == status


def test_an_empty_token_opens_to_nobody(gate: Gate) -> None:
    closed = Gate(gate.street)
    for more in ({}, {"HTTP_AUTHORIZATION": "Bearer "}, {"HTTP_AUTHORIZATION": "Bearer"}):
        assert ask(closed, f"domain={DOMAIN}&token=", REMOTE_ADDR="203.0.113.9", **more).status == 403


def test_it_is_read_and_is_nowhere_else(gate: Gate) -> None:
    assert ask(gate, REQUEST_METHOD="POST").status == 405
    assert ask(gate, host="nobody.example.com").status == 404
    assert ask(gate, host="nobody.example.com").body != b"no\n"


def test_while_the_registry_is_away_nobody_can_tell(gate: Gate) -> None:
    def away(*_: object) -> Any:
        raise Unavailable("The registry cannot be read.")

    gate.gateway._asking._find = away
    assert ask(gate).status == 503


def test_the_answer_follows_the_registry_and_builds_nobody(tmp_path: Path) -> None:
    given = {"application": "tests.applications:notes", "proxies": 1, "ask_token": TOKEN}
    with open_platform(tmp_path, given) as platform:
        platform.operations.add(NewTenant(name="acme"))
        by_proxy = {"HTTP_X_FORWARDED_FOR": "203.0.113.9", "HTTP_X_FORWARDED_PROTO": "https"}

        def status(**more: str) -> int:
            query = f"domain={DOMAIN}"
            return call(platform.application, "localhost", "/-/tls-ask", QUERY_STRING=query, **more).status

        assert status() == 404
        platform.operations.domain_add("acme", DOMAIN, trust=True)
        wait_until(lambda: status() == 200)
        assert status(**by_proxy) == 403
        assert status(**by_proxy, HTTP_AUTHORIZATION=f"Bearer {TOKEN}") == 200
        platform.operations.suspend("acme", "unpaid")
        wait_until(lambda: status() == 404)
        assert not platform.pool.built()


@pytest.mark.parametrize(
    "text", ["short", "f00-BAR_baz.~123+", "f00 BAR baz f00 BAR", "x" * 201, "f00-BAR_baz.~12\xe9"]
)
def test_a_token_is_long_and_means_the_same_in_a_query_and_in_a_header(tmp_path: Path, text: str) -> None:
    """And is not repeated where it is wrong."""
    with pytest.raises(Invalid, match="TENANTRY_ASK_TOKEN in the environment is not valid") as refused:
        read(tmp_path, {"TENANTRY_ASK_TOKEN": text})
    assert text not in str(refused.value)
    assert read(tmp_path, {"TENANTRY_ASK_TOKEN": f" {TOKEN} "}).settings.ask_token == TOKEN
