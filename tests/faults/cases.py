"""The operator's verbs, each with the state it begins from."""

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tenantry import settings
from tenantry.assembly import sign
from tenantry.assembly.desk import open_operations
from tenantry.cli.editor import Draft
from tenantry.operations import Clone, Maintenance, NewTenant, Operations
from tenantry.placement import Instance
from tests.dns import believing

APPLICATION = "tests.faults.shop:create_app"


@contextmanager
def opened(root: Path) -> Iterator[Operations]:
    """Open the desk on a working folder."""
    with open_operations(root, {"application": APPLICATION}) as operations:
        yield operations


@dataclass(frozen=True, slots=True)
class Case:
    """A verb, and from which state it is run: `before` is the name of one in `BEGINNINGS` or `CUTS`.

    `at_once` is for what opens the desk by itself: then faults may meet the opening, too. `only` leaves out the sites
    whose path does not have it, as those of another case.
    """

    name: str
    before: str
    verb: Callable[[Operations], object] = lambda _: None
    at_once: Callable[[Path], object] | None = None
    only: str = ""


def _new() -> NewTenant:
    return NewTenant("fresh", title="Fresh", path=True, domains=("fresh.example.net",), config={"A": 1})


def _acme() -> NewTenant:
    return NewTenant("acme", path=True, domains=("acme.example.net",), config={"A": 1, "B": "two"}, trust=True)


def _open(root: Path) -> None:
    with opened(root):
        pass


def _hang(root: Path) -> None:
    known = settings.read(root, {}, {}).settings
    with sign.hang(Instance(root / "instance"), 54321):
        port = sign.read(known).port
    if port not in {54321, known.port}:
        raise AssertionError(f"the sign says {port}")


def _draft(root: Path) -> None:
    os.environ["EDITOR"] = "true"
    with Draft(Instance(root / "instance").staging, "aaaabbbbcccc", "config.toml") as draft:
        draft.edit("A = 1\n")


def standing(operations: Operations) -> None:
    """Add a tenant with everything that a tenant can have."""
    operations.add(_acme())
    operations.domain_add("acme", "claimed.example.net", primary=True)
    operations.config_set_secret("acme", {"MAIL_PASSWORD": "secret"})
    letters = operations.path("acme") / "files" / "letters"
    letters.mkdir()
    (letters / "one.txt").write_text("Dear")
    (letters / "newest.txt").symlink_to("one.txt")
    with closing(sqlite3.connect(letters / "index.db")) as raw:
        raw.execute("CREATE TABLE letters (id INTEGER PRIMARY KEY)")


def removed(operations: Operations) -> None:
    """Add a tenant and remove it."""
    standing(operations)
    operations.remove("acme")


def closed(operations: Operations) -> None:
    """Add a tenant and put it into maintenance."""
    standing(operations)
    operations.maintenance_on("acme", Maintenance("Back soon."))


def nothing(_: Operations) -> None:
    """Make the instance folder and its registry."""


BEGINNINGS: Mapping[str, Callable[[Operations], object]] = {
    "empty": nothing,
    "standing": standing,
    "removed": removed,
    "closed": closed,
}


@dataclass(frozen=True, slots=True)
class Cut:
    """A beginning that a kill has left: the verb of a case was killed at the last of its sites that has this name."""

    case: str
    call: str


CUTS: Mapping[str, Cut] = {
    "cut add": Cut("add", "rename"),
    "cut clone": Cut("clone", "rename"),
    "cut remove": Cut("remove", "rename"),
    "cut undo remove": Cut("undo remove", "fsync"),
    "cut purge": Cut("purge", "rmdir"),
    "cut config set": Cut("config set", "fsync"),
}

CASES = (
    Case("open", "no folder", at_once=_open),
    Case("first add", "empty", lambda mine: mine.add(_new()), only="/templates"),
    Case("add", "standing", lambda mine: mine.add(_new())),
    Case("clone", "standing", lambda mine: mine.clone("acme", Clone("fresh", path=True))),
    Case("rename", "standing", lambda mine: mine.rename("acme", "fresh")),
    Case("domain add", "standing", lambda mine: mine.domain_add("acme", "fresh.example.net", primary=True)),
    Case("domain check", "standing", lambda mine: believing(mine).domain_check("acme", "claimed.example.net")),
    Case("domain remove", "standing", lambda mine: mine.domain_remove("acme", "acme.example.net")),
    Case("maintenance on", "standing", lambda mine: mine.maintenance_on("acme", Maintenance("Back soon."))),
    Case("maintenance off", "closed", lambda mine: mine.maintenance_off("acme")),
    Case("config set", "standing", lambda mine: mine.config_set("acme", {"A": 2, "C": ["x"]})),
    Case("config set secret", "standing", lambda mine: mine.config_set_secret("acme", {"TOKEN": "t"})),
    Case("config unset", "standing", lambda mine: mine.config_unset("acme", ["B", "MAIL_PASSWORD"])),
    Case("config edit", "standing", lambda mine: mine.config_edit("acme", lambda text: f"{text}C = 3\n")),
    Case("suspend", "standing", lambda mine: mine.suspend("acme", "unpaid")),
    Case("remove", "standing", lambda mine: mine.remove("acme")),
    Case("undo remove", "removed", lambda mine: mine.undo_remove("acme")),
    Case("purge", "removed", lambda mine: mine.purge("acme")),
    *(Case(f"recover a {name}", name, at_once=_open) for name in CUTS),  # who opens the desk, recovers
    Case("sign", "standing", at_once=_hang),
    Case("an editor's copy", "standing", at_once=_draft),
)
