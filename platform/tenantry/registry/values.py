"""What goes into the registry beside tenants, and what comes out of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tenantry.address import Address
from tenantry.tenant import Status, Tenant

PLATFORM = "platform"

# The verbs that take more than one step; a tenant carries the one that is under way, or was cut short.
ADD = "add"
REMOVE = "remove"
UNDO_REMOVE = "undo remove"
PURGE = "purge"
# What is being done to a tenant while one of them is under way.
BEING = {ADD: "added", REMOVE: "removed", UNDO_REMOVE: "brought back", PURGE: "purged"}

# Verbs of the journal lines that the platform itself writes when a tenant's application starts and stops failing.
FAILING = "failing"
RECOVERED = "recovered"


@dataclass(frozen=True, slots=True)
class By:
    """Who makes a change, with which verb, and what of it the journal should keep.

    `who` is the operator's OS user, or "platform". `detail` is anything that JSON can spell. `before` and `after` are
    what the registry does not see itself, such as values of a config; its own columns it adds by itself. `seen` is the
    revision at which the operator saw the tenant: a change that finds another one is refused.
    """

    who: str
    verb: str
    detail: Mapping[str, object] = field(default_factory=dict)
    before: Mapping[str, object] = field(default_factory=dict)
    after: Mapping[str, object] = field(default_factory=dict)
    seen: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal; `revision` is None where nothing changed, `at` is UTC in ISO 8601 to the second."""

    id: int
    revision: int | None
    at: str
    who: str
    verb: str
    uid: str
    name: str
    detail: dict[str, object]
    before: dict[str, object] = field(default_factory=dict)
    after: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms a registry is opened.

    A `rehearsal` checks and answers every change and then takes it back. `retired_days` is for how long nobody else
    gets a name that was given up.
    """

    rehearsal: bool = False
    retired_days: float = 90.0


@dataclass(frozen=True, slots=True)
class Selection:
    """Which tenants are meant: those of these names, each of which may be a glob, of this status and application.

    What is empty does not restrict. Without a status only standing tenants are meant, with `removed` all of them.
    """

    names: tuple[str, ...] = ()
    status: Status | None = None
    application: str = ""
    removed: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Some tenants in the order of their names; `unreadable` names the rows among them that make no sense.

    `after` is where the next page begins, None after the last.
    """

    tenants: tuple[Tenant, ...]
    unreadable: tuple[str, ...]
    after: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Place:
    """An address of a tenant; `until` is when the grace of an old name ends, empty for an address for good."""

    address: Address
    until: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """A custom domain that a tenant would have, and the `token` by which its DNS is to prove that it may.

    `primary` tells whether it is to be the primary one then; `at` is when it was claimed, UTC in ISO 8601.
    """

    domain: str
    token: str
    primary: bool = False
    at: str = ""


@dataclass(frozen=True, slots=True)
class DomainPage:
    """Some custom domains of standing tenants by the alphabet, claims not among them.

    `unreadable` says which rows among them make no sense, and why; `after` is where the next page begins, None after
    the last.
    """

    domains: tuple[str, ...]
    unreadable: tuple[str, ...]
    after: str | None


@dataclass(frozen=True, slots=True)
class Pending:
    """A verb of several steps that is under way, or was cut short."""

    uid: str
    name: str
    verb: str


@dataclass(frozen=True, slots=True)
class Search:
    """Which lines of the journal are wanted: the newest `limit` of those to which all that is given applies.

    `since` is a revision, or a moment in UTC, such as 2026-11-01 or 2026-11-01T08:30.
    """

    uid: str | None = None
    name: str = ""
    verb: str = ""
    who: str = ""
    since: str = ""
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Changes:
    """All that happened after a revision: where the registry stands now, and what became of whom.

    `gone` holds the uids of which nothing is left, or nothing that can be read. When it is `rewound`, another registry
    was put in place, of which it tells nothing else: whoever keeps anything forgets it.
    """

    revision: int
    tenants: tuple[Tenant, ...]
    gone: tuple[str, ...]
    rewound: bool = False


def utc_now() -> datetime:
    """Read the clock of the wall, in UTC."""
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """Spell a moment as the registry stores it; the spelling sorts like time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
