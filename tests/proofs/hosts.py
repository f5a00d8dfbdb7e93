"""Hosts as strangers spell them: two lead to one tenant only if DNS says that they are one, and else nothing is raised.

What DNS says is told here by the RFCs and the socket library, not by the room that is tried: labels of letters, digits
and hyphens (1123), at most 63 and 255 bytes on the wire (1035), compared without regard to ASCII case (4343), the dot
of the root written or not, and nothing else. A port (3986) is no part of a name. Custom domains are compared by their
U-labels (5890), made lower case as people type them (5895).
"""

import socket
import string
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tenantry import address
from tenantry.address import Kind
from tenantry.assembly.platform import open_platform
from tenantry.errors import Invalid

DOMAIN = "sites.example.com"
OWN = ("sites", "example", "com")
SPELLINGS = 50  # of each drawn host

Canonical = Callable[[str], str]
# What the gateway reads from a Host before it asks whoever knows: the kind of address and its value.
Asked = Callable[[Mapping[str, str], str], Hashable]


# What DNS says.

_LDH = frozenset((string.ascii_letters + string.digits + "-").encode())


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a Host header means: labels in wire form, without case, or the sixteen bytes of an IPv6 address."""

    labels: tuple[bytes, ...] = ()
    address: bytes = b""


def meaning(raw: str) -> Meaning | None:
    """Tell what a Host header means, None if it is none by the RFCs."""
    if raw.startswith("["):
        literal, bracket, rest = raw[1:].partition("]")
        name = _address(literal) if bracket else None
    else:
        text, colon, port = raw.partition(":")
        name, rest = _name(text), colon + port
    return name if name is not None and _is_port(rest) else None


def _address(literal: str) -> Meaning | None:
    try:
        return None if "%" in literal else Meaning(address=socket.inet_pton(socket.AF_INET6, literal))
    except (OSError, ValueError):
        return None


def _name(text: str) -> Meaning | None:
    try:
        labels = text.encode("ascii").split(b".")
    except UnicodeEncodeError:
        return None
    if labels[-1] == b"":  # the root
        labels.pop()
    whole = all(0 < len(one) <= 63 and set(one) <= _LDH and one[:1] != b"-" and one[-1:] != b"-" for one in labels)
    if not labels or not whole or sum(len(one) + 1 for one in labels) + 1 > 255:
        return None
    return Meaning(labels=tuple(bytes(byte | 0x20 if 65 <= byte <= 90 else byte for byte in one) for one in labels))


def _is_port(rest: str) -> bool:
    """Tell whether nothing follows, or a port as it is written in a URL: 1 to 65535, in plain digits."""
    digits = rest[1:]
    return not rest or (rest[0] == ":" and digits in _PORTS)


_PORTS = frozenset(map(str, range(1, 65536)))


def expected(what: Meaning) -> Hashable:
    """Tell at which address a tenant is asked for: a label of ours, a whole name of somebody else's, or nobody."""
    labels = tuple(label.decode() for label in what.labels)
    if what.address or labels[-3:] != OWN or len(labels) > 4:
        return Kind.DOMAIN, None if what.address else ".".join(labels)
    return "" if len(labels) == 3 else (Kind.SUBDOMAIN, labels[0])


# What is generated.

_label = st.one_of(
    st.from_regex(r"[a-z0-9]{1,8}(-[a-z0-9]{1,4}){0,2}", fullmatch=True),
    st.sampled_from(["acme", "www", "xn--bcher-kva", "xn--", "a--b", "evilsites", "sites", "0", "127", "localhost"]),
    st.integers(60, 66).map(lambda length: "l" * length),
    st.text(string.ascii_letters + string.digits + "-_*", max_size=6),
    st.text(max_size=4),
)
_names = st.one_of(
    _label.map(lambda label: f"{label}.{DOMAIN}"),
    _label.map(lambda label: f"{label}{DOMAIN}"),
    st.lists(_label, max_size=5).map(".".join),
    st.tuples(_label, _label).map(lambda labels: f"{labels[0]}.{labels[1]}.{DOMAIN}"),
    st.just(DOMAIN),
    st.integers(50, 64).map(lambda length: ".".join(["abc"] * length)),
    st.ip_addresses().map(str),
    st.ip_addresses(v=6).map(lambda ip: f"[{ip}]"),
    st.ip_addresses(v=6).map(lambda ip: f"[{ip.exploded}]"),
    st.ip_addresses(v=4).map(lambda ip: f"[::ffff:{ip}]"),
    st.text(max_size=20),
)
bases = st.tuples(_names, st.integers(0, 2**32 - 1))

