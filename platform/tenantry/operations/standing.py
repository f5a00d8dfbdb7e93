"""Which tenant a verb means, and whether it stands: found by its name, with what to do where it is not so."""

from collections.abc import Iterator
from contextlib import suppress

from tenantry.errors import Refused, Unavailable, Unknown
from tenantry.operations.facts import Desk
from tenantry.placement import Placement
from tenantry.registry import By, Selection
from tenantry.tenant import Status, Tenant, is_uid

GONE = frozenset({Status.REMOVED, Status.PURGING})


def get(desk: Desk, name: str) -> Tenant:
    """Return a tenant by its name; if there is none now, the one of that name that was removed last.

    A uid will do where no tenant is called so: of two removed tenants of one name it is all that tells them apart.
    """
    try:
        return desk.registry.get(name)
    except Unknown:
        with suppress(Unknown):
            return desk.registry.removed(name)
        if is_uid(name):
            with suppress(Unknown):
                return desk.registry.by_uid(name)
        raise  # the one that knows which names are close


def removed(desk: Desk, name: str) -> Tenant | None:
    """Return the tenant of that name that was removed last, if there is one."""
    try:
        return desk.registry.removed(name)
    except Unknown:
        return None


def known(desk: Desk, name: str) -> Tenant:
    """Find a tenant that is not removed; of a removed one say how it comes back."""
    tenant = get(desk, name)
    if tenant.status is Status.REMOVED:
        raise Unknown(f"{name} was removed.", hint=f"`tenantry remove {name} --undo` brings it back.")
    if tenant.status is Status.PURGING:
        raise Unknown(f"{name} is being purged.", hint=f"`tenantry purge {name}` goes on with it.")
    return tenant


def whole(desk: Desk, name: str) -> Tenant:
    """Find a tenant that stands and is not being added."""
    tenant = known(desk, name)
    if tenant.status is Status.ADDING:
        raise being_added(tenant)
    return tenant


def placed(desk: Desk, name: str) -> tuple[Tenant, Placement]:
    """Find a tenant that stands, and its folder."""
    tenant = whole(desk, name)
    placement = desk.instance.placement(tenant.uid)
    if not placement.folder.is_dir():
        raise Unavailable(f"The folder of {name}, {placement.folder}, is missing.", hint="See `tenantry doctor`.")
    return tenant, placement


def being_added(tenant: Tenant) -> Refused:
    """Say that a tenant is not there yet."""
    return Refused(
        f"{tenant.name} is being added.", hint="If nobody is adding it any more, `tenantry doctor --repair` clears it."
    )


def by(desk: Desk, tenant: Tenant, verb: str, detail: dict[str, object] | None = None) -> By:
    """Sign a change of a tenant as it was seen: of two who saw the same one wins, and the other is told."""
    return By(desk.who, verb, detail or {}, seen=tenant.revision)


def urls(desk: Desk, tenant: Tenant) -> tuple[str, ...]:
    """Spell where a tenant is reached, old names left out."""
    return tuple(desk.settings.url(where) for where in desk.registry.addresses(tenant.uid))


def select(desk: Desk, selection: Selection) -> list[Tenant]:
    """Return the tenants that are meant, in the order of the names given and without doubles.

    Unknown for a name that no tenant has, and for a glob that is like none; whoever is there and is not of the status
    or the application that is asked for is left out.
    """
    names = selection.names or ("*",)
    found = [tenant for name in names for tenant in _meant(desk, name, selection)]
    return list({tenant.uid: tenant for tenant in found}.values())


def _meant(desk: Desk, name: str, selection: Selection) -> Iterator[Tenant]:
    if not set(name) & set("*?["):
        yield from (tenant for tenant in [_named(desk, name, selection)] if _fits(tenant, selection))
        return
    there = False
    for page in desk.registry.pages(_only(name, selection)):
        there = there or bool(page.tenants)
        yield from page.tenants
    if selection.names and not there and not desk.registry.count(Selection((name,), removed=selection.removed)):
        raise Unknown(f"No tenant has a name like {name}.", hint="`tenantry list` shows all.")


def _named(desk: Desk, name: str, selection: Selection) -> Tenant:
    """Find one tenant by its name: a removed one only where such are asked for."""
    if selection.status in GONE:
        return removed(desk, name) or get(desk, name)
    return get(desk, name) if selection.removed else known(desk, name)


def _fits(tenant: Tenant, selection: Selection) -> bool:
    right = selection.status is None or tenant.status is selection.status
    return right and selection.application in {"", tenant.application}


def _only(name: str, selection: Selection) -> Selection:
    return Selection((name,), selection.status, selection.application, selection.removed)
