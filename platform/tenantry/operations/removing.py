"""Removing a tenant and taking that back; in between its folder lies in trash/, whole.

Remove sets the status first and moves the folder afterwards:

    1  the row, `removed`   addresses vanish, the name is retired, the journal line has what undo needs: one transaction
    2  the lock             exclusively: every live application lets go once it has followed and its last request ended
    3  rename               tenants/<uid> to trash/<uid>

A row that is `removed` while its folder lies in tenants/ is therefore a removal that was cut short, by a crash or by a
request that ran longer than the lock was waited for. It is NOT taken back when the lock cannot be had: nobody is
admitted any more, nothing is lost, the rename is all that is missing, and a tenant whose visitors hold endless streams
could otherwise never be removed. The operator gets Unavailable with that sentence; the same command, or `recover`,
finishes it. Taking a removal back needs no folder in trash/: it accepts both places.

Undo goes the other way round, folder first, row last, and holds the lock over both, so that a `recover` beside it sees
either a removed tenant it may not touch yet or an active one. Cut short, it is a removal that was cut short.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tenantry.address import Address, Kind
from tenantry.errors import Refused, Unavailable, Unknown
from tenantry.operations import disk
from tenantry.operations.facts import Desk, Mended, Removed, Restored
from tenantry.placement import Placement
from tenantry.registry import By
from tenantry.tenant import Status, Tenant


def remove(desk: Desk, tenant: Tenant, seconds: float) -> Removed:
    """Take a tenant's addresses away and move its folder to the trash; a second time finishes or says so."""
    changed = tenant.status is not Status.REMOVED
    if changed:
        kept = [where.key for where in desk.registry.addresses(tenant.uid)]
        tenant = desk.registry.remove(tenant.uid, By(desk.who, "remove", {"addresses": kept}))
    trash = desk.instance.trash / tenant.uid
    if desk.instance.placement(tenant.uid).folder.exists():
        changed = True
        try:
            _to_trash(desk, tenant.uid, seconds)
        except Unavailable as error:
            raise Unavailable(
                f"{tenant.name} is removed and answers no more, but its data did not move to the trash: {error.says}",
                hint=f"`tenantry remove {tenant.name}` once more finishes it.",
            ) from error
    return Removed(tenant, changed, trash if trash.exists() else None, f"tenantry remove {tenant.name} --undo")


def recover(desk: Desk) -> list[Mended]:
    """Finish every removal whose folder did not move and is not in use; the others wait for the next time."""
    mended = []
    for tenant in desk.registry.list(include_removed=True):
        if tenant.status is Status.REMOVED and desk.instance.placement(tenant.uid).folder.exists():
            try:
                _to_trash(desk, tenant.uid, 0.0)
            except Unavailable:
                continue
            mended.append(Mended(tenant.uid, tenant.name, "an interrupted removal was finished"))
    return mended


def bring_back(desk: Desk, tenant: Tenant, seconds: float) -> Restored:
    """Bring a removed tenant back with its data, its addresses and the status it had."""
    free, lost = _still_free(desk, _addresses_before(desk, tenant))
    folder, trash = desk.instance.placement(tenant.uid).folder, desk.instance.trash / tenant.uid
    with _lock_anywhere(desk, tenant, seconds):
        moved = not folder.exists()
        if moved:
            with disk.writing(f"The placement of {tenant.name}"):
                disk.move(trash, folder)
        try:
            by = By(desk.who, "undo remove", {"addresses": [where.key for where in free]})
            tenant = desk.registry.bring_back(tenant.uid, free, by)
        except BaseException:
            if moved and desk.registry.by_uid(tenant.uid).status is Status.REMOVED:
                disk.move(folder, trash)
            raise
    return Restored(tenant, changed=True, urls=_urls(desk, free), lost=_urls(desk, lost))


def _to_trash(desk: Desk, uid: str, seconds: float) -> None:
    """Move the folder of a removed tenant; somebody else may be doing the same, or the opposite."""
    placement, trash = desk.instance.placement(uid), desk.instance.trash / uid
    try:
        with placement.alone(seconds):
            removed = desk.registry.by_uid(uid).status is Status.REMOVED
            if removed and placement.folder.exists():
                with disk.writing(f"The trash folder {trash}"):
                    disk.move(placement.folder, trash)
    except Unavailable:
        # Whoever moved it while we waited has done our work.
        if placement.folder.exists() or not trash.exists():
            raise


@contextmanager
def _lock_anywhere(desk: Desk, tenant: Tenant, seconds: float) -> Iterator[None]:
    """Hold the lock of a placement wherever it lies; it stays the same lock when the folder moves."""
    places = (desk.instance.placement(tenant.uid).folder, desk.instance.trash / tenant.uid)
    for folder in places:
        if folder.exists():
            with Placement(folder).alone(seconds):
                yield
            return
    raise Refused(
        f"{tenant.name} cannot come back: its folder is neither in {places[0].parent} nor in {places[1].parent}.",
        hint="Restore the folder first.",
    )


def _addresses_before(desk: Desk, tenant: Tenant) -> list[Address]:
    """Read from the journal at which addresses the tenant was when it was removed."""
    for entry in desk.registry.journal(tenant.uid):
        kept = entry.detail.get("addresses")
        if entry.verb == "remove" and isinstance(kept, list):
            return [Address(Kind(kind), value) for kind, _, value in (str(key).partition(":") for key in kept)]
    return [Address(Kind.SUBDOMAIN, tenant.name)]


def _still_free(desk: Desk, wanted: Sequence[Address]) -> tuple[list[Address], list[Address]]:
    free: list[Address] = []
    lost: list[Address] = []
    for where in wanted:
        try:
            desk.registry.find(where)
            lost.append(where)
        except Unknown:
            free.append(where)
        except Unavailable:  # the row of whoever has it makes no sense
            lost.append(where)
    return free, lost


def _urls(desk: Desk, addresses: Sequence[Address]) -> tuple[str, ...]:
    return tuple(desk.settings.url(where) for where in addresses)
