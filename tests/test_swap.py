"""The swap, with real applications: a change is built aside, probed, put in place at once, and the old one drained."""

import logging
import os
import sys
from collections.abc import Iterator
from contextvars import Context
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tenantry import signals
from tenantry.assembly.platform import Platform, open_platform
from tenantry.builder import Builder
from tenantry.errors import Unavailable
from tenantry.operations import NewTenant
from tenantry.placement import Instance
from tenantry.pool import Lease, Limits, Pool
from tenantry.tenant import Tenant
from tests import builders
from tests.builders import Place
from tests.probed import asked, go_on
from tests.sites import PATIENCE, begin, environ_of, eventually
from tests.wsgi import call

builder, place = builders.builder, builders.place

SITE = "tests.probed:site"


class Shown:
    """One tenant's site in a pool as the platform has it: its config is rewritten, and visitors look."""

    def __init__(self, pool: Pool, instance: Instance, tenant: Tenant) -> None:
        self.pool = pool
        self.tenant = tenant
        self._placement = instance.placement(tenant.uid)

    def change(self, config: str, **tenant: str) -> None:
        """Rewrite the config as an operator's verb does: the file, then the revision."""
        self._placement.config.write_text(config)
        self.tenant = replace(self.tenant, revision=self.tenant.revision + 1, **tenant)  # type: ignore[arg-type]
        self.pool.follow(self.tenant)

    def lease(self) -> Lease:
        """Lease as a visitor does who waits for a build that stands between."""
        try:
            return self.pool.lease(self.tenant)
        except Unavailable as error:
            if error.awaits is None:
                raise
            error.awaits.result(PATIENCE)
        return self.pool.lease(self.tenant)

    def get(self, path: str = "/") -> str:
        """Visit, and return what is shown."""
        lease = self.lease()
        try:
            answer = call(lease.app, "acme.localhost", path)
        finally:
            lease.close()
        assert answer.status == 200, answer.text
        return answer.text

    def settled(self) -> bool:
        return "0 building" in repr(self.pool)

    def in_use(self) -> bool:
        return self._placement.in_use()


@pytest.fixture
def reports() -> list[str | None]:
    return []


@pytest.fixture
def pool(builder: Builder, reports: list[str | None]) -> Iterator[Pool]:
    """A pool as the platform makes it."""
    made = Pool(builder.build, Limits(), probe=lambda built: built.probe(), report=lambda _, why: reports.append(why))
    yield made
    made.close()
    made.verify()
    asked.clear()


@pytest.fixture
def ended() -> Iterator[list[str]]:
    """The uid of each live application that is disposed of from now on."""
    uids: list[str] = []

    def note(uid: str, **_: object) -> None:
        uids.append(uid)

    with signals.tenant_disposed.connected_to(note):
        yield uids


@pytest.fixture
def site(pool: Pool, instance: Instance, place: Place) -> Shown:
    shown = Shown(pool, instance, place(SITE))
    shown.change('COLOUR = "red"')
    assert shown.get().startswith("red")
    assert not any("tenantry.probe" in environ for environ in asked["acme"])
    return shown


def test_a_successor_that_answers_500_never_answers_a_visitor(site: Shown, reports: list[str | None]) -> None:
    """The old one goes on, the reason is told; mended, the swap comes about and the trouble ends."""
    site.change('COLOUR = "blue"\nSTART = 500')
    assert [site.get()[:3] for _ in range(20)] == ["red"] * 20
    eventually(lambda: reports[1:] == ["The new build answered 500 at /."])
    assert [site.get()[:3] for _ in range(20)] == ["red"] * 20
    site.change('COLOUR = "blue"')
    eventually(lambda: site.get().startswith("blue"))
    eventually(lambda: reports[2:] == [None])


def test_a_successor_is_asked_at_its_probe_path(site: Shown, reports: list[str | None]) -> None:
    """What answers 500 there does not serve, although its start page would do."""
    site.change('COLOUR = "blue"\nPROBE = 500')
    assert site.get().startswith("red")
    eventually(lambda: reports[1:] == ["The new build answered 500 at /-/probe."])
    assert site.get().startswith("red")


def test_a_successor_whose_factory_fails_is_no_other_matter(site: Shown, reports: list[str | None]) -> None:
    site.change('COLOUR = "')
    assert site.get().startswith("red")
    eventually(lambda: reports[1:] and "config.toml is broken" in str(reports[1]))
    assert site.get().startswith("red")


def test_a_tenant_that_changes_its_application_is_served_by_the_other(site: Shown) -> None:
    site.change('WAY = "whole"', application="tests.probed:bare")
    eventually(lambda: site.get().startswith("xxx"))


def test_an_application_that_cannot_be_had_does_not_end_the_one_that_serves(
    site: Shown, reports: list[str | None]
) -> None:
    site.change('COLOUR = "blue"', application="tests.probed:nothing")
    assert site.get().startswith("red")
    eventually(lambda: reports[1:] and "has no nothing" in str(reports[1]))
    assert site.get().startswith("red")


def test_a_stream_under_way_ends_on_the_old_one_while_the_new_one_serves(site: Shown, ended: list[str]) -> None:
    """Drained, the old one is disposed of."""
    lease = site.lease()
    stream = Context().run(begin, lease.app, environ_of("acme.localhost", "/stream"))
    pieces = iter(stream.body)
    first = next(pieces)
    site.change('COLOUR = "blue"')
    eventually(lambda: site.get().startswith("blue"))
    assert [first, *pieces] == [b"red 0\n", b"red 1\n", b"red 2\n"]
    stream.body.close()
    assert not ended
    assert "1 retired" in repr(site.pool)
    lease.close()
    eventually(lambda: ended == [site.tenant.uid])
    assert site.get().startswith("blue")


