"""The owner's way past a notice of maintenance: a link with a secret, which becomes a cookie at that address alone."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from werkzeug.http import dump_cookie

from tenantry.dispatch.redirects import start, to_slash
from tenantry.pool import Decline, Lease
from tenantry.tenant import Tenant

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LINK = "/-/maintenance/"
_WELCOME = b"You may look at this site while it is in maintenance.\n"

# What a path and a cookie carry alike.
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,200}", re.ASCII)
# How a response tells caches what to keep; some of these overrule Cache-Control.
_CACHING = frozenset({"cache-control", "expires", "pragma", "surrogate-control", "x-accel-expires"})


@dataclass(frozen=True, slots=True)
class Bypass:
    """The way past the notice of one tenant at one of its addresses; lives as long as the request.

    `url` is that address, `moved` the redirect that answers there, if any, and `lease` what an active tenant would get.
    """

    tenant: Tenant
    mount: str
    url: str
    moved: "WSGIApplication | None"
    lease: Callable[[], Lease]

    def __call__(self, secret: str) -> Lease:
        """Lease as if the tenant were active, or raise Unavailable with its notice."""
        if not self._opens(secret):
            self.tenant.admit()
        if self.moved is not None:
            raise Decline(self.moved)
        lease = self.lease()
        lease.app = partial(_discreetly, lease.app, self._cookie)
        return lease

    def through(self, environ: "WSGIEnvironment") -> Callable[[], Lease] | None:
        """Return what leases for a request that shows the secret, None for any other; the link itself is declined.

        A mount without its slash is sent there first, as ever: its cookie is not shown outside.
        """
        path = self._within(environ)
        if self.mount and not path and self.moved is None:
            raise Decline(to_slash(self.mount, environ.get("QUERY_STRING", "")))
        # Not for HEAD, by which programs look at links that people send each other.
        if path.startswith(LINK) and environ.get("REQUEST_METHOD") == "GET":
            secret = path.removeprefix(LINK)
            if self._opens(secret):
                raise Decline(self.moved or self._welcome(secret))
        for secret in _values(environ, self._cookie):
            if self._opens(secret):
                return partial(self, secret)
        return None

    def _opens(self, secret: str) -> bool:
        notice = self.tenant.notice
        return notice is not None and _SECRET.fullmatch(secret) is not None and notice.opens(secret)

    def _within(self, environ: "WSGIEnvironment") -> str:
        """Return the path inside the mount."""
        path: str = environ.get("PATH_INFO", "")
        return (environ.get("SCRIPT_NAME", "") + path)[len(self.mount) :] if self.mount else path

    @property
    def _secure(self) -> bool:
        return self.url.startswith("https:")

    @property
    def _cookie(self) -> str:
        prefix = "__Host-" if self._secure and not self.mount else ""
        return f"{prefix}maintenance_{self.tenant.uid}"

    def _welcome(self, secret: str) -> "WSGIApplication":
        """Give the cookie, which ends with the browser's session, and lead to the tenant's start."""
        first = start(self.mount)
        cookie = dump_cookie(self._cookie, secret, path=first, secure=self._secure, httponly=True, samesite="Lax")
        headers = [
            ("Location", first),
            ("Set-Cookie", cookie),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(_WELCOME))),
            ("Cache-Control", "no-store"),
            ("Referrer-Policy", "no-referrer"),  # the secret is in the address
        ]

        def answer(_: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
            start_response("303 See Other", headers)
            return [_WELCOME]

        return answer


def _discreetly(
    app: "WSGIApplication", cookie: str, environ: "WSGIEnvironment", start_response: "StartResponse"
) -> Iterable[bytes]:
    """Call an application without showing it the cookie, and let nobody keep what it answers.

    Not even the owner's browser: a stylesheet that was looked at half done, and may be kept for a year by what the
    application says, would still be there once the site is back; and from a shared cache everybody would see it.
    """
    _forget(environ, cookie)

    def started(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
        kept = [(name, value) for name, value in headers if not _is_caching(name.lower())]
        return start_response(status, [*kept, ("Cache-Control", "no-store")], *more)

    return app(environ, started)


def _is_caching(name: str) -> bool:
    return name in _CACHING or name.endswith("-cache-control")


def _values(environ: "WSGIEnvironment", cookie: str) -> list[str]:
    """List what a request shows for a cookie; several where a neighbour's address has set one of that name."""
    pairs = (pair.partition("=") for pair in environ.get("HTTP_COOKIE", "").split(";"))
    return [value.strip() for name, _, value in pairs if name.strip() == cookie]


def _forget(environ: "WSGIEnvironment", cookie: str) -> None:
    """Take one cookie out of a request and leave the others as they are."""
    pairs: list[str] = environ.get("HTTP_COOKIE", "").split(";")
    kept = ";".join(pair for pair in pairs if pair.partition("=")[0].strip() != cookie).strip()
    if kept:
        environ["HTTP_COOKIE"] = kept
    else:
        environ.pop("HTTP_COOKIE", None)
