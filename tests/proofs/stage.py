"""The stage: an instance folder made once, copied for each try, and looked at when the try is over.

`picture` spells all that a folder says, line by line, without what differs from run to run; two folders of one picture
are as good as each other.
"""

import hashlib
import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tenantry import settings as reading
from tenantry.assembly.desk import open_desk
from tenantry.operations import Operations
from tenantry.placement import Instance, Placement
from tenantry.registry import Entry, Registry, Search

GUESTBOOK = "tests.proofs.guestbook:create_app"
DOMAIN = "example.com"
SIGNED = "INSERT INTO signature (text) VALUES (?)"

# Drawn anew in every run, or what was undone has drawn as well; none of it makes a folder another one.
_UNTOLD_TABLES = {"meta", "tombstones", "sqlite_sequence"}
_UNTOLD_COLUMNS = {"revision", "moved", "id", "at", "token"}
_UID = re.compile(r"\b[a-z2-7]{12}\b", re.ASCII)
_SECRET = re.compile(r"\bdigest\b\W+[0-9a-f]{8,64}\b", re.ASCII)
_DIGEST = re.compile(r"\b[0-9a-f]{64}\b", re.ASCII)
_MOMENT = re.compile(r"\b\d{4}-\d\d-\d\dT[\d:.]+(?:Z|\+00:00)?")

Picture = tuple[str, ...]


def settings(root: Path) -> dict[str, object]:
    """Return the settings of a stage."""
    return {"instance": root / "instance", "application": GUESTBOOK, "domain": DOMAIN, "log_level": "critical"}


@contextmanager
def opened(root: Path, *, dry_run: bool = False, **more: object) -> Iterator[Operations]:
    """Open the desk on a stage, without mending first what was interrupted there."""
    known = reading.read(root, {}, {**settings(root), **more}).settings
    with open_desk(root, known, dry_run=dry_run) as desk:
        yield Operations(desk)


@contextmanager
def book(root: Path) -> Iterator[Registry]:
    """Open the registry of a stage."""
    with Registry.open(Instance(root / "instance").registry) as found:
        yield found


def copy(root: Path, to: Path) -> Path:
    """Copy a stage on which nobody acts."""
    shutil.copytree(root, to)
    return to


def sign(placement: Placement, text: str) -> None:
    """Write something into a tenant's database, as its application would."""
    with closing(sqlite3.connect(placement.database)) as connection, connection:
        connection.execute(SIGNED, (text,))


def signatures(database: Path) -> list[str]:
    """Read what stands in a tenant's database."""
    with closing(sqlite3.connect(database)) as connection:
        return [str(text) for (text,) in connection.execute("SELECT text FROM signature ORDER BY id")]


def history(root: Path) -> list[Entry]:
    """Read the whole journal, the oldest line first."""
    with book(root) as registry:
        return registry.journal(Search(limit=1_000_000))[::-1]


# Pictures.


def names(root: Path) -> frozenset[str]:
    """Return what tells the tenants of a stage from new ones: their uids and the digests of their keys.

    A purge that was cut short has left a folder that may have no key any more.
    """
    instance = Instance(root / "instance")
    folders = [folder for place in (instance.tenants, instance.trash) for folder in place.iterdir()]
    keys = [key for folder in folders if (key := Placement(folder).key).exists()]
    return frozenset((*(folder.name for folder in folders), *(_digest(key.read_bytes()) for key in keys)))


def picture(root: Path, known: frozenset[str]) -> Picture:
    """Spell all that a stage says; uids, digests and moments that are not `known` all look the same."""

    def same(found: re.Match[str]) -> str:
        return found[0] if found[0] in known else "<new>"

    def spelled(line: str) -> str:
        return _MOMENT.sub("<then>", _DIGEST.sub(same, _UID.sub(same, _SECRET.sub("digest <new>", line))))

    journal, *others = map(list, _lines(root / "instance"))
    return (*map(spelled, journal), *sorted(spelled(line) for some in others for line in some))


def difference(one: Picture, other: Picture) -> str:
    """Say in what two pictures differ."""
    lines = [f"- {line}" for line in one if line not in other] + [f"+ {line}" for line in other if line not in one]
    return "\n".join(lines) or "the same lines in another order"


def _lines(instance: Path) -> Iterator[Iterator[str]]:
    """Spell the journal in its order, then the rest of the book, then the files."""
    path = Instance(instance).registry
    yield _book_lines(path, lambda table: table == "journal")
    yield _book_lines(path, lambda table: table != "journal" and table not in _UNTOLD_TABLES)
    yield _file_lines(instance)


def _book_lines(path: Path, wanted: Callable[[str], bool]) -> Iterator[str]:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            if not wanted(table):
                continue
            for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1"):
                told = {key: row[key] for key in row.keys() if key not in _UNTOLD_COLUMNS}  # noqa: SIM118 - a Row
                yield f"{table}: {json.dumps(told)}"


def _file_lines(instance: Path) -> Iterator[str]:
    registry = Instance(instance).registry.name
    for path in instance.rglob("*"):
        # SQLite's own files beside a database come and go with those who read it.
        if not (path.name.startswith(registry) or path.name.endswith((".sqlite3-wal", ".sqlite3-shm"))):
            yield f"{path.relative_to(instance)}: {_content(path)}"


def _content(path: Path) -> str:
    if path.is_dir():
        return "a folder"
    if path.suffix == ".sqlite3":
        with closing(sqlite3.connect(path)) as connection:
            return f"a database {_digest(repr(list(connection.iterdump())).encode())[:16]}"
    if path.name == "key":
        return f"a key {_digest(path.read_bytes())}"
    return repr(path.read_text("utf-8", errors="replace"))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
