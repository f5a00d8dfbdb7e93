"""Writing that survives a crash and a failing disk: whole files, moved folders, the lock by which others know we live.

An OSError names the file. A folder that moves does so or is where it was, also when the disk takes the new name and
then does not confirm it. One case remains between: the disk does not let the change be taken back either. That is
`Unsure`, and nobody claims then that nothing was changed.
"""

import errno
import fcntl
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tenantry.errors import Unavailable
from tenantry.placement import naming, sync

_UNSURE = "Some of it is in place and could not be taken back: look at it when the disk is well again."
_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


class Unsure(OSError):
    """A change of which some is in place, that failed, and that could not be taken back."""


@contextmanager
def writing(what: str, hint: str = "Nothing was changed.", unsure: str = _UNSURE) -> Iterator[None]:
    """Turn what the file system refuses into Unavailable, in the operator's words; `unsure` is the hint then."""
    try:
        yield
    except OSError as error:
        hint = unsure if isinstance(error, Unsure) else hint
        raise Unavailable(f"{what} cannot be written: {spelled(error)}.", hint=hint) from error


def spelled(error: OSError) -> str:
    """Spell what the file system refuses, and where."""
    paths = [os.fsdecode(path) for path in (error.filename, error.filename2) if path]
    return f"{error.strerror or error}" + (f" ({' to '.join(paths)})" if paths else "")


def replace(path: Path, content: bytes) -> None:
    """Replace a file whole, 0600: it holds the old content or the new, after a crash and after an error too.

    After an error it may hold the new one, of a name that the disk has taken and not confirmed: whoever wants the old
    one back has kept it. The temporary name is fixed, so that crashes leave no litter: whoever calls holds the folder
    (`locks.locked`).
    """
    fresh = aside(path)
    write(fresh, content)
    try:
        fresh.replace(path)
    except OSError:
        with suppress(OSError):
            fresh.unlink()
        raise
    sync(path.parent)


def aside(path: Path) -> Path:
    """Name the file that is written first when another is replaced."""
    return path.with_name(f".{path.name}.new")


def write(path: Path, content: bytes) -> None:
    """Write a new file, 0600, and wait until it is on the disk; it belongs to the owner of its folder.

    What could not be written whole is deleted again, so never give the path of a file that is to be kept.
    """
    descriptor = os.open(path, _NEW, 0o600)
    try:
        with naming(path):
            try:
                os.fchmod(descriptor, 0o600)
                _own_like_folder(descriptor, path)
                _write_all(descriptor, content)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise


def _own_like_folder(descriptor: int, path: Path) -> None:
    # What root makes for a server that runs as somebody else must be that one's to use.
    if os.geteuid() == 0:
        folder = path.parent.stat()
        os.fchown(descriptor, folder.st_uid, folder.st_gid)


def _write_all(descriptor: int, content: bytes) -> None:
    # A disk that is nearly full takes what fits and says so; only the next write fails.
    left = memoryview(content)
    while left:
        written = os.write(descriptor, left)
        if written == 0:
            raise OSError(errno.EIO, "The disk took none of it")
        left = left[written:]


def settle_all(folder: Path) -> None:
    """Wait until everything in and below a folder is on the disk."""
    for parent, _, files in os.walk(folder, onerror=_raise):
        for name in files:
            path = Path(parent, name)
            if stat.S_ISREG(path.lstat().st_mode):  # a pipe would wait for somebody to write, a link leads elsewhere
                sync(path)
        sync(Path(parent))


def own_like(folder: Path, example: Path) -> None:
    """Give everything in and below `folder` to the owner of `example`.

    When root adds a tenant for a server that runs as somebody else, that server must be able to read it.
    """
    if os.geteuid() != 0:
        return
    owner = example.stat()
    os.chown(folder, owner.st_uid, owner.st_gid, follow_symlinks=False)
    for parent, folders, files in os.walk(folder, onerror=_raise):
        for name in (*folders, *files):
            os.chown(Path(parent, name), owner.st_uid, owner.st_gid, follow_symlinks=False)


def move(source: Path, target: Path) -> None:
    """Rename a folder and wait until both parents know; after an error it is where it was."""
    source.rename(target)
    try:
        sync(target.parent)
        sync(source.parent)
    except OSError as error:
        try:
            target.rename(source)
        except OSError:
            raise Unsure(error.errno, error.strerror, error.filename) from error
        raise


def delete(folder: Path) -> None:
    """Delete a folder with everything in it; the error names the file that stays, in full."""
    # From Python 3.12 on what is told of a file that stays has another name.
    told: dict[str, Any] = {"onexc" if sys.version_info >= (3, 12) else "onerror": _stays}
    shutil.rmtree(folder, **told)


def _stays(_: object, path: str, error: Any) -> None:
    # rmtree names a file as its folder does: which of twenty files called `cache` it was, nobody could tell.
    failed: OSError = error[1] if isinstance(error, tuple) else error
    failed.filename = path
    raise failed


def _raise(error: OSError) -> None:
    raise error


def _give_away(descriptor: int, path: Path) -> None:
    """Give a lock that is held to the owner of its folder; what cannot be given away is deleted while it is held."""
    try:
        _own_like_folder(descriptor, path)
    except OSError:
        with suppress(OSError):
            path.unlink()
        raise


def take(path: Path, *, make: bool) -> int | None:
    """Lock a file exclusively and return its descriptor; None if another has it, or if there is none to `make`."""
    # A lock on a file that its last holder has just deleted protects nothing: look at the path again once it is held.
    flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if make else 0)
    while True:
        try:
            descriptor = os.open(path, flags, 0o600)
        except FileNotFoundError:
            if make:
                raise
            return None
        try:
            with naming(path):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    _give_away(descriptor, path)
                    return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
