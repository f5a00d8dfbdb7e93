"""A tenant: one customer's named place, as the registry knows it at one revision."""

import secrets
from dataclasses import dataclass
from enum import StrEnum

from tenantry.errors import Refused, Unavailable

_UID_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
UID_LENGTH = 12


class Status(StrEnum):
    """Where a tenant stands in its life; the values are what the registry stores and the operator reads."""

    ADDING = "adding"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Tenant:
    """One tenant at one revision.

    `revision` is that of its last change of any kind, `moved` that of the last change that moved its data or schema:
    a live application older than `moved` must not answer, one that is merely older than `revision` may until its
    successor is ready.
    """

    uid: str
    name: str
    application: str
    status: Status
    revision: int
    moved: int = 0
    title: str = ""
    reason: str = ""

    def admit(self) -> None:
        """Let a visitor in, or raise Refused or Unavailable with the reason a visitor may know."""
        if self.status is Status.ACTIVE:
            return
        if self.status is Status.SUSPENDED:
            raise Refused("This site is suspended.", hint="Its owner can ask the operator to resume it.")
        raise Unavailable("This site is being prepared.", hint="Please try again in a moment.")


def new_uid() -> str:
    """Draw a fresh uid: 12 characters of a-z and 2-7, 60 bits, never derived from a name."""
    return "".join(secrets.choice(_UID_LETTERS) for _ in range(UID_LENGTH))