# What looks like a letter, a dot or nothing and is another: full-width and Kelvin forms, joiners, odd digits, spaces.
_ODD = "\u212a\uff41\u0130\u017f\u3002\uff0e\u200b\u200d\u00ad\u0660\u00b2\u2044\x00\t\n\r \x7f\u00a0"
_ODD += "%@/?#\\,;'\"<>_*[]:.-"


def _cased(text: str, chance: Random) -> str:
    return "".join(chance.choice((one.upper(), one.lower())) for one in text)


def _inserted(text: str, chance: Random) -> str:
    at = chance.randrange(len(text) + 1)
    return text[:at] + chance.choice(_ODD) + text[at:]


def _replaced(text: str, chance: Random) -> str:
    if not text:
        return text
    at = chance.randrange(len(text))
    return text[:at] + chance.choice(_ODD + "abcXYZ019") + text[at + 1 :]


def _dropped(text: str, chance: Random) -> str:
    at = chance.randrange(len(text) + 1)
    return text[:at] + text[at + 1 :]


def _ported(text: str, chance: Random) -> str:
    odd = ("", "0", "080", "65536", "99999", "+1", "-1", " 80", "8 0", "1_0", "\u0661", "80:80", "http")
    port = str(chance.randrange(1, 65536)) if chance.random() < 0.6 else chance.choice(odd)
    return f"{text}:{port}"


def _dotted(text: str, chance: Random) -> str:
    return text + "." * chance.choice((1, 1, 1, 2))


def _as_bytes(text: str, _: Random) -> str:
    return text.encode("utf-8", "replace").decode("latin-1")  # as WSGI passes it on


_CHANGES = (_cased, _cased, _dotted, _ported, _ported, _inserted, _replaced, _dropped, _as_bytes)


def spellings(base: str, seed: int, number: int = SPELLINGS) -> list[str]:
    """Spell a host in so many ways, most of them near the border between what is one and what is none."""
    chance = Random(seed)
    made = [base]
    while len(made) < number:
        text = base
        for change in chance.sample(_CHANGES, chance.choice((1, 1, 2, 2, 3))):
            text = change(text, chance)
        made.append(text)
    return made


# What must hold.


@dataclass(slots=True)
class Heard:
    """How many hosts were tried, how many of them are hosts, and how many led to a tenant's address of ours."""

    hosts: int = 0
    accepted: int = 0
    asked: int = 0
    same: int = 0
    domains: int = 0
    domains_accepted: int = 0

    def __str__(self) -> str:
        return (
            f"{self.hosts:,} hosts, {self.accepted:,} of them accepted, {self.asked:,} below the platform's domain, "
            f"{self.same:,} another spelling of one before; "
            f"{self.domains:,} domains, {self.domains_accepted:,} of them accepted"
        )


def see_host(raw: str, heard: Heard, canonical: Canonical, asked: Asked) -> None:
    """See that a Host is accepted if and only if it is one, and leads where its meaning does and nothing else."""
    means = meaning(raw)
    heard.hosts += 1
    where = asked({"HOST": raw}, "/")
    try:
        found = canonical(raw)
    except Invalid:
        assert means is None, f"{raw!r} is refused and is a host"
        assert where == "", f"{raw!r} is refused and leads to {where}"
        return
    assert means is not None, f"{raw!r} is accepted as {found!r} and is no host"
    assert meaning(found) == means, f"{raw!r} is taken for {found!r}, which is another one"
    assert canonical(found) == found, f"{found!r} is no fixed point: {canonical(found)!r}"
    goes = expected(means)
    if goes == (Kind.DOMAIN, None):
        goes = (Kind.DOMAIN, found)
    assert where == goes, f"{raw!r} leads to {where} and should to {goes}"
    heard.accepted += 1
    heard.asked += where == "" or goes != (Kind.DOMAIN, found)


