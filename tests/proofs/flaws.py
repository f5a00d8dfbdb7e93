"""What can be wrong with an instance folder, whatever was done to it: half made, left over, or told in two ways."""

import sqlite3
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from dotenv import dotenv_values

from tenantry.placement import Instance, Placement
from tests.proofs import stage

_STANDING = {"active", "maintenance", "suspended"}
_QUESTIONS = ("SELECT count(*) FROM signature", "SELECT version_num FROM alembic_version")
_OWN = {"name", "application", "status", "title", "reason", "domain", "notice", "addresses", "old addresses", "claims"}


def flaws(root: Path) -> list[str]:
    """Say what is half made, left over, or in the book and not in the folders or the other way round.

    The tables are read as they are: what proves the registry right must not be the registry.
    """
    instance = Instance(root / "instance")
    with closing(sqlite3.connect(instance.registry)) as connection:
        connection.row_factory = sqlite3.Row
        tenants = connection.execute("SELECT uid, name, status, domain, pending FROM tenants").fetchall()
        addresses = connection.execute("SELECT uid, key, until FROM addresses").fetchall()
    found = [*_unsound(instance.registry), *_litter(instance), *_disagreements(instance, tenants)]
    found += [f"{row['name']} still has {row['pending']} pending" for row in tenants if row["pending"]]
    standing = {row["uid"]: row for row in tenants if row["status"] in _STANDING}
    found += [f"{row['key']} is nobody's" for row in addresses if row["uid"] not in standing]
    for uid, tenant in standing.items():
        found += _misplaced(tenant, [row["key"] for row in addresses if row["uid"] == uid and not row["until"]])
    return found


def unserial(root: Path) -> list[str]:
    """Say where the journal is not one serial history: each change must begin where the one before it has ended."""
    found: list[str] = []
    known: dict[str, dict[str, object]] = {}
    last = 0
    for entry in stage.history(root):
        if entry.revision is None:
            continue
        if entry.revision <= last:
            found.append(f"line {entry.id} of revision {entry.revision} comes after {last}")
        last = entry.revision
        state = known.setdefault(entry.uid, {})
        for key in {**entry.before, **entry.after}:
            # What a config said when its tenant was added is nowhere but in its file.
            if (key in state or key in _OWN) and state.get(key) != entry.before.get(key):
                found.append(f"line {entry.id}, {entry.verb}: {key} was {state.get(key)}, not {entry.before.get(key)}")
            state[key] = entry.after.get(key)
    return found


def _disagreements(instance: Instance, tenants: Sequence[sqlite3.Row]) -> Iterator[str]:
    wanted: dict[Path, str] = {}
    for row in tenants:
        if row["status"] in _STANDING:
            wanted[instance.tenants / row["uid"]] = row["name"]
        elif row["status"] == "removed":
            wanted[instance.trash / row["uid"]] = row["name"]
        else:
            yield f"{row['name']} is {row['status']}"
    there = {*instance.tenants.iterdir(), *instance.trash.iterdir()}
    yield from (f"{name} has no folder {folder}" for folder, name in wanted.items() if folder not in there)
    yield from (f"nobody's folder {folder}" for folder in there - wanted.keys())
    for folder in there & wanted.keys():
        yield from _half(Placement(folder))


def _half(placement: Placement) -> Iterator[str]:
    """Say what keeps a folder from being a whole placement."""
    if not placement.files.is_dir():
        yield f"{placement.files} is missing"
    key = placement.key.read_bytes() if placement.key.exists() else b""
    if len(key) != 32 or not any(key):
        yield f"{placement.key} is no key: {len(key)} bytes"
    try:
        tomllib.loads(placement.config.read_text("utf-8"))
        if None in dotenv_values(placement.secrets).values() or not placement.secrets.exists():
            yield f"{placement.secrets} cannot be read"
    except (OSError, ValueError) as error:
        yield f"{placement.config} cannot be read: {error}"
    yield from _unsound(placement.database, *_QUESTIONS)


def _unsound(database: Path, *questions: str) -> Iterator[str]:
    if not database.exists():
        yield f"{database} is missing"
        return
    with closing(sqlite3.connect(database)) as connection:
        for question in ("PRAGMA integrity_check", "PRAGMA foreign_key_check", *questions):
            try:
                answer = connection.execute(question).fetchone()
            except sqlite3.Error as error:
                yield f"{database}: {question}: {error}"
                return
            if question == "PRAGMA integrity_check" and answer != ("ok",):
                yield f"{database} is damaged: {answer}"
            if question == "PRAGMA foreign_key_check" and answer is not None:
                yield f"{database} has rows that belong to nobody: {answer}"


def _litter(instance: Instance) -> Iterator[str]:
    yield from (f"litter: {path}" for path in instance.staging.iterdir())
    yield from (f"litter: {path}" for path in instance.root.rglob("*") if ".new" in path.suffixes)


def _misplaced(tenant: sqlite3.Row, keys: Sequence[str]) -> Iterator[str]:
    """Say at which addresses a standing tenant is and should not be, or should be and is not."""
    named = {key.partition(":")[2] for key in keys if not key.startswith("domain:")}
    if f"subdomain:{tenant['name']}" not in keys or named != {tenant["name"]}:
        yield f"{tenant['name']} is at {', '.join(keys)}"
    if tenant["domain"] and f"domain:{tenant['domain']}" not in keys:
        yield f"{tenant['name']} has the primary domain {tenant['domain']}, which is not its own"
