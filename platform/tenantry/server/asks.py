"""What a server asks of those it serves for, every answer from memory alone."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

from tenantry.log import Served

LaneOf = Callable[[Mapping[str, str], str], Hashable]
AdmitOf = Callable[[Mapping[str, str], str], int | None]

# Bytes of a body that are read before it is known who would take it.
UNDECIDED = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Asks:
    """The questions, each of the headers (keys as in waitress: HOST, CONTENT_LENGTH) and the request's target.

    `lane` tells the key of the tenant that a request is for. `admit` tells how many bytes of body it may bring, and
    None where memory does not know who is there: then `UNDECIDED` bytes are read, and a request that brings more, or
    that asks before it brings any (Expect: 100-continue), is run without its body, with `tenantry.unread` in its
    environ: to be answered from its header alone, or to go on by calling `tenantry.unread(limit)`, which does not
    return. `access` hears of each request that has ended.
    """

    lane: LaneOf
    admit: AdmitOf
    access: Callable[[Served], None] | None = None
