"""No spelling of a path leads to another tenant: asked of a real server, with every trick that a target can play."""

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.dispatch import PathDispatcher
from tests.doors import Street, tenant
from tests.gateways import DOMAIN, Gate, Runs
from tests.servers import Client, Site, serving
from tests.sites import Apps, ask, front, warm

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

NAMES = ("acme", "globex")


def telling(uid: str) -> "WSGIApplication":
    """Make an application that tells who it is, and where it sees itself."""

    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{uid} {environ['SCRIPT_NAME']}".encode()]

    return app


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A server with a gateway to two tenants, each warm at its mount."""
    street = Street(*map(tenant, NAMES), factory=Runs(telling))
    for name in NAMES:
        warm(street.pool, tenant(name))  # type: ignore[arg-type]
    with serving(Gate(street).gateway) as served:
        for name in NAMES:
            assert Door(served).answer(f"/t/{name}/") == (200, f"{name} /t/{name}")
        yield served
        street.pool.verify()
    street.pool.close()


class Door:
    """A connection that is opened anew where the server has closed it."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._client: Client | None = None

    def answer(self, target: str) -> tuple[int, str]:
        """Ask for a target as it is."""
        client = self._client or self._site.client()
        client.send(b"GET " + target.encode("latin-1") + f" HTTP/1.1\r\nHost: {DOMAIN}\r\n\r\n".encode())
        status, headers, body = client.answer()
        if headers.get("connection") == "close":
            client.close()
            self._site.clients.remove(client)
            client = self._site.client()
        self._client = client
        return status, body.decode()


def whose(target: str) -> str:
    """Read a target as a person would: its second part, to the letter, is a name if the first says so."""
    parts = target.partition("?")[0].split("/")
    named = len(parts) > 2 and parts[0] == "" and unquote(parts[1]) == "t" and parts[2] in NAMES
    return parts[2] if named else ""


def check(door: Door, target: str) -> None:
    status, body = door.answer(target)
    if status == 200 and body.startswith(NAMES):
        name = whose(target)
        assert body == f"{name} /t/{name}", f"{target} led to {body}"
    else:
        assert status in {200, 308, 400, 404}
        assert not body.startswith(NAMES)


TRICKS = [
    *(
        "/t/acme%2f..",
        "/t//acme/",
        "/t/acme/../globex/",
        "/T/acme/",
        "/%74/acme/",
        "/t/acme;x=1/",
        "/t/acme/;/../globex/",
    ),
    *("/t\\acme\\", "/t/acme\\..\\globex/", "/t/acme./", "/t/acme../", "/t/./acme/", "/t/%2e/acme/", "/./t/acme/"),
    *(
        "/t/%61cme/",
        "/t/ACME/",
        "/t/acme%00/",
        "/t/acme%20/",
        "/t/acme%2e/",
        "/t/acme%2fglobex/",
        "/t/globex%2f..%2facme/",
    ),
    *(
        "//t/acme/",
        "///t/acme/",
        "/t/acme//",
        "/t/acme",
        "/t/acme?/../globex/",
        "/t/acme/?x=/t/globex/",
        "/t",
        "/t/",
        "/",
    ),
    *("/t%2facme/", "/t%2Facme%2F", "/%2ft/acme/", "/t/acme#/../globex", "/t/acme/%2e%2e/globex/", "/x/../t/acme/"),
    *(
        "/t/globex/..;/acme/",
        "/t/acme/..%252fglobex/",
        "/%2574/acme/",
        "/t/%c0%af/acme/",
        "/t/acme\xe9/",
        "/t/acme%0d%0a/",
    ),
    *(
        "t/acme/",
        "*",
        "acme",
        "http://globex/t/acme/",
        "//globex/t/acme/",
        "/t/xn--acme/",
        "/t/aсme/".encode().decode("latin-1"),
    ),
]


@pytest.mark.parametrize("target", TRICKS)
def test_a_path_that_is_spelled_to_trick_leads_to_whom_it_names_or_to_nobody(site: Site, target: str) -> None:
    check(Door(site), target)


def test_a_path_that_is_spelled_plainly_leads_to_its_tenant(site: Site) -> None:
    """So that nobody passes these tests by answering nobody."""
    door = Door(site)
    for target in ("/t/acme/", "/%74/acme/", "/t/acme/x/../globex/", "/t/acme/..globex", "/t/acme//x?/../t/globex/"):
        assert door.answer(target) == (200, "acme /t/acme")
    assert door.answer("/t/globex/%2f")[1] == "globex /t/globex"


def test_a_path_whose_dots_lead_from_one_tenant_to_another_leads_to_neither(site: Site) -> None:
    """A proxy in front that follows them, as nginx does, would see another tenant than is served."""
    door = Door(site)
    for target in ("/t/acme/../globex/", "/t/acme/%2e%2e/globex/", "/t/acme/x%2f..%2f..%2Fglobex/", "/t/acme/.."):
        assert door.answer(target)[0] == 400


_pieces = st.sampled_from(
    [
        *("/", "/t/", "/t", "t", "acme", "globex", "/acme", "/globex/", "..", "/../", "%2e%2e", "%2f", "%74", "%61cme"),
        *("\\", ";", ";x=1", "?", "#", ".", "%00", "%20", "%5c", "T", "ACME", "//", "%252f", "\xe9", "*", ":", "@"),
    ]
)


@given(st.lists(_pieces, max_size=9).map("".join))
@settings(max_examples=300)
def test_no_spelling_leads_to_another_tenant(site: Site, rest: str) -> None:
    check(Door(site), f"/{rest}")


# What is remembered of spellings


def test_spellings_of_one_mount_that_alternate_are_all_remembered() -> None:
    paths = PathDispatcher(front, Apps())
    raws = ["/%7ex/acme/", "/~x/acme/", "/%7Ex/acme/"]
    for raw in raws * 2:
        assert ask(paths, path="/acme/", SCRIPT_NAME="/~x", REQUEST_URI=raw).body == "acme /~x/acme /"
    assert paths._known["/~x/acme"] == tuple(raws)
    assert ask(paths, path="/acme/", SCRIPT_NAME="/~x", REQUEST_URI=None).body == "acme /~x/acme /"


def test_spellings_of_one_mount_are_not_remembered_without_end() -> None:
    paths = PathDispatcher(front, Apps())
    letters = "abcdefgh"
    for number in range(len(letters)):
        raw = "/" + "".join(f"%{ord(a):x}" if place == number else a for place, a in enumerate(letters)) + "/acme/"
        for _ in range(2):
            assert ask(paths, path="/acme/", SCRIPT_NAME=f"/{letters}", REQUEST_URI=raw).code == 200
        assert paths._known[f"/{letters}/acme"][-1] == raw
    assert len(paths._known[f"/{letters}/acme"]) == 4
