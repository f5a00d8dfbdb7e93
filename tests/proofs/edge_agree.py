"""nginx and the application behind it, asked the same things: they never name two different tenants.

For each request nginx logs what it took for host and path, and an application tells whose it is. Whose a host and a
path are is told here by a table of what was added, not by the rooms that are tried. Who answers for a tenant, or sends
a visitor to one, must be whom that table names for what nginx has seen; nobody has to answer. Each answer must be that
to the request that was sent, so that no request becomes two on its way.
"""

import re
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from tenantry.operations import NewTenant
from tests import edges
from tests.edges import DOMAIN, Edge
from tests.proofs import edge_asking
from tests.servers import until

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_WHOSE = "X-Whose"
_CLIENTS = 4
# So many of the requests come on a connection to another host, and so many to the port that sends on to https.
_ASTRAY, _PLAIN = 0.1, 0.1
# Names, whether they have a path too, and domains, of which the first is the primary one.
_TENANTS: Sequence[tuple[str, bool, Sequence[str]]] = (
    ("acme", True, ()),
    ("globex", True, ("globex.example.net", "www.globex.example.net")),
    ("initech", False, ("xn--bcher-kva.example", "acme.sites.example.net", "sites.example.com.example.net")),
    ("hooli", True, ("evilsites.example.com",)),
    ("shut", True, ()),
    ("before", True, ()),
)
_RENAMED = ("before", "after")


def whose(instance_path: str, config: Mapping[str, Any]) -> "WSGIApplication":
    """Make an application that tells on every page whose it is, and which request it answers."""
    uid = str(config["TENANT_UID"])

    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        number = environ.get("HTTP_X_NUMBER", "")
        headers = [(_WHOSE, uid), (edge_asking.NUMBER, number), ("Content-Length", str(len(uid)))]
        start_response("200 OK", [*headers, ("Content-Type", "text/plain")])
        return [uid.encode()]

    return application


@dataclass(slots=True)
class Town:
    """Whose each host is, and each name below `/t/` of the base domain, by uid."""

    hosts: dict[str, str] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)

    def tenant(self, host: str, path: str) -> str:
        """Tell whose a host and a decoded path are, nothing for nobody's."""
        if host != DOMAIN:
            return self.hosts.get(host, "")
        _, first, *rest = (*path.split("/", 3), "", "")
        return self.paths.get(rest[0], "") if first == "t" else ""

    def sent_to(self, host: str, location: str) -> tuple[str, str]:
        """Tell to which host a visitor of `host` is sent, and whose the page there is."""
        split = _LOCATION.fullmatch(location)
        if split is None:
            return location, ""
        if split["host"] is not None:
            host = split["host"].partition(":")[0].lower().removesuffix(".")
        return host, self.tenant(host, resolved(split["path"]))


_LOCATION = re.compile(r"(?:https?://(?P<host>[^/?#\\@]+))?(?P<path>/[^?#]*)?(?:[?#].*)?", re.DOTALL)


def resolved(path: str | None) -> str:
    """Decode a path, then merge its slashes and follow its dots, as who is sent there will be understood."""
    parts: list[str] = []
    segments = unquote(path or "/", "latin-1").split("/")
    for part in segments:
        if part == "..":
            del parts[-1:]
        elif part not in {"", "."}:
            parts.append(part)
    return "/" + "/".join([*parts, *([""] if parts and segments[-1] in {"", ".", ".."} else [])])


@dataclass(slots=True)
class Agreed:
    """How many requests were compared, how often both named a tenant, and where they named two."""

    requests: int = 0
    named: Counter[str] = field(default_factory=Counter)
    sent_on: int = 0
    refused: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        statuses = ", ".join(f"{count:,} {HTTPStatus(status).value}" for status, count in sorted(self.statuses.items()))
        return (
            f"{self.requests:,} requests: both named a tenant in {self.named.total():,}, "
            f"{self.sent_on:,} were sent on, {self.refused:,} refused behind an nginx that named one; {statuses}"
        )

    def see(self, town: Town, line: Mapping[str, str]) -> None:
        """Compare what nginx took a request for with what came back from behind it."""
        host, path = line["host"], line["uri"]
        meant = town.tenant(host, path)
        self.requests += 1
        self.statuses[int(line["status"])] += 1
        told = f"{line['target']!r} at {host!r}, {path!r} to nginx, and so {meant or 'nobody'}'s"
        if line["whose"]:
            self.named[line["whose"]] += 1
            if line["whose"] != meant:
                self.wrong.append(f"{told}: answered by {line['whose']}")
        elif line["location"]:
            self.sent_on += 1
            there, whose = town.sent_to(host, line["location"])
            if (whose and whose != meant) or (there not in town.hosts and there not in {host, DOMAIN}):
                self.wrong.append(f"{told}: sent to {line['location']!r}")
        elif meant and line["upstream"]:
            self.refused += 1


