"""Tell how each request has ended: once, when the client has taken the answer, or will not any more."""

import logging
from collections.abc import Iterable
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any

from tenantry import log
from tenantry.log import Mark, Served

if TYPE_CHECKING:
    from tenantry.server.channel import Channel
    from tenantry.server.parser import Request
    from tenantry.server.response import Whole

logger = logging.getLogger("tenantry.server")

# The number for a request whose client has gone before it was answered; nginx has it, the wire never.
GONE = 499


def answered(channel: "Channel", task: "Whole", *, whole: bool, begun: bool) -> None:
    """Tell of a request that was answered, at once or when the client has taken the answer."""
    if channel.server.asks.access is None:
        return
    request, environ = task.request, task.environ
    # What was counted of a broken answer may not have gone out, and what has gone out may not have been counted.
    sent = task.content_bytes_written + channel.filed if whole else channel.handed - task.handed - task.header_length
    channel.untold = Served(
        method=request.command,
        target=request.request_uri,
        status=int(task.status[:3]) if begun else GONE,
        sent=0 if task.bodiless else max(0, sent),
        seconds=monotonic() - request.arrived,
        client=str(channel.addr[0] if environ is None else environ.get("REMOTE_ADDR", "")),
        environ=environ,
        cut=not whole,
    )
    if not whole or not channel.total_outbufs_len:
        tell(channel)


def failed(task: "Whole") -> None:
    """Log, as an event of its tenant, the exception that has ended a response."""
    environ, request = task.environ or {}, task.request
    whose = environ.get("tenantry.mark")
    number = log.request.set(str(environ.get("tenantry.request_id", "")))
    try:
        with log.marked(whose if isinstance(whose, Mark) else Mark()):
            logger.exception("%s %s failed while it was being answered", request.command, log.path(request.request_uri))
    finally:
        log.request.reset(number)


def gone(channel: "Channel", requests: "Iterable[Request]") -> None:
    """Tell of requests whose client has hung up before they were answered."""
    if channel.server.asks.access is None:
        return
    for request in requests:
        served = Served(
            method=request.command,
            target=request.request_uri,
            status=GONE,
            sent=0,
            seconds=monotonic() - request.arrived if request.arrived else 0.0,
            client=str(channel.addr[0]),
            environ=None,
            cut=True,
        )
        _pass_on(channel, served)


def tell(channel: "Channel") -> None:
    """Tell of the request that has ended by now, its client having taken the answer, or having gone."""
    if channel.untold is None:
        return
    with channel.requests_lock:
        served, channel.untold = channel.untold, None
    if served is None:
        return
    if not channel.connected:
        served = replace(served, sent=max(0, served.sent - channel.lost), cut=served.cut or channel.lost > 0)
    _pass_on(channel, served)


def _pass_on(channel: "Channel", served: Served) -> None:
    access: Any = channel.server.asks.access
    try:
        access(served)
    except Exception:
        logger.exception("A request that has ended could not be told of.")
