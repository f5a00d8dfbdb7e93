"""A tenant in maintenance: what its visitors see, and how its owner gets past."""

import gc
import json
import logging
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from http.cookies import SimpleCookie
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tenantry.assembly.platform import Platform, open_platform
from tenantry.errors import Unavailable
from tenantry.operations import NewTenant
from tenantry.registry import By
from tenantry.tenant import Notice, Status, digest
from tests.doors import SECRET, Echoes, Street, follow, shut, tenant
from tests.servers import serving
from tests.sites import Answer, ask, begin, environ_of, without_collector
from tests.wsgi import call

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

LINK = f"/-/maintenance/{SECRET}"
COOKIE = f"maintenance_acme={SECRET}"
JSON = {"HTTP_ACCEPT": "application/json"}


@pytest.fixture
def street() -> Iterator[Street]:
    """A street with acme in maintenance and globex beside it, whose applications tell what reached them."""
    made = Street(shut(tenant("acme")), tenant("globex"), factory=Echoes())
    yield made
    made.pool.verify()
    made.pool.close()


def past(app: "WSGIApplication", path: str = "/", cookie: str = COOKIE, **more: Any) -> Answer:
    """Ask for a page of acme with a cookie, by host or by path."""
    return ask(app, path=path, HTTP_COOKIE=cookie, **more)


# The link


def test_the_link_gives_a_cookie_and_leads_to_the_start(street: Street) -> None:
    answer = ask(street.hosts, path=LINK)
    assert (answer.code, answer.headers["Location"]) == (303, "/")
    assert answer.headers["Set-Cookie"] == f"{COOKIE}; HttpOnly; Path=/; SameSite=Lax"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert not street.factory.calls


def test_only_the_right_secret_gives_what_the_notice_denies(street: Street) -> None:
    with pytest.raises(Unavailable) as denied:
        street.leasing.by_subdomain("acme", "")
    assert denied.value.bypass is not None
    for secret in ("wrong", "", "\xe9", SECRET[:-1]):
        with pytest.raises(Unavailable, match="in maintenance"):
            denied.value.bypass(secret)
    with pytest.raises(Unavailable, match="is starting"):
        denied.value.bypass(SECRET)


def test_under_https_the_cookie_is_one_that_no_neighbour_can_set() -> None:
    street = Street(shut(tenant("acme")), scheme="https")
    for door in (street.hosts, street.domains):
        host = "acme.example.com" if door is street.hosts else "acme"
        cookie = ask(door, host, LINK).headers["Set-Cookie"]
        assert cookie == f"__Host-{COOKIE}; Secure; HttpOnly; Path=/; SameSite=Lax"
    assert ask(street.hosts, HTTP_COOKIE=COOKIE).code == 503
    assert ask(street.hosts, HTTP_COOKIE=f"__Host-{COOKIE}").code == 200
    cookie = ask(street.paths, path=f"/acme{LINK}").headers["Set-Cookie"]
    assert cookie == f"{COOKIE}; Secure; HttpOnly; Path=/acme/; SameSite=Lax"
    street.pool.close()


def test_below_a_path_link_cookie_and_start_are_the_mounts(street: Street) -> None:
    outer = {"SCRIPT_NAME": "/t", "REQUEST_URI": f"/t/acme{LINK}"}
    answer = ask(street.paths, path=f"/acme{LINK}", **outer)
    assert (answer.code, answer.headers["Location"]) == (303, "/t/acme/")
    assert "; Path=/t/acme/;" in answer.headers["Set-Cookie"]
    assert ask(street.paths, path=f"/acme{LINK}").headers["Location"] == "/acme/"
    seen = json.loads(past(street.paths, "/acme/x", SCRIPT_NAME="/t", REQUEST_URI="/t/acme/x").body)
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"]) == ("/t/acme", "/x")


