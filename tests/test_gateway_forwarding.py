"""What proxies say: believed of the declared ones, as far as it can be true, and shown to nobody."""

import tracemalloc
from collections.abc import Iterable
from typing import TYPE_CHECKING

import pytest

from tenantry.gateway import behind_proxies, forwarding
from tests.wsgi import call

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def seen(hops: int, **headers: str) -> "WSGIEnvironment":
    """Tell what an application behind so many proxies sees of a request."""
    environs: list[WSGIEnvironment] = []

    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        environs.append(environ)
        start_response("200 OK", [])
        return []

    call(behind_proxies(app, hops), "acme.localhost", REMOTE_ADDR="10.0.0.1", **headers)
    return environs[0]


def client(text: str, hops: int = 1) -> str:
    """Tell who the client is taken for, whether the proxy tells the scheme too or not."""
    alone = seen(hops, HTTP_X_FORWARDED_FOR=text)
    both = seen(hops, HTTP_X_FORWARDED_FOR=text, HTTP_X_FORWARDED_PROTO=", ".join(["https"] * hops))
    assert both["wsgi.url_scheme"] == ("https" if hops else "http")
    assert both["REMOTE_ADDR"] == alone["REMOTE_ADDR"]
    address: str = alone["REMOTE_ADDR"]
    return address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        *(("203.0.113.9", "203.0.113.9"), ("203.0.113.9:4711", "203.0.113.9"), ("2001:DB8:0::1", "2001:db8::1")),
        *(
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
        ),
        *(
            ("203.0.113.9, ", "203.0.113.9"),
            ("198.51.100.1, 203.0.113.9", "203.0.113.9"),
            ("<x>,203.0.113.9", "203.0.113.9"),
        ),
    ],
)
def test_the_last_entry_is_the_client_with_its_port_or_without(text: str, address: str) -> None:
    assert client(text) == address


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "unknown",
            "_hidden",
            "localhost",
            "<script>",
            "203.0.113",
            "203.0.113.09",
            "1",
            "::1%eth0",
            "fe80::1%<x>",
        ),
        *(
            "203.0.113.9, unknown",
            "[::1",
            "[]",
            "[203.0.113.9",
            ":",
            "203.0.113.9 10.0.0.2",
            "\u0663.1.1.1",
        ),
    ],
)
def test_what_is_no_address_is_not_believed(text: str) -> None:
    assert client(text) == "10.0.0.1"


def test_as_many_entries_are_counted_as_there_are_proxies() -> None:
    assert client("198.51.100.1, 203.0.113.9, 10.0.0.2", hops=2) == "203.0.113.9"
    assert client("203.0.113.9", hops=2) == "10.0.0.1"
    assert client("203.0.113.9", hops=0) == "10.0.0.1"
    assert client("10.0.0.1") == "10.0.0.1"


@pytest.mark.parametrize(
    ("text", "scheme"),
    [
        *(
            ("https", "https"),
            ("HTTPS", "https"),
            ("ftp, Http", "http"),
            ("http,https", "https"),
            ("https,http", "http"),
        ),
        *(
            ("javascript", "http"),
            ("https://", "http"),
            ("wss", "http"),
            ("", "http"),
            ("on", "http"),
            ("https ", "https"),
        ),
    ],
)
def test_a_scheme_is_http_or_https(text: str, scheme: str) -> None:
    for more in ({}, {"HTTP_X_FORWARDED_FOR": "203.0.113.9"}, {"HTTP_X_FORWARDED_FOR": "unknown"}):
        assert seen(1, HTTP_X_FORWARDED_PROTO=text, **more)["wsgi.url_scheme"] == scheme
    assert seen(0, HTTP_X_FORWARDED_PROTO=text)["wsgi.url_scheme"] == "http"


NAMES = [
    *("X_FORWARDED_FOR", "X_FORWARDED_HOST", "X_FORWARDED_ANY!THING", "X_FORWARDED_", "FORWARDED", "X_REAL_IP"),
    *(
        "X_ORIGINAL_URL",
        "X_ORIGINAL_HOST",
        "X_REWRITE_URL",
        "X_SCHEME",
        "FRONT_END_HTTPS",
        "X_URL_SCHEME",
        "X_CLIENT_IP",
    ),
    *("TRUE_CLIENT_IP", "CF_CONNECTING_IP", "X_CLUSTER_CLIENT_IP", "X_SCRIPT_NAME", "X_HOST", "PROXY"),
]


@pytest.mark.parametrize("hops", [0, 1])
def test_no_header_that_forwards_is_seen_by_anybody(hops: int) -> None:
    headers = {f"HTTP_{name}": "x" for name in NAMES}
    others = {
        "HTTP_VIA": "1.1 x",
        "HTTP_X_REQUEST_ID": "7",
        "HTTP_X_HTTP_METHOD_OVERRIDE": "PUT",
        "HTTP_X_FORWARD": "x",
    }
    for _ in range(2):
        environ = seen(hops, **headers, **others)
        assert {key for key in environ if key.startswith("HTTP_")} == {*others, "HTTP_HOST"}
        assert "werkzeug.proxy_fix.orig" not in environ


def test_names_that_are_made_up_are_not_remembered_without_end() -> None:
    for number in range(5000):
        assert f"HTTP_X_{number}" in seen(0, **{f"HTTP_X_{number}": "x"})
    assert len(forwarding._harmless) <= 4096
    assert "HTTP_X_REAL_IP" not in seen(0, HTTP_X_REAL_IP="x")


def test_after_names_that_are_made_up_honest_ones_are_remembered_again() -> None:
    for number in range(4200):
        seen(0, **{f"HTTP_X_{number}": "x"})
    honest = seen(0, HTTP_X_HONEST="x", HTTP_X_HONEST_TOO="x")
    assert {"HTTP_X_HONEST", "HTTP_X_HONEST_TOO"} <= honest.keys() & forwarding._harmless


def test_what_strangers_spell_at_length_is_kept_nowhere() -> None:
    """Neither a long name, which is passed on all the same, nor what stands for an address."""
    seen(1, HTTP_X_FORWARDED_FOR="203.0.113.9")
    tracemalloc.start()
    try:
        for number in range(60):
            long = f"{number}_" + "A" * 20_000
            assert f"HTTP_{long}" in seen(0, **{f"HTTP_{long}": "x"})
            for hops in (1, 2):
                assert (
                    seen(hops, HTTP_X_FORWARDED_FOR=long, HTTP_X_FORWARDED_PROTO="https")["REMOTE_ADDR"] == "10.0.0.1"
                )
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1 << 18
