"""What the desk is given, what it is asked, and what it answers: frozen values only."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from tenantry.application import Catalog
from tenantry.builder import Builder
from tenantry.placement import Instance
from tenantry.registry import Entry, Place, Registry
from tenantry.resolver import Asks, Resolver
from tenantry.settings import Settings
from tenantry.tenant import Notice, Tenant

# The part of its quota from which on an operator is told.
_NEARLY = 0.8


@dataclass(frozen=True, slots=True)
class Desk:
    """What the operator's verbs work with.

    `builder` makes the shared factory, for the verbs that need one; `resolver` is asked whose a domain is. `who` is the
    operator, written into each journal line. In a `dry_run` every check is made and nothing is written: the registry
    was opened as a rehearsal, and the verbs keep their hands off the files.
    """

    settings: Settings
    instance: Instance
    registry: Registry
    catalog: Catalog
    builder: Callable[[], Builder]
    who: str
    dry_run: bool = False
    resolver: Asks = field(default_factory=Resolver)


@dataclass(frozen=True, slots=True)
class NewTenant:
    """A tenant to add. An empty `application` means the one in the settings; `path` adds an address under /t/.

    It claims its `domains`, or has them at once on `trust`, where the operator knows whose they are. With `override`
    its name may be a reserved word, a retired name, or look like another's.
    """

    name: str
    title: str = ""
    application: str = ""
    path: bool = False
    domains: Sequence[str] = ()
    config: Mapping[str, object] = field(default_factory=dict)
    override: bool = False
    trust: bool = False


@dataclass(frozen=True, slots=True)
class Clone:
    """A tenant to make of another one's data: without a `title` it has that one's, without `secrets` an empty .env."""

    name: str
    title: str | None = None
    path: bool = False
    secrets: bool = True
    override: bool = False


@dataclass(frozen=True, slots=True)
class NewName:
    """A name for a tenant that has one; without a `grace` the old one leads to it for as long as the settings say."""

    name: str
    grace: timedelta | None = None
    override: bool = False


@dataclass(frozen=True, slots=True)
class Maintenance:
    """What visitors are told in a maintenance; `retry_after` is in seconds, `new_link` makes another bypass link.

    What is None stays as it is, or as it is by default.
    """

    message: str | None = None
    retry_after: int | None = None
    new_link: bool = False


@dataclass(frozen=True, slots=True)
class Claimed:
    """A custom domain that a tenant claims: it is no address until a TXT record `record` that says `value` proves it.

    `target` is where a CNAME of the domain has to lead, and `primary` tells whether it will be the primary one. In a
    dry run there is no `value` yet.
    """

    domain: str
    primary: bool
    record: str
    value: str
    target: str


@dataclass(frozen=True, slots=True)
class Added:
    """A tenant that was added. `warning` says what its operator should see to, such as a missing owner link."""

    tenant: Tenant
    urls: tuple[str, ...]
    owner_link: str | None = None
    warning: str = ""
    claims: tuple[Claimed, ...] = ()


@dataclass(frozen=True, slots=True)
class Changed:
    """What a verb left; `changed` is False when it was so already and nothing was written.

    `keys` are the config keys that changed.
    """

    tenant: Tenant
    changed: bool
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Renamed:
    """A tenant under its new name. `until` is when the old one stops leading to it, in UTC, empty if it never does."""

    tenant: Tenant
    changed: bool
    urls: tuple[str, ...]
    until: str = ""


@dataclass(frozen=True, slots=True)
class Domain:
    """One custom domain of a tenant; the others lead to the primary one."""

    domain: str
    primary: bool
    url: str


@dataclass(frozen=True, slots=True)
class Domains:
    """The custom domains that a verb left, and those that are claimed."""

    tenant: Tenant
    changed: bool
    domains: tuple[Domain, ...]
    claims: tuple[Claimed, ...] = ()


class About(StrEnum):
    """What one looks for in the DNS of a domain."""

    OWNERSHIP = "ownership"
    WAY = "way"
    CERTIFICATES = "certificates"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the DNS says of a domain, and what to do about it. `good` is None where it may be either."""

    about: About
    good: bool | None
    says: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """A domain as the DNS shows it: `verified` if it is the tenant's own, `changed` if that was proved just now."""

    domain: str
    verified: bool
    changed: bool
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Checks:
    """The domains of a tenant that were looked at; `changed` if one of them was proved just now."""

    tenant: Tenant
    changed: bool
    domains: tuple[Checked, ...]


