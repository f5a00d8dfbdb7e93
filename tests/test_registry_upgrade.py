"""A registry of an older version is brought up to this one, whole or not at all; a newer one is refused by name."""

import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tenantry.address import Kind
from tenantry.errors import Refused, Unavailable
from tenantry.registry import REMOVE, By, Claim, Pending, Place, Registry, Terms, upgrade
from tenantry.tenant import Status
from tests import registries
from tests.registries import domain, subdomain

path = registries.path

TABLES = ("meta", "tenants", "addresses", "claims", "retired", "tombstones", "journal")


def made(path: Path, version: int) -> Path:
    """Make a registry as the Tenantry of its time has made it."""
    with closing(sqlite3.connect(path)) as raw:
        raw.executescript(Path(__file__).with_name(f"registry-{version}.sql").read_text())
        raw.execute("PRAGMA journal_mode = WAL")
    return path


@pytest.fixture
def old(path: Path) -> Path:
    return made(path, 1)


@pytest.fixture(params=[1, 2])
def any_old(path: Path, request: pytest.FixtureRequest) -> Path:
    return made(path, request.param)


def shape(path: Path) -> dict[str, object]:
    """Spell all columns and indexes of a registry's file."""
    with closing(sqlite3.connect(path)) as raw:
        columns = {table: raw.execute(f"PRAGMA table_info({table})").fetchall() for table in TABLES}
        indexes = raw.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL").fetchall()
    return {**columns, **{name: " ".join(sql.split()) for name, sql in indexes}}


def rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Read the rows of all tables that an older registry has."""
    with closing(sqlite3.connect(path)) as raw:
        named = [table for table in TABLES if table not in {"claims", "meta"}]
        return {table: raw.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in named}


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as raw:
        return int(raw.execute("SELECT schema_version FROM meta").fetchone()[0])


def test_an_upgraded_registry_has_the_shape_of_a_new_one(any_old: Path, tmp_path: Path) -> None:
    Registry.open(any_old).close()
    Registry.open(tmp_path / "new.sqlite3").close()
    assert shape(any_old) == shape(tmp_path / "new.sqlite3")


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


def test_an_upgraded_registry_of_version_2_has_all_that_it_had_and_no_claims(path: Path) -> None:
    made(path, 2)
    before = rows(path)
    with Registry.open(path) as registry:
        acme, apex = registry.get("acme"), registry.get("apex")
        assert (acme.domain, apex.reason, registry.find(subdomain("globex"))) == ("acme.org", "unpaid", apex)
        assert registry.find(domain("xn--bcher-kva.example")) == acme
        assert [some.name for some in registry.pending()] == ["initech", "hooli"]
        assert registry.claims(acme.uid) == []
        assert registry.claim(acme.uid, Claim("new.org", "0" * 32), By("ada", "domain add")).revision == 11
        registry.drop_domain(acme.uid, "new.org", By("ada", "domain remove"))
    after = rows(path)
    assert {table: after[table] for table in before if table not in {"tenants", "journal"}} == {
        table: found for table, found in before.items() if table not in {"tenants", "journal"}
    }
    assert after["journal"][: len(before["journal"])] == before["journal"]


def test_a_rehearsal_upgrades_nothing(any_old: Path) -> None:
    was = version(any_old)
    with pytest.raises(Refused, match=f"is of version {was}, older than this Tenantry's"):
        Registry.open(any_old, terms=Terms(rehearsal=True))
    assert version(any_old) == was


def test_a_tenant_of_several_domains_has_no_primary_one_until_the_operator_chooses(old: Path) -> None:
    by = By("ada", "domain")
    with Registry.open(old) as registry:
        globex = registry.get("globex")
        assert registry.add_domain(globex.uid, "c.org", False, by).domain == ""
        assert registry.add_domain(globex.uid, "b.org", True, by).domain == "b.org"


def test_an_upgrade_is_made_once_however_often_the_registry_is_opened(any_old: Path) -> None:
    with closing(sqlite3.connect(any_old)) as raw:
        revision = raw.execute("SELECT revision FROM meta").fetchone()[0]
    for _ in range(3):
        with Registry.open(any_old) as registry:
            assert registry.revision() == revision
    assert version(any_old) == 3


@pytest.mark.parametrize("stands", ["INDEX tenants_pending ON tenants (title)", "TABLE claims (mine TEXT)"])
def test_an_upgrade_that_fails_leaves_the_old_registry(old: Path, stands: str) -> None:
    """Something of ours that somebody else has made stands in its way, after most of it is done."""
    with closing(sqlite3.connect(old)) as raw:
        raw.execute(f"CREATE {stands}")
    before = shape(old)
    with pytest.raises(Unavailable):
        Registry.open(old)
    assert (shape(old), version(old)) == (before, 1)


def test_an_upgrade_that_is_killed_is_made_by_the_next_process(any_old: Path) -> None:
    """Killed before each of its statements in turn, the last of which commits."""
    was = version(any_old)
    statements = len(_statements(any_old))
    assert statements == {1: 25, 2: 5}[was]
    for left in range(0, statements, 3 if was == 1 else 1):
        pid = os.fork()
        if not pid:
            try:
                _upgrade_until(any_old, left)
            finally:
                os._exit(1)
        os.waitpid(pid, 0)
        assert version(any_old) == was
    with Registry.open(any_old) as registry:
        assert registry.get("acme").domain == "acme.org"
    assert version(any_old) == 3


def _statements(old: Path) -> list[str]:
    """Upgrade a copy and return what was said to SQLite."""
    said: list[str] = []
    with closing(sqlite3.connect(old)) as raw, closing(sqlite3.connect(":memory:", isolation_level=None)) as copy:
        raw.backup(copy)
        copy.set_trace_callback(said.append)
        upgrade.upgrade(copy, old)
    return said


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
