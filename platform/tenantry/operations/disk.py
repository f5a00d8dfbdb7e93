"""Writing that survives a crash: whole files, moved folders, and the lock by which others know that we live."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tenantry.errors import Unavailable
from tenantry.placement import sync


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Turn what the file system refuses into Unavailable, in the operator's words."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise Unavailable(
            f"{what} cannot be written: {error.strerror or error}{where}.", hint="Nothing was changed."
        ) from error


def replace(path: Path, text: str) -> None:
    """Replace a file whole, 0600: after a crash either the old content or the new one is there.

    The temporary name is fixed, so that crashes leave no litter: whoever calls holds the folder (`placement.locked`).
    """
    temporary = path.with_name(f".{path.name}.new")
    write(temporary, text.encode())
    temporary.replace(path)
    sync(path.parent)


def write(path: Path, content: bytes) -> None:
    """Write a file, 0600, and wait until it is on the disk; it belongs to the owner of its folder."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        if os.geteuid() == 0:
            folder = path.parent.stat()
            os.fchown(descriptor, folder.st_uid, folder.st_gid)
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def settle_all(folder: Path) -> None:
    """Wait until everything in and below a folder is on the disk."""
    for parent, _, files in os.walk(folder):
        for name in files:
            sync(Path(parent, name))
        sync(Path(parent))


def own_like(folder: Path, example: Path) -> None:
    """Give everything in and below `folder` to the owner of `example`.

    When root adds a tenant for a server that runs as somebody else, that server must be able to read it.
    """
    if os.geteuid() != 0:
        return
    owner = example.stat()
    for parent, _, files in os.walk(folder):
        for path in (Path(parent), *(Path(parent, name) for name in files)):
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def move(source: Path, target: Path) -> None:
    """Rename a folder and wait until both parents know."""
    source.rename(target)
    sync(target.parent)
    sync(source.parent)


@contextmanager
def alive(path: Path) -> Iterator[bool]:
    """Hold an exclusive lock file while something is under way; yield False if another process holds it.

    Whoever holds it deletes the file when the matter is settled, and leaves it when it is not.
    """
    descriptor = _take(path)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _take(path: Path) -> int | None:
    # A lock on a file that its last holder has just deleted protects nothing: look at the path again once it is held.
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except FileNotFoundError:
            pass
        os.close(descriptor)
