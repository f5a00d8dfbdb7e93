"""Connections to the registry's file: kept open between uses, closed with the registry, never carried across a fork.

SQLite remembers its file locks by process and file. A connection that is open during a fork makes the child believe in
locks it does not hold; another process may then delete the write-ahead log under it, and the child's commits vanish
(tried, and seen). So every connection is closed before a fork, and parent and child each open their own afterwards.
"""

import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tenantry.errors import Unavailable

_KEPT = 8
_FORK_WAIT = 2.0
_CODES = {
    sqlite3.SQLITE_BUSY: ("is locked by another process", "Try again in a moment."),
    sqlite3.SQLITE_LOCKED: ("is locked by another process", "Try again in a moment."),
    sqlite3.SQLITE_NOTADB: ("is not a database", "Move it away and restore it from a backup."),
    sqlite3.SQLITE_CORRUPT: ("is damaged", "Move it away and restore it from a backup."),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "See that its folder is there and belongs to you."),
    sqlite3.SQLITE_IOERR: ("cannot be read or written: the disk fails", "Look at the disk and the system's log."),
    sqlite3.SQLITE_FULL: ("cannot be written: the disk is full", "Make room on the disk."),
    sqlite3.SQLITE_READONLY: ("cannot be written", "See that it belongs to you."),
}


def unavailable(path: Path, error: BaseException | None) -> Unavailable:
    """Say what SQLite's error means for the registry in `path`."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _CODES:
        says, hint = _CODES[code]
        return Unavailable(f"The registry {path} {says}.", hint=hint)
    return Unavailable(f"The registry {path} cannot be used: {error}.", hint="See tenantry doctor.")


def identity(path: Path) -> tuple[int, int]:
    """Tell which file is in a place: another one of the same name is another."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a Path costs five times as much
    except OSError:
        return (0, 0)
    return found.st_dev, found.st_ino


class Raw(sqlite3.Connection):
    """A connection that is handed back instead of closed, so that SQLAlchemy may close what it was only lent."""

    home: "Connections"
    file: tuple[int, int]

    def close(self) -> None:
        """Hand the connection back to where it came from."""
        self.home.give(self)

    def end(self) -> None:
        """Close it for good."""
        super().close()


class Connections:
    """The raw autocommit connections of one registry in one process; any thread takes one and gives it back.

    `writing` keeps this process's writers in line, so that SQLite's own lock is only waited for by processes.
    """

    def __init__(self, path: Path, patience: float) -> None:
        self.path = path
        self._patience = patience
        self.writing = threading.Lock()
        self._idle: list[Raw] = []
        self._file = identity(path)
        self._watches: set[Watch] = set()
        self._out = 0
        self._shut = False
        self._halted = False
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        with _FORKS.lock:
            _FORKS.members.add(self)

    def take(self) -> Raw:
        """Lend a connection, or raise Unavailable if the file cannot be opened."""
        file = identity(self.path)
        with self._lock:
            self._enter()
            if file != self._file:  # another registry was put in its place: what is open is of the old one
                self._file = file
                self._drop_idle()
            idle = self._idle.pop() if self._idle else None
        if idle is not None:
            return idle
        try:
            return self.open()
        except BaseException:
            self.leave()
            raise

    def give(self, connection: Raw) -> None:
        """Take a lent connection back, once for each time it was lent."""
        clean = not connection.in_transaction and connection.file == self._file
        with self._lock:
            if clean and not (self._shut or self._halted) and len(self._idle) < _KEPT:
                self._idle.append(connection)
                self._out -= 1
                return
        # Ended before it counts as given: who forks waits for the count.
        connection.end()
        self.leave()

    def enter(self) -> None:
        """Count one more use of the file, after a fork that is under way; raise Unavailable when closed."""
        with self._lock:
            self._enter()

    def leave(self) -> None:
        """Count one use less."""
        with self._lock:
            self._out -= 1
            self._changed.notify_all()

    def open(self) -> Raw:
        """Open a connection with the registry's own manners."""
        file = identity(self.path)
        try:
            # mode=rw: a registry that was taken away must be missed, not silently begun anew.
            connection = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode=rw",
                uri=True,
                timeout=self._patience,
                isolation_level=None,
                check_same_thread=False,
                factory=Raw,
            )
        except sqlite3.Error as error:
            raise unavailable(self.path, error) from error
        connection.home, connection.file = self, file
        # A text that is not UTF-8 shows as a damaged word of one row and does not end the reading of all the others.
        connection.text_factory = partial(str, encoding="utf-8", errors="replace")
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA secure_delete = ON")  # what is purged leaves nothing in free pages
        except sqlite3.Error as error:
            connection.end()
            raise unavailable(self.path, error) from error
        return connection

    def fold(self) -> None:
        """Fold the write-ahead log into the file and empty it, if nobody reads in it right now."""
        raw = self.take()
        try:
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error:
            pass  # it is folded the next time
        finally:
            raw.close()

    def watch(self) -> "Watch":
        """Make a watch, closed with the registry at the latest."""
        made = Watch(self)
        with self._lock:
            self._watches.add(made)
        return made

    def forget(self, watch: "Watch") -> None:
        """Drop a watch that was closed."""
        with self._lock:
            self._watches.discard(watch)

    def close(self) -> None:
        """Close what is idle now, and what is lent as it comes back."""
        with self._lock:
            self._shut = True
            self._drop_idle()
            watches = list(self._watches)
            self._changed.notify_all()
        for watch in watches:
            watch.close()

    def before_fork(self) -> None:
        """Wait until nothing is lent, close everything, and keep the lock until the fork is done."""
        self._lock.acquire()
        self._halted = True
        self._drop_idle()
        self._changed.wait_for(lambda: self._out == 0, _FORK_WAIT)
        for watch in list(self._watches):
            watch.rest()

    def after_fork(self, *, child: bool) -> None:
        """Go on, with fresh locks and nothing lent where the other threads did not come along."""
        self._halted = False
        if child:
            self._lock, self._out = threading.Lock(), 0
            self._changed = threading.Condition(self._lock)
            self.writing = threading.Lock()
            for watch in list(self._watches):
                watch.renew()
            return
        self._changed.notify_all()
        self._lock.release()

    def _enter(self) -> None:
        while self._halted and not self._shut:
            self._changed.wait()
        if self._shut:
            raise Unavailable(f"The registry {self.path} is closed.")
        self._out += 1

    def _drop_idle(self) -> None:
        while self._idle:
            self._idle.pop().end()


