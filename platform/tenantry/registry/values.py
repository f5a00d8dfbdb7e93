"""What goes into the registry beside tenants, and what comes out of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tenantry.tenant import Tenant

PLATFORM = "platform"
RETIRED_DAYS = 90

# Verbs of the journal lines that the platform itself writes when a tenant's application starts and stops failing.
FAILING = "failing"
RECOVERED = "recovered"


@dataclass(frozen=True, slots=True)
class By:
    """Who makes a change, with which verb, and what of it the journal should keep.

    `who` is the operator's OS user, or "platform". `detail` is anything that JSON can spell.
    """

    who: str
    verb: str
    detail: Mapping[str, object] = field(default_factory=dict)


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


@dataclass(frozen=True, slots=True)
class Changes:
    """All that happened after a revision: where the registry stands now, and what became of whom.

    `gone` holds the uids of which nothing is left, or nothing that can be read. When it is `rewound`, an older registry
    was put in place: `tenants` then holds all of them, and whoever keeps more forgets it.
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
