"""Which door a request goes through, and what a visitor sees when it cannot."""

import importlib
import itertools
import json
import logging
import re
import secrets
import sys
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote

from werkzeug.middleware.proxy_fix import ProxyFix

from tenantry import address
from tenantry.address import Kind
from tenantry.dispatch import DomainDispatcher, Leasing, PathDispatcher, SubdomainDispatcher, remember
from tenantry.errors import Invalid, Refused, TenantryError, Unavailable, Unknown
from tenantry.gateway import pages
from tenantry.gateway.pages import Page

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_log = logging.getLogger(__name__)

_STATUS = {Invalid: "400 Bad Request", Unknown: "404 Not Found", Refused: "403 Forbidden"}
_UNAVAILABLE = "503 Service Unavailable"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
# The same bytes for a name that never was, one that is retired and one that is removed.
_NOTHING_HERE = "There is no site at this address."


class Keeper(Protocol):
    """Who keeps house in this process."""

    running: bool

    def start(self) -> None:
        """Begin, if nobody has yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """What the gateway is given: the base domain, who leases, who is known, what is not ready, who keeps house."""

    domain: str
    front_url: str
    leasing: Leasing
    peek: Callable[[Kind, str], str | None]
    not_ready: Callable[[], Sequence[str]]
    keeper: Keeper
    trust_request_id: bool = False


class Gateway:
    """The platform as one WSGI application; lives as long as the process.

    A custom domain or a subdomain leads to its tenant; the bare domain to path tenants below `/t/`, to `/-/healthz`
    and `/-/readyz`, and to the front page. Hosts that are an IP address or localhost get the latter only.
    `self_test` is a path known to this process alone, which tells how a request looks behind the proxies.
    """

    def __init__(self, doors: Doors) -> None:
        self._given = doors
        leasing = doors.leasing
        self._subdomains = SubdomainDispatcher(doors.domain, None, lease=leasing.by_subdomain, refuse=_pass_on)
        self._domains = DomainDispatcher(lease=leasing.by_domain, refuse=_pass_on)
        self._paths = PathDispatcher(_nothing_here, None, lease=leasing.by_path, refuse=_pass_on)
        self._known: dict[str, WSGIApplication] = {}
        self._keeper = doors.keeper
        self._numbers = itertools.count(1)
        self._prefix = f"{secrets.token_hex(4)}-"
        self._trusts_id = doors.trust_request_id
        self.self_test = f"/-/self-test/{secrets.token_hex(16)}"

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request (WSGI); nothing it raises reaches the server."""
        if not self._keeper.running:
            self._keeper.start()
        environ["tenantry.request_id"] = self._request_id(environ)
        try:
            door = self._known.get(environ.get("HTTP_HOST", ""))
            if door is None or "tenantry.refused" in environ:
                return self._first(environ, start_response)
            return door(environ, start_response)
        except TenantryError as error:
            return _refusal(error, environ, start_response)
        except (Exception, SystemExit):  # noqa: BLE001 - logged there, with its traceback
            return _failure(environ, start_response)

    def _first(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Read a host that is not remembered; remember it if it led somewhere."""
        if "tenantry.refused" in environ:
            raise Unavailable(environ["tenantry.refused"], hint="Please try again in a moment.", retry_after=2)
        raw = environ.get("HTTP_HOST", "")
        door = self._door(address.host(raw))
        body = door(environ, start_response)
        remember(self._known, raw, door)
        return body

    def _door(self, name: str) -> "WSGIApplication":
        label = address.label(name, self._given.domain)
        if label == "":
            return self._bare
        if label is not None:
            return self._subdomains
        return self._local if address.is_local(name) else self._domains

    def _bare(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer for the bare domain."""
        path = environ.get("PATH_INFO", "")
        if path.startswith(address.PATH_PREFIX):
            environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + address.PATH_PREFIX[:-1]
            environ["PATH_INFO"] = path[len(address.PATH_PREFIX) - 1 :]
            return self._paths(environ, start_response)
        return self._local(environ, start_response)

    def _local(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer what needs no tenant."""
        path = environ.get("PATH_INFO", "")
        if path == self.self_test:
            seen = {"client": environ.get("REMOTE_ADDR"), "scheme": environ.get("wsgi.url_scheme")}
            return _answer("200 OK", _json(seen), environ, start_response)
        answers: dict[str, Callable[[], tuple[str, Page]]] = {
            "": self._front,
            "/": self._front,
            "/-/healthz": _healthz,
            "/-/readyz": self._readyz,
        }
        answer = answers.get(path)
        if answer is None:
            raise Unknown(_NOTHING_HERE)
        if environ.get("REQUEST_METHOD") not in {"GET", "HEAD"}:
            body, headers = pages.error_page(405, "This page can only be read.", "", environ.get("HTTP_ACCEPT", ""))
            return _answer(
                "405 Method Not Allowed", (body, [*headers, ("Allow", "GET, HEAD")]), environ, start_response
            )
        status, page = answer()
        return _answer(status, page, environ, start_response)

    def _front(self) -> tuple[str, Page]:
        return "200 OK", pages.front_page(self._given.front_url)

    def _readyz(self) -> tuple[str, Page]:
        problems = list(self._given.not_ready())
        return (_UNAVAILABLE if problems else "200 OK"), _json({"ready": not problems, "problems": problems})

    def _request_id(self, environ: "WSGIEnvironment") -> str:
        """Take the proxy's request id, if it is one, or make one."""
        if self._trusts_id and "HTTP_X_REQUEST_ID" in environ:
            given: str = environ["HTTP_X_REQUEST_ID"]
            if _REQUEST_ID.fullmatch(given):
                return given
        return self._prefix + str(next(self._numbers))

    def lane(self, headers: Mapping[str, str], target: str) -> Hashable:
        """Tell, from memory alone, in whose lane a request belongs: a uid where it is known, else what it asks for."""
        raw = headers.get("HOST", "")
        try:
            name = address.host(raw)
        except Invalid:
            return ""
        label = address.label(name, self._given.domain)
        if "%" in target:
            target = unquote(target, "latin-1")
        if label == "":
            if not target.startswith(address.PATH_PREFIX):
                return ""
            kind, value = Kind.PATH, target[len(address.PATH_PREFIX) :].partition("?")[0].partition("/")[0]
        elif label is not None:
            kind, value = Kind.SUBDOMAIN, label
        else:
            kind, value = Kind.DOMAIN, name
        return self._given.peek(kind, value) or (kind, value)


def behind_proxies(application: "WSGIApplication", hops: int) -> "WSGIApplication":
    """Believe exactly `hops` proxies about client and scheme; the host is what nginx passes, a prefix never."""
    if not hops:
        return application
    return ProxyFix(application, x_for=hops, x_proto=hops, x_host=0, x_port=0, x_prefix=0)


def within_middleware(application: "WSGIApplication", names: Sequence[str]) -> "WSGIApplication":
    """Wrap an application in middleware named `module:callable`, the first outermost; raise Invalid for a bad name."""
    for name in reversed(names):
        module, _, attribute = name.partition(":")
        try:
            application = getattr(importlib.import_module(module), attribute)(application)
        except Exception as error:
            raise Invalid(
                f"The middleware {name} cannot be used: {type(error).__name__}: {error}.",
                hint="TENANTRY_MIDDLEWARE takes module:callable.",
            ) from error
    return application


def _answer(status: str, page: Page, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    body, headers = page
    start_response(status, headers)
    return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]


def _refusal(error: TenantryError, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Make the page of an error's family."""
    status = _STATUS.get(type(error), _UNAVAILABLE)
    body, headers = _page_of(error, int(status[:3]), environ)
    if isinstance(error, Unavailable):
        headers = [*headers, ("Retry-After", str(error.retry_after))]
    return _answer(status, (body, headers), environ, start_response)


def _page_of(error: TenantryError, code: int, environ: "WSGIEnvironment") -> Page:
    accept = environ.get("HTTP_ACCEPT", "")
    if not isinstance(error, Unavailable):
        return pages.error_page(code, error.says, error.hint, accept)
    if error.bypass is not None:  # only what somebody has shut on purpose has a way past it
        return pages.maintenance_page(error.says, error.retry_after, accept, environ.get("REQUEST_METHOD", ""))
    # Its number stands on the page, so that a visitor can tell it: here it leads to what it was about.
    request_id = environ["tenantry.request_id"]
    where = address.shown(environ.get("HTTP_HOST", ""))
    _log.info("not served at %s: %s", where, error, extra={"request_id": request_id})
    return pages.error_page(code, error.says, error.hint, accept, request_id)


def _failure(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Make the page of an application's own failure: its traceback goes to the log, never to the visitor."""
    request_id = environ["tenantry.request_id"]
    _log.exception(
        "%s %s failed at %s",
        environ.get("REQUEST_METHOD"),
        address.shown(environ.get("PATH_INFO", "")),
        address.shown(environ.get("HTTP_HOST", "")),
        extra={"request_id": request_id},
    )
    page = pages.error_page(
        500, "Something went wrong on this site.", "It has been noted.", environ.get("HTTP_ACCEPT", ""), request_id
    )
    body, headers = page
    start_response("500 Internal Server Error", headers, sys.exc_info())
    return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]


def _healthz() -> tuple[str, Page]:
    return "200 OK", _json({"alive": True})


def _json(value: Any) -> Page:
    body = json.dumps(value).encode() + b"\n"
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
    return body, headers


def _pass_on(error: TenantryError) -> "WSGIApplication":
    try:
        raise error
    finally:
        del error  # else error and frame keep each other, and a crowd of strangers fills memory until a collection


def _nothing_here(_: "WSGIEnvironment", __: "StartResponse") -> Iterable[bytes]:
    raise Unknown(_NOTHING_HERE)