def test_below_a_path_the_root_without_its_slash_leads_to_where_the_cookie_is_shown(street: Street) -> None:
    for cookie in ("", COOKIE):
        answer = past(street.paths, "/acme", cookie, QUERY_STRING="a=b")
        assert (answer.code, answer.headers["Location"]) == (308, "/acme/?a=b")


def test_the_link_of_an_old_name_leads_to_the_new_one_and_gives_no_cookie(street: Street) -> None:
    street.puts(shut(replace(tenant("acme"), name="apex")), "acme")
    answer = ask(street.hosts, path=LINK)
    assert (answer.code, answer.headers["Location"]) == (308, f"http://apex.example.com:8443{LINK}")
    assert "Set-Cookie" not in answer.headers
    assert ask(street.hosts, "apex.example.com", LINK).code == 303
    assert past(street.hosts).code == 308


@pytest.mark.parametrize("method", ["HEAD", "POST", "OPTIONS", "get"])
def test_only_a_visit_to_the_link_gives_the_cookie(street: Street, method: str) -> None:
    """Programs look at links by HEAD when people send them to each other."""
    answer = begin(street.hosts, environ_of(path=LINK, REQUEST_METHOD=method))
    assert answer.code == 503
    assert "Set-Cookie" not in answer.headers


WRONG = [
    *("", "x", SECRET[:-1], f"{SECRET}x", SECRET.upper(), f"{SECRET}/", f"{SECRET}\r\nX: y", f"{SECRET};a", "\xe9"),
    *("x" * 20_000, digest(SECRET), f'"{SECRET}"'),
]


@pytest.mark.parametrize("secret", WRONG)
def test_a_wrong_secret_opens_nothing(street: Street, secret: str) -> None:
    for path, cookie in ((f"/-/maintenance/{secret}", ""), ("/", f"maintenance_acme={secret}")):
        environ = environ_of(path=path, HTTP_COOKIE=cookie, REQUEST_URI=None)
        answer = begin(street.hosts, environ)
        if secret == f"{SECRET};a" and cookie:
            continue  # that is the right one, and another cookie
        assert answer.code == 503
        assert "Set-Cookie" not in answer.headers


def test_without_a_secret_nobody_gets_past(street: Street) -> None:
    street.puts(shut(tenant("acme"), secret=""))
    for path, cookie in (("/-/maintenance/", "maintenance_acme="), (LINK, COOKIE)):
        assert ask(street.hosts, path=path, HTTP_COOKIE=cookie).code == 503


@pytest.mark.parametrize("status", [Status.SUSPENDED, Status.ADDING, Status.REMOVED])
def test_only_a_maintenance_has_a_way_past(street: Street, status: Status) -> None:
    street.puts(replace(shut(tenant("acme")), status=status))
    for path, cookie in ((LINK, ""), ("/", COOKIE)):
        assert ask(street.hosts, path=path, HTTP_COOKIE=cookie).code in {403, 503}


# The cookie


def test_who_bears_the_cookie_is_served_as_if_the_tenant_were_active(street: Street) -> None:
    for _ in range(2):
        answer = past(street.hosts, "/x", REQUEST_METHOD="POST", QUERY_STRING="y")
        assert answer.code == 200
        seen = json.loads(answer.body)
        assert (seen["uid"], seen["at"], seen["PATH_INFO"], seen["QUERY_STRING"]) == ("acme", 2, "/x", "y")
        assert ask(street.hosts).code == 503
    assert past(street.hosts, LINK, REQUEST_METHOD="POST").code == 200


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        (COOKIE, None),
        (f"a=b; {COOKIE}", "a=b"),
        (f'{COOKIE}; a="b c"; d=e;f', 'a="b c"; d=e;f'),
        (f"a=b;  {COOKIE} ;c=d; maintenance_acme=x", "a=b;c=d"),
        (f"{COOKIE}; maintenance_globex=y; xmaintenance_acme=z", "maintenance_globex=y; xmaintenance_acme=z"),
    ],
)
def test_the_application_never_sees_the_cookie_and_sees_all_others(street: Street, sent: str, seen: str | None) -> None:
    assert json.loads(past(street.hosts, cookie=sent).body).get("HTTP_COOKIE") == seen


