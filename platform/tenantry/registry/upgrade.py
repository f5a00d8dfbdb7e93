"""Bringing a registry of an older version up to this one, in one transaction: it is of the old one, or of the new."""

import sqlite3
from pathlib import Path

from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable, ExecutableDDLElement

from tenantry.address import skeleton
from tenantry.errors import Refused
from tenantry.registry import tables

_DIALECT = sqlite.dialect()

# What version 2 added. A registry of version 1 has no primary domains: where a tenant has one domain it is that; where
# it has several, each goes on answering until the operator chooses. Its removals may or may not have been finished.
_TO_2 = (
    "ALTER TABLE tenants ADD COLUMN skeleton TEXT DEFAULT '' NOT NULL",
    "ALTER TABLE tenants ADD COLUMN domain TEXT DEFAULT '' NOT NULL",
    "ALTER TABLE tenants ADD COLUMN notice TEXT DEFAULT '' NOT NULL",
    "ALTER TABLE tenants ADD COLUMN pending TEXT DEFAULT '' NOT NULL",
    "ALTER TABLE addresses ADD COLUMN until TEXT DEFAULT '' NOT NULL",
    "ALTER TABLE retired ADD COLUMN skeleton TEXT DEFAULT '' NOT NULL",
    "ALTER TABLE journal ADD COLUMN before TEXT DEFAULT '{}' NOT NULL",
    "ALTER TABLE journal ADD COLUMN after TEXT DEFAULT '{}' NOT NULL",
    "UPDATE tenants SET skeleton = skeleton_of(name),"
    " pending = CASE status WHEN 'adding' THEN 'add' WHEN 'removed' THEN 'remove' ELSE '' END",
    "UPDATE retired SET skeleton = skeleton_of(name)",
    "UPDATE tenants SET domain = found.value FROM (SELECT uid, substr(min(key), 8) AS value FROM addresses"
    " WHERE key LIKE 'domain:%' GROUP BY uid HAVING count(*) = 1) AS found WHERE found.uid = tenants.uid",
    "DROP INDEX tenants_name",
    "DROP INDEX tenants_removed",
)
_INDEXES = (
    "tenants_name",
    "tenants_names",
    "tenants_status",
    "tenants_application",
    "tenants_skeleton",
    "tenants_pending",
)


def upgrade(raw: sqlite3.Connection, path: Path) -> None:
    """Bring the registry up to this version, whole or not at all; whoever waited for another to do it finds it done."""
    raw.create_function("skeleton_of", 1, _skeleton, deterministic=True)
    raw.execute("BEGIN IMMEDIATE")
    try:
        (version,) = raw.execute("SELECT schema_version FROM meta").fetchone()
        if version not in range(1, tables.SCHEMA_VERSION + 1):
            raise Refused(f"The registry {path} is of version {version}, which this Tenantry does not know.")
        if version < tables.SCHEMA_VERSION:
            for statement in (*(_to_2() if version == 1 else ()), *_to_3()):
                raw.execute(statement)
            raw.execute("UPDATE meta SET schema_version = ?", (tables.SCHEMA_VERSION,))
        raw.execute("COMMIT")
    except BaseException:
        if raw.in_transaction:
            raw.execute("ROLLBACK")
        raise


def _to_2() -> list[str]:
    known = {str(index.name): index for table in (tables.tenants, tables.retired) for index in table.indexes}
    return [*_TO_2, *(_spelled(CreateIndex(known[name])) for name in (*_INDEXES, "ix_retired_skeleton"))]


def _to_3() -> list[str]:
    """Spell what version 3 added: claims, of which an older registry has none. Its domains were given on trust."""
    return [_spelled(CreateTable(tables.claims))]


def _spelled(statement: ExecutableDDLElement) -> str:
    return str(statement.compile(dialect=_DIALECT))


def _skeleton(name: object) -> str:
    return skeleton(str(name))
