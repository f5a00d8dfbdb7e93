"""Five hundred first requests at one moment to one cold tenant, through a real server."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks import children, load, places
from tests.benchmarks.applications import builds_in, name_of, slow
from tests.benchmarks.figure import Effort, Figure, Reach

_LANES = (512, 100)


def measure(effort: Effort, folder: Path) -> list[Figure]:
    """Count builds and answers, once with room for all in the lanes and once without."""
    clients = effort.choose(500, 200)
    rounds = effort.choose(5, 1)
    builds, statuses = 0, Counter[int]()
    config = {"BUILDS": str(folder / "builds"), "BUILD_SECONDS": 0.5}
    places.fill(folder, rounds * len(_LANES), name_of(slow), config)
    details = []
    for batch, lane in enumerate(_LANES):
        seen: Counter[int] = Counter()
        with children.tenantry(folder, lane_size=lane) as server:
            for turn in range(rounds):
                seen += load.at_once(server.port, places.host(batch * rounds + turn), clients)
        statuses += seen
        details.append(f"lane of {lane}: {_spelled(seen)}")
    builds = builds_in(folder / "builds")
    return figures(clients, (builds, rounds * len(_LANES)), statuses, details)


def figures(clients: int, builds: tuple[int, int], seen: Counter[int], details: Sequence[str]) -> list[Figure]:
    """Judge builds by their number for each cold tenant, and answers by how many were neither 200 nor 503."""
    return [
        Figure(
            name="burst: builds",
            what=f"builds for {clients} concurrent first requests to one cold tenant",
            unit="",
            measured=builds[0],
            baseline=builds[1],
            value=builds[0] / builds[1],
            reach=Reach(limit=1, unit="a tenant"),
            detail=f"{builds[1]} cold tenants, one after the other",
        ),
        Figure(
            name="burst: unanswered",
            what="of these, answered by neither 200 nor 503",
            unit="",
            measured=seen.total() - seen[200] - seen[503],
            baseline=None,
            value=seen.total() - seen[200] - seen[503],
            reach=Reach(limit=0, unit=""),
            detail="; ".join(details),
        ),
    ]


def _spelled(seen: Counter[int]) -> str:
    return ", ".join(f"{count} times {status or 'nothing'}" for status, count in sorted(seen.items()))
