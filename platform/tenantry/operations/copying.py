"""Copying what a tenant's application has written, while it is being written.

A database is copied by SQLite's own means, as of one moment; other files as they are. What an application deletes
meanwhile is not there, and what it writes meanwhile is there or not.
"""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tenantry import databases
from tenantry.errors import Refused, Unavailable, Unknown
from tenantry.placement import beside, naming

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def files(source: Path, target: Path) -> None:
    """Copy all that is in a folder into an empty one; links as they are, pipes and sockets not at all.

    Refused if a link leads out of the copy: it would be somebody else's data, or the source's own.
    """
    waiting = [source]
    while waiting:
        folder = waiting.pop()
        entries = list(_entries(folder))
        databases_here = {entry.name for entry in entries if entry.is_file(follow_symlinks=False) and _is_one(entry)}
        logs = {found.name for name in databases_here for found in beside(Path(name))}
        for entry in entries:
            found = Path(entry.path)
            place = target / found.relative_to(source)
            if entry.is_symlink():
                place.symlink_to(found.readlink())
            elif entry.is_dir(follow_symlinks=False):
                place.mkdir(mode=0o700)
                _be_like(place, found)
                waiting.append(found)
            elif entry.name in databases_here:
                database(found, place)
            elif entry.is_file(follow_symlinks=False) and entry.name not in logs:
                _file(found, place)
    see_inside(target)


def database(source: Path, target: Path) -> None:
    """Copy a database as of one moment, if there is one."""
    with suppress(Unknown):
        databases.copy(source, target)
        _be_like(target, source)


def see_inside(folder: Path) -> None:
    """Raise Refused if a link in a folder leads out of it, or begins at the root: a copy of it would lead here."""
    real = os.path.realpath(folder)
    waiting = [folder]
    while waiting:
        for entry in _entries(waiting.pop()):
            found = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                waiting.append(found)
            elif entry.is_symlink():
                leads = found.readlink()
                inside = Path(os.path.realpath(found)).is_relative_to(real)
                if leads.is_absolute() or not inside:
                    raise Refused(
                        f"{found} is a link that leads elsewhere, to {leads}: it cannot be copied.",
                        hint="Delete it, or make it a relative one inside this folder.",
                    )


def _entries(folder: Path) -> Iterator["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except FileNotFoundError:
        return  # deleted meanwhile
    except OSError as error:
        raise _unreadable(folder, error) from error


def _is_one(entry: "os.DirEntry[str]") -> bool:
    return databases.is_one(Path(entry.path))


def _file(source: Path, target: Path) -> None:
    try:
        reading = os.open(source, _READ)
    except FileNotFoundError:
        return  # deleted meanwhile
    except OSError as error:
        raise _unreadable(source, error) from error
    with os.fdopen(reading, "rb") as old:
        if not stat.S_ISREG(os.fstat(reading).st_mode):
            return  # not what it was a moment ago
        with naming(target), os.fdopen(os.open(target, _MAKE, 0o600), "wb") as new:
            shutil.copyfileobj(old, new, 1 << 20)
    _be_like(target, source)


def _be_like(target: Path, source: Path) -> None:
    """Give a copy the permissions and times of what it was copied from; its owner may always read and write it."""
    with suppress(FileNotFoundError):
        found = source.lstat()
        target.chmod(stat.S_IMODE(found.st_mode) & 0o777 | (0o700 if stat.S_ISDIR(found.st_mode) else 0o600))
        os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))


def _unreadable(path: Path, error: OSError) -> Unavailable:
    return Unavailable(f"{path} cannot be read: {error.strerror}.", hint="Nothing was changed.")
