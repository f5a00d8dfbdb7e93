"""Small applications for tests, each a factory as tenants bring them: `tests.applications:<name>`."""

import contextvars
import logging
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask, Response, current_app, session
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The base of this application's models."""


class Note(Base):
    """One note."""

    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


db = SQLAlchemy(model_class=Base)
seen: contextvars.ContextVar[str] = contextvars.ContextVar("seen", default="nothing")


def plain(instance_path: str, config: Mapping[str, Any]) -> Any:
    """Make a bare WSGI callable that tells whose it is."""
    name = str(config["TENANT_NAME"]).encode()

    def application(_: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [name]

    return application


def notes(instance_path: str, config: Mapping[str, Any]) -> Flask:
    """Make a Flask application with a session, a database and a log."""
    app = Flask("tests.applications", instance_path=instance_path)
    app.config.from_mapping(config)
    db.init_app(app)
    app.logger.addHandler(logging.NullHandler())
    app.add_url_rule("/", view_func=_hello)
    app.add_url_rule("/login/<name>", view_func=_login)
    app.add_url_rule("/notes/<text>", view_func=_note)
    app.add_url_rule("/raise", view_func=_raise)
    app.add_url_rule("/config/<key>", view_func=_config)
    app.add_url_rule("/seen/<value>", view_func=_seen)
    app.cli.command("greet")(_greet)
    app.cli.command("fail")(_fail)
    return app


def changes_key(instance_path: str, config: Mapping[str, Any]) -> Flask:
    """Make an application that replaces what keeps tenants apart."""
    app = notes(instance_path, config)
    app.config["SECRET_KEY"] = "mine"
    return app


def opens_elsewhere(instance_path: str, config: Mapping[str, Any]) -> Flask:
    """Make an application whose second database lies outside its placement."""
    elsewhere = Path(instance_path).parent.parent / "elsewhere.db"
    app = Flask("tests.applications", instance_path=instance_path)
    app.config.from_mapping(config)
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {}
    SQLAlchemy(model_class=Base, engine_options={"url": f"sqlite:///{elsewhere}"}).init_app(
        _without_uri(app, str(elsewhere))
    )
    app.config["SQLALCHEMY_DATABASE_URI"] = config["SQLALCHEMY_DATABASE_URI"]
    return app


def _without_uri(app: Flask, path: str) -> Flask:
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{path}"
    return app


def fails(instance_path: str, config: Mapping[str, Any]) -> Flask:
    """Raise unless the tenant's config says MENDED."""
    if not config.get("MENDED"):
        raise RuntimeError("the factory is broken")
    return notes(instance_path, config)


def exits(instance_path: str, config: Mapping[str, Any]) -> Flask:
    """Try to end the whole process."""
    sys.exit(3)


def raises(instance_path: str, config: Mapping[str, Any]) -> Any:
    """Make a bare WSGI callable that always raises."""

    def application(_: Any, __: Any) -> list[bytes]:
        raise RuntimeError("a secret of the application")

    return application


class Stamp:
    """Middleware that leaves a mark on every answer."""

    def __init__(self, application: Any) -> None:
        self._application = application

    def __call__(self, environ: Any, start_response: Any) -> Any:
        def stamped(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            return start_response(status, [*headers, ("X-Stamp", "seen")], *more)

        return self._application(environ, stamped)


def _hello() -> str:
    return f"{current_app.config['TENANT_NAME']} for {session.get('name', 'nobody')}"


def _login(name: str) -> str:
    session["name"] = name
    return "welcome"


def _note(text: str) -> str:
    db.create_all()
    db.session.add(Note(text=text))
    db.session.commit()
    return ",".join(note.text for note in db.session.query(Note))


def _raise() -> str:
    raise RuntimeError("secret of the view")


def _config(key: str) -> Response:
    return Response(repr(current_app.config.get(key)))


def _seen(value: str) -> str:
    before = seen.get()
    seen.set(value)
    return before


def _greet() -> None:
    print("hello from", current_app.config["TENANT_NAME"])


def _fail() -> None:
    sys.exit(7)


class Forgetful:
    """Middleware that takes away what a proxy has said."""

    def __init__(self, application: Any) -> None:
        self._application = application

    def __call__(self, environ: Any, start_response: Any) -> Any:
        for key in ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO"):
            environ.pop(key, None)
        return self._application(environ, start_response)


never = threading.Event()


def hangs(instance_path: str, config: Mapping[str, Any]) -> Flask:
    """Hang until the test lets go."""
    never.wait(60)
    return notes(instance_path, config)
