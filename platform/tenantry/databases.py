"""A tenant's data at rest: where its SQLite file is, how it comes to be, is copied whole, and is opened."""

import os
import re
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import URL, Engine, event, make_url
from sqlalchemy.pool import QueuePool

from tenantry import forks
from tenantry.errors import Invalid, Refused, Unavailable, Unknown
from tenantry.placement import Placement, beside, sync

_BUSY = 5.0
_COPY_DEADLINE = 30.0
_SECTOR = 512  # every SQLite file is a multiple of it
_URL = re.compile(r"(sqlite|postgres(ql)?|mysql|mariadb|oracle|mssql)(\+\w+)?:/", re.ASCII | re.IGNORECASE)
_MANNERS = (
    f"PRAGMA busy_timeout = {int(_BUSY * 1000)}",  # first: setting the mode may have to wait
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA foreign_keys = ON",
)


def url(placement: Placement) -> str:
    """Spell the URL of a tenant's database, absolute, for SQLAlchemy; Invalid if the path cannot be spelled so."""
    path = str(placement.database.absolute())
    text = URL.create("sqlite", database=path).render_as_string(hide_password=False)
    if make_url(text).database != path:
        raise Invalid(f"The folder {placement.folder} cannot be written in a database URL.", hint="Move the instance.")
    return text


def urls(value: object) -> Iterator[str]:
    """Go through the database URLs in a value of a config, however deep; one in memory is nobody else's."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for inner in value:
            yield from urls(inner)
    elif isinstance(value, str) and _URL.match(value) and "memory:" not in value:
        yield value


def provision(database: Path, template: Path | None) -> None:
    """Make a database as a copy of a template, whole or not at all; without a template leave it to the application.

    `template` is a file that nobody has open, as `schema.template` makes it. Refused if there already is a database.
    """
    if database.exists():
        raise Refused(f"There already is a database {database}.")
    if template is None:
        return
    with _arriving(database) as fresh:
        shutil.copyfile(template, fresh)


def copy(source: Path, target: Path) -> None:
    """Copy a database as of one moment, also while it is written, by SQLite's own means; replaces `target`.

    Nobody may have `target` open. Unknown if there is no source, Unavailable if it is damaged or stays locked.
    """
    if not source.exists():
        raise Unknown(f"There is no database {source}.")
    deadline = time.monotonic() + _COPY_DEADLINE

    def see(status: int, _left: int, _total: int) -> None:
        if status in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED} and time.monotonic() > deadline:
            raise Unavailable(f"The database {source} stays locked.", hint="Try again when its tenant is idle.")

    try:
        with (
            _arriving(target) as fresh,
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, timeout=_BUSY)) as old,
            closing(sqlite3.connect(fresh)) as new,
        ):
            # Writable, though nothing is written: a reader alone would leave an empty log beside the source. In one
            # step: a copy in several begins anew whenever somebody writes in between.
            old.backup(new, pages=-1, progress=see)
    except sqlite3.Error as error:
        raise Unavailable(f"The database {source} cannot be copied: {error}.") from error


def is_one(path: Path) -> bool:
    """Tell whether a file is an SQLite database with something in it.

    SQLite itself is asked: to read a file that this process has open as a database would drop its locks.
    """
    try:
        size = path.stat().st_size
    except OSError:
        return False
    if size % _SECTOR or (size == 0 and not any(found.exists() for found in beside(path))):
        return False
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=_BUSY)) as raw:
            raw.execute("PRAGMA schema_version").fetchone()
    except sqlite3.Error as error:
        return getattr(error, "sqlite_errorcode", 0) != sqlite3.SQLITE_NOTADB
    return True


def tune(engine: Engine) -> None:
    """Give every connection that this engine will open the manners of a tenant's database; other dialects are let be.

    Write-ahead log, synchronous NORMAL (a crash of the machine may cost the last commits, never the database), foreign
    keys checked, five seconds of patience with other writers.
    """
    if engine.dialect.name == "sqlite" and engine not in _counted:
        count = _counted[engine] = Opened()
        event.listen(engine, "connect", _connected)
        event.listen(engine, "connect", count.opened)
        event.listen(engine, "close", count.closed)


class Opened:
    """How many connections of an SQLite file are open, and how many that were closed still hold a descriptor each.

    SQLite keeps those until the last connection is closed, for to close one drops the locks of all on that file.
    """

    def __init__(self) -> None:
        self._open = self._spare = 0
        self.renew()
        forks.renewed(self)

    def renew(self) -> None:
        """Make a lock that no other thread holds: at first, and in a forked child."""
        self._lock = threading.RLock()  # a connection may be closed by the garbage collector, in the middle of this

    def opened(self, *_: object) -> None:
        """Count one that was opened, into a descriptor that was kept if there is one."""
        with self._lock:
            self._open += 1
            self._spare = max(0, self._spare - 1)

    def closed(self, *_: object) -> None:
        """Count one that was closed."""
        with self._lock:
            self._open -= 1
            self._spare = self._spare + 1 if self._open else 0

    def weight(self) -> int:
        """Return the sum of both."""
        return self._open + self._spare


def rest(engine: Engine) -> None:
    """Close the connections that nobody uses right now; one that is in use comes back to where it was taken from.

    An engine that is disposed of forgets that place: what is in use then stays open, whoever gives it back, until a
    garbage collection finds it.
    """
    if isinstance(engine.pool, QueuePool):
        engine.pool.dispose()
    else:
        engine.dispose()


def weight(engine: Engine) -> int:
    """Tell about how many connections an engine has open right now, what SQLite keeps of closed ones included."""
    count = _counted.get(engine)
    if count is not None:
        return count.weight()
    return engine.pool.checkedin() if isinstance(engine.pool, QueuePool) else 1


_counted: WeakKeyDictionary[Engine, Opened] = WeakKeyDictionary()


def _connected(raw: Any, _record: object) -> None:
    for line in _MANNERS:
        raw.execute(line).close()


@contextmanager
def _arriving(path: Path) -> Iterator[Path]:
    fresh, new = path.with_name(path.name + ".new"), not path.exists()
    try:
        os.close(os.open(fresh, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        yield fresh
        sync(fresh)
        # What an earlier database left beside its file would be replayed into the new one.
        for leftover in beside(path):
            leftover.unlink(missing_ok=True)
        fresh.replace(path)
        _settle(path, new)
    except OSError as error:
        raise Unavailable(f"The database {path} cannot be made: {error}.") from error
    finally:
        # What cannot be deleted now is where the next copy begins; it must not hide why this one failed.
        with suppress(OSError):
            for leftover in (fresh, *beside(fresh)):
                leftover.unlink(missing_ok=True)


def _settle(path: Path, new: bool) -> None:
    try:
        sync(path.parent)
    except OSError:
        if new:
            path.unlink()
        raise
