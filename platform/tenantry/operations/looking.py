"""Looking: what there is, and everything about one tenant. Nothing here changes anything."""

from collections.abc import Iterator
from contextlib import suppress

from tenantry import policy, schema
from tenantry.errors import TenantryError
from tenantry.meters import kept
from tenantry.operations import config, domains
from tenantry.operations.facts import Desk, Disk, Listed, Listing, Schema, Shown
from tenantry.placement import Placement, beside
from tenantry.policy import Policy
from tenantry.registry import Entry, Search, Selection
from tenantry.tenant import Tenant


def some(desk: Desk, selection: Selection, after: tuple[str, str], limit: int) -> Listing:
    """List the next tenants that are meant, by name; addresses are read for these alone."""
    page = desk.registry.page(selection, after, limit)
    addresses = desk.registry.addresses_of([tenant.uid for tenant in page.tenants])
    url = desk.settings.url
    return Listing(
        tuple(Listed(tenant, tuple(url(where) for where in addresses[tenant.uid])) for tenant in page.tenants),
        page.unreadable,
        page.after,
    )


def one(desk: Desk, tenant: Tenant, lines: int) -> Shown:
    """Show everything about one tenant, with what is wrong and its newest journal lines."""
    placement = desk.instance.placement(tenant.uid)
    state, unclear = _schema(desk, tenant, placement)
    trouble = desk.registry.trouble(tenant.uid)
    granted = _policy(desk, tenant)
    places = tuple(desk.registry.places(tenant.uid))
    return Shown(
        tenant=tenant,
        urls=tuple(desk.settings.url(place.address) for place in places if not place.until),
        placement=placement.folder,
        size=_size(placement),
        schema=state,
        problems=tuple(dict.fromkeys(filter(None, (*_problems(desk, tenant, placement), unclear)))),
        trouble=_reason(trouble),
        trouble_since=trouble.at if trouble else "",
        journal=tuple(desk.registry.journal(Search(uid=tenant.uid, limit=lines))),
        places=places,
        notice=tenant.notice,
        pending=next((some.verb for some in desk.registry.pending(tenant.uid)), ""),
        disk=Disk(kept(placement.files), kept(placement.folder), granted.quota),
        limits=_differing(granted, policy.granted(desk.settings)),
        claims=domains.claimed(desk, tenant, desk.registry.claims(tenant.uid)),
    )


def _schema(desk: Desk, tenant: Tenant, placement: Placement) -> tuple[Schema | None, str]:
    """Return where the database stands, and what is wrong if that cannot be told.

    The newest revision is read from the migrated template, which costs no import of Alembic.
    """
    try:
        application = desk.catalog.get(tenant.application)
        if application.migrations is None:
            return None, ""
        template = schema.template(application.migrations, desk.instance.templates, application.name)
        return Schema(schema.current(placement.database), schema.current(template)), ""
    except TenantryError as error:
        return None, error.says


def _policy(desk: Desk, tenant: Tenant) -> Policy:
    """Return what a tenant is granted: as everybody is, where its config cannot be read, of which the problems tell."""
    default = policy.granted(desk.settings)
    with suppress(TenantryError):
        return policy.merged(desk.builder().layers(tenant), default)
    return default


def _differing(granted: Policy, default: Policy) -> dict[str, object]:
    usual = policy.values(default)
    return {key: value for key, value in policy.values(granted).items() if value != usual[key]}


def _problems(desk: Desk, tenant: Tenant, placement: Placement) -> Iterator[str]:
    """Say what would make a build fail, by doing what it does before it calls the application."""
    for path in (placement.key, placement.files):
        if not path.exists():
            yield f"{path} is missing."
    for look in (
        lambda: policy.merged(desk.builder().layers(tenant), Policy()),
        lambda: config.read_secrets(placement),
    ):
        try:
            look()
        except TenantryError as error:
            yield error.says


def _size(placement: Placement) -> int | None:
    parts = (placement.database, *beside(placement.database))
    sizes = [part.stat().st_size for part in parts if part.exists()]
    return sum(sizes) if sizes else None


def _reason(trouble: Entry | None) -> str:
    return str(trouble.detail.get("reason") or "its build fails") if trouble else ""
