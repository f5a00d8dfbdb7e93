"""The doctor: each thing that can be wrong is found, said in a sentence, and nothing else is."""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tenantry.assembly.desk import open_operations
from tenantry.doctor import Check, examine
from tenantry.operations import Maintenance, NewTenant, Operations
from tenantry.placement import Instance, Placement
from tenantry.registry import By, Registry
from tenantry.tenant import Status, Tenant, new_uid
from tests.benchmarks import population

NOTES = "tests.applications:notes"
ALL = [
    *("settings", "instance", "registry", "interrupted", "applications"),
    *("placements", "config", "databases", "schema", "builds"),
]


@pytest.fixture
def operations(tmp_path: Path) -> Iterator[Operations]:
    """Two tenants that are well."""
    with open_operations(tmp_path, {"application": NOTES}) as operations:
        operations.add(NewTenant("acme"))
        operations.add(NewTenant("globex", config={"COLOUR": "red"}))
        yield operations


def wrong(root: Path) -> list[Check]:
    return [check for check in examine(root) if not check.ok]


def only(root: Path, name: str, *parts: str) -> None:
    """See that one thing is wrong, and that what is said names these parts."""
    found = wrong(root)
    assert [check.name for check in found] == [name], found
    told = f"{found[0].says} {found[0].hint}"
    assert all(part in told for part in parts), told
    assert found[0].hint


def sql(root: Path, statement: str) -> None:
    with closing(sqlite3.connect(root / "instance" / "registry.sqlite3")) as raw:
        raw.execute(statement)
        raw.commit()


def test_where_all_is_well_every_check_says_so(operations: Operations, tmp_path: Path) -> None:
    """Looking changes nothing."""
    before = sorted((str(path), path.stat().st_mtime_ns) for path in (tmp_path / "instance").rglob("config.toml"))
    found = examine(tmp_path)
    assert [check.name for check in found] == ALL
    assert all(check.ok and check.says and not check.hint for check in found)
    assert before == sorted(
        (str(path), path.stat().st_mtime_ns) for path in (tmp_path / "instance").rglob("config.toml")
    )


def test_a_folder_that_was_never_served_from_says_how_to_begin(tmp_path: Path) -> None:
    """And the doctor makes nothing there."""
    only(tmp_path, "instance", "`tenantry serve`")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ("TENANTRY_THREDS=4", "TENANTRY_THREDS"),
        ("TENANTRY_THREADS=many", "TENANTRY_THREADS"),
        ("TENANTRY_PROXIES=1\nTENANTRY_HOST=0.0.0.0", "TENANTRY_HOST=127.0.0.1"),
        ("TENANTRY_PROXIES=1\nTENANTRY_HOST=example.com", "believes"),
        ("TENANTRY_SCHEME=https", "TENANTRY_PROXIES"),
    ],
)
def test_settings_that_are_wrong_alone_or_together(
    operations: Operations, tmp_path: Path, settings: str, part: str
) -> None:
    (tmp_path / ".env").write_text(settings)
    only(tmp_path, "settings", part)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.9.9.9"])
def test_proxies_are_believed_on_a_loopback_address(operations: Operations, tmp_path: Path, host: str) -> None:
    (tmp_path / ".env").write_text(f"TENANTRY_PROXIES=1\nTENANTRY_HOST={host}\nTENANTRY_SCHEME=https")
    assert wrong(tmp_path) == []


@pytest.mark.parametrize(
    ("path", "mode", "name"),
    [
        ("instance", 0o777, "instance"),
        ("instance/tenants", 0o755, "instance"),
        ("instance/registry.sqlite3", 0o644, "instance"),
        ("{acme}", 0o750, "placements"),
        ("{acme}/key", 0o640, "placements"),
        ("{acme}/.env", 0o604, "placements"),
        ("{acme}/config.toml", 0o644, "placements"),
        ("{acme}/files", 0o711, "placements"),
    ],
)
def test_what_is_open_to_others_is_named_with_the_line_that_closes_it(
    operations: Operations, tmp_path: Path, path: str, mode: int, name: str
) -> None:
    opened = tmp_path / path.format(acme=operations.path("acme"))
    before = opened.stat().st_mode
    opened.chmod(mode)
    only(tmp_path, name, str(opened), "chmod")
    hint = wrong(tmp_path)[0].hint.split()
    Path(hint[2]).chmod(int(hint[1], 8))
    assert wrong(tmp_path) == []
    assert opened.stat().st_mode & 0o700 == before & 0o700


