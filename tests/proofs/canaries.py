"""Foreign canaries: each tenant has one that nobody can guess, and nothing of one tenant may ever show another's.

Callers on many threads of two processes ask many tenants, most of them without a socket between and some over one,
while live applications are evicted all the time, applications raise and callers hang up. Each answer is looked at as it
comes; the files, the databases and the log when all is over.
"""

import json
import os
import secrets
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random, SystemRandom

from tenantry import signals
from tenantry.assembly.desk import open_operations
from tenantry.assembly.platform import Platform, open_platform
from tenantry.operations import NewTenant
from tenantry.placement import Instance, Placement
from tests.proofs.aviary import LOG
from tests.proofs.callers import Caller, Guests, SocketCaller
from tests.proofs.marks import CANARY, Bird, Door, Flock, Tally
from tests.proofs.shared import Share
from tests.servers import Site, until
from tests.tools import free_port

AVIARY = "tests.proofs.aviary:create_app"
DOMAIN = "birds.example"
_EVICTED = 4
_SERVER_THREADS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is done, at pools of which size, and which flaws the application is to have, one a tenant in turn.

    Each process serves all tenants, has so many threads that ask, some of them on sockets, and does its share.
    """

    tenants: int
    requests: int
    processes: int = 2
    threads: int = 16
    sockets: int = 2
    capacity: int
    few: int
    period: float = 0.2
    leaks: Sequence[str] = ("",)


SMALL = Plan(tenants=20, requests=2000, capacity=6, few=5, period=0.02)
FULL = Plan(tenants=1000, requests=1_000_000, capacity=250, few=120)


@dataclass(frozen=True, slots=True)
class Post:
    """Where one process writes its log, and where it listens."""

    log: Path
    port: int


def run(folder: Path, plan: Plan) -> Tally:
    """Add the tenants, ask them in processes of their own, and look at everything that is left."""
    flock, tally, begin = settle(folder, plan), Tally(), time.monotonic()
    # Ports are chosen here: forked twins choose the same ones.
    posts = [Post(folder / f"platform-{number}.log", free_port()) for number in range(plan.processes)]
    for share in [Share(partial(_serve, folder, plan, flock, post)) for post in posts]:
        tally.add(share.result())
    tally.seconds = time.monotonic() - begin
    for post in posts:
        _read_log(post.log, flock, tally)
    _search(folder, flock, tally)
    if len(set(tally.keys.values())) < len(tally.keys):
        tally.fault("two tenants have the same key")
    return tally


def _settings(folder: Path, plan: Plan) -> dict[str, object]:
    return {
        "instance": folder / "instance",
        "domain": DOMAIN,
        "application": AVIARY,
        "capacity": plan.capacity,
        "log_level": "warning",
        "log_format": "json",
    }


def settle(folder: Path, plan: Plan) -> Flock:
    """Add the tenants: every one by subdomain, every fourth by path too, and every eighth by a domain of its own."""
    birds = []
    Instance(folder / "instance").prepare()
    with open_operations(folder, _settings(folder, plan)) as operations:
        for number in range(plan.tenants):
            name, canary = f"bird-{number:04}", f"canary-{secrets.token_hex(16)}"
            by_path, domains = number % 4 == 0, (f"{name}.example.org",) if number % 8 == 1 else ()
            config = {"CANARY": canary, "LEAK": plan.leaks[number % len(plan.leaks)]}
            added = operations.add(NewTenant(name, path=by_path, domains=domains, config=config, trust=True))
            # With a domain of its own a tenant is at home there, and its subdomain answers beside it.
            doors = [Door(f"{name}.{DOMAIN}"), *(Door(domain) for domain in domains)]
            doors += [Door(DOMAIN, f"/t/{name}")] if by_path else []
            birds.append(Bird(name, added.tenant.uid, canary, tuple(doors)))
    return Flock(birds)


def _serve(folder: Path, plan: Plan, flock: Flock, post: Post) -> Tally:
    """Be a process that serves and asks."""
    with post.log.open("wb") as file:
        os.dup2(file.fileno(), 2)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
    guests = Guests(flock.birds, plan.few, plan.requests // plan.processes)
    seed = SystemRandom().getrandbits(32)
    with open_platform(folder, _settings(folder, plan)) as platform, _builds_counted() as builds:
        with _served(platform, post.port), _evicting(platform, guests, plan.period):
            inside = plan.threads - plan.sockets
            callers = [Caller(platform.application, guests, seed + number) for number in range(inside)]
            callers += [SocketCaller(post.port, guests, seed + inside + number) for number in range(plan.sockets)]
            tally = _called(callers)
        tally.builds = len(builds)
        until(lambda: " 0 leases" in repr(platform.pool))
        platform.pool.verify()
    return tally


def _called(callers: list[Caller]) -> Tally:
    """Let all of them call, and add up what they have seen."""
    tally = Tally()
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
        tally.add(caller.tally)
        if caller.error is not None:
            raise caller.error
    return tally


@contextmanager
def _served(platform: Platform, port: int) -> Iterator[None]:
    """Serve the same platform on a port."""
    asked = platform.asks
    asks = {"lane": asked.lane, "admit": asked.admit, "access": asked.access}
    site = Site(platform.application, port=port, threads=_SERVER_THREADS, **asks)
    try:
        yield
    finally:
        assert site.end() == 0, "the server did not come to its end"


@contextmanager
def _builds_counted() -> Iterator[list[object]]:
    builds: list[object] = []

    def note(_: object, **__: object) -> None:
        builds.append(None)

    with signals.tenant_built.connected_to(note):
        yield builds


@contextmanager
def _evicting(platform: Platform, guests: Guests, period: float) -> Iterator[None]:
    """Evict a few live applications at random every so many seconds, and ask for others than before."""
    over = threading.Event()

    def evict() -> None:
        chance = Random()
        turn = chance.randrange(len(guests.birds))
        while not over.wait(period):
            live = [uid for uid, _ in platform.pool.built()]
            platform.pool.retire(chance.sample(live, min(_EVICTED, len(live))))
            for _ in range(_EVICTED):
                guests.few[chance.randrange(len(guests.few))] = guests.birds[turn % len(guests.birds)]
                turn += 1

    thread = threading.Thread(target=evict, name="evictions", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


# When all is over.


def _read_log(log: Path, flock: Flock, tally: Tally) -> None:
    """Read the platform's log: each line tells of one tenant at most, and of the one whose it says it is."""
    with log.open(encoding="utf-8") as lines:
        for line in lines:
            try:
                owner = json.loads(line).get("uid", "")
            except ValueError:
                tally.fault(f"a line of the log is not JSON: {line[:300]!r}")
                continue
            told = flock.named_in(line)
            if len(told) > 1 or (owner and {bird.uid for bird in told} - {owner}):
                tally.foreign["log"] += 1
                tally.told.append(f"a line of the log tells of {len(told)} tenants: {line[:500]!r}")
            elif "canary-" in line:
                tally.seen["log"] += 1
                if not owner:
                    tally.fault(f"a line of the log does not say whose it is: {line[:300]!r}")


def _search(folder: Path, flock: Flock, tally: Tally) -> None:
    """Search all that lies in the tenants' folders."""
    instance = Instance(folder / "instance")
    for bird in flock.birds:
        placement = instance.placement(bird.uid)
        for path in placement.folder.rglob("*"):
            if path.is_file():
                medium = _medium(path, placement)
                tally.seen[f"{medium} at rest"] += tally.look(bird, medium, _bytes(path))


def _medium(path: Path, placement: Placement) -> str:
    if path.name.startswith(placement.database.name):
        return "row"
    return {placement.config: "config", placement.files / LOG: "log"}.get(path, "file")


def _bytes(path: Path) -> str:
    """Return what of a file may be canaries: of a million lines, no more than that."""
    return " ".join(CANARY.findall(path.read_bytes().decode("latin-1")))
