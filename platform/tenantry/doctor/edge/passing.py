"""What becomes of a request on its way: host, scheme, client and path arrive, and nothing that a client made up."""

import ipaddress
from collections.abc import Iterator

from tenantry.doctor.attack.calling import Header
from tenantry.doctor.checks import Check, Fault, verdict
from tenantry.doctor.edge.asking import Asker, Astray, Seen
from tenantry.doctor.edge.lines import nginx

_STRANGER = "203.0.113.99"
_FOR, _PROTO = "x-forwarded-for", "x-forwarded-proto"
_MADE_UP = "made-up-by-the-client"
# What no proxy may tidy up: the server decides what a path means.
_TARGETS = (
    *("/a%2fb", "/a%2Fb/%2e%2e/c", "//a///b", "/a/./b/../c", "/a/b/..", "/%7Ea/%c3%a9/%25", "/a;b=c/d,e", "/a+b%20c"),
    *("/a?b=%2f&c=d+e%20f&&g", "/a?b=/../c?d", "/a/?", "/a%3fb%23c", "/a%5cb"),
)
_SET = "proxy_set_header "
# What is believed, what says it, and what else may have.
_BELIEVED = (
    ("host", "Host", ""),
    ("client", "X-Forwarded-For", " and set_real_ip_from for nothing but the networks of a CDN of yours."),
    ("scheme", "X-Forwarded-Proto", ""),
)


def host(asker: Asker) -> Iterator[Check]:
    """See that the host of a visitor is the one that the server reads."""
    faults = []
    for name in (asker.way.domain, asker.somebody):
        try:
            found, wanted = asker.seen(name)["host"], asker.way.spelled(name)
        except Astray as astray:
            faults.append(astray.fault)
            continue
        if found != wanted:
            says = f"The host {wanted} arrives as {found or 'nothing'}: visitors come to the wrong tenant, or to none."
            faults.append(Fault(says, nginx(asker.lines.line(f"{_SET}Host "))))
    yield from verdict("host", faults[:1], "the host arrives as it was sent, of the base domain and below it")


def scheme(asker: Asker) -> Iterator[Check]:
    """See that the server believes the scheme by which visitors come."""
    seen, wanted = asker.seen(), asker.way.scheme
    found, said = seen["scheme"], seen.forwarding.get(_PROTO, "nothing")
    faults = []
    if found != wanted or said != wanted:
        says = f"Visitors come by {wanted}; X-Forwarded-Proto says {said}, and the server believes {found}."
        faults.append(Fault(says, nginx(asker.lines.line(f"{_SET}X-Forwarded-Proto "))))
    yield from verdict("scheme", faults, f"{wanted} arrives")


def client(asker: Asker) -> Iterator[Check]:
    """See that the server believes the address from which one comes, told by nginx and by nobody before it."""
    seen = asker.seen()
    found, said = seen["client"], seen.forwarding.get(_FOR, "")
    line = nginx(asker.lines.line(f"{_SET}X-Forwarded-For "))
    faults = []
    if not said:
        faults.append(Fault(f"No X-Forwarded-For arrives: the server takes every visitor for {_client(found)}.", line))
    elif not _is_address(said):
        faults.append(Fault(f"X-Forwarded-For arrives as {said!r}, which is not one address.", line))
    elif _is_loopback(seen.own) and found != seen.own:
        faults.append(Fault(f"A visitor from {seen.own} is seen as {_client(found)}.", line))
    yield from verdict("client", faults, f"the address arrives: {_client(found)}{_otherwise(seen)}")


def spoofs(asker: Asker) -> Iterator[Check]:
    """See that what a client says in the names of proxies is overwritten or taken away, and decides nothing."""
    lines, honest = asker.lines, asker.seen()
    blanked = {name.lower(): name for name in lines.blanked()} | {_FOR: "X-Forwarded-For", _PROTO: "X-Forwarded-Proto"}
    faults = []
    # In the network of a CDN that nginx believes, one may say for whom one asks.
    believed = any(ipaddress.ip_address(honest.own) in ipaddress.ip_network(one) for one in asker.known.edge_cdn)
    for said in _lies([name for key, name in blanked.items() if not (believed and key == _FOR)]):
        seen = asker.seen(headers=said)
        came = {name: value for name, value in seen.forwarding.items() if name in blanked}
        for name, value in came.items():
            if value != honest.forwarding.get(name) or name not in {_FOR, _PROTO}:
                says = f"{blanked[name]} of a client's own arrives: {value!r}."
                faults.append(Fault(says, nginx(lines.line(f"{_SET}{blanked[name]} "))))
        for what, start, more in _BELIEVED:
            if seen[what] != honest[what]:
                says = f"A client may choose what is believed of its {what}: {seen[what]!r}."
                faults.append(Fault(says, nginx(lines.line(f"{_SET}{start} ")) + more))
    yield from verdict("spoofs", dict.fromkeys(faults), "what clients claim decides nothing, and does not arrive")


