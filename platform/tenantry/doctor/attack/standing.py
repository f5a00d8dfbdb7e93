"""What the operator has, looked at and not touched: which applications tenants use, and what makes promises void."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from time import monotonic

from tenantry import policy
from tenantry.application import Catalog
from tenantry.builder.config import layers
from tenantry.doctor.attack.verdicts import Note
from tenantry.doctor.house import settings_faults
from tenantry.doctor.rooms import Look
from tenantry.errors import TenantryError
from tenantry.placement import Instance
from tenantry.policy import Policy
from tenantry.registry import Registry, Terms
from tenantry.settings import Settings

# Seconds for which tenants are looked at, of whom there may be a million; and how many are named in one note.
_PATIENCE = 5.0
_NAMED = 5
_AT_ONCE = 200


def look(root: Path, known: Settings) -> tuple[tuple[str, ...], tuple[Note, ...]]:
    """Return the applications to attack, and notes; where there is no instance yet, the application of the settings."""
    notes = [Note(fault.says, fault.hint) for fault in settings_faults(known)]
    instance = Instance(known.instance)
    found: dict[str, None] = {}
    if instance.registry.is_file():
        try:
            # As for a shell that completes names: nothing of the registry is upgraded in passing.
            with Registry.open(instance.registry, terms=Terms(rehearsal=True)) as registry:
                seen = Look(instance, registry, Catalog(root))
                found, more = _applications(seen)
                notes += [*more, *_fences(seen)]
        except TenantryError as error:
            notes.append(Note(f"Which applications tenants use is not known: {error.says}", error.hint))
    return tuple(found) or (known.application,), tuple(notes)


def _applications(seen: Look) -> tuple[dict[str, None], list[Note]]:
    found: dict[str, None] = {}
    end = monotonic() + _PATIENCE
    for number, tenant in enumerate(seen.standing()):
        found[tenant.application] = None
        if number % _AT_ONCE == 0 and monotonic() > end:
            return found, [Note(f"Only the applications of the first {number} tenants by name are attacked.", "")]
    return found, []


def _fences(seen: Look) -> Iterator[Note]:
    """Tell of tenants whose fences are down: what those keep out, nothing keeps out there."""
    down: dict[str, list[str]] = {}
    end, number, whole = monotonic() + _PATIENCE, 0, True
    for tenant, placement, application in seen.imported():
        number += 1
        if monotonic() > end:
            whole = False
            break
        try:
            found = layers(tenant, application.defaults, placement)
            own = policy.read({key: value for _, layer in found for key, value in layer.items()}, Policy())
        except TenantryError:
            continue  # `tenantry doctor` tells of it
        for fence in own.fences_off:
            down.setdefault(fence, []).append(tenant.name)
    for fence, names in sorted(down.items()):
        few = ", ".join(islice(names, _NAMED)) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
        yield Note(
            f"The fence {fence} is down for {few}: what it keeps out is not kept out there.",
            f"Take {fence} out of {policy.FENCES_OFF} where it is not needed.",
        )
    if not whole:
        yield Note(f"Only the fences of the first {number} tenants by name were looked at.", "")
