"""Databases at rest: spelled, provided, copied and opened without losing a row."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool, StaticPool

from tenantry import databases
from tenantry.errors import Refused, Unavailable, Unknown
from tenantry.placement import Placement
from tests.sites import without_collector


def make(path: Path, rows: int = 1, mode: str = "WAL") -> Path:
    with closing(sqlite3.connect(path)) as raw:
        raw.execute(f"PRAGMA journal_mode = {mode}")
        raw.execute("CREATE TABLE note (id INTEGER PRIMARY KEY, said TEXT)")
        raw.executemany("INSERT INTO note (said) VALUES (?)", [("x" * 100,)] * rows)
        raw.commit()
    return path


def notes(path: Path) -> int:
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return int(raw.execute("SELECT count(*) FROM note").fetchone()[0])


# Where.


@pytest.mark.parametrize("folder", ["plain", "with space", "100%41", "a+b", "a#b", "ümlaut", "semi;colon", "a@b:c"])
def test_a_database_url_leads_to_the_placements_own_file_whatever_its_folder_is_called(
    tmp_path: Path, folder: str
) -> None:
    placement = Placement(tmp_path / folder)
    placement.folder.mkdir()
    url = databases.url(placement)
    assert url.startswith("sqlite:////")
    assert make_url(url).database == str(placement.database)
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE note (id INTEGER)"))
    assert [file.name for file in placement.folder.iterdir()] == [placement.database.name]


def test_a_relative_placement_has_an_absolute_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert make_url(databases.url(Placement(Path("one")))).database == str(tmp_path / "one" / "database.sqlite3")


# Provided.


def test_a_provided_database_is_the_template_and_its_owners_alone(tmp_path: Path) -> None:
    template, database = make(tmp_path / "template", 3), tmp_path / "tenant" / "database.sqlite3"
    database.parent.mkdir()
    before = os.umask(0)
    try:
        databases.provision(database, template)
    finally:
        os.umask(before)
    assert list(database.parent.iterdir()) == [database]
    assert database.stat().st_mode & 0o777 == 0o600
    assert database.read_bytes() == template.read_bytes()
    assert notes(database) == 3


def test_without_a_template_the_database_is_left_to_the_application(tmp_path: Path) -> None:
    databases.provision(tmp_path / "database.sqlite3", None)
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_is_there_is_never_provided_over(tmp_path: Path) -> None:
    template, database = make(tmp_path / "template", 3), make(tmp_path / "database.sqlite3", 5)
    with pytest.raises(Refused, match="already"):
        databases.provision(database, template)
    assert notes(database) == 5


def test_what_an_earlier_database_left_beside_is_not_replayed_into_a_provided_one(tmp_path: Path) -> None:
    template, database = make(tmp_path / "template", 3), tmp_path / "database.sqlite3"
    with closing(sqlite3.connect(make(database, 3))) as raw:
        raw.execute("DELETE FROM note")
        raw.commit()
        log = database.with_name(database.name + "-wal").read_bytes()
    database.unlink()
    database.with_name(database.name + "-wal").write_bytes(log)
    databases.provision(database, template)
    assert notes(database) == 3


@pytest.mark.parametrize("reason", ["no template", "no folder"])
def test_a_database_that_cannot_be_provided_is_unavailable_and_leaves_nothing(tmp_path: Path, reason: str) -> None:
    folder = tmp_path / "tenant"
    if reason == "no template":
        folder.mkdir()
        template = tmp_path / "missing"
    else:
        template = make(tmp_path / "template")
    with pytest.raises(Unavailable, match="cannot be made"):
        databases.provision(folder / "database.sqlite3", template)
    assert not folder.exists() or list(folder.iterdir()) == []


# Copied.


def test_a_copy_taken_while_somebody_writes_is_whole_and_of_one_moment(tmp_path: Path) -> None:
    source, target = make(tmp_path / "source", 2000), tmp_path / "target"
    over, wrote = threading.Event(), threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(source, timeout=30)) as raw:
            while not over.is_set():
                raw.execute("INSERT INTO note (said) VALUES ('left')")
                raw.execute("INSERT INTO note (said) VALUES ('right')")
                raw.commit()
                wrote.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert wrote.wait(30)
        for _ in range(10):
            databases.copy(source, target)
            assert notes(target) % 2 == 0, "both rows of a transaction or neither"
            assert notes(target) > 2000
    finally:
        over.set()
        writer.join()
    assert sorted(file.name for file in tmp_path.iterdir() if "target" in file.name) == ["target"]
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_copy_holds_the_last_commits_of_a_writer_that_was_killed(tmp_path: Path) -> None:
    source, target = make(tmp_path / "source"), tmp_path / "target"
    code = (
        "import sqlite3, sys; raw = sqlite3.connect(sys.argv[1]); "
        "raw.execute(\"INSERT INTO note (said) VALUES ('last')\"); raw.commit(); print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(source)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.send_signal(signal.SIGKILL)
    assert source.with_name("source-wal").stat().st_size > 0
    databases.copy(source, target)
    assert notes(target) == 2


def test_a_copy_replaces_an_old_database_with_all_that_lay_beside_it(tmp_path: Path) -> None:
    source, target = make(tmp_path / "source", 7), make(tmp_path / "target", 1)
    target.with_name("target-wal").write_bytes(b"stale")
    databases.copy(source, target)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["source", "target"]
    assert notes(target) == 7


def test_a_missing_source_is_unknown_and_a_damaged_one_unavailable_and_the_target_stays(tmp_path: Path) -> None:
    target, damaged = make(tmp_path / "target", 4), tmp_path / "damaged"
    damaged.write_bytes(b"no database " * 1000)
    with pytest.raises(Unknown, match="no database"):
        databases.copy(tmp_path / "missing", target)
    with pytest.raises(Unavailable, match="damaged cannot be copied"):
        databases.copy(damaged, target)
    assert notes(target) == 4
    assert sorted(file.name for file in tmp_path.iterdir()) == ["damaged", "target"]


def test_a_copy_of_a_source_that_stays_locked_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make(tmp_path / "source", mode="DELETE")
    monkeypatch.setattr(databases, "_BUSY", 0.01)
    monkeypatch.setattr(databases, "_COPY_DEADLINE", 0.1)
    with closing(sqlite3.connect(source)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Unavailable, match="stays locked"):
            databases.copy(source, tmp_path / "target")
    assert list(tmp_path.iterdir()) == [source]


# Opened.


def test_a_tuned_engine_gives_every_connection_the_same_manners_and_no_other_engine_any(tmp_path: Path) -> None:
    tuned = create_engine(f"sqlite:///{tmp_path / 'tuned'}")
    other = create_engine(f"sqlite:///{tmp_path / 'other'}")
    databases.tune(tuned)
    databases.tune(tuned)

    def manners(engine: object) -> list[object]:
        assert engine in {tuned, other}
        with (tuned if engine is tuned else other).connect() as connection:
            asked = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            return [connection.exec_driver_sql(f"PRAGMA {word}").scalar() for word in asked]

    try:
        with tuned.connect(), tuned.connect():
            assert manners(tuned) == ["wal", 1, 1, 5000], "also on the third connection at once"
        assert manners(other)[:3] == ["delete", 2, 0]
    finally:
        tuned.dispose()
        other.dispose()


def test_an_engine_at_rest_keeps_nothing_open_also_of_what_was_in_use_when_it_was_put_to_rest(tmp_path: Path) -> None:
    """Whoever gives a connection back gives it to where the next rest finds it, without any garbage collection."""
    path = tmp_path / "database.sqlite3"
    engine = create_engine(f"sqlite:///{path}", pool_size=1, max_overflow=-1)
    databases.tune(engine)

    def open_files() -> int:
        links = [Path(f"/dev/fd/{number}") for number in os.listdir("/dev/fd")]  # noqa: PTH208
        return sum(link.exists() and str(link.resolve()).startswith(str(path)) for link in links)

    with without_collector():
        connections = [engine.connect() for _ in range(3)]
        for connection in connections:
            connection.execute(text("CREATE TABLE IF NOT EXISTS note (id INTEGER)"))
        databases.rest(engine)
        assert (open_files(), databases.weight(engine)) == (7, 3)
        for connection in connections:
            connection.close()
        # One connection, and what SQLite keeps of the two others.
        assert (open_files(), databases.weight(engine)) == (5, 3)
        databases.rest(engine)
        assert (open_files(), databases.weight(engine)) == (0, 0)
        with engine.connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM note")).scalar_one() == 0
        assert (open_files(), databases.weight(engine)) == (3, 1)
        engine.dispose()
        assert open_files() == 0


@pytest.mark.parametrize("options", [{"poolclass": NullPool}, {"poolclass": StaticPool}])
def test_an_engine_with_a_pool_of_another_kind_rests_as_it_can(options: dict[str, Any]) -> None:
    engine = create_engine("sqlite://", **options)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    assert databases.weight(engine) == 1
    databases.rest(engine)


def test_an_engine_that_was_not_tuned_rests_too(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'a'}")
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    assert databases.weight(engine) == 1
    databases.rest(engine)
    assert databases.weight(engine) == 0
