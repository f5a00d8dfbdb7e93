"""The assembled platform: one request decided once, errors as pages, and every process following the registry."""

import json
import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tenantry.address import Kind
from tenantry.assembly.platform import Platform, open_platform
from tenantry.errors import Invalid
from tenantry.operations import NewTenant
from tests.applications import never
from tests.wsgi import Answer, call, wait_until

APPLICATION = "tests.applications:notes"
JSON = {"HTTP_ACCEPT": "application/json"}


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """A platform with two tenants, acme also below a path."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with open_platform(tmp_path, {"application": APPLICATION}) as opened:
        opened.operations.add(NewTenant(name="acme", path=True))
        opened.operations.add(NewTenant(name="globex"))
        yield opened
        opened.pool.verify()


Get = Callable[..., Answer]


@pytest.fixture
def get(platform: Platform) -> Get:
    def get(host: str | None, path: str = "/", **more: object) -> Answer:
        return call(platform.application, host, path, **more)

    return get


@pytest.mark.parametrize("host", ["acme.localhost", "ACME.localhost:8000", "acme.localhost."])
def test_a_subdomain_leads_to_its_tenant(get: Get, host: str) -> None:
    """However its one canonical host is spelled."""
    assert get(host).text == "acme for nobody"


def test_a_path_leads_to_its_tenant(get: Get) -> None:
    """Only for tenants that have a path address; without the slash it redirects, query kept."""
    assert get("localhost", "/t/acme/").text == "acme for nobody"
    moved = get("localhost", "/t/acme", QUERY_STRING="a=1")
    assert (moved.status, moved.headers["Location"]) == (308, "/t/acme/?a=1")
    assert get("localhost", "/t/globex/").status == 404


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evillocalhost", 404),
        ("a.acme.localhost", 404),
        ("acme.localhost.example.com", 404),
        ("unknown.localhost", 404),
        ("www.localhost", 404),
        ("", 400),
        (None, 400),
        ("acme.localhost, globex.localhost", 400),
        ("acme.localhost:80:80", 400),
        ("acme.localhost:0", 400),
        ("acme_x.localhost", 400),
        ("-acme.localhost", 400),
        ("acme..localhost", 400),
        ("../../etc.localhost", 400),
        ("acme\xe9.localhost", 400),
    ],
)
def test_no_other_host_reaches_a_tenant(platform: Platform, get: Get, host: str | None, status: int) -> None:
    """Malformed ones are 400 before any look-up, unknown ones 404; nothing is remembered or built for either."""
    assert get(host).status == status
    assert len(platform.directory) == 0
    assert platform.pool.live == 0


@pytest.mark.parametrize("raw", ["//t/acme/", "/t/%61cme/", "/t/acme%2fx", "/t//acme/", "http://x/t/acme/"])
def test_a_path_spelled_in_two_ways_is_refused(get: Get, raw: str) -> None:
    """What the server decoded and what the client sent must name the same tenant."""
    assert get("localhost", "/t/acme/", REQUEST_URI=raw).status == 400


def test_unknown_retired_and_removed_names_answer_with_identical_bytes(platform: Platform, get: Get) -> None:
    """Nobody learns from outside which names there were."""
    platform.operations.remove("globex")
    wait_until(lambda: get("globex.localhost").status == 404)
    assert get("globex.localhost").body == get("nobody.localhost").body == get("evillocalhost").body


def test_health_is_told_on_the_bare_domain_and_to_the_machine_itself(get: Get) -> None:
    """A tenant's own `/-/healthz` stays its own."""
    for host in ("localhost", "127.0.0.1:8000", "[::1]"):
        assert json.loads(get(host, "/-/healthz").body) == {"alive": True}
        assert json.loads(get(host, "/-/readyz").body) == {"ready": True, "problems": []}
    assert get("acme.localhost", "/-/healthz").status == 404


def test_the_front_page_names_no_tenant(get: Get) -> None:
    """Who is hosted here is nobody's business."""
    front = get("localhost")
    assert front.status == 200
    assert "globex" not in front.text
    assert get("localhost", "/", REQUEST_METHOD="POST").status == 405
    assert get("localhost", "/", REQUEST_METHOD="HEAD").body == b""


def test_errors_are_pages_or_problems_as_the_client_accepts(platform: Platform, get: Get) -> None:
    """HTML to a browser, problem+json to a program, the same status to both."""
    problem = get("nobody.localhost", **JSON)
    assert problem.headers["Content-Type"].startswith("application/problem+json")
    assert json.loads(problem.body)["status"] == 404
    assert get("nobody.localhost", HTTP_ACCEPT="text/html").headers["Content-Type"].startswith("text/html")


