"""Gazette, the site of a small team: they write entries, everybody reads them.

The reference application of the platform, and a plain Flask application without it: from a checkout,
`flask --app tenants.gazette run` serves it and `flask --app tenants.gazette owner-link` lets its owner in.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from flask import Flask
from flask_wtf import CSRFProtect

from tenants.gazette import accounts, entries, pages
from tenants.gazette.models import db

__all__ = ["create_app", "db"]

_FOLDER = Path(__file__).parent
_BLUEPRINTS = (pages.pages, accounts.accounts, entries.entries)
_protection = CSRFProtect()


def create_app(instance_path: str | None = None, config: Mapping[str, object] | None = None) -> Flask:
    """Build one live gazette, without touching a file or the database when `config` brings key and database.

    `instance_path` is absolute, Flask's own choice when missing. `config` lies above config.toml; where it brings no
    SECRET_KEY or no SQLALCHEMY_DATABASE_URI the gazette stands alone and keeps its own below `instance_path`.
    """
    app = Flask(__name__, instance_path=instance_path)
    app.config.from_mapping(defaults())
    app.config.from_mapping(config or {})
    if not (app.config["SECRET_KEY"] and app.config.get("SQLALCHEMY_DATABASE_URI")):
        # Imported here only: it brings Alembic, a third of a second, which no platform's tenant needs.
        from tenants.gazette import alone

        alone.settle(app)
    db.init_app(app)
    accounts.sign_ins.init_app(app, add_context_processor=False)
    for blueprint in _BLUEPRINTS:
        app.register_blueprint(blueprint)
    # Last, so that what it refuses is already shown as a page of this site.
    _protection.init_app(app)
    return app


@cache
def defaults() -> Mapping[str, object]:
    """Read config.toml, once in a process."""
    return tomllib.loads((_FOLDER / "config.toml").read_text("utf-8"))
