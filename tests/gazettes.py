"""Gazettes for tests: live applications on databases of their own, and people with browsers."""

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import URL
from werkzeug.security import generate_password_hash

import tenants.gazette
from tenants.gazette import alone
from tenants.gazette.models import Account, Base, Entry, db, name_key

PASSWORD = "correct horse battery"
# The cheapest hash that werkzeug checks: a hash names its own method, so only making one need be cheap.
CHEAP = generate_password_hash(PASSWORD, method="pbkdf2:sha256:1")

Sites = Callable[..., Flask]


@dataclass(frozen=True)
class Answer:
    """What came back: read whole, its response closed."""

    status: int
    text: str
    location: str
    headers: dict[str, str]
    cookies: tuple[str, ...]


class Browser:
    """A person with a browser: follows nothing by itself, sends forms with the token that their page carried."""

    def __init__(self, app: Flask, mount: str = "", scheme: str = "http", host: str = "acme.localhost") -> None:
        self.client: FlaskClient = app.test_client()
        self.mount = mount
        self.base = f"{scheme}://{host}{mount}/"

    def get(self, path: str, **headers: str) -> Answer:
        return self._ask("GET", path, None, headers)

    def post(self, path: str, **fields: str) -> Answer:
        return self._ask("POST", path, fields, {})

    def send(self, path: str, page: str = "", **fields: str) -> Answer:
        """Open the form at `page` (else at `path`), fill it in and send it to `path`."""
        token = re.search(r'name="csrf_token" value="([^"]+)"', self.get(page or path).text)
        assert token, f"no form at {page or path}"
        return self.post(path, csrf_token=token[1], **fields)

    def sign_in(self, name: str, **fields: str) -> Answer:
        return self.send("/sign-in", name=name, password=PASSWORD, **fields)

    def _ask(self, method: str, path: str, fields: dict[str, str] | None, headers: dict[str, str]) -> Answer:
        headers = {"Referer": self.base, **headers}
        asked = self.client.open(path, method=method, base_url=self.base, data=fields, headers=headers)
        with asked as response:
            return Answer(
                response.status_code,
                response.get_data(as_text=True),
                response.headers.get("Location", ""),
                dict(response.headers),
                tuple(response.headers.getlist("Set-Cookie")),
            )


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One migrated, empty database, of which every site gets a copy."""
    file = tmp_path_factory.mktemp("template") / "template.sqlite3"
    alone.upgrade(URL.create("sqlite", database=str(file)))
    return file


@pytest.fixture
def sites(tmp_path: Path, empty_database: Path) -> Iterator[Sites]:
    """Build live applications as the platform does: key and migrated database given."""
    made: list[Flask] = []

    def make(name: str = "acme", **config: object) -> Flask:
        database = tmp_path / f"{name}.sqlite3"
        shutil.copyfile(empty_database, database)
        url = URL.create("sqlite", database=str(database)).render_as_string()
        given = {"SECRET_KEY": f"key of {name}", "SQLALCHEMY_DATABASE_URI": url, "TENANT_NAME": name, **config}
        made.append(tenants.gazette.create_app(str(tmp_path / f"files of {name}"), given))
        return made[-1]

    yield make
    for app in made:
        dispose(app)


def dispose(app: Flask) -> None:
    """Close the database of a live application."""
    with app.app_context():
        for engine in db.engines.values():
            engine.dispose()


def person(app: Flask, name: str, *, owner: bool = False) -> int:
    """Add an account with the password that `Browser.sign_in` knows."""
    with app.app_context():
        account = Account(name=name, name_key=name_key(name), password_hash=CHEAP, is_owner=owner)
        db.session.add(account)
        db.session.commit()
        return account.id


def entry(app: Flask, author: int, title: str = "A title", body: str = "A text.") -> int:
    """Add an entry and give its number."""
    with app.app_context():
        written = Entry(title=title, body=body, author_id=author)
        db.session.add(written)
        db.session.commit()
        return written.id


def count(app: Flask, model: type[Base]) -> int:
    """Count what a site keeps of one kind."""
    with app.app_context():
        return db.session.query(model).count()


def owner_link(app: Flask) -> str:
    """Run the command that prints the owner link."""
    answer = app.test_cli_runner().invoke(args=["owner-link"])
    assert answer.exit_code == 0, answer.output
    return answer.output.strip()
