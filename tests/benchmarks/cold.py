"""A cold gazette's first page with a row of its database on it, under the platform and by its plain factory."""

from pathlib import Path
from statistics import median

from tests.benchmarks import children, gazettes, places
from tests.benchmarks.figure import Effort, Figure, Reach, ratio

_WARMING = 3


def measure(effort: Effort, folder: Path) -> list[Figure]:
    """Measure build and first page of one tenant after the other, on both sides in turn."""
    tenants = effort.choose(60, 6)
    places.fill_gazettes(folder, tenants + _WARMING)
    taken: dict[str, list[float]] = {"ours": [], "theirs": []}
    with children.ask(gazettes.platform, folder) as ours, children.ask(gazettes.plain, folder) as theirs:
        for number in range(tenants + _WARMING):
            taken["ours"].append(ours(str(number)))
            taken["theirs"].append(theirs(str(number)))
    first = taken["ours"][0], taken["theirs"][0]
    ours_ms, theirs_ms = (taken[side][_WARMING:] for side in ("ours", "theirs"))
    return [
        Figure(
            name="cold build",
            what="cold build to first page and row of a gazette, against its plain factory, database there in both",
            unit="ms",
            measured=median(ours_ms),
            baseline=median(theirs_ms),
            value=median(ratio(a, b) for a, b in zip(ours_ms, theirs_ms, strict=True)),
            reach=Reach(limit=0.5),
            detail=f"{tenants} tenants each; the very first of a process: {first[0]:.0f} against {first[1]:.0f} ms",
        )
    ]
