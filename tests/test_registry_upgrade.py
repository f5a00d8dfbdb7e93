"""A registry of the last version is brought up to this one, whole or not at all; a newer one is refused by name."""

import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tenantry.address import Kind
from tenantry.errors import Refused, Unavailable
from tenantry.registry import REMOVE, By, Pending, Place, Registry, Terms, upgrade
from tenantry.tenant import Status
from tests import registries
from tests.registries import domain, subdomain

path = registries.path

# What Tenantry 0.1 made.
VERSION_1 = Path(__file__).with_name("registry-1.sql").read_text()
TABLES = ("meta", "tenants", "addresses", "retired", "tombstones", "journal")


@pytest.fixture
def old(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as raw:
        raw.executescript(VERSION_1)
        raw.execute("PRAGMA journal_mode = WAL")
    return path


def shape(path: Path) -> dict[str, object]:
    """Spell all columns and indexes of a registry's file."""
    with closing(sqlite3.connect(path)) as raw:
        columns = {table: raw.execute(f"PRAGMA table_info({table})").fetchall() for table in TABLES}
        indexes = raw.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL").fetchall()
    return {**columns, **{name: " ".join(sql.split()) for name, sql in indexes}}


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as raw:
        return int(raw.execute("SELECT schema_version FROM meta").fetchone()[0])


def test_an_upgraded_registry_has_the_shape_of_a_new_one(old: Path, tmp_path: Path) -> None:
    Registry.open(old).close()
    Registry.open(tmp_path / "new.sqlite3").close()
    assert shape(old) == shape(tmp_path / "new.sqlite3")


def test_an_upgraded_registry_knows_all_that_it_knew(old: Path) -> None:
    with Registry.open(old) as registry:
        acme, globex = registry.get("acme"), registry.get("globex")
        assert (acme.title, acme.domain, acme.revision) == ("Acme", "acme.org", 2)
        assert (globex.status, globex.reason, globex.domain) == (Status.SUSPENDED, "unpaid", "")
        assert globex.home(Kind.DOMAIN, "b.org") == "b.org", "until the operator chooses, each answers by itself"
        assert registry.find(domain("a.org")) == globex
        assert registry.pending() == [Pending("cccccccccccc", "initech", REMOVE)]
        assert registry.journal()[0].detail == {"title": "Acme"}
        assert registry.revision() == 9
        back = registry.bring_back("cccccccccccc", [Place(subdomain("initech"))], By("ada", "undo remove"))
        assert (back.status, back.revision) == (Status.ACTIVE, 10)


def test_a_rehearsal_upgrades_nothing(old: Path) -> None:
    with pytest.raises(Refused, match="is of version 1, older than this Tenantry's"):
        Registry.open(old, terms=Terms(rehearsal=True))
    assert version(old) == 1


def test_a_tenant_of_several_domains_has_no_primary_one_until_the_operator_chooses(old: Path) -> None:
    by = By("ada", "domain")
    with Registry.open(old) as registry:
        globex = registry.get("globex")
        assert registry.add_domain(globex.uid, "c.org", False, by).domain == ""
        assert registry.add_domain(globex.uid, "b.org", True, by).domain == "b.org"


def test_an_upgrade_is_made_once_however_often_the_registry_is_opened(old: Path) -> None:
    for _ in range(3):
        with Registry.open(old) as registry:
            assert registry.revision() == 9
    assert version(old) == 2


def test_an_upgrade_that_fails_leaves_the_old_registry(old: Path) -> None:
    """An index of ours that somebody else has made stands in its way, after most of it is done."""
    with closing(sqlite3.connect(old)) as raw:
        raw.execute("CREATE INDEX tenants_pending ON tenants (title)")
    before = shape(old)
    with pytest.raises(Unavailable):
        Registry.open(old)
    assert (shape(old), version(old)) == (before, 1)


def test_an_upgrade_that_is_killed_is_made_by_the_next_process(old: Path) -> None:
    for statements in range(0, 24, 3):
        pid = os.fork()
        if not pid:
            try:
                _upgrade_until(old, statements)
            finally:
                os._exit(1)
        os.waitpid(pid, 0)
        assert version(old) == 1
    with Registry.open(old) as registry:
        assert registry.get("acme").domain == "acme.org"
    assert version(old) == 2


def _upgrade_until(path: Path, left: int) -> None:
    """Upgrade through a connection that kills this process at a statement of it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        seen: list[str] = []

        def trace(statement: str) -> None:
            seen.append(statement)
            if len(seen) > left:
                os.kill(os.getpid(), signal.SIGKILL)

        raw.set_trace_callback(trace)
        upgrade.upgrade(raw, path)
