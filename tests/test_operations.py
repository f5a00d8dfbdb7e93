"""The operator's verbs: what each leaves behind, says, and refuses."""

import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tenantry.address import Address, Kind
from tenantry.assembly.desk import open_desk
from tenantry.errors import Invalid, Refused, TenantryError, Unavailable, Unknown
from tenantry.operations import NewTenant, Operations
from tenantry.placement import Placement
from tenantry.registry import By
from tenantry.settings import read
from tenantry.tenant import Status, Tenant, new_uid
from tests import shops
from tests.shops import NOTES, TABLE, add_migration, mode, nothing_but, opened, registry, verbs

operations, root, shop = shops.operations, shops.root, shops.shop


# Adding.


def test_add_leaves_a_whole_placement_that_its_owner_alone_can_read(operations: Operations, root: Path) -> None:
    added = operations.add(
        NewTenant("acme", title="Acme", path=True, domains=["Shop.Example.com"], config={"A": 1}, trust=True)
    )
    placement = Placement(operations.path("acme"))
    assert placement.folder == root / "instance" / "tenants" / added.tenant.uid
    assert {mode(placement.folder), mode(placement.files)} == {0o700}
    files = (placement.key, placement.config, placement.secrets, placement.lock, placement.database)
    assert {mode(path) for path in files} == {0o600}
    with closing(sqlite3.connect(placement.database)) as raw:
        assert raw.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
    assert added.tenant.status is Status.ACTIVE
    assert added.urls == (
        "http://acme.localhost:8000/",
        "http://localhost:8000/t/acme/",
        "http://shop.example.com:8000/",
    )
    assert verbs(operations) == ["add"]
    nothing_but(root, tenants=1)


def test_two_tenants_have_two_keys_and_two_folders(operations: Operations) -> None:
    for name in ("acme", "globex"):
        operations.add(NewTenant(name))
    assert len({(operations.path(name) / "key").read_bytes() for name in ("acme", "globex")}) == 2


def test_the_owner_gets_a_link_only_where_sign_up_is_closed(operations: Operations) -> None:
    assert operations.add(NewTenant("acme")).owner_link == "http://acme.localhost:8000/welcome"
    assert operations.add(NewTenant("globex", config={"SIGN_UP_OPEN": True})).owner_link is None
    assert operations.add(NewTenant("initech", application=NOTES)).owner_link is None


def test_a_failing_owner_link_is_a_warning_and_not_a_failed_add(operations: Operations) -> None:
    added = operations.add(NewTenant("acme", config={"LINK": "broken"}))
    assert added.owner_link is None
    assert added.warning.startswith("No owner link was made: ")
    assert added.warning.isprintable()
    assert operations.show("acme").tenant.status is Status.ACTIVE


@pytest.mark.parametrize(
    ("new", "family"),
    [
        (NewTenant("Acme"), Invalid),
        (NewTenant("www"), Invalid),
        (NewTenant("../etc"), Invalid),
        (NewTenant("acme", title="two\nlines"), Invalid),
        (NewTenant("acme", title="x" * 201), Invalid),
        (NewTenant("acme", application="nowhere:create_app"), Unknown),
        (NewTenant("acme", application="gazete"), Unknown),
        (NewTenant("acme", domains=["localhost"]), Invalid),
        (NewTenant("acme", domains=["other.localhost"]), Invalid),
        (NewTenant("acme", domains=["not a domain"]), Invalid),
        (NewTenant("acme", config={"SECRET_KEY": "mine"}), Refused),
        (NewTenant("acme", config={"SESSION_COOKIE_NAME": "mine"}), Refused),
        (NewTenant("acme", config={"lower": 1}), Invalid),
        (NewTenant("acme", config={"A": object()}), Invalid),
    ],
)
def test_an_add_that_cannot_be_writes_nothing(
    operations: Operations, root: Path, new: NewTenant, family: type[TenantryError]
) -> None:
    with pytest.raises(family):
        operations.add(new)
    with registry(root) as book:
        assert book.revision() == 0
    nothing_but(root)


