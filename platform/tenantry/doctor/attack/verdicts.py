"""What an attack says: one row for each part, and notes on what no attack can see."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenantry.doctor.attack.trial import Trial


class Verdict(StrEnum):
    """What became of a part: all of it held, something did not, or there was nothing that could be tried."""

    HELD = "held"
    FAILED = "failed"
    UNTRIED = "not tried"


@dataclass(frozen=True, slots=True)
class Row:
    """One part: which promises of docs/security.md it tries, how many attempts it made, and what came of them."""

    part: str
    promises: tuple[str, ...]
    tried: int
    verdict: Verdict
    says: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Note:
    """What makes a promise void whatever holds: `says` is what is so, `hint` what to do."""

    says: str
    hint: str


@dataclass(frozen=True, slots=True)
class Report:
    """All of it."""

    rows: tuple[Row, ...]
    notes: tuple[Note, ...]
    seconds: float

    @property
    def held(self) -> bool:
        """Tell whether nothing has failed."""
        return all(row.verdict is not Verdict.FAILED for row in self.rows)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the attack: `says` is what is so when all of it held, `seconds` how long it may take at most.

    `attempt` does it; it tells the trial of each thing it has tried, and raises what it likes.
    """

    name: str
    promises: tuple[str, ...]
    seconds: float
    says: str
    attempt: "Callable[[Trial], None]"
