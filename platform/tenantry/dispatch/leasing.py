"""From a name to a lease: for dispatchers that stand alone, and for those of the platform."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from werkzeug.exceptions import HTTPException

from tenantry.address import Address, Kind
from tenantry.dispatch.maintenance import Bypass
from tenantry.dispatch.redirects import Moved
from tenantry.errors import Unavailable
from tenantry.pool import Decline, Lease, Pool
from tenantry.tenant import Status, Tenant

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


# Members of an enumeration are found by a search each time they are named, which a warm request need not pay.
_ACTIVE = Status.ACTIVE
_SUBDOMAIN, _PATH, _DOMAIN = Kind.SUBDOMAIN, Kind.PATH, Kind.DOMAIN


class Lend(Protocol):
    """What a dispatcher asks for a lease: the name in the address, and the mount under which it was found."""

    def __call__(self, name: str, mount: str) -> Lease:
        """Return a lease, or raise one of the four families, or Decline."""


class Leasing:
    """Find the tenant at an address, let it admit the visitor, and lease its live application.

    A tenant found where it is not at home declines with a redirect; `url` spells the public URL of an address.
    """

    def __init__(
        self,
        find: Callable[[Kind, str], Tenant],
        lease: Callable[[Tenant, str], Lease],
        url: Callable[[Address], str],
    ) -> None:
        self._find = find
        self._lease = lease
        self._url = url

    def lending(self, lease: Callable[[Tenant, str], Lease]) -> "Leasing":
        """Return one that finds the same tenants at the same addresses and lends by `lease`."""
        return Leasing(self._find, lease, self._url)

    def by_subdomain(self, name: str, mount: str) -> Lease:
        """Lease the tenant whose subdomain is `name`."""
        tenant = self._find(_SUBDOMAIN, name)
        if tenant.status is _ACTIVE and tenant.name == name:
            return self._lease(tenant, mount)
        return self._examine(tenant, Address(_SUBDOMAIN, name), mount)

    def by_path(self, name: str, mount: str) -> Lease:
        """Lease the tenant whose path segment is `name`."""
        tenant = self._find(_PATH, name)
        if tenant.status is _ACTIVE and tenant.name == name:
            return self._lease(tenant, mount)
        return self._examine(tenant, Address(_PATH, name), mount)

    def by_domain(self, name: str, mount: str) -> Lease:
        """Lease the tenant whose custom domain is `name`."""
        tenant = self._find(_DOMAIN, name)
        if tenant.status is _ACTIVE and tenant.domain == name:
            return self._lease(tenant, mount)
        return self._examine(tenant, Address(_DOMAIN, name), mount)

    def _examine(self, tenant: Tenant, where: Address, mount: str) -> Lease:
        """Decide about a tenant that is not plainly open and at home: who is shut says so, wherever it is asked."""
        moved = self._moved(tenant, where)
        try:
            tenant.admit()
        except Unavailable as error:
            if tenant.status is Status.MAINTENANCE:
                lease = partial(self._lease, tenant, mount)
                error.bypass = Bypass(tenant, mount, self._url(where), moved, lease)
            raise
        if moved is not None:
            raise Decline(moved)
        return self._lease(tenant, mount)

    def _moved(self, tenant: Tenant, where: Address) -> Moved | None:
        """Make the redirect to where the tenant is at home, if that is not here."""
        home = tenant.home(where.kind, where.value)
        if home == where.value:
            return None
        return Moved(self._url(Address(where.kind, home)), where.value if where.kind is _PATH else "")


@dataclass(frozen=True, slots=True)
class Named:
    """Somebody known by a name alone, who never changes: what a dispatcher without a registry serves."""

    uid: str
    revision: int = 0
    moved: int = 0


@dataclass(frozen=True, slots=True)
class Made:
    """What a bare `create_app` returned; there is nothing to rest or dispose of but what it closes itself."""

    app: "WSGIApplication"

    def rest(self) -> None:
        """Do nothing: the application's connections are its own."""

    def close(self) -> None:
        """Close the application if it can be closed."""
        close = getattr(self.app, "close", None)
        if callable(close):
            close()


class Alone:
    """A pool of its own for a dispatcher that was given nothing but `create_app`."""

    def __init__(self, create_app: Callable[[str], Any]) -> None:
        self._create_app = create_app
        self._names: dict[str, Named] = {}
        self.pool = Pool(self._build)

    def __call__(self, name: str, mount: str) -> Lease:
        """Lease the application that `create_app(name)` returned once."""
        known = self._names.get(name)
        if known is not None:
            return self.pool.lease(known, mount)
        named = Named(name)
        lease = self.pool.lease(named, mount)
        if len(self._names) > self.pool.limits.capacity:
            self._names.clear()
        self._names[name] = named
        return lease

    def _build(self, wanted: Named, _: str) -> Made:
        app = self._create_app(wanted.uid)
        if app is None or isinstance(app, HTTPException):
            raise Decline(app)
        return Made(app)
