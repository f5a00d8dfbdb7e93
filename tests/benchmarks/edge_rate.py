"""nginx, a unix socket and a thousand live tenants, beside nginx and one bare Flask on stock waitress: wrk on both."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tenantry.operations import NewTenant
from tests import edges, tools
from tests.benchmarks import children, load
from tests.benchmarks.applications import bare, hello, name_of
from tests.benchmarks.figure import Effort, Figure, Reach, ratio
from tests.benchmarks.load import Load, Wave
from tests.edges import DOMAIN, LOCAL

# What Flask's own manual says of nginx, and the same with the connections kept that it opens to the server behind.
_MANUAL = """
server {{
    listen {listen};
    server_name _;
    location / {{
        proxy_pass http://{server}/;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-Host $host;
        proxy_set_header X-Forwarded-Prefix /;
    }}
}}
"""
_KEPT = """
upstream bare {{ server {server}; keepalive 32; }}
server {{
    listen {listen};
    server_name _;
    location / {{
        proxy_pass http://bare;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Side:
    """An nginx, who answers behind it, and what was seen of both, round by round.

    `costs` are the processor times of nginx and of the server, in us a request.
    """

    port: int
    front: edges.Nginx
    behind: children.Server | edges.Server
    seen: list[Load] = field(default_factory=list)
    costs: list[tuple[float, float]] = field(default_factory=list)

    def measure(self, wave: Wave, seconds: int) -> None:
        """Load it for so long, after a second to get warm again; the server stands still before and afterwards."""
        self.behind.go_on()
        wave.on(self.port, 1)
        before = self._spent()
        self.seen.append(wave.on(self.port, seconds))
        spent = (now - then for now, then in zip(self._spent(), before, strict=True))
        front, behind = (some / self.seen[-1].requests * 1e6 for some in spent)
        self.costs.append((front, behind))
        self.behind.pause()

    def _spent(self) -> tuple[float, float]:
        return self.front.processor_time(), self.behind.processor_time()

    def cost(self) -> str:
        """Spell what a request costs, in the median over the rounds."""
        front, behind = (median(some) for some in zip(*self.costs, strict=True))
        return f"{front:.0f} and {behind:.0f}"


def measure(effort: Effort, folder: Path) -> list[Figure]:
    """Measure requests a second of all, in turn, while the others stand still; by http, which all of them can."""
    tenants, rounds, seconds = effort.choose(1000, 20), effort.choose(11, 2), effort.choose(5, 1)
    wave = Wave(host=f"site-%04d.{DOMAIN}", hosts=tenants)
    (folder / "ours").mkdir()
    with ExitStack() as running:
        edge = running.enter_context(edges.edged(folder / "ours", scheme="http", capacity=tenants + 10))
        with edge.desk() as desk:
            for number in range(tenants):
                desk.add(NewTenant(name=f"site-{number:04}", application=name_of(hello)))
        load.warm(edge.port, [f"site-{number:04}.{DOMAIN}" for number in range(tenants)])
        sides = [Side(edge.port, edge.nginx, edge.servers[0])]
        sides[0].behind.pause()
        for name, text in (("kept", _KEPT), ("manual", _MANUAL)):
            sides.append(running.enter_context(_bare(folder / name, text)))
            sides[-1].behind.pause()
        for turn in range(rounds):
            for side in sides if turn % 2 else sides[::-1]:
                side.measure(wave, seconds)
    return [_figure(tenants, *sides)]


@contextmanager
def _bare(folder: Path, text: str) -> Iterator[Side]:
    """Run nginx in front of one bare application."""
    folder.mkdir()
    port = tools.free_port()
    with children.waitress(folder, name_of(bare)) as server:
        spelled = text.format(listen=f"{LOCAL}:{port}", server=f"{LOCAL}:{server.port}")
        with edges.nginx(folder / "nginx", spelled) as front:
            yield Side(port, front, server)


def _figure(tenants: int, ours: Side, theirs: Side, manual: Side) -> Figure:
    wrong = sum(one.lost + one.refused for one in ours.seen)
    p99 = median(one.p99 for one in ours.seen), median(one.p99 for one in theirs.seen)
    return Figure(
        name="edge: rate",
        what=f"requests/s of nginx, a unix socket and tenantry serve with {tenants:,} live tenants, against those of "
        "nginx, with connections kept, and waitress-serve with one bare Flask",
        unit="/s",
        measured=median(one.rate for one in ours.seen),
        baseline=median(one.rate for one in theirs.seen),
        value=0.0 if wrong else compare(ours, theirs),
        reach=Reach(limit=1.1, least=True),
        detail=f"{len(ours.seen)} rounds, {wrong} of ours lost or refused; p99 {p99[0]:.1f} against {p99[1]:.1f} ms; "
        f"processor time of nginx and server {ours.cost()} against {theirs.cost()} us a request; "
        f"{compare(ours, manual):.2f}x against nginx as Flask's manual has it",
    )


def compare(ours: Side, theirs: Side) -> float:
    """Return the median over the rounds of the ratio within a round, whose runs were close together in time."""
    return median(ratio(one.rate, other.rate) for one, other in zip(ours.seen, theirs.seen, strict=True))
