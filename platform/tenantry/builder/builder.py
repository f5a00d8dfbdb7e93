"""Build a live application, verify that it kept what keeps tenants apart, and undo it."""

import copy
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakValueDictionary

from flask import Flask
from sqlalchemy import Engine

from tenantry import databases, log, policy, signals
from tenantry.application import DEFAULTS, Application
from tenantry.builder import commands, config, probe, sending
from tenantry.builder.sharing import Shared, install
from tenantry.errors import Refused, TenantryError, Unavailable, reason
from tenantry.fences import Border, fenced
from tenantry.meters import Meters
from tenantry.placement import Instance, Placement
from tenantry.policy import Policy
from tenantry.tenant import Tenant

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Applications(Protocol):
    """Where applications come from."""

    def get(self, name: str) -> Application:
        """Import an application by its name."""


class Built:
    """A live application and what it holds open; made by the builder, closed by whoever was given it.

    It holds its placement's lock shared for its whole life, so that nobody moves the data under it.
    """

    __slots__ = (
        "__weakref__",
        "_closing",
        "_stamp",
        "_visit",
        "_watched",
        "app",
        "engines",
        "flask",
        "mount",
        "policy",
        "tenant",
        "whose",
    )

    def __init__(self, tenant: Tenant, mount: str, listeners: log.Listeners, closing: ExitStack) -> None:
        self.tenant = tenant
        self.mount = mount
        self.whose = log.Mark(tenant.name, tenant.uid, listeners)
        closing.callback(listeners.close)
        self.flask: Flask | None = None
        self.app: WSGIApplication = _nobody
        self.engines: tuple[Engine, ...] = ()
        self.policy = Policy()
        self._watched: tuple[str, ...] = ()
        self._stamp: tuple[int, ...] = ()
        self._visit: probe.Visit | None = None
        self._closing = closing
        _open[id(self)] = self

    @property
    def weight(self) -> int:
        """Tell how many database connections it has open right now."""
        return sum(map(databases.weight, self.engines))

    def rest(self) -> None:
        """Close the connections nobody uses and forget compiled statements; the next request makes both again."""
        for engine in self.engines:
            databases.rest(engine)
            engine.clear_compiled_cache()

    def probe(self) -> None:
        """Visit it once as a visitor would, or raise Unavailable; no connection stays open after it."""
        if self._visit is None:
            raise Unavailable("This application is not built yet.")
        try:
            with log.marked(self.whose):
                probe.ask(self.app, self.flask, self._visit)
        finally:
            self.rest()

    def watch(self, *files: Path) -> None:
        """Remember when the config files were last written, or that they are not there; before they are read."""
        self._watched = tuple(map(str, files))
        self._stamp = tuple(map(_written, self._watched))

    def edited(self) -> bool:
        """Tell, once for each edit, whether a config file was written since; cheap, as it is asked of all the time."""
        before, self._stamp = self._stamp, tuple(map(_written, self._watched))
        return self._stamp != before

    def close(self) -> None:
        """Dispose of engines and handlers and let go of the placement; idempotent."""
        with log.marked(self.whose):
            self._closing.close()


# SQLite keeps its locks by process: a child forked beside an open connection believes it holds locks that it does not,
# and what it commits can be lost. So nobody forks with idle connections open; requests in flight are the forker's care.
_open: WeakValueDictionary[int, "Built"] = WeakValueDictionary()


def _before_fork() -> None:
    for reference in _open.valuerefs():  # one atomic step: others may be building
        built = reference()
        if built is not None:
            with suppress(Exception):  # one that cannot rest must not keep the others awake
                built.rest()


os.register_at_fork(before=_before_fork)


