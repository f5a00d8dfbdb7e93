"""Memory of a live gazette that has served a page with a row, under the platform and by its plain factory."""

from pathlib import Path

from tests.benchmarks import children, gazettes, places
from tests.benchmarks.figure import Effort, Figure, Reach, ratio

_WARMING = 5


def measure(effort: Effort, folder: Path) -> list[Figure]:
    """Measure what the resident memory of a process grows by for each tenant it has live."""
    tenants = effort.choose(1000, 100)
    places.fill_gazettes(folder, tenants + _WARMING)
    grown = {}
    for name, side in (("ours", gazettes.platform), ("theirs", gazettes.plain)):
        with children.ask(side, folder) as put:
            for number in range(_WARMING):
                put(str(number))
            before = put("resident")
            for number in range(_WARMING, _WARMING + tenants):
                put(str(number))
            grown[name] = (put("resident") - before) / tenants / 1024
    return [
        Figure(
            name="memory",
            what="resident memory of a live gazette that has served a page with a row, against its plain factory",
            unit="KiB",
            measured=grown["ours"],
            baseline=grown["theirs"],
            value=ratio(grown["ours"], grown["theirs"]),
            reach=Reach(limit=0.5),
            detail=f"{tenants} tenants live at a time, a process each side",
        )
    ]