def test_a_name_or_an_address_that_is_taken_is_refused_and_leaves_nothing(operations: Operations, root: Path) -> None:
    operations.add(NewTenant("acme", domains=["shop.example.com"], trust=True))
    for new in (NewTenant("acme"), NewTenant("globex", domains=["shop.example.com"], trust=True)):
        with pytest.raises(Refused):
            operations.add(new)
    assert [listed.tenant.name for listed in operations.list().tenants] == ["acme"]
    nothing_but(root, tenants=1)


def test_an_add_whose_migrations_fail_leaves_nothing(operations: Operations, root: Path) -> None:
    add_migration(root, "0002", "0001", "raise RuntimeError('no such luck')")
    with pytest.raises(Unavailable, match="no such luck"):
        operations.add(NewTenant("acme"))
    assert operations.list().tenants == ()
    nothing_but(root)
    (root / "apps" / "shop" / "migrations" / "versions" / "0002.py").unlink()
    operations.add(NewTenant("acme"))


def test_an_add_that_the_registry_refuses_at_the_end_leaves_nothing(operations: Operations, root: Path) -> None:
    with closing(sqlite3.connect(root / "instance" / "registry.sqlite3")) as raw:
        raw.execute("CREATE TRIGGER no BEFORE INSERT ON journal BEGIN SELECT RAISE(ABORT, 'no room'); END")
    with pytest.raises(Unavailable):
        operations.add(NewTenant("acme"))
    assert operations.list().tenants == ()
    nothing_but(root)


def test_an_add_that_cannot_be_moved_into_place_leaves_nothing(operations: Operations, root: Path) -> None:
    """The tenants' folder lies on another file system, across which nothing can be renamed."""
    tenants = root / "instance" / "tenants"
    tenants.rmdir()
    tenants.symlink_to("/proc/self/fd")
    with pytest.raises(Unavailable, match="Nothing was changed"):
        operations.add(NewTenant("acme"))
    assert operations.list().tenants == ()
    assert list((root / "instance" / "staging").iterdir()) == []


def test_of_two_adds_of_one_name_at_a_time_one_wins(operations: Operations, root: Path) -> None:
    operations.add(NewTenant("first", config={"SIGN_UP_OPEN": True}))
    told: list[object] = []
    start = threading.Barrier(4)

    def add() -> None:
        with opened(root) as mine:
            start.wait()
            try:
                told.append(mine.add(NewTenant("acme", config={"SIGN_UP_OPEN": True})).tenant.uid)
            except Refused as error:
                told.append(error)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [type(one) for one in told].count(str) == 1
    nothing_but(root, tenants=2)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_adds_belongs_to_the_owner_of_the_instance_folder(operations: Operations, root: Path) -> None:
    os.chown(root / "instance" / "tenants", 12345, 12345)
    folder = root / "instance" / "tenants" / operations.add(NewTenant("acme", application=NOTES)).tenant.uid
    operations.config_set("acme", {"A": 1})
    assert {path.stat().st_uid for path in (folder, *folder.iterdir())} == {12345}


# Suspending, removing, bringing back.


def test_suspend_and_resume_are_one_journal_line_each_however_often_they_are_asked(operations: Operations) -> None:
    operations.add(NewTenant("acme"))
    assert operations.suspend("acme", "unpaid").changed
    assert not operations.suspend("acme", "unpaid").changed
    again = operations.suspend("acme", "something else")
    assert (again.changed, again.tenant.reason) == (True, "something else")
    assert operations.resume("acme").changed
    assert not operations.resume("acme").changed
    assert verbs(operations) == ["add", "suspend", "suspend", "resume"]
    assert operations.show("acme").tenant.reason == ""


def test_a_suspension_needs_a_reason(operations: Operations) -> None:
    operations.add(NewTenant("acme"))
    with pytest.raises(Invalid):
        operations.suspend("acme", "  ")


