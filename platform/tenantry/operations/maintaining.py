"""Maintenance: visitors are told why and when to come again, and who has the bypass link looks nevertheless.

Of the link's secret only a digest is kept: it is told once, and made anew on request.
"""

import secrets

from tenantry.address import Address, Kind
from tenantry.errors import Invalid, Refused
from tenantry.operations import standing
from tenantry.operations.facts import Changed, Desk, Maintained, Maintenance
from tenantry.tenant import Notice, Status, Tenant, digest

BYPASS = "-/maintenance/"

_MESSAGE_LENGTH = 500
_LONGEST = 604800
_SECRET_BYTES = 24


def begin(desk: Desk, tenant: Tenant, wanted: Maintenance) -> Maintained:
    """Put a tenant into maintenance, or change what its visitors are told; the link stays unless a new one is asked."""
    _check(wanted)
    if tenant.status is Status.SUSPENDED:
        raise Refused(
            f"{tenant.name} is suspended, and its visitors are told so.", hint=f"`tenantry resume {tenant.name}` first."
        )
    old = tenant.notice if tenant.status is Status.MAINTENANCE else None
    same = old is not None and (old.message, old.retry_after) == (wanted.message, wanted.retry_after)
    if same and not wanted.new_link:
        return Maintained(tenant, False, None)
    secret = "" if old is not None and not wanted.new_link else secrets.token_urlsafe(_SECRET_BYTES)
    kept = digest(secret) if secret or old is None else old.digest
    by = standing.by(desk, tenant, "maintenance on", {"link": "new" if secret else "as before"})
    tenant = desk.registry.maintain(tenant.uid, Notice(wanted.message, wanted.retry_after, kept), by)
    link = desk.settings.url(Address(Kind.SUBDOMAIN, tenant.name)) + BYPASS + secret if secret else None
    return Maintained(tenant, True, link)


def end(desk: Desk, tenant: Tenant) -> Changed:
    """Let visitors in again; the bypass link is worth nothing any more."""
    if tenant.status is not Status.MAINTENANCE:
        return Changed(tenant, changed=False)
    return Changed(desk.registry.maintain(tenant.uid, None, standing.by(desk, tenant, "maintenance off")), changed=True)


def _check(wanted: Maintenance) -> None:
    if len(wanted.message) > _MESSAGE_LENGTH or not wanted.message.isprintable():
        raise Invalid(f"A message is at most {_MESSAGE_LENGTH} printable characters, on one line.")
    if not 1 <= wanted.retry_after <= _LONGEST:
        raise Invalid(f"Visitors can be told to come again in 1 to {_LONGEST} seconds, which is a week.")
