"""A tenant: one customer's named place, as the registry knows it at one revision."""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum

from tenantry.address import Kind
from tenantry.errors import Refused, Unavailable

_UID_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
UID_LENGTH = 12
_UID = re.compile(rf"[{_UID_LETTERS}]{{{UID_LENGTH}}}", re.ASCII)


class Status(StrEnum):
    """Where a tenant stands in its life; the values are what the registry stores and the operator reads."""

    ADDING = "adding"
    ACTIVE = "active"
    MAINTENANCE = "maintenance"
    SUSPENDED = "suspended"
    REMOVED = "removed"
    PURGING = "purging"


# Who stands: their addresses and names are their own, whether visitors are let in or not. Who is gone has none.
STANDING = frozenset({Status.ACTIVE, Status.MAINTENANCE, Status.SUSPENDED})
GONE = frozenset({Status.REMOVED, Status.PURGING})


@dataclass(frozen=True, slots=True)
class Notice:
    """What a tenant in maintenance tells its visitors, and who may look nevertheless.

    `retry_after` is in seconds. `digest` is the SHA-256 of the secret that lets its bearer past, empty where none does.
    """

    message: str = ""
    retry_after: int = 600
    digest: str = ""

    def opens(self, secret: str) -> bool:
        """Tell whether `secret` is the one that lets its bearer past; takes as long for a wrong one."""
        return bool(self.digest) and hmac.compare_digest(digest(secret), self.digest)


@dataclass(frozen=True, slots=True)
class Tenant:
    """One tenant at one revision.

    `revision` is that of its last change of any kind, `moved` that of the last change that moved its data or schema:
    a live application older than `moved` must not answer, one that is merely older than `revision` may until its
    successor is ready. `domain` is the primary one of its custom domains, empty where none was made so; `notice` is
    there while it is in maintenance.
    """

    uid: str
    name: str
    application: str
    status: Status
    revision: int
    moved: int = 0
    title: str = ""
    reason: str = ""
    domain: str = ""
    notice: Notice | None = None

    def home(self, kind: Kind, value: str) -> str:
        """Return the value of the address at which visitors of this one are served: itself, or where it moved to.

        An old name leads to the tenant's name, any custom domain to the primary one.
        """
        return (self.domain or value) if kind is Kind.DOMAIN else self.name

    def admit(self) -> None:
        """Let a visitor in, or raise Refused or Unavailable with the reason a visitor may know."""
        if self.status is Status.ACTIVE:
            return
        if self.status is Status.SUSPENDED:
            raise Refused("This site is suspended.", hint="Its owner can ask the operator to resume it.")
        if self.status is Status.MAINTENANCE:
            notice = self.notice or Notice()
            raise Unavailable(notice.message or "This site is in maintenance.", retry_after=notice.retry_after)
        raise Unavailable("This site is being prepared.", hint="Please try again in a moment.")


def new_uid() -> str:
    """Draw a fresh uid: 12 characters of a-z and 2-7, 60 bits, never derived from a name."""
    return "".join(secrets.choice(_UID_LETTERS) for _ in range(UID_LENGTH))


def is_uid(text: object) -> bool:
    """Tell whether `text` is spelled as a uid."""
    return isinstance(text, str) and _UID.fullmatch(text) is not None


def digest(secret: str) -> str:
    """Return what is kept of the secret of a maintenance: its SHA-256, in hexadecimal digits."""
    return hashlib.sha256(secret.encode()).hexdigest()
