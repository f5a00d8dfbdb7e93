"""Where a tenant is not at home any more: redirects to its name and to its primary domain."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.address import Kind
from tenantry.assembly.platform import Platform, open_platform
from tenantry.dispatch import DomainDispatcher
from tenantry.operations import NewTenant
from tenantry.pool import Decline, Lease
from tenantry.registry import By
from tenantry.tenant import Status, Tenant
from tests.doors import Street, follow, shut, tenant
from tests.servers import serving
from tests.sites import Answer, ask, begin, environ_of
from tests.wsgi import call, wait_until

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

NEW = replace(tenant("acme"), name="apex")
HOME = "http://apex.example.com:8443/"
PATH_HOME = "http://example.com:8443/t/apex/"
RENAME = By("ana", "rename")


def street(known: Tenant = NEW, scheme: str = "http") -> Street:
    """A street whose one tenant is found at its name and at the one it had before."""
    made = Street(scheme=scheme)
    made.puts(known, "acme")
    return made


def to(answer: Answer) -> tuple[int, str | None]:
    return answer.code, answer.headers.get("Location")


@pytest.mark.parametrize("target", ["/", "/?", "/a/b?c=d&e", "/a%2Fb//c%20d;e?q=%C3%A9&r=a+b?/", "/%zz?%", "/~x/%7Ex"])
@pytest.mark.parametrize("variable", ["REQUEST_URI", "RAW_URI"])
def test_an_old_name_leads_to_the_new_one_with_path_and_query_as_they_were_sent(target: str, variable: str) -> None:
    spelled: dict[str, Any] = {"REQUEST_URI": None, variable: target, "QUERY_STRING": target.partition("?")[2]}
    answer = ask(street().hosts, path=unquote(target.partition("?")[0], "latin-1"), **spelled)
    assert to(answer) == (308, HOME + target[1:])


@pytest.mark.parametrize(
    ("path", "query", "location"),
    [
        ("/", "", ""),
        ("", "", ""),
        ("/a b/\xc3\xa9", "q=a b&c=%C3%A9#x", "a%20b/%C3%A9?q=a%20b&c=%C3%A9%23x"),
        ("/50%/a;b=c,d:@~", "", "50%25/a;b=c,d:@~"),
        ("/a?b", "c", "a%3Fb?c"),
    ],
)
def test_where_the_server_does_not_tell_what_was_sent_it_is_spelled_again(path: str, query: str, location: str) -> None:
    answer = ask(street().hosts, path=path, QUERY_STRING=query, REQUEST_URI=None)
    assert to(answer) == (308, HOME + location)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_every_method_is_redirected_by_a_status_that_keeps_it(method: str) -> None:
    answer = ask(street().hosts, path="/x", REQUEST_METHOD=method)
    assert to(answer) == (308, HOME + "x")
    assert (answer.body == "") is (method == "HEAD")


def test_a_redirect_is_kept_for_a_while_by_the_visitor_alone() -> None:
    """A 308 that says nothing is kept for ever, and the name may be somebody else's one day."""
    assert ask(street().hosts).headers["Cache-Control"] == "no-store"


def test_a_redirect_goes_where_the_settings_say_that_visitors_are() -> None:
    answer = ask(street(scheme="https").hosts, "acme.example.com:80", HTTP_X_FORWARDED_PROTO="http")
    assert to(answer) == (308, "https://apex.example.com:8443/")


@pytest.mark.parametrize("target", ["/acme/x?y", "/acme/?", "/acme//x/../%2e/", "/acme/a%2Fb?acme/"])
def test_an_old_path_leads_to_the_new_one(target: str) -> None:
    spelled = {"REQUEST_URI": target, "QUERY_STRING": target.partition("?")[2]}
    for _ in range(2):
        answer = ask(street().paths, path=unquote(target.partition("?")[0]), **spelled)
        assert to(answer) == (308, PATH_HOME + target.removeprefix("/acme/"))


@pytest.mark.parametrize(("target", "rest"), [("/acme", ""), ("/acme?a=/b/c", "?a=/b/c")])
def test_an_old_path_without_its_slash_leads_to_the_new_one_with_it(target: str, rest: str) -> None:
    query = target.partition("?")[2]
    for raw in (target, None):
        answer = ask(street().paths, path="/acme", REQUEST_URI=raw, QUERY_STRING=query)
        assert to(answer) == (308, PATH_HOME + rest)


