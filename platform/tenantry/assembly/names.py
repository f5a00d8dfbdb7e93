"""Which tenants and applications there are, for a shell that completes: nothing is imported that serves."""

import os
from collections.abc import Mapping
from pathlib import Path

from tenantry import settings
from tenantry.application import Catalog
from tenantry.placement import Instance
from tenantry.registry import Registry, Selection, Terms
from tenantry.tenant import Status

# More than fit on a screen: a person types another letter.
_AT_MOST = 200


def names(
    root: Path, overrides: Mapping[str, object] | None = None, prefix: str = "", *, removed: bool = False
) -> list[str]:
    """Return the first 200 names that begin with `prefix`, of standing tenants or of `removed` ones.

    Where there is no registry there are none, and none is made.
    """
    instance = Instance(settings.read(root, os.environ, overrides).settings.instance)
    if not instance.registry.is_file():
        return []
    wanted = Selection(status=Status.REMOVED) if removed else Selection()
    # A key that is pressed in passing upgrades nothing: of an older registry it knows no names.
    with Registry.open(instance.registry, terms=Terms(rehearsal=True)) as registry:
        page = registry.page(wanted, (prefix, ""), _AT_MOST)
    return list(dict.fromkeys(tenant.name for tenant in page.tenants if tenant.name.startswith(prefix)))


def applications(root: Path) -> list[str]:
    """Return the names of the applications in `tenants/`."""
    return Catalog(root).names()
