"""Dispatch by host: which tenant a Host header means, and which means none."""

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import NotFound

from tenantry import address
from tenantry.dispatch import SubdomainDispatcher
from tenantry.errors import Invalid
from tests.sites import Apps, ask, asked, begin, environ_of

if TYPE_CHECKING:
    pass


@pytest.fixture
def apps() -> Apps:
    return Apps("nobody", answer=NotFound("no such user"))


@pytest.fixture
def subdomains(apps: Apps) -> SubdomainDispatcher:
    return SubdomainDispatcher("example.com", apps)


# By subdomain


@pytest.mark.parametrize(
    "host",
    ["acme.example.com", "ACME.Example.COM", "acme.example.com.", "acme.example.com:8000", "AcMe.example.com.:65535"],
)
def test_one_tenant_answers_at_every_spelling_of_its_host(subdomains: SubdomainDispatcher, host: str) -> None:
    for _ in range(2):
        assert ask(subdomains, host).body == "acme  /"
        assert ask(subdomains, "acme.example.com").body == "acme  /"
    assert asked(subdomains) == {"acme": 1}


def test_the_bare_domain_asks_for_the_empty_name(subdomains: SubdomainDispatcher) -> None:
    assert ask(subdomains, "example.com").body == "  /"
    assert ask(subdomains, "EXAMPLE.com.:80").body == "  /"
    assert asked(subdomains) == {"": 1}


@pytest.mark.parametrize(
    "host",
    [
        "evilexample.com",
        "acme.evilexample.com",
        "a.b.example.com",
        "example.com.evil.org",
        "example.org",
        "com",
        "127.0.0.1",
        "[::1]",
        "[2001:db8::1]:8000",
        "1234.example.com",
        "a--b.example.com",
        "xn--bcher-kva.example.com",
        "a" * 41 + ".example.com",
    ],
)
def test_a_host_that_is_not_one_name_below_the_domain_is_unknown_and_reaches_no_factory(
    subdomains: SubdomainDispatcher, host: str
) -> None:
    assert ask(subdomains, host).code == 404
    assert not asked(subdomains)


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        ".example.com",
        "acme..example.com",
        "-acme.example.com",
        "acme-.example.com",
        "a_b.example.com",
        "acme.example.com, globex.example.com",
        "acme.example.com:0",
        "acme.example.com:080",
        "acme.example.com:65536",
        "acme.example.com:80:80",
        "acme.example.com:",
        "../../etc.example.com",
        "acme.example.com/x",
        "acme@example.com",
        "acme .example.com",
        "acme.example.com\n",
        "acme\x00.example.com",
        "ac\xe9.example.com",
        "[::1",
        "[::g]",
        "::1",
        "a" * 64 + ".example.com",
        "a." * 130 + "example.com",
    ],
)
def test_a_host_that_is_none_is_a_bad_request_and_reaches_no_factory(
    subdomains: SubdomainDispatcher, host: str
) -> None:
    answer = begin(subdomains, environ_of(host))
    answer.read()
    assert answer.code == 400
    assert not asked(subdomains)


def test_a_request_without_a_host_is_a_bad_request(subdomains: SubdomainDispatcher) -> None:
    assert begin(subdomains, environ_of(None)).code == 400
    assert not asked(subdomains)


def test_what_a_stranger_sent_cannot_write_into_the_page(subdomains: SubdomainDispatcher) -> None:
    answer = begin(subdomains, environ_of("<script>alert(1)</script>"))
    assert "<script>" not in answer.read()


ODD = st.text(st.sampled_from("acme.-:0189AZ[]/\\%@ \t\r\n\x00é_*'"), max_size=24)
LABELS = st.text(st.sampled_from("abcxyz-0129ABZ"), min_size=1, max_size=44)
HOSTS = st.one_of(
    ODD,
    st.builds("{}example.com{}".format, ODD, ODD),
    st.builds("{}.example.com{}".format, LABELS, st.sampled_from(["", ".", ":80", ".:80", "..", ":0"])),
    st.builds("{}.{}.example.com".format, LABELS, LABELS),
    st.builds("{}.example.com".format, st.text(max_size=8)),
)
_everybody = Apps()
_everybody.make = lambda _: NotFound()  # type: ignore[assignment,method-assign]
_open_to_all = SubdomainDispatcher("example.com", _everybody)


@given(HOSTS)
def test_nothing_but_one_name_below_the_domain_ever_reaches_create_app(host: str) -> None:
    _everybody.asked.clear()
    answer = begin(_open_to_all, environ_of(host))
    answer.read()
    assert answer.code in {400, 404}
    if _everybody.asked:
        (name,) = _everybody.asked
        assert not name or address.is_name(name)
        assert host.lower().partition(":")[0].removesuffix(".") == f"{name}.example.com".removeprefix(".")


def test_a_domain_may_be_given_with_capitals_a_port_and_a_dot() -> None:
    dispatcher = SubdomainDispatcher("Example.COM.:8000", Apps())
    assert ask(dispatcher, "acme.example.com").body == "acme  /"


def test_a_domain_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(Invalid):
        SubdomainDispatcher("exa mple", Apps())
