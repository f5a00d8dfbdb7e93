"""The operator's verbs as visitors see them, through the whole platform: rename, domains, maintenance."""

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tenantry.assembly.platform import Platform, open_platform
from tenantry.operations import Maintenance, NewTenant
from tests.wsgi import Answer, call, wait_until

Get = Callable[..., Answer]


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """A platform with one tenant, also below a path."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with open_platform(tmp_path, {"application": "tests.applications:notes"}) as opened:
        opened.operations.add(NewTenant(name="acme", path=True))
        yield opened
        opened.pool.verify()


@pytest.fixture
def get(platform: Platform) -> Get:
    def get(host: str, path: str = "/", **more: object) -> Answer:
        return call(platform.application, host, path, **more)

    return get


def test_a_renamed_tenant_answers_at_its_old_name_until_the_grace_ends(
    platform: Platform, get: Get, tmp_path: Path
) -> None:
    """By 308 with path and query, by subdomain and by path; the end of the grace is no change that anybody tells."""
    assert get("acme.localhost").status == get("localhost", "/t/acme/").status == 200
    platform.operations.rename("acme", "apex")
    wait_until(lambda: get("acme.localhost").status == get("localhost", "/t/acme/").status == 308)
    moved = get("acme.localhost", "/notes", QUERY_STRING="a=1").headers["Location"]
    assert moved == "http://apex.localhost:8000/notes?a=1"
    assert get("localhost", "/t/acme/notes").headers["Location"] == "http://localhost:8000/t/apex/notes"
    wait_until(lambda: get("apex.localhost").text == "apex for nobody")
    with closing(sqlite3.connect(tmp_path / "instance" / "registry.sqlite3")) as raw, raw:
        raw.execute("UPDATE addresses SET until = '2000' WHERE until <> ''")
    assert get("acme.localhost").body == get("nobody.localhost").body


def test_one_of_several_domains_is_primary_and_the_others_lead_to_it(platform: Platform, get: Get) -> None:
    """The subdomain goes on answering by itself."""
    platform.operations.domain_add("acme", "acme.example", trust=True)
    assert get("acme.example").status == 200
    platform.operations.domain_add("acme", "www.acme.example", primary=True, trust=True)
    wait_until(lambda: get("acme.example", "/x").status == 308)
    assert get("acme.example", "/x").headers["Location"] == "http://www.acme.example:8000/x"
    assert get("www.acme.example").status == get("acme.localhost").status == 200


def test_a_maintenance_is_a_page_for_visitors_and_open_to_who_has_the_link(platform: Platform, get: Get) -> None:
    """In all processes, and over as soon as it ends."""
    assert get("acme.localhost").status == 200
    link = platform.operations.maintenance_on("acme", Maintenance("Back at noon.", 120)).link or ""
    wait_until(lambda: get("acme.localhost").status == 503)
    notice = get("acme.localhost")
    assert (notice.headers["Retry-After"], "Back at noon." in notice.text) == ("120", True)
    welcome = get("acme.localhost", link.removeprefix("http://acme.localhost:8000"))
    cookie = welcome.headers["Set-Cookie"].partition(";")[0]
    assert (welcome.status, get("acme.localhost", HTTP_COOKIE=cookie).text) == (303, "acme for nobody")
    platform.operations.maintenance_off("acme")
    wait_until(lambda: get("acme.localhost").status == 200)
