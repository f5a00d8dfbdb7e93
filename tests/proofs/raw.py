"""Requests that no two readers must be able to read differently, each followed by a smuggled one, at a real server.

What is wrong is put into an otherwise legal request in every place where it can stand, and each such request is sent in
several ways: first on its connection, after a legal one, in pieces, and to a host that nobody has. Each is to be
refused, by the server and before anybody is asked; what follows on the connection is to be answered by nobody. Legal
requests, sent in the same ways, are all to be answered, so that refusing everything is no way to pass.
"""

import re
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenantry.server import Options, Server
from tests.benchmarks import places
from tests.benchmarks.applications import name_of, trivial
from tests.proofs import raw_words

if TYPE_CHECKING:
    from tenantry.assembly.platform import Platform

_PATIENCE = 20.0
HOST = places.host(0).encode()
_VICTIM = places.host(1).encode()
_STRANGER = places.host(7777).encode()
_SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: " + _VICTIM + b"\r\n\r\n"
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})[^\r\n]*\r\n")
_PATHS = (b"", b"/", b"/x?y", b"//", b"?")
CONTROLS = (*range(9), *range(10, 32), 127)
# What may refuse: the reader, or whoever has not implemented the method or the coding.
_REFUSALS = frozenset({400, 501})


@dataclass(frozen=True)
class Probe:
    """A request, its name, and whether it is legal."""

    name: str
    data: bytes
    legal: bool = False


@dataclass
class Verdicts:
    """What became of all probes."""

    refused: int = 0
    answered: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    let_through: list[str] = field(default_factory=list)
    second: list[str] = field(default_factory=list)
    turned_away: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        told = ", ".join(f"{count} with {status}" for status, count in sorted(self.statuses.items()))
        return f"{self.refused} refused ({told}), {self.answered} legal ones answered"


def request(
    line: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: " + HOST, more: bytes = b"", body: bytes = b""
) -> bytes:
    """Spell a request; `host` and `more` are whole header lines without their ends."""
    return b"\r\n".join([*filter(None, (line, host, more)), b"", body])


# What is wrong, part by part.


def _words(text: str) -> Iterator[bytes]:
    return raw_words.words(text, HOST, _VICTIM)


def hosts() -> Iterator[Probe]:
    """Give requests that say badly, twice or not at all whom they are for."""
    yield Probe("no host", request(host=b""))
    yield Probe("no host on 1.0", request(b"GET / HTTP/1.0", host=b""))
    yield Probe("no host but a target's", request(b"GET http://%b/ HTTP/1.1" % HOST, host=b""))
    for first, second in ((HOST, HOST), (HOST, _VICTIM), (_VICTIM, HOST), (HOST, b""), (b"", HOST)):
        for spelling in (b"Host", b"host", b"HOST"):
            two = b"Host: %b\r\n%b: %b" % (first, spelling, second)
            yield Probe(f"two hosts {two!r}", request(host=two))
    for value in (*_words(raw_words.HOSTS), b"a" * 64 + b"." + HOST, b"a." * 130 + HOST):
        yield Probe(f"host {value!r}", request(host=b"Host: " + value))
    for byte in CONTROLS:
        yield Probe(f"control {byte} in host", request(host=b"Host: ac%cme" % byte + HOST))
        yield Probe(f"control {byte} after host", request(host=b"Host: " + HOST + b"%c" % byte))


