"""All custom domains of standing tenants, page by page: what a web server in front has to know."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, LargeBinary, Text, cast, literal, select

from tenantry import address
from tenantry.address import Address, Kind
from tenantry.registry import rows, tables
from tenantry.registry.values import DomainPage
from tenantry.tenant import STANDING, Status

_FIRST = Address(Kind.DOMAIN, "").key
# The character after the colon: in the order of the index all domains lie between the two.
_LAST = f"{Kind.DOMAIN.value};"


def page(connection: Connection, after: str, limit: int) -> DomainPage:
    """Read the next domains after this one; rows that make no sense are told and hurt no others."""
    kept, table = tables.addresses.c, tables.tenants.c
    # A key that is no UTF-8 would come back as another one, and lead to where we came from: so its bytes go both ways.
    begin = cast(literal((_FIRST + after).encode(errors="surrogateescape"), LargeBinary), Text)
    query = (
        select(cast(kept.key, LargeBinary), *rows.TENANT)
        .join_from(tables.addresses, tables.tenants, kept.uid == table.uid, isouter=True)
        .where(kept.key > begin, kept.key < _LAST)
        .order_by(kept.key)
        .limit(limit + 1)
    )
    found = connection.execute(query).all()
    domains: list[str] = []
    unreadable: list[str] = []
    value = after
    for key, *row in found[:limit]:
        value = bytes(key).decode(errors="surrogateescape").removeprefix(_FIRST)
        why, standing = _look(value, row)
        if why:
            unreadable.append(f"The domain {address.shown(value)} was left out: {why}.")
        elif standing:
            domains.append(value)
    return DomainPage(tuple(domains), tuple(unreadable), value if len(found) > limit else None)


def _look(value: str, row: Sequence[Any]) -> tuple[str, bool]:
    """Say what is wrong with a row, and tell whether it is a domain of somebody who stands."""
    if not rows.is_domain(value):
        return "it is no domain", False
    if row[0] is None:
        return "it is nobody's", False
    try:
        tenant = rows.tenant(row)
    except rows.Poison as error:
        return f"of its tenant {error}", False
    if tenant.status in STANDING or tenant.status is Status.ADDING:
        return "", tenant.status in STANDING
    return f"its tenant {tenant.name} is {tenant.status}", False
