"""Files that nginx sends in an application's place: its own alone, by addresses that nobody but nginx may follow."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from tenantry.address import shown

# What the answer said of a body that it does not have.
_OF_THE_BODY = frozenset({"content-length", "content-range"})
_DELETE = "\x7f"


class Unsendable(RuntimeError):
    """An application has named a file that is not its own to send, or that nginx cannot be told of."""


class Files:
    """The folders from which one live application may have files sent, each with the address that nginx knows it by."""

    def __init__(self, folders: Sequence[tuple[str, Path]]) -> None:
        self._folders = tuple(folders)

    def sent(self, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Turn the one X-Sendfile of a response into what nginx follows, or raise Unsendable."""
        given = [value for name, value in headers if name.lower() == "x-sendfile"]
        if len(given) != 1:
            raise Unsendable(f"An answer names {len(given)} files.")
        kept = [(name, value) for name, value in headers if name.lower() not in {"x-sendfile", *_OF_THE_BODY}]
        return [*kept, ("X-Accel-Redirect", self._address(given[0])), ("Content-Length", "0")]

    def _address(self, given: str) -> str:
        """Spell the address of a file, wherever links lead: nginx follows none below the folder, so it gets no link."""
        real = _real(given)
        for address, folder in self._folders:
            below = os.path.realpath(folder) + os.sep
            if real.startswith(below):
                return address + _quoted(real.removeprefix(below), given)
        if not self._folders:
            raise _cannot(given, "would take TENANTRY_EDGE_FILES=on, and an nginx in front")
        raise _cannot(given, "lies neither in the tenant's files/ nor in the application's static/")


def _real(given: str) -> str:
    """Find the regular file that is meant; header values may be UTF-8 in the guise of Latin-1, as WSGI has it."""
    if not given.startswith("/"):
        raise _cannot(given, "is not a whole path")
    spellings = [given]
    with suppress(UnicodeEncodeError):
        spellings.append(os.fsdecode(given.encode("latin-1")))
    for spelling in spellings:
        try:
            real = os.path.realpath(spelling, strict=True)
        except (OSError, ValueError):  # the latter for what no name may have in it
            continue
        if Path(real).is_file():
            return real
    raise _cannot(given, "is no file")


def _quoted(below: str, given: str) -> str:
    if any(letter < " " or letter == _DELETE for letter in below):
        raise _cannot(given, "has control characters in its name")
    return quote(os.fsencode(below))


def _cannot(given: str, why: str) -> Unsendable:
    return Unsendable(f"{shown(given, 200)} cannot be sent: it {why}.")
