"""What the platform grants one tenant: how large a body, how many requests, how much disk, and which fences stand.

Read from the tenant's config, whose layers an operator and an application's author already know; what a tenant's config
does not say, the platform's settings do.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tenantry.errors import Invalid

MAX_BODY, RATE, QUOTA, FENCES_OFF = "TENANT_MAX_BODY", "TENANT_RATE", "TENANT_QUOTA", "TENANT_FENCES_OFF"
KEYS = frozenset({MAX_BODY, RATE, QUOTA, FENCES_OFF})

# Each may be taken down for a tenant; docs/security.md says what it keeps out, and when one would.
FENCES = frozenset({"cookies", "cross-site", "headers", "redirects", "cache"})

# No disk is larger, and no number that is larger was meant.
LARGEST = 1 << 50
_SHOWN = 80
_RATE = re.compile(r"(?P<count>[1-9][0-9]{0,8})/(?P<each>second|minute|hour)", re.ASCII)
_SIZE = re.compile(r"(?P<number>[0-9]{1,18}(?:\.[0-9]{1,6})?)\s*(?P<unit>[kmgt]?i?b)?", re.ASCII | re.IGNORECASE)
_UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS |= {"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What one tenant is granted; sizes in bytes, 0 and an empty rate being no limit of its own.

    `sends_files` tells that nginx sends files for applications that want it, which the platform alone decides.
    """

    max_body: int = 0
    rate: str = ""
    quota: int = 0
    fences_off: frozenset[str] = frozenset()
    sends_files: bool = False


class Grants(Protocol):
    """What the platform's settings say of every tenant."""

    @property
    def rate(self) -> str:
        """Requests to one tenant."""

    @property
    def quota(self) -> int:
        """Bytes that one tenant may keep."""

    @property
    def edge_files(self) -> str:
        """Whether nginx sends files: on or off."""

    @property
    def proxies(self) -> int:
        """How many proxies are in front."""


def granted(known: Grants) -> Policy:
    """Make what a tenant is granted whose config says nothing else."""
    # Without an nginx in front nobody would follow where a file is said to be.
    return Policy(rate=known.rate, quota=known.quota, sends_files=known.edge_files == "on" and known.proxies > 0)


def rate(text: str) -> str:
    """Return a rate such as `100/second`, or an empty one, as it is, or raise ValueError."""
    if text and not _RATE.fullmatch(text):
        raise ValueError("must be such as 100/second, 5000/minute or 100000/hour")
    return text


def size(text: str) -> int:
    """Return the bytes of a size such as `500000`, `500 MB` or `2 GiB`, or raise ValueError.

    MB are 1,000,000 bytes and MiB 1,048,576.
    """
    found = _SIZE.fullmatch(text.strip())
    unit = _UNITS.get((found["unit"] or "b").lower()) if found else None
    if found is None or unit is None or ("." in found["number"] and unit == 1):
        raise ValueError("must be bytes, or a size such as 500 MB or 2 GiB")
    number, _, part = found["number"].partition(".")
    measured: int = int(number) * unit + int(part or 0) * unit // 10 ** len(part)
    if measured > LARGEST:
        raise ValueError(f"must be at most {LARGEST} bytes")
    return measured


def read(config: Mapping[str, object], default: Policy) -> Policy:
    """Read the policy of a tenant from its config, or raise Invalid for a value that cannot be one."""
    given = {key: _read(key, config[key]) for key in KEYS & config.keys()}
    return Policy(
        max_body=given.get(MAX_BODY, default.max_body),
        rate=given.get(RATE, default.rate),
        quota=given.get(QUOTA, default.quota),
        fences_off=given.get(FENCES_OFF, default.fences_off),
        sends_files=default.sends_files,
    )


def merged(layers: Iterable[tuple[str, Mapping[str, object]]], default: Policy) -> Policy:
    """Read the policy from the layers of a tenant's config, of which the last wins."""
    values: dict[str, object] = {}
    for _, layer in layers:
        values.update(layer)
    return read(values, default)


def check(values: Mapping[str, object]) -> None:
    """Raise Invalid where one of these values is a tenant's limit and cannot be; other keys are none of ours."""
    for key in sorted(KEYS & values.keys()):
        _read(key, values[key])


def values(granted: Policy) -> dict[str, object]:
    """Spell a policy by the keys of a config."""
    return {
        RATE: granted.rate,
        QUOTA: granted.quota,
        MAX_BODY: granted.max_body,
        FENCES_OFF: sorted(granted.fences_off),
    }


def _read(key: str, value: object) -> Any:
    what, readable, hint = _KINDS[key]
    try:
        return readable(value)
    except (TypeError, ValueError) as error:
        shown = repr(value) if len(repr(value)) <= _SHOWN else f"{repr(value)[:_SHOWN]}..."
        raise Invalid(f"{key} is {shown}, which is no {what}.", hint=hint) from error


def _size_of(value: object) -> int:
    if isinstance(value, str):
        return size(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST:
        raise ValueError("must be a size")
    return value


def _rate_of(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("must be a text")
    return rate(value.strip())


def _fences_of(value: object) -> frozenset[str]:
    # A .env, and a value that is typed on a command line, hold texts only.
    names = [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) and name in FENCES for name in names):
        raise ValueError("must be a list of names")
    return frozenset(names)


# What a value must be, who reads it, and what to do about one that is not.
_AN_AMOUNT = "size", _size_of, "Give bytes, or one such as 500 MB or 2 GiB; 0 is no limit."
_KINDS: dict[str, tuple[str, Callable[[object], Any], str]] = {
    MAX_BODY: _AN_AMOUNT,
    QUOTA: _AN_AMOUNT,
    RATE: ("rate", _rate_of, "Give one such as 100/second, 5000/minute or 100000/hour."),
    FENCES_OFF: ("list of fences", _fences_of, f"Give names among {', '.join(sorted(FENCES))}."),
}
