"""Purging: of a removed tenant nothing is left, wherever the platform keeps something."""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from tenantry.assembly.desk import open_desk
from tenantry.errors import Refused, Unavailable, Unknown
from tenantry.operations import NewTenant, Operations, stores, underway
from tenantry.placement import Placement
from tenantry.registry import By, Pending
from tenantry.settings import read
from tenantry.tenant import Status
from tests import shops
from tests.shops import NOTES, nothing_but, opened, registry, verbs

operations, root, shop = shops.operations, shops.root, shops.shop


@pytest.fixture
def acme(operations: Operations) -> Operations:
    """A tenant with a folder in a folder."""
    operations.add(NewTenant("acme", title="Acme", application=NOTES, domains=["shop.example.com"], trust=True))
    letters = Placement(operations.path("acme")).files / "letters"
    letters.mkdir()
    (letters / "one.txt").write_text("Dear")
    return operations


@contextmanager
def undeletable(name: str) -> Iterator[None]:
    """Let the file system refuse to delete files of this name: root could delete them whatever their permissions."""
    unlink = os.unlink

    def refuse(path: os.PathLike[str], **more: int) -> None:
        if Path(path).name == name:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(path))
        unlink(path, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        yield


def book_pending(root: Path) -> list[Pending]:
    with registry(root) as book:
        return book.pending()


def test_of_a_purged_tenant_nothing_is_left_but_a_tombstone_and_its_journal(acme: Operations, root: Path) -> None:
    uid, revision = acme.get("acme").uid, acme.get("acme").revision
    acme.remove("acme")
    kept = [path for path in (root / "instance" / "trash" / uid).rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in kept)
    purged = acme.purge("acme")
    assert (purged.changed, purged.files, purged.size) == (True, len(kept), size)
    assert list((root / "instance").rglob(f"*{uid}*")) == []
    with registry(root) as book:
        assert uid in book.changes(revision).gone
        assert book.pending() == []
        assert book.places(uid) == []
    with pytest.raises(Unknown):
        acme.get("acme")
    assert verbs(acme, uid) == ["add", "remove", "purge"]
    nothing_but(root)


def test_a_standing_tenant_is_not_purged(acme: Operations, root: Path) -> None:
    with pytest.raises(Refused, match="tenantry remove acme"):
        acme.purge("acme")
    nothing_but(root, tenants=1)


def test_of_two_tenants_of_one_name_the_removed_one_is_purged_by_its_uid(acme: Operations, root: Path) -> None:
    old = acme.get("acme").uid
    acme.remove("acme")
    new = acme.add(NewTenant("acme", application=NOTES, override=True)).tenant
    with pytest.raises(Refused, match=f"tenantry purge {old}"):
        acme.purge("acme")
    assert acme.purge(old).tenant.uid == old
    assert acme.get("acme") == new
    nothing_but(root, tenants=1)


def test_its_name_stays_retired(acme: Operations) -> None:
    acme.remove("acme")
    acme.purge("acme")
    with pytest.raises(Refused, match="retired until"):
        acme.add(NewTenant("acme", application=NOTES))


def test_links_are_deleted_and_never_followed(acme: Operations, root: Path) -> None:
    folder = Placement(acme.path("acme")).files
    mine = root / "mine"
    mine.mkdir()
    (mine / "kept").write_text("all of it")
    (folder / "folder").symlink_to(mine)
    (folder / "file").symlink_to(mine / "kept")
    (folder / "nothing").symlink_to("nowhere")
    acme.remove("acme")
    acme.purge("acme")
    assert (mine / "kept").read_text() == "all of it"
    nothing_but(root)


def test_a_folder_that_its_application_has_closed_is_opened_and_deleted(acme: Operations, root: Path) -> None:
    letters = Placement(acme.path("acme")).files / "letters"
    (letters / "one.txt").chmod(0)
    letters.chmod(0)
    acme.remove("acme")
    assert acme.purge("acme").files >= 5
    nothing_but(root)


def test_every_store_is_walked_whatever_lies_in_it(acme: Operations, root: Path) -> None:
    """Also what no verb of ours leaves: a second copy of the folder, and litter in staging/."""
    acme.remove("acme")
    instance = root / "instance"
    (trashed,) = (instance / "trash").iterdir()
    for copy in (instance / "staging" / trashed.name, instance / "staging" / f"{trashed.name}.old"):
        copy.mkdir()
        (copy / "data").write_text("some")
    acme.purge("acme")
    assert list(instance.rglob(f"*{trashed.name}*")) == []


def test_a_file_that_cannot_be_deleted_is_named_and_the_next_purge_goes_on(acme: Operations, root: Path) -> None:
    uid = acme.get("acme").uid
    acme.remove("acme")
    trash = root / "instance" / "trash" / uid
    with undeletable("one.txt"):
        with pytest.raises(Unavailable, match=r"files/letters/one\.txt: Operation not permitted") as caught:
            acme.purge("acme")
        assert "tenantry purge acme" in caught.value.hint
        assert acme.get("acme").status is Status.PURGING
        assert [str(path.relative_to(trash)) for path in sorted(trash.rglob("*"))] == [
            "files",
            "files/letters",
            "files/letters/one.txt",
        ]
        for verb in (acme.undo_remove, acme.remove):
            with pytest.raises(Refused, match="being purged"):
                verb("acme")
        assert acme.recover() == ()
    assert acme.purge("acme").files == 1
    assert verbs(acme, uid) == ["add", "remove", "purge"]
    nothing_but(root)


def test_no_other_command_waits_for_a_great_purge_that_was_cut_short(acme: Operations, root: Path) -> None:
    """It is for the same purge again, or for the doctor; a small one is finished by whoever comes."""
    files = Placement(acme.path("acme")).files
    acme.add(NewTenant("globex", application=NOTES))
    for number in range(2001):
        (files / str(number)).touch()
    for name in ("acme", "globex"):
        acme.remove(name)
    with registry(root) as book:
        for name in ("acme", "globex"):
            book.purge(acme.get(name).uid, By("ada", "purge"))
    with opened(root) as mine:
        assert [some.name for some in book_pending(root)] == ["acme"]
        assert mine.recover(quick=True) == ()
        assert len(list((root / "instance" / "trash").rglob("*"))) > 2001
        assert [some.says for some in mine.recover()] == ["an interrupted purge was finished"]
    nothing_but(root)


def test_a_folder_is_small_by_what_is_in_it_and_below(acme: Operations, root: Path) -> None:
    folder = acme.path("acme")
    there = len(list(folder.rglob("*")))
    with open_desk(root, read(root).settings) as desk:
        assert stores.is_small(desk, folder.name, there)
        assert not stores.is_small(desk, folder.name, there - 1)
        assert stores.is_small(desk, "aaaabbbbcccc", 0)


def test_a_removal_that_was_not_finished_is_finished_first(operations: Operations, root: Path) -> None:
    with open_desk(root, read(root).settings) as desk:
        hasty = Operations(desk, patience=0.1)
        hasty.add(NewTenant("acme", application=NOTES))
        with closing(Placement(hasty.path("acme")).hold()):
            with pytest.raises(Unavailable):
                hasty.remove("acme")
            with pytest.raises(Unavailable, match="in use"):
                hasty.purge("acme")
            assert hasty.get("acme").status is Status.REMOVED
        hasty.purge("acme")
    nothing_but(root)


def test_a_tree_deeper_than_python_recurses_is_weighed_and_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "deep"
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=descriptor)
        below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    (folder / "file").write_text("four")
    assert stores.weigh(folder) == stores.Amount(1, 4)
    assert stores.delete(folder) == stores.Amount(1, 4)
    assert not folder.exists()


