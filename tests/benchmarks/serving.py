"""`tenantry serve` with a thousand live tenants, beside waitress-serve with one bare application: wrk on both."""

from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.benchmarks import children, load, places
from tests.benchmarks.applications import bare, hello, keyed, name_of
from tests.benchmarks.children import Server
from tests.benchmarks.figure import Effort, Figure, Reach, ratio
from tests.benchmarks.load import Load, Wave


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two servers, and what was seen of it round by round; `cost` is processor time a request in us."""

    server: Server
    seen: list[Load] = field(default_factory=list)
    cost: list[float] = field(default_factory=list)

    def measure(self, wave: Wave, seconds: int) -> None:
        """Load it for so long, after a second to get warm again; it stands still before and afterwards."""
        self.server.go_on()
        wave.on(self.server.port, 1)
        before = self.server.processor_time()
        self.seen.append(wave.on(self.server.port, seconds))
        self.cost.append((self.server.processor_time() - before) / self.seen[-1].requests * 1e6)
        self.server.pause()


def measure(effort: Effort, folder: Path) -> list[Figure]:
    """Measure requests a second and p99 of both servers, in turn, while the other one stands still."""
    tenants, rounds, seconds = effort.choose(1000, 20), effort.choose(11, 2), effort.choose(5, 1)
    places.fill(folder, tenants, name_of(hello))
    wave = Wave(host=f"site-%04d.{places.DOMAIN}", hosts=tenants)
    with (
        children.tenantry(folder, capacity=tenants + 10) as platform,
        children.waitress(folder, name_of(bare)) as plain,
        children.waitress(folder, name_of(keyed)) as plain_keyed,
    ):
        load.warm(platform.port, [places.host(number) for number in range(tenants)])
        sides = [Side(server) for server in (platform, plain, plain_keyed)]
        for side in sides:
            side.server.pause()
        for turn in range(rounds):
            for side in sides if turn % 2 else sides[::-1]:
                side.measure(wave, seconds)
    return [_rate(tenants, *sides), _p99(*sides)]


def _rate(tenants: int, ours: Side, theirs: Side, keyed_too: Side) -> Figure:
    wrong = sum(one.lost + one.refused for one in ours.seen)
    least = min(one.requests for one in (*ours.seen, *theirs.seen))
    return Figure(
        name="serve: rate",
        what=f"requests/s of tenantry serve, {tenants:,} live tenants, against waitress-serve with one bare Flask",
        unit="/s",
        measured=median(one.rate for one in ours.seen),
        baseline=median(one.rate for one in theirs.seen),
        value=0.0 if wrong else _compare(ours, theirs, "rate"),
        reach=Reach(limit=1.2, least=True),
        detail=f"{len(ours.seen)} rounds of {least:,} requests or more, {wrong} of ours lost; "
        f"processor time {median(ours.cost):.0f} against {median(theirs.cost):.0f} us a request; "
        f"{_compare(ours, keyed_too, 'rate'):.2f}x where the bare one has a SECRET_KEY too",
    )


def _p99(ours: Side, theirs: Side, keyed_too: Side) -> Figure:
    p50 = median(one.p50 for one in ours.seen), median(one.p50 for one in theirs.seen)
    return Figure(
        name="serve: p99",
        what="p99 of the same",
        unit="ms",
        measured=median(one.p99 for one in ours.seen),
        baseline=median(one.p99 for one in theirs.seen),
        value=_compare(ours, theirs, "p99"),
        reach=Reach(limit=1.1),
        detail=f"p50: {p50[0]:.2f} against {p50[1]:.2f} ms; "
        f"{_compare(ours, keyed_too, 'p99'):.2f}x where the bare one has a SECRET_KEY too",
    )


def _compare(ours: Side, theirs: Side, what: str) -> float:
    """Return the median over the rounds of the ratio within a round, whose runs were close together in time."""
    pairs = zip(ours.seen, theirs.seen, strict=True)
    return median(ratio(getattr(one, what), getattr(other, what)) for one, other in pairs)
