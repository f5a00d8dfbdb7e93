"""The lock of the verbs on one tenant: who has it is alone, and leaves nobody else's file behind or deleted."""

import fcntl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tenantry.address import Address, Kind
from tenantry.assembly.desk import open_desk
from tenantry.errors import Refused
from tenantry.operations import Desk, NewTenant, Operations, adding, underway
from tenantry.placement import Placement
from tenantry.registry import By
from tenantry.settings import read
from tenantry.tenant import Status, Tenant, new_uid
from tests import shops
from tests.shops import NOTES, nothing_but, statuses

operations, root, shop = shops.operations, shops.root, shops.shop


@pytest.fixture
def desk(operations: Operations, root: Path) -> Iterator[Desk]:
    """The desk itself, on which no verb is opened."""
    with open_desk(root, read(root).settings) as desk:
        yield desk


@contextmanager
def others(desk: Desk, uid: str) -> Iterator[threading.Event]:
    """Let another have the lock, until this ends or the event is set."""
    path = underway.lock(desk.instance, uid)
    enough = threading.Event()
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        def let_go() -> None:
            enough.wait()
            path.unlink()
            fcntl.flock(file, fcntl.LOCK_UN)

        thread = threading.Thread(target=let_go)
        thread.start()
        try:
            yield enough
        finally:
            enough.set()
            thread.join()


def intent(uid: str) -> adding.Intent:
    tenant = Tenant(uid, "acme", NOTES, Status.ADDING, 0)
    return adding.Intent(tenant, [Address(Kind.SUBDOMAIN, "acme")], By("ada", "add"))


def fill(staged: Placement) -> None:
    staged.config.touch(0o600)
    staged.secrets.touch(0o600)


def test_nobody_adds_without_the_lock(desk: Desk, operations: Operations, root: Path) -> None:
    """Whoever had it would find the row of an add that nobody is at, and undo it under the other's hands."""
    uid = new_uid()
    with others(desk, uid), pytest.raises(Refused, match="by another command"):
        adding.make(desk, intent(uid), fill)
    assert statuses(operations) == {}
    nothing_but(root)


def test_who_only_looks_for_a_moment_turns_nobody_away(desk: Desk, operations: Operations, root: Path) -> None:
    uid = new_uid()
    with others(desk, uid) as enough:
        timer = threading.Timer(0.1, enough.set)
        timer.start()
        adding.make(desk, intent(uid), fill)
        timer.join()
    with others(desk, uid) as enough:
        timer = threading.Timer(0.1, enough.set)
        timer.start()
        operations.remove("acme")
        timer.join()
    nothing_but(root, trash=1)


def test_a_lock_file_is_deleted_by_its_holder_and_only_its_own(desk: Desk, root: Path) -> None:
    uid = new_uid()
    path = underway.lock(desk.instance, uid)
    with underway.holding(desk, uid):
        assert path.exists()
    assert not path.exists()
    with underway.holding(desk, uid):
        path.unlink()
        path.write_text("another's")
    assert path.read_text() == "another's"


def test_an_owner_that_fails_leaves_no_lock(desk: Desk, root: Path) -> None:
    uid = new_uid()

    def fails(_: Placement) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(Exception, match="No space left"):
        adding.make(desk, intent(uid), fails)
    nothing_but(root)


def test_who_is_not_to_make_a_lock_makes_none(desk: Desk, root: Path) -> None:
    """A recovery that has seen a file which its owner has just deleted."""
    with pytest.raises(Refused), underway.holding(desk, new_uid(), 0.0, make=False):
        pytest.fail("it was had")
    nothing_but(root)


def test_recovering_leaves_a_lock_alone_that_somebody_holds(desk: Desk, operations: Operations, root: Path) -> None:
    uid = operations.add(NewTenant("acme", application=NOTES)).tenant.uid
    with others(desk, uid):
        desk.registry.remove(uid, By("ada", "remove"))
        assert operations.recover() == ()
        assert underway.lock(desk.instance, uid).exists()
    assert [some.uid for some in operations.recover()] == [uid]
    nothing_but(root, trash=1)
