"""Answers that send a visitor elsewhere at the same tenant, and never to anybody else's host."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from werkzeug.utils import redirect

from tenantry.dispatch.target import beyond

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# A 308 without a word on its age is kept by browsers for ever: of a name that is given back, or to somebody else after
# its retirement, and of a primary domain that is changed there and back, each would lead to the other without end.
_KEPT = "no-store"


@dataclass(frozen=True, slots=True)
class Moved:
    """Redirect to the same page below `home`, a URL ending in a slash: path and query as they came, method kept.

    `name` is the path segment by which the tenant was found, empty where it was a host.
    """

    home: str
    name: str = ""

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request (WSGI)."""
        # What follows cannot name another host, whatever it looks like: scheme, host and a slash stand before it.
        location = self.home + beyond(environ, self.name)
        body = f"This site has moved to {self.home}\n".encode()
        headers = [
            ("Location", location),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", _KEPT),
            ("X-Content-Type-Options", "nosniff"),
        ]
        start_response("308 Permanent Redirect", headers)
        return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]


def to_slash(mount: str, query: str) -> "WSGIApplication":
    """Redirect to where the mounted application begins, query kept, method kept, never to another host."""
    response: WSGIApplication = redirect(start(mount) + (f"?{query}" if query else ""), code=308)
    return response


def start(mount: str) -> str:
    """Spell the path at which the application mounted there begins; never one that a browser takes for a host."""
    return f"/{quote(mount.lstrip('/'), encoding='latin-1')}/" if mount else "/"
