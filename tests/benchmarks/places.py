"""Make instance folders with tenants in them, and open the platform on one."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from tenantry.assembly.desk import open_operations
from tenantry.assembly.platform import Platform, open_platform
from tenantry.operations import NewTenant, Operations
from tenantry.placement import Placement

DOMAIN = "localhost"

_ACCOUNT = "INSERT INTO account (id, name, name_key, password_hash, is_owner, joined_at) VALUES (1, ?, ?, ?, 1, ?)"
_ENTRY = "INSERT INTO entry (title, body, author_id, written_at) VALUES (?, ?, 1, ?)"
_WHEN = "2026-01-02 03:04:05.000000"


def settings(folder: Path, **more: object) -> dict[str, object]:
    """Return the settings of a measured platform: its instance below `folder`, no line logged but errors."""
    return {"instance": folder / "instance", "domain": DOMAIN, "log_level": "error", **more}


@contextmanager
def desk(folder: Path) -> Iterator[Operations]:
    """Open the operator's desk on the instance below `folder`."""
    with open_operations(folder, settings(folder)) as operations:
        yield operations


@contextmanager
def opened(folder: Path, **more: object) -> Iterator[Platform]:
    """Open the whole platform on the instance below `folder`, in this process."""
    with open_platform(folder, settings(folder, **more)) as platform:
        yield platform


def add(operations: Operations, name: str, application: str, **config: object) -> None:
    """Add a tenant as an operator would; an open site needs no owner link, which nobody here would use."""
    operations.add(NewTenant(name=name, application=application, config={"SIGN_UP_OPEN": True, **config}))


def name(number: int) -> str:
    """Name the tenant of that number."""
    return f"site-{number:04}"


def host(number: int) -> str:
    """Spell the host of the tenant of that number."""
    return f"{name(number)}.{DOMAIN}"


def fill(folder: Path, count: int, application: str, config: Mapping[str, object] | None = None) -> None:
    """Add so many tenants of one application."""
    with desk(folder) as operations:
        for number in range(count):
            add(operations, name(number), application, **(config or {}))


def fill_gazettes(folder: Path, count: int) -> None:
    """Add so many gazettes, each with a row to be read."""
    with desk(folder) as operations:
        for number in range(count):
            add(operations, name(number), "gazette")
            _write(Placement(operations.path(name(number))).database, number)


def _write(database: Path, number: int) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(_ACCOUNT, ("Ada", "ada", "none", _WHEN))
        connection.execute(_ENTRY, (f"Entry of {name(number)}", "Something was written.\n\nAnd more.", _WHEN))
