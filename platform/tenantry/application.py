"""The catalog: which applications there are, how one is imported, and what it must offer.

An application is a WSGI factory, `create_app(instance_path, config)`. It stands in a sub-package of `tenants/`, where
it is called by the package's name, or anywhere Python finds it, where it is called `module:factory`.
"""

import difflib
import importlib
import importlib.util
import pkgutil
import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tenantry import address, forks, log
from tenantry.errors import Unavailable, Unknown, reason

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

PACKAGE = "tenants"
FACTORY = "create_app"
DEFAULTS = "config.toml"


@dataclass(frozen=True, slots=True)
class Application:
    """One application: its factory, and the folder of its code. It is shared by all its tenants and never changes.

    `listeners` are the log handlers that its modules added when they were imported.
    """

    name: str
    factory: "Callable[..., WSGIApplication]"
    folder: Path
    listeners: log.Listeners = field(default_factory=log.Listeners, compare=False, repr=False)

    @property
    def migrations(self) -> Path | None:
        """The folder of its Alembic migrations, if it has any."""
        folder = self.folder / "migrations"
        return folder if folder.is_dir() else None

    @property
    def defaults(self) -> Path | None:
        """The file of its own default config, if it has one."""
        file = self.folder / DEFAULTS
        return file if file.is_file() else None


class Catalog:
    """The applications of one checkout or installation. Any thread may ask; each application is imported once.

    What was imported is kept for the process' life, as Python keeps it. A failed import is tried again when asked.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, Application] = {}
        self.renew()
        forks.renewed(self)

    def renew(self) -> None:
        """Import with locks that no other thread holds: at first, and in a forked child."""
        self._lock = threading.Lock()
        # One lock a module: an application that is slow to import keeps none but its own tenants waiting.
        self._importing: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def names(self) -> list[str]:
        """Return the names of the packages in `tenants/`, sorted."""
        return sorted(
            found.name
            for found in pkgutil.iter_modules(self._folders())
            if found.ispkg and not found.name.startswith("_")
        )

    def get(self, name: str) -> Application:
        """Return an application by its name or `module:factory`, imported if it was not yet.

        Unknown if there is no such package or module; Unavailable, with the line at fault, if it cannot be imported
        or has no such factory.
        """
        known = self._known.get(name)
        if known is not None:
            return known
        module, factory = self._spelled(name)
        with self._lock:
            lock = self._importing[module]
        with lock:
            known = self._known.get(name)
            if known is None:
                found = self._imported(name, module)
                made = _factory(name, found, factory)
                known = self._known[name] = Application(name, made, _folder(found), log.imported(module))
        return known

    def _spelled(self, name: str) -> tuple[str, str]:
        module, colon, factory = name.partition(":")
        if colon:
            if not all(part.isidentifier() for part in (*module.split("."), *factory.split("."))):
                raise Unknown(f"There is no application {address.shown(name)}.", hint="Give it as module:factory.")
            # `tenants` itself may be meant, from wherever it is found.
            if module.partition(".")[0] == PACKAGE:
                self._folders()
            return module, factory
        names = self.names()
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            here = f"There are: {', '.join(names)}." if names else "There is none in tenants/."
            raise Unknown(
                f"There is no application {address.shown(name)}.", hint=f"Did you mean {close[0]!r}?" if close else here
            )
        return f"{PACKAGE}.{name}", FACTORY

    def _imported(self, name: str, module: str) -> ModuleType:
        before = set(sys.modules)
        importlib.invalidate_caches()
        try:
            with log.building(log.Mark(listeners=log.imported(module))):
                return importlib.import_module(module)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            _forget(module, before)
            log.imported(module).clear()
            if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
                raise Unknown(f"There is no module {error.name!r} for the application {name!r}.") from error
            raise Unavailable(
                f"The application {name!r} cannot be imported: {reason(error, _place(module))}.",
                hint="Repair it; its tenants are built as soon as it can be imported.",
            ) from error

    def _folders(self) -> list[str]:
        with self._lock:
            spec = _spec()
            if spec is None and str(self._root) not in sys.path:
                # Last, so that nothing in the checkout hides a module of the same name.
                sys.path.append(str(self._root))
                importlib.invalidate_caches()
                spec = _spec()
            own = str(self._root / PACKAGE)
            if spec is not None and Path(own).is_dir() and own not in (spec.submodule_search_locations or []):
                # Another `tenants` is installed: this root's own applications stand beside its, and before them.
                importlib.import_module(PACKAGE).__path__.insert(0, own)
                importlib.invalidate_caches()
                spec = _spec()
        return list(spec.submodule_search_locations or []) if spec is not None else []


def _spec() -> Any:
    try:
        return importlib.util.find_spec(PACKAGE)
    except ValueError:  # somebody put a module without a spec in its place
        return None


def _forget(module: str, before: set[str]) -> None:
    """Drop what a failed import left behind of its own package, so that the next try reads the repaired files."""
    depth = 2 if module.startswith(f"{PACKAGE}.") else 1
    package = ".".join(module.split(".")[:depth])
    for name in set(sys.modules) - before:
        if name == package or name.startswith(f"{package}."):
            sys.modules.pop(name, None)


def _place(module: str) -> Path | None:
    """Find the folder of a module that could not be imported, without importing it or its parents."""
    head, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(head)
    except (ImportError, ValueError):
        return None
    places = [Path(place) for place in (spec.submodule_search_locations or [])] if spec is not None else []
    if not places:
        return Path(spec.origin).parent if spec is not None and spec.origin else None
    inner = places[0].joinpath(*rest[:1])
    return inner if inner.is_dir() else places[0]


def _factory(name: str, module: ModuleType, path: str) -> "Callable[..., WSGIApplication]":
    try:
        found: Any = reduce(getattr, path.split("."), module)
    except AttributeError as error:
        raise Unavailable(f"The application {name!r} has no {path} in {module.__name__}.", hint=_CONTRACT) from error
    if not callable(found):
        raise Unavailable(f"The application {name!r} has a {path} that cannot be called.", hint=_CONTRACT)
    factory: Callable[..., WSGIApplication] = found
    return factory


def _folder(module: ModuleType) -> Path:
    if module.__file__ is not None:
        return Path(module.__file__).absolute().parent
    return Path(next(iter(module.__path__))).absolute()


_CONTRACT = f"It must offer {FACTORY}(instance_path, config), which returns a WSGI callable."
