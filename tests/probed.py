"""Applications that answer as their tenant's config says, and remember who asked: `tests.probed:<name>`."""

import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, current_app, request, session, url_for
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import text
from sqlalchemy.orm import DeclarativeBase

from tests.applications import seen

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class Base(DeclarativeBase):
    """The base of this application's models."""


db = SQLAlchemy(model_class=Base)


class Broken(Exception):
    """What the start page raises if it is told to."""

    def __init__(self) -> None:
        super().__init__("a price of nothing")
        broken.append(weakref.ref(self))


# The environ of each request, and what was closed, by the name of the tenant.
asked: dict[str, list[dict[str, Any]]] = {}
closed: list[str] = []
# Set when the probes that hang shall go on.
go_on = threading.Event()
broken: list[weakref.ref[Broken]] = []


def site(instance_path: str, config: Mapping[str, Any]) -> Flask:
    """Make an application that answers START at `/`, and PROBE at `/-/probe` if there is one."""
    app = Flask("tests.probed", instance_path=instance_path)
    app.config.from_mapping(config)
    db.init_app(app)
    app.before_request(_remember)
    app.add_url_rule("/", view_func=_start)
    app.add_url_rule("/stream", view_func=_stream)
    app.add_url_rule("/<path:page>", view_func=_page)
    if "PROBE" in config:
        app.add_url_rule("/-/probe", view_func=_probe)
    if "POSTED" in config:
        app.add_url_rule("/-/probe", view_func=_probe, methods=["POST"])
    return app


def bare(instance_path: str, config: Mapping[str, Any]) -> Any:
    """Make a WSGI callable that is no Flask object and answers in the WAY its tenant's config says."""
    name, way = str(config["TENANT_NAME"]), str(config["WAY"])

    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        asked.setdefault(name, []).append(environ)
        if way == "raises":
            raise SystemExit(3)
        if way == "silent":
            return [b""]
        status = "500 Internal Server Error" if way == "corrects itself" else "200 OK"
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        if status != "200 OK":
            write(b"first")
            start_response(status, [("Content-Type", "text/plain")], (None, None, None))
        return Pieces(name, way)

    return application


class Pieces:
    """A body that tells when it is closed, and may be endless or broken."""

    def __init__(self, name: str, way: str) -> None:
        self.name = name
        self.way = way
        self.read = 0

    def __iter__(self) -> Iterator[bytes]:
        while self.way in {"endless", "trickles"} or self.read < 2:
            if self.way == "breaks" and self.read:
                raise ValueError("broken in the middle")
            self.read += 1
            yield b"" if self.way == "trickles" else b"x" * 5000

    def close(self) -> None:
        closed.append(self.name)


def _remember() -> None:
    asked.setdefault(current_app.config["TENANT_NAME"], []).append(dict(request.environ))


def _start() -> Response:
    code = current_app.config.get("START", 200)
    session["visited"] = True
    seen.set("a visitor")
    db.session.execute(text("SELECT 1"))
    if code == "hang" and "tenantry.probe" in request.environ:
        go_on.wait(60)
    elif isinstance(code, str):
        raise Broken
    link = url_for("_start", _external=True)
    return Response(f"{current_app.config.get('COLOUR')} at {link}", code if isinstance(code, int) else 200)


def _stream() -> Response:
    colour = current_app.config.get("COLOUR")
    return Response(f"{colour} {number}\n" for number in range(3))


def _probe() -> Response:
    return Response("well", int(current_app.config["PROBE"]))


def _page(page: str) -> Response:
    return Response(f"there is no {page}", 404)