def test_removing_keeps_the_folder_and_the_name_and_can_be_undone(operations: Operations, root: Path) -> None:
    """A suspended tenant comes back suspended."""
    operations.add(NewTenant("acme", path=True, domains=["shop.example.com"], trust=True))
    before = operations.show("acme")
    (before.placement / "files" / "kept").write_text("all of it")
    operations.suspend("acme", "unpaid")
    removed = operations.remove("acme")
    assert removed.changed
    assert removed.trash == root / "instance" / "trash" / before.tenant.uid
    assert removed.undo == "tenantry remove acme --undo"
    assert not before.placement.exists()
    assert operations.list().tenants == ()
    with pytest.raises(Refused, match="retired"):
        operations.add(NewTenant("acme"))
    restored = operations.undo_remove("acme")
    assert (restored.changed, restored.urls, restored.lost) == (True, before.urls, ())
    after = operations.show("acme")
    assert (after.tenant.status, after.tenant.reason) == (Status.SUSPENDED, "unpaid")
    assert (after.placement / "files" / "kept").read_text() == "all of it"
    assert verbs(operations) == ["add", "suspend", "remove", "undo remove"]


def test_removing_and_undoing_twice_say_so_and_change_nothing(operations: Operations) -> None:
    operations.add(NewTenant("acme"))
    operations.remove("acme")
    again = operations.remove("acme")
    assert not again.changed
    assert again.trash is not None
    operations.undo_remove("acme")
    assert not operations.undo_remove("acme").changed
    assert verbs(operations) == ["add", "remove", "undo remove"]


@pytest.mark.parametrize("verb", ["show", "path", "resume", "config_show"])
def test_a_removed_tenant_is_unknown_and_the_hint_brings_it_back(operations: Operations, verb: str) -> None:
    operations.add(NewTenant("acme"))
    operations.remove("acme")
    with pytest.raises(Unknown, match="tenantry remove acme --undo"):
        getattr(operations, verb)("acme")
    assert [entry.verb for entry in operations.journal("acme")] == ["remove", "add"]


def test_a_tenant_whose_folder_is_missing_can_be_removed_but_not_brought_back(operations: Operations) -> None:
    operations.add(NewTenant("acme"))
    folder = operations.path("acme")
    folder.rename(folder.parents[2] / "elsewhere")
    assert operations.remove("acme").trash is None
    with pytest.raises(Refused, match="neither"):
        operations.undo_remove("acme")


def test_an_address_that_somebody_else_has_by_now_does_not_come_back(operations: Operations) -> None:
    operations.add(NewTenant("acme", domains=["shop.example.com"], trust=True))
    operations.remove("acme")
    operations.add(NewTenant("globex", domains=["shop.example.com"], trust=True))
    restored = operations.undo_remove("acme")
    assert restored.urls == ("http://acme.localhost:8000/",)
    assert restored.lost == ("http://shop.example.com:8000/",)


def test_a_tenant_whose_name_somebody_else_has_by_now_does_not_come_back(operations: Operations, root: Path) -> None:
    old = operations.add(NewTenant("acme")).tenant
    operations.remove("acme")
    new = operations.add(NewTenant("acme", override=True)).tenant
    with pytest.raises(Refused, match="another tenant is called so by now"):
        operations.undo_remove(old.uid)
    assert operations.get("acme") == new
    nothing_but(root, tenants=1, trash=1)


def test_a_removal_whose_data_is_in_use_stands_and_is_finished_later(operations: Operations, root: Path) -> None:
    """Nobody is admitted any more; the folder moves with the next `remove` or `recover` after its last request."""
    with open_desk(root, read(root).settings) as desk, registry(root) as book:
        hasty = Operations(desk, patience=0.1)
        uid = hasty.add(NewTenant("acme", application=NOTES)).tenant.uid
        for finish in (hasty.remove, lambda _: hasty.recover()):
            hold = Placement(hasty.path("acme")).hold()
            with pytest.raises(Unavailable, match="removed and answers no more"):
                hasty.remove("acme")
            assert hasty.recover() == ()
            assert book.places(uid) == []
            nothing_but(root, tenants=1)
            hold.close()
            finish("acme")
            nothing_but(root, trash=1)
            hasty.undo_remove("acme")
        # What has not moved yet comes back as well, also while it is in use.
        hold = Placement(hasty.path("acme")).hold()
        with pytest.raises(Unavailable):
            hasty.remove("acme")
        hold.close()
        hasty.undo_remove("acme")
        nothing_but(root, tenants=1)


