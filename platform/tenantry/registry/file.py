"""The registry's file: made whole or not at all, and looked at before it is believed."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from tenantry.errors import Refused, Unavailable
from tenantry.locks import locked
from tenantry.placement import beside, sync
from tenantry.registry import tables, upgrade
from tenantry.registry.connections import Connections, unavailable


def make(path: Path) -> None:
    """Make the registry's file if there is none: beside its place, then moved there; readable by its owner alone."""
    if path.exists():
        return
    try:
        with locked(path.parent):
            if not path.exists():
                _make(path, path.with_name(path.name + ".new"))
    except (OSError, sqlite3.Error, DBAPIError) as error:
        why = error.orig if isinstance(error, DBAPIError) else error
        raise Unavailable(
            f"The registry {path} cannot be made: {why}.", hint="See that its folder is there and belongs to you."
        ) from error


def _make(path: Path, fresh: Path) -> None:
    # The folder's lock is held, so a leftover is that of a maker who was killed.
    _clear(fresh)
    try:
        os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(fresh), poolclass=NullPool)
        with engine.begin() as connection:
            tables.metadata.create_all(connection)
            connection.execute(tables.meta.insert().values(id=1, schema_version=tables.SCHEMA_VERSION, revision=0))
        with closing(sqlite3.connect(fresh)) as raw:
            raw.execute("PRAGMA journal_mode = WAL")
        sync(fresh)
        fresh.replace(path)
        sync(path.parent)
    except BaseException:
        with suppress(OSError):
            _clear(fresh)
        raise


def _clear(fresh: Path) -> None:
    for leftover in (fresh, *beside(fresh)):
        leftover.unlink(missing_ok=True)


def check(connections: Connections, *, rehearsal: bool) -> None:
    """See that the file is a registry of this version, upgraded if it is an older one, or raise Refused or Unavailable.

    A rehearsal upgrades nothing.
    """
    path = connections.path
    with _asking(connections) as raw:
        row = raw.execute("SELECT schema_version, revision FROM meta WHERE id = 1").fetchone()
    if row is None or not all(isinstance(number, int) for number in row):
        raise _foreign(path)
    if row[0] > tables.SCHEMA_VERSION:
        raise Refused(
            f"The registry {path} is of version {row[0]}, newer than this Tenantry knows ({tables.SCHEMA_VERSION}).",
            hint="Upgrade Tenantry.",
        )
    if row[0] < tables.SCHEMA_VERSION:
        if rehearsal:
            raise Refused(
                f"The registry {path} is of version {row[0]}, older than this Tenantry's ({tables.SCHEMA_VERSION}).",
                hint="The next command that is no rehearsal, or `tenantry serve`, upgrades it.",
            )
        with _asking(connections) as raw:
            upgrade.upgrade(raw, path)
    # A file that some tool has copied or rebuilt may have left the mode that lets readers and a writer go together.
    with _asking(connections) as raw:
        raw.execute("PRAGMA journal_mode = WAL").fetchone()


@contextmanager
def _asking(connections: Connections) -> Iterator[sqlite3.Connection]:
    raw = connections.take()
    try:
        yield raw
    except sqlite3.Error as error:
        if (getattr(error, "sqlite_errorcode", 0) & 0xFF) == sqlite3.SQLITE_ERROR:  # no such table, no such column
            raise _foreign(connections.path) from error
        raise unavailable(connections.path, error) from error
    finally:
        raw.close()


def _foreign(path: Path) -> Unavailable:
    return Unavailable(f"The database {path} is not a registry.", hint="Move it away and restore it from a backup.")
