"""Checks of every tenant: its row, its folder, its config, its database."""

import fcntl
import os
from collections.abc import Callable, Hashable, Iterator
from itertools import islice
from pathlib import Path

from tenantry import databases, policy, schema
from tenantry.application import Application, Catalog
from tenantry.builder.config import layers
from tenantry.doctor.checks import Fault
from tenantry.doctor.house import private_faults
from tenantry.errors import TenantryError, Unknown
from tenantry.operations import keeping, underway
from tenantry.operations.underway import left_over, lock
from tenantry.placement import Instance, Placement
from tenantry.policy import Policy
from tenantry.registry import ADD, PURGE, REMOVE, UNDO_REMOVE, Registry, Search, Selection
from tenantry.registry.values import FAILING
from tenantry.tenant import STANDING, Status, Tenant

_REPAIR = "`tenantry doctor --repair` clears it up."
_CUT_SHORT = {ADD: "An add", REMOVE: "A removal", UNDO_REMOVE: "An undo of a removal"}
_MOVES = {REMOVE, UNDO_REMOVE}
# Folders that are looked up at once, tenants that are named in one sentence, journal lines that are searched.
_AT_ONCE = 500
_NAMED = 10
_LINES = 10_000


class Look:
    """What the checks look at, page by page: a million tenants take no more room than a thousand.

    It lives as long as the open registry.
    """

    def __init__(self, instance: Instance, registry: Registry, catalog: Catalog) -> None:
        self.instance = instance
        self.registry = registry
        self._catalog = catalog
        self._applications: dict[str, Application | TenantryError] = {}

    def count(self) -> int:
        """Count the tenants that are in service."""
        return sum(self.registry.count(Selection(status=status)) for status in STANDING)

    def standing(self) -> Iterator[Tenant]:
        """Go through the tenants that are in service, by name."""
        for page in self.registry.pages(Selection()):
            yield from (tenant for tenant in page.tenants if tenant.status in STANDING)

    def application(self, name: str) -> Application | TenantryError:
        """Import an application, or return what prevents it."""
        if name not in self._applications:
            try:
                self._applications[name] = self._catalog.get(name)
            except TenantryError as error:
                self._applications[name] = error
        return self._applications[name]

    def placed(self) -> Iterator[tuple[Tenant, Placement]]:
        """Go through the tenants whose folder is there."""
        for tenant in self.standing():
            placement = self.instance.placement(tenant.uid)
            if placement.folder.is_dir():
                yield tenant, placement

    def imported(self) -> Iterator[tuple[Tenant, Placement, Application]]:
        """Go through those whose application can be imported as well."""
        for tenant, placement in self.placed():
            application = self.application(tenant.application)
            if isinstance(application, Application):
                yield tenant, placement, application


def registry_faults(look: Look) -> Iterator[Fault]:
    """Find rows that make no sense, folders that nobody in the registry owns, and removed tenants that have none."""
    rows = [row for page in look.registry.pages(Selection(removed=True)) for row in page.unreadable]
    for row in rows:
        yield Fault(f"The row of {row}", "Mend the row, or restore the registry from a backup.")
    if not rows:  # one that makes no sense may own any folder
        yield from sorted((*_lost(look), *_lost_in_trash(look)), key=lambda fault: fault.says)
    yield from _without_folder(look)


def _lost(look: Look) -> Iterator[Fault]:
    pending = {some.uid for some in look.registry.pending()}
    folders = _folders(look.instance.tenants)
    while some := list(islice(folders, _AT_ONCE)):
        # Whoever is in service has an address, and many are asked for at once.
        for uid in (uid for uid, found in look.registry.addresses_of(some).items() if not found and uid not in pending):
            folder = look.instance.tenants / uid
            try:
                tenant = look.registry.by_uid(uid)
            except Unknown:
                yield _nobodys(folder)
                continue
            if tenant.status is Status.REMOVED:
                yield Fault(
                    f"{tenant.name} is removed, and its folder is {folder}.", f"Move it to {look.instance.trash}."
                )


