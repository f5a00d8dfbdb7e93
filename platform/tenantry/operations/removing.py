"""Removing a tenant and taking that back; in between its folder lies in trash/, whole.

Remove sets the status first and moves the folder afterwards:

    1  staging/<uid>.lock    nobody else moves this folder
    2  the row, `removed`    addresses vanish, the names are retired, the journal line has what undo needs: one
                             transaction, which also notes that the removal is pending
    3  the placement's lock  exclusively: every live application lets go once it has followed and its last request ended
    4  rename                tenants/<uid> to trash/<uid>
    5  the row               nothing is pending any more

A removal that is pending while nobody holds the first lock was cut short, by a crash or by a request that ran longer
than the lock was waited for. It is NOT taken back when the lock cannot be had: nobody is admitted any more, nothing is
lost, the rename is all that is missing, and a tenant whose visitors hold endless streams could otherwise never be
removed. The operator gets Unavailable with that sentence; the same command, or any recovery, finishes it. Taking a
removal back needs no folder in trash/: it accepts both places.

Undo notes that it is pending, moves the folder, and brings the row back with the journal line in one transaction, which
is its last. Cut short before, it is a removal that was cut short.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from tenantry.address import Address, Kind
from tenantry.errors import Refused, TenantryError, Unavailable, Unknown
from tenantry.operations import disk, names, standing, underway
from tenantry.operations.facts import Desk, Removed, Restored
from tenantry.placement import Placement
from tenantry.registry import Place, Search, stamp, utc_now
from tenantry.tenant import Status, Tenant


def remove(desk: Desk, tenant: Tenant, seconds: float) -> Removed:
    """Take a tenant's addresses away and move its folder to the trash; a second time finishes or says so."""
    _see_not_between(tenant)
    trash = desk.instance.trash / tenant.uid
    with underway.alone(desk, tenant):
        changed = tenant.status is not Status.REMOVED
        there = _has_not_moved(desk, tenant.uid)
        if changed:
            tenant = desk.registry.remove(tenant.uid, standing.by(desk, tenant, "remove", _kept(desk, tenant)))
        if not desk.dry_run:
            _finish_saying(desk, tenant, seconds)
    return Removed(tenant, changed or there, trash if there or trash.exists() else None, _undo(desk, tenant))


def finish(desk: Desk, uid: str, seconds: float) -> bool:
    """Move a removed tenant's folder to the trash, under its verb's lock; tell whether it was not there yet."""
    placement, trash = desk.instance.placement(uid), desk.instance.trash / uid
    there = _has_not_moved(desk, uid)
    if there:
        with placement.alone(seconds), disk.writing(f"The trash folder {trash}"):
            disk.move(placement.folder, trash)
    desk.registry.settle(uid)
    return there


def _has_not_moved(desk: Desk, uid: str) -> bool:
    # Where its own is in the trash already, what stands in its place is none of it: the doctor tells.
    return desk.instance.placement(uid).folder.exists() and not Placement(desk.instance.trash / uid).exists()


def bring_back(desk: Desk, tenant: Tenant, seconds: float, *, override: bool = False) -> Restored:
    """Bring a removed tenant back with its data, its addresses and the status it had.

    An operator's `override` gives it its name although that was retired by another, or looks like another's, meanwhile.
    """
    _see_not_between(tenant)
    if tenant.status is not Status.REMOVED:
        return Restored(tenant, changed=False, urls=standing.urls(desk, tenant))
    _see_name_free(desk, tenant)
    free, lost = _still_free(desk, _places_before(desk, tenant))
    with underway.alone(desk, tenant):
        _see_there(desk, tenant)
        if desk.dry_run:
            tenant, refused = _readmit(desk, tenant, free, override)
        else:
            desk.registry.returning(tenant.uid, standing.by(desk, tenant, "undo remove"))
            with _returning(desk, tenant, seconds):
                tenant, refused = _readmit(desk, tenant, free, override)
    own = [place for place in free if not place.until]
    return Restored(tenant, changed=True, urls=_urls(desk, own), lost=_urls(desk, [*lost, *refused]))


@contextmanager
def _returning(desk: Desk, tenant: Tenant, seconds: float) -> Iterator[None]:
    """Have a tenant's folder in its place, alone, and put it back where it was if it is not admitted there."""
    folder = desk.instance.placement(tenant.uid).folder
    try:
        if folder.exists():  # the removal was not finished: nothing moves, so nobody who still streams is waited for
            yield
        else:
            with Placement(desk.instance.trash / tenant.uid).alone(seconds):
                with disk.writing(f"The placement of {tenant.name}"):
                    disk.move(desk.instance.trash / tenant.uid, folder)
                yield
    except BaseException:
        # It is removed as before; what cannot be moved now is pending, and moves with the next recovery.
        with suppress(TenantryError, OSError):
            if desk.registry.by_uid(tenant.uid).status is Status.REMOVED:
                finish(desk, tenant.uid, 0.0)
        raise


