"""A gazette on its own: what the platform would bring, kept below its instance folder."""

import os
import secrets
from pathlib import Path

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from flask import Flask
from sqlalchemy import URL, Connection, create_engine
from sqlalchemy.pool import NullPool

MIGRATIONS = Path(__file__).parent / "migrations"


def settle(app: Flask) -> None:
    """Give `app` the key and the migrated database that its config lacks, making both at the first start."""
    folder = Path(app.instance_path)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not app.config["SECRET_KEY"]:
        app.config["SECRET_KEY"] = key(folder / "gazette.key")
    if not app.config.get("SQLALCHEMY_DATABASE_URI"):
        url = URL.create("sqlite", database=str(folder / "gazette.sqlite3"))
        upgrade(url)
        app.config["SQLALCHEMY_DATABASE_URI"] = url
        app.config["ALONE"] = True


def key(file: Path) -> str:
    """Read the secret key, drawing it first when there is none; only the owner of the file may read it."""
    if not file.exists():
        draft = file.with_name(f".{file.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as opened:
            opened.write(secrets.token_hex(32))
        try:
            # A link and not a rename: of two first starts at once, one key wins for both.
            file.hardlink_to(draft)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return file.read_text("ascii").strip()


def upgrade(url: URL) -> None:
    """Bring the SQLite database at `url` to the newest revision, in one transaction."""
    engine = create_engine(url, poolclass=NullPool, connect_args={"isolation_level": None})
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            # Taken at once, so that of two first starts the second waits and finds the work done.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            migrate(connection)
            connection.exec_driver_sql("COMMIT")
    finally:
        engine.dispose()


def migrate(connection: Connection) -> None:
    """Run the migrations that `connection`'s database lacks, inside the transaction it is in."""
    script = ScriptDirectory(str(MIGRATIONS))
    context = MigrationContext.configure(
        connection,
        opts={"fn": lambda at, _context: script._upgrade_revs("head", at), "transactional_ddl": False},
    )
    with Operations.context(context):
        context.run_migrations()