def targets() -> Iterator[Probe]:
    """Give requests for what is no path."""
    for target in _words(raw_words.TARGETS):
        yield Probe(f"target {target!r}", request(b"GET %b HTTP/1.1" % target))
    asked = product((b"http", b"https", b"HTTP", b"hTTp"), (HOST, _VICTIM, HOST + b":80", b"[::1]", b""), _PATHS)
    for scheme, host, path in asked:
        target = b"%b://%b%b" % (scheme, host, path)
        yield Probe(f"absolute-form {target!r}", request(b"GET %b HTTP/1.1" % target))
    for method in (b"GET", b"HEAD", b"OPTIONS", b"POST", b"DELETE"):
        yield Probe(f"{method!r} asterisk", request(b"%b * HTTP/1.1" % method))
    for target in (HOST + b":443", HOST, b"/", b"*", b"[::1]:443", b"http://" + HOST + b"/", b"/t/x"):
        for version in (b"1.1", b"1.0"):
            yield Probe(f"CONNECT {target!r}", request(b"CONNECT %b HTTP/%b" % (target, version)))
    for byte in (*range(33), 127, *range(128, 256, 9), 255):
        for line in (b"GET /a%cb HTTP/1.1", b"GET /?a%cb HTTP/1.1", b"GET %c/ HTTP/1.1", b"GET /%c HTTP/1.1"):
            yield Probe(f"byte {byte} in {line!r}", request(line % byte))


def versions() -> Iterator[Probe]:
    """Give requests of other versions, and first lines that are none."""
    for version in _words(raw_words.VERSIONS):
        yield Probe(f"version {version!r}", request(b"GET / " + version))
    for method in (*_words(raw_words.METHODS), b"A" * 64):
        yield Probe(f"method {method!r}", request(method + b" / HTTP/1.1"))
    for line in (b"GET /", b"GET / ", b"GET", b" ", b"/", b"HTTP/1.1", b"HTTP/1.1 200 OK", b"GET / / HTTP/1.1"):
        yield Probe(f"first line {line!r}", request(line))
        yield Probe(f"first line {line!r} alone", line + b"\r\n\r\n")
    yield Probe("no first line", b"Host: " + HOST + b"\r\n\r\n")
    yield Probe("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")


def lines() -> Iterator[Probe]:
    """Give headers whose lines do not end as they must, or are no fields."""
    head = (b"GET / HTTP/1.1", b"Host: " + HOST, b"X-One: 1", b"X-Two: 2", b"")
    for end in (b"\n", b"\r", b"\n\r", b"\r\r\n", b"\x00\r\n", b"\x0b", b"\x0c", b"\x1e\n"):
        for place in range(len(head)):
            ends = [end if number == place else b"\r\n" for number in range(len(head))]
            yield Probe(f"line {place} ends {end!r}", b"".join(map(b"".join, zip(head, ends, strict=True))))
        yield Probe(f"all lines end {end!r}", end.join(head) + end)
    for line in _words(raw_words.LINES):
        yield Probe(f"line {line!r}", request(more=line))
        yield Probe(f"line {line!r} first", request(host=line, more=b"Host: " + HOST))
    for byte in CONTROLS:
        for line in (b"X-A: a%cb", b"X%cA: b", b"X-A: %cb", b"X-A%c: b", b"%cX-A: b"):
            yield Probe(f"control {byte} in {line!r}", request(more=line % byte))
    for blank in (b"\r\n\r\n", b"\n", b"\r", b"\n\n", b" \r\n", b"\r\n ", b"\r\n\n", b"\x00", b"\t", b"\r\n" * 3):
        yield Probe(f"{blank!r} before", blank + request())


def lengths() -> Iterator[Probe]:
    """Give requests whose length is told badly, or in more than one way."""
    for line, value in product((b"POST / HTTP/1.1", b"GET / HTTP/1.1", b"POST / HTTP/1.0"), _words(raw_words.LENGTHS)):
        yield Probe(f"length {value!r} of {line!r}", request(line, more=b"Content-Length: " + value, body=b"hello"))
    pairs = ((b"5", b"5"), (b"5", b"6"), (b"0", b"5"), (b"5", b"0"), (b"5", b""), (b"", b"5"), (b"5", b"+5"))
    for (first, second), name in product(pairs, (b"Content-Length", b"content-length", b"CONTENT-LENGTH")):
        two = b"Content-Length: %b\r\n%b: %b" % (first, name, second)
        yield Probe(f"two lengths {two!r}", request(b"POST / HTTP/1.1", more=two, body=b"hello"))


