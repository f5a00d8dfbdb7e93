"""Cloning a tenant: added like any other, and filled from another one, which goes on serving.

The source's placement is held shared, so that nobody moves it away while it is copied. Its database is copied first and
its files afterwards: an application writes a file and then the row that names it, so that what a row of the copy names
is among the files that are copied later. The other way round there would be rows without their files; this way there
may be files without rows, which nobody asks for.

The clone has a key of its own: no session and no remember-me cookie of the source is valid there. Domains are the
source's and stay with it.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial

from tenantry import address, databases, policy
from tenantry.address import Address, Kind
from tenantry.errors import Refused, TenantryError, Unavailable
from tenantry.locks import locked
from tenantry.meters import kept
from tenantry.operations import adding, config, copying, disk, standing
from tenantry.operations.facts import Added, Clone, Desk
from tenantry.placement import Placement
from tenantry.registry import By
from tenantry.tenant import GONE, Status, Tenant, new_uid


def clone(desk: Desk, name: str, wanted: Clone) -> Added:
    """Add a tenant that is as another one is now, or raise and leave nothing."""
    source, placement = standing.placed(desk, name)
    new = address.new_name(wanted.name, override=wanted.override)
    title = source.title if wanted.title is None else adding.checked_title(wanted.title)
    addresses = [Address(Kind.SUBDOMAIN, new), *([Address(Kind.PATH, new)] if wanted.path else [])]
    copying.see_inside(placement.files)  # before a great deal is copied in vain
    _see_room(desk, source, placement, wanted)
    told = {"source": source.name, "source_uid": source.uid, "secrets": wanted.secrets}
    tenant = Tenant(new_uid(), new, source.application, Status.ADDING, 0, title=title)
    intent = adding.Intent(tenant, addresses, By(desk.who, "clone", told), wanted.override)
    warning = " ".join(filter(None, (_shared(placement, source, wanted), _open(source, new))))
    tenant = adding.make(desk, intent, partial(_fill, desk, source, wanted))
    return Added(tenant, tuple(desk.settings.url(where) for where in addresses), warning=warning)


def _fill(desk: Desk, source: Tenant, wanted: Clone, staged: Placement) -> None:
    placement = desk.instance.placement(source.uid)
    with _held(placement, source):
        # It may have been removed while the hold was waited for: then this is the lock of a folder in the trash.
        if desk.registry.by_uid(source.uid).status in GONE:
            raise Refused(f"{source.name} was removed meanwhile.", hint="Nothing was cloned.")
        copying.database(placement.database, staged.database)
        copying.files(placement.files, staged.files)
        _configure(placement, source, wanted, staged)


@contextmanager
def _held(placement: Placement, source: Tenant) -> Iterator[None]:
    """Hold a placement shared: nobody keeps others from that but who moves or replaces what is in it."""
    try:
        hold = placement.hold()
    except Unavailable as error:
        raise Unavailable(error.says, hint=f"Try again when the other command at {source.name} has ended.") from error
    with closing(hold):
        yield


def _configure(placement: Placement, source: Tenant, wanted: Clone, staged: Placement) -> None:
    """Copy both config files as of one moment, each under the clone's name."""
    with locked(placement.folder):
        values = placement.config.read_bytes() if placement.config.exists() else b""
        hidden = placement.secrets.read_bytes() if wanted.secrets and placement.secrets.exists() else None
    heading, own = (config.document({}, name).encode() for name in (source.name, wanted.name))
    disk.write(staged.config, own + values.removeprefix(heading) if values.startswith(heading) else values)
    heading, own = (config.secrets_document(name).encode() for name in (source.name, wanted.name))
    if hidden is None:
        disk.write(staged.secrets, own)
    else:
        disk.write(staged.secrets, own + hidden.removeprefix(heading) if hidden.startswith(heading) else hidden)


def _see_room(desk: Desk, source: Tenant, placement: Placement, wanted: Clone) -> None:
    """Raise Refused where the clone would be larger than its quota, which it has from the source's config."""
    quota = 0
    with suppress(TenantryError):  # a broken file is copied as it is, and told of by `show`
        layers = desk.builder().layers(source)
        read = [layer for layer in layers if wanted.secrets or layer[0] != ".env"]
        quota = policy.merged(read, policy.granted(desk.settings)).quota
    size = kept(placement.folder) if quota else 0
    if size > quota:
        raise Refused(
            f"{source.name} takes {size} bytes on the disk, and the quota of {wanted.name} would be {quota}.",
            hint=f"Delete something at {source.name}, or raise {policy.QUOTA} there first.",
        )


def _open(source: Tenant, new: str) -> str:
    """Say that what is closed at the source stands open at the clone."""
    if source.status is Status.ACTIVE:
        return ""
    state = "suspended" if source.status is Status.SUSPENDED else "in maintenance"
    return f"{source.name} is {state}, and {new} is not: whoever knows its address may come in."


def _shared(placement: Placement, source: Tenant, wanted: Clone) -> str:
    """Say which config keys name a database outside of the folder: it is not copied, and both would write in it."""
    found: dict[str, object] = {}
    with suppress(TenantryError):  # a broken file is copied as it is, and told of by `show`
        found.update(config.read_config(placement))
        found.update(config.read_secrets(placement) if wanted.secrets else {})
    keys = sorted({key for key, value in found.items() if any(databases.urls(value))})
    if not keys:
        return ""
    return (
        f"{', '.join(keys)} names a database that {source.name} and {wanted.name} now share: "
        f"`tenantry config set {wanted.name} {keys[0]}=URL` gives the clone its own."
    )
