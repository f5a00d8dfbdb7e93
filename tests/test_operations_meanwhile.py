"""What changes while a verb looks at it: files that vanish or turn into others, folders closed to it, locks deleted."""

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tenantry import settings
from tenantry.assembly.desk import open_desk
from tenantry.errors import Refused, TenantryError
from tenantry.operations import Clone, NewTenant, Operations, copying, disk, stores
from tenantry.placement import Instance, Placement
from tenantry.registry import By
from tenantry.tenant import Status
from tests import shops
from tests.proofs.shared import Share
from tests.shops import opened, registry, statuses
from tests.sites import eventually, on_threads

operations, root, shop = shops.operations, shops.root, shops.shop

NOBODY = 65534
_LOCKING = "fcntl.flock"  # announced with a descriptor
Change = Callable[[], object]


def meanwhile(event: str, path: Path, change: Change, work: Callable[[], object]) -> str:
    """Work in another process, where a change is made just before the system is asked for that path, once.

    `event` is the name by which Python announces the call. Return what was said, or nothing.
    """
    left = [change]

    def announced(name: str, given: tuple[object, ...]) -> None:
        if left and name == event and (name == _LOCKING or str(given[0]) == str(path)):
            left.pop()()

    def met() -> str:
        sys.addaudithook(announced)  # it stays as long as the process does
        try:
            work()
        except TenantryError as error:
            return str(error)
        finally:
            assert not left, f"nobody asked for {path}"
        return ""

    return Share(met).result()


def as_nobody(root: Path, work: Callable[[], object]) -> object:
    """Work in another process as a user who owns all that there is below a folder, and may do nothing else."""
    mine = os.geteuid()
    for path in (root, *root.rglob("*")) if mine == 0 else ():
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    for folder in root.parents:
        with suppress(PermissionError):
            folder.chmod(folder.stat().st_mode | 0o011)

    def done() -> object:
        if mine == 0:
            os.seteuid(NOBODY)
        try:
            return work()
        finally:
            os.seteuid(mine)  # what measures this process writes as who it was

    return Share(done).result()


# Files of an application that goes on working while it is copied.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file and a folder to be copied, and a place for the copy."""
    (tmp_path / "old" / "deep").mkdir(parents=True)
    (tmp_path / "old" / "letter").write_text("Dear")
    (tmp_path / "old" / "deep" / "letter").write_text("Yours")
    (tmp_path / "new").mkdir()
    return tmp_path / "old"


def copied(folder: Path) -> set[str]:
    new = folder.parent / "new"
    return {str(path.relative_to(new)) for path in new.rglob("*")}


def copy(folder: Path) -> Callable[[], object]:
    return lambda: copying.files(folder, folder.parent / "new")


def test_a_file_that_is_deleted_before_it_is_copied_is_not_in_the_copy(folder: Path) -> None:
    assert meanwhile("open", folder / "letter", (folder / "letter").unlink, copy(folder)) == ""
    assert copied(folder) == {"deep", "deep/letter"}


def test_a_file_that_becomes_a_pipe_is_not_waited_for(folder: Path) -> None:
    def change() -> None:
        (folder / "letter").unlink()
        os.mkfifo(folder / "letter")

    assert meanwhile("open", folder / "letter", change, copy(folder)) == ""
    assert copied(folder) == {"deep", "deep/letter"}


def test_a_file_that_becomes_a_link_is_not_followed(folder: Path) -> None:
    def change() -> None:
        (folder / "letter").unlink()
        (folder / "letter").symlink_to("/etc/passwd")

    assert f"{folder / 'letter'} cannot be read" in meanwhile("open", folder / "letter", change, copy(folder))


def test_a_folder_that_is_deleted_before_it_is_copied_is_empty_in_the_copy(folder: Path) -> None:
    def change() -> None:
        (folder / "deep" / "letter").unlink()
        (folder / "deep").rmdir()

    assert meanwhile("os.scandir", folder / "deep", change, copy(folder)) == ""
    assert copied(folder) == {"letter", "deep"}


def test_a_folder_that_is_none_any_more_is_told_of(folder: Path) -> None:
    def change() -> None:
        (folder / "deep" / "letter").unlink()
        (folder / "deep").rmdir()
        (folder / "deep").write_text("a file")

    assert f"{folder / 'deep'} cannot be read" in meanwhile("os.scandir", folder / "deep", change, copy(folder))


def test_a_source_that_is_removed_while_its_folder_is_waited_for_is_not_cloned(
    operations: Operations, root: Path
) -> None:
    """What would be copied then is somebody's trash."""
    uid, held = operations.add(NewTenant("acme")).tenant.uid, threading.Event()

    def remove() -> None:
        with Placement(operations.path("acme")).alone(), registry(root) as book:
            held.set()
            eventually(lambda: Status.ADDING in statuses(operations).values())
            book.remove(uid, By("ada", "remove"))

    def clone() -> str:
        assert held.wait(10)
        with opened(root) as others, pytest.raises(Refused) as refused:
            others.clone("acme", Clone("apex"))
        return refused.value.says

    assert on_threads(remove, clone)[1] == "acme was removed meanwhile."
    assert "apex" not in statuses(operations)


# Folders that are closed to whoever works.


def test_who_is_not_root_adds_a_tenant_and_everything_is_theirs(root: Path) -> None:
    def add() -> list[int]:
        with opened(root) as others:
            others.add(NewTenant("acme"))
            folder = others.path("acme")
        return sorted({path.stat().st_uid for path in (folder, *folder.rglob("*"))})

    Instance(root / "instance").prepare()
    assert as_nobody(root, add) == [NOBODY if os.geteuid() == 0 else os.geteuid()]


def test_what_cannot_be_looked_into_is_not_small_and_weighs_what_is_seen(root: Path) -> None:
    instance, uid = Instance(root / "instance"), "aaaabbbbcccc"
    with opened(root):  # so that there is a registry
        pass
    closed, listed = instance.tenants / uid / "closed", instance.tenants / uid / "listed"
    for folder in (closed, listed):
        folder.mkdir(parents=True)
        (folder / "letter").write_text("four")

    def look() -> tuple[bool, bool, int]:
        with open_desk(root, settings.read(root, {}).settings) as mine:
            small = stores.is_small(mine, uid, 10)
            closed.chmod(0o000)
            listed.chmod(0o400)
            closed_is_small = stores.is_small(mine, uid, 10)
        return small, closed_is_small, stores.weigh(listed).size

    try:
        assert as_nobody(root, look) == (True, False, 0)
    finally:
        for folder in (closed, listed):
            folder.chmod(0o700)


# Locks that their last holder has deleted.


@pytest.mark.parametrize("again", [False, True])
def test_a_lock_that_its_last_holder_deletes_is_not_the_one_that_is_held(tmp_path: Path, again: bool) -> None:
    path = tmp_path / "lock"

    def change() -> None:
        path.unlink()
        if again:
            path.write_text("another's")

    def take() -> None:
        descriptor = disk.take(path, make=True)
        assert descriptor is not None
        assert os.path.samestat(os.fstat(descriptor), path.stat())

    assert meanwhile(_LOCKING, path, change, take) == ""


def test_a_lock_without_a_folder_is_not_taken(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        disk.take(tmp_path / "gone" / "lock", make=True)
    assert disk.take(tmp_path / "gone" / "lock", make=False) is None
