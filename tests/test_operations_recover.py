"""Recovery: what was cut short is brought to its end, what is under way is left alone."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tenantry.address import Address, Kind
from tenantry.assembly.desk import open_desk
from tenantry.errors import Refused, TenantryError, Unknown
from tenantry.operations import NewTenant, Operations, removing
from tenantry.placement import Instance, Placement
from tenantry.registry import By, Place
from tenantry.settings import read
from tenantry.tenant import Status, Tenant, new_uid
from tests import shops
from tests.shops import NOTES, nothing_but, opened, registry, statuses, verbs

operations, root, shop = shops.operations, shops.root, shops.shop

ADA = By("ada", "remove")


@pytest.fixture
def uid(operations: Operations) -> str:
    """The uid of `acme`, which stands."""
    return operations.add(NewTenant("acme", application=NOTES)).tenant.uid


def cut(root: Path, uid: str, verb: str) -> None:
    """Leave what a process leaves that is killed within a verb, one or two steps before its end."""
    instance = Instance(root / "instance")
    with registry(root) as book:
        if verb == "add":
            book.intend(Tenant(uid, "fresh", NOTES, Status.ADDING, 0), [Address(Kind.SUBDOMAIN, "fresh")])
            (instance.tenants / uid).mkdir()
        else:
            book.remove(uid, ADA)
        if verb in {"undo remove", "purge"}:
            (instance.tenants / uid).rename(instance.trash / uid)
            book.settle(uid)
        if verb == "undo remove":
            book.returning(uid, ADA)
            (instance.trash / uid).rename(instance.tenants / uid)
        if verb == "purge":
            book.purge(uid, ADA)
            (instance.trash / uid / "key").unlink()
    (instance.staging / f"{uid}.lock").touch()


ENDS = {
    "remove": ("an interrupted removal was finished", Status.REMOVED),
    "undo remove": ("an interrupted undo of a removal was taken back again", Status.REMOVED),
    "purge": ("an interrupted purge was finished", None),
}


@pytest.mark.parametrize("verb", ENDS)
def test_what_was_cut_short_is_brought_to_its_end_once(operations: Operations, root: Path, uid: str, verb: str) -> None:
    cut(root, uid, verb)
    says, status = ENDS[verb]
    with registry(root) as book:
        assert [(some.name, some.verb) for some in book.pending()] == [("acme", verb)]
        assert [(some.name, some.says) for some in operations.recover()] == [("acme", says)]
        assert book.pending() == []
    assert statuses(operations).get("acme") is status
    nothing_but(root, trash=status is Status.REMOVED)
    assert operations.recover() == ()


def test_an_add_that_was_cut_short_is_undone_with_its_row_its_folder_and_its_name(
    operations: Operations, root: Path, uid: str
) -> None:
    half = new_uid()
    cut(root, half, "add")
    (root / "instance" / "staging" / new_uid()).mkdir()
    assert [some.says for some in operations.recover()] == ["an interrupted add was undone"] * 2
    with pytest.raises(Unknown):
        operations.get("fresh")
    assert operations.recover() == ()
    nothing_but(root, tenants=1)
    operations.add(NewTenant("fresh", application=NOTES))


@pytest.mark.parametrize(("verb", "finish"), [("remove", Operations.remove), ("purge", Operations.purge)])
def test_the_same_verb_once_more_finishes_what_was_cut_short(
    operations: Operations, root: Path, uid: str, verb: str, finish: Callable[[Operations, str], object]
) -> None:
    cut(root, uid, verb)
    finish(operations, "acme")
    nothing_but(root, trash=verb == "remove")
    assert operations.recover() == ()


def test_a_removal_that_was_cut_short_can_be_taken_back(operations: Operations, root: Path, uid: str) -> None:
    cut(root, uid, "remove")
    assert operations.undo_remove("acme").tenant.status is Status.ACTIVE
    nothing_but(root, tenants=1)
    assert operations.recover() == ()


def test_rows_that_make_no_sense_keep_no_other_verb_from_its_end(operations: Operations, root: Path, uid: str) -> None:
    odd = operations.add(NewTenant("odd", application=NOTES)).tenant.uid
    cut(root, odd, "remove")
    with closing(sqlite3.connect(root / "instance" / "registry.sqlite3")) as raw:
        raw.execute("UPDATE tenants SET revision = 'x' WHERE uid = ?", (odd,))
        raw.commit()
    cut(root, uid, "remove")
    assert [some.uid for some in operations.recover()] == [uid]
    assert operations.recover() == ()
    operations.add(NewTenant("fresh", application=NOTES))


def test_what_is_not_ours_in_staging_is_left_alone(operations: Operations, root: Path) -> None:
    theirs = root / "instance" / "staging" / "notes.txt"
    theirs.write_text("mine")
    assert operations.recover() == ()
    assert theirs.read_text() == "mine"


# Two processes at one tenant.


@contextmanager
def at_it(root: Path, verb: Callable[[Operations, str], object]) -> Iterator[None]:
    """Let another process be in the middle of a verb on `acme`, waiting for its placement, until this ends."""
    with opened(root) as mine:
        uid = mine.get("acme").uid
    instance = Instance(root / "instance")
    folder = next(path for path in (instance.tenants / uid, instance.trash / uid) if path.exists())
    with closing(Placement(folder).hold()) as hold:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                hold.close()  # the parent's goes on
                with opened(root) as other:
                    verb(other, "acme")
                    code = 0
            finally:
                os._exit(code)
        with registry(root) as book:
            while not book.pending():
                assert os.waitpid(pid, os.WNOHANG) == (0, 0)
        yield
        hold.close()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize(
    ("verb", "being", "others"),
    [
        (Operations.remove, "being removed by another command", ("remove", "undo_remove", "purge")),
        (Operations.undo_remove, "being brought back by another command", ("remove", "undo_remove", "purge")),
    ],
)
def test_who_comes_second_is_told_who_is_at_it_and_recovery_leaves_it_alone(
    root: Path, uid: str, verb: Callable[[Operations, str], object], being: str, others: tuple[str, ...]
) -> None:
    with opened(root) as mine:
        if verb is Operations.undo_remove:
            mine.remove("acme")
        with at_it(root, verb):
            for other in others:
                with pytest.raises(Refused, match=being):
                    getattr(mine, other)("acme")
            assert mine.recover() == ()
        gone = verb is Operations.remove
        nothing_but(root, tenants=not gone, trash=gone)
        assert verbs(mine)[1:] == (["remove"] if gone else ["remove", "undo remove"])


def test_a_tenant_that_is_being_removed_is_nobodys_to_change(root: Path, uid: str) -> None:
    with opened(root) as mine, at_it(root, Operations.remove):
        for verb in (mine.restart, mine.maintenance_off, lambda name: mine.suspend(name, "unpaid")):
            with pytest.raises(TenantryError, match="removed"):
                verb("acme")
    nothing_but(root, trash=1)


def test_of_two_who_saw_the_same_tenant_one_removes_it_and_the_other_is_told_so(root: Path, uid: str) -> None:
    with open_desk(root, read(root).settings) as desk:
        seen = desk.registry.by_uid(uid)
        removing.remove(desk, seen, 1.0)
        with pytest.raises(Refused, match="at the same time"):
            removing.remove(desk, seen, 1.0)
        gone = desk.registry.by_uid(uid)
        removing.bring_back(desk, gone, 1.0)
        with pytest.raises(Refused, match="at the same time"):
            removing.bring_back(desk, gone, 1.0)
        assert desk.registry.places(uid) == [Place(Address(Kind.SUBDOMAIN, "acme"))]
    nothing_but(root, tenants=1)