def test_nobody_may_keep_what_the_owner_was_shown(street: Street) -> None:
    """Neither a cache on the way, whatever tells it to, nor the owner's browser: the site is half done."""
    answer = past(street.hosts)
    assert answer.headers == {"Content-Type": "application/json", "Cache-Control": "no-store"}
    assert "max-age=31536000" in ask(street.hosts, "globex.example.com").headers["Cache-Control"]


def test_a_cookie_that_a_neighbour_has_set_does_not_hide_the_right_one(street: Street) -> None:
    assert past(street.hosts, cookie=f"maintenance_acme=planted; {COOKIE}").code == 200


def test_the_cookie_of_one_tenant_says_nothing_at_another(street: Street) -> None:
    street.puts(shut(tenant("globex"), secret="another"))
    for cookie in (COOKIE, COOKIE.replace("acme", "globex")):
        assert ask(street.hosts, "globex.example.com", HTTP_COOKIE=cookie).code == 503
    assert ask(street.hosts, "globex.example.com", LINK).code == 503


def test_a_new_link_shuts_out_who_had_the_old_one(street: Street) -> None:
    assert past(street.hosts).code == 200
    street.puts(shut(tenant("acme"), secret="another"))
    assert past(street.hosts).code == 503
    assert ask(street.hosts, path=LINK).code == 503


def test_after_the_maintenance_link_and_cookie_are_the_applications_own(street: Street) -> None:
    street.puts(replace(tenant("acme"), revision=3))
    seen = json.loads(past(street.hosts, LINK).body)
    assert (seen["PATH_INFO"], seen["at"]) == (LINK, 3)


def test_a_request_past_the_notice_that_awaits_a_build_comes_back_through_the_same_door(street: Street) -> None:
    """To a server that waits outside threads as well as to one that does not."""
    parked: list[Future[Any]] = []

    class Parked(BaseException):
        """How a server takes a request off its thread."""

    def park(build: Future[Any]) -> None:
        parked.append(build)
        raise Parked

    environ: dict[str, Any] = {"HTTP_COOKIE": COOKIE, "tenantry.park": park}
    with pytest.raises(Parked):
        begin(street.hosts, environ_of(**environ))
    parked[0].result(5)
    assert begin(street.hosts, environ_of(**environ)).code == 200
    assert past(street.paths, "/acme/").code == 200
    assert street.factory.calls == {"acme": 1, "acme/acme": 1}


def test_an_owner_whose_application_fails_sees_that_and_not_the_notice(street: Street) -> None:
    street.factory.errors["acme"] = RuntimeError("half done")
    for _ in range(2):
        answer = past(street.hosts)
        assert answer.code == 503
        assert "cannot start" in answer.body


def test_a_crowd_at_a_shut_door_leaves_nothing_behind(street: Street) -> None:
    """An error and the frames it came through must not keep each other until a collection."""
    crowd: tuple[tuple[WSGIApplication, str], ...] = ((street.hosts, "/"), (street.paths, "/acme/x"))
    with without_collector():
        before = sum(isinstance(thing, Unavailable) for thing in gc.get_objects())
        for door, path in crowd * 20:
            for cookie in ("", "maintenance_acme=wrong"):
                assert begin(door, environ_of(path=path, HTTP_COOKIE=cookie)).code == 503
        assert sum(isinstance(thing, Unavailable) for thing in gc.get_objects()) == before


