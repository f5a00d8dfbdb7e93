"""The dispatchers: each finds a name in a request by one rule and serves it from a lease."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from werkzeug.exceptions import BadRequest, Forbidden, HTTPException, NotFound, ServiceUnavailable

from tenantry import address
from tenantry.dispatch.body import serve
from tenantry.dispatch.leasing import Alone, Lend
from tenantry.dispatch.maintenance import Bypass
from tenantry.dispatch.redirects import to_slash
from tenantry.dispatch.target import agreed, stays
from tenantry.errors import Invalid, Refused, TenantryError, Unavailable, Unknown
from tenantry.pool import Build, Decline, Lease, Pool

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# Spellings remembered at most: a Host has endless ones (case, port), of which honest clients use a few.
_REMEMBERED = 16384
# And of the ways to one mount, of which there are as many as there are of encoding what stands before the name.
_WAYS = 4

_PARK = "tenantry.park"

Refuse = Callable[[TenantryError], "WSGIApplication"]


class _Dispatcher:
    """What the dispatchers share: a lease from somewhere, an answer where there is none."""

    def __init__(self, create_app: Callable[[str], Any] | None, lease: Lend | None, refuse: Refuse | None) -> None:
        self._alone: Alone | None = None
        if lease is None:
            if create_app is None:
                raise TypeError("a dispatcher needs create_app or lease")
            lease = self._alone = Alone(create_app)
        self._lease = lease
        self._refuse: Refuse = refuse or as_http_exception

    @property
    def pool(self) -> Pool:
        """The pool of a dispatcher that was given no lease; AttributeError where it was."""
        if self._alone is None:
            raise AttributeError("this dispatcher leases from elsewhere")
        return self._alone.pool

    def _otherwise(self, environ: "WSGIEnvironment", name: str, mount: str, error: Unavailable) -> Lease:
        """Lease in spite of an error: past a notice of maintenance, after the build that stands between, or both."""
        try:
            way: Callable[[], Lease] = partial(self._lease, name, mount)
            if isinstance(error.bypass, Bypass):
                past = error.bypass.through(environ)
                if past is None:
                    raise error
                try:
                    return past()
                except Unavailable as starting:
                    way, error = past, starting
            build = error.awaits
            if not isinstance(build, Build):
                raise error
            self._attend(environ, build)
            return way()
        finally:
            del error  # else error and frame keep each other, and a crowd fills memory until a collection

    def _attend(self, environ: "WSGIEnvironment", build: Build) -> None:
        """Wait for a build to end, outside this thread if the server can."""
        park = environ.get(_PARK)
        if park is not None and self._alone is None:
            park(build)  # does not return: the request comes back once the build has ended
        build.attend()

    def _declined(self, declined: Decline) -> "WSGIApplication":
        """Choose what answers where there shall be no application: what says so brings, or what is there for nobody."""
        answer: WSGIApplication = declined.answer or self._refuse(_nobody())
        return answer


class SubdomainDispatcher(_Dispatcher):
    """Serve `acme.<domain>` from the application of acme, built at its first request by `create_app("acme")`.

    In place of the class of this name in Flask's manual. The bare domain asks for `create_app("")`. A returned
    HTTPException is served and not kept. `lease(name, mount)` replaces the pool of its own, `refuse(error)` the
    werkzeug HTTPExceptions that answer what no tenant can.
    """

    def __init__(
        self,
        domain: str,
        create_app: Callable[[str], Any] | None,
        *,
        lease: Lend | None = None,
        refuse: Refuse | None = None,
    ) -> None:
        super().__init__(create_app, lease, refuse)
        self.domain = address.host(domain)
        self._names: dict[str, str] = {}

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request (WSGI)."""
        raw = environ.get("HTTP_HOST", "")
        known = self._names.get(raw)
        try:
            name = self._name(raw) if known is None else known  # "" is the bare domain
            try:
                lease = self._lease(name, "")
            except Unavailable as error:
                lease = self._otherwise(environ, name, "", error)
        except TenantryError as error:
            return self._refuse(error)(environ, start_response)
        except Decline as declined:
            return self._declined(declined)(environ, start_response)
        if known is None:
            remember(self._names, raw, name)
        return serve(lease, environ, start_response)

    def _name(self, raw: str) -> str:
        name = address.label(address.host(raw), self.domain)
        if name is None or (name and not address.is_name(name)):
            raise _nobody()
        return name


