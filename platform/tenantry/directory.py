"""The directory: addresses found lately, kept true by following the registry."""

import os
import threading
from collections.abc import Callable, Collection
from weakref import WeakSet

from tenantry.address import Address, Kind
from tenantry.tenant import Tenant

BOUND = 100_000


class Directory:
    """Which tenant is at which address, remembered for those that exist and for those alone.

    Reading takes no lock. What was found is kept only if nothing changed since the search began: `forget` counts up a
    generation, and a find that began in an older one is answered and not kept.
    """

    def __init__(self, find: Callable[[Address], Tenant], bound: int = BOUND) -> None:
        self._find = find
        self._bound = bound
        self._generation = 0
        self._begin()
        _directories.add(self)

    def _begin(self) -> None:
        """Begin with nothing: at first, and in a forked child, which may have inherited a lock that nobody opens."""
        self._lock = threading.Lock()
        self._known: dict[Kind, dict[str, Tenant]] = {kind: {} for kind in Kind}
        self._places: dict[str, list[tuple[Kind, str]]] = {}
        self._last: dict[tuple[Kind, str], str] = {}

    def find(self, kind: Kind, value: str) -> Tenant:
        """Find the tenant at an address, or raise what the registry raises."""
        tenant = self._known[kind].get(value)
        if tenant is not None:
            return tenant
        generation = self._generation
        tenant = self._find(Address(kind, value))
        with self._lock:
            if generation == self._generation:
                self._keep(kind, value, tenant)
        return tenant

    def peek(self, kind: Kind, value: str) -> str | None:
        """Tell the uid of who was last found at an address, from memory alone; not forgotten when that one changes."""
        return self._last.get((kind, value))

    def _keep(self, kind: Kind, value: str, tenant: Tenant) -> None:
        known = self._known[kind]
        if len(self) >= self._bound:
            known_most = max(self._known, key=lambda one: len(self._known[one]))
            for old in [*self._known[known_most]][: max(1, self._bound // 10)]:
                self._drop(known_most, old)
        known[value] = tenant
        if len(self._last) >= self._bound:
            self._last.clear()
        self._last[kind, value] = tenant.uid
        self._places.setdefault(tenant.uid, []).append((kind, value))

    def _drop(self, kind: Kind, value: str) -> None:
        tenant = self._known[kind].pop(value, None)
        if tenant is None:
            return
        left = [place for place in self._places.pop(tenant.uid, []) if place != (kind, value)]
        if left:
            self._places[tenant.uid] = left

    def forget(self, uids: Collection[str] | None = None) -> None:
        """Forget where these tenants are, or where anybody is; the next request asks the registry."""
        with self._lock:
            self._generation += 1
            for uid in list(self._places) if uids is None else uids:
                for kind, value in self._places.pop(uid, []):
                    self._known[kind].pop(value, None)

    def __len__(self) -> int:
        return sum(len(known) for known in self._known.values())


_directories: WeakSet[Directory] = WeakSet()


def _after_fork() -> None:
    for directory in list(_directories):
        directory._begin()


os.register_at_fork(after_in_child=_after_fork)
