"""How much gets through: what the server takes, and not a byte that it would only refuse."""

import re
import socket
from collections.abc import Iterator

from tenantry.doctor.attack.calling import Request
from tenantry.doctor.checks import Check, Fault, verdict
from tenantry.doctor.edge.asking import Asker, Astray, told
from tenantry.doctor.edge.lines import nginx

_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})")
_CONTINUE = 100


def bodies(asker: Asker) -> Iterator[Check]:
    """See that nginx takes a body of the size that the server takes, and none that is a byte larger.

    It is only told that one will come, and says what it thinks of that; none is sent.
    """
    limit, faults = max(1, asker.known.max_body), []  # to nginx 0 is no limit
    line = nginx(asker.lines.line("client_max_body_size"))
    at, above = _announced(asker, limit), _announced(asker, limit + 1)
    if at != _CONTINUE:
        says = f"A body of {limit} bytes is answered {at or 'nothing'}, and TENANTRY_MAX_BODY={limit} takes it."
        faults.append(Fault(says, line))
    if above != 413:
        says = f"A body of {limit + 1} bytes is let in ({above or 'no answer'}), which the server would only refuse."
        faults.append(Fault(says, line))
    yield from verdict("bodies", faults, f"bodies of {limit} bytes are let in, and none larger")


def headers(asker: Asker) -> Iterator[Check]:
    """See that nginx lets in headers of the size that the server takes: cookies and tokens may be long."""
    size = asker.known.max_header * 3 // 4
    answer = asker.ask(Request(asker.somebody, headers=[("X-Long", "a" * size)]))
    faults = []
    if told(answer) is None:
        says = f"A header of {size} bytes is answered {answer.status}, and the server takes {asker.known.max_header}."
        faults.append(Fault(says, nginx(asker.lines.line("large_client_header_buffers"))))
    yield from verdict("headers", faults, f"headers of {size} bytes arrive")


def _announced(asker: Asker, length: int) -> int:
    """Announce a body, and return the status that is answered to that; 0 where nothing is."""
    request = Request(asker.somebody, "/?do=length", "POST", [("Expect", "100-continue")])
    data = asker.spelled(request).replace(b"Content-Length: 0", b"Content-Length: %d" % length)
    with asker.secured(request.host) as sock:
        sock.sendall(data)
        found = _STATUS.match(_line(sock))
    if found is None:
        raise Astray(Fault(f"A body of {length} bytes that is announced is not answered.", nginx("proxy_pass")))
    return int(found[1])


def _line(sock: socket.socket) -> bytes:
    """Read as far as the first line goes."""
    found = b""
    while b"\n" not in found:
        try:
            piece = sock.recv(1024)
        except TimeoutError:
            break
        if not piece:
            break
        found += piece
    return found