def _readmit(desk: Desk, tenant: Tenant, places: Sequence[Place], override: bool) -> tuple[Tenant, Sequence[Place]]:
    """Give a tenant its status and places back; its own name was allowed once, and is asked about the others' alone.

    An old name that it may not have any more stops nobody: it comes back without its old ones, which are returned.
    """

    def attempt(some: Sequence[Place]) -> Tenant:
        def readmit(overriding: bool, kept: dict[str, object]) -> Tenant:
            by = standing.by(desk, tenant, "undo remove", kept)
            return desk.registry.bring_back(tenant.uid, some, by, override=overriding)

        return names.overriding(override, readmit)

    old = [place for place in places if place.until]
    try:
        return attempt(places), []
    except Refused:
        if not old:
            raise
    return attempt([place for place in places if not place.until]), old


def _finish_saying(desk: Desk, tenant: Tenant, seconds: float) -> None:
    try:
        finish(desk, tenant.uid, seconds)
    except Unavailable as error:
        raise Unavailable(
            f"{tenant.name} is removed and answers no more, but its data did not move to the trash: {error.says}",
            hint=f"`tenantry remove {tenant.name}` once more finishes it.",
        ) from error


def _see_there(desk: Desk, tenant: Tenant) -> None:
    """See that a removed tenant's folder is in the trash, or not there yet, and that nothing stands in its place."""
    placed, trash = desk.instance.placement(tenant.uid), Placement(desk.instance.trash / tenant.uid)
    if trash.exists() and placed.folder.exists():
        raise Refused(
            f"{placed.folder} stands where the folder of {tenant.name} belongs, which is in {trash.folder.parent}.",
            hint="Move it away first.",
        )
    if not (trash.folder.exists() or placed.folder.exists()):
        raise Refused(
            f"{tenant.name} cannot come back: its folder is neither in {placed.folder.parent} nor in "
            f"{trash.folder.parent}.",
            hint="Restore the folder first.",
        )


def _see_not_between(tenant: Tenant) -> None:
    if tenant.status is Status.ADDING:
        raise standing.being_added(tenant)
    if tenant.status is Status.PURGING:
        raise Refused(
            f"{tenant.name} is being purged and cannot come back.",
            hint=f"`tenantry purge {tenant.name}` goes on with it.",
        )


def _see_name_free(desk: Desk, tenant: Tenant) -> None:
    try:
        other = desk.registry.get(tenant.name)
    except Unknown:
        return
    if other.uid != tenant.uid:
        raise Refused(
            f"{tenant.name} ({tenant.uid}) cannot come back: another tenant is called so by now.",
            hint=f"`tenantry show {other.name}` tells whose it is.",
        )


def _undo(desk: Desk, tenant: Tenant) -> str:
    return f"tenantry remove {standing.found_by(desk, tenant)} --undo"


def _kept(desk: Desk, tenant: Tenant) -> dict[str, object]:
    """Spell what undo needs: the addresses, and until when those of old names lead here."""
    places = desk.registry.places(tenant.uid)
    old = {place.address.key: place.until for place in places if place.until}
    kept: dict[str, object] = {"addresses": [place.address.key for place in places if not place.until]}
    return {**kept, "until": old} if old else kept


def _places_before(desk: Desk, tenant: Tenant) -> list[Place]:
    """Read from the journal at which addresses the tenant was when it was removed, but for old names of the past."""
    for entry in desk.registry.journal(Search(uid=tenant.uid, verb="remove", limit=1)):
        kept, old = entry.detail.get("addresses"), entry.detail.get("until", {})
        if isinstance(kept, list) and isinstance(old, dict):
            ends = {**dict.fromkeys(map(str, kept), ""), **{str(key): str(until) for key, until in old.items()}}
            now = stamp(utc_now())
            with suppress(ValueError):  # a damaged line
                return [Place(_address(key), until) for key, until in ends.items() if not until or until > now]
    return [Place(Address(Kind.SUBDOMAIN, tenant.name))]


def _address(key: str) -> Address:
    kind, _, value = key.partition(":")
    return Address(Kind(kind), value)


def _still_free(desk: Desk, wanted: Sequence[Place]) -> tuple[list[Place], list[Place]]:
    """Tell which of these addresses nobody has by now."""
    free: list[Place] = []
    lost: list[Place] = []
    for place in wanted:
        try:
            desk.registry.find(place.address)
            lost.append(place)
        except Unknown:
            free.append(place)
        except Unavailable:  # the row of whoever has it makes no sense
            lost.append(place)
    return free, lost


def _urls(desk: Desk, places: Sequence[Place]) -> tuple[str, ...]:
    return tuple(desk.settings.url(place.address) for place in places)
