"""What an instance folder holds, so that two of them can be compared: the book's rows, and every file."""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tenantry.placement import Instance

# What differs between two runs of one verb: what is drawn, times, random uids (spelled as names instead).
_DRAWN = {"revision", "moved", "id", "at", "token"}
_PRESENCE = {"until", "notice"}
_TABLES = ("tenants", "addresses", "claims", "retired", "journal")
# The book is read by its rows; templates may be deleted at any time; an unlocked sign says nothing.
_NOT_COMPARED = ("registry.sqlite3", "serving")
_SECRETS = ("key", "config.toml", ".env")


@dataclass(frozen=True, slots=True)
class State:
    """The rows of each table and the digest of each file, free of what differs from run to run."""

    rows: Mapping[str, tuple[str, ...]]
    files: Mapping[str, str]

    def without(self, left: Callable[[str], bool]) -> "State":
        """Leave out some files."""
        return State(self.rows, {path: digest for path, digest in self.files.items() if not left(path)})

    def between(self, before: "State", after: "State") -> bool:
        """Tell whether each row and each file is as in one of two states, or in the other."""
        rows = all(self.rows[name] in (before.rows[name], after.rows[name]) for name in _TABLES)
        paths = self.files.keys() | before.files.keys() | after.files.keys()
        return rows and all(self.files.get(path) in (before.files.get(path), after.files.get(path)) for path in paths)

    def differs(self, other: "State") -> str:
        """Say in a line where two states differ, nothing if they do not."""
        told = []
        for name in _TABLES:
            mine, theirs = self.rows[name], other.rows[name]
            if mine != theirs:
                only = sorted(set(mine) ^ set(theirs)) or [f"{len(mine)} rows beside {len(theirs)}"]
                told.append(f"{name}: {'; '.join(only)}")
        told += [
            f"{path}: {self.files.get(path, 'none')} beside {other.files.get(path, 'none')}"
            for path in sorted(self.files.keys() | other.files.keys())
            if self.files.get(path) != other.files.get(path)
        ]
        return ", ".join(told)


def read(instance: Instance) -> State:
    """Read everything; nobody may be writing."""
    rows: dict[str, tuple[str, ...]] = dict.fromkeys(_TABLES, ())
    names: dict[str, str] = {}
    if instance.registry.exists():
        with closing(sqlite3.connect(instance.registry)) as raw:
            raw.row_factory = sqlite3.Row
            names = {str(row["uid"]): f"<{row['name']}>" for row in raw.execute("SELECT uid, name FROM journal")} | {
                str(row["uid"]): f"<{row['name']}>" for row in raw.execute("SELECT uid, name FROM tenants")
            }
            rows = {table: _rows(raw, table, names) for table in _TABLES}
    files = {
        _named(str(path.relative_to(instance.root)), names): _digest(path)
        for path in _walk(instance.root)
        if not path.name.startswith(_NOT_COMPARED) and path.parent.name != "templates"
    }
    return State(rows, files)


def empty(instance: Instance) -> Iterator[Path]:
    """Name the keys and configs in which nothing stands."""
    for path in _walk(instance.root):
        if path.name in _SECRETS and path.is_file() and path.stat().st_size == 0:
            yield path


def _rows(raw: sqlite3.Connection, table: str, names: Mapping[str, str]) -> tuple[str, ...]:
    found = []
    for row in raw.execute(f"SELECT * FROM {table}"):
        told = []
        for column in row.keys():  # noqa: SIM118 - a row is a sequence of values
            if column not in _DRAWN:
                value = bool(row[column]) if column in _PRESENCE else row[column]
                told.append(f"{column}={_named(str(value), names)}")
        found.append(" ".join(told))
    return tuple(sorted(found))


def _named(text: str, names: Mapping[str, str]) -> str:
    for uid, name in names.items():
        text = text.replace(uid, name)
    return text


def _walk(root: Path) -> Iterator[Path]:
    # Folders too: an empty one that stays is litter as well.
    return root.rglob("*")


def _digest(path: Path) -> str:
    if path.is_symlink():
        return f"a link to {path.readlink()}"
    if path.is_dir():
        return "a folder"
    content = path.read_bytes()
    if path.name == "key":
        return f"{len(content)} bytes"
    return hashlib.sha256(content).hexdigest()[:12]