def _lost_in_trash(look: Look) -> Iterator[Fault]:
    for uid in _folders(look.instance.trash):
        try:
            look.registry.by_uid(uid)
        except Unknown:
            yield _nobodys(look.instance.trash / uid)


def _nobodys(folder: Path) -> Fault:
    return Fault(f"{folder} belongs to no tenant of the registry.", "Move it away, or restore the registry.")


def _without_folder(look: Look) -> Iterator[Fault]:
    """Find removed tenants that could not come back."""
    for page in look.registry.pages(Selection(status=Status.REMOVED)):
        for tenant in page.tenants:
            places = (look.instance.tenants / tenant.uid, look.instance.trash / tenant.uid)
            if not any(place.is_dir() for place in places):
                yield Fault(
                    f"{tenant.name} is removed, and its folder is neither {places[0]} nor {places[1]}.",
                    f"Restore it, or `tenantry purge {tenant.uid}`.",
                )


def _drafts(look: Look) -> Iterator[Fault]:
    """Find what somebody typed in `config edit` and has not saved: it is the operator's to delete."""
    for path in sorted(underway.drafts(look.instance)):
        try:
            whose = look.registry.by_uid(underway.whose(path)).name
        except TenantryError:
            whose = underway.whose(path)
        yield Fault(
            f"{path} is what somebody typed in `tenantry config edit {whose}`, and has not saved.",
            "If nobody is editing it now, save from it what is wanted and delete it: there may be secrets in it.",
        )


def interrupted_faults(look: Look) -> Iterator[Fault]:
    """Find verbs that were cut short, and nobody is at it any more."""
    pending = {some.uid: some for some in look.registry.pending()}
    for uid in sorted(pending.keys() | left_over(look.instance)):
        if _is_held(lock(look.instance, uid)):
            continue
        if uid not in pending:
            yield Fault(f"{_left_by(look, uid)}.", _REPAIR)
        elif pending[uid].verb == PURGE:
            yield Fault(
                f"A purge was cut short: {pending[uid].name}.",
                f"`tenantry purge {uid}` goes on with it, and tells what cannot be deleted; or {_REPAIR}",
            )
        elif pending[uid].verb in _MOVES and _is_in_use(look.instance.placement(uid)):
            yield Fault(
                f"{pending[uid].name} is removed, but its folder is in use and has not moved.", "Try again later."
            )
        else:
            yield Fault(f"{_CUT_SHORT.get(pending[uid].verb, 'A verb')} was cut short: {pending[uid].name}.", _REPAIR)
    yield from _drafts(look)


def _left_by(look: Look, uid: str) -> str:
    """Say what was killed that the registry knows nothing of."""
    staged = look.instance.staging / uid
    if keeping.is_kept(staged):
        return f"A change of a config was cut short: {uid}"
    if not staged.exists():
        return f"A command was killed and left its lock, {lock(look.instance, uid)}"
    try:
        look.registry.by_uid(uid)
    except Unknown:
        return f"An add was cut short: {uid}"
    except TenantryError:
        pass  # told of as a row that makes no sense
    return f"A command was killed and left {staged}"


def application_faults(look: Look) -> Iterator[Fault]:
    """Find applications that cannot be imported."""
    failing: dict[str, tuple[TenantryError, list[str]]] = {}
    for tenant in look.standing():
        found = look.application(tenant.application)
        if isinstance(found, TenantryError):
            _, names = failing.setdefault(tenant.application, (found, []))
            if len(names) <= _NAMED:
                names.append(tenant.name)
    for name in sorted(failing):
        error, names = failing[name]
        waiting = ", ".join(names[:_NAMED]) + (" and others" if len(names) > _NAMED else "")
        yield Fault(error.says, error.hint or f"Put it back; these tenants run it: {waiting}.")


