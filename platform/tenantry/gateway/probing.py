"""The probe page: an operator's own request is told how it has arrived, at any host and path, and reaches no tenant."""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from itsdangerous import BadSignature, TimestampSigner

from tenantry import address
from tenantry.__about__ import __version__
from tenantry.errors import Invalid
from tenantry.gateway.forwarding import behind_proxies, forwards

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HEADER = "X-Tenantry-Probe"
# Seconds for which a token is good: who sees one on its way may read this page for so long, and nothing else.
LASTS = 600

_KEY = "HTTP_X_TENANTRY_PROBE"
_WORD = "probe"
# A token takes 40 letters; what is longer is not looked at.
_LONGEST = 100
_PIECES, _APART = ("1\n", "2\n", "3\n"), 0.5
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Probing:
    """What the page knows: the secret that tokens are made of, the declared proxies, and settings it may tell.

    `file` is where nginx finds a file that it is to send itself, empty where it sends none.
    """

    secret: bytes
    hops: int
    settings: Mapping[str, object] = field(default_factory=dict)
    file: str = ""
    pause: Callable[[float], None] = time.sleep


def token(secret: bytes) -> str:
    """Make the value of the header that leads to the page, good for 600 seconds."""
    return _signer(secret).sign(_WORD).decode("ascii")


def probed(application: "WSGIApplication", known: Probing) -> "WSGIApplication":
    """Answer requests that bring a token with the probe page; all others are the application's.

    It stands outside of what believes proxies, to tell what arrived as well as what was made of it.
    """
    signer = _signer(known.secret)

    def door(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if _KEY not in environ or "tenantry.refused" in environ or not _is_good(signer, environ[_KEY]):
            return application(environ, start_response)
        return _answered(known, environ, start_response)

    return door


def _signer(secret: bytes) -> TimestampSigner:
    return TimestampSigner(secret, salt="tenantry.probe")


def _is_good(signer: TimestampSigner, given: str) -> bool:
    try:
        return len(given) <= _LONGEST and signer.unsign(given, max_age=LASTS) == _WORD.encode()
    except (BadSignature, ValueError):  # the latter for letters that no signature has
        return False


def _answered(known: Probing, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Note what arrived, let the proxies be believed, and answer."""
    arrived = {
        "tenantry": __version__,
        "pid": os.getpid(),
        "host": environ.get("HTTP_HOST", ""),
        "target": environ.get("REQUEST_URI", ""),
        "protocol": environ.get("SERVER_PROTOCOL", ""),
        "peer": environ.get("REMOTE_ADDR", ""),
        "forwarding": {_spelled(key): environ[key] for key in sorted(environ) if forwards(key)},
        "request_id": environ.get("HTTP_X_REQUEST_ID", ""),
        "settings": dict(known.settings),
    }
    wanted = parse_qs(environ.get("QUERY_STRING", "")[:_LONGEST]).get("do", [""])[0]
    environ["tenantry.request_id"] = _WORD

    def page(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        believed = {"client": environ.get("REMOTE_ADDR", ""), "scheme": environ["wsgi.url_scheme"]}
        if wanted == "stream":
            return _streamed(known, environ, start_response)
        if wanted == "length":
            return _told({"length": _length(known, environ)}, environ, start_response)
        if wanted == "redirect":
            return _redirected(environ, start_response)
        if wanted == "file" and known.file:
            start_response("200 OK", [("Content-Type", "text/plain"), ("X-Accel-Redirect", known.file)])
            return []
        if wanted:
            return _told({"says": f"There is no {address.shown(wanted)} here."}, environ, start_response, 404)
        return _told(arrived | believed, environ, start_response)

    return behind_proxies(page, known.hops)(environ, start_response)


def _spelled(key: str) -> str:
    """Spell a key of the environ as the header that it was."""
    return key.removeprefix("HTTP_").replace("_", "-").title()


def _told(
    value: Mapping[str, object], environ: "WSGIEnvironment", start_response: "StartResponse", code: int = 200
) -> Iterable[bytes]:
    body = json.dumps(value).encode() + b"\n"
    phrase = {200: "OK", 400: "Bad Request", 404: "Not Found"}[code]
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
    start_response(f"{code} {phrase}", headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def _streamed(known: Probing, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Answer in pieces, of which each is to be on its way before the next is made."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Cache-Control", "no-store")])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else _pieces(known.pause)


def _pieces(pause: Callable[[float], None]) -> Iterator[bytes]:
    for number, piece in enumerate(_PIECES):
        if number:
            pause(_APART)
        yield piece.encode()


def _length(known: Probing, environ: "WSGIEnvironment") -> int:
    """Read the body, as large as the platform takes any, and tell its length."""
    if "tenantry.unread" in environ:
        environ["tenantry.unread"](known.settings["max_body"])  # comes again with the body
    length = 0
    while piece := environ["wsgi.input"].read(_CHUNK):
        length += len(piece)
    return length


def _redirected(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Lead to another path of the same host, with a cookie as applications set theirs."""
    host, scheme = environ.get("HTTP_HOST", ""), environ["wsgi.url_scheme"]
    try:
        address.host(host)
    except Invalid as error:
        return _told({"says": error.says}, environ, start_response, 400)
    cookie = "tenantry_probe=1; Path=/; HttpOnly; SameSite=Lax" + ("; Secure" if scheme == "https" else "")
    headers = [("Location", f"{scheme}://{host}/-/there"), ("Set-Cookie", cookie)]
    start_response("302 Found", [*headers, ("Content-Length", "0"), ("Cache-Control", "no-store")])
    return []