def test_an_exception_in_a_tenant_is_a_page_without_its_text(get: Get, caplog: pytest.LogCaptureFixture) -> None:
    """The visitor gets a page, the log the traceback."""
    answer = get("acme.localhost", "/raise")
    assert answer.status == 500
    assert "secret of the view" not in answer.text


def test_a_wsgi_application_that_raises_becomes_a_page(platform: Platform, get: Get) -> None:
    """Also where no Flask catches it; the request's id ties page and log line together."""
    platform.operations.add(NewTenant(name="raw", application="tests.applications:raises"))
    answer = get("raw.localhost")
    assert answer.status == 500
    assert "a secret" not in answer.text
    assert get("acme.localhost").status == 200


def test_suspended_is_403_and_resumed_is_back(platform: Platform, get: Get) -> None:
    """The reason is the operator's; no process has to be called."""
    assert get("acme.localhost").status == 200
    platform.operations.suspend("acme", "unpaid")
    wait_until(lambda: get("acme.localhost").status == 403)
    assert "unpaid" not in get("acme.localhost").text
    platform.operations.resume("acme")
    wait_until(lambda: get("acme.localhost").status == 200)


def test_a_second_process_follows_without_being_called(platform: Platform, get: Get, tmp_path: Path) -> None:
    """Two platforms on one instance folder agree: here the second stands for another process."""
    with open_platform(tmp_path, {"application": APPLICATION}) as other:
        assert call(other.application, "acme.localhost").status == 200
        platform.operations.suspend("acme", "unpaid")
        wait_until(lambda: call(other.application, "acme.localhost").status == 403)
        other.operations.add(NewTenant(name="initech"))
        assert get("initech.localhost").status == 200


def test_a_registry_restored_in_place_is_followed_too(platform: Platform, get: Get, tmp_path: Path) -> None:
    """Who was added since is gone, and what was built since is built again although revisions begin anew."""
    kept = tmp_path / "kept.sqlite3"
    book = tmp_path / "instance" / "registry.sqlite3"
    with closing(sqlite3.connect(book)) as source, closing(sqlite3.connect(kept)) as target:
        source.backup(target)
    platform.operations.add(NewTenant(name="initech"))
    platform.operations.config_set("acme", {"COLOUR": "red"})
    assert get("initech.localhost").status == 200
    wait_until(lambda: get("acme.localhost", "/config/COLOUR").text == "'red'")
    with closing(sqlite3.connect(kept)) as source, closing(sqlite3.connect(book)) as target:
        source.backup(target)
    wait_until(lambda: get("initech.localhost").status == 404)
    platform.operations.config_set("acme", {"COLOUR": "blue"})
    wait_until(lambda: get("acme.localhost", "/config/COLOUR").text == "'blue'")


def test_a_trouble_ends_in_the_book_whoever_sees_it_end(platform: Platform, get: Get, tmp_path: Path) -> None:
    """Also where the process that saw it begin is not there any more; and a new reason takes the old one's place."""
    uid = platform.operations.show("acme").tenant.uid
    _tell = platform._registry.tell
    _tell(uid, "acme", "the first reason")
    _tell(uid, "acme", "the first reason")
    _tell(uid, "acme", "another reason")
    assert platform.operations.show("acme").trouble == "another reason"
    assert get("acme.localhost").status == 200
    wait_until(lambda: platform.operations.show("acme").trouble == "")
    verbs = [entry.verb for entry in platform.operations.journal("acme")]
    assert (verbs.count("failing"), verbs.count("recovered")) == (2, 1)


def test_a_tenant_whose_factory_fails_costs_only_itself(platform: Platform, get: Get) -> None:
    """503 without a reason outside, the reason in `show`, one journal line when it begins and one when it ends."""
    platform.operations.add(NewTenant(name="broken", application="tests.applications:fails"))
    answer = get("broken.localhost")
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert "factory" not in answer.text
    assert get("broken.localhost").status == 503
    assert "the factory is broken" in platform.operations.show("broken").trouble
    assert get("acme.localhost").status == 200
    platform.operations.config_set("broken", {"MENDED": True})
    wait_until(lambda: get("broken.localhost").status == 200)
    assert platform.operations.show("broken").trouble == ""
    verbs = [entry.verb for entry in platform.operations.journal("broken")]
    assert (verbs.count("failing"), verbs.count("recovered")) == (1, 1)


