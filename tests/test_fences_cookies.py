"""The fence for cookies: none leaves for others or comes from them, however it is spelled."""

import http.cookiejar
import urllib.request
from email.message import Message
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fencing import MOUNT, NEIGHBOUR, OTHER, UID, by_host, by_path

OWN = f"session_{UID}"


# Going out


@pytest.mark.parametrize(
    "cookie",
    [
        *("a=b; Domain=localhost", "a=b;domain=.localhost", "a=b; DOMAIN = example.com ", "a=b;\tDomain\t=\tx"),
        *('a=b; Domain="localhost"', "a=b; Domain=.", "a=b; Domain=x; Domain=", "a=b; Domain=; Domain=x"),
        *("a=b; Path=/; Domain=acme.localhost; Secure", "=b; Domain=x", "a; Domain=x", '="; Domain=x'),
        *(f"session_{OTHER}=a", f"remember_{OTHER}=a", f"__Host-session_{OTHER}=a; Secure; Path=/"),
        *(f"__Secure-remember_{OTHER}=a", f"maintenance_{OTHER}=a", f"maintenance_{UID}=a"),
        *(f" session_{OTHER} =a", f"\tsession_{OTHER}\t=a", f"session_{OTHER}", f"=session_{OTHER}=a"),
        *(f"= session_{OTHER}", f"==session_{OTHER}=a", f"\xa0session_{OTHER}=a", f"\xc2\xa0session_{OTHER}=a"),
        *(f"\xa0session_{UID}=a", f"session_{UID}\xe2\x80\x83=a", f"=\xa0{OWN}=a"),
        *("a=b\x00; Path=/", "a=\x1fb", "a=b\x7f", "a=b; Dom\x00ain=x", f"\x1csession_{OTHER}=a"),
    ],
)
def test_a_cookie_for_others_does_not_leave(cookie: str) -> None:
    assert by_host().cookie(cookie) is None
    assert by_path().cookie(cookie) is None


@pytest.mark.parametrize(
    "cookie",
    [
        *("a=b", "a=b; Path=/", "a=b; Path=/t/globex/", "a=b; Domain=", "a=b; Domain", "domain=x", "a=Domain=x"),
        *(f"{OWN}=a; Secure; HttpOnly; Path=/; SameSite=Lax", f"__Host-{OWN}=a; Secure; Path=/", f"remember_{UID}=a"),
        *(f"x_{OTHER}=a", f"session_{OTHER}x=a", "session_short=a", f"Session_{OTHER}=a", "", "=", "\xe4=\xf6"),
    ],
)
def test_at_a_host_any_other_cookie_leaves_as_it_is(cookie: str) -> None:
    assert by_host().cookie(cookie) == cookie


@pytest.mark.parametrize(
    ("cookie", "leaves"),
    [
        ("a=b", f"a=b; Path={MOUNT}/"),
        ("a=b; Path=/", f"a=b; Path={MOUNT}/"),
        ("a=b; path=/ ; HttpOnly", f"a=b; HttpOnly; Path={MOUNT}/"),
        ("a=b; Path", f"a=b; Path={MOUNT}/"),
        ("a=b; Path=", f"a=b; Path={MOUNT}/"),
        ("a=b; Path=entries", f"a=b; Path={MOUNT}/"),
        ('a=b; Path="/"', f"a=b; Path={MOUNT}/"),
        ('a=b; Path="/t/globex/"', f"a=b; Path={MOUNT}/"),
        ("a=b; Path=/t", f"a=b; Path={MOUNT}/"),
        ("a=b; Path=/t/", f"a=b; Path={MOUNT}/"),
        ("a=b;Path=/t//", f"a=b; Path={MOUNT}/"),
        ("a=b; Path=//", f"a=b; Path={MOUNT}/"),
        (f"a=b; Path={NEIGHBOUR}/; Path={MOUNT}/", f"a=b; Path={MOUNT}/"),
        (f"a=b; Path={MOUNT}/; PATH=", f"a=b; Path={MOUNT}/"),
        (f"a=b; Path={MOUNT}/x; Path=/; Secure", f"a=b; Secure; Path={MOUNT}/"),
        ("a=b; Path=/entries", f"a=b; Path={MOUNT}/entries"),
        ("a=b; Path=/T/globex/", f"a=b; Path={MOUNT}/T/globex/"),
        ("a=b; Path=/%74/globex/", f"a=b; Path={MOUNT}/%74/globex/"),
        ("a=b; Path=//t/globex/", f"a=b; Path={MOUNT}//t/globex/"),
        ("=b", f"=b; Path={MOUNT}/"),
        ("", f"; Path={MOUNT}/"),
        ("a=b;", f"a=b;; Path={MOUNT}/"),
    ],
)
def test_below_a_path_a_cookie_is_bound_to_the_mount(cookie: str, leaves: str) -> None:
    assert by_path().cookie(cookie) == leaves


