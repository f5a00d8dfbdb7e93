"""A guestbook, the application of the tenants with which things are proved: `tests.proofs.guestbook:create_app`.

It answers 201 when a signature is in the database, and only then.
"""

from collections.abc import Mapping

import click
from flask import Flask, current_app
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The base of this application's models."""


class Signature(Base):
    """What somebody has written."""

    __tablename__ = "signature"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


db = SQLAlchemy(model_class=Base)


def create_app(instance_path: str, config: Mapping[str, object]) -> Flask:
    """Make the guestbook of one tenant."""
    app = Flask(__name__, instance_path=instance_path)
    app.config.from_mapping(config)
    db.init_app(app)
    app.add_url_rule("/", view_func=_whose)
    app.add_url_rule("/sign/<text>", view_func=_sign, methods=["POST"])
    app.cli.command("owner-link")(_owner_link)
    return app


def _whose() -> str:
    return f"the guestbook of {current_app.config['TENANT_NAME']}"


def _sign(text: str) -> tuple[str, int]:
    db.session.add(Signature(text=text))
    db.session.commit()
    return "signed", 201


def _owner_link() -> None:
    click.echo(f"{current_app.config['PUBLIC_URL']}welcome")
