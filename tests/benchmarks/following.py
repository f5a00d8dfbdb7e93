"""Suspend, resume and add, seen by four serving processes that share one instance folder."""

import http.client
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tenantry.operations import Operations
from tests.benchmarks import children, load, places
from tests.benchmarks.applications import name_of, trivial
from tests.benchmarks.figure import Effort, Figure, Reach

_PROCESSES = 4
_LIMIT = 1.0
_PATIENCE = 10.0
_PAUSE = 0.01
_TENANTS = 5


@dataclass(frozen=True, slots=True)
class Change:
    """A verb on a tenant, and the status that visitors see afterwards."""

    verb: str
    number: int
    status: int

    def make(self, operations: Operations) -> None:
        """Do it."""
        name = places.name(self.number)
        if self.verb == "suspend":
            operations.suspend(name, because="measured")
        elif self.verb == "resume":
            operations.resume(name)
        else:
            places.add(operations, name, name_of(trivial))


def measure(effort: Effort, folder: Path) -> list[Figure]:
    """Measure, for each change, how long after it the last of the processes shows it."""
    turns = effort.choose(100, 6)
    places.fill(folder, _TENANTS, name_of(trivial))
    with ExitStack() as serving:
        ports = [serving.enter_context(children.tenantry(folder)).port for _ in range(_PROCESSES)]
        for port in ports:
            load.warm(port, [places.host(number) for number in range(_TENANTS)])
        with places.desk(folder) as operations:
            taken = [_seen_by_all(change, operations, ports) for change in changes(turns)]
    return [_figure(taken)]


def changes(turns: int) -> list[Change]:
    """List the changes: suspend, resume, add, and again."""
    made = []
    for turn in range(turns):
        verb = ("suspend", "resume", "add")[turn % 3]
        number = _TENANTS + turn if verb == "add" else turn // 3 % _TENANTS
        made.append(Change(verb, number, 403 if verb == "suspend" else 200))
    return made


def _seen_by_all(change: Change, operations: Operations, ports: Sequence[int]) -> float:
    """Make a change and return the seconds until every process showed it; all of them showed another thing before."""
    host = places.host(change.number)
    for port in ports:
        before = load.get(port, host)
        assert before != change.status, f"{host} was {before} before it was to be"
    taken: list[float] = []
    change.make(operations)
    begin = time.monotonic()
    looking = [
        threading.Thread(target=lambda port=port: taken.append(_seen(port, host, change.status, begin)))
        for port in ports
    ]
    for thread in looking:
        thread.start()
    for thread in looking:
        thread.join()
    return max(taken) if len(taken) == len(ports) else float("inf")


def _seen(port: int, host: str, status: int, begin: float) -> float:
    """Look again and again on one connection; the seconds since `begin` at which the status was asked for and came."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
    try:
        while time.monotonic() - begin < _PATIENCE:
            connection.request("GET", "/", headers={"Host": host})
            response = connection.getresponse()
            response.read()
            if response.status == status:
                return time.monotonic() - begin
            time.sleep(_PAUSE)
        return float("inf")
    finally:
        connection.close()


def _figure(taken: Sequence[float]) -> Figure:
    prompt = sum(1 for seconds in taken if seconds <= _LIMIT)
    return Figure(
        name="following",
        what=f"suspend, resume and add seen by {_PROCESSES} serving processes within {_LIMIT:g} s",
        unit=f"of {len(taken)}",
        measured=prompt,
        baseline=None,
        value=prompt,
        reach=Reach(limit=len(taken), unit="", least=True),
        detail=f"median {median(taken) * 1e3:.0f} ms, slowest {max(taken) * 1e3:.0f} ms",
    )
