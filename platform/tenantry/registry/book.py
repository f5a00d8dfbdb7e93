"""The registry as everybody sees it: what may be asked of it, what may be changed in it."""

import builtins
import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import ColumnElement, Connection, Select, create_engine, event, or_, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from tenantry import address as spelling
from tenantry.address import Address
from tenantry.errors import Refused, Unavailable, Unknown
from tenantry.registry import file, nearby, rows, tables
from tenantry.registry.changes import Change, believed, line
from tenantry.registry.connections import Connections, Watch, unavailable
from tenantry.registry.values import FAILING, PLATFORM, RECOVERED, By, Changes, Entry, utc_now
from tenantry.tenant import Status, Tenant

_PATIENCE = 5.0
_IN_SERVICE = frozenset({Status.ACTIVE, Status.SUSPENDED})


_log = logging.getLogger(__name__)


class Registry:
    """The book of one instance folder, open until closed; any thread may use it, and a forked child as well.

    Every question is asked of the file, never of a memory: what it answers is true now, for all processes.
    """

    def __init__(self, path: Path, clock: Callable[[], datetime], patience: float) -> None:
        self.path = path
        self._clock = clock
        self._patience = patience
        self._connections = Connections(path, patience)
        # NullPool closes what it was given after each use, and closing a `Raw` hands it back: one pool, ours.
        self._engine = create_engine("sqlite://", creator=self._connections.take, poolclass=NullPool)
        event.listen(self._engine, "begin", _begin)
        self._writer = self._engine.execution_options(begin="BEGIN IMMEDIATE")
        self._identity = _identity(path)

    @classmethod
    def open(cls, path: Path, *, clock: Callable[[], datetime] = utc_now, patience: float = _PATIENCE) -> Self:
        """Open the registry in `path`, made if there is none.

        `patience` is how many seconds a change waits for others to end theirs. Refused if the file is of a newer
        Tenantry, Unavailable if it is damaged, locked, or no registry.
        """
        file.make(path)
        registry = cls(path, clock, patience)
        try:
            file.check(registry._connections)
        except BaseException:
            registry.close()
            raise
        return registry

    def close(self) -> None:
        """Close every connection; one that is in use is closed when its use ends."""
        self._connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # What may be asked.

    def find(self, address: Address) -> Tenant:
        """Return the tenant at an address: one indexed query, 10 to 30 us.

        Unknown if there is none, in words that are the same for every address. Unavailable for a row that cannot be
        read. Both are what a visitor may see.
        """
        raw = self._connections.take()
        try:
            row = raw.execute(tables.FIND, (address.key,)).fetchone()
        except sqlite3.Error as error:
            _log.error("an address cannot be found: %s", unavailable(self.path, error))
            raise Unavailable("This site cannot be found right now.", hint="Please try again in a moment.") from error
        finally:
            raw.close()
        if row is None:
            raise Unknown("There is no site at this address.")
        try:
            return rows.tenant(row)
        except rows.Poison as error:
            raise Unavailable("This site is out of order.", hint="Its operator can see why.") from error

    def get(self, name: str) -> Tenant:
        """Return the tenant of that name, never a removed one; Unknown says which name may have been meant."""
        missing = f"There is no tenant {spelling.shown(name)}."
        with self._reading() as connection:
            row = None
            if spelling.is_name(name):
                query = select(*rows.TENANT).where(tables.tenants.c.name == name, tables.STANDING)
                row = connection.execute(query).one_or_none()
            near = nearby.nearest(connection, name) if row is None else None
        return believed(row, missing, f"Did you mean {near!r}?" if near else "")

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

    def list(self, include_removed: bool = False) -> list[Tenant]:
        """Return all tenants by name, without the poison rows that `poison` names."""
        return [found for found in self._walk(include_removed) if isinstance(found, Tenant)]

    def poison(self) -> builtins.list[str]:
        """Say of every row that cannot be read what is wrong with it."""
        return [found for found in self._walk(include_removed=True) if isinstance(found, str)]

    def addresses(self, uid: str) -> builtins.list[Address]:
        """Return a tenant's addresses: subdomain, path, custom domains."""
        with self._reading() as connection:
            keys = connection.scalars(select(tables.addresses.c.key).where(tables.addresses.c.uid == uid)).all()
        return sorted(filter(None, map(rows.where, keys)), key=rows.by_kind)

    def all_addresses(self) -> dict[str, builtins.list[Address]]:
        """Return every tenant's addresses by its uid, in the order of `addresses`."""
        kept: dict[str, builtins.list[Address]] = {}
        with self._reading() as connection:
            for uid, key in connection.execute(select(tables.addresses.c.uid, tables.addresses.c.key)):
                found = rows.where(key)
                if found is not None:
                    kept.setdefault(uid, []).append(found)
        for some in kept.values():
            some.sort(key=rows.by_kind)
        return kept

    # Following.

    def revision(self) -> int:
        """Return the revision of the last change of all."""
        with self._reading() as connection:
            return _revision(connection)

    def changes(self, since: int) -> Changes:
        """Tell what happened after revision `since`, as of one moment; a row that became poison counts as gone."""
        with self._reading() as connection:
            now = _revision(connection)
            after = since if since <= now else -1
            moved, stones = tables.tenants.c.revision, tables.tombstones.c
            changed = connection.execute(select(*rows.TENANT).where(moved > after).order_by(moved))
            tenants: builtins.list[Tenant] = []
            gone: builtins.list[str] = []
            for row in changed:
                try:
                    tenants.append(rows.tenant(row))
                except rows.Poison:
                    gone.append(str(row.uid))
            gone += connection.scalars(select(stones.uid).where(stones.revision > after).order_by(stones.revision))
        return Changes(now, tuple(tenants), tuple(gone), rewound=since > now)

    def watch(self) -> Watch:
        """Open a watch, by which one thread learns that somebody has written; the registry closes it at the latest."""
        return self._connections.watch()

    # The journal.

    def journal(self, uid: str | None = None, limit: int = 100) -> builtins.list[Entry]:
        """Return the last lines of the journal, of one tenant or of all, the newest first."""
        query = select(*rows.ENTRY).order_by(tables.journal.c.id.desc()).limit(limit)
        return self._entries(query if uid is None else query.where(tables.journal.c.uid == uid))

    def trouble(self, uid: str) -> Entry | None:
        """Return the line that says why a tenant fails, unless it has recovered or was changed since."""
        book = tables.journal.c
        telling = or_(book.verb.in_((FAILING, RECOVERED)), book.revision.is_not(None))
        query = select(*rows.ENTRY).where(book.uid == uid, telling).order_by(book.id.desc()).limit(1)
        return next((found for found in self._entries(query) if found.verb == FAILING), None)

    def note(self, by: By, uid: str, name: str) -> None:
        """Write a journal line of something that changed nothing."""
        with self._changing() as connection:
            line(connection, self._clock(), by, {"uid": uid, "name": name, "revision": None})

    def tell(self, uid: str, name: str, reason: str | None) -> None:
        """Note that a tenant's builds begin to fail, or with None that they do no more, unless that stands there.

        Of several processes that see the same, one writes it; nobody does where nothing is new, which takes no lock.
        """
        book = tables.journal.c
        telling: ColumnElement[bool] = book.verb.in_((FAILING, RECOVERED))
        if reason is not None:  # a change since then began a trouble of its own
            telling = or_(telling, book.revision.is_not(None))
        query = select(*rows.ENTRY).where(book.uid == uid, telling).order_by(book.id.desc()).limit(1)
        by = By(PLATFORM, RECOVERED) if reason is None else By(PLATFORM, FAILING, {"reason": reason})

        def new(connection: Connection) -> bool:
            newest = [rows.entry(row) for row in connection.execute(query)]
            failing = bool(newest) and newest[0].verb == FAILING
            return failing if reason is None else not (failing and newest[0].detail == by.detail)

        with self._reading() as connection:
            if not new(connection):
                return
        with self._changing() as connection:
            if new(connection):
                line(connection, self._clock(), by, {"uid": uid, "name": name, "revision": None})

    # What may be changed.

    def intend(self, tenant: Tenant, addresses: Sequence[Address]) -> Tenant:
        """Take a new tenant's uid, name and addresses, with status ADDING: the first step of adding it.

        Refused if one of them is taken, or retired by another tenant. The journal tells of it once it is activated.
        """
        with self._change() as change:
            change.occupy(tenant, addresses, add=True)
            return change.tenant(tenant.uid)

    def activate(self, uid: str, by: By) -> Tenant:
        """Open a tenant that was intended: the last step of adding it."""
        with self._change() as change:
            _see(change.tenant(uid), {Status.ADDING}, "activated")
            return change.put(uid, by, {"status": Status.ACTIVE})

    def abandon(self, uid: str) -> None:
        """Undo `intend`: nothing is left but a tombstone."""
        with self._change() as change:
            _see(change.tenant(uid), {Status.ADDING}, "abandoned")
            change.erase(uid)

    def set_status(self, uid: str, status: Status, reason: str, by: By) -> Tenant:
        """Suspend a tenant or let it serve again."""
        with self._change() as change:
            tenant = change.tenant(uid)
            _see(tenant, _IN_SERVICE, f"made {status}")
            if status not in _IN_SERVICE:
                raise Refused(f"The status {status} is not one to set on the tenant {tenant.name!r}.")
            return change.put(uid, by, {"status": status, "reason": reason})

    def touch(self, uid: str, by: By, moved: bool = False) -> Tenant:
        """Give a tenant a new revision, so that all build it anew; `moved` if its data or schema was moved."""
        with self._change() as change:
            _see(change.tenant(uid), _IN_SERVICE | {Status.ADDING}, "changed")
            return change.put(uid, by, {"moved": change.revision} if moved else None)

    def remove(self, uid: str, by: By) -> Tenant:
        """Take a tenant out of service: it loses its addresses, and nobody else gets its name for 90 days."""
        with self._change() as change:
            tenant = change.tenant(uid)
            _see(tenant, _IN_SERVICE, "removed")
            change.retire(tenant)
            change.vacate(uid)
            return change.put(uid, by, {"status": Status.REMOVED, "was": tenant.status, "moved": change.revision})

    def bring_back(self, uid: str, addresses: Sequence[Address], by: By) -> Tenant:
        """Undo `remove`: the tenant has the status it had before; Refused if an address has been taken since."""
        with self._change() as change:
            tenant = change.tenant(uid)
            _see(tenant, {Status.REMOVED}, "brought back")
            change.occupy(tenant, addresses)
            change.unretire(uid)
            return change.put(uid, by, {"status": change.was(uid), "was": "", "moved": change.revision})

    # How.

    def _walk(self, include_removed: bool) -> Iterator[Tenant | str]:
        query: Select[Any] = select(*rows.TENANT).order_by(tables.tenants.c.name, tables.tenants.c.revision)
        with self._reading() as connection:
            for row in connection.execute(query if include_removed else query.where(tables.STANDING)):
                try:
                    yield rows.tenant(row)
                except rows.Poison as error:
                    yield f"{spelling.shown(str(row.name))} ({spelling.shown(str(row.uid))}): {error}."

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

    @contextmanager
    def _changing(self) -> Iterator[Connection]:
        writing = self._connections.writing
        if not writing.acquire(timeout=self._patience):
            raise Unavailable(f"The registry {self.path} is busy.", hint="Try again in a moment.")
        try:
            if _identity(self.path) != self._identity:
                raise Unavailable(
                    f"The registry {self.path} was replaced while it was open; nothing was written.",
                    hint="Start this process again.",
                )
            with self._writer.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise unavailable(self.path, error.orig) from error
        finally:
            writing.release()

    @contextmanager
    def _change(self) -> Iterator[Change]:
        with self._changing() as connection:
            yield Change(connection, self._clock())


def _begin(connection: Connection) -> None:
    # The driver's connections are in autocommit mode: who begins says whether to wait for the write lock at once.
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))


def _identity(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return found.st_dev, found.st_ino


def _revision(connection: Connection) -> int:
    return int(connection.execute(select(tables.meta.c.revision)).scalar_one())


def _see(tenant: Tenant, allowed: frozenset[Status] | set[Status], verb: str) -> None:
    if tenant.status not in allowed:
        raise Refused(f"The tenant {tenant.name!r} is {tenant.status} and cannot be {verb}.")