class DomainDispatcher(_Dispatcher):
    """Serve whole hosts, each from the application that `lease(host, "")` gives: custom domains."""

    def __init__(self, *, lease: Lend, refuse: Refuse | None = None) -> None:
        super().__init__(None, lease, refuse)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request (WSGI)."""
        try:
            name = address.host(environ.get("HTTP_HOST", ""))
            try:
                lease = self._lease(name, "")
            except Unavailable as error:
                lease = self._otherwise(environ, name, "", error)
        except TenantryError as error:
            return self._refuse(error)(environ, start_response)
        except Decline as declined:
            return self._declined(declined)(environ, start_response)
        return serve(lease, environ, start_response)


class PathDispatcher(_Dispatcher):
    """Serve `/acme/...` from the application of acme, mounted there, and all else from `default_app`.

    In place of the class of this name in Flask's manual: the first segment below SCRIPT_NAME is the name, and
    `create_app` returns None for what shall fall to the default application. A segment that is no name, such as
    `favicon.ico`, falls there without asking.
    """

    def __init__(
        self,
        default_app: "WSGIApplication",
        create_app: Callable[[str], Any] | None,
        *,
        lease: Lend | None = None,
        refuse: Refuse | None = None,
    ) -> None:
        super().__init__(create_app, lease, refuse)
        self._default = default_app
        # Mount -> how raw targets begin that lead there.
        self._known: dict[str, tuple[str, ...]] = {}

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request (WSGI)."""
        path = environ.get("PATH_INFO", "")
        name, slash, rest = path[1:].partition("/")
        mount = f"{environ.get('SCRIPT_NAME', '')}{path[:1]}{name}"
        known = self._known.get(mount)
        raw: str | None = environ.get("REQUEST_URI") or environ.get("RAW_URI")
        fresh = known is None or (raw is not None and not raw.startswith(known))
        if fresh and (path[:1] != "/" or not address.is_name(name)):
            return self._default(environ, start_response)
        try:
            way = agreed(environ, name) if fresh else ""
            if "/.." in path:
                stays(rest)
            try:
                lease = self._lease(name, mount)
            except Unavailable as error:
                lease = self._otherwise(environ, name, mount, error)
        except TenantryError as error:
            return self._refuse(error)(environ, start_response)
        except Decline as declined:
            return (declined.answer or self._default)(environ, start_response)
        if not slash:
            lease.close()
            return to_slash(mount, environ.get("QUERY_STRING", ""))(environ, start_response)
        if fresh:
            remember(self._known, mount, (*(known or ())[-_WAYS + 1 :], way))
        environ["SCRIPT_NAME"] = mount
        environ["PATH_INFO"] = slash + rest
        return serve(lease, environ, start_response)


def remember(known: dict[str, Any], key: str, value: Any) -> None:
    """Keep a spelling that led to a lease; when there are too many, begin again."""
    if len(known) >= _REMEMBERED:
        known.clear()
    known[key] = value


def as_http_exception(error: TenantryError) -> HTTPException:
    """Answer with werkzeug's exception of the error's family, each of which is a WSGI application."""
    if isinstance(error, Unavailable):
        return ServiceUnavailable(str(error), retry_after=error.retry_after)
    kinds: dict[type[TenantryError], type[HTTPException]] = {Invalid: BadRequest, Unknown: NotFound, Refused: Forbidden}
    return kinds[type(error)](str(error))


def _nobody() -> Unknown:
    return Unknown("There is no site at this address.")
