"""The fence for redirects: what would lead out of the mount on the same host leads to its page inside."""

from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.fencing import MOUNT, NEIGHBOUR, by_host, by_path

PAGE = "/entries/7"


def led(location: str, header: str = "Location", path: str = PAGE, **more: Any) -> str:
    """Tell where a redirect of the page `/t/acme/entries/7` leads after the fence."""
    asked = {"REQUEST_URI": MOUNT + path} | more
    ((_, left),) = by_path().leaves((header, location), path=path, **asked)
    return left


@pytest.mark.parametrize(
    ("location", "leads"),
    [
        ("/", f"{MOUNT}/"),
        ("/entries?a=/../b#c", f"{MOUNT}/entries?a=/../b#c"),
        ("/?next=//x", f"{MOUNT}/?next=//x"),
        (f"{NEIGHBOUR}/", f"{MOUNT}{NEIGHBOUR}/"),
        (f"{MOUNT}2/", f"{MOUNT}{MOUNT}2/"),
        ("/T/acme/", f"{MOUNT}/T/acme/"),
        ("/t/%61cme/", f"{MOUNT}/t/%61cme/"),
        # Dots, and what browsers take for some.
        (f"{MOUNT}/../globex/", f"{MOUNT}{NEIGHBOUR}/"),
        (f"{MOUNT}/%2e%2E/globex/", f"{MOUNT}{NEIGHBOUR}/"),
        (f"{MOUNT}/x/.%2e/%2e./globex/?q", f"{MOUNT}{NEIGHBOUR}/?q"),
        (f"{MOUNT}\\..\\globex\\", f"{MOUNT}{NEIGHBOUR}/"),
        (f"{MOUNT}/.\t./globex/", f"{MOUNT}{NEIGHBOUR}/"),
        (f"{MOUNT}/..", f"{MOUNT}/t/"),
        ("../../globex/", f"{MOUNT}{NEIGHBOUR}/"),
        ("../..", f"{MOUNT}/t/"),
        ("../../../../../", f"{MOUNT}/"),
        ("..\\../globex", f"{MOUNT}{NEIGHBOUR}"),
        ("http:../../globex/", f"{MOUNT}{NEIGHBOUR}/"),
        ("HTTPS:/globex/", f"{MOUNT}/globex/"),
        ("  /x", f"{MOUNT}/x"),
        ("\x00\x1f/x ", f"{MOUNT}/x"),
        # The same host, spelled out.
        ("//localhost:8000/x", f"//localhost:8000{MOUNT}/x"),
        ("http://localhost:8000/x", f"http://localhost:8000{MOUNT}/x"),
        ("https://LOCALHOST:8000", f"https://LOCALHOST:8000{MOUNT}/"),
        ("HTTP://localhost.:8000?a", f"HTTP://localhost.:8000{MOUNT}/?a"),
        ("//user:word@localhost:8000/x", f"//user:word@localhost:8000{MOUNT}/x"),
        ("//evil.example@localhost:8000/x", f"//evil.example@localhost:8000{MOUNT}/x"),
        ("//%6cocalhost:8000/x", f"//%6cocalhost:8000{MOUNT}/x"),
        ("/\\localhost:8000/x", f"//localhost:8000{MOUNT}/x"),
        ("/\t/localhost:8000/x", f"//localhost:8000{MOUNT}/x"),
        ("////localhost:8000//x", f"//localhost:8000{MOUNT}//x"),
        ("//localhost:08000/x", f"//localhost:08000{MOUNT}/x"),
        # Browsers find a host in it, programs a path.
        ("///t/globex/", f"{MOUNT}///t/globex/"),
        ("///", f"{MOUNT}///"),
        ("http:///example.org/", f"{MOUNT}///example.org/"),
        ("http:\\\\localhost:8000\\x", f"http://localhost:8000{MOUNT}/x"),
        (f"//localhost:8000{MOUNT}/../../x", f"//localhost:8000{MOUNT}/x"),
    ],
)
def test_what_leads_out_of_the_mount_is_brought_back(location: str, leads: str) -> None:
    assert led(location) == leads
    assert led(location, "content-location") == leads


@pytest.mark.parametrize(
    ("location", "leads"),
    [
        ("..//..", f"{MOUNT}/"),
        (f"{MOUNT}/x/..//../y#z", f"{MOUNT}/y#z"),
        ("\\t\\acme\\x?\\", f"{MOUNT}/x?\\"),
        ("/t/acme/.\t./acme/x", f"{MOUNT}/x"),
        (f"{MOUNT}//x", f"{MOUNT}//x"),
        (f"http://localhost:8000{MOUNT}//x/../y", f"http://localhost:8000{MOUNT}//y"),
    ],
)
def test_what_stays_in_the_mount_for_browsers_stays_there_for_programs(location: str, leads: str) -> None:
    assert led(location) == leads