# The whole platform


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """A platform with a tenant that has an address of each kind."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with open_platform(tmp_path, {"application": "tests.applications:notes"}) as opened:
        opened.operations.add(NewTenant(name="acme", path=True, domains=("shop.example.org",), trust=True))
        yield opened
        opened.pool.verify()


def maintain(platform: Platform, message: str = "", secret: str = SECRET) -> str:
    """Put acme into maintenance, wait until the platform has followed, and give its uid."""
    uid = platform.operations.show("acme").tenant.uid
    follow(platform, platform._registry.maintain, uid, Notice(message, 900, digest(secret)), By("ana", "maintenance"))
    return uid


def test_visitors_are_told_when_to_come_back_in_the_operators_words(platform: Platform) -> None:
    maintain(platform, "We move <b>house</b>.\nBack at 18:00.")
    for host, path in (("acme.localhost", "/"), ("shop.example.org", "/x"), ("localhost", "/t/acme/")):
        answer = call(platform.application, host, path)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "900")
        assert answer.headers["Cache-Control"] == "no-store"
        assert "We move &lt;b&gt;house&lt;/b&gt;.\nBack at 18:00." in answer.text
        assert "Back soon" in answer.text
    problem = call(platform.application, "acme.localhost", **JSON)
    assert problem.headers["Content-Type"] == "application/problem+json"
    assert (problem.status, problem.headers["Retry-After"]) == (503, "900")
    assert json.loads(problem.body)["detail"] == "We move <b>house</b>.\nBack at 18:00."


def test_a_maintenance_is_not_noted_as_a_mistake(platform: Platform, caplog: pytest.LogCaptureFixture) -> None:
    """Its page asks nobody to report it, and a crowd of visitors writes no lines."""
    maintain(platform)
    caplog.set_level(logging.INFO)
    answer = call(platform.application, "acme.localhost")
    assert "This site is in maintenance." in answer.text
    assert "report" not in answer.text
    assert "not served" not in caplog.text


def test_an_owner_looks_at_every_address_until_the_maintenance_ends_or_the_link_is_a_new_one(
    platform: Platform,
) -> None:
    get = platform.application
    uid = maintain(platform)
    for host, base in (("acme.localhost", ""), ("shop.example.org", ""), ("localhost", "/t/acme")):
        welcome = call(get, host, f"{base}{LINK}")
        assert (welcome.status, welcome.headers["Location"]) == (303, f"{base}/")
        (cookie,) = SimpleCookie(welcome.headers["Set-Cookie"]).values()
        assert (cookie.key, cookie["path"], cookie["domain"]) == (f"maintenance_{uid}", f"{base}/", "")
        shown = {"HTTP_COOKIE": f"{cookie.key}={cookie.value}"}
        assert call(get, host, f"{base}/", **shown).text == "acme for nobody"
        assert call(get, host, f"{base}/").status == 503
    maintain(platform, secret="another")
    assert call(get, "acme.localhost", **shown).status == 503
    follow(platform, platform._registry.maintain, uid, None, By("ana", "maintenance"))
    assert call(get, "acme.localhost").status == 200
    assert call(get, "acme.localhost", LINK).status == 404
    assert call(get, "acme.localhost", **shown).headers.get("Cache-Control") != "no-store"


def test_a_maintained_tenants_suspension_shuts_the_owner_out(platform: Platform) -> None:
    uid = maintain(platform)
    shown = {"HTTP_COOKIE": f"maintenance_{uid}={SECRET}"}
    assert call(platform.application, "acme.localhost", **shown).status == 200
    follow(platform, platform._registry.set_status, uid, Status.SUSPENDED, "unpaid", By("ana", "suspend"))
    assert call(platform.application, "acme.localhost", **shown).status == 403


def test_over_the_wire_a_cold_owner_is_parked_and_served(platform: Platform) -> None:
    uid = maintain(platform)
    with serving(platform.application, lane=platform.asks.lane) as site:
        client = site.client()
        status, headers, _ = client.ask(LINK, "acme.localhost").answer()
        assert (status, headers["location"]) == (303, "/")
        shown = f"Cookie: a=b; maintenance_{uid}={SECRET}\r\n"
        status, headers, body = client.ask("/", "acme.localhost", shown).answer()
        assert (status, headers["cache-control"], body) == (200, "no-store", b"acme for nobody")
        assert client.ask("/", "acme.localhost").answer()[0] == 503