def codings() -> Iterator[Probe]:
    """Give requests whose coding is none that is known, or stands beside a length."""
    chunked = b"5\r\nhello\r\n0\r\n\r\n"
    for value in _words(raw_words.CODINGS):
        for name in (b"Transfer-Encoding: %b", b"transfer-encoding:%b", b"Transfer-Encoding: %b\r\nContent-Length: 5"):
            yield Probe(f"coding {value!r}", request(b"POST / HTTP/1.1", more=name % value, body=chunked))
    spelled = product((b"POST", b"GET", b"PUT", b"DELETE"), (0, 4, 5, 15), (b"chunked", b"Chunked", b"CHUNKED"))
    for method, size, value in spelled:
        pair = [b"Content-Length: %d" % size, b"Transfer-Encoding: " + value]
        for more in (pair, pair[::-1]):
            probe = request(method + b" / HTTP/1.1", more=b"\r\n".join(more), body=chunked)
            yield Probe(f"{method!r} {more!r}", probe)
        old = request(method + b" / HTTP/1.0", more=pair[1], body=chunked)
        yield Probe(f"{method!r} {value!r} on 1.0", old)
    for first, second in product((b"chunked", b"identity", b"", b"gzip"), repeat=2):
        two = b"Transfer-Encoding: %b\r\nTRANSFER-ENCODING: %b" % (first, second)
        yield Probe(f"two codings {two!r}", request(b"POST / HTTP/1.1", more=two, body=chunked))


def chunks() -> Iterator[Probe]:
    """Give chunked bodies whose chunks are not as they say."""
    hello = b"\r\nhello\r\n0\r\n\r\n"
    long = (
        b"5;" + b"a" * 300 + hello,
        b"5;a=" + b"b" * 9000 + hello,
        b"1;aaaa\r\nx\r\n" * 4000 + b"0\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX: " + b"a" * 9000 + b"\r\n\r\n",
        b"5\r\nhello\r\n0\r\n" + b"X: a\r\n" * 2000 + b"\r\n",
    )
    for body, value in product((*_words(raw_words.CHUNKS), *long), (b"chunked", b"Chunked")):
        probe = request(b"POST / HTTP/1.1", more=b"Transfer-Encoding: " + value, body=body)
        yield Probe(f"chunks {body[:40]!r} ({len(body)})", probe)


def legal() -> Iterator[Probe]:
    """Give legal requests in many spellings."""
    spelled = [b"\r\n" + request(), request(b"GET / HTTP/1.0", more=b"Connection: keep-alive")]
    spelled += [request(b"GET %b HTTP/1.1" % target) for target in _words(raw_words.LEGAL_TARGETS)]
    spelled.append(request(b"GET /" + b"a" * 8000 + b" HTTP/1.1"))
    spelled += [request(host=line) for line in _words(raw_words.LEGAL_HOSTS)]
    spelled += [request(more=line) for line in _words(raw_words.LEGAL_LINES)]
    spelled += [request(more=b"X-A: " + b"a" * 16000), request(more=b"X: y\r\n" * 150 + b"Z: 1")]
    spelled += [request(b"%b / HTTP/1.1" % method) for method in (b"OPTIONS", b"DELETE", b"PROPFIND", b"M-SEARCH")]
    for method in (b"POST", b"PUT", b"PATCH", b"GET"):
        spelled.append(request(method + b" / HTTP/1.1", more=b"Content-Length: 5", body=b"hello"))
        spelled.append(request(method + b" / HTTP/1.1", more=b"content-length:0"))
    for body in (*_words(raw_words.LEGAL_CHUNKS), b"1\r\nx\r\n" * 500 + b"0\r\n\r\n"):
        spelled.append(request(b"POST / HTTP/1.1", more=b"transfer-encoding:CHUNKED", body=body))
    for number, data in enumerate(spelled):
        yield Probe(f"legal {number} {data[:60]!r}", data, legal=True)


KINDS: tuple[Callable[[], Iterator[Probe]], ...] = (hosts, targets, versions, lines, lengths, codings, chunks)

