"""How a line looks: text for a person, JSON for a program; either way one event is one line."""

import json
import time
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from tenantry.log.entries import ACCESS, Entry
from tenantry.log.spelling import one_line, path, sign


class Ended(NamedTuple):
    """One request that has ended, as the access log takes it; made on the thread of the server's sockets."""

    at: float
    tenant: str
    uid: str
    request_id: str
    client: str
    method: str
    target: str
    status: int
    sent: int
    seconds: float
    cut: bool


Form = Callable[[Entry | Ended], str]


def text(event: Entry | Ended) -> str:
    """Make a line for a person: time, level, logger, whose it is, message; a traceback in lines that are indented."""
    whose = _whose(event)
    if isinstance(event, Ended):
        asked = f"{one_line(event.method or '-')} {one_line(path(event.target) or '-')}"
        ended = f"{event.status} {event.sent} bytes {event.seconds * 1e3:.1f} ms"
        cut = " cut" if event.cut else ""
        return f"{_local(int(event.at))} INFO    {ACCESS}{whose}: {asked} {ended}{cut}\n"
    line = f"{_local(int(event.at))} {one_line(event.level):7} {sign(event.logger)}{whose}: {one_line(event.message)}\n"
    for more in filter(None, (event.trace, event.stack)):
        line += "".join(f"    {one_line(part)}\n" for part in more.split("\n"))
    return line


def as_json(event: Entry | Ended) -> str:
    """Make a line for a program: one JSON object in ASCII alone, its time in UTC as the journal's."""
    # The keys come first that stand in every line, and in one order.
    fields: dict[str, object] = {
        "at": f"{_utc(int(event.at))}.{int(event.at % 1 * 1000):03d}Z",
        "level": "INFO" if isinstance(event, Ended) else event.level,
        "logger": ACCESS if isinstance(event, Ended) else event.logger,
        "tenant": event.tenant,
        "uid": event.uid,
        "request_id": event.request_id,
        "client": event.client,
    }
    if isinstance(event, Ended):
        shown = path(event.target)
        fields["message"] = f"{event.method or '-'} {shown or '-'} {event.status}"
        fields |= {"method": event.method, "path": shown, "status": event.status, "bytes": event.sent}
        fields |= {"ms": round(event.seconds * 1e3, 3), "cut": event.cut}
        return json.dumps(fields) + "\n"
    fields["message"] = event.message
    if event.trace:
        fields["exc_info"] = event.trace
    if event.stack:
        fields["stack_info"] = event.stack
    return json.dumps(fields)[:-1] + (f", {event.extras}" if event.extras else "") + "}\n"


def _whose(event: Entry | Ended) -> str:
    """Spell whose a line is in brackets, which nothing but this can open before the colon."""
    who = "/".join(map(sign, filter(None, (event.tenant, event.uid))))
    found = " ".join(filter(None, (who, sign(event.request_id), sign(event.client))))
    return f"[{found}]" if found else ""


@lru_cache(maxsize=8)
def _local(second: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(second))


@lru_cache(maxsize=8)
def _utc(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
