"""Renaming a tenant: another name for the same uid, key, folder and data.

The old name's addresses lead to the new one until the grace ends, and nobody else gets the name for a while longer.
"""

from datetime import timedelta

from tenantry.address import Address, Kind
from tenantry.errors import Invalid
from tenantry.operations import names, standing
from tenantry.operations.facts import Desk, NewName, Renamed
from tenantry.registry import stamp, utc_now
from tenantry.tenant import Tenant

_GRACE_DAYS = 3650


def rename(desk: Desk, tenant: Tenant, wanted: NewName) -> Renamed:
    """Give a tenant another name; the one it has already changes nothing, and one that it had before is its own."""
    grace = timedelta(days=desk.settings.grace_days) if wanted.grace is None else wanted.grace
    if not timedelta() <= grace <= timedelta(days=_GRACE_DAYS):
        raise Invalid(f"An old name leads to the new one for 0 to {_GRACE_DAYS} days.")
    if wanted.name == tenant.name:
        return Renamed(tenant, False, standing.urls(desk, tenant))
    addresses = desk.registry.addresses(tenant.uid)

    def attempt(override: bool, kept: dict[str, object]) -> Tenant:
        by = standing.by(desk, tenant, "rename", {"grace_days": grace / timedelta(days=1), **kept})
        return desk.registry.rename(tenant.uid, wanted.name, grace, by, override=override)

    renamed = names.give(wanted.name, wanted.override, attempt)
    new = [where if where.kind is Kind.DOMAIN else Address(where.kind, wanted.name) for where in addresses]
    return Renamed(renamed, True, tuple(map(desk.settings.url, new)), _until(desk, tenant, grace))


def _until(desk: Desk, old: Tenant, grace: timedelta) -> str:
    if desk.dry_run:
        return stamp(utc_now() + grace) if grace else ""
    key = Address(Kind.SUBDOMAIN, old.name).key
    return next((place.until for place in desk.registry.places(old.uid) if place.address.key == key), "")
