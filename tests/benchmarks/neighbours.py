"""A warm tenant's p99 while another one's factory sleeps, while two neighbours hang, or twenty, or flood it."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from math import ceil
from pathlib import Path
from statistics import median

from tests.benchmarks import children, load, places
from tests.benchmarks.applications import hanging, hello, name_of, slow
from tests.benchmarks.figure import Effort, Figure, Reach, ratio
from tests.benchmarks.load import Load, Wave
from tests.benchmarks.visitor import Visitor

_WARM = "warm"
_HANGING = ("hang-a", "hang-b")
_CLIENTS = 20
# Many neighbours, and how many clients each of them has.
_MANY, _EACH = 20, 2
_ALL_HANG = tuple(f"hang-{number:02}" for number in range(_MANY))
_FLOODS = tuple(f"flood-{number:02}" for number in range(_MANY))
_FLOOD = Wave(host=f"flood-%02d.{places.DOMAIN}", hosts=_MANY, connections=_MANY * _EACH, threads=1)
_SECONDS = 2.0
_WAVE = Wave(host=f"{_WARM}.{places.DOMAIN}", connections=4, threads=1)

Nuisance = Callable[[int], AbstractContextManager[object]]


def measure(effort: Effort, folder: Path) -> list[Figure]:
    """Measure the warm tenant in turn alone and beside each nuisance, 4 clients, 5,000 requests or more a round."""
    rounds, count = effort.choose(7, 1), effort.choose(100, 10)
    places.fill(folder, count, name_of(slow), {"BUILD_SECONDS": _SECONDS})
    with places.desk(folder) as operations:
        for name in (_WARM, *_FLOODS):
            places.add(operations, name, name_of(hello))
        for name in (*_HANGING, *_ALL_HANG):
            places.add(operations, name, name_of(hanging), HANG_SECONDS=_SECONDS)
    nuisances: dict[str, Nuisance] = {
        "a sleeping factory": Cold(count).crowd,
        "two hanging neighbours": partial(_hang, _HANGING, _CLIENTS),
        "twenty hanging neighbours": partial(_hang, _ALL_HANG, _EACH),
    }
    with children.tenantry(folder) as server:
        seconds = _settle(server.port, effort)
        found = [_figure(what, nuisance, server.port, (rounds, seconds)) for what, nuisance in nuisances.items()]
        return [*found, _onset(server.port, rounds), _flooded(server.port, rounds, effort.choose(20, 2))]


class Cold:
    """Clients that ask for a tenant whose factory sleeps, and for the next one as soon as that was built."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._number = 0

    @contextmanager
    def crowd(self, port: int) -> Iterator[None]:
        """Keep a factory sleeping, with so many clients waiting for it."""

        def ask() -> int:
            number = self._number
            status = load.get(port, places.host(number))
            if status == 200:
                self._number = max(self._number, number + 1)
            return status

        with load.crowd(ask, _CLIENTS):
            yield
        assert self._number < self._count, "there were not enough cold tenants"


@contextmanager
def _hang(names: Sequence[str], clients: int, port: int) -> Iterator[None]:
    """Keep so many clients asking each of the hanging neighbours."""
    with ExitStack() as crowds:
        for name in names:
            host = f"{name}.{places.DOMAIN}"
            crowds.enter_context(load.crowd(partial(load.get, port, host), clients))
        yield


def _settle(port: int, effort: Effort) -> int:
    """Make every tenant warm that is to be, and return how long wrk takes for the requests of a round."""
    load.warm(port, [f"{name}.{places.DOMAIN}" for name in (_WARM, *_FLOODS)])
    _ready(port, (*_HANGING, *_ALL_HANG), 1)
    rate = _WAVE.on(port, 1).rate
    # A third more, since the neighbours may cost throughput.
    return ceil(effort.choose(5000, 500) * 1.33 / rate)


def _ready(port: int, names: Sequence[str], times: int) -> None:
    """Have tenants that can hang answer at once, so often."""
    for name in [*names] * times:
        assert load.get(port, f"{name}.{places.DOMAIN}", "/ready") == 200