@pytest.mark.parametrize(
    "cookie",
    [
        f"{OWN}=a; HttpOnly; Path={MOUNT}/; SameSite=Lax",
        f"a=b; Path={MOUNT}",
        f"a=b; Path={MOUNT}/entries; Max-Age=5",
        f"a=b;PATH= {MOUNT}/ ;Secure",
        f"__Secure-a=b; Secure; Path={MOUNT}/",
    ],
)
def test_below_a_path_what_is_inside_the_mount_leaves_as_it_is(cookie: str) -> None:
    assert by_path().cookie(cookie) == cookie


@pytest.mark.parametrize(
    "cookie",
    [
        *(
            f"a=b; Path={NEIGHBOUR}/",
            f"a=b; Path={NEIGHBOUR}",
            "a=b; Path=/t/acme2/",
            "a=b; Path=/t/acm",
        ),
        *("a=b; Path=/t/%61cme/", f"a=b; Path={MOUNT}/; Path={NEIGHBOUR}/", f"a=b; path={NEIGHBOUR}/x/../../acme/"),
        *("__Host-a=b; Secure; Path=/", "__HOST-a=b; Secure; Path=/", "=__Host-a=b; Path=/", f"__Host-{OWN}=a; Path=/"),
    ],
)
def test_below_a_path_what_cannot_be_bound_to_the_mount_does_not_leave(
    cookie: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert by_path().cookie(cookie) is None
    assert len(caplog.records) == 1


# The cookies of a browser that is not ours: the standard library's. It knows of no attribute's quotes, as browsers do.


class _Response:
    """What a cookie jar wants to see of a response."""

    def __init__(self, cookie: str) -> None:
        self._message = Message()
        self._message["Set-Cookie"] = cookie

    def info(self) -> Message:
        return self._message


def sent(cookie: str, url: str) -> str | None:
    """Let a browser of acme's take a cookie, and tell what it sends to another URL."""
    jar = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(rfc2965=False))
    first = urllib.request.Request(f"http://localhost{MOUNT}/entries/7")
    jar.extract_cookies(_Response(cookie), first)  # type: ignore[arg-type]
    second = urllib.request.Request(url)
    jar.add_cookie_header(second)
    return second.get_header("Cookie")


_NAMES = ("a=b", f"{OWN}=1", "; ", ";", "=", " ", "\t", '"', ",", "Secure", "HttpOnly")
_PATHS = ("Path", "path", "/", "/t", "/t/", MOUNT, NEIGHBOUR, f"{NEIGHBOUR}/x", "%2f", "..")
_DOMAINS = ("Domain", "domain=localhost", "Domain=", "localhost", ".local")
_words = st.sampled_from([*_NAMES, *_PATHS, *_DOMAINS])


@given(st.lists(_words, max_size=9).map("".join))
def test_whatever_an_application_sets_a_browser_shows_no_neighbour(rest: str) -> None:
    left = by_path().cookie(f"a=b; {rest}")
    if left is None:
        return
    for elsewhere in (f"http://localhost{NEIGHBOUR}/", "http://localhost/", f"http://globex.localhost{MOUNT}/"):
        assert sent(left, elsewhere) is None


