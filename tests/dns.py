"""A DNS server of the tests' own, on real sockets: zones that a test writes, and every way to fail.

It answers by UDP, and by TCP whoever was told that the answer was too long. It follows CNAMEs inside of what it knows,
as the resolvers of the world do, and answers for `*` where there is no closer name.
"""

import socketserver
import struct
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from tenantry.operations import Operations
from tenantry.registry import Registry
from tenantry.resolver import Answer, Asks, Outcome
from tests.tools import free_port

# What one may write instead of records.
SERVFAIL, REFUSED, SILENCE, NONSENSE = "SERVFAIL", "REFUSED", "silence", "nonsense"
_CHAIN = 10
_LARGEST = 1232
_SOA = "ns.test. hostmaster.test. 1 3600 600 86400 300"

Known = Mapping[str, tuple[str, ...]] | str


@dataclass(slots=True)
class Nameserver:
    """A server that answers from `names`: by name, the records of each kind as a zone file spells them, or a failure.

    A test may change `names` at any time. `asked` counts the questions, `by_tcp` those that came by TCP.
    """

    port: int
    names: dict[str, Known] = field(default_factory=dict)
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    by_tcp: int = 0

    @property
    def server(self) -> str:
        """Spell the server as the setting does."""
        return f"127.0.0.1:{self.port}"

    def answer(self, wire: bytes, largest: int) -> bytes | None:
        """Answer one packet, or be silent."""
        query = dns.message.from_wire(wire)
        (question,) = query.question
        name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked[name, kind] += 1
        known = self._known(name)
        if known == SILENCE:
            return None
        if known == NONSENSE:
            return wire[:2] + b"\x84\x00\x00\x01\xff\xff"
        response = dns.message.make_response(query, our_payload=_LARGEST)
        response.flags |= dns.flags.RA
        if isinstance(known, str):
            response.set_rcode(dns.rcode.from_text(known))
        else:
            self._fill(response, name, kind)
        try:
            return response.to_wire(max_size=largest)
        except dns.exception.TooBig:
            short = dns.message.make_response(query)
            short.flags |= dns.flags.TC
            return short.to_wire()

    def _fill(self, response: dns.message.Message, name: str, kind: str) -> None:
        """Put in what there is, alias after alias, and the zone's own record where there is nothing."""
        for _ in range(_CHAIN):
            known = self._known(name)
            if known is None:
                response.set_rcode(dns.rcode.NXDOMAIN)
                break
            if isinstance(known, str):
                response.set_rcode(dns.rcode.from_text(known))
                return
            if kind in known:
                response.answer.append(_records(name, kind, known[kind]))
                return
            if "CNAME" not in known:
                break
            response.answer.append(_records(name, "CNAME", known["CNAME"]))
            name = known["CNAME"][0].rstrip(".").lower()
        response.authority.append(_records("test", "SOA", (_SOA,)))

    def _known(self, name: str) -> Known | None:
        if name in self.names:
            return self.names[name]
        if any(other.endswith(f".{name}") for other in self.names):
            return {}  # there is something below it
        above = name.partition(".")[2]
        while above:
            if f"*.{above}" in self.names:
                return self.names[f"*.{above}"]
            if above in self.names:
                return None
            above = above.partition(".")[2]
        return None


def _records(name: str, kind: str, values: tuple[str, ...]) -> dns.rrset.RRset:
    return dns.rrset.from_text(dns.name.from_text(name), 60, "IN", kind, *values)


class _ByUDP(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        wire, sock = self.request
        answer = _own(self.server).answer(wire, _LARGEST)
        if answer is not None:
            sock.sendto(answer, self.client_address)


class _ByTCP(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        (length,) = struct.unpack("!H", self.rfile.read(2))
        own = _own(self.server)
        own.by_tcp += 1
        answer = own.answer(self.rfile.read(length), 65535)
        if answer is not None:
            self.wfile.write(struct.pack("!H", len(answer)) + answer)


class _Datagrams(socketserver.UDPServer):
    own: Nameserver


class _Connections(socketserver.TCPServer):
    own: Nameserver
    allow_reuse_address = True


def _own(server: object) -> Nameserver:
    assert isinstance(server, _Datagrams | _Connections)
    return server.own


@contextmanager
def nameserver(names: Mapping[str, Known] | None = None) -> Iterator[Nameserver]:
    """Serve names on a port of the loopback, by UDP and by TCP, until the end."""
    where = ("127.0.0.1", free_port())
    own = Nameserver(where[1], dict(names or {}))
    with _Datagrams(where, _ByUDP) as udp, _Connections(where, _ByTCP) as tcp:
        udp.own = tcp.own = own
        threads = [threading.Thread(target=one.serve_forever, args=(0.02,)) for one in (udp, tcp)]
        for thread in threads:
            thread.start()
        try:
            yield own
        finally:
            udp.shutdown()
            tcp.shutdown()
            for thread in threads:
                thread.join()


class Vouching:
    """A DNS that proves every claim of a registry, and knows nothing else."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def ask(self, name: str, kind: str) -> Answer:
        """Answer as if every tenant had set what it was told to."""
        if kind != "TXT" or not name.startswith("_tenantry."):
            return Answer(Outcome.NO_NAME)
        claims = (claim for tenant in self._registry.list() for claim in self._registry.claims(tenant.uid))
        values = tuple(f"tenantry={claim.token}" for claim in claims if name == f"_tenantry.{claim.domain}")
        return Answer(Outcome.FOUND, values) if values else Answer(Outcome.NOTHING)


def believing(operations: Operations, resolver: Asks | None = None) -> Operations:
    """Open the same desk with another resolver, else with one that proves every claim."""
    desk = operations._desk
    return Operations(replace(desk, resolver=resolver or Vouching(desk.registry)))


@pytest.fixture(scope="module")
def world() -> Iterator[Nameserver]:
    """A nameserver for all tests of a file; each file names it among its own."""
    with nameserver() as server:
        yield server
