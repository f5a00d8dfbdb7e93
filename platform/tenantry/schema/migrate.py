"""Running migrations: the part of `schema` that imports Alembic."""

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from tenantry.errors import Refused, TenantryError, Unavailable, Unknown, reason
from tenantry.placement import beside, sync
from tenantry.schema import current, head_key

_BUSY = 5.0

# `alembic.op` is one proxy for the whole process: two migrations at once would write into each other's database.
_ALONE = threading.Lock()


def _renew() -> None:
    global _ALONE  # noqa: PLW0603 - the proxy is one for the process, and so is its lock
    _ALONE = threading.Lock()


os.register_at_fork(after_in_child=_renew)


def head(migrations: Path) -> str | None:
    """Return the last revision of a folder of migrations, None for an empty one."""
    with _ALONE:
        return _head(_script(migrations))


def upgrade(database: Path, migrations: Path) -> tuple[str, ...]:
    """Bring a database up to the last revision in one transaction, and return the revisions that were applied."""
    if not database.exists():
        raise Unknown(f"There is no database {database} to migrate.")
    with _ALONE:
        script = _script(migrations)
        before = current(database)
        if before == _head(script):
            return ()
        return _run(database, script, before)


def make(path: Path, migrations: Path) -> None:
    """Make a template in `path`; whoever calls holds the folder's lock, so a leftover is that of a killed maker."""
    fresh = path.with_name(path.name + ".new")
    leftovers = (fresh, *beside(fresh))
    try:
        for leftover in leftovers:
            leftover.unlink(missing_ok=True)
        os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        with closing(_open(fresh)) as raw:
            raw.execute("PRAGMA journal_mode = WAL")
        upgrade(fresh, migrations)
        # The last connection has closed and so has brought everything from the log into the file.
        sync(fresh)
        fresh.replace(path)
        sync(path.parent)
    except (OSError, sqlite3.Error) as error:
        raise Unavailable(f"The template {path} cannot be made: {error}.") from error
    finally:
        # What cannot be deleted now the next maker deletes; it must not hide why this one failed.
        with suppress(OSError):
            for leftover in leftovers:
                leftover.unlink(missing_ok=True)


def _run(database: Path, script: ScriptDirectory, before: str | None) -> tuple[str, ...]:
    steps: list[str] = []
    applied: list[str] = []
    where = Path(script.dir)

    def work(heads: tuple[str, ...], _context: MigrationContext) -> Iterable[MigrationStep]:
        found = reversed(list(script.iterate_revisions("heads", heads or None, implicit_base=True)))
        for each in found:
            steps.append(each.revision)
            yield MigrationStep.upgrade_from_script(script.revision_map, each)

    def done(**facts: Any) -> None:
        applied.append(facts["step"].up_revision_id)

    try:
        with _transaction(database) as connection:
            options = {"fn": work, "script": script, "on_version_apply": (done,)}
            context = MigrationContext.configure(connection, opts=options)
            with Operations.context(context):
                context.run_migrations()
            _see_references(connection, database)
    except (TenantryError, KeyboardInterrupt):
        raise
    except (CommandError, RevisionError) as error:
        raise Refused(
            f"The database {database} is of revision {before}, which {where} does not lead on from: {reason(error)}.",
            hint="Nothing was changed.",
        ) from error
    except BaseException as error:
        step = f" to {steps[-1]}" if steps else ""
        raise Unavailable(
            f"The database {database} cannot be migrated{step}: {_reason(error, where)}.", hint="Nothing was changed."
        ) from error
    return tuple(applied)


def _reason(error: BaseException, folder: Path) -> str:
    # SQLAlchemy's own words around the driver's repeat the statement; the driver's say what is wrong with it.
    if isinstance(error, DBAPIError) and error.orig is not None:
        return reason(error.orig.with_traceback(error.__traceback__), folder)
    return reason(error, folder)


@contextmanager
def _transaction(database: Path) -> Iterator[Connection]:
    engine = create_engine("sqlite://", creator=lambda: _open(database), poolclass=NullPool)
    event.listen(engine, "begin", _begin)
    with engine.begin() as connection:
        yield connection


def _begin(connection: Connection) -> None:
    # SQLite takes back DDL only inside a transaction that was begun in so many words.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _open(database: Path) -> sqlite3.Connection:
    raw = sqlite3.connect(
        f"{database.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=_BUSY,
        isolation_level=None,
        check_same_thread=False,
    )
    # Rebuilding a table would otherwise delete the rows that refer to it; the references are looked at afterwards.
    raw.execute("PRAGMA foreign_keys = OFF")
    raw.execute("PRAGMA synchronous = FULL")
    return raw


def _see_references(connection: Connection, database: Path) -> None:
    lost = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if lost is not None:
        raise Unavailable(
            f"The database {database} cannot be migrated: rows of {lost[0]} would refer to nothing in {lost[2]}.",
            hint="Nothing was changed.",
        )


def _head(script: ScriptDirectory) -> str | None:
    return ",".join(sorted(script.get_heads())) or None


def _script(migrations: Path) -> ScriptDirectory:
    try:
        return _read(migrations.absolute(), head_key(migrations))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise Unavailable(
            f"The migrations in {migrations} cannot be read: {reason(error, migrations.absolute())}.",
            hint="Repair them.",
        ) from error


@lru_cache(maxsize=8)
def _read(migrations: Path, _key: str) -> ScriptDirectory:
    """Read a folder of migrations, once for each state of its files: a fleet of databases shares it."""
    script = ScriptDirectory(migrations, version_locations=[migrations / "versions"])
    script.get_heads()  # reads every file now, where what is wrong with one can be said
    return script
