"""The directory: addresses found lately, kept true by following the registry."""

import threading
from collections.abc import Callable, Collection
from itertools import islice

from tenantry import forks
from tenantry.address import Address, Kind
from tenantry.errors import Unavailable
from tenantry.tenant import Tenant

# Each takes half a KiB at most, the tables of full dictionaries included: about 32 MiB in all.
BOUND = 65_536


class Directory:
    """Which tenant is at which address, remembered for those that exist and for those alone.

    Reading takes no lock. What was found is kept only if nothing changed since the search began: `forget` counts up a
    generation, and a find that began in an older one is answered and not kept. Nor is an address at which its tenant is
    not served: an old name leads to the new one until its grace ends, which no change in the registry tells.

    While the registry is away nobody is forgotten for room, since nobody could be found again; once it has been away
    for too long, whoever follows it closes the directory.
    """

    def __init__(self, find: Callable[[Address], Tenant], bound: int = BOUND) -> None:
        self._find = find
        self._bound = bound
        self._generation = 0
        self._held = False
        self._closed = False
        self.renew()
        forks.renewed(self)

    def renew(self) -> None:
        """Begin with nothing: at first, and in a forked child, which may have inherited a lock that nobody opens."""
        self._lock = threading.Lock()
        self._known: dict[Kind, dict[str, Tenant]] = {kind: {} for kind in Kind}
        # By uid: most tenants are known at one address of a kind, which then stands for itself, without a tuple.
        self._places: dict[Kind, dict[str, str | tuple[str, ...]]] = {kind: {} for kind in Kind}
        # Who was at an address before it was forgotten; the two together stay within the bound.
        self._last: dict[Kind, dict[str, str]] = {kind: {} for kind in Kind}

    def find(self, kind: Kind, value: str) -> Tenant:
        """Find the tenant at an address, or raise what the registry raises."""
        tenant = self._known[kind].get(value)
        if tenant is not None:
            return tenant
        if self._closed:
            raise Unavailable("This site cannot be found right now.", hint="Please try again later.", retry_after=30)
        generation = self._generation
        tenant = self._find(Address(kind, value))
        home = tenant.home(kind, value)
        if home == value:
            with self._lock:
                if generation == self._generation and not (self._held and len(self) >= self._bound):
                    self._keep(kind, home, tenant)
        return tenant

    def peek(self, kind: Kind, value: str) -> str | None:
        """Tell the uid of who was last found at an address, from memory alone; not forgotten when that one changes."""
        tenant = self._known[kind].get(value)
        return self._last[kind].get(value) if tenant is None else tenant.uid

    def hold(self, away: bool) -> None:
        """Forget nobody for room while the registry is `away`."""
        self._held = away

    def close(self) -> None:
        """Forget everybody and find nobody any more, until it is opened again."""
        self._closed = True
        self.forget()

    def open(self) -> None:
        """Find tenants again."""
        self._closed = False

    def _keep(self, kind: Kind, value: str, tenant: Tenant) -> None:
        """Keep a tenant at `value`, best the very text that the tenant holds: then it is in memory once."""
        self._drop(kind, value)
        self._make_room()
        self._known[kind][value] = tenant
        places = self._places[kind]
        others = places.get(tenant.uid)
        places[tenant.uid] = value if others is None else (*_each(others), value)

    def _make_room(self) -> None:
        if len(self) + sum(map(len, self._last.values())) >= self._bound:
            for last in self._last.values():
                last.clear()
        if len(self) >= self._bound:
            most = max(self._known, key=lambda kind: len(self._known[kind]))
            for old in list(islice(self._known[most], max(1, self._bound // 100))):
                self._drop(most, old)

    def _drop(self, kind: Kind, value: str) -> None:
        tenant = self._known[kind].pop(value, None)
        if tenant is None:
            return
        left = tuple(other for other in _each(self._places[kind].pop(tenant.uid, ())) if other != value)
        if left:
            self._places[kind][tenant.uid] = left

    def forget(self, uids: Collection[str] | None = None) -> None:
        """Forget where these tenants are, or where anybody is; the next request asks the registry."""
        with self._lock:
            self._generation += 1
            for kind, places in self._places.items():
                known, last = self._known[kind], self._last[kind]
                for uid in list(places) if uids is None else uids:
                    for value in _each(places.pop(uid, ())):
                        last[value] = uid  # first, so that who peeks meanwhile sees one of the two
                        known.pop(value, None)

    def __len__(self) -> int:
        return sum(len(known) for known in self._known.values())


def _each(values: str | tuple[str, ...]) -> tuple[str, ...]:
    return (values,) if isinstance(values, str) else values
