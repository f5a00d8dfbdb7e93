"""Tenants at addresses, the dispatchers in front of them, and applications that tell what reached them."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from werkzeug.exceptions import BadRequest, HTTPException

from tenantry import signals
from tenantry.address import Address, Kind
from tenantry.assembly.platform import Platform
from tenantry.dispatch import DomainDispatcher, Leasing, PathDispatcher, SubdomainDispatcher
from tenantry.errors import TenantryError, Unknown
from tenantry.pool import Limits, Pool
from tenantry.settings import Settings
from tenantry.tenant import Notice, Status, Tenant, digest
from tests.sites import Factory, Site, Wanted, front
from tests.wsgi import call, wait_until

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

SECRET = "s3cret_of-the-owner"


def tenant(uid: str, status: Status = Status.ACTIVE) -> Tenant:
    """Make a tenant whose uid and name are the same, so that answers tell whose they are."""
    return Tenant(uid, uid, "hello", status, 1)


def shut(known: Tenant, message: str = "", secret: str = SECRET) -> Tenant:
    """Put a tenant into maintenance; without a secret nobody gets past."""
    notice = Notice(message, 120, digest(secret) if secret else "")
    return replace(known, status=Status.MAINTENANCE, revision=known.revision + 1, notice=notice)


class Echo(Site):
    """An application that tells what reached it, and wants its answer to be kept by everybody for long."""

    def app(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        assert not self.disposed.is_set(), f"{self.uid} was called after it was disposed of"
        seen = {key: value for key, value in environ.items() if isinstance(value, str)}
        kept = [
            ("Cache-Control", "public, max-age=31536000"),
            ("Expires", "Thu, 01 Jan 2037 00:00:00 GMT"),
            ("X-Accel-Expires", "86400"),
            ("CDN-Cache-Control", "max-age=600"),
        ]
        start_response("200 OK", [("Content-Type", "application/json"), *kept])
        return [json.dumps({"uid": self.uid, "at": self.revision} | seen).encode()]


class Echoes(Factory):
    """A factory of echoes."""

    def make(self, wanted: Wanted, mount: str) -> Site:
        return Echo(wanted, mount)


class Street:
    """A find and a pool, as the platform has them, and the dispatchers in front; a test moves who lives there."""

    def __init__(self, *tenants: Tenant, scheme: str = "http", factory: Factory | None = None) -> None:
        self.known = {(kind, known.name): known for known in tenants for kind in Kind}
        self.factory = factory or Factory()
        self.pool = Pool(self.factory, Limits(wait=5))
        url = Settings(domain="example.com", scheme=scheme, public_port=8443).url
        self.leasing = Leasing(self.find, self.pool.lease, url)
        self.hosts = SubdomainDispatcher("example.com", None, lease=self.leasing.by_subdomain)
        self.domains = DomainDispatcher(lease=self.leasing.by_domain)
        self.paths = PathDispatcher(front, None, lease=self.leasing.by_path)
        self.refused: list[TenantryError] = []

    def find(self, kind: Kind, value: str) -> Tenant:
        try:
            return self.known[kind, value]
        except KeyError:
            raise Unknown(f"nobody at {value}") from None

    def refuse(self, error: TenantryError) -> HTTPException:
        self.refused.append(error)
        return BadRequest("refused")

    def puts(self, known: Tenant, *values: str) -> Tenant:
        """Have a tenant found at its name and these values, as a host, a path and a domain."""
        for value in (known.name, *values):
            for kind in Kind:
                self.known[kind, value] = known
        return known

    def url(self, kind: Kind, value: str) -> str:
        return self.leasing._url(Address(kind, value))


def follow(platform: Platform, change: Callable[..., Tenant], *given: object) -> Tenant:
    """Make a change in a platform's registry and wait until the platform has followed."""
    followed: list[int] = []

    def note(_: object, tenant: Tenant, **__: object) -> None:
        followed.append(tenant.revision)

    call(platform.application, platform.settings.domain)  # the first request starts the following
    with signals.tenant_changed.connected_to(note):
        changed = change(*given)
        wait_until(lambda: changed.revision in followed)
    return changed
