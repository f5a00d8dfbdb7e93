"""What a benchmark hands back, and how much it shall do."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What a figure is to reach; `unit` is that of the value, `x` for a ratio."""

    limit: float
    unit: str = "x"
    least: bool = False

    def met(self, value: float) -> bool:
        """Tell whether a value is good enough."""
        return value >= self.limit if self.least else value <= self.limit

    def __str__(self) -> str:
        return f"{'at least' if self.least else 'at most'} {shown(self.limit, self.unit)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table: what was measured, beside what, and the value that is judged."""

    name: str
    what: str
    unit: str
    measured: float
    baseline: float | None
    value: float
    reach: Reach
    detail: str = ""

    @property
    def met(self) -> bool:
        """Tell whether the value reaches what it shall."""
        return self.reach.met(self.value)

    def facts(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return {**asdict(self), "met": self.met}


def never(name: str, what: str, wrong: Sequence[object], tried: int, detail: str = "") -> Figure:
    """Make a figure of what is to happen never, in so many tries; the first that did is told."""
    first = f"first: {wrong[0]}" if wrong else ""
    return Figure(
        name=name,
        what=what,
        unit=f"of {tried:,}",
        measured=len(wrong),
        baseline=None,
        value=len(wrong),
        reach=Reach(limit=0, unit=""),
        detail="; ".join(filter(None, (detail, first))),
    )


def ratio(measured: float, baseline: float) -> float:
    """Divide; nothing measured against no baseline at all is as bad as can be."""
    return measured / baseline if baseline > 0 else float("inf")


def shown(value: float, unit: str) -> str:
    """Spell a value with three digits that matter."""
    if unit == "x":
        return f"{value:.2f}x"
    digits = 0 if value == int(value) or abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f} {unit}".strip()


@dataclass(frozen=True, slots=True)
class Effort:
    """How thoroughly to measure."""

    quick: bool = False

    def choose(self, full: int, quick: int) -> int:
        """Choose a number of rounds, requests or tenants."""
        return quick if self.quick else full


# Measures one or more figures, below a folder of its own that is deleted afterwards.
Measure = Callable[[Effort, Path], Sequence[Figure]]
