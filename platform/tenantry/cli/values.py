"""KEY=VALUE as it is typed, to a typed value."""

import tomllib
from collections.abc import Iterable

from tenantry.errors import Invalid


def assignments(texts: Iterable[str]) -> dict[str, object]:
    """Read `KEY=VALUE` words: a value is TOML if it can be, else the text itself."""
    return {key: typed(text) for key, text in pairs(texts).items()}


def pairs(texts: Iterable[str]) -> dict[str, str]:
    """Split `KEY=VALUE` words; a key that is given twice is Invalid."""
    found: dict[str, str] = {}
    for word in texts:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise Invalid(f"{word!r} is not KEY=VALUE.", hint="For example SIGN_UP_OPEN=true.")
        if key in found:
            raise Invalid(f"{key} is given twice.")
        found[key] = text
    return found


def typed(text: str) -> object:
    """Return what TOML makes of one value; what is no TOML is plain text."""
    try:
        found = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # not TOML, or a number or a nest of lists beyond what can be read
        return text
    # A line break could smuggle in a second key: then it was meant as text.
    return found["value"] if found.keys() == {"value"} else text


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(text: str) -> int:
    """Read a time as it is typed, such as 600, 10m or 2h, in seconds."""
    unit = _UNITS.get(text[-1:], 0)
    digits = text[:-1] if unit else text
    if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
        raise Invalid(f"{text!r} is no time.", hint="Give seconds, or 10m, 2h, 1d.")
    return int(digits) * (unit or 1)
