"""A registry of a million tenants: starting, finding, visiting, listing and showing, beside a registry of ten."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tenantry.address import Kind
from tenantry.assembly.platform import Platform
from tenantry.placement import Instance
from tests.benchmarks import children, load, places, population
from tests.benchmarks.applications import name_of, trivial
from tests.benchmarks.figure import Effort, Figure, Reach, ratio
from tests.benchmarks.gazettes import resident
from tests.benchmarks.timing import fetch, request

_FEW = 10
_WARMING = 5


@dataclass(frozen=True, slots=True)
class Sides:
    """Three instance folders: of very many tenants, of ten, and of none; `served` of the many and the ten are whole."""

    many: Path
    few: Path
    none: Path
    tenants: int
    served: int


def measure(effort: Effort, folder: Path) -> list[Figure]:
    """Measure every side in processes of its own, in turn."""
    sides = _sides(folder, effort.choose(1_000_000, 20_000), effort.choose(1000, 20))
    rounds = effort.choose(16, 1)
    return [
        _start(sides, rounds),
        _cold(sides, effort.choose(5000, 200)),
        _memory(sides),
        _list(sides, rounds),
        _show(sides, rounds),
    ]


def _sides(folder: Path, tenants: int, served: int) -> Sides:
    sides = Sides(folder / "many", folder / "few", folder / "none", tenants, served)
    for root, count, whole in ((sides.many, tenants, served), (sides.few, _FEW, 1), (sides.none, 0, 0)):
        instance = Instance(root / "instance")
        instance.prepare()
        if count:
            population.fill(instance.registry, count)
        places.fill(root, whole, name_of(trivial))
    return sides


# Starting.


def _start(sides: Sides, rounds: int) -> Figure:
    many, none = _in_turn(rounds, lambda: _first_answer(sides.many), lambda: _first_answer(sides.none))
    return Figure(
        name="million: start",
        what=f"`tenantry serve` over {sides.tenants:,} tenants from the command to its first answer, against none",
        unit="s",
        measured=median(many),
        baseline=median(none),
        value=median(one - other for one, other in zip(many, none, strict=True)),
        reach=Reach(limit=2, unit="s more"),
        detail=_rounds(many),
    )


def _first_answer(root: Path) -> float:
    """Start a server and return the seconds until it has answered: it is bound before it is ready, who asks waits."""
    begin = time.perf_counter()
    with children.tenantry(root) as server:
        status = load.get(server.port, places.DOMAIN, "/-/healthz")
        taken = time.perf_counter() - begin
    assert status == 200, f"a server that has started answers {status}"
    return taken


# Finding.


def _cold(sides: Sides, finds: int) -> Figure:
    with children.ask(finder, sides.many) as many, children.ask(finder, sides.few) as few:
        many(f"{sides.tenants} {_WARMING}")
        drop_from_memory(Instance(sides.many / "instance").registry)
        unread: list[float] = many(f"{sides.tenants} {finds // 10}")
        found: list[float] = sorted(many(f"{sides.tenants} {finds}"))
        baseline = median(few(f"{_FEW} {finds}"))
    return Figure(
        name="million: cold address",
        what=f"one address that nobody has asked for found among {sides.tenants:,}, against one of {_FEW}",
        unit="ms",
        measured=median(found),
        baseline=baseline,
        value=median(found),
        reach=Reach(limit=1, unit="ms"),
        detail=f"{finds:,} of them, one in a hundred takes longer than {found[-finds // 100]:.2f} ms; median "
        f"{median(unread):.2f} ms right after the system has dropped the file from its memory",
    )


@contextmanager
def finder(root: Path) -> Iterator[Callable[[str], list[float]]]:
    """Open a platform whose directory is asked for addresses drawn at random, none of which it remembers."""
    chance = random.Random(7)
    with places.opened(root) as opened:

        def answer(question: str) -> list[float]:
            tenants, finds = map(int, question.split())
            return [_find(opened, population.name(chance.randrange(tenants))) for _ in range(finds)]

        yield answer


def _find(platform: Platform, name: str) -> float:
    """Find one tenant; milliseconds."""
    if platform.directory.peek(Kind.SUBDOMAIN, name) is not None:  # drawn twice
        platform.directory.forget()
    begin = time.perf_counter()
    platform.directory.find(Kind.SUBDOMAIN, name)
    return (time.perf_counter() - begin) * 1e3


def drop_from_memory(path: Path) -> None:
    """Have the system forget what it has read of a file, where it can be asked to; in a process without SQLite's locks.

    Closing any descriptor of a file gives up all locks that the process holds on it.
    """
    if not hasattr(os, "posix_fadvise"):
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


# Visiting.


def _memory(sides: Sides) -> Figure:
    """Visit every suspended tenant once, then every one that can be built, of which the pool keeps 200."""
    suspended = sides.tenants // population.SUSPENDED_EVERY - sides.served
    with children.ask(visitor, sides.many) as put:
        put(f"suspended 0 {_WARMING}")
        put(f"served 0 {_WARMING}")
        before = put("resident")
        put(f"suspended {_WARMING} {suspended}")
        passed = put("resident")
        put(f"served {_WARMING} {sides.served}")
        grown = put("resident") - before
    with children.ask(visitor, sides.many) as put:
        put(f"found 0 {_WARMING}")
        begin = put("resident")
        put(f"found {_WARMING} {sides.tenants // population.SUSPENDED_EVERY}")
        found = put("resident") - begin
    return Figure(
        name="million: memory",
        what=f"resident memory by which a process grows while {suspended + sides.served:,} of {sides.tenants:,} tenants"
        " are visited through the gateway",
        unit="MiB",
        measured=grown / 2**20,
        baseline=None,
        value=grown / 2**20,
        reach=Reach(limit=64, unit="MiB"),
        detail=f"{suspended:,} suspended ones answered by their page: {(passed - before) / 2**20:.1f} MiB; then "
        f"{sides.served:,} with a trivial application, each built and most evicted again; as many addresses found by "
        f"the directory alone, in another process: {found / 2**20:.1f} MiB",
    )


@contextmanager
def visitor(root: Path) -> Iterator[Callable[[str], float]]:
    """Open a platform and visit tenants: suspended, served, or found and no more, from the first number to the last."""
    with places.opened(root) as opened:

        def ask(host: str, expected: str) -> None:
            status, _ = fetch(opened.application, request(host, "/"))
            assert status == expected, f"{host} answers {status}"

        visits: dict[str, Callable[[int], object]] = {
            "suspended": lambda number: ask(_host(number * population.SUSPENDED_EVERY), "403 Forbidden"),
            "served": lambda number: ask(places.host(number), "200 OK"),
            "found": lambda number: opened.directory.find(Kind.SUBDOMAIN, population.name(number)),
        }

        def answer(question: str) -> float:
            verb, *numbers = question.split()
            if not numbers:
                opened.pool.sweep()
                return resident(opened.pool.reap)
            for number in range(*map(int, numbers)):
                visits[verb](number)
            return 0

        yield answer


def _host(number: int) -> str:
    return f"{population.name(number)}.{places.DOMAIN}"


# Commands.


def _list(sides: Sides, rounds: int) -> Figure:
    many, few = _commands(sides, rounds, "list", "--limit", "100")
    return Figure(
        name="million: list",
        what=f"`tenantry list --limit 100` among {sides.tenants:,} tenants, the start of the process included, against "
        f"{_FEW}",
        unit="s",
        measured=median(many),
        baseline=median(few),
        value=median(many),
        reach=Reach(limit=1, unit="s"),
        detail=_rounds(many),
    )


def _show(sides: Sides, rounds: int) -> Figure:
    many, few = _commands(sides, rounds, "show", places.name(0))
    return Figure(
        name="million: show",
        what=f"`tenantry show` of one of {sides.tenants:,} tenants, the start of the process included, against one of "
        f"{_FEW}",
        unit="s",
        measured=median(many),
        baseline=median(few),
        value=median(ratio(one, other) for one, other in zip(many, few, strict=True)),
        reach=Reach(limit=1.5),
        detail=_rounds(many),
    )


def _commands(sides: Sides, rounds: int, *words: str) -> tuple[list[float], list[float]]:
    return _in_turn(rounds, lambda: _command(sides.many, words), lambda: _command(sides.few, words))


def _command(root: Path, words: Sequence[str]) -> float:
    """Run one command to its end; seconds."""
    begin = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "tenantry", "--root", str(root), *words],
        cwd=root,
        env=children.environment(places.settings(root)),
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - begin


def _in_turn(rounds: int, one: Callable[[], float], other: Callable[[], float]) -> tuple[list[float], list[float]]:
    """Measure two things in turn; of several rounds the first is for warming up."""
    pairs = [(one(), other()) for _ in range(rounds)]
    kept = pairs[1:] or pairs
    return [first for first, _ in kept], [second for _, second in kept]


def _rounds(taken: Sequence[float]) -> str:
    return f"the medians of {len(taken)} rounds, one after the other in turn"
