"""Renaming: another name, and nothing else is touched."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tenantry.address import Address, Kind
from tenantry.assembly.desk import open_desk
from tenantry.errors import Invalid, Refused, TenantryError, Unknown
from tenantry.operations import NewTenant, Operations, renaming
from tenantry.operations.facts import NewName
from tenantry.settings import read
from tenantry.tenant import Status
from tests import shops
from tests.shops import NOTES, nothing_but, registry, verbs

operations, root, shop = shops.operations, shops.root, shops.shop


def test_a_renamed_tenant_has_its_data_key_and_folder_and_one_journal_line(operations: Operations, root: Path) -> None:
    added = operations.add(NewTenant("acme", path=True, domains=["shop.example.com"], trust=True)).tenant
    (operations.path("acme") / "files" / "kept").write_text("all of it")
    key, folder = (operations.path("acme") / "key").read_bytes(), operations.path("acme")
    renamed = operations.rename("acme", "apex")
    assert renamed.changed
    assert renamed.tenant.uid == added.uid
    assert renamed.urls == (
        "http://apex.localhost:8000/",
        "http://localhost:8000/t/apex/",
        "http://shop.example.com:8000/",
    )
    assert operations.show("apex").urls == renamed.urls
    assert operations.path("apex") == folder
    assert ((folder / "key").read_bytes(), (folder / "files" / "kept").read_text()) == (key, "all of it")
    line = operations.journal("apex")[0]
    assert (line.verb, line.before["name"], line.after["name"]) == ("rename", "acme", "apex")
    assert verbs(operations) == ["add", "rename"]
    nothing_but(root, tenants=1)


def test_the_old_name_leads_to_the_new_one_until_its_grace_ends(operations: Operations, root: Path) -> None:
    operations.add(NewTenant("acme", path=True, application=NOTES))
    until = operations.rename("acme", "apex", timedelta(days=2)).until
    assert timedelta(days=1.9) < datetime.fromisoformat(until) - datetime.now(UTC) < timedelta(days=2.1)
    with registry(root) as book:
        for kind in (Kind.SUBDOMAIN, Kind.PATH):
            found = book.find(Address(kind, "acme"))
            assert found.home(kind, "acme") == "apex"
    old = {place.address.key: place.until for place in operations.show("apex").places if place.until}
    assert old == {"subdomain:acme": until, "path:acme": until}
    with pytest.raises(Unknown, match="acme was renamed to apex"):
        operations.show("acme")


def test_without_any_grace_the_old_name_leads_nowhere_and_stays_its_tenants(operations: Operations, root: Path) -> None:
    operations.add(NewTenant("acme", application=NOTES))
    assert operations.rename("acme", "apex", timedelta()).until == ""
    with registry(root) as book, pytest.raises(Unknown):
        book.find(Address(Kind.SUBDOMAIN, "acme"))
    with pytest.raises(Refused, match="retired until"):
        operations.add(NewTenant("acme", application=NOTES))


def test_a_tenant_can_have_its_own_old_name_again(operations: Operations) -> None:
    operations.add(NewTenant("acme", application=NOTES))
    operations.rename("acme", "apex")
    assert operations.rename("apex", "acme").urls == ("http://acme.localhost:8000/",)
    assert [place.address.value for place in operations.show("acme").places if place.until] == ["apex"]
    assert verbs(operations, "acme") == ["add", "rename", "rename"]


def test_the_name_it_has_changes_nothing(operations: Operations) -> None:
    operations.add(NewTenant("acme", application=NOTES))
    renamed = operations.rename("acme", "acme")
    assert (renamed.changed, renamed.urls) == (False, ("http://acme.localhost:8000/",))
    assert verbs(operations) == ["add"]


@pytest.mark.parametrize("grace", [timedelta(days=-1), timedelta(days=3651)])
def test_a_grace_has_bounds(operations: Operations, grace: timedelta) -> None:
    operations.add(NewTenant("acme", application=NOTES))
    with pytest.raises(Invalid, match="0 to 3650 days"):
        operations.rename("acme", "apex", grace)


@pytest.mark.parametrize("verb", ["suspend", "maintain"])
def test_who_is_not_served_can_be_renamed_and_stays_as_it_is(operations: Operations, verb: str) -> None:
    operations.add(NewTenant("acme", application=NOTES))
    if verb == "suspend":
        operations.suspend("acme", "unpaid")
    else:
        operations.maintenance_on("acme", shops.SOON)
    before = operations.get("acme")
    after = operations.rename("acme", "apex").tenant
    assert (after.status, after.reason, after.notice) == (before.status, before.reason, before.notice)


def test_a_removed_tenant_cannot_be_renamed(operations: Operations) -> None:
    operations.add(NewTenant("acme", application=NOTES))
    operations.remove("acme")
    with pytest.raises(Unknown, match="--undo"):
        operations.rename("acme", "apex")


def test_a_renamed_tenant_comes_back_from_a_removal_with_its_old_name_leading_to_it(
    operations: Operations, root: Path
) -> None:
    operations.add(NewTenant("acme", application=NOTES))
    operations.rename("acme", "apex")
    places = operations.show("apex").places
    operations.remove("apex")
    restored = operations.undo_remove("apex")
    assert (restored.urls, restored.lost) == (("http://apex.localhost:8000/",), ())
    assert operations.show("apex").places == places


def test_of_two_who_saw_the_same_tenant_one_wins_and_the_other_is_told_so(operations: Operations, root: Path) -> None:
    operations.add(NewTenant("acme", application=NOTES))
    with open_desk(root, read(root).settings) as desk:
        seen = operations.get("acme")
        renaming.rename(desk, seen, NewName("apex"))
        with pytest.raises(Refused, match="at the same time"):
            renaming.rename(desk, seen, NewName("summit"))
    assert operations.get("apex").status is Status.ACTIVE


def test_a_rename_that_the_registry_cannot_note_changes_nothing(operations: Operations, root: Path) -> None:
    operations.add(NewTenant("acme", application=NOTES))
    with closing(sqlite3.connect(root / "instance" / "registry.sqlite3")) as raw:
        raw.execute("CREATE TRIGGER no BEFORE INSERT ON journal BEGIN SELECT RAISE(ABORT, 'no room'); END")
    with pytest.raises(TenantryError):
        operations.rename("acme", "apex")
    assert operations.show("acme").urls == ("http://acme.localhost:8000/",)
