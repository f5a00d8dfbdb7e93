"""Where a value of a tenant's config comes from, who set it when, and how tenants differ in one."""

import json
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from hashlib import sha256
from sys import maxsize

from tenantry import policy
from tenantry.address import shown
from tenantry.errors import Invalid, TenantryError, Unknown
from tenantry.operations import config, standing
from tenantry.operations.facts import Desk, Drift, Explained, Group, Layer, Origin, Unread
from tenantry.registry import Entry, Search, Selection
from tenantry.tenant import STANDING, Tenant

_CONFIG, _SECRETS, _TITLE = "config.toml", ".env", "title"
_ADD, _CLONE, _UNSET = "add", "clone", "config unset"
_CHANGES = ("config set", "config edit", _UNSET)
_BY_HAND = Origin("by hand")
# What a line of the journal says of a key where it tells no value: it was taken out, or came with the file.
_GONE, _COPIED = object(), object()


def explain(desk: Desk, tenant: Tenant, key: str) -> Explained:
    """Tell of one key what each layer says, which of them wins, and who set it when."""
    layers = [*_settings(desk, key), *desk.builder().layers(tenant)]
    lines = _lines(desk, tenant)
    known = {name for _, values in layers for name in values}
    if key not in known and not any(_named(line, key) for line in lines):
        raise _unknown(f"No layer of {tenant.name} sets {shown(key)}.", key, known)
    secret = config.is_secret(key) or any(key in values for layer, values in layers if layer == _SECRETS)
    winner = next((layer for layer, values in reversed(layers) if key in values), "")
    found = [
        Layer(
            source=layer,
            is_set=key in values,
            shown=_shown(values[key], secret) if key in values else None,
            wins=layer == winner,
            origin=_origin(lines, key, layer, values),
        )
        for layer, values in layers
    ]
    return Explained(tenant, key, secret, tuple(found), config.why_own(key))


def _settings(desk: Desk, key: str) -> list[tuple[str, dict[str, object]]]:
    """Return what lies below all layers for a limit of a tenant's: what the platform's settings grant to everybody."""
    if key not in policy.KEYS:
        return []
    return [("settings", {**policy.values(policy.granted(desk.settings)), policy.MAX_BODY: desk.settings.max_body})]


def drift(desk: Desk, key: str, selection: Selection) -> Drift:
    """Compare what one key is for many tenants, read page by page; of each its name is kept, and no more."""
    if selection.status is not None and selection.status not in STANDING:
        raise Invalid(f"A tenant that is {selection.status} has no config to compare.", hint="Choose another status.")
    standing.see_there(desk, selection)
    comparing, builder = _Comparing(key), desk.builder()
    broken: dict[str, str] = {}
    for page in desk.registry.pages(selection):
        comparing.unread += [Unread(row, "Its row in the registry makes no sense.") for row in page.unreadable]
        for tenant in page.tenants:
            if tenant.status not in STANDING:
                continue
            if tenant.application not in broken:
                broken[tenant.application] = _broken(desk, tenant.application)
            try:
                if broken[tenant.application]:
                    comparing.unread.append(Unread(tenant.name, broken[tenant.application]))
                else:
                    comparing.add(tenant.name, builder.layers(tenant))
            except TenantryError as error:
                comparing.unread.append(Unread(tenant.name, str(error)))
    return comparing.result()


class _Comparing:
    """The groups found so far: by a digest, so that neither secrets nor long values are kept to be compared."""

    def __init__(self, key: str) -> None:
        self.unread: list[Unread] = []
        self._key = key
        self._known: set[str] = set()
        self._secret = config.is_secret(key)
        self._values: dict[bytes, object] = {}
        self._sources: dict[bytes, set[str]] = {}
        self._names: dict[bytes, list[str]] = {}

    def add(self, name: str, layers: Sequence[tuple[str, Mapping[str, object]]]) -> None:
        """Put a tenant into the group of those that have the same value, or none."""
        source, found = next(((source, values) for source, values in reversed(layers) if self._key in values), ("", {}))
        group = sha256(config.spelled(found[self._key]).encode()).digest() if source else b""
        if group not in self._names:
            self._names[group], self._sources[group] = [], set()
            if source:
                self._values[group] = config.told(self._key, found[self._key])
        self._names[group].append(name)
        self._sources[group].add(source)
        # One tenant that hides it is enough: another's equal value would tell.
        self._secret = self._secret or any(self._key in values for layer, values in layers if layer == _SECRETS)
        self._known.update(known for _, values in layers for known in values)

    def result(self) -> Drift:
        """Return the groups, the largest first; Unknown if nobody sets the key and nobody else could."""
        if self._names and not self._values and not self.unread:
            raise _unknown(f"No tenant that was looked at sets {shown(self._key)}.", self._key, self._known)
        groups = [
            Group(
                is_set=group in self._values,
                shown=_shown(self._values[group], self._secret) if group in self._values else None,
                sources=tuple(sorted(filter(None, self._sources[group]))),
                names=tuple(names),
            )
            for group, names in self._names.items()
        ]
        groups.sort(key=lambda group: (-len(group.names), group.names))
        return Drift(self._key, self._secret, tuple(groups), tuple(self.unread))


