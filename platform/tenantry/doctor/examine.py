"""The order of the checks: what a later one needs, an earlier one has found whole."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from tenantry import settings
from tenantry.application import Catalog
from tenantry.doctor import house, rooms
from tenantry.doctor.checks import Check, verdict
from tenantry.errors import TenantryError
from tenantry.placement import Instance
from tenantry.registry import Registry


def examine(root: Path, overrides: Mapping[str, object] | None = None) -> list[Check]:
    """Look at settings, folders, the registry and every tenant of the checkout or working folder `root`."""
    try:
        known = settings.read(root, os.environ, overrides).settings
    except TenantryError as error:
        return [Check("settings", False, error.says, error.hint)]
    instance = Instance(known.instance)
    found = [
        *verdict("settings", house.settings_faults(known), f"read from {root}"),
        *verdict("instance", house.instance_faults(instance), f"{instance.root} is there and private"),
    ]
    return found if not instance.registry.is_file() else [*found, *_inside(root, instance)]


def _inside(root: Path, instance: Instance) -> Iterator[Check]:
    try:
        registry = Registry.open(instance.registry)
    except TenantryError as error:
        yield Check("registry", False, error.says, error.hint)
        return
    with registry:
        look = rooms.Look(instance, registry, Catalog(root))
        count = look.count()
        tenants = f"{count} tenant{'' if count == 1 else 's'}"
        yield from verdict("registry", rooms.registry_faults(look), f"{tenants}, at revision {registry.revision()}")
        yield from verdict("interrupted", rooms.interrupted_faults(look), "nothing was cut short")
        yield from verdict("applications", rooms.application_faults(look), "each can be imported")
        yield from verdict("placements", rooms.placement_faults(look), f"{tenants} with all files, private and whole")
        yield from verdict("config", rooms.config_faults(look), "each can be read")
        yield from verdict("databases", rooms.database_faults(look), "no two tenants share one")
        yield from verdict("schema", rooms.schema_faults(look), "each is at its application's newest revision")
        yield from verdict("builds", rooms.build_faults(look), "none is failing")
