"""Tenants with placements, and a builder of their applications, for tests that need no registry."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tenantry.address import Address, Kind
from tenantry.application import Catalog
from tenantry.builder import Builder, Built
from tenantry.placement import Instance
from tenantry.settings import Settings
from tenantry.tenant import Status, Tenant, new_uid

ROOT = Path(__file__).resolve().parent.parent
KEY = bytes(range(32))

Place = Callable[..., Tenant]
Build = Callable[..., Built]


def builder_of(instance: Instance, known: Settings, root: Path = ROOT) -> Builder:
    """Make a builder for the applications of a root."""

    def url(tenant: Tenant, mount: str) -> str:
        return known.url(Address(Kind.PATH if mount else Kind.SUBDOMAIN, tenant.name))

    return Builder(instance, Catalog(root), url)


@pytest.fixture
def place(instance: Instance) -> Place:
    """Make a tenant with a placement of its own."""

    def place(application: str = "tests.applications:notes", name: str = "acme", key: bytes = KEY) -> Tenant:
        tenant = Tenant(new_uid(), name, application, Status.ACTIVE, revision=1)
        placement = instance.placement(tenant.uid)
        placement.files.mkdir(parents=True)
        placement.key.write_bytes(key)
        return tenant

    return place


@pytest.fixture
def builder(instance: Instance) -> Builder:
    return builder_of(instance, Settings())


@pytest.fixture
def build(builder: Builder) -> Iterator[Build]:
    """Build and close afterwards."""
    made: list[Built] = []

    def build(tenant: Tenant, mount: str = "") -> Built:
        made.append(builder.build(tenant, mount))
        return made[-1]

    yield build
    for built in made:
        built.close()
