"""What serves requests: directory, pool, builder, housekeeper and gateway around one registry."""

import logging
import os
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING

from tenantry import log, settings, signals
from tenantry.assembly.desk import mend, open_desk
from tenantry.directory import Directory
from tenantry.dispatch import Leasing
from tenantry.errors import TenantryError
from tenantry.gateway import Doors, Gateway, behind_proxies, within_middleware
from tenantry.housekeeper import Follower, Housekeeper
from tenantry.operations import Operations
from tenantry.pool import Limits, Pool
from tenantry.registry import Changes
from tenantry.settings import Settings
from tenantry.tenant import Status, Tenant

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_log = logging.getLogger(__name__)

# So many factories that never return mean that something is wrong with more than one tenant.
ABANDONED_LIMIT = 8
# In maintenance the owner may look in: its application stays, unless what moves its data lets it go.
_LIVE = frozenset({Status.ACTIVE, Status.MAINTENANCE})
# Live applications whose config files are looked at in one round; all of the default capacity within a second.
_NOTICED = 64
# Seconds within which a request that had found its tenant has asked for a lease.
_LATELY = 1.0


class Platform:
    """Everything of one process that serves tenants; opened by `open_platform`, closed by whoever opened it.

    `application` is the WSGI callable, `lane(headers, target)` what a server with lanes asks, `operations` the desk.
    """

    def __init__(self, root: Path, known: Settings, closing: ExitStack) -> None:
        self.settings = known
        self._closing = closing
        desk = closing.enter_context(open_desk(root, known))
        self._instance, self._registry = desk.instance, desk.registry
        self.operations = Operations(desk)
        mend(self.operations)
        self._builder = desk.builder()
        self.pool = Pool(self._builder.build, _limits(known), probe=lambda built: built.probe(), report=self._report)
        closing.callback(self.pool.close)
        self.directory = Directory(self._registry.find)
        self._noticed = 0
        self._lately: deque[tuple[float, Tenant]] = deque()
        self._keeper = self._housekeeper()
        closing.callback(self._keeper.stop)
        gateway = Gateway(self._doors())
        self.lane: Callable[[Mapping[str, str], str], Hashable] = gateway.lane
        self.self_test = gateway.self_test
        self.application: WSGIApplication = within_middleware(behind_proxies(gateway, known.proxies), known.middleware)

    def _doors(self) -> Doors:
        return Doors(
            domain=self.settings.domain,
            front_url=self.settings.front_url(),
            leasing=Leasing(self.directory.find, self.pool.lease, self.settings.url),
            peek=self.directory.peek,
            not_ready=self.not_ready,
            keeper=self._keeper,
            trust_request_id=self.settings.proxies > 0,
        )

    def _housekeeper(self) -> Housekeeper:
        seen = self._registry.revision()
        watch = self._registry.watch()
        self._closing.callback(watch.close)
        follow = Follower(watch.version, self._registry.changes, self._apply, seen)
        return Housekeeper([self._look_again, follow, self._notice_edits, self.pool.sweep])

    def _apply(self, changes: Changes) -> None:
        """Bring this process up to the registry: addresses first, then live applications."""
        if changes.rewound:  # revisions of now say nothing about what was built before, whoever it is
            self.directory.forget()
            self.pool.retire()
        shut = [tenant for tenant in changes.tenants if tenant.status not in _LIVE]
        self._lately.extend((monotonic(), tenant) for tenant in shut)
        self.directory.forget([*(tenant.uid for tenant in changes.tenants), *changes.gone])
        self.pool.retire([*(tenant.uid for tenant in shut), *changes.gone])
        for tenant in changes.tenants:
            if tenant.status in _LIVE:
                self.pool.follow(tenant)
            signals.tell(signals.tenant_changed, tenant.uid, tenant=tenant)

    def _look_again(self) -> None:
        """Let go once more of what was closed a moment ago: who had found it just before may have had it built anew."""
        while self._lately and monotonic() - self._lately[0][0] > _LATELY:
            _, tenant = self._lately.popleft()
            self.pool.follow(replace(tenant, moved=tenant.revision))

    def _notice_edits(self) -> None:
        """Want a new build where a config file was edited by hand; of many tenants some a round."""
        built = self.pool.built()
        begin = self._noticed if self._noticed < len(built) else 0
        self._noticed = begin + _NOTICED
        for uid, live in built[begin : self._noticed]:
            if live.edited():
                self.pool.outdate(uid)

    def _report(self, tenant: Tenant, reason: str | None) -> None:
        """Write one journal line when a tenant's build begins to fail and one when that ends, whoever serves it.

        The end is noted at every build: another process, or this one before a restart, may have noted the beginning.
        """
        self._registry.tell(tenant.uid, tenant.name, reason)

    def not_ready(self) -> list[str]:
        """Say what keeps this process from serving well; empty when nothing does."""
        problems = []
        try:
            self._registry.revision()
        except TenantryError as error:
            _log.error("not ready: %s", error)  # where its files lie is not for strangers
            problems.append("The registry cannot be read.")
        if not os.access(self._instance.root, os.W_OK):
            problems.append("The instance folder cannot be written.")
        if self.pool.abandoned >= ABANDONED_LIMIT:
            problems.append(f"{self.pool.abandoned} builds hang.")
        return problems

    def close(self) -> None:
        """Close everything in reverse; idempotent."""
        self._closing.close()

    def __enter__(self) -> "Platform":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_platform(root: Path, overrides: Mapping[str, object] | None = None) -> Platform:
    """Open the platform for the checkout or working folder `root`; nothing stays open when that fails."""
    known = settings.read(root, os.environ, overrides).settings
    log.configure(known.log_format, known.log_level)
    with ExitStack() as undo:
        platform = Platform(root, known, undo)
        platform._closing = undo.pop_all()
    return platform


def _limits(known: Settings) -> Limits:
    return Limits(
        capacity=known.capacity,
        idle=known.idle,
        awake=known.awake,
        in_flight=known.in_flight,
        deadline=known.build_deadline,
        wait=known.build_wait,
    )
