"""How much of what is set fits the open files that the process may have, decided before anything is opened.

A descriptor is needed for each connection, each live application (the lock on its folder), each spare thread and,
three, for each open database connection. What does not fit is cut in proportion, and said.

What is counted is what busy hours take and not the worst case of all, which no limit would fit. Beyond it, idle
applications give back theirs while few are free, and a build that meets none is tried once more after that.
"""

import os
import resource
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tenantry.errors import Invalid
from tenantry.settings import Settings

# So many tenants must be able to be live at a time, and so many visitors connected, or there is no use in serving.
LEAST_LIVE = 4
LEAST_CONNECTIONS = 16

# The process itself, its registry, its log, its listening sockets, and what is being imported.
_HOUSE = 48
# What a request on a thread may open beside what its application keeps: a second database connection and a file.
_THREAD = 3
# What a build opens for a moment.
_BUILDS = 16
# The database, its log and its shared memory.
_AWAKE = 3
# A connection; for one in four a file of the body that it sends (more than 128 KiB), and for one in four a file of the
# answer that is read slowly (more than 256 KiB). Each may have both.
_CONNECTION = 1.5
# The threads that the server starts in the place of those whose requests wait for something: as many at most. One
# descriptor for each, that of what is waited for; a request may have as many as `_THREAD`.
_SPARES, _SPARES_TIMES = 64, 4
_SPARE = 1
# macOS takes no larger limit, whatever it says.
_TRIED = (1 << 20, 65536, 10240)

_DESCRIPTORS = (Path("/proc/self/fd"), Path("/dev/fd"))
_MEMORY = Path("/proc/self/statm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rations:
    """The settings as they fit `limit` descriptors; `says` is one sentence for each that was cut.

    Where fewer than `reserve` descriptors are free, idle applications should give theirs back.
    """

    settings: Settings
    limit: int
    reserve: int
    says: tuple[str, ...] = ()


def ration(known: Settings, limit: int) -> Rations:
    """Cut connections and live applications down to what fits, or raise Invalid where too little does."""
    house = _HOUSE + _BUILDS + _THREAD * known.threads
    spares = _SPARE * max(_SPARES, _SPARES_TIMES * known.threads)
    reserve = _BUILDS + _THREAD * min(known.threads, _BUILDS)
    wanted = spares + _needed(known.connections, known.capacity, min(known.awake, known.capacity))
    if house + wanted <= limit:
        return Rations(settings=known, limit=limit, reserve=reserve)
    least = min(LEAST_LIVE, known.capacity)
    visitors = min(LEAST_CONNECTIONS, known.connections)
    floor = _needed(visitors, least, min(least, known.awake))
    if house + floor > limit:
        raise Invalid(
            f"This process may open {limit} files, too few for {least} live tenants and {visitors} connections.",
            hint=f"Allow it {house + floor} or more, best {house + wanted}: `ulimit -n {house + wanted}`.",
        )
    # Spare threads are not a setting: of what they need as large a part is kept free as of all the others.
    share = (limit - house - floor) / (wanted - floor)
    capacity = least + int((known.capacity - least) * share)
    cut = replace(
        known,
        connections=visitors + int((known.connections - visitors) * share),
        capacity=capacity,
        awake=min(known.awake, capacity, least + int((min(known.awake, known.capacity) - least) * share)),
    )
    return Rations(settings=cut, limit=limit, reserve=reserve, says=_cuts(known, cut, limit))


def _needed(connections: int, capacity: int, awake: int) -> int:
    return int(connections * _CONNECTION) + capacity + awake * _AWAKE


def _cuts(known: Settings, cut: Settings, limit: int) -> tuple[str, ...]:
    said = []
    for name in ("connections", "capacity", "awake"):
        before, after = getattr(known, name), getattr(cut, name)
        if before != after:
            setting = f"TENANTRY_{name.upper()}"
            said.append(f"{setting} is {before}, of which {after} fit the {limit} files that this process may open")
    return tuple(said)


# What the system says.


def limit() -> int:
    """Tell how many descriptors this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else _TRIED[0]


def raise_limit() -> int:
    """Raise that to the most that the system allows without asking anybody, and tell it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in () if soft == resource.RLIM_INFINITY else (hard, *_TRIED):
        if wanted == resource.RLIM_INFINITY or wanted > soft:
            with suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
                break
    return limit()


def opened(places: Sequence[Path] = _DESCRIPTORS) -> int | None:
    """Count the open descriptors; None where the system does not tell, or where none is left to ask with."""
    for place in places:
        with suppress(OSError):
            return len(os.listdir(place)) - 1  # noqa: PTH208 - one of them was the listing's own
    return None


def resident(statm: Path = _MEMORY) -> int:
    """Tell the resident memory of this process in bytes; where the system does not tell, the most it ever was."""
    with suppress(OSError, ValueError, IndexError):
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if os.uname().sysname == "Darwin" else most * 1024
