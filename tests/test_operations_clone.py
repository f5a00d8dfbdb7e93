"""Cloning: another tenant of the same data, that shares nothing with the first one."""

import os
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tenantry.assembly.desk import open_desk
from tenantry.errors import Invalid, Refused, Unavailable, Unknown
from tenantry.operations import Clone, NewTenant, Operations
from tenantry.placement import Placement
from tenantry.settings import read
from tenantry.tenant import Status
from tests import shops
from tests.shops import NOTES, SOON, mode, nothing_but, opened, verbs

operations, root, shop = shops.operations, shops.root, shops.shop


def goods(database: Path) -> list[int]:
    with closing(sqlite3.connect(database)) as raw:
        return [number for (number,) in raw.execute("SELECT id FROM goods ORDER BY id")]


def files(operations: Operations, name: str) -> Path:
    return Placement(operations.path(name)).files


@pytest.fixture
def acme(operations: Operations) -> Operations:
    """A tenant with something of everything."""
    operations.add(
        NewTenant("acme", title="Acme", path=True, domains=["shop.example.com"], config={"A": 1}, trust=True)
    )
    operations.config_set_secret("acme", {"MAIL_PASSWORD": "hidden"})
    with closing(sqlite3.connect(Placement(operations.path("acme")).database)) as raw:
        raw.execute("INSERT INTO goods (id) VALUES (7)")
        raw.commit()
    letters = files(operations, "acme") / "letters"
    letters.mkdir()
    (letters / "one.txt").write_text("Dear")
    (letters / "newest.txt").symlink_to("one.txt")
    return operations


def test_a_clone_has_the_data_and_the_config_of_its_source_and_a_key_of_its_own(acme: Operations, root: Path) -> None:
    cloned = acme.clone("acme", Clone("apex", path=True))
    old, new = Placement(acme.path("acme")), Placement(acme.path("apex"))
    assert cloned.urls == ("http://apex.localhost:8000/", "http://localhost:8000/t/apex/")
    assert (cloned.tenant.title, cloned.tenant.status, cloned.owner_link) == ("Acme", Status.ACTIVE, None)
    assert goods(new.database) == [7]
    assert (new.files / "letters" / "newest.txt").read_text() == "Dear"
    assert (new.files / "letters" / "newest.txt").is_symlink()
    values = {value.key: value.shown for value in acme.config_show("apex")}
    assert (values["A"], values["TENANT_NAME"]) == (1, "apex")
    assert new.secrets.read_text() == old.secrets.read_text().replace("acme", "apex")
    assert "acme" not in new.config.read_text()
    assert new.key.read_bytes() != old.key.read_bytes()
    assert {mode(path) for path in (new.key, new.config, new.secrets, new.lock, new.database)} == {0o600}
    assert verbs(acme, "apex") == ["clone"]
    assert acme.journal("apex")[0].detail["source"] == "acme"
    nothing_but(root, tenants=2)


def test_the_domains_stay_with_the_source(acme: Operations) -> None:
    acme.clone("acme", Clone("apex"))
    assert acme.domain_list("apex") == ()
    assert [one.domain for one in acme.domain_list("acme")] == ["shop.example.com"]


def test_what_is_written_to_one_is_not_in_the_other(acme: Operations) -> None:
    acme.clone("acme", Clone("apex"))
    with closing(sqlite3.connect(Placement(acme.path("apex")).database)) as raw:
        raw.execute("INSERT INTO goods (id) VALUES (8)")
        raw.commit()
    (files(acme, "apex") / "letters" / "newest.txt").write_text("Yours")
    assert goods(Placement(acme.path("acme")).database) == [7]
    assert (files(acme, "acme") / "letters" / "one.txt").read_text() == "Dear"


def test_a_title_and_no_secrets_can_be_asked_for(acme: Operations) -> None:
    assert acme.clone("acme", Clone("apex", title="", secrets=False)).tenant.title == ""
    assert "MAIL_PASSWORD" not in Placement(acme.path("apex")).secrets.read_text()
    with pytest.raises(Invalid, match="title"):
        acme.clone("acme", Clone("summit", title="two\nlines"))


def test_a_session_of_the_source_is_worth_nothing_at_the_clone(operations: Operations, root: Path) -> None:
    operations.add(NewTenant("acme", application=NOTES))
    operations.clone("acme", Clone("apex"))
    with open_desk(root, read(root).settings) as desk:
        keys = {dict(desk.builder().layers(operations.get(name))[-1][1])["SECRET_KEY"] for name in ("acme", "apex")}
    assert len(keys) == 2


@pytest.mark.parametrize("state", [Status.SUSPENDED, Status.MAINTENANCE])
def test_a_source_that_is_not_served_can_be_cloned_and_the_clone_is_served(acme: Operations, state: Status) -> None:
    if state is Status.SUSPENDED:
        acme.suspend("acme", "unpaid")
    else:
        acme.maintenance_on("acme", SOON)
    cloned = acme.clone("acme", Clone("apex")).tenant
    assert (cloned.status, cloned.reason, cloned.notice) == (Status.ACTIVE, "", None)
    assert acme.get("acme").status is state


