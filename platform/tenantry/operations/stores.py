"""Where the platform keeps something of a tenant: the list that a purge walks, and that a new store must join.

Each store can be asked what remains in it of a uid, and be cleared of it. Not among them are the tenant's row, which is
erased last, and what is kept on purpose: the journal's lines, which say who did what to whom and when, and the retired
name, which says that nobody else may have it for a while.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tenantry.operations import underway
from tenantry.operations.facts import Desk
from tenantry.placement import sync


@dataclass(frozen=True, slots=True)
class Amount:
    """How many files, and how many bytes in them; `stays` says what could not be deleted first, and why."""

    files: int = 0
    size: int = 0
    stays: str = ""

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.files + other.files, self.size + other.size, self.stays or other.stays)


@dataclass(frozen=True, slots=True)
class Store:
    """One place. `remains` names the first thing found there of a uid, or is empty; `clear` deletes all that it can.

    `clear` returns what it has deleted, and `amount` tells how much that would be. `paths` are where it is on the disk.
    """

    name: str
    remains: Callable[[Desk, str], str]
    clear: Callable[[Desk, str], Amount]
    amount: Callable[[Desk, str], Amount]
    paths: Callable[[Desk, str], list[Path]] = lambda _, __: []


def _folders(name: str, where: Callable[[Desk, str], list[Path]]) -> Store:
    return Store(
        name,
        remains=lambda desk, uid: next((str(_deepest(path)) for path in where(desk, uid) if _there(path)), ""),
        clear=lambda desk, uid: sum((delete(path) for path in where(desk, uid)), Amount()),
        amount=lambda desk, uid: sum((weigh(path) for path in where(desk, uid)), Amount()),
        paths=where,
    )


def _staged(desk: Desk, uid: str) -> list[Path]:
    """Name all that is in staging/ of a uid, but for the lock under which it is deleted."""
    staging = desk.instance.staging
    lock = underway.lock(desk.instance, uid)
    return [path for path in staging.iterdir() if path.name.startswith(uid) and path != lock] if _there(staging) else []


STORES = (
    _folders("trash", lambda desk, uid: [desk.instance.trash / uid]),
    _folders("placement", lambda desk, uid: [desk.instance.placement(uid).folder]),
    _folders("staging", _staged),
    Store(
        "addresses",
        remains=lambda desk, uid: next((place.address.key for place in desk.registry.places(uid)), ""),
        clear=lambda _, __: Amount(),  # they went when it was removed, and with the row the last of them goes
        amount=lambda _, __: Amount(),
    ),
)


def is_small(desk: Desk, uid: str, files: int) -> bool:
    """Tell whether the folders of a tenant hold no more than so many files and folders; it stops counting there."""
    waiting = [str(path) for store in STORES for path in store.paths(desk, uid) if path.is_dir()]
    left = files
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    left -= 1
                    if left < 0:
                        return False
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except OSError:
            return False  # what cannot be looked into may hold anything
    return True


def weigh(path: Path) -> Amount:
    """Tell what is in a folder, links counted and never followed."""
    return sum((Amount(1, _size(found)) for found, folder in _walk(path) if not folder), Amount())


def delete(path: Path) -> Amount:
    """Delete a folder with all in it, as far as it can be deleted, and tell how much that was.

    A link is deleted, never followed. What cannot be deleted keeps nothing else from it.
    """
    gone, there = Amount(), list(_walk(path, unlock=True))
    for found, folder in reversed(there):
        size = _size(found)
        try:
            found.rmdir() if folder else found.unlink()
        except OSError as error:
            gone += Amount(stays=f"{found}: {error.strerror}")
            continue
        gone += Amount() if folder else Amount(1, size)
    if there:
        sync(path.parent)
    return gone


def _walk(path: Path, *, unlock: bool = False) -> Iterator[tuple[Path, bool]]:
    """Go through a folder and all in it, each folder before what it holds; tell with each whether it is one.

    A folder that its application has closed to itself is opened first, to `unlock` what is in it.
    """
    waiting = [(path, path.is_dir() and not path.is_symlink())] if _there(path) else []
    while waiting:
        found, folder = waiting.pop()
        yield found, folder
        if folder:
            # One that cannot be looked into cannot be deleted either, and is told of.
            with suppress(OSError):
                if unlock:
                    found.chmod(0o700)
                with os.scandir(found) as entries:
                    waiting += [(Path(entry.path), entry.is_dir(follow_symlinks=False)) for entry in entries]


def _deepest(path: Path) -> Path:
    """Name what keeps a folder from being deleted: a file in it, or a folder that is empty or cannot be looked into."""
    return list(_walk(path))[-1][0]


def _there(path: Path) -> bool:
    return os.path.lexists(path)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
