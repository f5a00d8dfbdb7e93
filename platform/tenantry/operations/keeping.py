"""A tenant's config as it was, kept in staging/ while it is being changed: a change that is cut short is undone.

    staging/<uid>/config-before.json   the tenant's revision and its two files, before either of them is touched

It is deleted once the change is in the journal. Whoever finds it, under the tenant's lock, asks the journal: if the
change is there, all of it was done, and else the files are put back.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tenantry.errors import TenantryError, Unavailable
from tenantry.locks import locked
from tenantry.operations import disk
from tenantry.operations.facts import Desk
from tenantry.placement import Placement, sync
from tenantry.registry import Search
from tenantry.tenant import Tenant

SET, UNSET, EDIT = "config set", "config unset", "config edit"
_VERBS = frozenset({SET, UNSET, EDIT})
_NAME = "config-before.json"
AS_IT_WAS = "The config is as it was."


@dataclass(frozen=True, slots=True)
class _Before:
    """What is kept: the content of each file by its name, None for one that was not there."""

    revision: int
    files: Mapping[str, bytes | None]


@contextmanager
def kept(desk: Desk, tenant: Tenant, placement: Placement) -> Iterator[None]:
    """Keep both files as they are, and put them back if what is done meanwhile raises anything."""
    before = _Before(tenant.revision, {path.name: content(path) for path in (placement.config, placement.secrets)})
    folder = desk.instance.staging / tenant.uid
    try:
        with disk.writing(f"The copy of the config in {folder}", hint=AS_IT_WAS):
            _write(folder, before)
        yield
    except BaseException:
        # Ctrl-C may come just after the change has been written into the journal: then it is done.
        if not _done(desk, tenant, before):
            _put_back(placement, before)
        _forget(folder)
        raise
    _forget(folder)


def recover(desk: Desk, tenant: Tenant) -> str:
    """Bring a change of config to its end that was cut short, and say what was done; the tenant's lock is held.

    Where it had not kept anything yet, nothing was touched, and what it left is cleared away without a word.
    """
    folder = desk.instance.staging / tenant.uid
    if not folder.is_dir():
        return ""
    before = _read(folder / _NAME) if is_kept(folder) else None
    says = ""
    if before is not None:
        done = _journaled(desk, tenant, before)
        says = f"an interrupted change of its config was {'finished' if done else 'undone'}"
        places = (desk.instance.placement(tenant.uid).folder, desk.instance.trash / tenant.uid)
        for place in places:
            if place.is_dir() and not done:
                with locked(place):
                    _put_back(Placement(place), before)
    disk.delete(folder)
    return says


def is_kept(folder: Path) -> bool:
    """Tell whether a folder of staging/ keeps a config as it was."""
    return (folder / _NAME).is_file()


def content(path: Path) -> bytes | None:
    """Read one of the two files, None if it is not there."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {disk.spelled(error)}.", hint="See tenantry doctor.") from error


def _done(desk: Desk, tenant: Tenant, before: _Before) -> bool:
    # A registry that cannot be asked could not take note of the change either.
    with suppress(TenantryError):
        return _journaled(desk, tenant, before)
    return False


def _journaled(desk: Desk, tenant: Tenant, before: _Before) -> bool:
    since = Search(uid=tenant.uid, since=str(before.revision))
    return any(line.verb in _VERBS for line in desk.registry.journal(since))


def _write(folder: Path, before: _Before) -> None:
    files = {
        name: None if old is None else old.decode("utf-8", "surrogateescape") for name, old in before.files.items()
    }
    folder.mkdir(mode=0o700, exist_ok=True)
    disk.own_like(folder, folder.parent)
    disk.write(folder / _NAME, json.dumps({"revision": before.revision, "files": files}).encode())
    sync(folder)
    sync(folder.parent)


def _read(path: Path) -> _Before | None:
    """Read what was kept; None if it was not written to its end, and so nothing was touched yet."""
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        return None
    files = {
        name: None if old is None else old.encode("utf-8", "surrogateescape") for name, old in found["files"].items()
    }
    return _Before(found["revision"], files)


def _put_back(placement: Placement, before: _Before) -> None:
    """Give each file the content that it had; there may be no room for that either."""
    for name, old in before.files.items():
        path = placement.folder / name
        with suppress(OSError):
            disk.aside(path).unlink()  # what a write began that was killed
        if content(path) == old:
            continue
        try:
            if old is not None:
                disk.replace(path, old)
                continue
            path.unlink()
            sync(path.parent)
        except OSError as error:
            raise Unavailable(
                f"{path} was changed, its change did not come to its end, and it cannot be put back: "
                f"{disk.spelled(error)}.",
                hint="The next command that can write puts it back.",
            ) from error


def _forget(folder: Path) -> None:
    # What stays is found by `recover`, which asks the journal whether the change was done.
    with suppress(OSError):
        disk.delete(folder)
