"""Schemas: what a database has, how it is brought up to date, and templates of new ones."""

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tenantry import databases, schema
from tenantry.errors import Refused, Unavailable, Unknown

PLATFORM = Path(__file__).resolve().parents[1] / "platform"

Write = Callable[..., Path]

FIRST = 'op.create_table("author", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text))'
SECOND = """
    op.create_table(
        "entry",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("author", sa.Integer, sa.ForeignKey("author.id", ondelete="CASCADE"), nullable=False),
    )
"""


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    folder = tmp_path / "migrations"
    (folder / "versions").mkdir(parents=True)
    return folder


@pytest.fixture
def write(migrations: Path) -> Write:
    def write(revision: str, down: str | None, upgrade: str) -> Path:
        file = migrations / "versions" / f"{revision}.py"
        head = f'"""{revision}"""\nimport sqlalchemy as sa\nfrom alembic import op\n\n'
        head += f"revision = {revision!r}\ndown_revision = {down!r}\n\n\ndef upgrade():\n"
        file.write_text(head + textwrap.indent(textwrap.dedent(upgrade), "    "))
        return file

    return write


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "database.sqlite3"
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA journal_mode = WAL")
    return path


def ask(path: Path, question: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as raw:
        found: list[tuple[object, ...]] = raw.execute(question).fetchall()
        raw.commit()
        return found


def tables(path: Path) -> list[str]:
    return [str(row[0]) for row in ask(path, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]


def python(code: str, *arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", "from pathlib import Path; import sys\n" + code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(PLATFORM)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


# Without Alembic.


def test_what_needs_no_alembic_does_not_import_it(migrations: Path, write: Write, tmp_path: Path) -> None:
    write("one", None, FIRST)
    template = schema.template(migrations, tmp_path, "gazette")
    code = """
from tenantry import schema
migrations, folder = Path(sys.argv[1]), Path(sys.argv[2])
template = schema.template(migrations, folder, "gazette")
print(template.name, schema.current(template))
print("alembic" in sys.modules, "sqlalchemy" in sys.modules)
"""
    with python(code, migrations, tmp_path) as child:
        said, _ = child.communicate(timeout=60)
    assert said.splitlines() == [f"{template.name} one", "False False"]


def test_the_key_of_a_folder_changes_with_any_byte_or_name_of_its_files(migrations: Path, write: Write) -> None:
    keys = [schema.head_key(migrations)]
    file = write("one", None, FIRST)
    keys.append(schema.head_key(migrations))
    file.write_text(file.read_text() + "\n")
    keys.append(schema.head_key(migrations))
    file.rename(file.with_name("two.py"))
    keys.append(schema.head_key(migrations))
    assert len(set(keys)) == 4
    (migrations / "README").write_text("no code")
    assert schema.head_key(migrations) == keys[-1]


def test_a_database_that_is_missing_or_was_never_migrated_has_no_revision(database: Path, tmp_path: Path) -> None:
    assert schema.current(tmp_path / "missing") is None
    assert not (tmp_path / "missing").exists()
    assert schema.current(database) is None


def test_reading_a_revision_sees_the_last_commit_and_leaves_nothing_beside_the_database(
    migrations: Path, write: Write, database: Path
) -> None:
    write("one", None, FIRST)
    schema.upgrade(database, migrations)
    before = sorted(database.parent.iterdir())
    assert schema.current(database) == "one"
    assert sorted(database.parent.iterdir()) == before
    with closing(sqlite3.connect(database)) as raw:
        raw.execute("UPDATE alembic_version SET version_num = 'two'")
        raw.commit()
        assert schema.current(database) == "two", "it is in the log, not yet in the file"


def test_a_damaged_database_is_unavailable_by_name(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    damaged.write_bytes(b"no database " * 1000)
    with pytest.raises(Unavailable, match="damaged cannot be read"):
        schema.current(damaged)


# Upgrading.


def test_an_upgrade_applies_what_is_missing_in_order_and_says_what(
    migrations: Path, write: Write, database: Path
) -> None:
    write("one", None, FIRST)
    assert schema.upgrade(database, migrations) == ("one",)
    write("two", "one", SECOND)
    write("three", "two", 'op.add_column("entry", sa.Column("title", sa.Text))')
    assert schema.head(migrations) == "three"
    assert schema.upgrade(database, migrations) == ("two", "three")
    assert schema.current(database) == "three"
    assert tables(database) == ["alembic_version", "author", "entry"]
    assert schema.upgrade(database, migrations) == ()


def test_a_folder_without_migrations_has_no_head_and_changes_nothing(migrations: Path, database: Path) -> None:
    assert schema.head(migrations) is None
    assert schema.upgrade(database, migrations) == ()
    (migrations / "versions").rmdir()
    assert schema.head(migrations) is None


def test_a_database_that_is_missing_is_not_made_by_an_upgrade(migrations: Path, write: Write, tmp_path: Path) -> None:
    write("one", None, FIRST)
    with pytest.raises(Unknown, match="no database"):
        schema.upgrade(tmp_path / "missing", migrations)
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ('op.execute("INSERT INTO nowhere VALUES (1)")', r"OperationalError: no such table: nowhere \(.*two\.py:15\)"),
        ("raise SystemExit('no')", r"SystemExit: no \(.*two\.py:15\)"),
        ("1 / 0", r"ZeroDivisionError: division by zero \(.*two\.py:15\)"),
    ],
)
def test_a_migration_that_fails_leaves_the_database_exactly_as_it_was(
    migrations: Path, write: Write, database: Path, code: str, says: str
) -> None:
    write("one", None, FIRST)
    schema.upgrade(database, migrations)
    ask(database, "INSERT INTO author (name) VALUES ('Ada')")
    before = ask(database, "SELECT * FROM sqlite_master")
    write(
        "two",
        "one",
        f"""
        op.create_table("half", sa.Column("id", sa.Integer))
        op.execute("UPDATE author SET name = 'Bob'")
        with op.batch_alter_table("author") as table:
            table.drop_column("name")
        {code}
        """,
    )
    with pytest.raises(Unavailable, match=r"cannot be migrated to two: " + says) as caught:
        schema.upgrade(database, migrations)
    assert caught.value.says.isprintable()
    assert ask(database, "SELECT * FROM sqlite_master") == before
    assert ask(database, "SELECT name FROM author") == [("Ada",)]
    assert schema.current(database) == "one"


def test_rebuilding_a_table_keeps_the_rows_that_refer_to_it(migrations: Path, write: Write, database: Path) -> None:
    write("one", None, FIRST)
    write("two", "one", SECOND)
    schema.upgrade(database, migrations)
    ask(database, "INSERT INTO author VALUES (1, 'Ada')")
    ask(database, "INSERT INTO entry VALUES (1, 1)")
    write(
        "three",
        "two",
        """
        with op.batch_alter_table("author", recreate="always") as table:
            table.alter_column("name", nullable=False)
        """,
    )
    schema.upgrade(database, migrations)
    assert ask(database, "SELECT * FROM entry") == [(1, 1)]


def test_a_migration_that_leaves_references_to_nothing_is_taken_back(
    migrations: Path, write: Write, database: Path
) -> None:
    write("one", None, FIRST)
    write("two", "one", SECOND)
    schema.upgrade(database, migrations)
    ask(database, "INSERT INTO author VALUES (1, 'Ada')")
    ask(database, "INSERT INTO entry VALUES (1, 1)")
    write("three", "two", 'op.execute("DELETE FROM author")')
    with pytest.raises(Unavailable, match="rows of entry would refer to nothing in author"):
        schema.upgrade(database, migrations)
    assert ask(database, "SELECT * FROM author") == [(1, "Ada")]
    assert schema.current(database) == "two"


def test_a_database_of_a_revision_that_the_folder_does_not_know_is_refused(
    migrations: Path, write: Write, database: Path
) -> None:
    write("one", None, FIRST)
    schema.upgrade(database, migrations)
    ask(database, "UPDATE alembic_version SET version_num = 'tomorrow'")
    with pytest.raises(Refused, match=r"is of revision tomorrow, which .* does not lead on from"):
        schema.upgrade(database, migrations)


@pytest.mark.parametrize("code", ["def broken(:\n", "1 / 0\n", "raise SystemExit\n", "revision = 'x'\n"])
def test_migrations_that_cannot_be_read_are_unavailable_and_read_again_once_repaired(
    migrations: Path, write: Write, database: Path, code: str
) -> None:
    broken = write("one", None, FIRST)
    good = broken.read_text()
    broken.write_text(code)
    for ask_them in (lambda: schema.upgrade(database, migrations), lambda: schema.head(migrations)):
        with pytest.raises(Unavailable, match="cannot be read"):
            ask_them()
    broken.write_text(good)
    assert schema.upgrade(database, migrations) == ("one",)


def test_upgrades_asked_for_by_many_threads_each_reach_their_own_database(
    migrations: Path, write: Write, tmp_path: Path
) -> None:
    write("one", None, FIRST)
    write("two", "one", SECOND)
    paths = [tmp_path / f"{number}.sqlite3" for number in range(6)]
    for path in paths:
        ask(path, "PRAGMA journal_mode = WAL")
    threads = [threading.Thread(target=schema.upgrade, args=(path, migrations)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [tables(path) for path in paths] == [["alembic_version", "author", "entry"]] * 6
    assert [schema.current(path) for path in paths] == ["two"] * 6


# Templates.


def test_a_template_is_one_migrated_file_in_wal_mode_made_once(migrations: Path, write: Write, tmp_path: Path) -> None:
    write("one", None, FIRST)
    folder = tmp_path / "templates"
    folder.mkdir()
    template = schema.template(migrations, folder, "gazette")
    assert template.name == f"gazette-{schema.head_key(migrations)}.sqlite3"
    assert list(folder.iterdir()) == [template]
    content = template.read_bytes()
    assert content[18:20] == b"\x02\x02", "the header says WAL"
    assert template.stat().st_mode & 0o777 == 0o600
    first = template.stat()
    assert schema.template(migrations, folder, "gazette").stat() == first
    write("two", "one", SECOND)
    assert schema.template(migrations, folder, "gazette") != template
    database = tmp_path / "database.sqlite3"
    databases.provision(database, template)
    assert schema.current(database) == "one"
    assert ask(database, "PRAGMA journal_mode") == [("wal",)]


def test_the_name_of_a_template_stays_inside_its_folder(migrations: Path, write: Write, tmp_path: Path) -> None:
    write("one", None, FIRST)
    for name in ("shop.web:create_app", "../../etc/passwd", "..", "", "a\nb"):
        assert schema.template(migrations, tmp_path, name).parent == tmp_path


def test_a_template_without_migrations_is_an_empty_database_in_wal_mode(migrations: Path, tmp_path: Path) -> None:
    template = schema.template(migrations, tmp_path, "bare")
    assert template.read_bytes()[18:20] == b"\x02\x02"
    assert tables(template) == []


def test_a_template_that_cannot_be_made_leaves_nothing_behind(migrations: Path, write: Write, tmp_path: Path) -> None:
    write("one", None, "1 / 0")
    folder = tmp_path / "templates"
    folder.mkdir()
    with pytest.raises(Unavailable, match="ZeroDivisionError"):
        schema.template(migrations, folder, "gazette")
    assert list(folder.iterdir()) == []
    (tmp_path / "in the way").write_text("")
    with pytest.raises(Unavailable, match="cannot be used"):
        schema.template(migrations, tmp_path / "in the way", "gazette")


_MAKER = """
from tenantry import schema
print("ready", flush=True)
sys.stdin.readline()
print(schema.template(Path(sys.argv[1]), Path(sys.argv[2]), "gazette"), flush=True)
"""


def test_two_processes_that_need_a_template_make_one(migrations: Path, write: Write, tmp_path: Path) -> None:
    write("one", None, f'open({str(tmp_path / "made")!r}, "a").write("x")\n{FIRST}')
    folder = tmp_path / "templates"
    folder.mkdir()
    with python(_MAKER, migrations, folder) as one, python(_MAKER, migrations, folder) as two:
        for child in (one, two):
            assert child.stdout is not None
            child.stdout.readline()
        said = {child.communicate("\n", timeout=60)[0] for child in (one, two)}
    (template,) = folder.iterdir()
    assert said == {f"{template}\n"}
    assert (tmp_path / "made").read_text() == "x"
    assert tables(template) == ["alembic_version", "author"]


def test_a_maker_killed_half_way_leaves_the_next_one_a_whole_template(
    migrations: Path, write: Write, tmp_path: Path
) -> None:
    folder, go = tmp_path / "templates", tmp_path / "go"
    folder.mkdir()
    hang = f"import os, sys\nif not os.path.exists({str(go)!r}):\n    print('half', flush=True)\n    sys.stdin.read()\n"
    write("one", None, FIRST + "\n" + hang)
    with python(_MAKER, migrations, folder) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        print(file=child.stdin, flush=True)
        assert [child.stdout.readline() for _ in range(2)] == ["ready\n", "half\n"]
        child.send_signal(signal.SIGKILL)
    assert [file.suffix for file in folder.iterdir()] != [".sqlite3"]
    go.touch()
    template = schema.template(migrations, folder, "gazette")
    assert list(folder.iterdir()) == [template]
    assert schema.current(template) == "one"
