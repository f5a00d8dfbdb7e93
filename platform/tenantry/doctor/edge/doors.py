"""Who is let in: no unknown host, nobody by plain http, and nobody where only nginx may go."""

import secrets
from collections.abc import Callable, Iterator

from tenantry.doctor.attack.calling import LOST, Answer, Request
from tenantry.doctor.checks import Check, Fault, verdict
from tenantry.doctor.edge.asking import Asker, told
from tenantry.doctor.edge.lines import nginx

# An address of nobody, and the ways to spell what is not to be asked from outside.
_ADDRESS = "198.51.100.7"
_SAMPLE = "/-/files/sample"
_OTHERWISE = ("/-/tls-ask?domain=", "/-/%74ls-ask?domain=", "//-//tls-ask?domain=", "/a/../-/tls-ask?domain=")
_WHOLE = "/a%2fb//c/../d?e=%2f&f=g+h"


def strangers(asker: Asker) -> Iterator[Check]:
    """See that hosts which are not the platform's end at nginx, on each port that visitors may knock at."""
    name = f"nobody-{secrets.token_hex(5)}.example"
    base, scheme = asker.way.domain, asker.way.scheme
    ways: list[tuple[str, Callable[[], Answer]]] = [
        (f"{_ADDRESS} by {scheme}", lambda: asker.ask(Request(_ADDRESS))),
    ]
    if scheme == "https" or asker.known.edge_domains == "listed":  # else whatever has a dot may be a custom domain
        ways.append((f"{name} by {scheme}", lambda: asker.ask(Request(name))))
    if scheme == "https":
        if not asker.known.edge_cdn:  # which may speak TLS by any name, and is believed about the host
            ways.append((f"{name}, after TLS with {base},", lambda: asker.ask(Request(name), base)))
        if asker.known.edge_http_port:
            ways.append((f"{name} by http", lambda: asker.plainly(Request(name))))
            ways.append((f"{_ADDRESS} by http", lambda: asker.plainly(Request(_ADDRESS))))
    faults = []
    for what, ask in ways:
        status = _status(ask)
        if status not in {0, 421}:
            says = f"The unknown host {what} is answered {status}, and not refused."
            faults.append(Fault(says, _refusing(asker, what)))
    yield from verdict("strangers", faults, "hosts that are not the platform's are refused, by 421 or without a word")


def _status(ask: Callable[[], Answer]) -> int:
    """Return the status of an answer; 0 where TLS or the connection ends without one."""
    try:
        return ask().status
    except TimeoutError:
        raise
    except LOST:
        return 0


def _refusing(asker: Asker, what: str) -> str:
    """Quote what refuses on a port."""
    lines = asker.lines
    if asker.way.scheme == "http":
        return nginx(*_defaults(asker, asker.way.port), "return 421;")
    if what.endswith("by http"):
        return nginx(*_defaults(asker, asker.known.edge_http_port), "return 421;")
    return nginx(*_defaults(asker, asker.way.port), lines.line("ssl_reject_handshake"), "return 421;")


def _defaults(asker: Asker, port: int) -> list[str]:
    return [line for line in asker.lines.all("listen ") if "default_server" in line and f"{port}" in line]


def https(asker: Asker) -> Iterator[Check]:
    """See that who comes by http is sent on to the same page by https, whatever it was about to do there."""
    if not asker.known.edge_http_port:
        yield Check("https", True, "nobody is let in by http, nor sent on: TENANTRY_EDGE_HTTP_PORT=0")
        return
    line = nginx(asker.lines.line("return 308"))
    faults = []
    for name in (asker.way.domain, asker.somebody):
        request, wanted = Request(name, _WHOLE), asker.way.url(name, _WHOLE)
        try:
            answer = asker.plainly(request)
        except ConnectionRefusedError:
            port = asker.known.edge_http_port
            listen = [one for one in asker.lines.all("listen ") if f"{port}" in one]
            says = f"Nobody listens at {asker.way.host}:{port}: who types no https comes nowhere."
            faults.append(Fault(says, nginx(*listen)))
            break
        if told(answer) is not None:
            faults.append(Fault(f"http://{name} is answered, and not sent on to https.", line))
        elif answer.first("Location") != wanted:
            there = answer.first("Location") or f"answered {answer.status}"
            faults.append(Fault(f"http://{name}{_WHOLE} leads to {there}, and not to the same page by https.", line))
        elif answer.status != 308:
            says = f"http://{name} is sent on by {answer.status}, by which a form that is sent loses what was typed."
            faults.append(Fault(says, line))
    yield from verdict("https", faults[:1], "who comes by http is sent on to the same page by https, by 308")


def closed(asker: Asker) -> Iterator[Check]:
    """See that what only nginx may ask is not to be had from outside, however it is spelled."""
    faults = []
    for target in _OTHERWISE:
        request = Request(asker.way.domain, f"{target}{asker.way.domain}")
        answer = asker.ask(request)
        if told(answer) is not None:
            says = f"{target.partition('?')[0]} reaches the server from outside: strangers may ask who is there."
            faults.append(Fault(says, nginx("location = /-/tls-ask { return 404; }")))
            break
    answer = asker.ask(Request(asker.way.domain, _SAMPLE))
    if answer.status != 404 and told(answer) is None:
        says = f"{_SAMPLE} is answered {answer.status} from outside, and is for nginx alone."
        faults.append(Fault(says, nginx(*_internal(asker, _SAMPLE))))
    for folder in ("/-/files/", "/-/static/"):
        # What is no method of files is answered 405 from where they are sent, and 404 where only nginx may go.
        answer = asker.ask(Request(asker.way.domain, f"{folder}aaaaaaaaaaaa/none", "DELETE"))
        if answer.status != 404 and told(answer) is None:
            says = f"{folder} is answered {answer.status} from outside: files of tenants may be there for everybody."
            faults.append(Fault(says, nginx(*_internal(asker, folder))))
    yield from verdict("closed", faults, "/-/tls-ask, /-/files/ and /-/static/ are not there from outside")


def _internal(asker: Asker, folder: str) -> list[str]:
    places = [line for line in asker.lines.all("location ") if folder in line]
    return [*places, "internal;"] if places else [f"no location {folder}"]


def files(asker: Asker) -> Iterator[Check]:
    """See that nginx itself sends a file of which the server only says where it is."""
    answer = asker.ask(Request(asker.way.domain, "/?do=file"))
    line = nginx(*_internal(asker, "/-/files/"), asker.lines.line("alias"))
    faults = []
    if answer.status in {403, 404}:
        says = f"nginx answers {answer.status} where it should send a file: may its user read the instance folder?"
        faults.append(Fault(says, line))
    elif answer.status != 200 or told(answer) is not None or not answer.body:
        faults.append(Fault("nginx does not send the files that the server points to.", line))
    yield from verdict("files", faults, "nginx sends the files that the server points to")
