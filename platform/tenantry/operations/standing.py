"""Which tenant a verb means, and whether it stands: found by its name, with what to do where it is not so."""

from contextlib import suppress
from dataclasses import replace

from tenantry.address import Address, Kind, is_glob, is_name
from tenantry.errors import Refused, TenantryError, Unavailable, Unknown
from tenantry.operations.facts import Desk
from tenantry.placement import Placement
from tenantry.registry import By, Selection
from tenantry.tenant import GONE, Status, Tenant, is_uid


def get(desk: Desk, name: str) -> Tenant:
    """Return a tenant by its uid or its name; if none has that name now, the one that was removed last with it.

    Of two removed tenants of one name the uid is all that tells them apart; nobody gets a name that is somebody's uid.
    """
    if is_uid(name):
        with suppress(Unknown):
            return desk.registry.by_uid(name)
    try:
        return desk.registry.get(name)
    except Unknown:
        if not _leads_elsewhere(desk, name):
            with suppress(Unknown):
                return desk.registry.removed(name)
        raise  # the one that knows which names are close, and what became of this one


def _leads_elsewhere(desk: Desk, name: str) -> bool:
    """Tell whether a name is the old one of a tenant that was renamed."""
    if not is_name(name):
        return False
    try:
        desk.registry.find(Address(Kind.SUBDOMAIN, name))
    except TenantryError:
        return False
    return True


def found_by(desk: Desk, tenant: Tenant) -> str:
    """Return what to type for a tenant: its name, or where another one is found by that, its uid."""
    return tenant.name if get(desk, tenant.name).uid == tenant.uid else tenant.uid


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
        raise Unknown(
            f"{tenant.name} was removed.", hint=f"`tenantry remove {found_by(desk, tenant)} --undo` brings it back."
        )
    if tenant.status is Status.PURGING:
        raise Unknown(
            f"{tenant.name} is being purged.", hint=f"`tenantry purge {found_by(desk, tenant)}` goes on with it."
        )
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
        raise Unavailable(
            f"The folder of {tenant.name}, {placement.folder}, is missing.", hint="See `tenantry doctor`."
        )
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


def select(desk: Desk, selection: Selection, several: Selection | None = None) -> list[Tenant]:
    """Return the tenants that are meant, in the order of the names given and without doubles.

    Unknown for a name that no tenant has, and for a glob that is like none; whoever is there and is not of the status
    or the application that is asked for is left out. Globs, and no names at all, mean those of `several` if it is
    given: so a verb may take a removed tenant by its name, and several only of those that it is for.
    """
    several = several or selection
    found: dict[str, Tenant] = {}
    for name in selection.names or ("*",):
        if is_glob(name):
            some = _like(desk, replace(several, names=(name,) if selection.names else ()))
        else:
            some = [tenant for tenant in [_named(desk, name, selection)] if _fits(tenant, selection)]
        found.update((tenant.uid, tenant) for tenant in some)
    return list(found.values())


def see_there(desk: Desk, selection: Selection) -> None:
    """Raise Unknown for a name that no tenant has, and for a glob that is like none."""
    for name in selection.names:
        if not is_glob(name):
            _named(desk, name, selection)
            continue
        anyone = Selection((name,), removed=selection.removed or selection.status in GONE)
        if not desk.registry.count(anyone):
            raise Unknown(f"No tenant has a name like {name}.", hint="`tenantry list` shows all.")


def _like(desk: Desk, selection: Selection) -> list[Tenant]:
    see_there(desk, selection)
    return [tenant for page in desk.registry.pages(selection) for tenant in page.tenants]


def _named(desk: Desk, name: str, selection: Selection) -> Tenant:
    """Find one tenant by its name: a removed one only where such are asked for."""
    if selection.status in GONE:
        return removed(desk, name) or get(desk, name)
    return get(desk, name) if selection.removed else known(desk, name)


def _fits(tenant: Tenant, selection: Selection) -> bool:
    right = selection.status is None or tenant.status is selection.status
    return right and selection.application in {"", tenant.application}