class Builder:
    """The shared factory. It opens nothing but what it builds; any thread may build.

    `granted` is what a tenant is granted whose config says nothing else.
    """

    def __init__(
        self,
        instance: Instance,
        catalog: Applications,
        url: Callable[[Tenant, str], str],
        granted: Policy | None = None,
        meters: Meters | None = None,
    ) -> None:
        self._instance = instance
        self._catalog = catalog
        self._url = url
        self._granted = granted or Policy()
        self._meters = meters or Meters()
        self._shared: dict[str, Shared] = {}
        install()
        probe.listen()

    def layers(self, tenant: Tenant) -> list[config.Layer]:
        """List the layers of a tenant's config with the name of each source, the last of which wins."""
        placement = self._instance.placement(tenant.uid)
        application = self._catalog.get(tenant.application)
        own = config.own(tenant, "", placement, self._url(tenant, ""))
        return [*config.layers(tenant, application.defaults, placement), ("tenantry", own)]

    def build(self, tenant: Tenant, mount: str) -> Built:
        """Build one live application, or raise with everything undone again."""
        placement = self._instance.placement(tenant.uid)
        if not placement.exists():
            raise Unavailable(f"The placement {placement.folder} is missing or not whole.", hint="See tenantry doctor.")
        with log.marked(log.Mark(tenant.name, tenant.uid)), ExitStack() as undo:
            undo.callback(placement.hold().close)
            application = self._catalog.get(tenant.application)
            built = Built(tenant, mount, log.Listeners(application.listeners), undo)
            built.watch(placement.config, placement.secrets, application.folder / DEFAULTS)
            self._make(built, placement, application)
            signals.tell(signals.tenant_built, tenant.uid, tenant=tenant, mount=mount, app=built.app)
            closing = ExitStack()
            closing.callback(signals.tell, signals.tenant_disposed, tenant.uid, tenant=tenant, mount=mount)
            closing.push(undo.pop_all())  # last in, first out: when it is told, all is closed
            built._closing = closing
        return built

    def _make(self, built: Built, placement: Placement, application: Application) -> None:
        tenant, url = built.tenant, self._url(built.tenant, built.mount)
        own = config.own(tenant, built.mount, placement, url)
        values: dict[str, object] = {}
        for _, layer in config.layers(tenant, application.defaults, placement):
            values.update(layer)
        values.update(own)
        built.policy = policy.read(values, self._granted)
        with log.building(built.whose):
            app = application.factory(instance_path=str(placement.files), config=copy.deepcopy(values))
            if not callable(app):
                raise Refused(f"The factory has returned {type(app).__name__}, which is no WSGI application.")
            if isinstance(app, Flask):
                self._settle(built, app, placement, own)
        sends = sending.folders(built.flask, application, placement) if built.policy.sends_files else ()
        border = Border(uid=tenant.uid, mount=built.mount, off=built.policy.fences_off, sends=sends)
        metered = self._meters.metered(fenced(app, border), tenant.uid, built.policy, placement.folder)
        built.app = _marked(metered, built.whose)
        built._visit = probe.Visit(url, built.mount, application.folder)

    def _settle(self, built: Built, app: Flask, placement: Placement, own: dict[str, object]) -> None:
        built.flask = app
        built.engines = _engines(app)
        built._closing.callback(_release, app, built.engines)
        _verify(app, placement, own, built.engines)
        for engine in built.engines:
            databases.tune(engine)
            engine.hide_parameters = True  # else an error that is logged tells what was to be written
        if not built.policy.sends_files:  # else nobody would send what it leaves to be sent
            app.config["USE_X_SENDFILE"] = False
        config.settle(app.config)
        _ = app.logger  # made now, while the tenant is known
        self._shared.setdefault(built.tenant.application, Shared()).settle(app)

    @contextmanager
    def opened(self, tenant: Tenant) -> Iterator[Flask | None]:
        """Build a tenant's application for the time of a `with`: the Flask object, None where it is of another kind.

        Raises Unavailable where the factory raises anything at all.
        """
        try:
            built = self.build(tenant, "")
        except (TenantryError, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise Unavailable(f"The application of {tenant.name} cannot be built: {reason(error)}.") from error
        try:
            with log.marked(built.whose):
                yield built.flask
        finally:
            built.close()

    def run_cli(self, tenant: Tenant, args: Sequence[str]) -> int:
        """Run a command of the application's own Flask CLI in the tenant; return its exit code."""
        with self.opened(tenant) as app:
            return commands.run(_flask(app, tenant), args, f"tenantry run {tenant.name} --")

    def shell(self, tenant: Tenant) -> int:
        """Open an interactive Python in the tenant's application context; return its exit code."""
        return self.run_cli(tenant, ["shell"])

    def owner_link(self, tenant: Tenant) -> str | None:
        """Ask the application for its one-time owner link; None where it has no such command."""
        with self.opened(tenant) as app:
            known = app is not None and "owner-link" in app.cli.commands
            return commands.output(_flask(app, tenant), "owner-link") if known else None


def _flask(app: Flask | None, tenant: Tenant) -> Flask:
    if app is None:
        raise Refused(f"The application {tenant.application} is not a Flask one.", hint="It has no commands.")
    return app


def _marked(app: "WSGIApplication", whose: log.Mark) -> "WSGIApplication":
    """Let every log line of a request carry its tenant; called in the request's own fresh Context."""

    def marked(environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        log.mark.set(whose)
        environ["tenantry.mark"] = whose
        log.request.set(environ.get("tenantry.request_id", ""))
        client = environ["tenantry.client"] = environ.get("REMOTE_ADDR", "")
        log.client.set(client)
        return app(environ, start_response)

    return marked


def _engines(app: Flask) -> tuple[Engine, ...]:
    """Find the engines that Flask-SQLAlchemy made for this application."""
    extension = app.extensions.get("sqlalchemy")
    if extension is None:
        return ()
    with app.app_context():
        return tuple(extension.engines.values())


def _verify(app: Flask, placement: Placement, own: dict[str, object], engines: Sequence[Engine]) -> None:
    """Raise Refused where the factory changed what keeps tenants apart."""
    if app.instance_path != str(placement.files):
        raise Refused(f"The application's instance path is {app.instance_path}, not the one it was given.")
    for key, value in own.items():
        if app.config.get(key) != value:
            raise Refused(f"The application has changed {key}, which is the platform's own.")
    for engine in engines:
        if engine.dialect.name == "sqlite" and not _inside(engine.url.database, placement):
            raise Refused(f"The application has opened the database {engine.url.database} outside its placement.")


def _inside(database: str | None, placement: Placement) -> bool:
    """Tell whether an SQLite database is the placement's own; one in memory is nobody else's either."""
    if not database or database == ":memory:":
        return True
    path = Path(database)
    return path.is_absolute() and path.resolve().is_relative_to(placement.folder.resolve())


def _release(app: Flask, engines: Sequence[Engine]) -> None:
    """Close what an application holds open and break the cycles that would keep it until a full collection."""
    for engine in engines:
        engine.dispose()
    environment: Any = app.__dict__.pop("jinja_env", None)
    if environment is not None:
        if environment.cache is not None:
            for template in environment.cache.values():
                template.root_render_func.__globals__.clear()  # the compiled functions' own: a cycle each
            environment.cache.clear()
        environment.globals.clear()


def _written(path: str) -> int:
    try:
        found = os.stat(path)  # noqa: PTH116 - a Path costs five times as much
    except OSError:
        return 0
    return hash((found.st_mtime_ns, found.st_size, found.st_ino))


def _nobody(_: Any, __: Any) -> Any:
    raise Unavailable("This application is not built yet.")