def arrived(asker: Asker, name: str) -> dict[str, str]:
    """Tell by header how a request arrives that claims whatever may be claimed, its own host left open."""
    lies, _ = _lies([*asker.lines.blanked(), "X-Forwarded-For", "X-Forwarded-Proto"])
    seen = asker.seen(name, headers=[*lies, ("X-Request-ID", _MADE_UP)])
    number = _MADE_UP if seen["request_id"] == _MADE_UP else ""
    told = {"Host": seen["host"].replace(name, "its own"), "X-Request-ID": number, _FOR: "", _PROTO: ""}
    return told | {name: value for name, value in seen.forwarding.items() if value}


def sets(asker: Asker, header: str) -> str:
    """Quote the line that sets a header, whatever the case of its letters."""
    start = f"{_SET}{header} ".lower()
    return next((line for line in asker.lines.all(_SET) if line.lower().startswith(start)), f"{start}...")


def path(asker: Asker) -> Iterator[Check]:
    """See that a path arrives as it was sent, letter for letter."""
    faults = []
    for target in _TARGETS:
        try:
            found = asker.seen(target=target)["target"]
        except Astray as astray:
            faults.append(astray.fault)
            continue
        if found != target:
            faults.append(Fault(f"The path {target} arrives as {found}.", nginx(asker.lines.line("proxy_pass"))))
    yield from verdict("path", faults[:1], f"{len(_TARGETS)} paths arrive as they were sent, letter for letter")


def protocol(asker: Asker) -> Iterator[Check]:
    """See that nginx speaks HTTP/1.1 with the server: by an older one no connection is kept."""
    found = asker.seen()["protocol"]
    faults = []
    if found != "HTTP/1.1":
        says = f"nginx asks the server by {found}."
        lines = asker.lines.line("proxy_http_version"), asker.lines.line(f"{_SET}Connection ")
        faults.append(Fault(says, nginx(*lines)))
    yield from verdict("protocol", faults, "nginx asks the server by HTTP/1.1")


def request_id(asker: Asker) -> Iterator[Check]:
    """See that each request has a number by which lines of nginx's log and of the server's belong together."""
    ids = [asker.seen(headers=[("X-Request-ID", _MADE_UP)])["request_id"] for _ in range(2)]
    line = nginx(asker.lines.line(f"{_SET}X-Request-ID "))
    faults = []
    if _MADE_UP in ids:
        faults.append(Fault("X-Request-ID is what the client says.", line))
    elif not all(ids):
        faults.append(Fault("No X-Request-ID arrives.", line))
    elif len(set(ids)) == 1:
        faults.append(Fault(f"Every request has the same X-Request-ID: {ids[0]!r}.", line))
    yield from verdict("request id", faults, "each request has an X-Request-ID, set by nginx")


def _lies(names: list[str]) -> list[list[Header]]:
    """Spell what a client may claim: all at once, and what a proxy may take for the other name of the same header."""
    values = {
        "x-forwarded-proto": "javascript",
        "x-forwarded-scheme": "javascript",
        "x-forwarded-host": "spoofed.example",
        "x-forwarded-server": "spoofed.example",
        "x-forwarded-port": "444",
        "x-forwarded-prefix": "/spoofed",
        "forwarded": f"for={_STRANGER};host=spoofed.example;proto=javascript",
        "proxy": "http://spoofed.example",
    }
    more = ["X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "Forwarded", "X-Real-IP", "Proxy"]
    every = dict.fromkeys([*names, *more])
    plain = [(name, values.get(name.lower(), _STRANGER)) for name in every]
    return [plain, [(name.replace("-", "_"), value) for name, value in plain if "-" in name]]


def _client(found: str) -> str:
    return found or "nobody"


def _otherwise(seen: Seen) -> str:
    return "" if seen["client"] == seen.own else f", which this machine calls {seen.own}"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_loopback(text: str) -> bool:
    return _is_address(text) and ipaddress.ip_address(text).is_loopback
