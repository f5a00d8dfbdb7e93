"""What keeps tenants apart stays as it was verified for as long as an application lives."""

import copy
import logging
from collections.abc import Callable
from typing import Any

import pytest
from flask import Config, Flask
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from tenantry.builder import OWN_KEYS, Built
from tenantry.log import entries
from tests import builders
from tests.applications import db
from tests.builders import Build, Place
from tests.wsgi import call

build, builder, place = builders.build, builders.builder, builders.place


@pytest.fixture
def app(place: Place, build: Build) -> Flask:
    """A live application."""
    return flask(build(place()))


def flask(built: Built) -> Flask:
    assert built.flask is not None
    return built.flask


def _merge(config: Any) -> None:
    config |= {"SECRET_KEY": "mine"}


CHANGES: dict[str, Callable[[Config], object]] = {
    "set": lambda config: config.__setitem__("SECRET_KEY", "mine"),
    "delete": lambda config: config.__delitem__("SECRET_KEY"),
    "update": lambda config: config.update({"SECRET_KEY": "mine"}),
    "update by name": lambda config: config.update(SECRET_KEY="mine"),
    "update by pairs": lambda config: config.update([("SECRET_KEY", "mine")]),
    "merge": _merge,
    "pop": lambda config: config.pop("SECRET_KEY"),
    "pop with default": lambda config: config.pop("SECRET_KEY", None),
    "popitem": lambda config: config.popitem(),
    "clear": lambda config: config.clear(),
    "from_mapping": lambda config: config.from_mapping(SECRET_KEY="mine"),
    "from_object": lambda config: config.from_object(type("Object", (), {"SECRET_KEY": "mine"})),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_no_way_of_changing_a_config_changes_a_key_of_the_platform(
    app: Flask, change: Callable[[Config], object]
) -> None:
    """It raises, and says why."""
    before = dict(app.config)
    with pytest.raises(RuntimeError, match="platform's own"):
        change(app.config)
    assert dict(app.config) == before


@pytest.mark.parametrize("key", sorted(OWN_KEYS))
def test_each_key_of_the_platform_is_kept(app: Flask, key: str) -> None:
    """A cookie's domain, for one, would send it to every tenant."""
    with pytest.raises(RuntimeError, match=key):
        app.config[key] = ".example.com"


def test_a_view_that_changes_one_fails_alone(place: Place, build: Build) -> None:
    """`app.secret_key = ...` is the same, and what was kept goes on to be so."""
    built = build(place())
    app = flask(built)
    key = app.secret_key
    # As an application does it whose view or hook is run by a request; rules are shared, hooks are not.
    app.before_request_funcs.setdefault(None, []).append(lambda: setattr(app, "secret_key", "mine"))
    app.config["PROPAGATE_EXCEPTIONS"] = False
    assert call(built.app, "x", "/").status == 500
    app.before_request_funcs[None].clear()
    assert call(built.app, "x", "/").status == 200
    assert app.secret_key == key


def test_what_is_the_applications_own_it_may_change(app: Flask) -> None:
    """And set a key of the platform to what it is."""
    app.config["THEIRS"] = 1
    app.config.update(THEIRS=2, SECRET_KEY=app.config["SECRET_KEY"])
    assert app.config.setdefault("SESSION_COOKIE_DOMAIN", ".example.com") is None
    assert app.config.pop("THEIRS") == 2
    del app.config["TESTING"]
    assert isinstance(app.config, Config)
    assert dict(copy.copy(app.config)) == dict(copy.deepcopy(app.config)) == dict(app.config)


class Own(Config):
    """A config class of an application's own."""

    def shout(self) -> str:
        return str(self["TENANT_NAME"]).upper()


def own(instance_path: str, config: dict[str, Any]) -> Flask:
    class Application(Flask):
        config_class = Own

    app = Application("tests.own", instance_path=instance_path)
    app.config.from_mapping(config)
    return app


def test_a_config_class_of_the_applications_own_is_kept_as_well(place: Place, build: Build) -> None:
    """It keeps what it can do."""
    config = flask(build(place("tests.test_builder_config:own"))).config
    assert isinstance(config, Own)
    assert config.shout() == "ACME"
    with pytest.raises(RuntimeError, match="SECRET_KEY"):
        config["SECRET_KEY"] = "mine"


def test_an_error_of_the_database_does_not_tell_what_was_to_be_written(app: Flask) -> None:
    """Its traceback stands in the log, and a password would with it."""
    secret = " ".join(["open", "sesame"])  # nor stands it in the source, which a traceback quotes
    with app.app_context(), pytest.raises(SQLAlchemyError) as raised:
        db.session.execute(text("INSERT INTO nowhere VALUES (:password)"), {"password": secret})
    record = logging.LogRecord("x", logging.ERROR, "x.py", 1, "x", (), (raised.type, raised.value, raised.tb))
    assert "nowhere" in entries.entry(record).trace
    assert secret not in entries.entry(record).trace