@pytest.mark.parametrize(
    "location",
    [
        *(MOUNT, f"{MOUNT}/", f"{MOUNT}/x?y#z", f"{MOUNT}?a", f"{MOUNT}/x/../y", f"//localhost:8000{MOUNT}/x"),
        *(f"http://localhost:8000{MOUNT}/", f"https://LOCALHOST:8000{MOUNT}/x/", "http:edit"),
        *("", "?page=2", "#top", "edit", "../entries/", "./", ".", "..", "x/../../", "a:b", "a/b:c"),
    ],
)
def test_what_stays_in_the_mount_is_left_as_it_is(location: str) -> None:
    assert led(location) == location


@pytest.mark.parametrize(
    "location",
    [
        *(
            "https://example.org/",
            "//example.org/x",
            "http://acme.localhost/",
            "//localhost.example.org/",
            "mailto:a@b",
        ),
        *("//example.org\\@localhost:8000/", "//localhost:8000@example.org/", "/\\example.org"),
        *("//localhost:8001/", "//localhost/", "//[::1]:8000/", "//", "javascript:alert(1)", "data:,x"),
        *("//l\xf6calhost:8000/", "//localhost:8000:8000/", "//local host:8000/"),
    ],
)
def test_other_hosts_are_left_as_they_are(location: str) -> None:
    assert led(location) == location


@pytest.mark.parametrize("location", ["//example.com:8443/x", "https://example.com/x", "http://example.com:80/x"])
def test_a_host_whose_port_a_proxy_has_taken_off_is_the_same_with_any(location: str) -> None:
    assert MOUNT in led(location, HTTP_HOST="example.com")
    assert MOUNT in led(location, HTTP_HOST="example.com:443") or "8443" in location


def test_without_a_host_nothing_is_the_same_one() -> None:
    assert led("//localhost/x", HTTP_HOST="") == "//localhost/x"


def test_a_relative_reference_is_read_from_the_path_as_the_browser_has_spelled_it() -> None:
    """An encoded slash is no step of a path."""
    assert led("../x", path="/a/b", REQUEST_URI=f"{MOUNT}/a%2fb?c/d/e") == f"{MOUNT}/t/x"
    assert led("../x", path="/a/b", REQUEST_URI=f"{MOUNT}/a/b") == "../x"
    assert led("../x", path="/a/b", REQUEST_URI="", RAW_URI=f"{MOUNT}/a%2fb") == f"{MOUNT}/t/x"
    for unknown in ({"REQUEST_URI": ""}, {"REQUEST_URI": "/%74/acme/a/b"}):
        assert led("../x", path="/a/b", **unknown) == "../x"
        assert led("../../x", path="/a/b", **unknown) == f"{MOUNT}/t/x"


@pytest.mark.parametrize(
    ("refresh", "leads"),
    [
        ("5", "5"),
        ("5; url=/x", f"5; url={MOUNT}/x"),
        ("0;URL='/x'; more", f"0;URL={MOUNT}/x"),
        ('0, "/x"', f"0, {MOUNT}/x"),
        ("0 url = ../../globex/", f"0 url = {MOUNT}{NEIGHBOUR}/"),
        (f"0; url={MOUNT}/x", f"0; url={MOUNT}/x"),
        ("0; url=https://example.org/", "0; url=https://example.org/"),
        ("/x", f"{MOUNT}/x"),
    ],
)
def test_a_page_that_refreshes_itself_does_not_leave_the_mount(refresh: str, leads: str) -> None:
    assert led(refresh, "Refresh") == leads


def test_at_a_host_of_its_own_a_tenant_redirects_where_it_likes() -> None:
    headers = [("Location", f"{NEIGHBOUR}/"), ("Refresh", "0; url=/x"), ("Content-Location", "/x")]
    headers += [("Service-Worker-Allowed", "/"), ("Clear-Site-Data", '"*"'), ("Strict-Transport-Security", "max-age=9")]
    assert by_host().leaves(*headers) == headers


@pytest.mark.parametrize(
    "header", ["Service-Worker-Allowed", "Clear-Site-Data", "NEL", "Alt-Svc", "Strict-Transport-Security"]
)
def test_below_a_path_nobody_speaks_for_the_whole_origin(header: str) -> None:
    assert by_path().leaves((header, "x"), (header.lower(), "y")) == []
    assert by_path("headers").leaves((header, "x")) == [(header, "x")]


_pieces = st.sampled_from(
    [
        "/",
        "//",
        "..",
        ".",
        "%2e",
        "\\",
        "t",
        "acme",
        "globex",
        MOUNT,
        NEIGHBOUR,
        "localhost:8000",
        "http:",
        "?",
        "#",
        "x",
    ]
)


@given(st.lists(_pieces, max_size=8).map("".join))
@example("http:" + NEIGHBOUR)
def test_however_it_is_spelled_no_redirect_ends_at_a_neighbour(location: str) -> None:
    """Followed by the standard library's idea of a URL, with what only browsers take for slashes and dots."""
    plain = led(location).replace("\\", "/").replace("%2e", ".")
    ended = urlsplit(urljoin(f"http://localhost:8000{MOUNT}{PAGE}", plain))
    here = ended.scheme in {"http", "https"} and ended.netloc == "localhost:8000"
    assert not here or f"{ended.path}/".startswith(f"{MOUNT}/")