def settle(edge: Edge) -> Town:
    """Add the tenants, and tell whose is what."""
    town = Town()
    with edge.desk() as desk:
        for name, path, domains in _TENANTS:
            new = NewTenant(name=name, application=f"{__name__}:whose", path=path, domains=domains, trust=True)
            desk.add(new)
            uid = desk.get(name).uid
            town.hosts |= dict.fromkeys((f"{name}.{DOMAIN}", *domains), uid)
            town.paths |= {name: uid} if path else {}
            for one in domains:
                edge.ca.issue(one)
        desk.suspend("shut", because="measured")
        desk.rename(*_RENAMED)
        before, after = _RENAMED
        town.hosts[f"{after}.{DOMAIN}"] = town.hosts[f"{before}.{DOMAIN}"]
        town.paths[after] = town.paths[before]
    return town


def run(edge: Edge, town: Town, requests: int, seed: int = 0) -> Agreed:
    """Ask so often, from several clients, and compare; AssertionError if nginx has logged fewer requests than came."""
    agreed, lock = Agreed(), threading.Lock()
    before = len(edge.nginx.seen())
    to_ask = edge_asking.Town(DOMAIN, [*town.hosts], [*town.paths])
    answered: list[int] = []

    def visit(number: int) -> None:
        visitor = _Visitor(edge, town, Random(number))
        try:
            for host, request in edge_asking.requests(to_ask, seed * _CLIENTS + number, requests // _CLIENTS):
                visitor.ask(host, request)
        finally:
            visitor.close()
            with lock:
                answered.append(visitor.answers)
                agreed.wrong += visitor.wrong

    visitors = [threading.Thread(target=visit, args=(number,)) for number in range(_CLIENTS)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    assert len(answered) == _CLIENTS
    until(lambda: len(edge.nginx.seen()) >= before + sum(answered))
    for line in edge.nginx.seen()[before:]:
        agreed.see(town, line)
    return agreed


class _Visitor:
    """Who asks one thing after the other, on a connection to each host, by https under that one's name."""

    def __init__(self, edge: Edge, town: Town, chance: Random) -> None:
        self._edge = edge
        self._hosts = [DOMAIN, *town.hosts]
        self._chance = chance
        self._lines: dict[tuple[str, bool], edges.Line] = {}
        self.answers = 0
        self.wrong: list[str] = []

    def ask(self, host: str, request: bytes) -> None:
        """Send a request about a host, mostly on a connection to that one, and read its answer."""
        if host not in self._hosts or self._chance.random() < _ASTRAY:
            host = self._chance.choice(self._hosts)
        to = host, self._chance.random() < _PLAIN
        if to not in self._lines:
            self._lines[to] = self._edge.client(host, plain=to[1])
        try:
            _, headers, body = self._lines[to].send(request).answer()
        except (OSError, AssertionError, ValueError) as error:
            self.wrong.append(f"{request!r} was not answered: {error!r}")
            self._lines.pop(to).close()
            return
        self.answers += 1
        number = f"\r\n{edge_asking.NUMBER}: {headers.get('x-number', '')}\r\n".encode()
        if "x-whose" in headers and (number not in request or headers["x-whose"].encode() != body):
            self.wrong.append(f"{request!r} had the answer to another one: {headers}")
        if headers.get("connection") == "close":
            self._lines.pop(to).close()

    def close(self) -> None:
        """Hang up."""
        for line in self._lines.values():
            line.close()


def full(folder: Path, requests: int) -> Agreed:
    """Ask the oldest nginx there is and the newest one, by https and by http, a quarter of the requests each."""
    whole = Agreed()
    ways = [(program, scheme) for program in (edges.system(), edges.newest()) for scheme in ("https", "http")]
    for seed, (program, scheme) in enumerate(ways):
        root = folder / f"{seed}"
        root.mkdir()
        with edges.edged(root, program=program, scheme=scheme) as edge:
            found = run(edge, settle(edge), requests // len(ways), seed)
        whole.requests += found.requests
        whole.named += found.named
        whole.sent_on += found.sent_on
        whole.refused += found.refused
        whole.statuses += found.statuses
        whole.wrong += found.wrong
    return whole
