"""A working folder with an application of its own, and what of its instance folder can be seen."""

import shutil
import sqlite3
import stat
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tenantry import schema
from tenantry.assembly.desk import open_operations
from tenantry.operations import Maintenance, Operations, Selection
from tenantry.placement import Instance, Placement
from tenantry.registry import Registry
from tenantry.tenant import Status

NOTES = "tests.applications:notes"
SOON = Maintenance("Back at noon.", 60)
MIGRATION = """
from alembic import op
import sqlalchemy as sa

revision, down_revision = {revision!r}, {before!r}


def upgrade():
    {body}
"""
TABLE = "op.create_table({name!r}, sa.Column('id', sa.Integer, primary_key=True))"
SHOP = """
import click
from flask import Flask


def create_app(instance_path, config):
    app = Flask(__name__, instance_path=instance_path)
    app.config.from_mapping(config)

    @app.cli.command("owner-link")
    def owner_link():
        if app.config.get("LINK") == "broken":
            raise RuntimeError("no mail\\tserver")
        click.echo(app.config["PUBLIC_URL"] + "welcome")

    return app
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an application that has migrations, and with its template, which takes a moment to make."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "apps" / "shop" / "migrations" / "versions").mkdir(parents=True)
    (folder / "apps" / "shop" / "__init__.py").write_text(SHOP)
    add_migration(folder, "0001", None, TABLE.format(name="goods"))
    instance = Instance(folder / "instance")
    instance.prepare()
    schema.template(folder / "apps" / "shop" / "migrations", instance.templates, "shop:create_app")
    return folder


@pytest.fixture
def root(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with one application of its own, `shop:create_app`."""
    shutil.copytree(shop, tmp_path, dirs_exist_ok=True)
    monkeypatch.syspath_prepend(tmp_path / "apps")
    monkeypatch.delitem(sys.modules, "shop", raising=False)
    return tmp_path


def add_migration(root: Path, revision: str, before: str | None, body: str) -> None:
    versions = root / "apps" / "shop" / "migrations" / "versions"
    (versions / f"{revision}.py").write_text(MIGRATION.format(revision=revision, before=before, body=body))


@contextmanager
def opened(root: Path) -> Iterator[Operations]:
    with open_operations(root, {"application": "shop:create_app"}) as operations:
        yield operations


@contextmanager
def rehearsing(root: Path) -> Iterator[Operations]:
    """Open the desk for a dry run."""
    with open_operations(root, {"application": "shop:create_app"}, dry_run=True) as operations:
        yield operations


@pytest.fixture
def operations(root: Path) -> Iterator[Operations]:
    with opened(root) as operations:
        yield operations


@contextmanager
def registry(root: Path) -> Iterator[Registry]:
    with Registry.open(root / "instance" / "registry.sqlite3") as found:
        yield found


def everything(root: Path) -> dict[str, object]:
    """Tell all that an instance folder holds: files with content, mode and time, and what stands in the registry.

    What SQLite keeps beside its files comes and goes with those who read.
    """
    folder = root / "instance"
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        if not path.name.startswith("registry.sqlite3") and not path.name.endswith(("-wal", "-shm")):
            facts = path.lstat()
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            found[str(path.relative_to(folder))] = (facts.st_mode, facts.st_mtime_ns, content)
    with closing(sqlite3.connect(folder / "registry.sqlite3")) as raw:
        found["registry"] = list(raw.iterdump())
    return found


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def verbs(operations: Operations, name: str | None = None) -> list[str]:
    return [entry.verb for entry in reversed(operations.journal(name))]


def nothing_but(root: Path, *, tenants: int = 0, trash: int = 0) -> None:
    """See that the instance folder holds so many placements, all whole, and no leftover."""
    instance = Instance(root / "instance")
    placed, kept = list(instance.tenants.iterdir()), list(instance.trash.iterdir())
    assert [path.name for path in instance.staging.iterdir()] == []
    assert (len(placed), len(kept)) == (tenants, trash)
    for folder in (*placed, *kept):
        placement = Placement(folder)
        assert placement.key.stat().st_size == 32
        assert {path.name for path in folder.iterdir()} >= {"config.toml", ".env", "files", "lock", "key"}


def statuses(operations: Operations) -> dict[str, Status]:
    return {listed.tenant.name: listed.tenant.status for listed in operations.list(Selection(removed=True)).tenants}
