"""The registry's tables, and the version by which a file tells that it has them."""

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, MetaData, Table, Text, text

SCHEMA_VERSION = 1

metadata = MetaData()

# One row. The counter is raised under the write lock by every change, so no two changes share a revision.
meta = Table(
    "meta",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True),
    Column("schema_version", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
)

tenants = Table(
    "tenants",
    metadata,
    Column("uid", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("application", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("moved", Integer, nullable=False),
    Column("title", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("was", Text, nullable=False, server_default=""),  # the status before removal, for whoever brings it back
    sqlite_with_rowid=False,
)

# Conditions of partial indexes are spelled out, never bound: SQLite takes such an index only for the same words.
STANDING = text("tenants.status <> 'removed'")
GONE = text("tenants.status = 'removed'")

Index("tenants_name", tenants.c.name, unique=True, sqlite_where=text("status <> 'removed'"))
Index("tenants_removed", tenants.c.name, tenants.c.revision, sqlite_where=text("status = 'removed'"))
Index("tenants_revision", tenants.c.revision)

addresses = Table(
    "addresses",
    metadata,
    Column("key", Text, primary_key=True),
    Column("uid", Text, ForeignKey("tenants.uid", ondelete="CASCADE"), nullable=False, index=True),
    Column("revision", Integer, nullable=False),
    sqlite_with_rowid=False,
)

retired = Table(
    "retired",
    metadata,
    Column("name", Text, primary_key=True),
    Column("uid", Text, primary_key=True, index=True),
    Column("until", Text, nullable=False, index=True),
    sqlite_with_rowid=False,
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("uid", Text, primary_key=True),
    Column("revision", Integer, nullable=False, index=True),
    sqlite_with_rowid=False,
)

journal = Table(
    "journal",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("revision", Integer),
    Column("at", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("verb", Text, nullable=False),
    Column("uid", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("detail", Text, nullable=False),  # JSON
    Index("journal_uid", "uid", "id"),
    sqlite_autoincrement=True,
)

# The one question of the cold path, asked of SQLite directly: through SQLAlchemy it costs five times as much.
FIND = (
    "SELECT t.uid, t.name, t.application, t.status, t.revision, t.moved, t.title, t.reason"
    " FROM addresses AS a JOIN tenants AS t ON t.uid = a.uid WHERE a.key = ?"
)
