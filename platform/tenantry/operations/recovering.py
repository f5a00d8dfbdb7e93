"""Bringing every interrupted verb to its end, as any process does when it starts: a second time there is nothing.

What was cut short is found without looking at all tenants: the registry knows which verbs are pending, and staging/ has
a lock file, or a half-made folder, of each that was killed. Whose lock is held is still running and left alone.

A process that starts, a command or a server, recovers quickly. A purge deletes as much as a tenant can have, and one
that meets a file that stays would do so each time: it is finished then only if no more than 2,000 files and folders are
left of it, and none is begun after half a second. The others wait for the same `purge` again or for `doctor --repair`.
"""

from contextlib import suppress
from math import inf
from time import monotonic

from tenantry.errors import TenantryError, Unknown
from tenantry.operations import adding, keeping, purging, removing, stores, underway
from tenantry.operations.facts import Desk, Mended
from tenantry.registry import ADD, PURGE, REMOVE, UNDO_REMOVE
from tenantry.tenant import Tenant

_UNDONE = "an interrupted add was undone"
_MOVED = {
    REMOVE: "an interrupted removal was finished",
    UNDO_REMOVE: "an interrupted undo of a removal was taken back again",
}
_PURGED = "an interrupted purge was finished"
_QUICK_FILES = 2000
_QUICK_SECONDS = 0.5


def recover(desk: Desk, quick: bool = False) -> tuple[Mended, ...]:
    """Finish every removal and purge, and undo every add and change of a config, whose process is dead.

    A `quick` one leaves a purge that would take long as it is.
    """
    if desk.dry_run:
        return ()
    pending = {some.uid for some in desk.registry.pending()}
    latest = monotonic() + _QUICK_SECONDS if quick else inf
    mended = []
    for uid in sorted(pending | underway.left_over(desk.instance)):
        # A row that makes no sense or a file that stays must not keep the others from being mended.
        with suppress(TenantryError, OSError):
            name, says = _alone(desk, uid, uid in pending, latest)
            if says:
                mended.append(Mended(uid, name, says))
    return tuple(mended)


def _alone(desk: Desk, uid: str, pending: bool, latest: float) -> tuple[str, str]:
    """Bring one verb to its end, unless it is still running; return whose it was and what was done.

    A lock file is made only where there may be something to mend: one that is gone, its owner has just deleted.
    """
    make = pending or (desk.instance.staging / uid).is_dir()
    with underway.holding(desk, uid, 0.0, make=make):
        # What was read before the lock was had may be over by now.
        verb = next((some.verb for some in desk.registry.pending(uid)), "")
        try:
            tenant = desk.registry.by_uid(uid)
        except Unknown:
            return "", _UNDONE if adding.undo(desk, uid) else ""
        return tenant.name, _mend(desk, tenant, verb, latest)


def _mend(desk: Desk, tenant: Tenant, verb: str, latest: float) -> str:
    if verb == ADD:
        return _UNDONE if adding.undo(desk, tenant.uid) else ""
    if verb == PURGE:
        if latest < inf and not (monotonic() < latest and stores.is_small(desk, tenant.uid, _QUICK_FILES)):
            return ""
        purging.finish(desk, tenant)
        return _PURGED
    mended = keeping.recover(desk, tenant)
    if verb in _MOVED and removing.finish(desk, tenant.uid, 0.0):
        return _MOVED[verb]
    return mended
