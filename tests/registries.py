"""A registry on the disk, and tenants in it, for the tests of the book."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tenantry.address import Address, Kind
from tenantry.registry import By, Registry
from tenantry.tenant import Status, Tenant, new_uid

ADD = By("ada", "add", {"title": "Acme"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "registry.sqlite3"


@pytest.fixture
def registry(path: Path) -> Iterator[Registry]:
    with Registry.open(path) as opened:
        yield opened


def subdomain(name: str) -> Address:
    return Address(Kind.SUBDOMAIN, name)


def domain(name: str) -> Address:
    return Address(Kind.DOMAIN, name)


def intend(registry: Registry, name: str, *addresses: Address, uid: str = "", override: bool = False) -> Tenant:
    tenant = Tenant(uid or new_uid(), name, "gazette", Status.ADDING, 0, title=name.title())
    return registry.intend(tenant, addresses or [subdomain(name)], override=override)


def add(registry: Registry, name: str, *addresses: Address) -> Tenant:
    return registry.activate(intend(registry, name, *addresses).uid, ADD)


def spoil(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as raw:
        raw.execute(statement, values)
        raw.commit()