def test_a_removed_source_and_one_without_a_folder_cannot_be_cloned(acme: Operations, root: Path) -> None:
    folder = acme.path("acme")
    folder.rename(root / "elsewhere")
    with pytest.raises(Unavailable, match="missing"):
        acme.clone("acme", Clone("apex"))
    (root / "elsewhere").rename(folder)
    acme.remove("acme")
    with pytest.raises(Unknown, match="--undo"):
        acme.clone("acme", Clone("apex"))
    nothing_but(root, trash=1)


def test_databases_among_the_files_are_copied_while_they_are_written(acme: Operations) -> None:
    """Also one whose whole content is in its log still, and one with a name that says nothing."""
    folder = files(acme, "acme")
    with closing(sqlite3.connect(folder / "index")) as raw:
        raw.execute("PRAGMA journal_mode = WAL")
        raw.execute("CREATE TABLE goods (id INTEGER PRIMARY KEY)")
        raw.execute("INSERT INTO goods VALUES (1)")
        raw.commit()
        raw.execute("BEGIN IMMEDIATE")
        raw.execute("INSERT INTO goods VALUES (2)")
        acme.clone("acme", Clone("apex"))
        raw.commit()
    copied = files(acme, "apex")
    assert sorted(path.name for path in copied.iterdir()) == ["index", "letters"]
    assert goods(copied / "index") == [1]
    assert goods(folder / "index") == [1, 2]


def test_what_only_looks_like_a_database_is_copied_as_it_is(acme: Operations) -> None:
    folder = files(acme, "acme")
    (folder / "zeros.sqlite3").write_bytes(bytes(1024))
    (folder / "notes-wal").write_bytes(b"a letter about walls")
    (folder / "empty.db").touch()
    acme.clone("acme", Clone("apex"))
    for path in folder.iterdir():
        if path.is_file():
            assert (files(acme, "apex") / path.name).read_bytes() == path.read_bytes()


def test_permissions_and_times_are_copied_and_the_owner_can_always_delete(acme: Operations) -> None:
    folder = files(acme, "acme") / "letters"
    (folder / "one.txt").chmod(0o440)
    os.utime(folder / "one.txt", (1, 1_000_000_000))
    folder.chmod(0o550)
    acme.clone("acme", Clone("apex"))
    copied = files(acme, "apex") / "letters"
    assert (mode(copied), mode(copied / "one.txt")) == (0o750, 0o640)
    assert (copied / "one.txt").stat().st_mtime == 1_000_000_000


def test_pipes_and_sockets_are_left_out(acme: Operations) -> None:
    folder = files(acme, "acme")
    os.mkfifo(folder / "pipe")
    with closing(socket.socket(socket.AF_UNIX)) as listener, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # the path of a socket must be short
        listener.bind("socket")
    acme.clone("acme", Clone("apex"))
    assert [path.name for path in files(acme, "apex").iterdir()] == ["letters"]


@pytest.mark.parametrize("leads", ["/etc/passwd", "../key", "../../../registry.sqlite3", "letters/../../key", "SELF"])
def test_a_link_that_leads_elsewhere_is_refused_and_nothing_is_left(acme: Operations, root: Path, leads: str) -> None:
    """Also one that leads back into the source by a way that begins outside."""
    folder = files(acme, "acme")
    target = leads.replace("SELF", f"../../{folder.parent.name}/files/letters")
    (folder / "link").symlink_to(target)
    with pytest.raises(Refused, match="leads elsewhere"):
        acme.clone("acme", Clone("apex"))
    nothing_but(root, tenants=1)
    assert [listed.tenant.name for listed in acme.list().tenants] == ["acme"]


def test_a_link_in_a_circle_is_copied_as_it_is(acme: Operations) -> None:
    (files(acme, "acme") / "round").symlink_to("round")
    (files(acme, "acme") / "letters" / "up").symlink_to("..")
    acme.clone("acme", Clone("apex"))
    assert str((files(acme, "apex") / "round").readlink()) == "round"
    assert str((files(acme, "apex") / "letters" / "up").readlink()) == ".."


def test_a_clone_whose_source_is_damaged_leaves_nothing(acme: Operations, root: Path) -> None:
    database = Placement(acme.path("acme")).database
    database.write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 16)
    with pytest.raises(Unavailable, match=r"database\.sqlite3"):
        acme.clone("acme", Clone("apex"))
    nothing_but(root, tenants=1)


def test_nobody_moves_the_source_away_while_it_is_copied(acme: Operations, root: Path) -> None:
    """The source's lock is held shared: live applications go on, a removal waits."""
    with closing(Placement(acme.path("acme")).hold()):
        acme.clone("acme", Clone("apex"))
    with (
        Placement(acme.path("acme")).alone(),
        opened(root) as other,
        pytest.raises(Unavailable, match="other command at acme"),
    ):
        other.clone("acme", Clone("summit"))
    nothing_but(root, tenants=2)


def test_a_database_that_both_would_write_to_is_told_of(acme: Operations) -> None:
    acme.config_set("acme", {"DATABASE": {"url": "postgresql://db.example.com/acme"}})
    warning = acme.clone("acme", Clone("apex")).warning
    assert "DATABASE names a database that acme and apex now share" in warning
    assert "db.example.com" not in warning
    assert acme.clone("acme", Clone("summit", secrets=False)).warning