class Watch:
    """A look at whether anybody, in any process, has written the registry; one thread reads it, any may close it."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._lock = threading.Lock()
        self._connection: Raw | None = None
        self._opened = 0
        self._shut = False

    def version(self) -> int:
        """Return a number that differs from the last one if the registry was written in between; about 3 us."""
        with self._using() as connection:
            found: tuple[Any, ...] = connection.execute("PRAGMA data_version").fetchone()
        # A new connection counts anew: its number must not look like one that the former had given.
        return (self._opened << 32) + int(found[0])

    def close(self) -> None:
        """Close the watch's connection."""
        with self._lock:
            self._shut = True
            self._end()
        self._connections.forget(self)

    def rest(self) -> None:
        """Close the connection until the next look; called before a fork."""
        held = self._lock.acquire(timeout=_FORK_WAIT)
        self._end()
        if held:
            self._lock.release()

    def renew(self) -> None:
        """Make a lock that no thread of the parent holds."""
        self._lock = threading.Lock()

    @contextmanager
    def _using(self) -> Iterator[Raw]:
        self._connections.enter()
        try:
            with self._lock:
                if self._shut:
                    raise Unavailable(f"The watch on the registry {self._connections.path} is closed.")
                if self._connection is not None and self._connection.file != identity(self._connections.path):
                    self._end()
                if self._connection is None:
                    self._connection = self._connections.open()
                    self._opened += 1
                yield self._connection
        except sqlite3.Error as error:
            raise unavailable(self._connections.path, error) from error
        finally:
            self._connections.leave()

    def _end(self) -> None:
        if self._connection is not None:
            self._connection.end()
            self._connection = None


class _Forks:
    """All connections of the process: module-wide because a fork is, weak because it must keep nobody alive."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.members: weakref.WeakSet[Connections] = weakref.WeakSet()
        self._held: list[Connections] = []
        os.register_at_fork(before=self._before, after_in_parent=self._after, after_in_child=partial(self._after, True))

    def _before(self) -> None:
        self.lock.acquire()
        self._held = list(self.members)
        for member in self._held:
            member.before_fork()

    def _after(self, child: bool = False) -> None:
        for member in self._held:
            member.after_fork(child=child)
        self._held = []
        self.lock.release()


_FORKS = _Forks()
