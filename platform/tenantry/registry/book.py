"""The registry as everybody sees it: what may be asked of it is in `reading`, what may be changed in it is here."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import ColumnElement, Connection, or_, select
from sqlalchemy.exc import DBAPIError

from tenantry.address import Address, Kind, shown
from tenantry.errors import Refused, Unavailable, Unknown
from tenantry.registry import file, rows, tables
from tenantry.registry.changes import Change, line
from tenantry.registry.connections import identity, unavailable
from tenantry.registry.reading import Reading
from tenantry.registry.values import (
    ADD,
    FAILING,
    PLATFORM,
    PURGE,
    RECOVERED,
    REMOVE,
    UNDO_REMOVE,
    By,
    Claim,
    Place,
    Terms,
    utc_now,
)
from tenantry.tenant import STANDING, Notice, Status, Tenant

_PATIENCE = 5.0
_TERMS = Terms()
_SERVICE = frozenset({Status.ACTIVE, Status.SUSPENDED})
_GIVEN = "given a domain"
_NAMED = (Kind.SUBDOMAIN, Kind.PATH)


class Registry(Reading):
    """The book of one instance folder, open until closed; any thread may use it, and a forked child as well."""

    def __init__(self, path: Path, clock: Callable[[], datetime], patience: float, terms: Terms) -> None:
        super().__init__(path, clock, patience)
        self._terms = terms
        self._writer = self._engine.execution_options(begin="BEGIN IMMEDIATE")
        self._identity = identity(path)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        clock: Callable[[], datetime] = utc_now,
        patience: float = _PATIENCE,
        terms: Terms = _TERMS,
    ) -> Self:
        """Open the registry in `path`, made if there is none, and brought up to date if it is of an older version.

        `patience` is how many seconds a change waits for others to end theirs. Refused if the file is of a newer
        Tenantry, or of an older one in a rehearsal; Unavailable if it is damaged, locked, or no registry.
        """
        file.make(path)
        registry = cls(path, clock, patience, terms)
        try:
            file.check(registry._connections, rehearsal=terms.rehearsal)
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

    # Adding.

    def intend(
        self, tenant: Tenant, addresses: Sequence[Address], *, claims: Sequence[Claim] = (), override: bool = False
    ) -> Tenant:
        """Take a new tenant's uid, name, addresses and claims, with status ADDING: the first step of adding it.

        Refused if one of them is taken, or retired by another tenant, or looks like another's. The first custom domain
        is the primary one. The journal tells of it once it is activated.
        """
        with self._change() as change:
            change.add(tenant)
            change.occupy(tenant, [Place(found) for found in addresses], override=override)
            change.set_domain(tenant.uid, next((found.value for found in addresses if found.kind is Kind.DOMAIN), ""))
            for claim in claims:
                change.claim(tenant, claim)
            return change.tenant(tenant.uid)

    def activate(self, uid: str, by: By) -> Tenant:
        """Open a tenant that was intended: the last step of adding it."""
        with self._change() as change:
            change.see(uid, frozenset({Status.ADDING}), "activated", step=ADD, by=by)
            return change.put(uid, by, {"status": Status.ACTIVE, "pending": ""})

    def abandon(self, uid: str) -> None:
        """Undo `intend`: nothing is left but a tombstone."""
        with self._change() as change:
            change.see(uid, frozenset({Status.ADDING}), "abandoned", step=ADD)
            change.erase(uid)

    # Serving.

    def set_status(self, uid: str, status: Status, reason: str, by: By) -> Tenant:
        """Suspend a tenant, or let a suspended one serve again: in maintenance, where it was when it was suspended."""
        with self._change() as change:
            tenant = change.see(uid, STANDING, f"made {status}", by=by)
            if status not in _SERVICE:
                raise Refused(f"The status {status} is not one to set on the tenant {tenant.name!r}.")
            if status is Status.ACTIVE and tenant.notice is not None:
                status = Status.MAINTENANCE
            return change.put(uid, by, {"status": status, "reason": reason})

    def maintain(self, uid: str, notice: Notice | None, by: By) -> Tenant:
        """Put a tenant into maintenance with what it tells its visitors, or with None end it."""
        began = frozenset({Status.MAINTENANCE})
        with self._change() as change:
            if notice is None:
                change.see(uid, began, "taken out of maintenance", by=by)
                return change.put(uid, by, {"status": Status.ACTIVE, "notice": ""})
            change.see(uid, began | {Status.ACTIVE}, "put into maintenance", by=by)
            return change.put(uid, by, {"status": Status.MAINTENANCE, "notice": rows.told(notice)})

    def touch(self, uid: str, by: By, moved: bool = False) -> Tenant:
        """Give a tenant a new revision, so that all build it anew; `moved` if its data or schema was moved."""
        with self._change() as change:
            change.see(uid, STANDING, "changed", by=by)
            return change.put(uid, by, {"moved": change.revision} if moved else None)

    # Names and addresses.

    def rename(self, uid: str, new: str, grace: timedelta, by: By, *, override: bool = False) -> Tenant:
        """Give a tenant another name; the old one leads to it for the time of `grace`, and is retired afterwards."""
        with self._change() as change:
            tenant = change.see(uid, STANDING, "renamed", by=by)
            standing = [place.address for place in change.places(uid) if not place.until]
            named = [found for found in standing if found.kind in _NAMED]
            until = change.moment(grace)
            for found in named:
                change.keep_old(uid, found, until)
            renamed = change.renamed(tenant, new)
            kinds = dict.fromkeys([Kind.SUBDOMAIN, *(found.kind for found in named)])
            change.occupy(renamed, [Place(Address(kind, new)) for kind in kinds], override=override)
            change.retire(uid, sorted({tenant.name, *(found.value for found in named)}), grace)
            change.unretire(uid, [new])
            return change.put(uid, by)

    def add_domain(self, uid: str, domain: str, primary: bool, by: By) -> Tenant:
        """Give a tenant a custom domain, or make one that it has the primary one; the first one always is."""
        with self._change() as change:
            tenant = change.see(uid, STANDING, _GIVEN, by=by)
            _give(change, tenant, domain, primary)
            return change.put(uid, by)

    def claim(self, uid: str, claim: Claim, by: By) -> Tenant:
        """Note that a tenant would have a custom domain: no address yet, until it is proved. Refused if it is taken."""
        with self._change() as change:
            change.claim(change.see(uid, STANDING, _GIVEN, by=by), claim)
            return change.put(uid, by)

    def prove(self, uid: str, claim: Claim, by: By) -> Tenant:
        """Make a claim that was found proved an address; Refused if it stands no more, or another was faster."""
        with self._change() as change:
            tenant = change.see(uid, STANDING, _GIVEN, by=by)
            if claim not in change.claims(uid):
                raise Refused(
                    f"The claim of {tenant.name} to {claim.domain} was changed by somebody else at the same time.",
                    hint=f"Look at it with `tenantry domain list {tenant.name}`.",
                )
            _give(change, tenant, claim.domain, claim.primary)
            return change.put(uid, by)

    def drop_domain(self, uid: str, domain: str, by: By) -> Tenant:
        """Take a custom domain, or a claim to it, from a tenant; the first by the alphabet follows a primary one."""
        with self._change() as change:
            tenant = change.see(uid, STANDING, "changed", by=by)
            if domain not in _domains(change.places(uid)) + [claim.domain for claim in change.claims(uid)]:
                raise Unknown(f"{tenant.name} has no domain {shown(domain)}.")
            change.unclaim(uid, domain)
            change.leave(uid, Address(Kind.DOMAIN, domain))
            if tenant.domain == domain:
                change.set_domain(uid, next(iter(_domains(change.places(uid))), ""))
            return change.put(uid, by)

    # Removing.

    def remove(self, uid: str, by: By) -> Tenant:
        """Take a tenant out of service: it loses its addresses, and nobody else gets its names for a while.

        It stays marked as being removed until `settle` says that its folder has moved.
        """
        with self._change() as change:
            tenant = change.see(uid, STANDING, "removed", by=by)
            names = {place.address.value for place in change.places(uid) if place.address.kind in _NAMED}
            change.retire(uid, sorted({tenant.name, *names}))
            change.vacate(uid)
            gone = {"status": Status.REMOVED, "was": tenant.status, "moved": change.revision, "pending": REMOVE}
            return change.put(uid, by, gone)

    def settle(self, uid: str) -> None:
        """Note that a removed tenant's folder is where it belongs, in the trash: nothing is under way any more."""
        with self._changing() as connection:
            table = tables.tenants
            settled = table.update().where(table.c.uid == uid, table.c.status == Status.REMOVED).values(pending="")
            connection.execute(settled)

    def returning(self, uid: str, by: By) -> None:
        """Note that a removed tenant is being brought back: the first step, before its folder moves."""
        with self._change() as change:
            change.see(uid, frozenset({Status.REMOVED}), "brought back", step=UNDO_REMOVE, by=by)
            change.mark(uid, UNDO_REMOVE)

    def bring_back(self, uid: str, places: Sequence[Place], by: By, *, override: bool = False) -> Tenant:
        """Undo `remove`: the tenant has the status it had before; Refused if an address has been taken since."""
        with self._change() as change:
            tenant = change.see(uid, frozenset({Status.REMOVED}), "brought back", step=UNDO_REMOVE, by=by)
            if Place(Address(Kind.SUBDOMAIN, tenant.name)) not in places:
                # Its own links would lead to whoever is there.
                raise Refused(f"{tenant.name} cannot come back: its subdomain is another tenant's by now.")
            change.occupy(tenant, places, override=override)
            change.unretire(uid, [tenant.name, *(place.address.value for place in places if not place.until)])
            if tenant.domain and tenant.domain not in _domains(places):
                change.set_domain(uid, next(iter(_domains(places)), ""))
            back = {"status": change.was(uid), "was": "", "moved": change.revision, "pending": ""}
            return change.put(uid, by, back)

    def purge(self, uid: str, by: By) -> Tenant:
        """Give a removed tenant up for good: from now on it cannot come back, and its data may be deleted."""
        with self._change() as change:
            change.see(uid, frozenset({Status.REMOVED}), "purged", step=PURGE, by=by)
            return change.put(uid, by, {"status": Status.PURGING, "pending": PURGE, "moved": change.revision})

    def erase(self, uid: str) -> None:
        """Delete the row of a tenant of which no data is left: the last step of purging it.

        Its lines of the journal still tell who did what and when, and no longer what of: titles, domains and values of
        a config are the tenant's own.
        """
        with self._change() as change:
            change.see(uid, frozenset({Status.PURGING}), "erased", step=PURGE)
            change.erase(uid)
            change.silence(uid)
        if not self._terms.rehearsal:
            self._connections.fold()  # what was emptied still stands in the log

    # The journal.

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
        with self._changing(followed=True) as connection:
            known = connection.scalar(select(tables.tenants.c.uid).where(tables.tenants.c.uid == uid))
            if known is not None and new(connection):  # of who was purged meanwhile nothing more is told
                line(connection, self._clock(), by, {"uid": uid, "name": name, "revision": None})

    # How.

    @contextmanager
    def _changing(self, *, followed: bool = False) -> Iterator[Connection]:
        """Begin a change, or raise Unavailable: in no other file than was opened, unless that one was `followed`."""
        writing = self._connections.writing
        if not writing.acquire(timeout=self._patience):
            raise Unavailable(f"The registry {self.path} is busy.", hint="Try again in a moment.")
        try:
            known = (self._identity, self._followed) if followed else (self._identity,)
            if identity(self.path) not in known:
                raise Unavailable(
                    f"The registry {self.path} was replaced while it was open; nothing was written.",
                    hint="Start this process again.",
                )
            with self._writer.connect() as connection, connection.begin() as transaction:
                yield connection
                if self._terms.rehearsal:
                    transaction.rollback()
        except DBAPIError as error:
            raise unavailable(self.path, error.orig) from error
        finally:
            writing.release()

    @contextmanager
    def _change(self) -> Iterator[Change]:
        with self._changing() as connection:
            yield Change(connection, self._clock(), self._terms.retired_days)


def _give(change: Change, tenant: Tenant, domain: str, primary: bool) -> None:
    """Make a custom domain an address of a tenant, if it is none yet, and the primary one, if it is the first."""
    had = _domains(change.places(tenant.uid))
    if domain not in had:
        # Its name is its own already: no verdict on it is asked for.
        change.occupy(tenant, [Place(Address(Kind.DOMAIN, domain))], override=True)
    change.unclaim(tenant.uid, domain)
    if primary or not had:
        change.set_domain(tenant.uid, domain)


def _domains(places: Sequence[Place]) -> list[str]:
    return [place.address.value for place in places if place.address.kind is Kind.DOMAIN]