def _onset(port: int, rounds: int) -> Figure:
    """Measure how long anybody waits when twenty tenants, all of them quick until then, begin to hang at one moment."""
    longest, calm = [], []
    for _ in range(rounds):
        _ready(port, _ALL_HANG, 12)  # after which nobody remembers that they ever were slow
        calm.append(Visitor(port, f"{_WARM}.{places.DOMAIN}").visit(_SECONDS).part(1))
        with Visitor(port, f"{_WARM}.{places.DOMAIN}").visiting() as visitor:
            before = len(visitor.taken)
            with _hang(_ALL_HANG, _EACH, port):
                time.sleep(_SECONDS)
        assert len(visitor.taken) > before
        assert not visitor.lost
        longest.append(visitor.part(1))
    return Figure(
        name="when twenty neighbours begin to hang",
        what="the longest that a visitor of a warm tenant has to wait then, once, more than without them",
        unit="ms",
        measured=median(longest),
        baseline=median(calm),
        value=median(one - other for one, other in zip(longest, calm, strict=True)),
        reach=Reach(limit=500.0, unit="ms more"),
        detail=f"{rounds} rounds, the longest of all {max(longest):.0f} ms",
    )


def _flooded(port: int, rounds: int, seconds: int) -> Figure:
    """Measure a visitor who asks 50 times a second beside forty clients who ask without end, and both at once."""
    beside, alone, floods = [], [], []
    for _ in range(rounds):
        alone.append(Visitor(port, f"{_WARM}.{places.DOMAIN}").visit(seconds))
        with Visitor(port, f"{_WARM}.{places.DOMAIN}").visiting() as visitor:
            floods.append(_FLOOD.on(port, seconds))
        beside.append(visitor)
    wrong = sum(one.lost for one in (*beside, *alone)) + sum(one.lost + one.refused for one in floods)
    return Figure(
        name="beside twenty flooding neighbours",
        what="p99 of a visitor who asks a warm tenant 50 times a second, against that of the floods themselves",
        unit="ms",
        measured=median(one.part(0.99) for one in beside),
        baseline=median(one.p99 for one in floods),
        value=float("inf")
        if wrong
        else median(ratio(one.part(0.99), other.p99) for one, other in zip(beside, floods, strict=True)),
        reach=Reach(limit=1.5),
        detail=f"{rounds} rounds, {wrong} lost; p50 {median(one.part(0.5) for one in beside):.2f} against "
        f"{median(one.p50 for one in floods):.2f} ms of the floods, and alone p50 "
        f"{median(one.part(0.5) for one in alone):.2f}, p99 {median(one.part(0.99) for one in alone):.2f} ms",
    )


def _figure(what: str, nuisance: Nuisance, port: int, times: tuple[int, int]) -> Figure:
    rounds, seconds = times
    alone: list[Load] = []
    beside: list[Load] = []
    for _ in range(rounds):
        _WAVE.on(port, 1)
        alone.append(_WAVE.on(port, seconds))
        with nuisance(port):
            _WAVE.on(port, 1)
            beside.append(_WAVE.on(port, seconds))
    wrong = sum(one.lost + one.refused for one in (*alone, *beside))
    pairs = zip(beside, alone, strict=True)
    return Figure(
        name=f"beside {what}",
        what=f"a warm tenant's p99, 4 clients, beside {what}, against its own alone",
        unit="ms",
        measured=median(one.p99 for one in beside),
        baseline=median(one.p99 for one in alone),
        value=float("inf") if wrong else median(ratio(one.p99, other.p99) for one, other in pairs),
        reach=Reach(limit=2.0),
        detail=f"{rounds} rounds of {min(one.requests for one in (*alone, *beside)):,} requests or more, {wrong} lost; "
        f"p50 {median(one.p50 for one in beside):.2f} against {median(one.p50 for one in alone):.2f} ms, "
        f"{median(one.rate for one in beside):,.0f} against {median(one.rate for one in alone):,.0f} requests/s",
    )
