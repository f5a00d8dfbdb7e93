"""What a check says."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: `says` is what is so, `hint` what to do when that is not `ok`."""

    name: str
    ok: bool
    says: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong."""

    says: str
    hint: str


def verdict(name: str, faults: Iterable[Fault], fine: str) -> list[Check]:
    """Make a check of each fault, or one good one if there is none."""
    found = [Check(name, False, fault.says, fault.hint) for fault in faults]
    return found or [Check(name, True, fine)]
