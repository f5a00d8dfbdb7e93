"""Who is at it: the lock by which the verbs on one tenant keep out of each other's way.

A verb that touches files, or takes more than one transaction, holds staging/<uid>.lock for its whole run. Whoever has
it knows that nobody else, and no recovery, touches the tenant's files or ends what it has begun; a lock file that
nobody holds belonged to a process that was killed. A verb of one transaction needs none: the registry is lock enough.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

from tenantry.errors import Refused, Unknown
from tenantry.operations import disk
from tenantry.operations.facts import Desk
from tenantry.placement import Instance
from tenantry.registry import BEING
from tenantry.tenant import Tenant, is_uid

# A recovery that only looks whether somebody is dead has the lock for a moment, for which nobody is to be turned away.
_PATIENCE = 1.0
_PAUSE = 0.01


def lock(instance: Instance, uid: str) -> Path:
    """Name the file that is locked while a verb is at a tenant."""
    return instance.staging / f"{uid}.lock"


def left_over(instance: Instance) -> set[str]:
    """Return the uids of verbs that are under way or were cut short: what is not spelled so in staging/ is not ours."""
    if not instance.staging.is_dir():
        return set()
    names = {path.name.removesuffix(".lock") for path in instance.staging.iterdir()}
    return {name for name in names if is_uid(name)}


def drafts(instance: Instance) -> list[Path]:
    """Name the folders in which somebody edits a config, or has left what was typed: staging/<uid>-edit-*.

    No recovery deletes them: it is an operator's text. A purge does.
    """
    return [path for path in instance.staging.glob("*-edit-*") if is_uid(whose(path))]


def whose(draft: Path) -> str:
    """Tell the uid of the tenant whose config a draft is of."""
    return draft.name.partition("-")[0]


@contextmanager
def holding(desk: Desk, uid: str, wait: float = _PATIENCE, *, make: bool = True) -> Iterator[None]:
    """Hold the lock of the verbs on one tenant; raise Refused if another has it for longer than `wait`.

    The file is deleted at the end, here and nowhere else: what is not at its end by then is known to the registry, or
    has a folder in staging/. Unless it is to `make` one, it is Refused as well where there is no file.
    """
    path = lock(desk.instance, uid)
    with disk.writing(f"The lock {path}"):
        descriptor = _take(path, wait, make)
    if descriptor is None:
        raise _taken(desk, uid)
    try:
        yield
    finally:
        try:
            _delete_own(path, descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def alone(desk: Desk, tenant: Tenant) -> Iterator[None]:
    """Be the only one who moves or deletes the files of a tenant, and see it as it was seen before, or raise Refused.

    A dry run moves nothing.
    """
    if desk.dry_run:
        yield
        return
    with holding(desk, tenant.uid):
        _see_unchanged(desk, tenant)
        yield


def _take(path: Path, wait: float, make: bool) -> int | None:
    deadline = monotonic() + wait
    while (descriptor := disk.take(path, make=make)) is None and monotonic() < deadline:
        sleep(_PAUSE)
    return descriptor


def _delete_own(path: Path, descriptor: int) -> None:
    """Delete a lock file while it is held, so that it is nobody else's; one that stays is litter and locks nobody out.

    Whoever has cleared away staging/ by hand has made room for another's file.
    """
    with suppress(OSError):
        if os.path.samestat(os.fstat(descriptor), path.stat()):
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


def _taken(desk: Desk, uid: str) -> Refused:
    name, verb = uid, ""
    with suppress(Unknown):
        name = desk.registry.by_uid(uid).name
    for some in desk.registry.pending(uid):
        verb = some.verb
    return Refused(
        f"{name} is being {BEING.get(verb, 'changed')} by another command.", hint="Try again when that has ended."
    )
