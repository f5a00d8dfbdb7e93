"""The verbs that are proved, each with the stage on which it begins and the effect by which it is known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tenantry.errors import TenantryError, Unknown
from tenantry.operations import Clone, Maintenance, NewTenant, Operations
from tenantry.placement import Instance, Placement
from tenantry.tenant import Status
from tests.dns import believing
from tests.proofs import stage

Act = Callable[[Operations], object]


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb: what is done `before` it, the verb itself, and what is so once it is `done`, and not earlier.

    `moves` tells that it takes several steps, of which `recover` finishes or undoes what is left.
    """

    name: str
    act: Act
    done: Callable[[Operations], bool]
    before: Sequence[Act] = ()
    moves: bool = False


FRESH = NewTenant(
    "fresh",
    title="Fresh Ltd",
    path=True,
    domains=("fresh.example.org",),
    config={"SIGN_UP_OPEN": True, "COLOUR": "red"},
)
OWN = "acme.example.org"
OTHER = "www.acme.example.net"
CLAIMED = "claimed.example.net"


def prepare(root: Path) -> Path:
    """Make the stage that all verbs begin with: one tenant that has everything, and one that nobody touches."""
    root.mkdir()
    Instance(root / "instance").prepare()
    with stage.opened(root) as operations:
        config: dict[str, object] = {"SIGN_UP_OPEN": True, "COLOUR": "blue"}
        operations.add(NewTenant("acme", title="Acme Ltd", path=True, domains=(OWN,), config=config, trust=True))
        operations.domain_add("acme", CLAIMED, primary=True)
        operations.add(NewTenant("globex", config=config))
        operations.config_set_secret("acme", {"MAIL_PASSWORD": "a secret"})
        for name in ("acme", "globex"):
            placement = Placement(operations.path(name))
            stage.sign(placement, f"signed at {name}")
            (placement.files / "kept").write_text(f"kept by {name}")
    return root


def _value(operations: Operations, key: str) -> object:
    return {value.key: value.shown for value in operations.config_show("acme")}.get(key)


def _sources(operations: Operations) -> dict[str, str]:
    return {value.key: value.source for value in operations.config_show("acme")}


def _status(operations: Operations, status: Status) -> bool:
    return operations.get("acme").status is status


def _there(operations: Operations, name: str) -> bool:
    try:
        return operations.get(name).status in {Status.ACTIVE, Status.SUSPENDED, Status.MAINTENANCE}
    except Unknown:
        return False


def _domains(operations: Operations) -> list[tuple[str, bool]]:
    return [(found.domain, found.primary) for found in operations.domain_list("acme")]


def _claims(operations: Operations) -> list[str]:
    return [claim.domain for claim in operations.domain_claims("acme")]


def _purged(operations: Operations) -> bool:
    try:
        operations.get("acme")
    except TenantryError:
        return True
    return False


def _edit(text: str) -> str:
    return text.replace('"blue"', '"green"') + "# edited by hand\n"


def _suspend(operations: Operations) -> object:
    return operations.suspend("acme", "unpaid")


def _remove(operations: Operations) -> object:
    return operations.remove("acme")


def _maintain(operations: Operations) -> object:
    return operations.maintenance_on("acme", Maintenance(message="Back soon.", retry_after=120, new_link=True))


def _restarts(operations: Operations) -> int:
    return sum(entry.verb == "restart" for entry in operations.journal("acme"))


VERBS = (
    Verb("add", lambda mine: mine.add(FRESH), lambda mine: _there(mine, "fresh"), moves=True),
    Verb("clone", lambda mine: mine.clone("acme", Clone("fresh")), lambda mine: _there(mine, "fresh"), moves=True),
    Verb("rename", lambda mine: mine.rename("acme", "apex"), lambda mine: _there(mine, "apex")),
    Verb(
        "domain add",
        lambda mine: mine.domain_add("acme", OTHER, primary=True, trust=True),
        lambda mine: (OTHER, True) in _domains(mine),
    ),
    Verb("domain claim", lambda mine: mine.domain_add("acme", OTHER), lambda mine: OTHER in _claims(mine)),
    Verb(
        "domain check",
        lambda mine: believing(mine).domain_check("acme", CLAIMED),
        lambda mine: (CLAIMED, True) in _domains(mine) and CLAIMED not in _claims(mine),
    ),
    Verb("domain remove", lambda mine: mine.domain_remove("acme", OWN), lambda mine: not _domains(mine)),
    Verb("maintenance on", _maintain, lambda mine: _status(mine, Status.MAINTENANCE)),
    Verb(
        "maintenance off",
        lambda mine: mine.maintenance_off("acme"),
        lambda mine: _status(mine, Status.ACTIVE),
        (_maintain,),
    ),
    Verb("suspend", _suspend, lambda mine: _status(mine, Status.SUSPENDED)),
    Verb("resume", lambda mine: mine.resume("acme"), lambda mine: _status(mine, Status.ACTIVE), (_suspend,)),
    Verb("restart", lambda mine: mine.restart("acme"), lambda mine: _restarts(mine) > 0),
    Verb(
        "config set",
        lambda mine: mine.config_set("acme", {"COLOUR": "green"}),
        lambda mine: _value(mine, "COLOUR") == "green",
    ),
    Verb(
        "config set secret",
        lambda mine: mine.config_set_secret("acme", {"API_TOKEN": "another"}),
        lambda mine: _sources(mine).get("API_TOKEN") == ".env",
    ),
    Verb(
        "config unset",
        lambda mine: mine.config_unset("acme", ["COLOUR", "MAIL_PASSWORD"]),
        lambda mine: not {"COLOUR", "MAIL_PASSWORD"} & _sources(mine).keys(),
        moves=True,
    ),
    Verb(
        "config edit",
        lambda mine: mine.config_edit("acme", _edit),
        lambda mine: _value(mine, "COLOUR") == "green",
    ),
    Verb("remove", _remove, lambda mine: _status(mine, Status.REMOVED), moves=True),
    Verb(
        "undo remove",
        lambda mine: mine.undo_remove("acme"),
        lambda mine: _status(mine, Status.ACTIVE),
        (_remove,),
        moves=True,
    ),
    Verb("purge", lambda mine: mine.purge("acme"), _purged, (_remove,), moves=True),
)