def remove_folder(placement: Placement) -> None:
    placement.folder.rename(placement.folder.parents[2] / "elsewhere")


@pytest.mark.parametrize(
    ("damage", "part"),
    [
        (remove_folder, "is missing"),
        (lambda placement: placement.files.rmdir(), "files of acme is missing"),
        (lambda placement: placement.key.write_bytes(b"short"), "too short"),
    ],
)
def test_a_placement_that_is_not_whole(
    operations: Operations, tmp_path: Path, damage: Callable[[Placement], object], part: str
) -> None:
    damage(Placement(operations.path("acme")))
    only(tmp_path, "placements", "acme", part)


def test_whoever_is_in_service_is_looked_at_in_maintenance_and_suspended_too(
    operations: Operations, tmp_path: Path
) -> None:
    operations.maintenance_on("acme", Maintenance())
    operations.suspend("globex", "unpaid")
    assert "2 tenants, " in next(check.says for check in examine(tmp_path) if check.name == "registry")
    for name in ("acme", "globex"):
        (operations.path(name) / "key").chmod(0o640)
    assert [check.name for check in wrong(tmp_path)] == ["placements"] * 2


def test_more_tenants_than_are_read_at_once_are_all_looked_at(tmp_path: Path) -> None:
    instance = Instance(tmp_path / "instance")
    instance.prepare()
    population.fill(instance.registry, 1200)
    found = wrong(tmp_path)
    assert {check.name for check in found} == {"placements"}
    assert len({check.says for check in found}) == 1200


def test_a_config_that_cannot_be_read_is_named_with_its_line(operations: Operations, tmp_path: Path) -> None:
    (operations.path("globex") / "config.toml").write_text("A = 1\nB = \n")
    only(tmp_path, "config", "globex", "line 2")


def test_one_database_of_two_tenants_by_url_or_by_file(operations: Operations, tmp_path: Path) -> None:
    """Other addresses may be shared: a cache, a mail server."""
    for name in ("acme", "globex"):
        operations.config_set(name, {"CACHE": "redis://host/0", "SCRATCH": "sqlite:///:memory:"})
        operations.config_set(name, {"MORE": {"archive": "postgresql://me:pw@host/archive"}})
    only(tmp_path, "databases", "acme, globex")
    assert "pw" not in str(wrong(tmp_path))
    operations.config_unset("globex", ["MORE"])
    assert wrong(tmp_path) == []
    (operations.path("acme") / "database.sqlite3").write_bytes(b"")
    os.link(operations.path("acme") / "database.sqlite3", operations.path("globex") / "database.sqlite3")
    only(tmp_path, "databases", "acme, globex")


def test_a_row_that_makes_no_sense_and_a_folder_without_a_row(operations: Operations, tmp_path: Path) -> None:
    stranger = tmp_path / "instance" / "tenants" / new_uid()
    stranger.mkdir()
    only(tmp_path, "registry", str(stranger), "belongs to no tenant")
    stranger.rmdir()
    sql(tmp_path, "UPDATE tenants SET status = 'nonsense' WHERE name = 'acme'")
    only(tmp_path, "registry", "acme", "nonsense")


def test_a_registry_that_is_none(operations: Operations, tmp_path: Path) -> None:
    registry = tmp_path / "instance" / "registry.sqlite3"
    for path in registry.parent.glob("registry.sqlite3-*"):
        path.unlink()
    registry.write_bytes(b"nonsense" * 1000)
    only(tmp_path, "registry", str(registry))


def test_what_was_cut_short_is_found_and_recovering_mends_it(operations: Operations, tmp_path: Path) -> None:
    with Registry.open(tmp_path / "instance" / "registry.sqlite3") as book:
        book.intend(Tenant(new_uid(), "half", NOTES, Status.ADDING, 0), [])
    only(tmp_path, "interrupted", "half", "--repair")
    operations.recover()
    assert wrong(tmp_path) == []
    folder = operations.path("acme")
    with Registry.open(tmp_path / "instance" / "registry.sqlite3") as book:
        book.remove(folder.name, By("ada", "remove"))
    only(tmp_path, "interrupted", "acme", "--repair")
    hold = Placement(folder).hold()
    only(tmp_path, "interrupted", "acme", "in use")
    hold.close()
    operations.recover()
    assert wrong(tmp_path) == []


