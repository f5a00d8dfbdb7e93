"""The probe: a new build is visited as a visitor would, and only one that answers well may take another's place."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import copy_context
from typing import Any

import pytest

from tenantry.builder import Built
from tenantry.errors import Unavailable
from tenantry.log import entries
from tenantry.placement import Instance
from tenantry.settings import Settings
from tenantry.tenant import Tenant
from tests import builders
from tests.builders import Build, Place, builder_of
from tests.probed import asked, broken, closed
from tests.sites import without_collector

build, builder, place = builders.build, builders.builder, builders.place

Make = Callable[..., Built]


@pytest.fixture(autouse=True)
def nobody_asked() -> Iterator[None]:
    """Begin and end without a memory of who asked."""
    asked.clear()
    closed.clear()
    broken.clear()
    yield
    asked.clear()


@pytest.fixture
def make(instance: Instance, place: Place, build: Build) -> Make:
    """Build the site of a tenant with a config."""

    def make(application: str = "site", mount: str = "", **config: object) -> Built:
        tenant = place(f"tests.probed:{application}")
        configure(instance, tenant, **config)
        return build(tenant, mount)

    return make


def configure(instance: Instance, tenant: Tenant, **config: object) -> None:
    lines = [f"{key} = {json.dumps(value)}\n" for key, value in config.items()]
    instance.placement(tenant.uid).config.write_text("".join(lines))


def paths() -> list[str]:
    return [environ["PATH_INFO"] for environ in asked.get("acme", [])]


@pytest.mark.parametrize("code", [200, 302, 401, 403, 404, 499])
def test_a_start_page_that_answers_below_500_is_well(make: Make, code: int) -> None:
    """It may redirect to a sign-in, or want one."""
    make(START=code).probe()
    assert paths() == ["/"]


@pytest.mark.parametrize("code", [500, 503])
def test_a_start_page_that_answers_500_or_more_is_not(make: Make, code: int) -> None:
    with pytest.raises(Unavailable) as failed:
        make(START=code).probe()
    assert str(failed.value) == f"The new build answered {code} at /."


def test_what_the_application_raised_is_told_with_its_line(make: Make) -> None:
    """Flask makes a 500 of it; the operator is told why."""
    with pytest.raises(Unavailable, match=r"answered 500 at /: Broken: a price of nothing \(.*probed\.py:\d"):
        make(START="raise").probe()


def test_the_probe_path_is_preferred(make: Make) -> None:
    """An application that has one is asked there alone."""
    make(START=500, PROBE=200).probe()
    assert paths() == ["/-/probe"]


@pytest.mark.parametrize("code", [400, 404, 500])
def test_at_the_probe_path_nothing_but_well_is_well(make: Make, code: int) -> None:
    with pytest.raises(Unavailable, match=f"answered {code} at /-/probe"):
        make(PROBE=code).probe()


@pytest.mark.parametrize("config", [{}, {"POSTED": 1}], ids=["none", "post"])
def test_a_rule_for_any_path_or_for_other_methods_is_no_probe(make: Make, config: dict[str, Any]) -> None:
    """A page that answers 404 for what it does not know was not made to tell how a build is."""
    make(**config).probe()
    assert paths() == ["/"]


@pytest.mark.parametrize(
    ("mount", "host", "script"), [("", "acme.example.com", ""), ("/t/acme", "example.com", "/t/acme")]
)
def test_it_comes_to_the_public_address_and_can_be_recognised(
    instance: Instance, place: Place, mount: str, host: str, script: str
) -> None:
    """Links that the application makes are those that its visitors get."""
    tenant = place("tests.probed:site")
    built = builder_of(instance, Settings(domain="example.com", scheme="https", proxies=1)).build(tenant, mount)
    try:
        built.probe()
    finally:
        built.close()
    (environ,) = asked["acme"]
    assert (environ["HTTP_HOST"], environ["wsgi.url_scheme"], environ["SERVER_PORT"]) == (host, "https", "443")
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["REQUEST_URI"]) == (script, "/", f"{script}/")
    assert (environ["REQUEST_METHOD"], environ["HTTP_USER_AGENT"]) == ("GET", "tenantry-probe")
    assert environ["tenantry.probe"] is True
    assert "HTTP_COOKIE" not in environ


def test_the_port_of_the_public_address_is_kept(make: Make) -> None:
    make().probe()
    assert [(environ["HTTP_HOST"], environ["SERVER_PORT"]) for environ in asked["acme"]] == [
        ("acme.localhost:8000", "8000")
    ]


@pytest.mark.parametrize(
    ("way", "says"),
    [
        ("raises", "The new build failed at /: SystemExit: 3 ("),
        ("silent", "The new build failed at /: RuntimeError: start_response was never called ("),
        ("breaks", "The new build failed at /: ValueError: broken in the middle ("),
        ("corrects itself", "The new build answered 500 at /."),
    ],
)
def test_whatever_a_wsgi_application_does_wrong_is_told_in_one_line(make: Make, way: str, says: str) -> None:
    with pytest.raises(Unavailable) as failed:
        make("bare", WAY=way).probe()
    assert str(failed.value).startswith(says)
    assert "\n" not in str(failed.value)
    assert closed == ["acme"] * (way in {"breaks", "corrects itself"})


@pytest.mark.parametrize("way", ["whole", "endless", "trickles"])
def test_a_body_is_read_to_a_bound_and_closed(make: Make, way: str) -> None:
    make("bare", WAY=way).probe()
    assert closed == ["acme"]


def test_it_leaves_neither_connection_nor_context_behind(make: Make) -> None:
    """What the view has set, opened and begun ends with the probe."""
    built = make()
    before = copy_context()
    built.probe()
    (engine,) = built.engines
    assert "Connections in pool: 0" in engine.pool.status()
    assert "Current Checked out connections: 0" in engine.pool.status()
    assert dict(copy_context()) == dict(before)


def test_log_lines_of_a_probe_carry_the_tenant_and_say_so(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """The traceback of a failing probe is found under its tenant; `probe` stands where a request has its number."""
    seen: list[entries.Entry] = []

    def note(record: logging.LogRecord) -> bool:
        seen.append(entries.entry(record))
        return True

    caplog.handler.addFilter(note)
    try:
        with pytest.raises(Unavailable):
            make(START="raise").probe()
    finally:
        caplog.handler.removeFilter(note)
    (line,) = [line for line in seen if line.trace]
    assert (line.tenant, line.request_id, line.client) == ("acme", "probe", "127.0.0.1")


@pytest.mark.parametrize("start", ["raise", "let it pass"])
def test_what_the_application_raised_is_freed_without_the_collector(
    make: Make, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    """It goes with the error that tells of it: else it would keep what was built."""
    # The tests' own log handler keeps every record, and a record its exception.
    monkeypatch.setattr(logging.getLogger("tenantry.tenant"), "propagate", False)
    monkeypatch.setattr(logging.getLogger("tenantry.tenant"), "handlers", [logging.NullHandler()])
    built = make(START=start, PROPAGATE_EXCEPTIONS=start == "let it pass")
    with without_collector():
        with suppress(Unavailable):
            built.probe()
        asked.clear()
        (gone,) = broken
        assert gone() is None
