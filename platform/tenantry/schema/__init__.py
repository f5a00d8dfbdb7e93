"""Alembic on one database: which revision it has, bringing it up to date, templates of new ones.

No `env.py`, no `alembic.ini`: an application's `migrations/versions/*.py` are all there is. This module answers what
can be answered without Alembic, which takes a third of a second to import; `migrate` does the rest.
"""

import hashlib
import importlib
import re
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from types import ModuleType

from tenantry.errors import Unavailable
from tenantry.locks import locked

# Part of every key: raised when templates are to be made in another way, so that no old one is taken for a new one.
_FORMAT = b"1"


def head_key(migrations: Path) -> str:
    """Return a key that changes with any byte of the folder's Python files: 16 hexadecimal digits."""
    digest = hashlib.sha256(_FORMAT)
    for file in sorted(migrations.rglob("*.py")):
        code = file.read_bytes()
        digest.update(f"{file.relative_to(migrations).as_posix()}\0{len(code)}\0".encode())
        digest.update(code)
    return digest.hexdigest()[:16]


def template(migrations: Path, folder: Path, name: str) -> Path:
    """Return a migrated, empty database in `folder`, from which new ones are copied; made if there is none yet.

    It is one file that nobody has open, in WAL mode, and never half made. `name` may be any text: what a file's name
    cannot hold is replaced.
    """
    path = folder / f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', name).lstrip('.')}-{head_key(migrations)}.sqlite3"
    if not path.exists():
        with suppress(OSError):  # of what is wrong with it tells who locks it
            folder.mkdir(mode=0o700, exist_ok=True)
        with locked(folder):
            if not path.exists():
                _migrate().make(path, migrations)
    return path


def current(database: Path) -> str | None:
    """Return the revision that a database has, read from it and not from memory; None for no database or none in it.

    Several, of a history with branches, come sorted and separated by commas.
    """
    if not database.exists():
        return None
    # A reader in WAL mode leaves an empty log behind. Where none is, nobody writes and the file alone tells all.
    busy = any(database.with_name(database.name + ending).exists() for ending in ("-wal", "-journal"))
    mode = "mode=ro" if busy else "mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?{mode}", uri=True)) as raw:
            found = raw.execute("SELECT name FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
            rows = raw.execute("SELECT version_num FROM alembic_version").fetchall() if found else []
    except sqlite3.Error as error:
        raise Unavailable(f"The database {database} cannot be read: {error}.", hint="See tenantry doctor.") from error
    return ",".join(sorted(str(row[0]) for row in rows)) or None


def head(migrations: Path) -> str | None:
    """Return the last revision of a folder of migrations, None for an empty one, several as in `current`.

    Unavailable if a file of it cannot be read.
    """
    found: str | None = _migrate().head(migrations)
    return found


def upgrade(database: Path, migrations: Path) -> tuple[str, ...]:
    """Bring a database up to the last revision in one transaction, and return the revisions that were applied.

    One database at a time in a process. Whatever fails leaves the database as it was: Unavailable then says which
    line. Unknown if there is no database, Refused if its revision is not one of the folder's.
    """
    applied: tuple[str, ...] = _migrate().upgrade(database, migrations)
    return applied


def _migrate() -> ModuleType:
    # The one hidden import of the room: Alembic's 0.3 s are paid by the process that migrates, not by every command.
    return importlib.import_module("tenantry.schema.migrate")