def test_a_lock_file_of_a_killed_command_is_litter_and_one_that_is_held_is_not(
    operations: Operations, tmp_path: Path
) -> None:
    lock = tmp_path / "instance" / "staging" / f"{operations.path('acme').name}.lock"
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert wrong(tmp_path) == []
    only(tmp_path, "interrupted", str(lock), "--repair")
    operations.recover()
    assert wrong(tmp_path) == []


def test_what_a_killed_change_of_a_standing_tenant_left_is_no_add(operations: Operations, tmp_path: Path) -> None:
    staged = tmp_path / "instance" / "staging" / operations.path("acme").name
    staged.mkdir()
    only(tmp_path, "interrupted", "A command was killed", str(staged), "--repair")
    assert operations.recover() == ()
    assert wrong(tmp_path) == []


def test_a_draft_of_a_killed_edit_is_named_and_left_to_its_operator(operations: Operations, tmp_path: Path) -> None:
    draft = tmp_path / "instance" / "staging" / f"{operations.path('acme').name}-edit-x1y2z3"
    draft.mkdir()
    (draft / ".env").write_text("PIN=1234")
    only(tmp_path, "interrupted", str(draft), "config edit acme", "secrets")
    operations.recover()
    assert (draft / ".env").read_text() == "PIN=1234"


def test_a_purge_that_was_cut_short_says_how_to_go_on(operations: Operations, tmp_path: Path) -> None:
    uid = operations.path("acme").name
    operations.remove("acme")
    with Registry.open(tmp_path / "instance" / "registry.sqlite3") as book:
        book.purge(uid, By("ada", "purge"))
    only(tmp_path, "interrupted", "A purge", f"tenantry purge {uid}", "--repair")
    operations.recover()
    assert wrong(tmp_path) == []


def test_a_folder_in_the_trash_belongs_to_somebody(operations: Operations, tmp_path: Path) -> None:
    stranger = tmp_path / "instance" / "trash" / new_uid()
    stranger.mkdir()
    only(tmp_path, "registry", str(stranger), "belongs to no tenant")


def test_a_removed_tenant_whose_folder_is_nowhere(operations: Operations, tmp_path: Path) -> None:
    uid = operations.path("acme").name
    operations.remove("acme")
    (tmp_path / "instance" / "trash" / uid).rename(tmp_path / "elsewhere")
    only(tmp_path, "registry", "acme", "neither", f"tenantry purge {uid}")


def test_a_removed_tenants_folder_belongs_into_the_trash(operations: Operations, tmp_path: Path) -> None:
    folder = operations.path("acme")
    operations.remove("acme")
    assert wrong(tmp_path) == []
    (tmp_path / "instance" / "trash" / folder.name).rename(folder)
    only(tmp_path, "registry", "acme", str(folder), "trash")


def test_an_application_that_cannot_be_imported(operations: Operations, tmp_path: Path) -> None:
    sql(tmp_path, "UPDATE tenants SET application = 'gone:create_app' WHERE name = 'acme'")
    only(tmp_path, "applications", "gone")


def test_a_database_behind_its_application(operations: Operations, tmp_path: Path) -> None:
    operations.add(NewTenant("paper", application="gazette", config={"SIGN_UP_OPEN": True}))
    assert wrong(tmp_path) == []
    with closing(sqlite3.connect(operations.path("paper") / "database.sqlite3")) as raw:
        raw.execute("UPDATE alembic_version SET version_num = 'old'")
        raw.commit()
    only(tmp_path, "schema", "paper", "old")


def test_a_tenant_whose_build_fails(operations: Operations, tmp_path: Path) -> None:
    with Registry.open(tmp_path / "instance" / "registry.sqlite3") as book:
        book.tell(operations.get("acme").uid, "acme", "no such table")
    only(tmp_path, "builds", "acme", "no such table")
