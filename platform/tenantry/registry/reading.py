"""What may be asked of the registry."""

import builtins
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, TextClause, create_engine, event, func, or_, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from tenantry import address as spelling
from tenantry.address import Address, Kind
from tenantry.errors import Invalid, Unavailable, Unknown
from tenantry.registry import domains, nearby, rows, tables
from tenantry.registry.changes import believed, claims, places
from tenantry.registry.connections import Connections, Raw, Watch, identity, unavailable
from tenantry.registry.reach import Reach
from tenantry.registry.values import (
    FAILING,
    RECOVERED,
    Changes,
    Claim,
    DomainPage,
    Entry,
    Page,
    Pending,
    Place,
    Search,
    Selection,
    stamp,
)
from tenantry.tenant import Tenant, is_uid

_AT_ONCE = 500
_REVISION = re.compile(r"\d{1,18}", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d\d(-\d\d(T\d\d(:\d\d(:\d\dZ?)?)?)?)?", re.ASCII)


class Reading:
    """The questions; every one is asked of the file, never of a memory: the answer is true now, for all processes."""

    def __init__(self, path: Path, clock: Callable[[], datetime], patience: float) -> None:
        self.path = path
        self._clock = clock
        self._patience = patience
        self._connections = Connections(path, patience)
        self._followed = identity(path)
        self._reach = Reach()
        # NullPool closes what it was given after each use, and closing a `Raw` hands it back: one pool, ours.
        self._engine = create_engine("sqlite://", creator=self._connections.take, poolclass=NullPool)
        event.listen(self._engine, "begin", _begin)

    def find(self, address: Address) -> Tenant:
        """Return the tenant at an address, an old name of it included: one indexed query, 10 to 30 us.

        Unknown if there is none, in words that are the same for every address. Unavailable for a row that cannot be
        read, and where the file cannot: then at once for all but one at a time, so that a crowd does not wait for it.
        All is what a visitor may see.
        """
        row = self._row(address.key) if self._reach.good else self._reach.retry(partial(self._row, address.key))
        if row is None or (row[0] and row[0] <= stamp(self._clock())):
            raise Unknown("There is no site at this address.")
        try:
            return rows.tenant(row[1:])
        except rows.Poison as error:
            raise Unavailable("This site is out of order.", hint="Its operator can see why.") from error

    def _row(self, key: str) -> Any:
        try:
            raw = self._connections.take()
            try:
                row = raw.execute(tables.FIND, (key,)).fetchone()
            finally:
                raw.close()
        except (sqlite3.Error, Unavailable) as error:
            why = error if isinstance(error, Unavailable) else unavailable(self.path, error)
            raise self._reach.fail(key, why) from error
        if not self._reach.good:
            self._reach.heal()
        return row

    def get(self, name: str) -> Tenant:
        """Return the tenant of that name, never a removed one; Unknown says which name may have been meant."""
        missing, hint = f"There is no tenant {spelling.shown(name)}.", ""
        with self._reading() as connection:
            row = None
            if spelling.is_name(name):
                query = select(*rows.TENANT).where(tables.tenants.c.name == name, tables.STANDING)
                row = connection.execute(query).one_or_none()
            if row is None:
                missing, hint = self._instead(connection, name) or (missing, hint)
        return believed(row, missing, hint)

    def by_uid(self, uid: str) -> Tenant:
        """Return the tenant of that uid, whatever its status."""
        with self._reading() as connection:
            row = connection.execute(select(*rows.TENANT).where(tables.tenants.c.uid == uid)).one_or_none()
        return believed(row, f"There is no tenant with the uid {spelling.shown(uid)}.")

    def removed(self, name: str) -> Tenant:
        """Return the tenant of that name that was removed last."""
        table = tables.tenants
        query = select(*rows.TENANT).where(table.c.name == name, tables.GONE).order_by(table.c.revision.desc()).limit(1)
        with self._reading() as connection:
            row = connection.execute(query).one_or_none()
        return believed(row, f"There is no removed tenant {spelling.shown(name)}.")

    def page(self, selection: Selection, after: tuple[str, str] = ("", ""), limit: int = 1000) -> Page:
        """Return the next tenants in the order of their names, in one short read: it holds nobody up."""
        table = tables.tenants.c
        query = select(*rows.TENANT).where(*_conditions(selection))
        if after != ("", ""):
            name, uid = after
            query = query.where(table.name >= name, or_(table.name > name, table.uid > uid))
        with self._reading() as connection:
            found = connection.execute(query.order_by(table.name, table.uid).limit(limit + 1)).all()
        tenants: builtins.list[Tenant] = []
        unreadable: builtins.list[str] = []
        for row in found[:limit]:
            try:
                tenants.append(rows.tenant(row))
            except rows.Poison as error:
                unreadable.append(f"{spelling.shown(str(row.name))} ({spelling.shown(str(row.uid))}): {error}.")
        # As they are: a damaged name that was no text must not lead back to where we came from.
        more = (found[limit - 1].name, found[limit - 1].uid) if len(found) > limit else None
        return Page(tuple(tenants), tuple(unreadable), more)

    def pages(self, selection: Selection) -> Iterator[Page]:
        """Go through all of them, page by page."""
        after: tuple[str, str] | None = ("", "")
        while after is not None:
            page = self.page(selection, after)
            yield page
            after = page.after

    def count(self, selection: Selection) -> int:
        """Count the tenants that are meant."""
        with self._reading() as connection:
            query = select(func.count()).select_from(tables.tenants).where(*_conditions(selection))
            return int(connection.execute(query).scalar_one())

    def list(self, include_removed: bool = False) -> builtins.list[Tenant]:
        """Return all tenants by name, without those that cannot be read."""
        return [tenant for page in self.pages(Selection(removed=include_removed)) for tenant in page.tenants]

    def pending(self, uid: str = "") -> builtins.list[Pending]:
        """Return the verbs of several steps that are under way or were cut short, of one tenant or of all.

        No search of all tenants: there are few, on a good day none.
        """
        table = tables.tenants.c
        # Asked for in the order of uids, SQLite would go through all tenants, to spare itself the sorting.
        query = select(table.uid, table.name, table.pending).where(tables.PENDING)
        with self._reading() as connection:
            found = connection.execute(query.where(table.uid == uid) if uid else query).all()
        # Paths are made of uids: one that is none is the doctor's to tell, and nobody's to mend.
        return sorted((Pending(*map(str, row)) for row in found if is_uid(row[0])), key=lambda some: some.uid)

    def places(self, uid: str) -> builtins.list[Place]:
        """Return all addresses of a tenant, old names until their grace ends among them."""
        with self._reading() as connection:
            return places(connection, uid, stamp(self._clock()))

    def addresses(self, uid: str) -> builtins.list[Address]:
        """Return a tenant's addresses: subdomain, path, custom domains; no old names."""
        return [place.address for place in self.places(uid) if not place.until]

    def addresses_of(self, uids: Sequence[str]) -> dict[str, builtins.list[Address]]:
        """Return the addresses of several tenants by uid, each in the order of `addresses`."""
        kept: dict[str, builtins.list[Address]] = {uid: [] for uid in uids}
        table = tables.addresses.c
        with self._reading() as connection:
            for start in range(0, len(uids), _AT_ONCE):
                some = table.uid.in_(uids[start : start + _AT_ONCE])
                for uid, key in connection.execute(select(table.uid, table.key).where(some, table.until == "")):
                    found = rows.where(key)
                    if found is not None:
                        kept[uid].append(found)
        for these in kept.values():
            these.sort(key=rows.by_kind)
        return kept

    def claims(self, uid: str) -> builtins.list[Claim]:
        """Return the custom domains that a tenant claims and has not proved yet, by the alphabet."""
        with self._reading() as connection:
            return claims(connection, uid)

    def domains(self, after: str = "", limit: int = 1000) -> DomainPage:
        """Return the next custom domains of standing tenants, of all of them, by the alphabet, in one short read."""
        with self._reading() as connection:
            return domains.page(connection, after, limit)

    def domain_pages(self) -> Iterator[DomainPage]:
        """Go through all custom domains, page by page."""
        after: str | None = ""
        while after is not None:
            page = self.domains(after)
            yield page
            after = page.after

    # Following.

    def revision(self) -> int:
        """Return the revision of the last change of all."""
        with self._reading() as connection:
            return _revision(connection)

    def changes(self, since: int) -> Changes:
        """Tell what happened after revision `since`, as of one moment; a row that became poison counts as gone."""
        with self._reading() as connection:
            now = _revision(connection)
            # The file that was read, not the one that is in its place by now.
            before, self._followed = self._followed, _file(connection)
            if since > now or before != self._followed:
                return Changes(now, (), (), rewound=True)
            moved, stones = tables.tenants.c.revision, tables.tombstones.c
            changed = connection.execute(select(*rows.TENANT).where(moved > since).order_by(moved))
            tenants: builtins.list[Tenant] = []
            gone: builtins.list[str] = []
            for row in changed:
                try:
                    tenants.append(rows.tenant(row))
                except rows.Poison:
                    gone.append(str(row.uid))
            gone += connection.scalars(select(stones.uid).where(stones.revision > since).order_by(stones.revision))
        return Changes(now, tuple(tenants), tuple(gone))

    def look(self) -> None:
        """Read the file anew, past all that open connections remember of it, or raise Unavailable.

        What `find` could not answer is asked again: once that can be answered, everybody may ask again.
        """
        self._connections.enter()
        try:
            raw = self._connections.open()
            try:
                raw.execute(tables.FIND, (self._reach.asked,)).fetchone()
            finally:
                raw.end()
        except sqlite3.Error as error:
            raise unavailable(self.path, error) from error
        finally:
            self._connections.leave()
        self._reach.heal()

    @property
    def reachable(self) -> bool:
        """Tell, from memory alone, whether whoever asked last for an address got an answer."""
        return self._reach.good

    def watch(self) -> Watch:
        """Open a watch, by which one thread learns that somebody has written; the registry closes it at the latest."""
        return self._connections.watch()

    # The journal.

    def journal(self, wanted: Search | None = None) -> builtins.list[Entry]:
        """Return lines of the journal, the newest first, in the order of revisions and never of a clock."""
        wanted = wanted or Search()
        book = tables.journal.c
        given = ((book.uid, wanted.uid), (book.name, wanted.name), (book.verb, wanted.verb), (book.who, wanted.who))
        conditions = [column == value for column, value in given if value]
        if _REVISION.fullmatch(wanted.since):
            conditions.append(book.revision > int(wanted.since))
        elif wanted.since:
            if not _MOMENT.fullmatch(wanted.since):
                raise Invalid(
                    f"{spelling.shown(wanted.since)} is neither a revision nor a moment.",
                    hint="Give 1234, 2026-11-01 or 2026-11-01T08:30, in UTC.",
                )
            conditions.append(book.at >= wanted.since)
        return self._entries(select(*rows.ENTRY).where(*conditions).order_by(book.id.desc()).limit(wanted.limit))

    def trouble(self, uid: str) -> Entry | None:
        """Return the line that says why a tenant fails, unless it has recovered or was changed since."""
        book = tables.journal.c
        telling = or_(book.verb.in_((FAILING, RECOVERED)), book.revision.is_not(None))
        query = select(*rows.ENTRY).where(book.uid == uid, telling).order_by(book.id.desc()).limit(1)
        return next((found for found in self._entries(query) if found.verb == FAILING), None)

    # How.

    def _instead(self, connection: Connection, name: str) -> tuple[str, str] | None:
        """Say what became of a name, or which one may have been meant."""
        kept, table = tables.addresses.c, tables.tenants.c
        if spelling.is_name(name):
            query = select(table.name).join_from(tables.addresses, tables.tenants, kept.uid == table.uid)
            old = kept.key == Address(Kind.SUBDOMAIN, name).key
            new = connection.scalar(query.where(old, kept.until > stamp(self._clock())))
            if new is not None:
                return f"{name} was renamed to {new}.", ""
        near = nearby.nearest(connection, name)
        return (f"There is no tenant {spelling.shown(name)}.", f"Did you mean {near!r}?") if near else None

    def _entries(self, query: Select[Any]) -> builtins.list[Entry]:
        with self._reading() as connection:
            return [rows.entry(row) for row in connection.execute(query)]

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise unavailable(self.path, error.orig) from error


def _conditions(selection: Selection) -> list[ColumnElement[bool] | TextClause]:
    table = tables.tenants.c
    found: list[ColumnElement[bool] | TextClause] = []
    if selection.names:
        globs = [name for name in selection.names if spelling.is_glob(name)]
        literal = [name for name in selection.names if name not in globs]
        found.append(or_(table.name.in_(literal), *(table.name.op("GLOB")(glob) for glob in globs)))
    if selection.application:
        found.append(table.application == selection.application)
    if selection.status is not None:
        found.append(table.status == selection.status.value)
    elif not selection.removed:
        found.append(tables.STANDING)
    return found


def _revision(connection: Connection) -> int:
    return int(connection.execute(select(tables.meta.c.revision)).scalar_one())


def _file(connection: Connection) -> tuple[int, int]:
    raw = connection.connection.dbapi_connection
    return raw.file if isinstance(raw, Raw) else (0, 0)


def _begin(connection: Connection) -> None:
    # The driver's connections are in autocommit mode: who begins says whether to wait for the write lock at once.
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))