def test_an_old_path_is_spelled_again_where_the_server_does_not_tell_it() -> None:
    answer = ask(street().paths, path="/acme/a b", REQUEST_URI=None, QUERY_STRING="c")
    assert to(answer) == (308, PATH_HOME + "a%20b?c")


def test_an_old_path_that_was_warm_a_moment_ago_is_redirected_like_any_other() -> None:
    made = Street(tenant("acme"))
    assert ask(made.paths, path="/acme/x").code == 200
    made.puts(replace(NEW, revision=2), "acme")
    assert to(ask(made.paths, path="/acme/x")) == (308, PATH_HOME + "x")
    made.pool.close()


def test_every_custom_domain_leads_to_the_primary_one() -> None:
    made = Street()
    known = made.puts(replace(NEW, domain="shop.example.org"), "shop.example.org", "acme.example.net")
    answer = ask(made.domains, "Acme.Example.Net:80", "/x", REQUEST_URI="/x?y")
    assert to(answer) == (308, "http://shop.example.org:8443/x?y")
    assert ask(made.domains, "shop.example.org").code == 200
    made.known[Kind.DOMAIN, "acme.example.net"] = replace(known, domain="")
    assert ask(made.domains, "acme.example.net").code == 200
    made.pool.close()


def test_a_subdomain_is_served_beside_a_primary_domain() -> None:
    made = street(replace(NEW, domain="shop.example.org"))
    assert ask(made.hosts, "apex.example.com").code == 200
    made.pool.close()


NASTY = [
    *("//evil.com", "///evil.com/", "/\\evil.com", "\\\\evil.com", "/%0d%0aSet-Cookie:a=b", "/\r\nSet-Cookie:a=b"),
    *("http://evil.com/", "https:evil.com", "@evil.com", ":x@evil.com", ".evil.com", "*", "evil.com", "/.evil.com"),
    *("/x\tb", "/\x00", "/caf\xe9", "/\u20ac", "?//evil.com", "#@evil.com", "/a#//evil.com", "javascript:alert(1)"),
]


def stays(answer: Answer, home: str) -> None:
    """See that a redirect leads below `home`, whoever reads it, and that its header is one line of ASCII."""
    location = answer.headers["Location"]
    assert location.startswith(home)
    assert location.isascii()
    assert location.isprintable()
    assert " " not in location
    assert urlsplit(location.replace("\\", "/"))[:2] == urlsplit(home)[:2]
    assert sorted(answer.headers) == [
        *("Cache-Control", "Content-Length", "Content-Type", "Location", "X-Content-Type-Options")
    ]


@pytest.mark.parametrize("path", NASTY)
def test_no_redirect_leads_to_another_host(path: str) -> None:
    made = street()
    for raw in (path, None):
        answer = begin(made.hosts, environ_of(path=path, REQUEST_URI=raw))
        assert answer.code == 308
        stays(answer, HOME)
        answer = begin(made.paths, environ_of(path=f"/acme/{path}", REQUEST_URI=raw and f"/acme/{raw}"))
        assert answer.code == 308
        stays(answer, PATH_HOME)


ODD = st.text(st.one_of(st.sampled_from("/\\@:?#%.;*\r\n\t \x00é€acme"), st.characters()), max_size=24)


@given(path=ODD, query=ODD, raw=st.none() | ODD, outer=st.sampled_from(["", "/o", "//evil.com", "\\"]))
def test_whatever_the_request_looks_like_its_redirect_stays_at_home(
    path: str, query: str, raw: str | None, outer: str
) -> None:
    given = {"QUERY_STRING": query, "REQUEST_URI": raw, "SCRIPT_NAME": outer}
    stays(begin(_street.hosts, environ_of(path=path, **given)), HOME)
    answer = begin(_street.paths, environ_of(path=f"/acme/{path}", **given))
    if answer.code == 308:
        stays(answer, PATH_HOME)
    else:
        assert answer.code == 400


_street = street()


@pytest.mark.parametrize(("status", "code"), [(Status.SUSPENDED, 403), (Status.ADDING, 503)])
def test_a_tenant_that_is_not_open_says_so_at_its_old_addresses_too(status: Status, code: int) -> None:
    made = street(replace(NEW, status=status))
    for door, path in ((made.hosts, "/"), (made.paths, "/acme/"), (made.paths, "/acme")):
        assert to(ask(door, path=path)) == (code, None)


