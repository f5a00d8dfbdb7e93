"""What of a response's headers leaves a tenant."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from werkzeug.http import parse_dict_header

from tenantry.address import shown
from tenantry.fences import names, references
from tenantry.fences.cookies import Cookies
from tenantry.fences.files import Files
from tenantry.fences.told import Told

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Headers = list[tuple[str, str]]
# Returns the value as it may leave, or None.
Rule = Callable[[str, "WSGIEnvironment"], str | None]

_SWITCHED = frozenset({"yes", "no"})
# What keeps a response out of shared caches, and what says that it may be in them.
_SAID = frozenset({"no-store", "public", "s-maxage"})


class Leaving:
    """The rules for the headers of one live application, made once; any thread may ask."""

    def __init__(self, mount: str, standing: frozenset[str], cookies: Cookies | None, files: Files, told: Told) -> None:
        self._mount = mount
        self._files = files
        self._told = told
        self._caches = "cache" in standing
        self._rules: dict[str, Rule] = {}
        if cookies is not None:
            self._rules[names.COOKIE] = cookies.leave
        if mount and "headers" in standing:
            self._rules |= {name: self._dropped(name) for name in names.OF_THE_ORIGIN}
        if mount and "redirects" in standing:
            self._rules |= dict.fromkeys(names.REFERENCES, self._reference)
            self._rules[names.REFRESH] = self._refresh

    def passed(self, headers: Headers, environ: "WSGIEnvironment") -> Headers:
        """Return the headers that may leave, each as it may."""
        kept: Headers = []
        sets = sends = False
        for name, value in headers:
            meant = names.meant(name)
            if meant == names.NO_NAME:
                self._told.once("the header %s is dropped: that is no name", shown(name))
                continue
            sets = sets or meant == names.COOKIE
            sends = sends or meant == names.SENDFILE
            if meant is not None and names.commands(meant) and not self._obeyed(meant, value):
                continue
            rule = self._rules.get(meant or "")
            passed = value if rule is None else rule(value, environ)
            if passed is not None:
                kept.append((name, passed))
        if sends:
            kept = self._files.sent(kept)
        return _privately(kept) if sets and self._caches else kept

    def _obeyed(self, name: str, value: str) -> bool:
        """Tell whether what is in front may be told this; no policy lets more pass, as it would be for all tenants."""
        if name == names.SENDFILE or (name == names.BUFFERING and value.strip().lower() in _SWITCHED):
            return True
        self._told.once("the header %s is dropped: what serves in front takes no orders from a tenant", name)
        return False

    def _dropped(self, name: str) -> Rule:
        def drop(_: str, __: "WSGIEnvironment") -> None:
            self._told.once("the header %s is dropped: it speaks for all tenants of this origin", name)

        return drop

    def _reference(self, value: str, environ: "WSGIEnvironment") -> str:
        return references.brought_back(value, self._mount, environ)

    def _refresh(self, value: str, environ: "WSGIEnvironment") -> str:
        return references.refreshed(value, self._mount, environ)


def _privately(headers: Headers) -> Headers:
    """Keep who is one visitor's out of shared caches, unless the application itself has spoken of those."""
    places = [place for place, (name, _) in enumerate(headers) if name.lower() == "cache-control"]
    said = parse_dict_header(", ".join(headers[place][1] for place in places).lower())
    if not said.keys().isdisjoint(_SAID) or said.get("private", "of some fields") is None:
        return headers
    if not places:
        return [*headers, ("Cache-Control", "private")]
    # In front: what follows may lack the end of a quoted text.
    name, value = headers[places[0]]
    headers[places[0]] = (name, f"private, {value}" if value.strip() else "private")
    return headers
