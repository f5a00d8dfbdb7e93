"""One event is one line: how a log line looks, to which tenant and request it belongs, and how it gets out.

`marks` tells whose a line is, `entries` freezes a record, `lines` and `spelling` make text of it, `outlet` and `target`
write it without anybody waiting, `access` notes each request, `listeners` keeps an application's handlers its own.
"""

from tenantry.log.access import Served, access
from tenantry.log.listeners import Listeners, OwnLogger, building, imported
from tenantry.log.marks import Mark, client, mark, marked, request
from tenantry.log.setup import configure, printed, rest, settle, wait
from tenantry.log.spelling import path

__all__ = [
    "Listeners",
    "Mark",
    "OwnLogger",
    "Served",
    "access",
    "building",
    "client",
    "configure",
    "imported",
    "mark",
    "marked",
    "path",
    "printed",
    "request",
    "rest",
    "settle",
    "wait",
]
