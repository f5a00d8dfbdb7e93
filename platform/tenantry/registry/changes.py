"""One change of the registry inside its transaction: the revision it draws, the rows and journal line it writes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from tenantry import address
from tenantry.address import Address, Kind
from tenantry.errors import Invalid, Refused, Unavailable, Unknown
from tenantry.registry import rows, tables, verdicts
from tenantry.registry.values import ADD, BEING, PURGE, REMOVE, UNDO_REMOVE, By, Claim, Place, stamp
from tenantry.tenant import Status, Tenant, is_uid

_TOLD = ("name", "application", "status", "title", "reason", "domain")


def line(connection: Connection, now: datetime, by: By, facts: Mapping[str, Any]) -> None:
    """Write a journal line; `facts` are the columns uid, name and revision."""
    texts = {
        key: json.dumps(dict(value), default=str)
        for key, value in (("detail", by.detail), ("before", by.before), ("after", by.after))
    }
    connection.execute(insert(tables.journal).values(at=stamp(now), who=by.who, verb=by.verb, **texts, **facts))


class Change:
    """A change under the write lock. It lives as long as its transaction and has drawn its revision when it begins."""

    def __init__(self, connection: Connection, now: datetime, retired_days: float) -> None:
        self.connection = connection
        self.now = stamp(now)
        self._now = now
        self._retired_days = retired_days
        self._before: dict[str, dict[str, object]] = {}
        meta = tables.meta
        connection.execute(update(meta).values(revision=meta.c.revision + 1))
        self.revision: int = connection.execute(select(meta.c.revision)).scalar_one()

    def tenant(self, uid: str) -> Tenant:
        """Return the tenant as it stands in this transaction, or raise Unknown, or Unavailable for a poison row."""
        row = self.connection.execute(select(*rows.TENANT).where(tables.tenants.c.uid == uid)).one_or_none()
        return believed(row, f"There is no tenant with the uid {address.shown(uid)}.")

    def see(self, uid: str, allowed: frozenset[Status], verb: str, *, step: str = "", by: By | None = None) -> Tenant:
        """Return the tenant as it stands before the change, once it may be changed so; else raise Refused.

        `step` is the verb of several steps that this one belongs to: any other that is under way forbids it.
        """
        tenant = self.tenant(uid)
        if by is not None and by.seen is not None and by.seen != tenant.revision:
            raise self._meanwhile(tenant)
        pending = str(self.connection.scalar(select(tables.tenants.c.pending).where(tables.tenants.c.uid == uid)))
        # A removal whose folder could not move yet may be taken back, and finished by purging.
        if pending not in {"", step} and not (pending == REMOVE and step in {UNDO_REMOVE, PURGE}):
            raise Refused(f"{tenant.name} is being {BEING.get(pending, pending)}.", hint="Try again in a moment.")
        if tenant.status not in allowed:
            raise Refused(f"{tenant.name} is {_state(tenant)} and cannot be {verb}.")
        self._before[uid] = self._told(tenant)
        return tenant

    def was(self, uid: str) -> Status:
        """Return the status that a removed tenant had before."""
        found = self.connection.scalar(select(tables.tenants.c.was).where(tables.tenants.c.uid == uid))
        return Status(found) if found in {Status.SUSPENDED, Status.MAINTENANCE} else Status.ACTIVE

    def put(self, uid: str, by: By, values: Mapping[str, object] | None = None) -> Tenant:
        """Give a tenant this revision and new `values` of its columns, and write the journal line."""
        table = tables.tenants
        changed = {"revision": self.revision, **(values or {})}
        self.connection.execute(update(table).where(table.c.uid == uid).values(changed))
        tenant = self.tenant(uid)
        old, new = self._before.get(uid, {}), self._told(tenant)
        differing = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        whole = By(
            by.who,
            by.verb,
            by.detail,
            before={**{key: old[key] for key in differing if key in old}, **by.before},
            after={**{key: new[key] for key in differing if key in new}, **by.after},
        )
        line(self.connection, self._now, whole, {"uid": uid, "name": tenant.name, "revision": self.revision})
        return tenant

    def mark(self, uid: str, pending: str) -> None:
        """Note which verb of several steps a tenant is in; nobody who follows needs to know, so no new revision."""
        table = tables.tenants
        self.connection.execute(update(table).where(table.c.uid == uid).values(pending=pending))

    def erase(self, uid: str) -> None:
        """Delete a tenant's row, addresses and claims, and leave a tombstone for those who follow."""
        self.vacate(uid)
        self.connection.execute(delete(tables.claims).where(tables.claims.c.uid == uid))
        self.connection.execute(delete(tables.tenants).where(tables.tenants.c.uid == uid))
        stone = upsert(tables.tombstones).values(uid=uid, revision=self.revision)
        self.connection.execute(stone.on_conflict_do_update(["uid"], set_={"revision": self.revision}))

    def silence(self, uid: str) -> None:
        """Empty the details of a tenant's lines in the journal."""
        table = tables.journal
        self.connection.execute(update(table).where(table.c.uid == uid).values(detail="{}", before="{}", after="{}"))

    def vacate(self, uid: str) -> None:
        """Delete a tenant's addresses."""
        self.connection.execute(delete(tables.addresses).where(tables.addresses.c.uid == uid))

    def occupy(self, tenant: Tenant, places: Sequence[Place], *, override: bool = False) -> None:
        """Give a tenant more addresses, or raise Refused if its name or one of them may not be had.

        An operator's `override` lets retired names and look-alikes pass, never taken ones.
        """
        values = (place.address.value for place in places if place.address.kind is not Kind.DOMAIN)
        names = {tenant.name, *values}
        verdicts.see_free(self.connection, names, tenant.uid)
        for place in places:
            verdicts.see_unaddressed(self.connection, place.address, tenant.uid, self.now)
        if not override:
            verdicts.see_unretired(self.connection, names, tenant.uid, self.now)
            verdicts.see_unlike(self.connection, names, tenant.uid, self.now)
        for place in dict.fromkeys(places):
            # What is there by now is an old name that gives way.
            self.connection.execute(delete(tables.addresses).where(tables.addresses.c.key == place.address.key))
            row = {"key": place.address.key, "uid": tenant.uid, "revision": self.revision, "until": place.until}
            self.connection.execute(insert(tables.addresses).values(row))

    def add(self, tenant: Tenant) -> None:
        """Write the row of a tenant that is being added; its addresses come after it."""
        if not (is_uid(tenant.uid) and address.is_name(tenant.name)):
            raise Invalid(f"{address.shown(tenant.uid)}, {address.shown(tenant.name)} cannot be a uid and a name.")
        verdicts.see_free(self.connection, {tenant.name}, tenant.uid)  # before the index says so in its own words
        table = tables.tenants
        if self.connection.scalar(select(table.c.uid).where(table.c.uid == tenant.uid)) is not None:
            raise Refused(f"There already is a tenant with the uid {tenant.uid}.")
        self.connection.execute(delete(tables.tombstones).where(tables.tombstones.c.uid == tenant.uid))
        facts = {key: getattr(tenant, key) for key in ("uid", "name", "application", "title", "reason", "domain")}
        made = {"status": Status.ADDING, "skeleton": address.skeleton(tenant.name), "pending": ADD}
        self.connection.execute(insert(table).values(revision=self.revision, moved=self.revision, **facts, **made))

    def renamed(self, tenant: Tenant, new: str) -> Tenant:
        """Give a tenant another name, once nobody else stands under it."""
        verdicts.see_free(self.connection, {new}, tenant.uid)  # before the index says so in its own words
        table = tables.tenants
        named = {"name": new, "skeleton": address.skeleton(new)}
        self.connection.execute(update(table).where(table.c.uid == tenant.uid).values(named))
        return replace(tenant, name=new)

    def set_domain(self, uid: str, domain: str) -> None:
        """Make a custom domain the primary one."""
        table = tables.tenants
        self.connection.execute(update(table).where(table.c.uid == uid).values(domain=domain))

    def claim(self, tenant: Tenant, claim: Claim) -> None:
        """Note that a tenant would have a custom domain; Refused if it is somebody's already."""
        verdicts.see_unaddressed(self.connection, Address(Kind.DOMAIN, claim.domain), tenant.uid, self.now)
        self.unclaim(tenant.uid, claim.domain)
        facts = {"domain": claim.domain, "token": claim.token, "is_primary": int(claim.primary), "at": self.now}
        self.connection.execute(insert(tables.claims).values(uid=tenant.uid, revision=self.revision, **facts))

    def unclaim(self, uid: str, domain: str) -> None:
        """Forget that a tenant would have a custom domain."""
        table = tables.claims
        self.connection.execute(delete(table).where(table.c.uid == uid, table.c.domain == domain))

    def claims(self, uid: str) -> list[Claim]:
        """Return the custom domains that a tenant would have."""
        return claims(self.connection, uid)

    def moment(self, later: timedelta) -> str:
        """Spell the moment that is so much later than the change."""
        return stamp(self._now + later)

    def keep_old(self, uid: str, found: Address, until: str) -> None:
        """Let an address be an old one of its tenant, which leads to the new one until its grace ends."""
        table = tables.addresses
        self.connection.execute(update(table).where(table.c.key == found.key, table.c.uid == uid).values(until=until))

    def leave(self, uid: str, found: Address) -> None:
        """Take one address from a tenant."""
        table = tables.addresses
        self.connection.execute(delete(table).where(table.c.key == found.key, table.c.uid == uid))

    def places(self, uid: str) -> list[Place]:
        """Return the addresses of a tenant, those of old names among them until their grace ends."""
        return places(self.connection, uid, self.now)

    def retire(self, uid: str, names: Sequence[str], grace: timedelta = timedelta()) -> None:
        """Keep names that a tenant gives up from all others: for as long as they lead to it, and a while longer."""
        retired = tables.retired
        until = stamp(self._now + grace + timedelta(days=self._retired_days))
        for name in names:
            row = upsert(retired).values(name=name, uid=uid, until=until, skeleton=address.skeleton(name))
            # A longer time that was given before stays: the old name may lead here until then.
            longer = func.max(retired.c.until, row.excluded.until)
            self.connection.execute(row.on_conflict_do_update(["name", "uid"], set_={"until": longer}))

    def unretire(self, uid: str, names: Sequence[str]) -> None:
        """Free names that a tenant had given up and has again."""
        retired = tables.retired
        self.connection.execute(delete(retired).where(retired.c.uid == uid, retired.c.name.in_(sorted(names))))

    def _told(self, tenant: Tenant) -> dict[str, object]:
        """Spell what the journal tells of a tenant; of a notice not the secret's digest."""
        if tenant.status is Status.ADDING:
            return {}  # it begins to be when it is activated
        told: dict[str, object] = {key: str(getattr(tenant, key)) for key in _TOLD if getattr(tenant, key)}
        if tenant.notice is not None:
            facts = asdict(tenant.notice)
            told["notice"] = {**facts, "digest": facts["digest"][:8]}
        told["addresses"] = [place.address.key for place in self.places(tenant.uid) if not place.until]
        told["old addresses"] = [place.address.key for place in self.places(tenant.uid) if place.until]
        told["claims"] = [claim.domain for claim in self.claims(tenant.uid)]
        return {key: value for key, value in told.items() if value}

    def _meanwhile(self, tenant: Tenant) -> Refused:
        book = tables.journal.c
        last = select(book.verb, book.who).where(book.uid == tenant.uid, book.revision.is_not(None))
        found = self.connection.execute(last.order_by(book.id.desc()).limit(1)).one_or_none()
        who = f" ({found.verb} by {found.who})" if found else ""
        return Refused(
            f"{tenant.name} was changed by somebody else at the same time{who}; nothing was done.",
            hint=f"Look at it with `tenantry show {tenant.name}` and try again.",
        )


def _state(tenant: Tenant) -> str:
    words = {
        Status.ADDING: "being added",
        Status.MAINTENANCE: "in maintenance",
        Status.PURGING: "being purged",
    }
    return words.get(tenant.status, tenant.status.value)


def places(connection: Connection, uid: str, now: str) -> list[Place]:
    """Read a tenant's addresses in the order that operators expect, without old names whose grace has ended."""
    table = tables.addresses.c
    found = connection.execute(select(table.key, table.until).where(table.uid == uid)).all()
    kept = [(rows.where(key), until) for key, until in found if not until or until > now]
    known = [Place(where, until) for where, until in kept if where is not None]
    return sorted(known, key=lambda place: (bool(place.until), rows.by_kind(place.address)))


def claims(connection: Connection, uid: str) -> list[Claim]:
    """Read a tenant's claims by the alphabet, without what cannot be one."""
    query = select(*rows.CLAIM).where(tables.claims.c.uid == uid).order_by(tables.claims.c.domain)
    return [claim for row in connection.execute(query) if (claim := rows.claim(row)) is not None]


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