def test_purging_twice_is_unknown_the_second_time(acme: Operations) -> None:
    acme.remove("acme")
    acme.purge("acme")
    with pytest.raises(Unknown):
        acme.purge("acme")


def test_nothing_of_a_purged_tenant_is_in_the_registry_but_names_and_verbs(acme: Operations, root: Path) -> None:
    acme.remove("acme")
    uid = acme.get("acme").uid
    acme.purge("acme")
    with closing(sqlite3.connect(root / "instance" / "registry.sqlite3")) as raw:
        tables = [name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        holding = {table for table in tables for row in raw.execute(f"SELECT * FROM {table}") if uid in row}
    assert holding == {"journal", "retired", "tombstones"}


def test_a_folder_that_stands_where_a_removed_tenants_belongs_is_not_taken_for_it(acme: Operations, root: Path) -> None:
    """As a program makes it that goes on writing after the removal."""
    uid = acme.get("acme").uid
    acme.remove("acme")
    (root / "instance" / "tenants" / uid / "files").mkdir(parents=True)
    with pytest.raises(Refused, match="stands where the folder of acme belongs"):
        acme.undo_remove("acme")
    assert acme.recover() == ()
    assert acme.purge("acme").files
    assert not (root / "instance" / "tenants" / uid).exists()


def test_an_old_name_is_not_taken_for_a_removed_tenant_of_that_name(acme: Operations) -> None:
    acme.remove("acme")
    acme.add(NewTenant("globex", application=NOTES))
    acme.rename("globex", "acme", override=True)
    acme.rename("acme", "apex")
    for verb in (acme.remove, acme.purge, acme.undo_remove, acme.restart):
        with pytest.raises(Unknown, match=r"^acme was renamed to apex\."):
            verb("acme")


def test_a_damaged_journal_keeps_nobody_from_purging_or_coming_back(acme: Operations, root: Path) -> None:
    acme.remove("acme")
    with closing(sqlite3.connect(root / "instance" / "registry.sqlite3")) as book, book:
        book.execute("UPDATE journal SET at = '2020-01-01', detail = '{\"addresses\": [\"pigeon:acme\"]}'")
    assert [tenant.name for tenant in acme.purgeable(timedelta(days=1))] == ["acme"]
    assert acme.undo_remove("acme").urls == ("http://acme.localhost:8000/",)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to another")
def test_what_root_leaves_behind_is_its_owners_to_mend(root: Path, operations: Operations) -> None:
    owner = root / "instance" / "staging"
    os.chown(owner, 12345, 12345)
    with underway.holding(operations._desk, "a" * 12):
        assert (owner / f"{'a' * 12}.lock").stat().st_uid == 12345
