"""Guessing which tenant was meant by a misspelled name, at a cost that does not grow with their number."""

import difflib
import re
import string

from sqlalchemy import Connection, select

from tenantry.address import NAME_LENGTH
from tenantry.registry import tables

_LETTERS = string.ascii_lowercase + string.digits + "-"
_AT_ONCE = 500
_AROUND = 50


def nearest(connection: Connection, wanted: str) -> str | None:
    """Return the name that is most like `wanted`, or None.

    Two searches, each a bounded number of index look-ups: everything that one wrong letter away is spelled like, and
    the neighbours in the alphabet, of which difflib takes the best.
    """
    text = re.sub(r"[^a-z0-9-]+", "-", wanted.lower()).strip("-")[: NAME_LENGTH + 1]
    if not text:
        return None
    found = _existing(connection, sorted(_one_off(text) | {text}))
    found.update(_around(connection, text))
    close = difflib.get_close_matches(text, sorted(found), n=1)
    return close[0] if close else None


def _one_off(text: str) -> set[str]:
    splits = [(text[:at], text[at:]) for at in range(len(text) + 1)]
    return (
        {head + tail[1:] for head, tail in splits if tail}
        | {head + tail[1] + tail[0] + tail[2:] for head, tail in splits if len(tail) > 1}
        | {head + letter + tail[1:] for head, tail in splits if tail for letter in _LETTERS}
        | {head + letter + tail for head, tail in splits for letter in _LETTERS}
    )


def _existing(connection: Connection, names: list[str]) -> set[str]:
    column = tables.tenants.c.name
    found: set[str] = set()
    for start in range(0, len(names), _AT_ONCE):
        some = select(column).where(column.in_(names[start : start + _AT_ONCE]), tables.STANDING)
        found.update(connection.scalars(some))
    return found


def _around(connection: Connection, text: str) -> set[str]:
    column = tables.tenants.c.name
    after = select(column).where(column >= text, tables.STANDING).order_by(column).limit(_AROUND)
    before = select(column).where(column < text, tables.STANDING).order_by(column.desc()).limit(_AROUND)
    return {*connection.scalars(after), *connection.scalars(before)}
