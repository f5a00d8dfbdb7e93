"""The four families of what can be wrong, each with the facts of its case.

An error is a sentence that says what is so and, in `hint`, one that says what to do next. No error knows how it will
be shown: the gateway makes a page of it, the command line a line and an exit code.
"""

import traceback
from collections.abc import Callable
from concurrent.futures import Future
from enum import Enum, auto
from pathlib import Path
from typing import Any

_REASON_LENGTH = 300


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
    """It is there and may not be used or changed in this way.

    `overridable` tells that an operator may insist.
    """

    def __init__(self, says: str, *, hint: str = "", overridable: bool = False) -> None:
        super().__init__(says, hint=hint)
        self.overridable = overridable


class Shortage(Enum):
    """What a tenant has too little of for a request: requests in a time, room on the disk, bytes that a body may have.

    Only of the first there is more in a while.
    """

    RATE = auto()
    ROOM = auto()
    BODY = auto()


class Unavailable(TenantryError):
    """It is there and may be used, only not now.

    `retry_after` is in seconds. `awaits`, when given, is the build that would make it available: whoever can wait
    without holding a thread may wait for that future instead of passing the error on. `bypass`, when set, gives to who
    shows it the right secret what this error denies, and raises the error again to anybody else. `short` tells what a
    tenant has too little of.
    """

    short: Shortage | None = None

    def __init__(self, says: str, *, hint: str = "", retry_after: int = 5, awaits: "Future[Any] | None" = None) -> None:
        super().__init__(says, hint=hint)
        self.retry_after = retry_after
        self.awaits = awaits
        self.bypass: Callable[[str], Any] | None = None


def reason(error: BaseException, folder: Path | None = None) -> str:
    """Spell what went wrong in somebody else's code as one printable line: class, message, and file and line at fault.

    The line at fault is the innermost one below `folder`, the code that its author can change; else the innermost.
    """
    if isinstance(error, TenantryError):
        return str(error)
    try:
        message = error.msg if isinstance(error, SyntaxError) else str(error)
    except Exception:  # noqa: BLE001 - a message that cannot be spelled must not hide the error itself
        message = ""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in message).split())
    if len(line) > _REASON_LENGTH:
        line = line[:_REASON_LENGTH] + "..."
    where = _at_fault(error, folder)
    return type(error).__name__ + (f": {line}" if line else "") + (f" ({where})" if where else "")


def _at_fault(error: BaseException, folder: Path | None) -> str:
    lines = [(frame.f_code.co_filename, number) for frame, number in traceback.walk_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        lines.append((error.filename, error.lineno or 1))
    lines = [(name, number) for name, number in lines if not name.startswith("<")]
    below = [(name, number) for name, number in lines if folder is not None and Path(name).is_relative_to(folder)]
    for name, number in reversed(below or lines):
        return f"{name}:{number}"
    return ""
