"""What an operator changes is so for visitors of nginx within a second, and nginx is not told of it.

A tenant is added, suspended, resumed, renamed, given a domain, which comes with its certificate, loses it again and is
removed. Before each change its visitors see another thing. The time is that from the end of the operator's verb to the
first request that sees the change; none that begins a second after it may see what was before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from time import monotonic

from tenantry.operations import NewTenant, Operations
from tests import edges
from tests.edges import DOMAIN, Edge
from tests.proofs import edge_agree

LIMIT = 1.0
_PATIENCE = 10.0
_PAUSE = 0.005
OK, MOVED, SHUT, NOBODY = 200, 308, 403, 404


@dataclass(frozen=True, slots=True)
class Change:
    """A verb, and what visitors see of it: hosts, each with a status, and where a redirect leads."""

    verb: str
    make: Callable[[Operations], object]
    seen: Sequence[tuple[str, int, str]]


@dataclass(slots=True)
class Changed:
    """How long each change took to be seen, which were not as they should be, and what nginx was told."""

    seconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    reloads: int = 0

    def __str__(self) -> str:
        return f"{len(self.seconds)} changes, the slowest after {max(self.seconds):.2f} s; {self.reloads} reloads"


def life(number: int, ca: edges.Authority) -> list[Change]:
    """List the changes in the life of one tenant."""
    name, new, custom = f"life-{number}", f"second-{number}", f"life-{number}.example.net"
    host, renamed = f"{name}.{DOMAIN}", f"{new}.{DOMAIN}"
    add = NewTenant(name=name, application=f"{edge_agree.__name__}:whose")

    def give(desk: Operations) -> None:
        ca.issue(custom)
        ca.issue(f"www.{custom}")
        desk.domain_add(new, custom, trust=True)
        desk.domain_add(new, f"www.{custom}", trust=True)

    def take(desk: Operations) -> None:
        desk.domain_remove(new, custom)

    return [
        Change("add", lambda desk: desk.add(add), [(host, OK, "")]),
        Change("suspend", lambda desk: desk.suspend(name, because="measured"), [(host, SHUT, "")]),
        Change("resume", lambda desk: desk.resume(name), [(host, OK, "")]),
        Change("rename", lambda desk: desk.rename(name, new), [(renamed, OK, ""), (host, MOVED, renamed)]),
        Change("domain add", give, [(custom, OK, ""), (f"www.{custom}", MOVED, custom)]),
        Change("domain remove", take, [(custom, NOBODY, ""), (f"www.{custom}", OK, "")]),
        Change("remove", lambda desk: desk.remove(new), [(renamed, NOBODY, ""), (f"www.{custom}", NOBODY, "")]),
    ]


def run(edge: Edge, tenants: int) -> Changed:
    """Make the changes of so many tenants, one after the other."""
    changed = Changed()
    before = edge.nginx.reloads
    with edge.desk() as desk:
        for number in range(tenants):
            for change in life(number, edge.ca):
                _make(edge, desk, change, changed)
    changed.reloads = edge.nginx.reloads - before
    return changed


def _make(edge: Edge, desk: Operations, change: Change, changed: Changed) -> None:
    """Make one change, and wait until as many visits in a row as lead to each of the servers have seen it."""
    told = f"{change.verb}: {change.seen}"
    if any(_is_so(edge, *one) for one in change.seen):
        changed.wrong.append(f"{told} was so before")
    change.make(desk)
    end = monotonic()
    for one in change.seen:
        since, row = None, 0
        while row < 2 * len(edge.servers):
            begin = monotonic()
            row = row + 1 if _is_so(edge, *one) else 0
            since = begin if row == 1 else since if row else None
            if begin > end + _PATIENCE:
                changed.wrong.append(f"{told} was never seen")
                return
            Event().wait(0 if row else _PAUSE)
        changed.seconds.append((since or begin) - end)
        if changed.seconds[-1] > LIMIT:
            changed.wrong.append(f"{told} was seen after {changed.seconds[-1]:.2f} s")


def _is_so(edge: Edge, host: str, status: int, to: str) -> bool:
    try:
        answer = edge.get(host)
    except OSError:  # no certificate, no handshake
        return False
    return answer.status == status and (not to or answer["Location"].startswith(f"https://{to}:{edge.port}/"))


def full(folder: Path, tenants: int) -> Changed:
    """Make them behind the oldest nginx there is, in front of two servers."""
    with edges.edged(folder, edge_processes=2) as edge:
        return run(edge, tenants)
