"""Fences around real applications: what visitors get, and how an operator takes one down."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tenantry.assembly.platform import Platform, open_platform
from tenantry.operations import NewTenant
from tests.wsgi import call, wait_until

CROSS = {"REQUEST_METHOD": "POST", "HTTP_SEC_FETCH_SITE": "same-site"}


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """A platform with two tenants, each also below a path."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with open_platform(tmp_path, {"application": "tests.applications:notes"}) as opened:
        for name in ("acme", "globex"):
            opened.operations.add(NewTenant(name=name, path=True))
        yield opened
        opened.pool.verify()


def test_a_session_is_one_tenants_at_hosts_and_below_paths(platform: Platform) -> None:
    """Also where an application is shown the cookies of both."""
    for base, path in ((".localhost", ""), ("localhost", "/t/{}")):
        jar = []
        for name in ("acme", "globex"):
            host, mount = (base if path else name + base), path.format(name)
            answer = call(platform.application, host, f"{mount}/login/{name}s-visitor")
            cookie = answer.headers["Set-Cookie"]
            assert f"; Path={mount}/;" in f"{cookie};"
            assert answer.headers["Cache-Control"] == "private"
            jar.append(cookie.partition(";")[0])
        for name in ("acme", "globex"):
            host, mount = (base if path else name + base), path.format(name)
            both = call(platform.application, host, f"{mount}/", HTTP_COOKIE="; ".join(jar))
            assert both.text == f"{name} for {name}s-visitor"


def test_what_another_site_sends_gets_a_page_and_costs_no_lease(platform: Platform) -> None:
    for host, path in (("acme.localhost", "/"), ("localhost", "/t/acme/")):
        answer = call(platform.application, host, path, **CROSS)
        assert answer.status == 403
        assert "another site" in answer.text
    assert "0 leases" in repr(platform.pool)
    assert call(platform.application, "localhost", "/", **CROSS).status == 405


def test_an_operator_takes_down_a_fence_of_one_tenant(platform: Platform) -> None:
    platform.operations.config_set("acme", {"TENANT_FENCES_OFF": ["cross-site"]})
    wait_until(lambda: call(platform.application, "acme.localhost", "/", **CROSS).status == 405)
    assert call(platform.application, "globex.localhost", "/", **CROSS).status == 403
    platform.operations.config_unset("acme", ["TENANT_FENCES_OFF"])
    wait_until(lambda: call(platform.application, "acme.localhost", "/", **CROSS).status == 403)


def test_nginx_sends_files_only_where_it_stands_in_front_and_is_to(tmp_path: Path) -> None:
    """Elsewhere the server sends what an application would have left to nginx."""
    given = {"application": "tests.sending:create_app"}
    for more, sends in (({}, False), ({"edge_files": "on"}, False), ({"edge_files": "on", "proxies": 1}, True)):
        with open_platform(tmp_path, given | more) as platform:
            if not platform.operations.count():
                platform.operations.add(NewTenant(name="acme"))
            folder = platform.operations.path("acme")
            (folder / "files" / "a.txt").write_text("hello")
            answer = call(platform.application, "acme.localhost", "/file", QUERY_STRING="name=a.txt")
            assert answer.status == 200
            assert answer.headers.get("X-Accel-Redirect") == (f"/-/files/{folder.name}/a.txt" if sends else None)
            assert answer.text == ("" if sends else "hello")
            assert "X-Sendfile" not in answer.headers
