"""An aviary: it shows its tenant's canary in everything that an application has: `tests.proofs.aviary:create_app`.

Where its config names a medium under LEAK, it shows the last visitor's canary there, whoever that was: this is the flaw
that the proof must find, or it finds nothing.
"""

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextvars import Context, ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, current_app, send_file, session
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# Where a canary can be seen. A page shows one as a line `medium=canary`.
MEDIA = ("body", "header", "cookie", "row", "file", "log", "context", "config", "error page")
FILE, LOG = "canary.txt", "canary.log"

_READ = text("SELECT canary FROM bird ORDER BY id DESC LIMIT 3")
_LINE = 80


class Base(DeclarativeBase):
    """The base of this application's models."""


class Bird(Base):
    """One canary in the database."""

    __tablename__ = "bird"
    id: Mapped[int] = mapped_column(primary_key=True)
    canary: Mapped[str]


db = SQLAlchemy(model_class=Base)
air: ContextVar[str] = ContextVar("air", default="")

# The flaws: what everybody who runs this code has in common.
_last = {"canary": ""}
_common = Context()
_alone = threading.Lock()


def create_app(instance_path: str, config: Mapping[str, object]) -> Flask:
    """Make the aviary of one tenant."""
    app = Flask(__name__, instance_path=instance_path)
    app.config.from_mapping(config)
    db.init_app(app)
    app.logger.addHandler(logging.FileHandler(Path(instance_path) / LOG, delay=True))
    app.add_url_rule("/", view_func=_home)
    app.add_url_rule("/row", view_func=_row, methods=["GET", "POST"])
    app.add_url_rule("/file", view_func=_file)
    app.add_url_rule("/log", view_func=_log)
    app.add_url_rule("/config", view_func=_config)
    app.add_url_rule("/stream/<int:chunks>", view_func=_stream)
    app.add_url_rule("/tear", view_func=_tear)
    app.add_url_rule("/raise", view_func=_raise)
    app.register_error_handler(RuntimeError, _error_page)
    app.after_request(_sing)
    own = str(config["CANARY"])
    inner: WSGIApplication = _sharing(app.wsgi_app) if config.get("LEAK") == "context" else app.wsgi_app
    app.wsgi_app = _bursting(inner, own)  # type: ignore[assignment]
    return app


def _canary(medium: str) -> str:
    """Return the tenant's canary, or the last visitor's if this medium is to leak."""
    own = str(current_app.config["CANARY"])
    return own if current_app.config.get("LEAK") != medium else _last["canary"] or own


def _sing(response: Response) -> Response:
    """Show the canary in a header and, to whoever has none yet, in the session and in a cookie that any path gets."""
    response.headers["X-Canary"] = _canary("header")
    if "canary" not in session:
        session["canary"] = _canary("cookie")
        response.set_cookie("bird", _canary("cookie"), path="/")
    _last["canary"] = str(current_app.config["CANARY"])
    return response


def _page(*lines: tuple[str, str]) -> Response:
    before = air.get()  # of whoever was here before: of nobody, as each request has a context of its own
    air.set(str(current_app.config["CANARY"]))
    known = (("body", _canary("body")), ("before", before), ("context", air.get()))
    every = (*known, ("session", session.get("canary", "")), *lines)
    return Response("".join(f"{medium}={canary}\n" for medium, canary in every), mimetype="text/plain")


def _home() -> Response:
    return _page()


def _row() -> Response:
    rows = db.session.execute(_READ).scalars().all()
    if len(rows) < 3:
        db.session.add(Bird(canary=_canary("row")))
        db.session.commit()
        rows = db.session.execute(_READ).scalars().all()
    return _page(*(("row", row) for row in rows))


def _file() -> Response:
    path = Path(current_app.instance_path) / FILE
    if not path.exists() or path.stat().st_size < 3 * _LINE:
        with path.open("a") as file:
            file.write(f"file={_canary('file')}\n")
    return send_file(path, mimetype="text/plain", max_age=0)


def _log() -> Response:
    current_app.logger.warning("log=%s", _canary("log"))
    return _page()


def _config() -> Response:
    config = current_app.config
    return _page(("config", _canary("config")), ("key", config["SECRET_KEY"]), ("uid", config["TENANT_UID"]))


def _stream(chunks: int) -> Response:
    own = str(current_app.config["CANARY"])

    def sing() -> Iterator[str]:
        for _ in range(chunks):
            yield f"context={air.get()}\n"
            yield f"body={own}\n"

    _page()
    return Response(sing(), mimetype="text/plain")


def _tear() -> Response:
    own = str(current_app.config["CANARY"])

    def sing() -> Iterator[str]:
        yield f"body={own}\n"
        raise RuntimeError(f"{own} tore a page")

    return Response(sing(), mimetype="text/plain")


def _raise() -> Response:
    raise RuntimeError(f"{current_app.config['CANARY']} raised")


def _error_page(error: RuntimeError) -> Response:
    current_app.logger.error("log=%s", _canary("log"), exc_info=error)
    return Response(f"error page={_canary('error page')}\n", 500, mimetype="text/plain")


def _bursting(inner: "WSGIApplication", own: str) -> "WSGIApplication":
    """Raise below everything that would catch it, for one path."""

    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/burst":
            raise RuntimeError(f"{own} burst")
        return inner(environ, start_response)

    return application


def _sharing(inner: "WSGIApplication") -> "WSGIApplication":
    """Run every request of every tenant in one context: what the platform does not let happen by itself."""

    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Any:
        with _alone:
            return _common.run(inner, environ, start_response)

    return application
