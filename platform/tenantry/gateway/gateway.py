"""Which door a request goes through, and what a visitor sees when it cannot."""

import importlib
import itertools
import json
import logging
import re
import secrets
import sys
import threading
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Protocol
from urllib.parse import unquote

from tenantry import address, log
from tenantry.address import Kind
from tenantry.dispatch import DomainDispatcher, Leasing, PathDispatcher, SubdomainDispatcher, remember
from tenantry.errors import Invalid, Refused, Shortage, TenantryError, Unavailable, Unknown
from tenantry.gateway import asking, pages
from tenantry.gateway.asking import Asking
from tenantry.gateway.pages import Page
from tenantry.tenant import Tenant

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_log = logging.getLogger(__name__)

_STATUS = {Invalid: "400 Bad Request", Unknown: "404 Not Found", Refused: "403 Forbidden"}
_UNAVAILABLE = "503 Service Unavailable"
_SHORT = {
    Shortage.RATE: "429 Too Many Requests",
    Shortage.ROOM: "507 Insufficient Storage",
    Shortage.BODY: "413 Content Too Large",
}
_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
# What the platform's own pages take of a body, which none of them reads.
_OWN_BODY = 1 << 16
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
    """What the gateway is given: the base domain, who finds, leases and is known, what is not ready, who keeps house.

    `ask_token` is what opens /-/tls-ask to other machines, empty where nothing does.
    """

    domain: str
    front_url: str
    find: Callable[[Kind, str], Tenant]
    leasing: Leasing
    peek: Callable[[Kind, str], str | None]
    max_body: Callable[[str], int]
    not_ready: Callable[[], Sequence[str]]
    keeper: Keeper
    trust_request_id: bool = False
    ask_token: str = ""


