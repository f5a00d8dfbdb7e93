"""A hundred thousand distinct unknown hosts through the gateway, beside one indexed find in the registry."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from tenantry.address import Address, Kind
from tenantry.errors import Unknown
from tenantry.placement import Instance
from tenantry.registry import Registry
from tests.benchmarks import children, places
from tests.benchmarks.applications import builds_in, name_of, trivial
from tests.benchmarks.figure import Effort, Figure, Reach, never, ratio
from tests.benchmarks.gazettes import resident
from tests.benchmarks.timing import call, fetch, request

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_BLOCK = 1000
_TENANTS = 20
_WARMING = 3


def measure(effort: Effort, folder: Path) -> list[Figure]:
    """Measure a process that only strangers ask."""
    blocks = effort.choose(100, 5)
    builds = folder / "builds"
    places.fill(folder, _TENANTS, name_of(trivial), {"BUILDS": str(builds)})
    asked: list[float] = []
    found: list[float] = []
    with children.ask(gateway, folder) as put:
        for _ in range(_WARMING):
            put("ask")
            put("find")
        before = put("resident")
        for _ in range(blocks):
            asked.append(put("ask"))
            found.append(put("find"))
        grown = (put("resident") - before) / 2**20
    return [_builds(builds_in(builds), blocks), _memory(grown, blocks), _time(asked, found)]


@contextmanager
def gateway(folder: Path) -> Iterator[Callable[[str], float]]:
    """Open the platform in a process of its own, and beside it the registry alone."""
    numbers = count()
    with places.opened(folder) as opened, Registry.open(Instance(folder / "instance").registry) as registry:
        questions: dict[str, Callable[[], float]] = {
            "ask": lambda: _asking(opened.application, [next(numbers) for _ in range(_BLOCK)]),
            "find": lambda: _finding(registry, [next(numbers) for _ in range(_BLOCK)]),
            "resident": resident,
        }
        yield lambda question: questions[question]()


def _asking(application: "WSGIApplication", numbers: list[int]) -> float:
    """Ask for hosts that nobody has, a subdomain and a domain in turn; microseconds a request."""
    hosts = [f"no-{number}.{places.DOMAIN if number % 2 else 'example.com'}" for number in numbers]
    environ = request("", "/")
    begin = time.perf_counter()
    for host in hosts:
        environ["HTTP_HOST"] = host
        call(application, environ)
    taken = time.perf_counter() - begin
    status, _ = fetch(application, environ)
    assert status == "404 Not Found", f"a stranger gets {status}"
    return taken / len(numbers) * 1e6


def _finding(registry: Registry, numbers: list[int]) -> float:
    """Find as many addresses that nobody has; microseconds each."""
    addresses = [Address(Kind.SUBDOMAIN, f"no-{number}") for number in numbers]
    begin = time.perf_counter()
    for address in addresses:
        with suppress(Unknown):
            registry.find(address)
    return (time.perf_counter() - begin) / len(numbers) * 1e6


def _builds(builds: int, blocks: int) -> Figure:
    what = "factory calls for distinct unknown hosts"
    return never("unknown hosts: builds", what, ["built"] * builds, blocks * _BLOCK, f"{_TENANTS} tenants")


def _memory(grown: float, blocks: int) -> Figure:
    return Figure(
        name="unknown hosts: memory",
        what=f"resident memory that {blocks * _BLOCK:,} distinct unknown hosts leave behind",
        unit="MiB",
        measured=grown,
        baseline=None,
        value=grown,
        reach=Reach(limit=4, unit="MiB"),
    )


def _time(asked: list[float], found: list[float]) -> Figure:
    return Figure(
        name="unknown hosts: time",
        what="one unknown host through the gateway, its page made, against one indexed find in the registry",
        unit="us",
        measured=median(asked),
        baseline=median(found),
        value=median(ratio(one, other) for one, other in zip(asked, found, strict=True)),
        reach=Reach(limit=3),
        detail=f"{len(asked)} blocks of {_BLOCK:,}",
    )
