"""An nginx that is wrong in one way at a time: whether `doctor --edge` says so, and names the line to change."""

from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.figure import Effort, Figure, Reach, never
from tests.proofs import misconfigured as wrong

_AT_MOST = 20.0
_FEW = 5


def measure(effort: Effort, folder: Path) -> Sequence[Figure]:
    """Try every way, and an nginx that is right."""
    ways = [way for group in wrong.GROUPS for way in group]
    chosen = ways[: effort.choose(len(ways), _FEW)]
    with wrong.settled(folder) as there:
        right = [
            f"nothing is wrong, and {check.name} fails: {check.says}" for check in wrong.asked(there) if not check.ok
        ]
        tried = wrong.each(there, [[way] for way in chosen])
    unnamed = right + [line for said in tried for line in said.wrong()]
    slowest = max(said.seconds for said in tried)
    what = "ways to misconfigure nginx that `doctor --edge` does not name, or not with the line to change"
    return [
        never("misconfigured", what, unnamed, len(chosen)),
        Figure(
            name="misconfigured: time",
            what="the slowest of the checks, six at a time",
            unit="s",
            measured=slowest,
            baseline=None,
            value=slowest,
            reach=Reach(limit=_AT_MOST, unit="s"),
        ),
    ]
