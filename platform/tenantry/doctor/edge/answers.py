"""What becomes of an answer on its way: where it leads, what it sets, how soon it comes; and who gives it."""

import http.client
from collections.abc import Iterator
from time import monotonic

from tenantry.doctor.attack.calling import Cookie, Request
from tenantry.doctor.checks import Check, Fault, verdict
from tenantry.doctor.edge.asking import Asker, Astray
from tenantry.doctor.edge.lines import nginx

# Seconds between the first piece and the last, of which the page lets one pass.
_APART = 0.4
_TIMES = 12
# More than seconds for ever, and what Python reads as a number.
_DIGITS = 20


def redirects(asker: Asker) -> Iterator[Check]:
    """See that redirects lead where the application says, and that cookies keep their attributes."""
    name = asker.somebody
    request, faults = Request(name, "/?do=redirect"), []
    answer = asker.ask(request)
    if answer.status != 302:
        asker.page(answer, request)
        raise Astray(Fault(f"A redirect arrives as {answer.status}.", nginx(asker.lines.line("proxy_pass"))))
    wanted = asker.way.url(name, "/-/there")
    found = answer.first("Location")
    lost = _lost(asker, name)
    if found != wanted:
        hint = nginx(*(lost or [asker.lines.line("proxy_redirect")]))
        faults.append(Fault(f"A redirect to {wanted} arrives as one to {found or 'nowhere'}.", hint))
    cookie = next(iter(answer.cookies()), Cookie("", "", {}))
    attributes = {"path": "/", "httponly": "", "samesite": "Lax"}
    if asker.way.scheme == "https":
        attributes["secure"] = ""
    if (cookie.name, cookie.value, cookie.attributes) != ("tenantry_probe", "1", attributes):
        says = f"A cookie's attributes are {_spelled(attributes)}, and arrive as {_spelled(cookie.attributes)}."
        hint = nginx(*(lost or ["no proxy_cookie_flags, proxy_cookie_path or proxy_cookie_domain;"]))
        faults.append(Fault(says, hint))
    yield from verdict("redirects", faults, "redirects lead where the server says, and cookies keep their attributes")


def hsts(asker: Asker) -> Iterator[Check]:
    """See that browsers are told, once, for how long they are to come by https alone."""
    found = asker.ask(Request(asker.somebody)).all("Strict-Transport-Security")
    seconds, faults = asker.known.edge_hsts, []
    line = nginx(asker.lines.line("add_header Strict-Transport-Security"), *asker.lines.all("proxy_hide_header Strict"))
    if seconds and not found:
        faults.append(Fault("Browsers are not told to come by https alone.", line))
    elif len(found) > 1:
        faults.append(Fault(f"Browsers are told {len(found)} times to come by https alone.", line))
    elif seconds and _age(found[0]) != seconds:
        faults.append(Fault(f"Browsers are told {found[0]}, and TENANTRY_EDGE_HSTS={seconds}.", line))
    elif found and not seconds:
        faults.append(Fault(f"Browsers are told {found[0]}, and TENANTRY_EDGE_HSTS=0.", "nginx: no add_header for it."))
    fine = f"browsers are told to come by https alone, for {seconds} s" if seconds else "browsers are told nothing"
    yield from verdict("hsts", faults, fine)


def stream(asker: Asker) -> Iterator[Check]:
    """See that an answer in pieces comes piece by piece; looked at twice, as this machine may have been busy."""
    gaps = [_gap(asker)]
    if gaps[0] < _APART:
        gaps.append(_gap(asker))
    faults = []
    if max(gaps) < _APART:
        says = "An answer that is made in pieces, over a second, comes at once: streams and events stand still."
        faults.append(Fault(says, nginx(asker.lines.line("proxy_buffering"), asker.lines.line("proxy_http_version"))))
    yield from verdict("stream", faults, "an answer in pieces comes piece by piece")


def every(asker: Asker) -> Iterator[Check]:
    """See that each of the serving processes answers: nginx hides that one does not, by asking another."""
    wanted = asker.known.edge_processes
    found: set[str] = set()
    for _ in range(_TIMES * wanted):
        found.add(asker.seen()["pid"])
        if len(found) >= wanted:
            break
    faults = []
    if len(found) < wanted:
        says = f"{len(found)} of {wanted} serving processes answer{'s' if len(found) == 1 else ''}."
        servers = asker.lines.all("server unix:") or asker.lines.all("server ")
        faults.append(Fault(says, f"Does each run? {nginx(*servers)}"))
    yield from verdict("answering", faults, f"{wanted} serving process{'' if wanted == 1 else 'es'} answering")


def _lost(asker: Asker, name: str) -> list[str]:
    """Quote what should have told the server where it is, if that is why its answer is wrong."""
    seen = asker.seen(name)
    wrong = {"Host": seen["host"] != asker.way.spelled(name), "X-Forwarded-Proto": seen["scheme"] != asker.way.scheme}
    return [asker.lines.line(f"proxy_set_header {header} ") for header, is_wrong in wrong.items() if is_wrong]


def _gap(asker: Asker) -> float:
    """Return the seconds between the first byte of a streamed answer and its end."""
    request = Request(asker.way.domain, "/?do=stream")
    with asker.secured(request.host) as sock:
        sock.sendall(asker.spelled(request))
        response = http.client.HTTPResponse(sock, method="GET")
        try:
            response.begin()
            found, began = response.read1(1), monotonic()
            found += response.read()
            ended = monotonic()
        finally:
            response.close()
    if (response.status, found) != (200, b"1\n2\n3\n"):
        raise Astray(Fault(f"A stream is answered {response.status}, and {len(found)} bytes.", nginx("proxy_pass")))
    return ended - began


def _age(value: str) -> int:
    """Read the seconds of Strict-Transport-Security; -1 where it has none."""
    for part in value.lower().split(";"):
        name, _, number = part.strip().partition("=")
        number = number.strip('"')
        if name == "max-age" and number.isdecimal() and len(number) <= _DIGITS:
            return int(number)
    return -1


def _spelled(attributes: dict[str, str]) -> str:
    return "; ".join(f"{name}={value}" if value else name for name, value in sorted(attributes.items())) or "none"