class Gateway:
    """The platform as one WSGI application; lives as long as the process.

    A custom domain or a subdomain leads to its tenant; the bare domain to path tenants below `/t/`, to `/-/healthz`,
    `/-/readyz` and `/-/tls-ask`, and to the front page. Hosts that are an IP address or localhost get the latter only.
    `self_test` is a path known to this process alone, which tells how a request looks behind the proxies.
    """

    def __init__(self, doors: Doors) -> None:
        self._given = doors
        self._ways = _Ways(doors.domain, doors.leasing, self._own)
        self._known: dict[str, WSGIApplication] = {}
        self._keeper = doors.keeper
        self._asking = Asking(doors.find, doors.ask_token)
        self._numbers = itertools.count(1)
        self._prefix = f"{secrets.token_hex(4)}-"
        self._trusts_id = doors.trust_request_id
        self.self_test = f"/-/self-test/{secrets.token_hex(16)}"

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request (WSGI); nothing it raises reaches the server."""
        if not self._keeper.running:
            self._keeper.start()
        request_id = environ["tenantry.request_id"] = self._request_id(environ)
        # Taken off before any application is called, so that none can have it: as long as they are there none was.
        given = environ.get("tenantry.park"), environ.get("tenantry.unread")
        try:
            door = self._known.get(environ.get("HTTP_HOST", ""))
            if door is None or "tenantry.refused" in environ or "tenantry.unread" in environ:
                return self._first(environ, start_response)
            if environ["REQUEST_METHOD"] == "TRACE":
                return _not_allowed("A request is not repeated here.", _METHODS, environ, start_response)
            return door(environ, start_response)
        except TenantryError as error:
            environ["tenantry.request_id"] = request_id  # an application may have written over it
            return _refusal(error, environ, start_response)
        except BaseException as error:
            if _unwinds(error, environ, given):
                raise
            environ["tenantry.request_id"] = request_id
            return _failure(environ, start_response)

    def _first(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Read a host that is not remembered; remember it if it led somewhere."""
        if "tenantry.refused" in environ:
            raise Unavailable(environ["tenantry.refused"], hint="Please try again in a moment.", retry_after=2)
        raw = environ.get("HTTP_HOST", "")
        name = address.host(raw)
        if environ["REQUEST_METHOD"] == "TRACE":
            return _not_allowed("A request is not repeated here.", _METHODS, environ, start_response)
        if "tenantry.unread" in environ:
            return self._undecided(environ).door(name)(environ, start_response)
        door = self._ways.door(name)
        body = door(environ, start_response)
        remember(self._known, raw, door)
        return body

    def _undecided(self, environ: "WSGIEnvironment") -> "_Ways":
        """Make the ways of a request whose body is not read: the same ones, but where somebody is found who takes it.

        Whoever would lend an application has the server read on, and the request comes again with its body.
        """

        def take(tenant: Tenant, _: str) -> NoReturn:
            environ["tenantry.unread"](self._given.max_body(tenant.uid))
            raise RuntimeError("A server that reads on does not come back.")

        return _Ways(self._given.domain, self._given.leasing.lending(take), self._own)

    def _own(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer what needs no tenant: the bare domain's own pages."""
        path = environ.get("PATH_INFO", "")
        if path == self.self_test:
            seen = {"client": environ.get("REMOTE_ADDR"), "scheme": environ.get("wsgi.url_scheme")}
            return _answer("200 OK", _json(seen), environ, start_response)
        answers: dict[str, Callable[[], tuple[str, Page]]] = {
            "": self._front,
            "/": self._front,
            "/-/healthz": _healthz,
            "/-/readyz": self._readyz,
            asking.PATH: lambda: self._asking(environ),
        }
        answer = answers.get(path)
        if answer is None:
            raise Unknown(_NOTHING_HERE)
        if environ.get("REQUEST_METHOD") not in {"GET", "HEAD"}:
            return _not_allowed("This page can only be read.", "GET, HEAD", environ, start_response)
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
        try:
            asked = self._asked(headers.get("HOST", ""), target)
        except (Invalid, Unknown):
            return ""
        return "" if asked is None else self._given.peek(*asked) or asked

    def admit(self, headers: Mapping[str, str], target: str) -> int | None:
        """Tell, from memory alone, how many bytes of body a request may bring; None where nobody is known to be."""
        try:
            asked = self._asked(headers.get("HOST", ""), target)
        except (Invalid, Unknown):
            return None
        if asked is None:
            return _OWN_BODY
        uid = self._given.peek(*asked)
        return None if uid is None else self._given.max_body(uid)

    def _asked(self, raw: str, target: str) -> tuple[Kind, str] | None:
        """Read from host and target at which address a tenant is asked for, None for the platform's own pages.

        Raises Invalid for what is no host, and Unknown for a segment that can be nobody's, whose length is anybody's.
        """
        name = address.host(raw)
        label = address.label(name, self._given.domain)
        if "%" in target:
            target = unquote(target, "latin-1")
        if label == "":
            if not target.startswith(address.PATH_PREFIX):
                return None
            segment = target[len(address.PATH_PREFIX) :].partition("?")[0].partition("/")[0]
            if not address.is_name(segment):
                raise Unknown(_NOTHING_HERE)
            return Kind.PATH, segment
        return (Kind.DOMAIN, name) if label is None else (Kind.SUBDOMAIN, label)


class _Ways:
    """From a host to who answers there: tenants by way of `leasing`, the platform itself by `own`."""

    __slots__ = ("_domain", "_domains", "_own", "_paths", "_subdomains")

    def __init__(self, domain: str, leasing: Leasing, own: "WSGIApplication") -> None:
        self._domain = domain
        self._own = own
        self._subdomains = SubdomainDispatcher(domain, None, lease=leasing.by_subdomain, refuse=_pass_on)
        self._domains = DomainDispatcher(lease=leasing.by_domain, refuse=_pass_on)
        self._paths = PathDispatcher(_nothing_here, None, lease=leasing.by_path, refuse=_pass_on)

    def door(self, name: str) -> "WSGIApplication":
        """Choose by the canonical name of the host."""
        label = address.label(name, self._domain)
        if label == "":
            return self._bare
        if label is not None:
            return self._subdomains
        return self._own if address.is_local(name) else self._domains

    def _bare(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer for the bare domain."""
        path = environ.get("PATH_INFO", "")
        if path.startswith(address.PATH_PREFIX):
            environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + address.PATH_PREFIX[:-1]
            environ["PATH_INFO"] = path[len(address.PATH_PREFIX) - 1 :]
            return self._paths(environ, start_response)
        return self._own(environ, start_response)


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


def _not_allowed(
    says: str, allowed: str, environ: "WSGIEnvironment", start_response: "StartResponse"
) -> Iterable[bytes]:
    body, headers = pages.error_page(405, says, "", environ.get("HTTP_ACCEPT", ""))
    return _answer("405 Method Not Allowed", (body, [*headers, ("Allow", allowed)]), environ, start_response)


def _refusal(error: TenantryError, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Make the page of an error's family."""
    status = _STATUS.get(type(error), _UNAVAILABLE)
    short = error.short if isinstance(error, Unavailable) else None
    if short is not None:
        status = _SHORT[short]
    body, headers = _page_of(error, int(status[:3]), environ)
    # When there will be room, nobody can tell; a body that is too large is so at any time.
    if isinstance(error, Unavailable) and short in {None, Shortage.RATE}:
        headers = [*headers, ("Retry-After", str(error.retry_after))]
    return _answer(status, (body, headers), environ, start_response)


def _page_of(error: TenantryError, code: int, environ: "WSGIEnvironment") -> Page:
    accept = _text(environ, "HTTP_ACCEPT")
    if not isinstance(error, Unavailable) or error.short is not None:
        return pages.error_page(code, error.says, error.hint, accept)
    if error.bypass is not None:  # only what somebody has shut on purpose has a way past it
        return pages.maintenance_page(error.says, error.retry_after, accept, environ.get("REQUEST_METHOD", ""))
    # Its number stands on the page, so that a visitor can tell it: here it leads to what it was about.
    request_id = environ["tenantry.request_id"]
    where = address.shown(_text(environ, "HTTP_HOST"))
    _log.info("not served at %s: %s", where, error, extra=_about(environ))
    return pages.error_page(code, error.says, error.hint, accept, request_id)


def _about(environ: "WSGIEnvironment") -> dict[str, str]:
    return {"request_id": environ["tenantry.request_id"], "client": _text(environ, "REMOTE_ADDR")}


def _text(environ: "WSGIEnvironment", key: str) -> str:
    """Return what stands there; nothing where an application has put what is no text."""
    value = environ.get(key)
    return value if type(value) is str else ""


def _unwinds(error: BaseException, environ: "WSGIEnvironment", given: tuple[Any, Any]) -> bool:
    """Tell whether it is not the application that fails: a server takes its request back, or a person stops it."""
    if isinstance(error, KeyboardInterrupt):
        return threading.current_thread() is threading.main_thread()
    park, unread = given
    called = environ.get("tenantry.park") is not park or environ.get("tenantry.unread") is not unread
    return not (isinstance(error, Exception) or called or park is unread)  # where there is neither, both are None


def _failure(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Make the page of an application's own failure: its traceback goes to the log, never to the visitor."""
    request_id = environ["tenantry.request_id"]
    whose = environ.get("tenantry.mark")
    _log.exception(
        "%s %s failed at %s",
        _text(environ, "REQUEST_METHOD"),
        address.shown(log.path(_text(environ, "PATH_INFO"))),
        address.shown(_text(environ, "HTTP_HOST")),
        extra=_about(environ) | ({"tenant": whose.tenant, "uid": whose.uid} if type(whose) is log.Mark else {}),
    )
    page = pages.error_page(
        500, "Something went wrong on this site.", "It has been noted.", _text(environ, "HTTP_ACCEPT"), request_id
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
