"""One change of the registry inside its transaction: the revision it draws, the rows and journal line it writes."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from tenantry import address
from tenantry.address import Address, Kind
from tenantry.errors import Invalid, Refused, Unavailable, Unknown
from tenantry.registry import rows, tables
from tenantry.registry.values import RETIRED_DAYS, By, stamp
from tenantry.tenant import Status, Tenant


def line(connection: Connection, now: datetime, by: By, facts: Mapping[str, Any]) -> None:
    """Write a journal line; `facts` are the columns uid, name and revision."""
    detail = json.dumps(dict(by.detail), default=str)
    connection.execute(insert(tables.journal).values(at=stamp(now), who=by.who, verb=by.verb, detail=detail, **facts))


class Change:
    """A change under the write lock. It lives as long as its transaction and has drawn its revision when it begins."""

    def __init__(self, connection: Connection, now: datetime) -> None:
        self._connection = connection
        self._now = now
        meta = tables.meta
        connection.execute(update(meta).values(revision=meta.c.revision + 1))
        self.revision: int = connection.execute(select(meta.c.revision)).scalar_one()

    def tenant(self, uid: str) -> Tenant:
        """Return the tenant as it stands before the change, or raise Unknown, or Unavailable for a poison row."""
        row = self._connection.execute(select(*rows.TENANT).where(tables.tenants.c.uid == uid)).one_or_none()
        return believed(row, f"There is no tenant with the uid {address.shown(uid)}.")

    def was(self, uid: str) -> Status:
        """Return the status that a removed tenant had before."""
        found = self._connection.scalar(select(tables.tenants.c.was).where(tables.tenants.c.uid == uid))
        return Status.SUSPENDED if found == Status.SUSPENDED else Status.ACTIVE

    def put(self, uid: str, by: By, values: Mapping[str, object] | None = None) -> Tenant:
        """Give a tenant this revision and new `values` of its columns, and write the journal line."""
        table = tables.tenants
        changed = {"revision": self.revision, **(values or {})}
        self._connection.execute(update(table).where(table.c.uid == uid).values(changed))
        tenant = self.tenant(uid)
        line(self._connection, self._now, by, {"uid": uid, "name": tenant.name, "revision": self.revision})
        return tenant

    def erase(self, uid: str) -> None:
        """Delete a tenant's row and addresses, and leave a tombstone for those who follow."""
        self.vacate(uid)
        self._connection.execute(delete(tables.tenants).where(tables.tenants.c.uid == uid))
        stone = upsert(tables.tombstones).values(uid=uid, revision=self.revision)
        self._connection.execute(stone.on_conflict_do_update(["uid"], set_={"revision": self.revision}))

    def vacate(self, uid: str) -> None:
        """Delete a tenant's addresses."""
        self._connection.execute(delete(tables.addresses).where(tables.addresses.c.uid == uid))

    def occupy(self, tenant: Tenant, addresses: Sequence[Address], *, add: bool = False) -> None:
        """Give a tenant its addresses, or raise Refused if its name or one of them is taken or retired."""
        names = {tenant.name, *(found.value for found in addresses if found.kind is not Kind.DOMAIN)}
        self._see_free(names, tenant.uid)
        self._see_unretired(names, tenant.uid)
        for found in addresses:
            self._see_unaddressed(found)
        if add:
            self._add(tenant)
        for found in dict.fromkeys(addresses):
            self._connection.execute(
                insert(tables.addresses).values(key=found.key, uid=tenant.uid, revision=self.revision)
            )

    def retire(self, tenant: Tenant) -> None:
        """Keep a tenant's name, and the labels of its addresses, from all others for a while."""
        retired, kept = tables.retired, tables.addresses
        self._connection.execute(delete(retired).where(retired.c.until <= stamp(self._now)))
        keys = self._connection.scalars(select(kept.c.key).where(kept.c.uid == tenant.uid))
        places = [found for found in map(rows.where, keys) if found is not None and found.kind is not Kind.DOMAIN]
        until = stamp(self._now + timedelta(days=RETIRED_DAYS))
        for name in {tenant.name, *(found.value for found in places)}:
            row = upsert(retired).values(name=name, uid=tenant.uid, until=until)
            self._connection.execute(row.on_conflict_do_update(["name", "uid"], set_={"until": until}))

    def unretire(self, uid: str) -> None:
        """Free the names that were retired with a tenant."""
        self._connection.execute(delete(tables.retired).where(tables.retired.c.uid == uid))

    def _add(self, tenant: Tenant) -> None:
        if not (rows.is_uid(tenant.uid) and address.is_name(tenant.name)):
            raise Invalid(f"{address.shown(tenant.uid)}, {address.shown(tenant.name)} cannot be a uid and a name.")
        table = tables.tenants
        if self._connection.scalar(select(table.c.uid).where(table.c.uid == tenant.uid)) is not None:
            raise Refused(f"There already is a tenant with the uid {tenant.uid}.")
        self._connection.execute(delete(tables.tombstones).where(tables.tombstones.c.uid == tenant.uid))
        self._connection.execute(
            insert(table).values(
                uid=tenant.uid,
                name=tenant.name,
                application=tenant.application,
                status=Status.ADDING,
                revision=self.revision,
                moved=self.revision,
                title=tenant.title,
                reason=tenant.reason,
                was="",
            )
        )

    def _see_free(self, names: Iterable[str], uid: str) -> None:
        table = tables.tenants
        others = select(table.c.name).where(table.c.name.in_(sorted(names)), table.c.uid != uid, tables.STANDING)
        for name in self._connection.scalars(others):
            raise Refused(f"The name {name!r} is taken.", hint="Choose another name.")

    def _see_unretired(self, names: Iterable[str], uid: str) -> None:
        table = tables.retired
        others = select(table.c.name, table.c.until).where(
            table.c.name.in_(sorted(names)), table.c.uid != uid, table.c.until > stamp(self._now)
        )
        for name, until in self._connection.execute(others):
            raise Refused(
                f"The name {name!r} is retired until {until[:10]}: it belonged to a tenant that was removed.",
                hint="Bring that one back, or choose another name.",
            )

    def _see_unaddressed(self, found: Address) -> None:
        taken, table = tables.addresses, tables.tenants
        owner = (
            select(taken.c.uid, table.c.name)
            .join_from(taken, table, taken.c.uid == table.c.uid, isouter=True)
            .where(taken.c.key == found.key)
        )
        for uid, name in self._connection.execute(owner):
            raise Refused(
                f"The {found.kind} address {found.value!r} is taken by {address.shown(str(name or uid))}.",
                hint="Choose another address.",
            )


def believed(row: Sequence[Any] | None, missing: str, hint: str = "") -> Tenant:
    """Make a tenant of its row for an operator: raise Unknown where there is none, Unavailable for a poison one."""
    if row is None:
        raise Unknown(missing, hint=hint)
    try:
        return rows.tenant(row)
    except rows.Poison as error:
        which = f"{address.shown(str(row[1]))} ({address.shown(str(row[0]))})"
        raise Unavailable(
            f"The registry's row of tenant {which} is damaged: {error}.",
            hint="See tenantry doctor.",
        ) from error
