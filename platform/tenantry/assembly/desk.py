"""What an operator's verb needs: settings, book, catalog and builder."""

import getpass
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tenantry import settings
from tenantry.address import Address, Kind
from tenantry.application import Catalog
from tenantry.assembly import sign
from tenantry.builder import Builder
from tenantry.operations import Desk, Operations
from tenantry.placement import Instance
from tenantry.registry import Registry
from tenantry.settings import Settings
from tenantry.tenant import Tenant


@contextmanager
def open_operations(root: Path, overrides: Mapping[str, object] | None = None) -> Iterator[Operations]:
    """Open the operator's desk on the instance folder that the settings below `root` name."""
    with open_desk(root, sign.read(settings.read(root, os.environ, overrides).settings)) as desk:
        yield Operations(desk)


@contextmanager
def open_desk(root: Path, known: Settings) -> Iterator[Desk]:
    """Prepare the instance folder, open its registry and lay out the desk around it."""
    instance = Instance(known.instance)
    instance.prepare()
    with Registry.open(instance.registry) as registry:
        yield _desk(root, known, instance, registry)


def _desk(root: Path, known: Settings, instance: Instance, registry: Registry) -> Desk:
    catalog = Catalog(root)

    def builder() -> Builder:
        return Builder(instance, catalog, public_url(known))

    return Desk(settings=known, instance=instance, registry=registry, catalog=catalog, builder=builder, who=operator())


def public_url(known: Settings) -> Callable[[Tenant, str], str]:
    """Make what tells a live application its own address: by its mount, else by its subdomain."""

    def url(tenant: Tenant, mount: str) -> str:
        return known.url(Address(Kind.PATH if mount else Kind.SUBDOMAIN, tenant.name))

    return url


def operator() -> str:
    """Name the operating system's user for the journal."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
