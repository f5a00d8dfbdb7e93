"""Checks of every tenant: its row, its folder, its config, its database."""

import fcntl
import os
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

from tenantry import schema
from tenantry.application import Application, Catalog
from tenantry.builder.config import layers
from tenantry.doctor.checks import Fault
from tenantry.doctor.house import private_faults
from tenantry.errors import TenantryError
from tenantry.operations.adding import left_over
from tenantry.placement import Instance, Placement
from tenantry.registry import Registry
from tenantry.tenant import Status, Tenant

_REPAIR = "`tenantry doctor --repair` clears it up."
_DATABASE_URL = re.compile(r"(sqlite|postgres(ql)?|mysql|mariadb|oracle|mssql)(\+\w+)?:/", re.ASCII | re.IGNORECASE)


class Look:
    """What the checks look at: the registry as it was when they began. It lives as long as the open registry."""

    def __init__(self, instance: Instance, registry: Registry, catalog: Catalog, tenants: list[Tenant]) -> None:
        self.instance = instance
        self.registry = registry
        self.catalog = catalog
        self.tenants = tenants
        self.standing = [one for one in tenants if one.status in {Status.ACTIVE, Status.SUSPENDED}]

    @cached_property
    def applications(self) -> dict[str, Application | TenantryError]:
        """Import each application that a tenant runs, or keep what prevents it."""
        found: dict[str, Application | TenantryError] = {}
        for name in sorted({tenant.application for tenant in self.standing}):
            try:
                found[name] = self.catalog.get(name)
            except TenantryError as error:
                found[name] = error
        return found

    def placed(self) -> Iterator[tuple[Tenant, Placement]]:
        """Go through the tenants whose folder is there."""
        for tenant in self.standing:
            placement = self.instance.placement(tenant.uid)
            if placement.folder.is_dir():
                yield tenant, placement

    def imported(self) -> Iterator[tuple[Tenant, Placement, Application]]:
        """Go through those whose application can be imported as well."""
        for tenant, placement in self.placed():
            application = self.applications[tenant.application]
            if isinstance(application, Application):
                yield tenant, placement, application


def registry_faults(look: Look) -> Iterator[Fault]:
    """Find rows that make no sense, and folders that nobody in the registry owns."""
    for row in look.registry.poison():
        yield Fault(f"The row of {row}", "Mend the row, or restore the registry from a backup.")
    # A row that makes no sense is not among the tenants, and its folder is not a stranger's.
    known = {tenant.uid for tenant in look.tenants}
    lost = [path for path in _folders(look.instance.tenants) if path.name not in known]
    if not look.registry.poison():
        for path in lost:
            yield Fault(f"{path} belongs to no tenant of the registry.", "Move it away, or restore the registry.")


def interrupted_faults(look: Look) -> Iterator[Fault]:
    """Find adds and removals that were cut short, and nobody is at it any more."""
    adding = {tenant.uid: tenant.name for tenant in look.tenants if tenant.status is Status.ADDING}
    for uid in sorted(left_over(look.instance) | adding.keys()):
        if not _is_held(look.instance.staging / f"{uid}.lock"):
            yield Fault(f"An add was cut short: {adding.get(uid, uid)}.", _REPAIR)
    for tenant in look.tenants:
        placement = look.instance.placement(tenant.uid)
        if tenant.status is Status.REMOVED and placement.folder.is_dir():
            if placement.in_use():
                yield Fault(
                    f"{tenant.name} is removed, but its folder is in use and has not moved.", "Try again later."
                )
            else:
                yield Fault(f"A removal was cut short: {tenant.name}.", _REPAIR)


def application_faults(look: Look) -> Iterator[Fault]:
    """Find applications that cannot be imported."""
    for name, found in look.applications.items():
        if isinstance(found, TenantryError):
            waiting = ", ".join(tenant.name for tenant in look.standing if tenant.application == name)
            yield Fault(found.says, found.hint or f"Put it back; these tenants run it: {waiting}.")


def placement_faults(look: Look) -> Iterator[Fault]:
    """Find folders and keys that are missing, not whole, or open to others."""
    for tenant in look.standing:
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
    """Find configs that cannot be read."""
    for tenant, placement, application in look.imported():
        try:
            layers(tenant, application.defaults, placement)
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
    for tenant in look.standing:
        entry = look.registry.trouble(tenant.uid)
        if entry is not None:
            yield Fault(
                f"{tenant.name} fails since {entry.at}: {str(entry.detail.get('reason', '')).rstrip('.')}.",
                f"`tenantry show {tenant.name}` tells more.",
            )


def _shared(
    look: Look, what: str, identities: Callable[[Tenant, Placement, Application], Iterator[Hashable]]
) -> Iterator[Fault]:
    owners: dict[Hashable, list[str]] = defaultdict(list)
    for tenant, placement, application in look.imported():
        for identity in set(identities(tenant, placement, application)):
            owners[identity].append(tenant.name)
    for names in sorted(owners.values()):
        if len(names) > 1:
            yield Fault(
                f"{', '.join(names)} share {what}.", "Give each its own; `tenantry config show` tells from where."
            )


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
    yield from _urls(values)


def _urls(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _urls(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _urls(inner)
    elif isinstance(value, str) and _DATABASE_URL.match(value) and "memory:" not in value:
        yield value


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


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
