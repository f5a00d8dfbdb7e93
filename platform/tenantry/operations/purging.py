"""Purging a removed tenant: nothing of it is left, and it cannot come back.

    1  staging/<uid>.lock   nobody else is at it
    2  the row, `purging`   with the journal line, in one transaction: from now on there is no way back
    3  every store          cleared, then asked what remains
    4  the row              erased; a tombstone tells those who follow

Cut short after the second step, or stopped by a file that cannot be deleted, it is pending: the same command goes on
with it, and so does `doctor --repair`; any other command does only if little is left to delete.

What stays is said in docs/operating.md: the lines of the journal and, until its time is over, the retired name.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from tenantry.errors import Refused, Unavailable
from tenantry.operations import disk, removing, standing, underway
from tenantry.operations.facts import Desk, Purged
from tenantry.operations.stores import STORES, Amount
from tenantry.registry import REMOVE, Search, Selection
from tenantry.tenant import GONE, Status, Tenant


def purge(desk: Desk, tenant: Tenant, seconds: float) -> Purged:
    """Delete all that is kept of a removed tenant; a second time goes on where the first was stopped."""
    _see_removed(desk, tenant)
    with underway.alone(desk, tenant):
        if tenant.status is Status.REMOVED:
            if not desk.dry_run:
                removing.finish(desk, tenant.uid, seconds)
            tenant = desk.registry.purge(tenant.uid, standing.by(desk, tenant, "purge"))
        gone = _amount(desk, tenant.uid) if desk.dry_run else finish(desk, tenant)
    return Purged(tenant, True, gone.files, gone.size)


def purgeable(desk: Desk, older_than: timedelta) -> list[Tenant]:
    """Return the removed tenants, by name, whose removal is older than that; the journal knows when it was."""
    before = datetime.now(UTC) - older_than
    wanted = Selection(status=Status.REMOVED)
    removed = (tenant for page in desk.registry.pages(wanted) for tenant in page.tenants)
    return [tenant for tenant in removed if any(at <= before for at in _removed_at(desk, tenant.uid))]


def _removed_at(desk: Desk, uid: str) -> Iterator[datetime]:
    """Read when a tenant was removed last; nothing of a line that is not there, or cannot be read."""
    for entry in desk.registry.journal(Search(uid=uid, verb=REMOVE, limit=1)):
        with suppress(ValueError):
            yield datetime.fromisoformat(entry.at).astimezone(UTC)


def finish(desk: Desk, tenant: Tenant) -> Amount:
    """Clear every store of a tenant that is being purged, see that it is empty, and erase its row."""
    with disk.writing(f"The instance folder, of which {tenant.name} is being purged,", hint=_goes_on(tenant)):
        gone = sum((store.clear(desk, tenant.uid) for store in STORES), Amount())
    for store in STORES:
        remains = store.remains(desk, tenant.uid)
        if remains:
            raise Unavailable(
                f"{tenant.name} is not purged yet; this cannot be deleted: {gone.stays or remains}.",
                hint=f"See who keeps it there. {_goes_on(tenant)}",
            )
    desk.registry.erase(tenant.uid)
    return gone


def _goes_on(tenant: Tenant) -> str:
    return f"`tenantry purge {tenant.name}` once more goes on with it."


def _amount(desk: Desk, uid: str) -> Amount:
    return sum((store.amount(desk, uid) for store in STORES), Amount())


def _see_removed(desk: Desk, tenant: Tenant) -> None:
    if tenant.status in GONE:
        return
    gone = standing.removed(desk, tenant.name)
    raise Refused(
        f"{tenant.name} is not removed, and a purge deletes for good.",
        hint=f"The removed tenant of that name is purged as `tenantry purge {gone.uid}`."
        if gone
        else f"`tenantry remove {tenant.name}` first.",
    )
