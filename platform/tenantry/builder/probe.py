"""The probe: one visit to a new build before it takes the place of the one that answers."""

import io
import sys
from collections.abc import Callable, Iterable
from contextvars import Context, ContextVar
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from traceback import clear_frames
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import Flask, got_request_exception
from werkzeug.exceptions import HTTPException

from tenantry.errors import Unavailable, reason

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

PATH = "/-/probe"
AGENT = "tenantry-probe"
# How much of an answer is read: an endless one must have its end, and what fails late in a page is still seen.
_SIZE, _CHUNKS = 1 << 20, 1024

# What the application raised and made an answer of itself; set in the Context of a probe alone.
_raised: ContextVar[list[BaseException] | None] = ContextVar("raised", default=None)


@dataclass(frozen=True, slots=True)
class Visit:
    """Where a build is visited: its public address and its mount; `code` is the folder of its application's code."""

    url: str
    mount: str
    code: Path


def listen() -> None:
    """Hear of the exceptions that Flask makes an answer of; once a process, and heeded in a probe alone."""
    got_request_exception.connect(_note)


def ask(app: "WSGIApplication", flask: Flask | None, visit: Visit) -> None:
    """Ask a build for `/-/probe` if it has exactly this path, else for `/`; raise Unavailable unless it answers well.

    Well is below 400 at `/-/probe`, which is there for nothing else, and below 500 at `/`, which may want a sign-in.
    """
    own = flask is not None and _offers(flask, _environ(visit, PATH))
    path, limit = (PATH, 400) if own else ("/", 500)
    raised: list[BaseException] = []
    try:
        try:
            status = Context().run(_answer, app, _environ(visit, path), raised)
        except BaseException as error:
            raise Unavailable(f"The new build failed at {path}: {reason(error, visit.code)}.") from error
        if status >= limit:
            why = f": {reason(raised[-1], visit.code)}" if raised else ""
            raise Unavailable(f"The new build answered {status} at {path}{why}.") from (raised[-1] if raised else None)
    finally:
        _let_go(raised)


def _let_go(raised: list[BaseException]) -> None:
    """Break the cycles: Flask's frames hold what they caught, and with it the application, until a full collection."""
    while raised:
        clear_frames(raised.pop().__traceback__)


def _answer(app: "WSGIApplication", environ: "WSGIEnvironment", raised: list[BaseException]) -> int:
    """Make the request and return its status, the body read and closed."""
    _raised.set(raised)
    statuses: list[str] = []

    def start_response(status: str, _: list[tuple[str, str]], __: Any = None, /) -> Callable[[bytes], object]:
        statuses.append(status)
        return _unread

    body = app(environ, start_response)
    try:
        _read(body)
    finally:
        close = getattr(body, "close", None)
        if close is not None:
            close()
    if not statuses:
        raise RuntimeError("start_response was never called")
    return int(statuses[-1][:3])


def _unread(_: bytes) -> None:
    """Take what is written past the body."""


def _read(body: Iterable[bytes]) -> None:
    size = 0
    for chunk in islice(body, _CHUNKS):
        size += len(chunk)
        if size > _SIZE:
            return


def _offers(flask: Flask, environ: "WSGIEnvironment") -> bool:
    """Tell whether a GET of `/-/probe` has a rule of its own; one that takes any path was not made for it."""
    try:
        rule, _ = flask.url_map.bind_to_environ(environ).match(return_rule=True)
    except HTTPException:
        return False
    return rule.rule == PATH


def _environ(visit: Visit, path: str) -> "WSGIEnvironment":
    """Make the environ of a GET at the tenant's public address."""
    url = urlsplit(visit.url)
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": visit.mount,
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "REQUEST_URI": visit.mount + path,
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_NAME": url.hostname or "localhost",
        "SERVER_PORT": str(url.port or (443 if url.scheme == "https" else 80)),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": url.netloc,
        "HTTP_ACCEPT": "*/*",
        "HTTP_USER_AGENT": AGENT,
        "tenantry.probe": True,
        "tenantry.request_id": "probe",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": url.scheme,
        "wsgi.input": io.BytesIO(),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def _note(_: Flask, exception: BaseException, **__: object) -> None:
    raised = _raised.get()
    if raised is not None:
        raised.append(exception)