def placement_faults(look: Look) -> Iterator[Fault]:
    """Find folders and keys that are missing, not whole, or open to others."""
    for tenant in look.standing():
        placement = look.instance.placement(tenant.uid)
        if not placement.folder.is_dir():
            yield Fault(
                f"The folder of {tenant.name}, {placement.folder}, is missing.",
                f"Restore it, or `tenantry remove {tenant.name}`.",
            )
            continue
        for path in (placement.key, placement.files):
            if not path.exists():
                yield Fault(f"{path} of {tenant.name} is missing.", "Restore it from a backup.")
        if placement.key.is_file() and placement.key.stat().st_size < 32:
            yield Fault(f"The key of {tenant.name} is too short to be whole.", "Restore it from a backup.")
        for path in (placement.folder, placement.key, placement.config, placement.secrets, placement.files):
            yield from private_faults(path, 0o077)


def config_faults(look: Look) -> Iterator[Fault]:
    """Find configs that cannot be read, and limits in them that are none."""
    for tenant, placement, application in look.imported():
        try:
            policy.merged(layers(tenant, application.defaults, placement), Policy())
        except TenantryError as error:
            yield Fault(f"{tenant.name}: {error.says}", error.hint)


def database_faults(look: Look) -> Iterator[Fault]:
    """Find two tenants with one database: one file under two names, or one URL in two configs."""
    yield from _shared(look, "the database file", lambda _, placement, __: _same_file(placement.database))
    yield from _shared(look, "the database", _database_urls)


def schema_faults(look: Look) -> Iterator[Fault]:
    """Find databases behind their application's newest revision."""
    heads: dict[str, str | None] = {}
    for tenant, placement, application in look.imported():
        if application.migrations is None:
            continue
        try:
            if application.name not in heads:
                made = schema.template(application.migrations, look.instance.templates, application.name)
                heads[application.name] = schema.current(made)
            current = schema.current(placement.database)
        except TenantryError as error:
            yield Fault(f"{tenant.name}: {error.says}", error.hint)
            continue
        if current != heads[application.name]:
            yield Fault(
                f"The database of {tenant.name} is at {current or 'nothing'}, its application {application.name} at "
                f"{heads[application.name] or 'nothing'}.",
                "Migrate it, or put back the code that fits it.",
            )


def build_faults(look: Look) -> Iterator[Fault]:
    """Find tenants whose application fails to build in the serving processes."""
    lines = look.registry.journal(Search(verb=FAILING, limit=_LINES))
    for uid, name in sorted({line.uid: line.name for line in lines}.items(), key=lambda failing: failing[1]):
        entry = look.registry.trouble(uid)
        if entry is not None:
            yield Fault(
                f"{name} fails since {entry.at}: {str(entry.detail.get('reason', '')).rstrip('.')}.",
                f"`tenantry show {name}` tells more.",
            )


def _shared(
    look: Look, what: str, identities: Callable[[Tenant, Placement, Application], Iterator[Hashable]]
) -> Iterator[Fault]:
    first: dict[Hashable, str] = {}  # the one thing that grows with the number of tenants: any two may share
    shared: dict[Hashable, list[str]] = {}
    for tenant, placement, application in look.imported():
        for identity in set(identities(tenant, placement, application)):
            owner = first.setdefault(identity, tenant.name)
            if owner != tenant.name:
                shared.setdefault(identity, [owner]).append(tenant.name)
    for names in sorted(shared.values()):
        yield Fault(f"{', '.join(names)} share {what}.", "Give each its own; `tenantry config show` tells from where.")


def _same_file(path: Path) -> Iterator[Hashable]:
    if path.exists():
        found = path.stat()
        yield found.st_dev, found.st_ino


def _database_urls(tenant: Tenant, placement: Placement, application: Application) -> Iterator[Hashable]:
    values: dict[str, object] = {}
    try:
        for _, layer in layers(tenant, application.defaults, placement):
            values.update(layer)
    except TenantryError:
        return
    yield from databases.urls(values)


def _is_held(lock: Path) -> bool:
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _is_in_use(placement: Placement) -> bool:
    return placement.folder.is_dir() and placement.in_use()


def _folders(folder: Path) -> Iterator[str]:
    if folder.is_dir():
        with os.scandir(folder) as entries:
            yield from (entry.name for entry in entries if entry.is_dir())
