"""What the desk is given, what it is asked, and what it answers: frozen values only."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tenantry.application import Catalog
from tenantry.builder import Builder
from tenantry.placement import Instance
from tenantry.registry import Entry, Registry
from tenantry.settings import Settings
from tenantry.tenant import Tenant


@dataclass(frozen=True, slots=True)
class Desk:
    """What the operator's verbs work with.

    `builder` makes the shared factory, for the verbs that need one. `who` is the operator, written into each journal
    line.
    """

    settings: Settings
    instance: Instance
    registry: Registry
    catalog: Catalog
    builder: Callable[[], Builder]
    who: str


@dataclass(frozen=True, slots=True)
class NewTenant:
    """A tenant to add. An empty `application` means the one in the settings; `path` adds an address under /t/."""

    name: str
    title: str = ""
    application: str = ""
    path: bool = False
    domains: Sequence[str] = ()
    config: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Added:
    """A tenant that was added. `warning` says why there is no owner link although there should be one."""

    tenant: Tenant
    urls: tuple[str, ...]
    owner_link: str | None = None
    warning: str = ""


@dataclass(frozen=True, slots=True)
class Changed:
    """What a verb left; `changed` is False when it was so already and nothing was written.

    `keys` are the config keys that changed.
    """

    tenant: Tenant
    changed: bool
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Removed:
    """A tenant that was removed. `trash` is None when there was no folder to keep."""

    tenant: Tenant
    changed: bool
    trash: Path | None
    undo: str


@dataclass(frozen=True, slots=True)
class Restored:
    """A removed tenant that is back. `lost` are addresses that belong to others by now."""

    tenant: Tenant
    changed: bool
    urls: tuple[str, ...]
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of the list."""

    tenant: Tenant
    urls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """All tenants by name; `unreadable` names the rows of the registry that make no sense."""

    tenants: tuple[Listed, ...]
    unreadable: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Schema:
    """Where a tenant's database stands: its Alembic revision and the newest one of its application."""

    current: str | None
    head: str | None

    @property
    def pending(self) -> bool:
        """Tell whether migrations wait to be run."""
        return self.current != self.head


@dataclass(frozen=True, slots=True)
class Shown:
    """Everything an operator asks about one tenant.

    `problems` are what is wrong with its files and its application, `trouble` is why its build fails in the serving
    processes and `trouble_since` when that began. `size` is that of its database in bytes, None without one.
    """

    tenant: Tenant
    urls: tuple[str, ...]
    placement: Path
    size: int | None
    schema: Schema | None
    problems: tuple[str, ...]
    trouble: str
    trouble_since: str
    journal: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a tenant's config as it may be shown: a secret's `shown` is a mask."""

    key: str
    shown: object
    source: str
    secret: bool


@dataclass(frozen=True, slots=True)
class Mended:
    """One interrupted add or removal that was brought to its end; `says` is what was done."""

    uid: str
    name: str
    says: str