# How a probe is sent: what goes before it, and where it is cut in two.
Way = Callable[[bytes], list[bytes]]
WAYS: dict[str, Way] = {
    "alone": lambda data: [data],
    "second": lambda data: [request() + data],
    "in two": lambda data: [data[: len(data) // 2], data[len(data) // 2 :]],
    "byte by byte": lambda data: [data[:1000][at : at + 1] for at in range(min(1000, len(data)))] + [data[1000:]],
    "to nobody": lambda data: [data.replace(HOST, _STRANGER)],
}


# Sending them.


@contextmanager
def opened(folder: Path) -> Iterator[tuple[int, list[str]]]:
    """Serve two tenants by the whole platform; give its port and the targets that applications were asked for."""
    places.fill(folder, 2, name_of(trivial), {"BUILDS": str(folder / "builds")})
    asked: list[str] = []
    with places.opened(folder, access_log="off") as platform:

        def note(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
            asked.append(environ["REQUEST_URI"])
            return platform.application(environ, start)

        server = _server(platform, note)
        thread = threading.Thread(target=server.run, name="raw server")
        thread.start()
        try:
            for host in (HOST, _VICTIM):
                _send(server.port, [request(b"GET / HTTP/1.0", host=b"Host: " + host)], smuggle=False)
            yield server.port, asked
        finally:
            server.stop()
            thread.join(_PATIENCE)


def _server(platform: "Platform", application: Any) -> Server:
    known = platform.settings
    options = Options(
        host="127.0.0.1",
        port=0,
        threads=4,
        connections=100,
        max_header=known.max_header,
        max_body=known.max_body,
        lane_size=known.lane_size,
        lane_wait=known.lane_wait,
        drain=10.0,
        trust_proxy=False,
        header_wait=known.header_wait,
        body_wait=known.body_wait,
    )
    return Server(application, options, platform.asks)


def run(folder: Path, ways: Iterable[str] = tuple(WAYS)) -> Verdicts:
    """Send every probe in these ways, one connection each, and judge what came back."""
    verdicts = Verdicts()
    probes = [probe for kind in KINDS for probe in kind()]
    with opened(folder) as (port, asked):
        for way in ways:
            for probe in [*probes, *legal()]:
                if probe.legal and way == "to nobody":
                    continue
                asked.clear()
                pieces = WAYS[way](probe.data)
                _judge(verdicts, probe, way, _send(port, pieces, smuggle=not probe.legal), list(asked))
    return verdicts


def _send(port: int, pieces: list[bytes], *, smuggle: bool) -> bytes:
    """Send the pieces, and something smuggled after them; return all that comes back until the server closes."""
    end = _SMUGGLED if smuggle else b"GET /end HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % HOST
    got = b""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(ConnectionError):
            for piece in (*pieces, end):
                sock.sendall(piece)
        with suppress(ConnectionError):
            try:
                while data := sock.recv(65536):
                    got += data
            except TimeoutError:
                return b""  # nobody was refused where the connection stays open
    return got


def _judge(verdicts: Verdicts, probe: Probe, way: str, got: bytes, asked: list[str]) -> None:
    name = f"{probe.name}, {way}"
    statuses = [int(status) for status in _STATUS.findall(got)]
    before = 1 if way == "second" else 0
    if probe.legal:
        if statuses == [200] * (before + 2):
            verdicts.answered += 1
        else:
            verdicts.turned_away.append(f"{name}: {statuses}")
        return
    refused = statuses[before : before + 1]
    if statuses[:before] == [200] * before and len(refused) == 1 and refused[0] in _REFUSALS and len(asked) == before:
        verdicts.refused += 1
        verdicts.statuses[refused[0]] += 1
    else:
        verdicts.let_through.append(f"{name}: {statuses} {asked}")
    if len(statuses) > before + 1 or "/smuggled" in asked:
        verdicts.second.append(f"{name}: {statuses} {asked}")
