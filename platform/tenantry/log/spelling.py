"""Spell what strangers have written, so that it stays in its place on a line and tells no secret."""

import re
from typing import Any

_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# What would end the part of a line that tells whose it is, or look like such a part.
_SIGNS = str.maketrans(dict.fromkeys(" []\\", "_"))
_LONGEST_PATH = 512
# Words as people put them into addresses. Whatever else is that long may open something: a token, a signature, a key.
_SLUG = re.compile(r"[A-Za-z]?[a-z]{0,14}(?:[-_.](?:[A-Za-z]?[a-z]{0,14}|[0-9]{1,4}))*", re.ASCII)
_TELLING = 20
# Scheme, host and path of a target in any of its forms; who it says to be stands before the host.
_TARGET = re.compile(r"([a-z][a-z0-9+.-]*://)?(?:[^/]*@)?([^/]*)(.*)", re.IGNORECASE | re.DOTALL)
_SHOWN = 4
# Where the platform's own secrets stand, which are nobody's business at any length.
_SECRET = re.compile(r"(/-/(?:maintenance|self-test)/)[^/]+")


def one_line(text: str) -> str:
    """Escape all that is not to be seen: what may end a line, move a cursor, or turn the writing round."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)


def sign(text: str) -> str:
    """Spell a name so that it cannot be taken for more than one."""
    return one_line(text).translate(_SIGNS)


def path(target: str) -> str:
    """Spell the path of a request's target without what may be secret: query, credentials, and what looks like a token.

    A long part of a path that is not made of words is shown as its first letters: one-time links, signatures, keys.
    """
    shown = re.split(r"[?#]", target, maxsplit=1)[0]
    whole = len(shown) <= _LONGEST_PATH
    scheme, host, shown = _TARGET.fullmatch(shown[:_LONGEST_PATH]).groups("")  # type: ignore[union-attr]
    shown = "/".join(map(_part, _SECRET.sub(r"\1...", shown).split("/")))
    return f"{scheme}{host}{shown}{'' if whole else '...'}"


def cut(text: str, longest: int) -> str:
    """Shorten a text and say by how much."""
    return text if len(text) <= longest else f"{text[:longest]}... ({len(text) - longest:,} letters more)"


def spelled(value: Any) -> str:
    """Spell a value of anybody's class, whatever its own spelling raises."""
    try:
        return str.__str__(str(value))
    except Exception:  # noqa: BLE001 - somebody else's class
        return f"<{type(value).__name__} that cannot be spelled>"


def _part(part: str) -> str:
    return part if len(part) < _TELLING or _SLUG.fullmatch(part) else part[:_SHOWN] + "..."


def _escaped(letter: str) -> str:
    code = ord(letter)
    if code < 0x100:
        return _NAMED.get(letter) or f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