def test_builds_that_hang_make_the_process_unready_until_they_end(tmp_path: Path) -> None:
    """Each costs its own tenant a 503 and nobody else anything; eight of them are more than one tenant's trouble."""
    hurry = {"application": "tests.applications:hangs", "build_deadline": 0.2, "build_wait": 0.1}
    never.clear()
    with open_platform(tmp_path, hurry) as opened:
        try:
            opened.operations.add(NewTenant(name="fine", application=APPLICATION))
            for number in range(8):
                _intend(opened, f"hung-{number}")
                assert call(opened.application, f"hung-{number}.localhost").status == 503
            wait_until(lambda: call(opened.application, "localhost", "/-/readyz").status == 503)
            assert "8 builds hang" in call(opened.application, "localhost", "/-/readyz").text
            assert call(opened.application, "fine.localhost").status == 200
        finally:
            never.set()
        wait_until(lambda: call(opened.application, "localhost", "/-/readyz").status == 200)


def test_a_factory_that_exits_does_not_end_the_process(platform: Platform, get: Get) -> None:
    """`sys.exit` in an application is that application's failure."""
    platform.operations.add(NewTenant(name="leaver", application="tests.applications:exits"))
    assert get("leaver.localhost").status == 503
    assert get("acme.localhost").status == 200


def test_an_application_that_cannot_be_imported_costs_only_its_tenant(
    platform: Platform, get: Get, tmp_path: Path
) -> None:
    """Its tenant was added when it still could be."""
    platform.operations.add(NewTenant(name="later"))
    registry = tmp_path / "instance" / "registry.sqlite3"
    _sql(registry, "UPDATE tenants SET application = 'no.such:module' WHERE name = 'later'")
    assert get("later.localhost").status == 503
    assert get("acme.localhost").status == 200


def test_a_poison_row_and_a_missing_placement_cost_only_their_tenants(
    platform: Platform, get: Get, tmp_path: Path
) -> None:
    """The others answer, and the list names the row."""
    registry = tmp_path / "instance" / "registry.sqlite3"
    _sql(registry, "UPDATE tenants SET status = 'nonsense' WHERE name = 'globex'")
    assert get("globex.localhost").status == 503
    assert get("acme.localhost").status == 200
    assert platform.operations.list().unreadable
    platform.operations.add(NewTenant(name="lost"))
    folder = platform.operations.path("lost")
    folder.rename(folder.with_name("elsewhere"))
    assert get("lost.localhost").status == 503
    assert get("acme.localhost").status == 200


def test_a_registry_that_cannot_be_read_is_no_ones_business_outside(
    platform: Platform, get: Get, tmp_path: Path
) -> None:
    """A visitor is told neither where it lies nor what is wrong with it; who is known is served on."""
    wait_until(lambda: get("acme.localhost").status == 200 and platform.directory.peek(Kind.SUBDOMAIN, "acme"))
    _sql(tmp_path / "instance" / "registry.sqlite3", "ALTER TABLE addresses RENAME TO gone")
    answer = get("nobody.localhost")
    assert answer.status == 503
    assert str(tmp_path) not in answer.text
    assert "gone" not in answer.text
    _sql(tmp_path / "instance" / "registry.sqlite3", "ALTER TABLE gone RENAME TO addresses")
    wait_until(lambda: get("nobody.localhost").status == 404)


def test_a_lane_is_found_however_the_path_is_spelled(platform: Platform, get: Get) -> None:
    """A path tenant cannot take the lane of the front page by an encoded letter."""
    assert platform.asks.lane({"HOST": "localhost"}, "/%74/acme/") == platform.asks.lane(
        {"HOST": "localhost"}, "/t/acme/"
    )


def test_a_config_broken_by_hand_keeps_the_last_good_build(platform: Platform, get: Get) -> None:
    """The edit is noticed, the build fails, the old one serves on and `show` says why; mending it is noticed too."""
    assert get("acme.localhost", "/config/COLOUR").text == "None"
    config = platform.operations.path("acme") / "config.toml"
    whole = config.read_text()
    config.write_text(whole + 'COLOUR = "re')
    wait_until(lambda: get("acme.localhost").status == 200 and platform.operations.show("acme").trouble)
    assert get("acme.localhost").status == 200
    config.write_text(whole + 'COLOUR = "red"\n')
    wait_until(lambda: get("acme.localhost", "/config/COLOUR").text == "'red'", seconds=20)
    wait_until(lambda: platform.operations.show("acme").trouble == "")


def test_a_session_of_one_tenant_is_nothing_at_another(platform: Platform, get: Get) -> None:
    """Also when the cookie is renamed to fit, and when both key files are equal."""
    paths = [platform.operations.path(name) / "key" for name in ("acme", "globex")]
    paths[1].write_bytes(paths[0].read_bytes())
    cookie = get("acme.localhost", "/login/ada").headers["Set-Cookie"].partition(";")[0]
    assert get("acme.localhost", HTTP_COOKIE=cookie).text == "acme for ada"
    renamed = cookie.replace(paths[0].parent.name, paths[1].parent.name)
    assert renamed != cookie
    for forged in (cookie, renamed):
        assert get("globex.localhost", HTTP_COOKIE=forged).text == "globex for nobody"