@dataclass(frozen=True, slots=True)
class Maintained:
    """A tenant in maintenance. `link` lets its bearer past; it is told once, and is None if it was told before."""

    tenant: Tenant
    changed: bool
    link: str | None


@dataclass(frozen=True, slots=True)
class Removed:
    """A tenant that was removed. `trash` is None when there was no folder to keep."""

    tenant: Tenant
    changed: bool
    trash: Path | None
    undo: str


@dataclass(frozen=True, slots=True)
class Restored:
    """A removed tenant that is back. `lost` are addresses that it cannot have any more."""

    tenant: Tenant
    changed: bool
    urls: tuple[str, ...]
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Purged:
    """A tenant of which nothing is left: how many files were deleted, and how many bytes were in them."""

    tenant: Tenant
    changed: bool
    files: int
    size: int


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of the list."""

    tenant: Tenant
    urls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """Some tenants by name; `unreadable` names the rows of the registry among them that make no sense.

    `after` is where the next ones begin, None after the last.
    """

    tenants: tuple[Listed, ...]
    unreadable: tuple[str, ...]
    after: tuple[str, str] | None = None


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
class Disk:
    """What a tenant takes on the disk, in bytes: what its application has written, and its whole folder.

    A `quota` of 0 is none.
    """

    files: int
    all: int
    quota: int

    @property
    def part(self) -> float:
        """Return the part of its quota that it takes, 0 without one."""
        return self.all / self.quota if self.quota else 0.0

    @property
    def warning(self) -> str:
        """Say what its operator should see to; empty below four fifths of the quota."""
        if self.part < _NEARLY:
            return ""
        return "full, and requests that write are refused" if self.part >= 1 else "nearly full"


@dataclass(frozen=True, slots=True)
class Shown:
    """Everything an operator asks about one tenant.

    `problems` are what is wrong with its files and its application, `trouble` is why its build fails in the serving
    processes and `trouble_since` when that began. `size` is that of its database in bytes, None without one. `places`
    are all its addresses, old names with the end of their grace among them; `claims` are domains that it has not proved
    to be its own. `pending` is the verb that is under way, or
    was cut short. `limits` are those of its limits that are not what the settings grant to everybody, by config key.
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
    places: tuple[Place, ...] = ()
    notice: Notice | None = None
    pending: str = ""
    disk: Disk | None = None
    limits: Mapping[str, object] = field(default_factory=dict)
    claims: tuple[Claimed, ...] = ()


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a tenant's config as it may be shown: a secret's `shown` is a mask."""

    key: str
    shown: object
    source: str
    secret: bool


@dataclass(frozen=True, slots=True)
class Origin:
    """Who made a layer say what it says: the journal's verb, operator and moment, or "by hand" and nobody knows."""

    verb: str
    who: str = ""
    at: str = ""


@dataclass(frozen=True, slots=True)
class Layer:
    """What one layer says of a key. `origin` is None where nobody sets anything, as in the layers of code."""

    source: str
    is_set: bool
    shown: object
    wins: bool
    origin: Origin | None


@dataclass(frozen=True, slots=True)
class Explained:
    """All layers of one key, the last that is set wins. `why_own` says why a platform's own key cannot be set."""

    tenant: Tenant
    key: str
    secret: bool
    layers: tuple[Layer, ...]
    why_own: str


@dataclass(frozen=True, slots=True)
class Group:
    """The tenants of which one key is the same, and from which layers they have it."""

    is_set: bool
    shown: object
    sources: tuple[str, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unread:
    """A tenant whose config cannot be read, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Drift:
    """How tenants differ in one key: the largest group first. The values of a `secret` are masks, each its own."""

    key: str
    secret: bool
    groups: tuple[Group, ...]
    unread: tuple[Unread, ...]


@dataclass(frozen=True, slots=True)
class Mended:
    """One interrupted verb that was brought to its end; `says` is what was done."""

    uid: str
    name: str
    says: str