def see_same(raws: Sequence[str], heard: Heard, canonical: Canonical) -> None:
    """See that whatever means the same has one canonical form; that one form means one thing, `see_host` has seen."""
    forms: dict[Meaning, str] = {}
    for raw in raws:
        means = meaning(raw)
        if means is not None:
            heard.same += means in forms
            form = forms.setdefault(means, canonical(raw))
            assert canonical(raw) == form, f"{raw!r} is one with {form!r} and taken for {canonical(raw)!r}"


# Custom domains, as an operator types them: the one place where letters beyond ASCII are taken.

_DOTS = "\u3002\uff0e\uff61"  # full stops of other scripts (3490)
_letters = st.characters(categories=("Ll", "Lu", "Lo", "Nd", "Mn"), include_characters="-\u00df\u03c2\u200d")
_words = st.sampled_from(["stra\u00dfe", "b\u00fccher", "\u03b2\u03cc\u03bb\u03bf\u03c2", "example", "Example"])
_dot = st.sampled_from([".", ".", ".", "..", *_DOTS])
_domains = st.lists(
    st.tuples(st.one_of(st.text(_letters, min_size=1, max_size=8), _words, _label), _dot).map("".join),
    min_size=1,
    max_size=4,
)
domains = st.tuples(_domains.map("".join), st.booleans()).map(lambda made: made[0] if made[1] else made[0].rstrip("."))


def see_domain(text: str, heard: Heard, domain: Callable[[str], str]) -> None:
    """See that a custom domain is taken for what its U-labels say, by every spelling of it."""
    heard.domains += 1
    try:
        found = domain(text)
    except Invalid:
        return
    heard.domains_accepted += 1
    typed = "".join("." if one in _DOTS else one for one in text.strip().lower()).removesuffix(".")
    assert _u_labels(found) == _u_labels(typed), f"{text!r} is taken for {found!r}"
    for same in (found, ".".join(_u_labels(found)), found.upper(), f"{found}."):
        assert domain(same) == found, f"{same!r} is one with {found!r} and taken for {domain(same)!r}"
    assert address.host(found) == found, f"{found!r} is no canonical host"


def _u_labels(name: str) -> list[str]:
    return [one[4:].encode("ascii").decode("punycode") if one.startswith("xn--") else one for one in name.split(".")]


def run(folder: Path, hosts: int) -> Heard:
    """Generate so many hosts, and custom domains by the twentieth part; an AssertionError has the one that is wrong."""
    given_settings = {"instance": folder / "instance", "domain": DOMAIN, "log_level": "error"}
    with open_platform(folder, given_settings) as platform:  # with no tenant, its lanes say what a Host asks for
        return tried(hosts, address.host, address.domain, platform.asks.lane)


def tried(
    hosts: int, canonical: Canonical, domain: Callable[[str], str], asked: Asked, *, shrink: bool = True
) -> Heard:
    """Try these with generated hosts and domains; what is wrong is made as small as can be by `shrink`."""
    heard = Heard()
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    effort = settings(
        max_examples=max(1, hosts // SPELLINGS),
        deadline=None,
        database=None,
        suppress_health_check=checks,
        report_multiple_bugs=False,
        phases=(Phase.generate, *([Phase.shrink] if shrink else [])),
    )

    @effort
    @given(bases)
    def see_hosts(base: tuple[str, int]) -> None:
        raws = spellings(*base)
        for raw in raws:
            see_host(raw, heard, canonical, asked)
        see_same(raws, heard, canonical)

    @settings(effort, max_examples=max(1, hosts // 20))
    @given(domains)
    def see_domains(text: str) -> None:
        see_domain(text, heard, domain)

    see_hosts()
    see_domains()
    return heard
