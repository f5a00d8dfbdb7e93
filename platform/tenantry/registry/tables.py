"""The registry's tables, and the version by which a file tells that it has them."""

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, MetaData, Table, Text, text

SCHEMA_VERSION = 3

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
    Column("skeleton", Text, nullable=False, server_default=""),  # what the name looks like
    Column("domain", Text, nullable=False, server_default=""),  # the primary one of the custom domains
    Column("notice", Text, nullable=False, server_default=""),  # JSON, of a maintenance
    Column("pending", Text, nullable=False, server_default=""),  # the verb of several steps that is not at its end
    sqlite_with_rowid=False,
)

# Conditions of partial indexes are spelled out, never bound: SQLite takes such an index only for the same words.
_STANDING = "status <> 'removed' AND status <> 'purging'"
STANDING = text("tenants.status <> 'removed' AND tenants.status <> 'purging'")
GONE = text("tenants.status IN ('removed', 'purging')")
PENDING = text("tenants.pending <> ''")

Index("tenants_name", tenants.c.name, unique=True, sqlite_where=text(_STANDING))
Index("tenants_names", tenants.c.name)
Index("tenants_status", tenants.c.status, tenants.c.name)
Index("tenants_application", tenants.c.application, tenants.c.name)
Index("tenants_skeleton", tenants.c.skeleton, sqlite_where=text(_STANDING))
Index("tenants_pending", tenants.c.pending, sqlite_where=text("pending <> ''"))
Index("tenants_revision", tenants.c.revision)

addresses = Table(
    "addresses",
    metadata,
    Column("key", Text, primary_key=True),
    Column("uid", Text, ForeignKey("tenants.uid", ondelete="CASCADE"), nullable=False, index=True),
    Column("revision", Integer, nullable=False),
    Column("until", Text, nullable=False, server_default=""),  # when the grace of an old name ends; empty for good
    sqlite_with_rowid=False,
)

# Custom domains that tenants would have. Several may claim one: whoever proves first that it is theirs has it.
claims = Table(
    "claims",
    metadata,
    Column("uid", Text, ForeignKey("tenants.uid", ondelete="CASCADE"), primary_key=True),
    Column("domain", Text, primary_key=True),
    Column("token", Text, nullable=False),  # what their DNS has to say
    Column("is_primary", Integer, nullable=False),  # whether it is to be the primary one
    Column("at", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    sqlite_with_rowid=False,
)

retired = Table(
    "retired",
    metadata,
    Column("name", Text, primary_key=True),
    Column("uid", Text, primary_key=True, index=True),
    Column("until", Text, nullable=False, index=True),
    Column("skeleton", Text, nullable=False, server_default="", index=True),
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
    Column("before", Text, nullable=False, server_default="{}"),  # JSON
    Column("after", Text, nullable=False, server_default="{}"),  # JSON
    Index("journal_uid", "uid", "id"),
    sqlite_autoincrement=True,
)

# The one question of the cold path, asked of SQLite directly: through SQLAlchemy it costs five times as much.
FIND = (
    "SELECT a.until, t.uid, t.name, t.application, t.status, t.revision, t.moved, t.title, t.reason, t.domain, t.notice"
    " FROM addresses AS a JOIN tenants AS t ON t.uid = a.uid WHERE a.key = ?"
)