def test_a_browser_shows_a_cookie_where_it_belongs() -> None:
    """So that the test above can fail."""
    assert sent(str(by_path().cookie("a=b; Path=/")), f"http://localhost{MOUNT}/x") == "a=b"
    assert sent("a=b; Path=/", f"http://localhost{NEIGHBOUR}/") == "a=b"


# Coming in


@pytest.mark.parametrize(
    "cookie",
    [
        *(f"{OWN}=a", f"a=b; {OWN}=a.b-c; remember_{UID}=d", f"__Host-{OWN}=a; theme=dark", f"__Secure-{OWN}=a", "a=b"),
        *(f"a={OWN}", "session_id=4; my_session_x=5", f"{OWN}=a; {OWN}=a", f"{OWN}", f'{OWN}="a"', "", ";;", "=a"),
        *(f"{OWN}=a; __Host-{OWN}=b", f"a=b;{OWN}=c", f"a=session_{OTHER}=b", "a=\xc3\xa4; \xc3\xa4=b"),
    ],
)
def test_an_applications_own_cookies_reach_it_as_they_came(cookie: str) -> None:
    assert by_host().sees(cookie) == cookie
    assert by_path().sees(cookie) == cookie


@pytest.mark.parametrize(
    ("cookie", "seen"),
    [
        (f"session_{OTHER}=a", None),
        (f"a=b; session_{OTHER}=a; c=d", "a=b; c=d"),
        (f"__Host-session_{OTHER}=a; {OWN}=b", f"{OWN}=b"),
        (f"{OWN}=b;remember_{OTHER}=a", f"{OWN}=b"),
        (f"maintenance_{OTHER}=a; a=b", "a=b"),
        (f"a=b; maintenance_{UID}=secret", "a=b"),
        (f"session_{OTHER} = a", None),
        (f"session_{OTHER}", None),
        (f"\xc2\xa0{OWN}=tossed; {OWN}=a", f"{OWN}=a"),
        (f"\xa0{OWN}=tossed", None),
        (f"{OWN}\xe2\x80\x83=tossed; a=b", "a=b"),
        (f"\x1c{OWN}=tossed; a=b", "a=b"),
        (f'a="x; session_{OTHER}=y; b="', 'a="x; b="'),
    ],
)
def test_the_cookies_of_others_do_not_reach_an_application(cookie: str, seen: str | None) -> None:
    assert by_host().sees(cookie) == seen
    assert by_path().sees(cookie) == seen


@pytest.mark.parametrize("name", [OWN, f"__Host-{OWN}", f"remember_{UID}"])
def test_of_two_cookies_of_one_name_neither_is_believed(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """One of them was set by a neighbour, and the order in which browsers send them is the neighbour's choice."""
    guarded = by_path()
    for cookie in (f"{name}=a; {name}=b; c=d", f"{name}=a;c=d;{name} = b", f" c=d; {name}=a; {name}=a; {name}"):
        assert guarded.sees(cookie) == "c=d"
    assert len(caplog.records) == 1
    assert guarded.sees("c=d; c=e") == "c=d; c=e"


@given(st.lists(_words | st.sampled_from([f"session_{OTHER}", f"remember_{OTHER}=", "x"]), max_size=9).map("".join))
def test_whatever_comes_an_application_finds_no_name_of_a_neighbours(cookie: str) -> None:
    def found(seen: str | None) -> list[Any]:
        return [pair for pair in (seen or "").split(";") if OTHER in pair.partition("=")[0].strip()[-12:]]

    for guarded in (by_host(), by_path()):
        names = [pair.partition("=")[0].strip() for pair in found(guarded.sees(cookie))]
        assert not {f"session_{OTHER}", f"remember_{OTHER}"} & set(names)