def test_what_one_request_leaves_in_a_context_the_next_does_not_see(get: Get) -> None:
    """Every request runs in a fresh context."""
    assert get("acme.localhost", "/seen/first").text == "nothing"
    assert get("acme.localhost", "/seen/second").text == "nothing"


def test_a_refused_request_is_a_503_with_its_reason(get: Get) -> None:
    """What the server's lanes could not place, the gateway answers."""
    answer = get("acme.localhost", **{"tenantry.refused": "Too many requests are waiting."})
    assert answer.status == 503
    assert "Too many requests are waiting." in answer.text


def test_the_lane_is_the_tenants_once_it_is_known(platform: Platform, get: Get) -> None:
    """All its addresses share one lane; before, what is asked for stands in for it; nothing is looked up."""
    before = platform.asks.lane({"HOST": "acme.localhost"}, "/")
    assert before == platform.asks.lane({"HOST": "ACME.localhost:80"}, "/x")
    assert platform.asks.lane({}, "/") == platform.asks.lane({"HOST": "localhost"}, "/") == ""
    uid = platform.operations.show("acme").tenant.uid

    def known(host: str, path: str) -> bool:
        return get(host, path).status == 200 and platform.asks.lane({"HOST": host}, path) == uid

    wait_until(lambda: known("acme.localhost", "/"))
    wait_until(lambda: known("localhost", "/t/acme/"))


def test_how_large_a_body_a_tenant_takes_is_told_from_memory(platform: Platform, get: Get) -> None:
    """Nobody knows before it was found, its own limit once it is live, and never more than the platform's."""
    acme = {"HOST": "acme.localhost"}
    assert platform.asks.admit(acme, "/") is None
    assert get("acme.localhost").status == 200
    wait_until(lambda: get("acme.localhost").status == 200 and platform.asks.admit(acme, "/") is not None)
    assert platform.asks.admit(acme, "/") == platform.settings.max_body
    platform.operations.config_set("acme", {"TENANT_MAX_BODY": 1000})
    wait_until(lambda: get("acme.localhost").status == 200 and platform.asks.admit(acme, "/") == 1000)
    platform.operations.config_set("acme", {"TENANT_MAX_BODY": platform.settings.max_body * 2})
    wait_until(
        lambda: get("acme.localhost").status == 200 and platform.asks.admit(acme, "/") == platform.settings.max_body
    )


def test_client_and_scheme_are_believed_only_behind_a_proxy(tmp_path: Path, platform: Platform) -> None:
    """Without TENANTRY_PROXIES forwarded headers change nothing; a forwarded prefix and host never do."""
    forwarded = {
        "HTTP_X_FORWARDED_FOR": "203.0.113.9",
        "HTTP_X_FORWARDED_PROTO": "https",
        "HTTP_X_FORWARDED_HOST": "globex.localhost",
        "HTTP_X_FORWARDED_PREFIX": "/evil",
    }
    seen = json.loads(call(platform.application, "localhost", platform.self_test, **forwarded).body)
    assert seen == {"client": "127.0.0.1", "scheme": "http"}
    with open_platform(tmp_path, {"application": APPLICATION, "proxies": 1}) as behind:
        seen = json.loads(call(behind.application, "localhost", behind.self_test, **forwarded).body)
        assert seen == {"client": "203.0.113.9", "scheme": "https"}
        assert call(behind.application, "acme.localhost", **forwarded).text == "acme for nobody"


def test_middleware_wraps_everything(tmp_path: Path) -> None:
    """The first named is outermost; one that cannot be imported stops the start with its name."""
    overrides = {"application": APPLICATION, "middleware": ("tests.applications:Stamp",)}
    with open_platform(tmp_path, overrides) as opened:
        assert call(opened.application, "localhost").headers["X-Stamp"] == "seen"
    with pytest.raises(Invalid, match="nowhere:Nothing"):
        open_platform(tmp_path, {"middleware": ("nowhere:Nothing",)})


def _intend(platform: Platform, name: str) -> None:
    """Add a tenant whose application will hang, as one that could still be built when it was added."""
    platform.operations.add(NewTenant(name=name, application="tests.applications:plain"))
    registry = platform.settings.instance / "registry.sqlite3"
    _sql(registry, f"UPDATE tenants SET application = 'tests.applications:hangs' WHERE name = '{name}'")


def _sql(database: Path, statement: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(statement)
