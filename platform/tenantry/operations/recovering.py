"""Bringing every interrupted verb to its end, as any process does when it starts: a second time there is nothing.

What was cut short is found without looking at all tenants: the registry knows which verbs are pending, and staging/ has
a lock file, or a half-made folder, of each that was killed. Whose lock is held is still running and left alone.
"""

from contextlib import suppress

from tenantry.errors import TenantryError, Unknown
from tenantry.operations import adding, disk, keeping, purging, removing, underway
from tenantry.operations.facts import Desk, Mended
from tenantry.registry import UNDO_REMOVE
from tenantry.tenant import Status, Tenant

_UNDONE = "an interrupted add was undone"
_FINISHED = "an interrupted removal was finished"
_TAKEN_BACK = "an interrupted undo of a removal was taken back again"


def recover(desk: Desk) -> tuple[Mended, ...]:
    """Finish every removal and purge, and undo every add and change of a config, whose process is dead."""
    if desk.dry_run:
        return ()
    verbs = {some.uid: some.verb for some in desk.registry.pending()}
    mended = []
    for uid in sorted(verbs.keys() | underway.left_over(desk.instance)):
        # A row that makes no sense or a file that stays must not keep the others from being mended.
        with suppress(TenantryError, OSError):
            name, says = _alone(desk, uid, verbs.get(uid, ""))
            if says:
                mended.append(Mended(uid, name, says))
    return tuple(mended)


def _alone(desk: Desk, uid: str, verb: str) -> tuple[str, str]:
    """Bring one verb to its end, unless it is still running; return whose it was and what was done."""
    with disk.alive(underway.lock(desk.instance, uid)) as ours:
        if not ours:
            return "", ""
        try:
            tenant = desk.registry.by_uid(uid)
            return tenant.name, _mend(desk, tenant, verb)
        except Unknown:
            return "", _UNDONE if adding.undo(desk, uid) else ""
        finally:
            # Something in staging/ is found again by the file's name as well as by its own.
            underway.lock(desk.instance, uid).unlink(missing_ok=True)


def _mend(desk: Desk, tenant: Tenant, verb: str) -> str:
    mended = keeping.recover(desk, tenant)
    if tenant.status is Status.REMOVED:
        moved = removing.finish(desk, tenant.uid, 0.0)
        return (_TAKEN_BACK if verb == UNDO_REMOVE else _FINISHED) if moved else mended
    if tenant.status is Status.PURGING:
        purging.finish(desk, tenant)
        return "an interrupted purge was finished"
    return _UNDONE if adding.undo(desk, tenant.uid) else mended
