"""Whether a name or an address may be had: the one place that decides it, for every verb alike."""

from collections.abc import Collection

from sqlalchemy import Connection, select

from tenantry import address
from tenantry.address import Address
from tenantry.errors import Refused
from tenantry.registry import tables

_OTHER = "Choose another name."
_OVERRIDE = "Choose another name, or give --override."


def see_free(connection: Connection, names: Collection[str], uid: str) -> None:
    """Raise Refused if a standing tenant other than `uid` carries one of these names."""
    table = tables.tenants
    others = select(table.c.name).where(table.c.name.in_(sorted(names)), table.c.uid != uid, tables.STANDING)
    # A command also takes a uid where no name is found: a name that is another's uid would stand in its way.
    uids = select(table.c.uid).where(table.c.uid.in_(sorted(names)), table.c.uid != uid)
    for name in (*connection.scalars(others), *connection.scalars(uids)):
        raise Refused(f"The name {name!r} is taken.", hint=_OTHER)


def see_unretired(connection: Connection, names: Collection[str], uid: str, now: str) -> None:
    """Raise Refused if one of these names was given up by another tenant so lately that nobody else may have it."""
    table = tables.retired
    others = select(table.c.name, table.c.until).where(
        table.c.name.in_(sorted(names)), table.c.uid != uid, table.c.until > now
    )
    for name, until in connection.execute(others):
        raise Refused(
            f"The name {name!r} is retired until {until[:10]}: it belonged to another tenant.",
            hint=_OVERRIDE,
            overridable=True,
        )


def see_unlike(connection: Connection, names: Collection[str], uid: str, now: str) -> None:
    """Raise Refused if one of these names looks like that of another tenant, or like a retired one."""
    looks = {address.skeleton(name): name for name in names}
    table, old = tables.tenants, tables.retired
    standing = select(table.c.skeleton, table.c.name).where(
        table.c.skeleton.in_(sorted(looks)), table.c.uid != uid, tables.STANDING
    )
    retired = select(old.c.skeleton, old.c.name).where(
        old.c.skeleton.in_(sorted(looks)), old.c.uid != uid, old.c.until > now
    )
    for skeleton, other in (*connection.execute(standing), *connection.execute(retired)):
        if other != looks[skeleton]:
            raise Refused(
                f"The name {looks[skeleton]!r} looks like {other!r}, which is another tenant's.",
                hint=_OVERRIDE,
                overridable=True,
            )


def see_unaddressed(connection: Connection, found: Address, uid: str, now: str) -> None:
    """Raise Refused if another tenant is at this address, or it is one's own for good.

    An old name of one's own, and anybody's whose grace has ended, may be had.
    """
    taken, table = tables.addresses, tables.tenants
    owner = (
        select(taken.c.uid, taken.c.until, table.c.name)
        .join_from(taken, table, taken.c.uid == table.c.uid, isouter=True)
        .where(taken.c.key == found.key)
    )
    for holder, until, name in connection.execute(owner):
        if until and holder != uid and until > now:
            whose = address.shown(str(name))
            raise Refused(f"{found.value!r} is an old name of {whose} and leads there until {until[:10]}.", hint=_OTHER)
        if not until:
            raise Refused(
                f"The {found.kind} address {found.value!r} is taken by {address.shown(str(name or holder))}.",
                hint="Choose another address, or take it from that one first.",
            )
