"""Cookies at a border, read as browsers read them (RFC 6265 and its successor), and strictly where those differ."""

import re
from typing import TYPE_CHECKING

from tenantry.address import shown
from tenantry.fences.told import Told

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# The names that the platform gives out, each with the uid of whose it is.
_WORDS = ("session", "remember", "maintenance")
_PLATFORM = re.compile(rf"(?:__Host-|__Secure-)?(?:{'|'.join(_WORDS)})_[a-z2-7]{{12}}", re.ASCII)
# The owner's way past a notice is shown to no application.
_OWN_WORDS = ("session", "remember")
_PREFIXES = ("", "__Host-", "__Secure-")

_SPACE = " \t"
# Newer browsers drop such a cookie, older ones cut it short.
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Cookies:
    """The cookies of one live application, coming in and going out."""

    def __init__(self, uid: str, mount: str, told: Told) -> None:
        self._mount = mount
        self._street = mount.rpartition("/")[0] + "/"  # where its neighbours are
        self._told = told
        self._own = frozenset(f"{prefix}{word}_{uid}" for prefix in _PREFIXES for word in _OWN_WORDS)
        self._usual = tuple((f"{word}_", tuple(f"; {p}{word}_{uid}=" for p in _PREFIXES[:2])) for word in _OWN_WORDS)

    # Coming in

    def enter(self, environ: "WSGIEnvironment") -> None:
        """Take out of a request what its application must not see.

        That is what other tenants are given, or is spelled so that it may be taken for what this one was given, and
        what came twice with different values: one of them was set by a neighbour, and nobody can tell which.
        """
        cookie: str = environ["HTTP_COOKIE"]
        if self._is_usual(cookie):
            return
        kept = self._kept(cookie)
        if kept:
            environ["HTTP_COOKIE"] = kept
        else:
            del environ["HTTP_COOKIE"]

    def _is_usual(self, cookie: str) -> bool:
        """Tell quickly that each name of the platform's is its own, there once, and spelled as browsers do."""
        if "maintenance_" in cookie:
            return False
        spaced = f"; {cookie}"
        for word, (plain, host) in self._usual:
            times = cookie.count(word)
            if times and (times > 1 or (plain not in spaced and host not in spaced)):
                return False
        return True

    def _kept(self, cookie: str) -> str:
        pairs: list[tuple[str, str]] = []
        values: dict[str, set[str]] = {}
        for pair in cookie.split(";"):
            raw, _, value = pair.partition("=")
            raw = raw.strip(_SPACE)
            name = _platforms(raw)
            if not name:
                pairs.append(("", pair))
            elif name == raw and name in self._own:
                pairs.append((name, pair))
                values.setdefault(name, set()).add(value.strip(_SPACE))
        torn = {name for name, found in values.items() if len(found) > 1}
        for name in torn:
            self._told.once("the cookie %s came with two values, one of them a neighbour's: neither is let in", name)
        return ";".join(pair for name, pair in pairs if name not in torn).strip()

    # Going out

    def leave(self, value: str, _: "WSGIEnvironment") -> str | None:
        """Return the Set-Cookie as it may go out, below the mount if there is one, or None where it may not."""
        first, *rest = value.split(";")
        name = _effective(first)
        attributes = [(key.strip(_SPACE).lower(), given.strip(_SPACE)) for key, _, given in map(_split, rest)]
        objection = self._objection(value, name, attributes)
        if not objection and self._mount:
            paths = [given for key, given in attributes if key == "path"]
            scope = self._scope(paths[-1] if paths else "")
            if scope is None:
                objection = "is for another tenant's path"
            elif paths != [scope]:
                others = (part for part, (key, _) in zip(rest, attributes, strict=True) if key != "path")
                value = ";".join((first, *others, f" Path={scope}"))
        if objection:
            self._told.once(f"the cookie %s {objection} and is dropped", shown(name))
            return None
        return value

    def _objection(self, value: str, name: str, attributes: list[tuple[str, str]]) -> str:
        """Say what keeps a cookie from going out at all; empty when nothing does."""
        if _CONTROLS.search(value):
            return "holds control characters"
        platforms = _platforms(name)
        if platforms and (platforms != name or name not in self._own):
            return "is named like another tenant's"
        if any(key == "domain" and given for key, given in attributes):
            return "has a Domain"
        if self._mount and name.lower().startswith("__host-"):
            return "cannot be bound to a path"
        return ""

    def _scope(self, path: str) -> str | None:
        """Return the path a cookie gets instead of `path`, None where that belongs to a neighbour.

        What is no path means to browsers that of the page; what covers the mount means it.
        """
        home = f"{self._mount}/"
        if not path.startswith("/") or home.startswith(f"{path.rstrip('/')}/"):
            return path if path == self._mount else home
        if path.startswith(home):
            return path
        return None if path.startswith(self._street) else self._mount + path


def _split(attribute: str) -> tuple[str, str, str]:
    return attribute.partition("=")


def _effective(pair: str) -> str:
    """Return the name that comes back in requests; browsers send a value without one as if it were name and value."""
    name, equals, value = pair.partition("=")
    name = name.strip(_SPACE)
    if equals and name:
        return name
    return (value if equals else name).lstrip(_SPACE + "=").partition("=")[0].strip(_SPACE)


def _platforms(name: str) -> str:
    """Return the name of the platform's for which this one may be taken by who trims more than browsers; else empty."""
    trimmed = name.strip()
    if not trimmed.isascii():
        trimmed = name.encode("latin-1", "replace").decode("utf-8", "replace").strip()
    return trimmed if _PLATFORM.fullmatch(trimmed) else ""
