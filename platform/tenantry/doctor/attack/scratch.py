"""The scratch instance: a folder of its own, tenants added by the operator's own verbs, and servers on it.

Nothing in it is the operator's but the code of the applications and the settings. It is gone when the `with` ends,
however it ends.
"""

import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tenantry import policy
from tenantry.builder.config import secret_key
from tenantry.doctor.attack import target
from tenantry.doctor.attack.calling import Header, OutOfTime, Patience, Request, within
from tenantry.doctor.attack.server import Server
from tenantry.errors import TenantryError, Unavailable
from tenantry.operations import NewTenant, Operations
from tenantry.placement import Instance, Placement
from tenantry.policy import Policy
from tenantry.settings import Settings

# Opens the operator's desk on the instance folder that the overrides name.
Opens = Callable[[Path, Mapping[str, object]], AbstractContextManager[Operations]]

# No two of these look alike, as the names of tenants must not.
_LETTERS = "abceghkoprstux"
# So many tenants of the built-in application, and of each of the operator's.
_TARGETS, _OWN = 10, 3
# Seconds for adding all of them, and those of one application, which is imported for it.
_POPULATED, _ADDED = 25.0, 15.0
# More applications than this are not attacked in a minute.
AT_MOST = len(_LETTERS)
_STRANGER = "198.51.100.77"
# Open for signing up, so that nothing of an application runs in this process. And Flask shall send a session again with
# each answer, so that its being believed can be seen.
_CONFIG = {"SIGN_UP_OPEN": True, "SESSION_REFRESH_EACH_REQUEST": True}
# What an operator's limits would keep from being tried at all: not these are attacked, but those of a tenant of ours.
_UNBOUND = {"rate": "", "quota": "0", "memory": "0"}


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant of the scratch instance; its canary is its title and in its config, and nobody else's."""

    name: str
    uid: str
    application: str
    canary: str
    key: str
    placement: Placement


@dataclass(frozen=True, slots=True)
class Address:
    """One address of a tenant: its host, and its mount, which is empty for the subdomain."""

    tenant: Tenant
    host: str
    mount: str

    def request(
        self, path: str = "/", method: str = "GET", headers: Sequence[Header] = (), body: bytes = b""
    ) -> Request:
        """Make a request for a page of it."""
        return Request(self.host, self.mount + path, method, headers, body)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to attack: where, with which settings, which applications, and how the desk is opened."""

    root: Path
    known: Settings
    applications: tuple[str, ...]
    opens: Opens


class Ground:
    """The scratch instance while it is attacked. `broken` says of an application why it has no tenants here."""

    def __init__(self, plan: Plan, folder: Path, operations: Operations) -> None:
        self.known = plan.known
        self.folder = folder
        self.instance = Instance(folder / "instance")
        self.operations = operations
        self.targets: list[Tenant] = []
        self.tenants: dict[str, list[Tenant]] = {}
        self.broken: dict[str, str] = {}
        self.logs: list[Path] = []
        self._root = plan.root
        self._undo = ExitStack()
        self._server: Server | None = None

    @property
    def everybody(self) -> list[Tenant]:
        """All tenants."""
        return [*self.targets, *(tenant for tenants in self.tenants.values() for tenant in tenants)]

    def host(self, tenant: Tenant) -> Address:
        """The subdomain of a tenant."""
        return Address(tenant, f"{tenant.name}.{self.known.domain}", "")

    def path(self, tenant: Tenant) -> Address:
        """The path address of a tenant."""
        return Address(tenant, self.known.domain, f"/t/{tenant.name}")

    def addresses(self, tenant: Tenant) -> tuple[Address, Address]:
        """Both."""
        return self.host(tenant), self.path(tenant)

    def down(self, tenant: Tenant) -> frozenset[str]:
        """The fences that the application's own config takes down for its tenants."""
        shown = {value.key: value.shown for value in self.operations.config_show(tenant.name)}
        return policy.read(shown, Policy()).fences_off

    def forwarded(self, client: str = _STRANGER) -> list[Header]:
        """The headers that the declared proxies add, of which the last is this machine."""
        hops = self.known.proxies
        if not hops:
            return []
        return [
            ("X-Forwarded-For", ", ".join([client, *["127.0.0.1"] * (hops - 1)])),
            ("X-Forwarded-Proto", ", ".join([self.known.scheme] * hops)),
        ]

    def server(self, patience: Patience) -> Server:
        """The server that most parts share, started anew where it has ended."""
        if self._server is None or not self._server.alive:
            self._undo.close()
            self._server = self._undo.enter_context(self.serving(patience))
        return self._server

    @contextmanager
    def serving(self, patience: Patience, **settings: object) -> Iterator[Server]:
        """Serve the scratch instance by a process of its own, with other settings where they are given."""
        given = {"instance": self.instance.root, "host": "127.0.0.1", "public_port": 0, "log_format": "json"}
        given |= {"log_level": "info", "access_log": "on", **_UNBOUND, **settings}
        environment = {f"TENANTRY_{name.upper()}": str(value) for name, value in given.items()}
        log = self.folder / f"server-{len(self.logs)}.log"
        self.logs.append(log)
        server = Server(self._root, log, environment)
        try:
            server.start(patience)
            yield server
        finally:
            server.kill()

    def close(self) -> None:
        """End the shared server."""
        self._undo.close()

    def add(self, name: str, application: str, **config: object) -> Tenant:
        """Add a tenant that nobody has built yet."""
        canary = f"canary-{secrets.token_hex(8)}"
        own: dict[str, object] = {**_CONFIG, "CANARY": canary, **config}
        tenant = self.operations.add(NewTenant(name, canary, application, path=True, config=own)).tenant
        placement = self.instance.placement(tenant.uid)
        return Tenant(name, tenant.uid, application, canary, secret_key(placement, tenant.uid), placement)

    def populate(self, applications: Sequence[str], patience: Patience) -> None:
        """Add all tenants; the first two of each application have equal key files."""
        try:
            self.targets = self._added("target", target.MODULE, _TARGETS, patience)
        except OutOfTime:
            raise Unavailable("The scratch instance could not be made in time.", hint="Is this machine busy?") from None
        for number, application in zip(_LETTERS, applications, strict=False):
            try:
                self.tenants[application] = self._added(f"tenant-{number}", application, _OWN, patience)
            except TenantryError as error:
                self.broken[application] = str(error)
            except OutOfTime:
                self.broken[application] = "its tenants could not be added in time."
        for tenants in [self.targets, *self.tenants.values()]:
            _share_key(tenants)

    def _added(self, begin: str, application: str, many: int, patience: Patience) -> list[Tenant]:
        names = [f"{begin}-{letter}" for letter in _LETTERS[:many]]
        return within(patience.left(_ADDED), lambda: [self.add(name, application) for name in names])


def _share_key(tenants: list[Tenant]) -> None:
    first, second = tenants[:2]
    second.placement.key.write_bytes(first.placement.key.read_bytes())
    tenants[1] = replace(second, key=secret_key(second.placement, second.uid))


@contextmanager
def opened(plan: Plan) -> Iterator[Ground]:
    """Make a scratch instance with its tenants, and leave nothing of it."""
    folder = Path(tempfile.mkdtemp(prefix="tenantry-attack-"))
    try:
        overrides: dict[str, object] = {"instance": folder / "instance"}
        with plan.opens(plan.root, overrides) as operations:
            ground = Ground(plan, folder, operations)
            try:
                ground.populate(plan.applications, Patience(_POPULATED))
                yield ground
            finally:
                ground.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
