"""What serves requests: directory, pool, builder, housekeeper and gateway around one registry."""

import logging
import os
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING

from tenantry import log, rations, settings, signals
from tenantry.assembly import probe
from tenantry.assembly.desk import mend, open_desk, public_url
from tenantry.builder import Builder, Built
from tenantry.directory import Directory
from tenantry.dispatch import Leasing
from tenantry.errors import TenantryError, Unavailable
from tenantry.gateway import Doors, Gateway, Probing, behind_proxies, probed, within_middleware
from tenantry.housekeeper import LASTS, Chore, Follower, Housekeeper, Outage, Thrift
from tenantry.meters import Meters
from tenantry.operations import Operations
from tenantry.policy import granted
from tenantry.pool import Limits, Pool
from tenantry.rations import Rations
from tenantry.registry import Changes, Registry
from tenantry.server import Asks
from tenantry.settings import Settings
from tenantry.surroundings import Surroundings
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
# Seconds for which a request may wait for a registry that is locked.
_PATIENCE = 1.0


class Platform:
    """Everything of one process that serves tenants; opened by `open_platform`, closed by whoever opened it.

    `application` is the WSGI callable, `asks` what the server asks of it from memory, `operations` the desk.
    """

    def __init__(self, root: Path, known: Settings, outage: float = LASTS) -> None:
        with ExitStack() as undo:
            self._closing = undo
            self._open(root, known, outage)
            self._closing = undo.pop_all()

    def _open(self, root: Path, known: Settings, outage: float) -> None:
        self._closing.callback(log.rest)
        given = rations.ration(known, rations.limit())
        for cut in given.says:
            _log.warning("%s", cut)
        known = self.settings = given.settings
        self._surroundings = Surroundings()
        desk = self._closing.enter_context(open_desk(root, known))
        self._instance = desk.instance
        # A book of its own, which is asked while visitors wait: the operator's verbs may be more patient.
        self._registry = self._closing.enter_context(Registry.open(desk.registry.path, patience=_PATIENCE))
        self.operations = Operations(desk)
        mend(self.operations)
        self._meters = Meters()
        self._closing.callback(self._meters.close)
        self._builder = Builder(desk.instance, desk.catalog, public_url(known), granted(known), self._meters)
        self.pool = Pool(self._build, _limits(known), probe=lambda built: built.probe(), report=self._report)
        self._closing.callback(self.pool.close)
        self.directory = Directory(self._registry.find)
        self._noticed = 0
        self._lately: deque[tuple[float, Tenant]] = deque()
        self._outage = self._following(outage)
        self._keeper = self._housekeeper(given)
        self._closing.callback(self._keeper.stop)
        gateway = Gateway(self._doors())
        self.asks = Asks(
            lane=gateway.lane, admit=gateway.admit, access=log.access if known.access_log == "on" else None
        )
        self.self_test = gateway.self_test
        self.application: WSGIApplication = within_middleware(self._probed(gateway), known.middleware)

    def _probed(self, gateway: Gateway) -> "WSGIApplication":
        """Put the gateway behind the declared proxies, and outside of these the probe page."""
        known, secret = self.settings, probe.own(self._instance)
        behind = behind_proxies(gateway, known.proxies)
        if not secret:
            return behind
        file = probe.sample(self._instance, known)
        return probed(behind, Probing(secret=secret, hops=known.proxies, settings=probe.told(known), file=file))

    def _doors(self) -> Doors:
        return Doors(
            domain=self.settings.domain,
            front_url=self.settings.front_url(),
            find=self.directory.find,
            leasing=Leasing(self.directory.find, self.pool.lease, self.settings.url),
            peek=self.directory.peek,
            max_body=self._max_body,
            not_ready=self.not_ready,
            keeper=self._keeper,
            trust_request_id=self.settings.proxies > 0,
            ask_token=self.settings.ask_token,
        )

    def _max_body(self, uid: str) -> int:
        """Tell, from memory, the largest body that a tenant takes: its own limit where it is live and has one."""
        built = self.pool.newest(uid)
        own = built.policy.max_body if built is not None else 0
        return min(own or self.settings.max_body, self.settings.max_body)

    def _build(self, tenant: Tenant, mount: str) -> Built:
        with self._surroundings.building(tenant.name, tenant.application):
            return self._builder.build(tenant, mount)

    def _following(self, lasts: float) -> Outage:
        seen = self._registry.revision()
        watch = self._registry.watch()
        self._closing.callback(watch.close)
        self._follower = Follower(watch.version, self._registry.changes, self._apply, seen)
        return Outage(self._registry.look, self._follower, self.directory, lasts=lasts)

    def _housekeeper(self, given: Rations) -> Housekeeper:
        thrift = Thrift(self.pool, given, opened=rations.opened, resident=rations.resident)
        following: list[Chore] = [self._look_again, self._outage, self._notice_edits]
        saving: list[Chore] = [self.pool.sweep, thrift.descriptors, thrift.memory]
        return Housekeeper([*following, *saving, self._surroundings.restore, log.settle, self._meters.round])

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
        What cannot be noted, because the registry is away or being written by somebody for long, stands in the log.
        """
        if self._outage.since is not None or not self._registry.reachable:
            return
        try:
            self._registry.tell(tenant.uid, tenant.name, reason)
        except Unavailable as error:
            _log.warning("the journal does not tell how %s was built: %s", tenant.name, error)

    def not_ready(self) -> list[str]:
        """Say what keeps this process from serving well; empty when nothing does."""
        problems = []
        if not self._readable():
            problems.append("The registry cannot be read.")
        if not os.access(self._instance.root, os.W_OK):
            problems.append("The instance folder cannot be written.")
        if self.pool.abandoned >= ABANDONED_LIMIT:
            problems.append(f"{self.pool.abandoned} builds hang.")
        return problems

    def _readable(self) -> bool:
        """Read the registry, but while it is known to be away: who asks for that must not take all threads."""
        if self._outage.since is not None or not self._registry.reachable:
            return False
        try:
            self._registry.revision()
        except TenantryError as error:
            _log.error("not ready: %s", error)  # where its files lie is not for strangers
            return False
        return True

    def close(self) -> None:
        """Close everything in reverse; idempotent."""
        self._closing.close()

    def __enter__(self) -> "Platform":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_platform(root: Path, overrides: Mapping[str, object] | None = None, *, outage: float = LASTS) -> Platform:
    """Open the platform for the checkout or working folder `root`; nothing stays open when that fails.

    For `outage` seconds known tenants are served on while the registry is away.
    """
    known = settings.read(root, os.environ, overrides).settings
    log.configure(known.log_format, known.log_level)
    return Platform(root, known, outage)


def _limits(known: Settings) -> Limits:
    return Limits(
        capacity=known.capacity,
        idle=known.idle,
        awake=known.awake,
        in_flight=known.in_flight,
        deadline=known.build_deadline,
        wait=known.build_wait,
    )