# Looking.


def test_show_tells_how_far_the_database_is_behind(operations: Operations, root: Path) -> None:
    operations.add(NewTenant("acme"))
    state = operations.show("acme").schema
    assert state is not None
    assert (state.current, state.head, state.pending) == ("0001", "0001", False)
    add_migration(root, "0002", "0001", TABLE.format(name="prices"))
    state = operations.show("acme").schema
    assert state is not None
    assert (state.current, state.head, state.pending) == ("0001", "0002", True)
    size = operations.show("acme").size
    assert size is not None
    assert size > 4096


def test_show_names_everything_that_keeps_a_tenant_from_being_built(operations: Operations, root: Path) -> None:
    added = operations.add(NewTenant("acme")).tenant
    (operations.path("acme") / "key").unlink()
    with registry(root) as book:
        book.tell(added.uid, "acme", "no such table")
    shown = operations.show("acme")
    assert "key is missing" in shown.problems[0]
    assert shown.trouble == "no such table"
    assert shown.trouble_since == shown.journal[0].at


def test_an_application_that_cannot_be_imported_costs_its_tenant_only(operations: Operations, root: Path) -> None:
    operations.add(NewTenant("acme"))
    with registry(root) as book:
        tenant = Tenant(new_uid(), "odd", "gone:create_app", Status.ADDING, 0)
        book.intend(tenant, [Address(Kind.SUBDOMAIN, "odd")])
        book.activate(tenant.uid, By("ada", "add"))
    assert any("gone" in problem for problem in operations.show("odd").problems)
    assert operations.show("acme").problems == ()
    assert [listed.tenant.name for listed in operations.list().tenants] == ["acme", "odd"]


def test_a_row_that_makes_no_sense_hurts_nobody_else(operations: Operations, root: Path) -> None:
    operations.add(NewTenant("acme"))
    operations.add(NewTenant("globex"))
    with closing(sqlite3.connect(root / "instance" / "registry.sqlite3")) as raw:
        raw.execute("UPDATE tenants SET status = 'adding', revision = 'x' WHERE name = 'globex'")
        raw.commit()
    listing = operations.list()
    assert [listed.tenant.name for listed in listing.tenants] == ["acme"]
    assert "globex" in listing.unreadable[0]
    operations.recover()
    operations.add(NewTenant("initech"))
    operations.remove("acme")


def test_a_misspelled_name_gets_the_one_that_was_meant(operations: Operations) -> None:
    operations.add(NewTenant("acme"))
    with pytest.raises(Unknown, match="acme"):
        operations.show("acmee")


def test_run_runs_the_applications_own_commands(operations: Operations, capsys: pytest.CaptureFixture[str]) -> None:
    operations.add(NewTenant("acme"))
    assert operations.run("acme", ["owner-link"]) == 0
    assert capsys.readouterr().out == "http://acme.localhost:8000/welcome\n"
    assert operations.run("acme", ["nonsense"]) == 2
    operations.config_set("acme", {"LINK": "broken"})
    with pytest.raises(Unavailable, match="The application's command failed: RuntimeError: no mail server"):
        operations.run("acme", ["owner-link"])


def test_every_verb_on_a_tenant_without_a_folder_is_unavailable(operations: Operations) -> None:
    operations.add(NewTenant("acme"))
    folder = operations.path("acme")
    folder.rename(folder.parents[2] / "elsewhere")
    acts: Sequence[Callable[[], object]] = (
        lambda: operations.config_set("acme", {"A": 1}),
        lambda: operations.config_show("acme"),
        lambda: operations.run("acme", []),
    )
    for act in acts:
        with pytest.raises(Unavailable, match="missing"):
            act()
    assert operations.show("acme").problems
