"""How much a client may send: headers and bodies have an end, and nobody reads the body of who is not there."""

import http.client
import socket
from contextlib import suppress

from tenantry.doctor.attack.calling import Answer, Request
from tenantry.doctor.attack.trial import Trial
from tenantry.doctor.attack.verdicts import Part

_OWN = 100_000
_PIECE = bytes(1 << 13)
_HUGE = 1 << 45
_MUCH = 1 << 18
# Seconds without an answer that mean that there will be none.
_SILENT = 4.0


def _attempt(trial: Trial) -> None:
    ground, known = trial.ground, trial.ground.known
    address = ground.host(ground.targets[0])
    for size in (known.max_header + 1, 2 * known.max_header, 1 << 22):
        answered = _begin(trial, address.request("/who", headers=[("X-Long", "a" * size)]), b"")
        trial.hold("WIRE-2", answered.status in {400, 431}, f"a header of {size} bytes is answered {answered.status}")
    many = [(f"X-{number}", "a" * 100) for number in range(known.max_header // 100)]
    answered = _begin(trial, address.request("/who", headers=many), b"")
    trial.hold("WIRE-2", answered.status in {400, 431}, f"{len(many)} headers are answered {answered.status}")
    for length in (known.max_body + 1, _HUGE):
        _declared(trial, address.request("/body", "POST"), length, 413)
    _bounded(trial)
    unknown = Request(f"nobody-here.{known.domain}", "/body", "POST")
    if known.max_body > _MUCH:  # less is read before it is asked who is there
        _declared(trial, unknown, min(known.max_body, 1 << 24), 404)
    _declared(trial, unknown, _HUGE, 404, 413)


PART = Part("caps", ("WIRE-2",), 15.0, "headers and bodies end where they must; nobody's body is not read", _attempt)


def _bounded(trial: Trial) -> None:
    """Send more than a tenant's own limit to some whom nobody has asked for anything yet, and again once they are live.

    One is told how much is to come, the other is not, since neither is as it was once it has refused. The limit of who
    is not live is not known before the body is: all of it is sent.
    """
    ground = trial.ground
    told, untold = (
        ground.host(ground.add(name, ground.targets[0].application, TENANT_MAX_BODY=_OWN))
        for name in ("target-bounded", "target-capped")
    )
    for live in (False, True):
        _declared(trial, told.request("/body", "POST"), _OWN + 1, 413, whole=not live)
        _chunked(trial, untold.request("/body", "POST"))
        for address in (told, untold):
            answer = trial.ask(address, "/body", "POST")
            trial.hold("WIRE-2", answer.body == b"0\n", f"no body for {address.host} is answered {answer.status}")


def _declared(trial: Trial, request: Request, length: int, *statuses: int, whole: bool = False) -> None:
    """Declare a body, send some of it, and expect an answer before the rest; or send the whole of it."""
    head = request.spelled(trial.ground.forwarded()).replace(b"Content-Length: 0", b"Content-Length: %d" % length)
    with trial.caller().connect() as sock:
        answer = _answer(trial, sock, head + (bytes(length) if whole else _PIECE * min(16, length // len(_PIECE))))
    wanted = " or ".join(map(str, statuses))
    trial.hold("WIRE-2", answer.status in statuses, f"{length} bytes for {request.host}: {answer.status}, not {wanted}")


def _chunked(trial: Trial, request: Request) -> None:
    """Send more than a tenant takes, without saying how much."""
    head = request.spelled(trial.ground.forwarded()).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    chunk = b"%x\r\n%b\r\n" % (len(_PIECE), _PIECE)
    with trial.caller().connect() as sock:
        answer = _answer(trial, sock, head + chunk * (2 * _OWN // len(_PIECE)) + b"0\r\n\r\n")
    trial.hold("WIRE-2", answer.status == 413, f"chunks of more than {_OWN} bytes are answered {answer.status}")


def _begin(trial: Trial, request: Request, more: bytes) -> Answer:
    with trial.caller().connect() as sock:
        return _answer(trial, sock, request.spelled(trial.ground.forwarded()) + more)


def _answer(trial: Trial, sock: socket.socket, data: bytes) -> Answer:
    """Send, as far as the server takes it, and read what it says; status 0 where it hangs up, or waits for more."""
    sock.settimeout(trial.patience.left(_SILENT))
    with suppress(OSError):
        sock.sendall(data)
    try:
        return trial.caller().read(sock, seconds=_SILENT)
    except (OSError, http.client.HTTPException):
        return Answer(0, (), b"")
