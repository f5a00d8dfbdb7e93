"""Who is at it: the lock by which the verbs on one tenant keep out of each other's way.

A verb that touches files, or takes more than one transaction, holds staging/<uid>.lock for its whole run. Whoever has
it knows that nobody else, and no recovery, touches the tenant's files or ends what it has begun; a lock file that
nobody holds belonged to a process that was killed. A verb of one transaction needs none: the registry is lock enough.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tenantry.errors import Refused, Unknown
from tenantry.operations import disk
from tenantry.operations.facts import Desk
from tenantry.placement import Instance
from tenantry.registry import ADD, PURGE, REMOVE, UNDO_REMOVE
from tenantry.tenant import Tenant, is_uid

_BEING = {ADD: "added", REMOVE: "removed", UNDO_REMOVE: "brought back", PURGE: "purged"}


def lock(instance: Instance, uid: str) -> Path:
    """Name the file that is locked while a verb is at a tenant."""
    return instance.staging / f"{uid}.lock"


def left_over(instance: Instance) -> set[str]:
    """Return the uids of verbs that are under way or were cut short: what is not spelled so in staging/ is not ours."""
    if not instance.staging.is_dir():
        return set()
    names = {path.name.removesuffix(".lock") for path in instance.staging.iterdir()}
    return {name for name in names if is_uid(name)}


@contextmanager
def alone(desk: Desk, tenant: Tenant) -> Iterator[None]:
    """Be the only one who moves or deletes the files of a tenant, and see it as it was seen before, or raise Refused.

    A dry run moves nothing.
    """
    if desk.dry_run:
        yield
        return
    path = lock(desk.instance, tenant.uid)
    with ExitStack() as stack:
        with disk.writing(f"The lock {path}"):
            ours = stack.enter_context(disk.alive(path))
        if not ours:
            raise _taken(desk, tenant)
        try:
            _see_unchanged(desk, tenant)
            yield
        finally:
            # What is not at its end is known to the registry: the file is needed no more, and only litter if it stays.
            with suppress(OSError):
                path.unlink()


def _see_unchanged(desk: Desk, tenant: Tenant) -> None:
    # Who had the lock until now may have brought back the one who was to be purged: its folder must stay where it is.
    with suppress(Unknown):
        if desk.registry.by_uid(tenant.uid).revision == tenant.revision:
            return
    raise Refused(
        f"{tenant.name} was changed by another command at the same time; nothing was done.",
        hint="Look at it with `tenantry show` and try again.",
    )


def _taken(desk: Desk, tenant: Tenant) -> Refused:
    verb = next((some.verb for some in desk.registry.pending() if some.uid == tenant.uid), "")
    return Refused(
        f"{tenant.name} is being {_BEING.get(verb, 'changed')} by another command.",
        hint="Try again when that has ended.",
    )
