"""The access log: one line for each request that was answered, or could not be."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from time import time
from typing import Any

from tenantry.log import setup
from tenantry.log.lines import Ended
from tenantry.log.marks import Mark

# Of a target so much is kept until its line is written.
_LONGEST_TARGET = 1024
_NOBODY = Mark()


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One request and how it ended; `seconds` from its last byte in to its last byte out.

    `environ` is None for what was refused before it became a request; `cut` tells that the response is not whole.
    """

    method: str
    target: str
    status: int
    sent: int
    seconds: float
    client: str
    environ: Mapping[str, Any] | None
    cut: bool


def access(served: Served) -> None:
    """Take note of one request; its line is made elsewhere, and nothing that it was asked in secret is in it."""
    outlet = setup.now.outlet
    if outlet is None or outlet.level > logging.INFO:
        return
    whose: Any = _NOBODY
    number, client, environ = "", served.client, served.environ
    if environ is not None:
        whose = environ.get("tenantry.mark")
        if type(whose) is not Mark:  # nobody was found, or an application has written over it
            whose = _NOBODY
        number = environ.get("tenantry.request_id", "")
        # What stood there before the application could write over it; where there was none, what proxies have said.
        told = environ.get("tenantry.client") or environ.get("REMOTE_ADDR")
        if type(told) is str:
            client = told
        if type(number) is not str:
            number = ""
    target = served.target
    if len(target) > _LONGEST_TARGET:
        target = target[:_LONGEST_TARGET]
    outlet.note(
        Ended(
            time(),
            whose.tenant,
            whose.uid,
            number,
            client,
            served.method,
            target,
            served.status,
            served.sent,
            served.seconds,
            served.cut,
        )
    )