def _broken(desk: Desk, application: str) -> str:
    """Say why an application cannot be imported; asked once, as each try costs an import."""
    try:
        desk.catalog.get(application)
    except TenantryError as error:
        return str(error)
    return ""


def _lines(desk: Desk, tenant: Tenant) -> list[Entry]:
    """Return the journal's lines that may tell of a tenant's config, the newest first."""
    found = [
        line
        for verb in (_ADD, _CLONE, *_CHANGES)
        for line in desk.registry.journal(Search(uid=tenant.uid, verb=verb, limit=maxsize))
    ]
    return sorted(found, key=lambda line: line.id, reverse=True)


def _named(line: Entry, key: str) -> bool:
    return any(_said(line, key, layer) not in {None, _COPIED} for layer in (_CONFIG, _SECRETS))


def _origin(lines: Iterable[Entry], key: str, layer: str, values: Mapping[str, object]) -> Origin | None:
    """Tell who made a layer say what it says of a key; what no line of the journal explains was done by hand."""
    if layer not in {_TITLE, _CONFIG, _SECRETS}:
        return None
    newest = next(((line, said) for line in lines if (said := _said(line, key, layer)) is not None), None)
    if newest is None:
        return _BY_HAND if key in values and layer != _TITLE else None
    line, said = newest
    if said is _COPIED and key not in values:
        return None
    fits = said is _COPIED or (said is _GONE) is (key not in values)
    if fits and key in values and said is not _COPIED:
        now = config.MASK if layer == _SECRETS else config.told(key, values[key])
        fits = _spelled(config.told(key, said)) == _spelled(now)
    return Origin(line.verb, line.who, line.at) if fits else _BY_HAND


def _said(line: Entry, key: str, layer: str) -> object:
    """Return to what a line of the journal set a key in a layer, None if it did not."""
    if line.verb in {_ADD, _CLONE}:
        return _said_first(line, key, layer)
    if "files" not in line.detail:
        return _said_before(line, key, layer)
    files = line.detail["files"]
    if not isinstance(files, list) or layer not in files:
        return None
    if key in line.after:
        return line.after[key]
    gone = key in line.before and (len(files) == 1 or _fits(line.before[key], key, layer))
    return _GONE if gone else None


def _said_first(line: Entry, key: str, layer: str) -> object:
    """Read the line with which a tenant began."""
    if layer == _TITLE:
        return {**line.detail, **line.after}.get("title") or None if key == "SITE_TITLE" else None
    if line.verb == _CLONE:
        return _COPIED
    given = line.detail.get("config")
    return given.get(key) if layer == _CONFIG and isinstance(given, dict) else None


def _said_before(line: Entry, key: str, layer: str) -> object:
    """Read a line of an older Tenantry, which kept no more than keys, and the values that were set."""
    if key not in line.detail:
        return None
    if line.verb == _UNSET:
        return _GONE
    return line.detail[key] if _fits(line.detail[key], key, layer) else None


def _fits(said: object, key: str, layer: str) -> bool:
    """Tell whether a value in the journal may be this file's: of the other one it would be masked, or would not be."""
    return {_SECRETS: said == config.MASK, _CONFIG: said != config.MASK or config.is_secret(key)}.get(layer, False)


def _spelled(value: object) -> str:
    # As the journal spells values, which knows no moments in time.
    return json.dumps(value, sort_keys=True, default=str)


def _shown(value: object, secret: bool) -> object:
    return config.MASK if secret else config.masked(value)


def _unknown(says: str, key: str, known: Iterable[str]) -> Unknown:
    close = get_close_matches(key.upper(), sorted(known), n=1)
    hint = f"Did you mean {close[0]}?" if close else "An application may have more keys in its own code."
    return Unknown(says, hint=hint)
