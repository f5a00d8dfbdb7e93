"""One question to the DNS by dnspython, and what its answers, its errors and its silence come to."""

import ipaddress
from collections.abc import Iterable, Sequence

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.resolver
from dns.nameserver import Do53Nameserver, Nameserver
from dns.rdtypes.ANY.CAA import CAA
from dns.rdtypes.ANY.TXT import TXT
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA

from tenantry.address import shown
from tenantry.errors import Invalid, Unavailable
from tenantry.resolver import Answer, Outcome

# What goes through every network in one piece; a longer answer is asked for once more by TCP.
_PAYLOAD = 1232
_TRY = 2.0
# More than anybody follows.
_ALIASES = 16


def ask(servers: Sequence[str], seconds: float, question: tuple[str, str]) -> Answer:
    """Ask these servers, or the system's, for a name and a kind of record."""
    name, kind = question
    resolver = _resolver(servers, seconds)
    try:
        wanted = dns.name.from_text(name)
    except dns.exception.DNSException as error:
        raise Invalid(f"{shown(name)} is too long for the DNS, or no name of it.") from error
    try:
        found = resolver.resolve(wanted, kind, search=False, raise_on_no_answer=False)
    except dns.resolver.NXDOMAIN as error:
        return _missing(error.kwargs.get("responses", {}).get(wanted), wanted, Outcome.NO_NAME)
    except dns.exception.Timeout:
        return Answer(Outcome.SILENT, says=f"{_asked(resolver)}, within {seconds:g} s")
    except dns.exception.DNSException as error:
        return Answer(Outcome.FAILED, says=f"{_failure(error)} from {_asked(resolver)}")
    if found.rrset is None:
        return _missing(found.response, wanted, Outcome.NOTHING)
    values = tuple(_spelled(record) for record in found.rrset)
    return Answer(Outcome.FOUND, values, _aliases(found.response, wanted), max(found.rrset.ttl, 0))


def _resolver(servers: Sequence[str], seconds: float) -> dns.resolver.Resolver:
    try:
        made = dns.resolver.Resolver(configure=not servers)
    except (dns.resolver.NoResolverConfiguration, OSError) as error:
        raise Unavailable(
            "This machine knows no DNS server to ask.", hint="Set TENANTRY_RESOLVER, to 9.9.9.9 for example."
        ) from error
    if servers:
        made.nameservers = [_server(server) for server in servers]
    made.lifetime, made.timeout = seconds, min(_TRY, seconds / 2)
    made.use_edns(0, 0, _PAYLOAD)
    return made


def _server(spelled: str) -> Nameserver:
    where, _, port = spelled.rpartition(":")
    return Do53Nameserver(where.strip("[]"), int(port))


def _asked(resolver: dns.resolver.Resolver) -> str:
    """Name those who were asked; the system's are plain texts."""
    named = (
        f"{one.answer_nameserver()}:{one.answer_port()}" if isinstance(one, Nameserver) else str(one)
        for one in resolver.nameservers
    )
    return " and ".join(named)


def _failure(error: dns.exception.DNSException) -> str:
    """Say what was wrong with the last answer: its code, where there was one that could be read."""
    errors: Sequence[tuple[object, ...]] = error.kwargs.get("errors", ())
    for response in reversed([one[-1] for one in errors]):
        if isinstance(response, dns.message.Message) and response.rcode() != dns.rcode.NOERROR:
            return dns.rcode.to_text(response.rcode())
    return "an answer that makes no sense"


def _missing(response: dns.message.Message | None, wanted: dns.name.Name, outcome: Outcome) -> Answer:
    if response is None:
        return Answer(outcome)
    # How long it may be remembered that nothing is there stands in the zone's own record.
    zones = [zone for zone in response.authority if zone.rdtype == dns.rdatatype.SOA]
    seconds = min((min(zone.ttl, record.minimum) for zone in zones for record in zone), default=0)
    return Answer(outcome, aliases=_aliases(response, wanted), seconds=max(seconds, 0))


def _aliases(response: dns.message.Message, wanted: dns.name.Name) -> tuple[str, ...]:
    leads = {
        found.name: record.target
        for found in response.answer
        if found.rdtype == dns.rdatatype.CNAME
        for record in found
    }
    passed: list[dns.name.Name] = []
    while wanted in leads and len(passed) < _ALIASES:
        wanted = leads[wanted]
        passed.append(wanted)
    return tuple(_name(one) for one in passed)


def _name(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


def _spelled(record: dns.rdata.Rdata) -> str:
    match record:
        case TXT():
            return _text(record.strings)
        case CAA():
            return f"{record.flags} {_text([record.tag])} {_text([record.value])}"
        case A() | AAAA():
            return ipaddress.ip_address(record.address).compressed
        case _:
            return record.to_text()


def _text(pieces: Iterable[bytes]) -> str:
    return b"".join(pieces).decode("utf-8", "backslashreplace")
