"""What is promised of the way in: what is malformed is refused, and slow clients are noticed by nobody else."""

from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.figure import Effort, Figure, Reach, never
from tests.proofs import raw as rawing
from tests.proofs import siege as besieging

# A siege of some seconds: as the suite runs it.
SHORT = besieging.Siege(
    headers=80,
    bodies=6,
    takers=4,
    size=16 << 20,
    pace=0.1,
    more=1.5,
    waits={"header_wait": 1.0, "body_wait": 1.0, "send_wait": 1.0},
)


def raw(effort: Effort, folder: Path) -> Sequence[Figure]:
    """Send malformed requests, each with a smuggled one behind it, and legal ones."""
    ways = ("alone",) if effort.quick else tuple(rawing.WAYS)
    verdicts = rawing.run(folder, ways)
    tried = verdicts.refused + len(verdicts.let_through)
    legal = verdicts.answered + len(verdicts.turned_away)
    return [
        never("raw: let through", "malformed requests that are not refused", verdicts.let_through, tried),
        never("raw: second answers", "requests smuggled behind them that are answered", verdicts.second, tried),
        never("raw: turned away", "legal requests that are not answered", verdicts.turned_away, legal),
    ]


def siege(effort: Effort, folder: Path) -> Sequence[Figure]:
    """Let clients take their time, all at once, and be a visitor of another tenant."""
    planned = SHORT if effort.quick else besieging.Siege()
    seen = besieging.run(folder, planned)
    crowd = f"{planned.headers} slowloris, {planned.bodies} slow bodies, {planned.takers} non-readers"
    return [
        _slowest("siege: slowest visit", f"the longest visit of another tenant beside {crowd}", seen.slowest(), 3.0),
        _slowest("siege: past the deadline", "the same once all were cut once", seen.slowest(planned.deadline), 1.0),
        never("siege: failed", "visits that failed", seen.failed, len(seen.visits)),
        never(
            "siege: overdue", "slow clients not cut in time", seen.overdue, sum(map(len, seen.cut.values())), str(seen)
        ),
    ]


def _slowest(name: str, what: str, seconds: float, limit: float) -> Figure:
    reach = Reach(limit=limit, unit="s")
    return Figure(name=name, what=what, unit="s", measured=seconds, baseline=None, value=seconds, reach=reach)