def test_a_maintenance_is_not_redirected() -> None:
    made = street(shut(NEW))
    for door, path in ((made.hosts, "/"), (made.paths, "/acme/"), (made.paths, "/acme")):
        assert to(ask(door, path=path)) == (503, None)


def test_nobody_is_built_for_a_redirect() -> None:
    made = street()
    ask(made.hosts)
    ask(made.paths, path="/acme/")
    assert not made.factory.calls


def test_a_lease_that_declines_without_an_answer_is_unknown_at_a_domain() -> None:
    def lease(name: str, mount: str) -> Lease:
        raise Decline(None)

    assert ask(DomainDispatcher(lease=lease), "shop.example.org").code == 404


# The whole platform


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """A platform with a tenant that has an address of each kind."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with open_platform(tmp_path, {"application": "tests.applications:plain"}) as opened:
        opened.operations.add(NewTenant(name="acme", path=True, domains=("shop.example.org",), trust=True))
        yield opened
        opened.pool.verify()


def rename(platform: Platform, name: str, new: str, days: float = 30) -> None:
    uid = platform.operations.show(name).tenant.uid
    follow(platform, platform._registry.rename, uid, new, timedelta(days=days), RENAME)


def test_a_renamed_tenant_is_served_at_its_new_name_and_led_there_from_every_old_one(platform: Platform) -> None:
    get = platform.application
    assert call(get, "acme.localhost").text == call(get, "localhost", "/t/acme/").text == "acme"
    rename(platform, "acme", "apex")
    rename(platform, "apex", "zenith")
    for old in ("acme", "apex"):
        for _ in range(2):  # a host that has led somewhere is remembered by the gateway
            moved = call(get, f"{old}.localhost:8000", "/x", QUERY_STRING="y")
            assert moved.headers["Location"] == "http://zenith.localhost:8000/x?y"
        moved = call(get, "localhost", f"/t/{old}/x", REQUEST_URI=f"/t/{old}/x?y")
        assert moved.headers["Location"] == "http://localhost:8000/t/zenith/x?y"
    for host, path in (("zenith.localhost", "/"), ("localhost", "/t/zenith/"), ("shop.example.org", "/")):
        wait_until(partial(_says, get, host, path, "zenith"))  # what was built before answers until it is replaced


def _says(application: "WSGIApplication", host: str, path: str, text: str) -> bool:
    return call(application, host, path).text == text


def test_an_old_name_without_grace_is_as_unknown_as_any(platform: Platform) -> None:
    rename(platform, "acme", "apex", days=0)
    assert call(platform.application, "acme.localhost").status == 404
    old = call(platform.application, "localhost", "/t/acme/")
    assert (old.status, old.body) == (404, call(platform.application, "nobody.localhost").body)


def test_a_domain_that_is_made_the_primary_one_draws_the_others_to_it(platform: Platform) -> None:
    uid = platform.operations.show("acme").tenant.uid
    assert call(platform.application, "shop.example.org").status == 200
    follow(platform, platform._registry.add_domain, uid, "acme.example.net", True, By("ana", "domain add"))
    moved = call(platform.application, "shop.example.org", "/x", REQUEST_METHOD="POST", REQUEST_URI="/x?y")
    assert moved.headers["Location"] == "http://acme.example.net:8000/x?y"
    assert call(platform.application, "acme.example.net").text == "acme"


def test_a_suspended_tenant_is_refused_at_its_old_name(platform: Platform) -> None:
    rename(platform, "acme", "apex")
    platform.operations.suspend("apex", "unpaid")
    wait_until(lambda: call(platform.application, "acme.localhost").status == 403)


def test_over_the_wire_a_redirect_keeps_what_was_sent(platform: Platform) -> None:
    """The server collapses leading slashes and decodes the path before the platform sees it."""
    rename(platform, "acme", "apex")
    with serving(platform.application, lane=platform.asks.lane) as site:
        for target in ("//evil.com/%2e", "/a%2Fb%0d%0a?c=%20", "/?"):
            status, headers, _ = site.ask(target, "acme.localhost", method="POST").answer()
            assert (status, headers["location"]) == (308, f"http://apex.localhost:8000{target}".lower())
        status, headers, _ = site.ask("/t/acme//evil.com?x", "localhost").answer()
        assert (status, headers["location"]) == (308, "http://localhost:8000/t/apex//evil.com?x")
