"""The four families of what can be wrong, each with the facts of its case.

An error is a sentence that says what is so and, in `hint`, one that says what to do next. No error knows how it will
be shown: the gateway makes a page of it, the command line a line and an exit code.
"""

from concurrent.futures import Future
from typing import Any


class TenantryError(Exception):
    """Say what is so and what to do next; raised only as one of the four families."""

    def __init__(self, says: str, *, hint: str = "") -> None:
        super().__init__(says)
        self.says = says
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.says} {self.hint}".rstrip()


class Invalid(TenantryError):
    """What was given cannot be what it claims to be, whatever exists."""


class Unknown(TenantryError):
    """What was asked for is well spelled and not there."""


class Refused(TenantryError):
    """It is there and may not be used or changed in this way."""


class Unavailable(TenantryError):
    """It is there and may be used, only not now.

    `retry_after` is in seconds. `awaits`, when given, is the build that would make it available: whoever can wait
    without holding a thread may wait for that future instead of passing the error on.
    """

    def __init__(self, says: str, *, hint: str = "", retry_after: int = 5, awaits: "Future[Any] | None" = None) -> None:
        super().__init__(says, hint=hint)
        self.retry_after = retry_after
        self.awaits = awaits
