"""A diary, the application of the many tenants that are visited: `tests.proofs.diary:create_app`; and many at once.

Each visit writes a row into the tenant's own database and tells how many there are.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

from flask import Flask, Response, current_app
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import text
from sqlalchemy.orm import DeclarativeBase

from tenantry.placement import Instance
from tests.benchmarks import population

DOMAIN = "localhost"
NAME = "tests.proofs.diary:create_app"

_TABLE = text("CREATE TABLE IF NOT EXISTS visit (id INTEGER PRIMARY KEY)")
_VISIT = text("INSERT INTO visit DEFAULT VALUES")
_COUNT = text("SELECT count(*) FROM visit")

CHUNK = 1 << 12


class Base(DeclarativeBase):
    """The base of models that there are none of."""


db = SQLAlchemy(model_class=Base)


def create_app(instance_path: str, config: Mapping[str, object]) -> Flask:
    """Make the diary of one tenant."""
    app = Flask(__name__, instance_path=instance_path)
    app.config.from_mapping(config)
    db.init_app(app)
    app.add_url_rule("/", view_func=_visit)
    app.add_url_rule("/stream/<int:chunks>", view_func=_stream)
    return app


def _visit() -> str:
    db.session.execute(_TABLE)
    db.session.execute(_VISIT)
    count = db.session.execute(_COUNT).scalar_one()
    db.session.commit()
    return f"{current_app.config['TENANT_NAME']} {count}"


def _stream(chunks: int) -> Response:
    name = str(current_app.config["TENANT_NAME"])
    return Response(line(name, number) for number in range(chunks))


def line(name: str, number: int) -> bytes:
    """Spell one chunk of a tenant's stream."""
    return f"{name} {number} ".encode().ljust(CHUNK, b".")


def fill(folder: Path, count: int) -> list[str]:
    """Make an instance of so many diaries below a folder, and return their names; as rows and folders, at one go."""
    instance = Instance(folder / "instance")
    instance.prepare()
    population.fill(instance.registry, count)
    with closing(sqlite3.connect(instance.registry)) as book, book:
        book.execute("UPDATE tenants SET application = ?, status = 'active', reason = ''", (NAME,))
        found = book.execute("SELECT name, uid FROM tenants ORDER BY revision").fetchall()
    for _, uid in found:
        placement = instance.placement(uid)
        placement.files.mkdir(parents=True)
        placement.key.write_bytes(os.urandom(32))
    return [str(name) for name, _ in found]


def host(name: str) -> str:
    """Spell the host of a tenant."""
    return f"{name}.{DOMAIN}"


def expected(name: str, chunks: int) -> Iterator[bytes]:
    """Spell the whole stream of a tenant, chunk by chunk."""
    return (line(name, number) for number in range(chunks))
