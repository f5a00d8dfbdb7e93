"""Disks that are really full, and folders that really cannot be written: what was injected elsewhere, seen."""

import ctypes
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from tenantry.errors import TenantryError
from tenantry.operations import Clone, NewTenant, Operations
from tenantry.placement import Instance
from tests.faults import state
from tests.faults.cases import Case, opened, standing
from tests.faults.matrix import child

NOBODY = 65534
PAGE = 4096
SIZE = 2 << 20
NEW_USERS, NEW_MOUNTS = 0x10000000, 0x20000
PRIVATE = 0x4000 | 0x40000

VERBS: Mapping[str, Callable[[Operations], object]] = {
    "add": lambda mine: mine.add(NewTenant("fresh", config={"A": 1})),
    "clone": lambda mine: mine.clone("acme", Clone("fresh")),
    "config set": lambda mine: mine.config_set("acme", {"A": 2}),
    "suspend": lambda mine: mine.suspend("acme", "unpaid"),
    "remove": lambda mine: mine.remove("acme"),
}


@pytest.fixture
def root() -> Iterator[Path]:
    """A working folder with a tenant, where any user may go."""
    with tempfile.TemporaryDirectory(prefix="tenantry-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with opened(folder) as operations:
            standing(operations)
        yield folder


def mount(folder: Path) -> None:
    """Put a small disk on a folder, seen by this process alone and gone with it; OSError where that is not allowed."""
    system = ctypes.CDLL(None, use_errno=True)
    users = 0 if os.geteuid() == 0 else NEW_USERS
    maps = {"uid_map": f"0 {os.geteuid()} 1", "setgroups": "deny", "gid_map": f"0 {os.getegid()} 1"} if users else {}
    if not hasattr(system, "unshare") or system.unshare(NEW_MOUNTS | users):
        raise OSError(ctypes.get_errno(), "no mounts of its own")
    for name, text in maps.items():
        Path("/proc/self", name).write_text(text)
    for given in ((b"none", b"/", None, PRIVATE, None), (b"none", bytes(folder), b"tmpfs", 0, b"size=%d" % SIZE)):
        if system.mount(*given):
            raise OSError(ctypes.get_errno(), "no mount")


def fill(path: Path, free: int) -> None:
    """Fill the disk with one file, but for so many pages."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        with suppress(OSError):
            while os.write(descriptor, bytes(PAGE)):
                pass
        os.ftruncate(descriptor, max(0, os.fstat(descriptor).st_size - free * PAGE))
    finally:
        os.close(descriptor)


def found(instance: Instance) -> state.State:
    """Read all but what SQLite keeps beside a database that could not be opened to its end."""
    return state.read(instance).without(lambda path: path.endswith(("-wal", "-shm")))


def on_full_disk(kept: Path, disk: Path, verb: Callable[[Operations], object], free: int) -> Iterator[str]:
    """Run a verb where only so many pages are left, and say what was wrong with what it said and left."""
    shutil.rmtree(disk / "root", ignore_errors=True)
    shutil.copytree(kept, disk / "root", symlinks=True)
    instance, says = Instance(disk / "root" / "instance"), ""
    before = found(instance)
    try:
        with opened(disk / "root") as operations:
            fill(disk / "filler", free)
            verb(operations)
    except TenantryError as error:
        says = str(error)
    (disk / "filler").unlink()
    with opened(disk / "root"):
        after = found(instance)
    yield from (f"{path} is empty" for path in state.empty(instance))
    if says and str(disk) not in says:
        yield f"no file is named: {says}"
    changed = after.differs(before)
    if bool(says) is bool(changed) and "once more finishes it" not in says:
        yield f"{says or 'done'}, and yet {changed or 'nothing was changed'}"


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_on_a_full_disk_is_done_or_undone(root: Path, tmp_path: Path, verb: str) -> None:
    """From no room at all to plenty, a few pages more each time."""
    found = tmp_path / "found.json"
    disk = tmp_path / "disk"
    disk.mkdir()

    def on_disk(_: Path) -> None:
        mount(disk)
        wrong = {free: list(on_full_disk(root, disk, VERBS[verb], free)) for free in (*range(0, 30, 3), 60, 120)}
        found.write_text(json.dumps({free: each for free, each in wrong.items() if each}))

    outcome = child(Case(verb, "", at_once=on_disk), root, None)
    if "no mount" in outcome.trace:
        pytest.skip("this machine lets nobody have mounts of their own")
    assert not outcome.trace
    assert json.loads(found.read_text()) == {}


@pytest.mark.parametrize(("verb", "where"), [("add", "staging"), ("add", "tenants"), ("config set", "tenants/acme")])
def test_who_may_not_write_in_a_folder_is_told_which(root: Path, verb: str, where: str) -> None:
    instance = Instance(root / "instance")
    with opened(root) as operations:
        folder = operations.path("acme") if where.endswith("acme") else instance.root / where
    mode = folder.stat().st_mode

    def as_somebody_else(_: Path) -> None:
        if os.geteuid() == 0:
            os.seteuid(NOBODY)
        with opened(root) as operations:
            VERBS[verb](operations)

    if os.geteuid() == 0:
        for path in (instance.root, *instance.root.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    folder.chmod(0o500)
    before = state.read(instance)
    try:
        outcome = child(Case(verb, "", at_once=as_somebody_else), root, None)
    finally:
        folder.chmod(mode)
    assert os.strerror(errno.EACCES) in outcome.says, outcome.trace
    assert str(folder) in outcome.says
    assert not state.read(instance).differs(before)
