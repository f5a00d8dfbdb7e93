"""Fill a registry with so many tenants as no operator adds by hand: rows only, in the registry's own schema."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

from sqlalchemy import Index
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, DropIndex

from tenantry.address import skeleton
from tenantry.registry import Registry, tables
from tenantry.tenant import UID_LENGTH, Status
from tests.benchmarks.applications import name_of, trivial

# Every so many-th tenant is suspended: its visitors are answered without its application.
SUSPENDED_EVERY = 5

_FIRST = (
    *("amber", "brisk", "calm", "cedar", "clear", "coral", "early", "fair", "golden", "green"),
    *("happy", "harbor", "hill", "ivory", "lake", "little", "lunar", "maple", "north", "old"),
)
_SECOND = (
    *("bakery", "bikes", "books", "cafe", "choir", "clinic", "dental", "florist", "garage", "gym"),
    *("herald", "hotel", "journal", "kitchen", "letters", "market", "museum", "notes", "press", "radio"),
    *("school", "studio", "tailor", "theatre", "weekly"),
)
_PAIRS = len(_FIRST) * len(_SECOND)
# In the order in which they sort, so that rows are written in the order of their key; names are in no such order.
_LETTERS = "234567abcdefghijklmnopqrstuvwxyz"
_AT_ONCE = 20_000

_TENANT = (
    "INSERT INTO tenants (uid, name, application, status, revision, moved, title, reason, was, skeleton)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, '', ?)"
)
_REST = (
    "INSERT INTO addresses (key, uid, revision) SELECT 'subdomain:' || name, uid, moved FROM tenants ORDER BY 1",
    "INSERT INTO journal (revision, at, who, verb, uid, name, detail)"
    " SELECT revision, '2026-01-02T03:04:05Z', 'ada', 'add', uid, name,"
    " json_object('application', application, 'title', title, 'addresses', json_array('subdomain:' || name))"
    " FROM tenants ORDER BY revision",
    "UPDATE meta SET revision = (SELECT max(revision) FROM tenants)",
)


def name(number: int) -> str:
    """Name the tenant of that number: neighbours in number are none in the alphabet."""
    first, second = divmod(number % _PAIRS, len(_SECOND))
    return f"{_FIRST[first]}-{_SECOND[second]}-{number // _PAIRS}"


def fill(registry: Path, count: int) -> None:
    """Make a registry of so many tenants, each with an address and the journal line of its adding."""
    Registry.open(registry).close()
    with closing(sqlite3.connect(registry)) as raw:
        for pragma in ("journal_mode = MEMORY", "synchronous = OFF", "cache_size = -500000"):
            raw.execute(f"PRAGMA {pragma}")
        with raw:
            for index in _indexes():
                raw.execute(str(DropIndex(index).compile(dialect=sqlite.dialect())))
            rows = _rows(count)
            while some := list(islice(rows, _AT_ONCE)):
                raw.executemany(_TENANT, some)
            for statement in _REST:
                raw.execute(statement)
            for index in _indexes():
                raw.execute(str(CreateIndex(index).compile(dialect=sqlite.dialect())))
        raw.execute("PRAGMA journal_mode = WAL")


def _indexes() -> list[Index]:
    return [index for table in tables.metadata.sorted_tables for index in sorted(table.indexes, key=_spelled)]


def _spelled(index: Index) -> str:
    return str(index.name)


def _rows(count: int) -> Iterator[tuple[object, ...]]:
    chance, stride = random.Random(count), 32**UID_LENGTH // count
    application = name_of(trivial)
    for number in range(count):
        called = name(number)
        suspended = number % SUSPENDED_EVERY == 0
        yield (
            _uid(number * stride + chance.randrange(stride)),
            called,
            application,
            (Status.SUSPENDED if suspended else Status.ACTIVE).value,
            2 * number + 2,
            2 * number + 1,
            called.replace("-", " ").title(),
            "unpaid" if suspended else "",
            skeleton(called),
        )


def _uid(value: int) -> str:
    return "".join(_LETTERS[value >> shift & 31] for shift in range(5 * (UID_LENGTH - 1), -1, -5))
