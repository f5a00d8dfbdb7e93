"""Maintenance: visitors are told why and when to come again, and who has the bypass link looks nevertheless.

Of the link's secret only a digest is kept: it is told once, and made anew on request.
"""

import secrets
from dataclasses import replace

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
    if tenant.status is Status.SUSPENDED:
        raise Refused(
            f"{tenant.name} is suspended, and its visitors are told so.", hint=f"`tenantry resume {tenant.name}` first."
        )
    old = tenant.notice if tenant.status is Status.MAINTENANCE else None
    told = _told(wanted, old or Notice())
    if told == old and not wanted.new_link:
        return Maintained(tenant, False, None)
    secret = "" if old is not None and not wanted.new_link else secrets.token_urlsafe(_SECRET_BYTES)
    notice = replace(told, digest=digest(secret)) if secret else told
    by = standing.by(desk, tenant, "maintenance on", {"link": "new" if secret else "as before"})
    tenant = desk.registry.maintain(tenant.uid, notice, by)
    link = desk.settings.url(Address(Kind.SUBDOMAIN, tenant.name)) + BYPASS + secret if secret else None
    return Maintained(tenant, True, link)


def end(desk: Desk, tenant: Tenant) -> Changed:
    """Let visitors in again; the bypass link is worth nothing any more."""
    if tenant.status is not Status.MAINTENANCE:
        return Changed(tenant, changed=False)
    return Changed(desk.registry.maintain(tenant.uid, None, standing.by(desk, tenant, "maintenance off")), changed=True)


def _told(wanted: Maintenance, old: Notice) -> Notice:
    """Return the notice with what is wanted of it, or raise Invalid."""
    message = old.message if wanted.message is None else wanted.message
    retry_after = old.retry_after if wanted.retry_after is None else wanted.retry_after
    if len(message) > _MESSAGE_LENGTH or not message.isprintable():
        raise Invalid(f"A message is at most {_MESSAGE_LENGTH} printable characters, on one line.")
    if not 1 <= retry_after <= _LONGEST:
        raise Invalid(f"Visitors can be told to come again in 1 to {_LONGEST} seconds, which is a week.")
    return replace(old, message=message, retry_after=retry_after)
