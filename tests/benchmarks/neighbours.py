"""A warm tenant's p99 while another one's factory sleeps, and while twenty clients each hang on two neighbours."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from math import ceil
from pathlib import Path
from statistics import median

from tests.benchmarks import children, load, places
from tests.benchmarks.applications import hanging, hello, name_of, slow
from tests.benchmarks.figure import Effort, Figure, Reach, ratio
from tests.benchmarks.load import Load, Wave

_WARM = "warm"
_HANGING = ("hang-a", "hang-b")
_CLIENTS = 20
_SECONDS = 2.0
_WAVE = Wave(host=f"{_WARM}.{places.DOMAIN}", connections=4, threads=1)

Nuisance = Callable[[int], AbstractContextManager[object]]


def measure(effort: Effort, folder: Path) -> list[Figure]:
    """Measure the warm tenant in turn alone and beside each nuisance, 4 clients, 5,000 requests or more a round."""
    rounds, count = effort.choose(7, 1), effort.choose(100, 10)
    places.fill(folder, count, name_of(slow), {"BUILD_SECONDS": _SECONDS})
    with places.desk(folder) as operations:
        places.add(operations, _WARM, name_of(hello))
        for name in _HANGING:
            places.add(operations, name, name_of(hanging), HANG_SECONDS=_SECONDS)
    nuisances = {"a sleeping factory": Cold(count).crowd, "two hanging neighbours": _hang}
    with children.tenantry(folder) as server:
        seconds = _settle(server.port, effort)
        return [_figure(what, nuisance, server.port, (rounds, seconds)) for what, nuisance in nuisances.items()]


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
def _hang(port: int) -> Iterator[None]:
    """Keep so many clients asking each of the hanging neighbours."""
    with ExitStack() as crowds:
        for name in _HANGING:
            host = f"{name}.{places.DOMAIN}"
            crowds.enter_context(load.crowd(partial(load.get, port, host), _CLIENTS))
        yield


def _settle(port: int, effort: Effort) -> int:
    """Make every tenant warm that is to be, and return how long wrk takes for the requests of a round."""
    load.warm(port, [f"{_WARM}.{places.DOMAIN}"])
    for name in _HANGING:
        assert load.get(port, f"{name}.{places.DOMAIN}", "/ready") == 200
    rate = _WAVE.on(port, 1).rate
    # A third more, since the neighbours may cost throughput.
    return ceil(effort.choose(5000, 500) * 1.33 / rate)


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
