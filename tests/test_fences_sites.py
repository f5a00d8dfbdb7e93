"""The fences for what other sites send, and for what shared caches may keep."""

import pytest

from tenantry.errors import Refused
from tests.fencing import HTML, Guarded, by_host, by_path

OURS = "http://localhost:8000"


def passes(guarded: Guarded, method: str = "POST", **more: str) -> bool:
    """Tell whether a request reaches the application."""
    before = len(guarded.seen)
    try:
        guarded.leaves(HTML, REQUEST_METHOD=method, **more)
    except Refused:
        assert len(guarded.seen) == before
        return False
    return True


@pytest.mark.parametrize(
    "site", ["cross-site", "same-site", "Same-Site", " cross-site", "same-origin, cross-site", "x"]
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "post", "", "GET "])
def test_what_another_site_sends_changes_nothing(site: str, method: str) -> None:
    """One of the same domain is another site too: a neighbour's."""
    for guarded in (by_host(), by_path()):
        assert not passes(guarded, method, HTTP_SEC_FETCH_SITE=site)
        assert not passes(guarded, method, HTTP_SEC_FETCH_SITE=site, HTTP_ORIGIN=OURS)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "x"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_another_site_may_lead_here(site: str, method: str) -> None:
    assert passes(by_host(), method, HTTP_SEC_FETCH_SITE=site, HTTP_ORIGIN="https://example.org")


@pytest.mark.parametrize("site", ["same-origin", "none", " None "])
def test_what_a_site_sends_to_itself_and_what_a_person_begins_passes(site: str) -> None:
    """Also where a page that hides its referrer has a browser send an Origin of null."""
    assert passes(by_host(), HTTP_SEC_FETCH_SITE=site)
    assert passes(by_path(), HTTP_SEC_FETCH_SITE=site, HTTP_ORIGIN="null")


def test_what_is_no_browser_sends_neither_header_and_passes() -> None:
    assert passes(by_host())
    assert passes(by_host(), HTTP_SEC_FETCH_SITE="", HTTP_ORIGIN=" ")


@pytest.mark.parametrize(
    ("host", "origin", "same"),
    [
        ("localhost:8000", "http://localhost:8000", True),
        ("LOCALHOST.:8000", "https://localhost:8000", True),
        ("localhost", "https://localhost", True),
        ("localhost:443", "https://localhost", True),
        ("[::1]:8000", "http://[0::1]:8000", True),
        ("example.com", "https://example.com:8443", True),
        ("localhost:8000", "http://localhost:8001", False),
        ("localhost:8000", "http://localhost", False),
        ("localhost", "http://acme.localhost", False),
        ("acme.localhost", "http://localhost", False),
        ("acme.localhost", "http://globex.localhost", False),
        ("localhost", "null", False),
        ("null", "null", False),
        ("localhost", "localhost", False),
        ("localhost", "http://", False),
        ("", "http://", False),
        ("localhost", "http://localhost, http://example.org", False),
        ("localhost", "http://local_host", False),
    ],
)
def test_a_browser_that_tells_only_its_origin_is_believed(host: str, origin: str, same: bool) -> None:
    """By host and port; by the host alone where a proxy has taken off the port."""
    assert passes(by_host(), HTTP_HOST=host, HTTP_ORIGIN=origin) is same
    assert passes(by_host(), "GET", HTTP_HOST=host, HTTP_ORIGIN=origin)


def test_the_refusal_says_what_to_do() -> None:
    with pytest.raises(Refused, match="another site") as refused:
        by_host().leaves(HTML, REQUEST_METHOD="POST", HTTP_SEC_FETCH_SITE="same-site")
    assert refused.value.hint


# Caches


@pytest.mark.parametrize(
    ("said", "becomes"),
    [
        ([], ["private"]),
        (["max-age=60"], ["private, max-age=60"]),
        (["no-cache"], ["private, no-cache"]),
        (["must-revalidate", "max-age=60"], ["private, must-revalidate", "max-age=60"]),
        (['private="x-own"'], ['private, private="x-own"']),
        (['x="private'], ['private, x="private']),
        (['x="private, public"'], ['private, x="private, public"']),
        (["privately"], ["private, privately"]),
        ([""], ["private"]),
    ],
)
@pytest.mark.parametrize("name", ["Cache-Control", "cache-control"])
def test_a_response_that_sets_a_cookie_is_one_visitors(said: list[str], becomes: list[str], name: str) -> None:
    headers = [HTML, ("Set-Cookie", "a=b"), ("Expires", "Thu, 01 Jan 2037 00:00:00 GMT")]
    left = by_host().leaves(*headers, *((name, value) for value in said))
    assert left == [*headers, *((name if said else "Cache-Control", value) for value in becomes)]


@pytest.mark.parametrize(
    "said",
    [
        *(
            "public",
            "Public, max-age=60",
            "max-age=5, s-maxage=60",
            "private",
            "PRIVATE",
            "no-store",
            "max-age=0, No-Store",
        ),
        *("private, max-age=60", "max-age = 60 , private "),
    ],
)
def test_an_application_that_speaks_of_shared_caches_is_believed(said: str) -> None:
    headers = [("Cache-Control", said), ("Set-Cookie", "a=b")]
    assert by_host().leaves(*headers) == headers
    assert by_host().leaves(("cache-control", "max-age=1"), *headers)[0] == ("cache-control", "max-age=1")


def test_a_response_whose_cookie_was_dropped_is_one_visitors_all_the_same() -> None:
    assert by_host().leaves(("Set-Cookie", "a=b; Domain=localhost")) == [("Cache-Control", "private")]


def test_a_response_without_a_cookie_may_be_anybodys() -> None:
    assert by_host().leaves(HTML, ("X-Cookie", "a")) == [HTML, ("X-Cookie", "a")]
    assert by_path().leaves(("Location", "/")) == [("Location", "/t/acme/")]