def test_nothing_stays_open_after_fifty_failed_probes(site: Shown, ended: list[str]) -> None:
    """Neither descriptors nor the lock on the placement; each of the fifty is disposed of."""
    site.pool.built()[0][1].rest()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the listing's own descriptor is in both
    for number in range(50):
        start = '"raise"' if number % 2 else "503"
        site.change(f'COLOUR = "blue"\nSTART = {start}')
        site.pool.lease(site.tenant).close()
        eventually(site.settled)
    eventually(lambda: ended == [site.tenant.uid] * 50)
    site.pool.built()[0][1].rest()
    eventually(lambda: len(os.listdir("/proc/self/fd")) == before)  # noqa: PTH208 - as above
    site.pool.verify()
    assert "0 retired, 0 leases" in repr(site.pool)
    assert site.get().startswith("red")
    site.pool.retire()
    eventually(lambda: not site.in_use())


# What is noticed


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an application `swapped:create_app`, which has no file of defaults yet."""
    folder = tmp_path / "apps" / "swapped"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("from tests.probed import site as create_app\n")
    monkeypatch.syspath_prepend(folder.parent)
    monkeypatch.delitem(sys.modules, "swapped", raising=False)
    return folder


def test_an_edit_of_any_config_file_is_noticed_once(
    instance: Instance, place: Place, builder: Builder, shop: Path
) -> None:
    """The tenant's two, and the application's defaults: written, made or taken away."""
    tenant = place("swapped:create_app")
    placement = instance.placement(tenant.uid)
    built = builder.build(tenant, "")
    defaults = shop / "config.toml"

    assert not built.edited()
    for path in (placement.config, placement.secrets, defaults):
        for edit in (partial(path.write_text, "A=1\n"), partial(path.write_text, "A=10\n"), path.unlink):
            edit()
            assert [built.edited(), built.edited()] == [True, False]
    built.close()


def test_a_change_of_the_applications_defaults_changes_all_its_tenants(
    pool: Pool, instance: Instance, place: Place, shop: Path
) -> None:
    """Each at its next visit, and only where its own config does not say otherwise."""
    defaults = shop / "config.toml"
    defaults.write_text('COLOUR = "red"\n')
    sites = [Shown(pool, instance, place("swapped:create_app", name=name)) for name in ("acme", "globex", "initech")]
    sites[2].change('COLOUR = "own"')
    assert [site.get()[:3] for site in sites] == ["red", "red", "own"]
    defaults.write_text('COLOUR = "blue"\n')
    for uid, built in pool.built():
        if built.edited():
            pool.outdate(uid)
    eventually(lambda: [site.get().partition(" ")[0] for site in sites] == ["blue", "blue", "own"])


# The whole platform


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """A platform that serves a red site, with little patience for builds."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    go_on.clear()
    with open_platform(tmp_path, {"application": SITE, "build_deadline": 0.5}) as opened:
        opened.operations.add(NewTenant(name="acme", config={"COLOUR": "red"}))
        assert colour(opened) == "red"
        try:
            yield opened
        finally:
            go_on.set()
    asked.clear()


def colour(platform: Platform) -> str:
    """Visit the site, which must be there, and tell in which colour it is."""
    answer = call(platform.application, "acme.localhost")
    assert answer.status == 200, answer.text
    return answer.text.partition(" ")[0]


def trouble(platform: Platform) -> str:
    """Visit the site, as only a visit has it built, and tell what the operator is told."""
    assert colour(platform) == "red"
    return platform.operations.show("acme").trouble


def told(platform: Platform) -> list[str]:
    """List the lines of the journal that tell of trouble, the oldest first."""
    verbs = [entry.verb for entry in platform.operations.journal("acme")]
    return [verb for verb in reversed(verbs) if verb in {"failing", "recovered"}]


def test_a_config_that_breaks_the_start_page_is_shown_and_serves_nobody(platform: Platform) -> None:
    platform.operations.config_set("acme", {"COLOUR": "blue", "START": 500})
    eventually(lambda: trouble(platform) == "The new build answered 500 at /.")
    platform.operations.config_set("acme", {"START": 200})
    eventually(lambda: colour(platform) == "blue")
    eventually(lambda: told(platform) == ["failing", "recovered"])
    assert platform.operations.show("acme").trouble == ""


def test_a_file_edited_by_hand_in_several_steps_is_followed_at_once(platform: Platform) -> None:
    """Each edit is tried without a rest, and `show` says what is wrong with the last."""
    config = platform.operations.path("acme") / "config.toml"
    config.write_text('COLOUR = "')
    eventually(lambda: "config.toml is broken" in trouble(platform))
    config.write_text('COLOUR = "green"\nSTART = "raise"\n')
    eventually(lambda: "answered 500 at /: Broken: a price of nothing" in trouble(platform))
    config.write_text('COLOUR = "green"\nSTART = 503\n')
    eventually(lambda: "answered 503 at /." in trouble(platform))
    config.write_text('COLOUR = "green"\n')
    eventually(lambda: colour(platform) == "green")
    eventually(lambda: platform.operations.show("acme").trouble == "")


def test_a_probe_that_hangs_is_abandoned_and_the_old_one_goes_on(platform: Platform) -> None:
    platform.operations.config_set("acme", {"COLOUR": "blue", "START": "hang"})
    eventually(lambda: trouble(platform) == "The new build had not answered its probe after 0.5 s.")
    assert platform.pool.abandoned == 1
    go_on.set()
    eventually(lambda: platform.pool.abandoned == 0)
    assert colour(platform) == "red"
